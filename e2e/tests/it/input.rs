//! Bad input: rejected, counted by reason, and nobody else notices.

use anyhow::Result;
use nodling_e2e::lab::{LIMIT, Lab};
use nodling_e2e::mqtt::Mqtt;
use nodling_e2e::wait;

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_counted_and_disturbs_nothing() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    let vandal = Mqtt::connect(lab.broker.port(), "vandal", &[]).await?;
    // 10 MB retained: above the Maximum Packet Size that the gateway announces.
    vandal
        .retain("nodling/home/up/big", vec![0x1F; 10 << 20])
        .await?;
    vandal
        .retain("nodling/home/up/pi-1", vec![0x1F, 0, 0, 0, 1, 0, 0, 0, 0])
        .await?;
    for (reason, topic, payload) in [
        ("empty", "nodling/home/up/pi-9", &[][..]),
        ("version", "nodling/home/up/pi-9", &[0x9F, 0, 0]),
        ("class", "nodling/home/up/pi-9", &[0x1A, 0, 0]),
        ("kind", "nodling/home/up/pi-9", &[0x1F, 0, 0, 0, 99]),
        ("truncated", "nodling/home/up/pi-9", &[0x1F, 0, 0, 0, 1]),
        (
            "node_name",
            "nodling/home/up/NOT_A_NAME",
            &[0x1F, 0, 0, 0, 1, 0, 0, 0, 0],
        ),
    ] {
        vandal.publish(topic, payload).await?;
        let metric = format!("nodling_heartbeats_rejected_total{{reason=\"{reason}\"}}");
        let ask = || async { lab.metric(&metric).await };
        wait::until(&metric, LIMIT, ask, |count| *count >= 1.0).await?;
    }
    lab.is_renewed_again("pi-1", LIMIT).await?;
    assert_eq!(lab.ready().await?.0, 200);
    let nodes = lab.kubectl().ok(&["get", "nodes", "-o", "name"]).await?;
    assert_eq!(nodes, "node/pi-1\n");

    // The same insult a thousand times is one line in the log.
    for _ in 0..1000 {
        vandal.publish("nodling/home/up/pi-9", [0x9F, 0, 0]).await?;
    }
    let metric = "nodling_heartbeats_rejected_total{reason=\"version\"}";
    let ask = || async { lab.metric(metric).await };
    wait::until(metric, LIMIT, ask, |count| *count >= 1001.0).await?;
    let log = lab.gateway_log();
    let lines = log.lines().filter(|line| line.contains("pi-9")).count();
    assert!(lines <= 8, "{lines} lines about pi-9:\n{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_survives_a_restart_among_retained_garbage() -> Result<()> {
    let mut lab = Lab::start().await?;
    let vandal = Mqtt::connect(lab.broker.port(), "vandal", &[]).await?;
    vandal
        .retain("nodling/home/up/big", vec![0x1F; 10 << 20])
        .await?;
    vandal
        .retain("nodling/home/gateway", vec![0xFF; 100])
        .await?;
    lab.gateway()?.kill().await?;
    lab.restart_gateway().await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    Ok(())
}

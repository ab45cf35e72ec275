//! The gateway is killed; the broker is killed. Nothing is lost, nobody is stuck.

use std::time::Duration;

use anyhow::Result;
use nodling_e2e::lab::{LIMIT, Lab, condition};
use nodling_e2e::wait;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_forgets_nothing_a_user_said() -> Result<()> {
    let mut lab = Lab::start().await?;
    let _agents = [lab.agent("pi-1")?, lab.agent("pi-2")?];
    for name in ["pi-1", "pi-2"] {
        lab.ready_is(name, "True").await?;
    }
    lab.kubectl().ok(&["cordon", "pi-1"]).await?;
    lab.kubectl()
        .ok(&["label", "node", "pi-1", "room=attic"])
        .await?;
    let before = lab.node("pi-1").await?;
    for _ in 0..2 {
        lab.gateway()?.kill().await?;
        lab.restart_gateway().await?;
        let after = lab.node("pi-1").await?;
        assert_eq!(after.metadata.uid, before.metadata.uid);
        assert_eq!(after.metadata.labels.as_ref().unwrap()["room"], "attic");
        assert_eq!(after.spec.as_ref().unwrap().unschedulable, Some(true));
        let version = |node: &k8s_openapi::api::core::v1::Node| -> u64 {
            node.metadata
                .resource_version
                .as_ref()
                .unwrap()
                .parse()
                .unwrap()
        };
        assert!(
            version(&after) >= version(&before),
            "resourceVersion went back"
        );
        for name in ["pi-1", "pi-2"] {
            lab.is_renewed_again(name, LIMIT).await?;
            lab.ready_is(name, "True").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_flips_nobody() -> Result<()> {
    // Above the longest pause between two attempts to connect, as the default is.
    let mut lab = Lab::start_with(&["--grace", "10s"]).await?;
    let _agents = [lab.agent("pi-1")?, lab.agent("pi-2")?];
    let mut transitions = Vec::new();
    for name in ["pi-1", "pi-2"] {
        let node = lab.ready_is(name, "True").await?;
        transitions.push(
            condition(&node, "Ready")
                .unwrap()
                .last_transition_time
                .clone(),
        );
    }
    lab.broker.kill().await?;
    let ask = || async { lab.ready().await };
    let says_broker = |(status, text): &(u16, String)| *status == 503 && text.contains("broker");
    wait::until("/readyz names the broker", LIMIT, ask, says_broker).await?;
    // Longer than the grace: silence behind a dead broker is the broker's.
    let ask = || async { Ok((lab.node("pi-1").await?, lab.node("pi-2").await?)) };
    let are_ready = |nodes: &(_, _)| {
        [&nodes.0, &nodes.1]
            .iter()
            .all(|node| condition(node, "Ready").unwrap().status == "True")
    };
    wait::throughout("still Ready", Duration::from_secs(11), ask, are_ready).await?;
    lab.broker.restart().await?;
    for (name, transition) in ["pi-1", "pi-2"].iter().zip(transitions) {
        lab.is_renewed_again(name, Duration::from_secs(40)).await?;
        let node = lab.ready_is(name, "True").await?;
        assert_eq!(
            condition(&node, "Ready").unwrap().last_transition_time,
            transition
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_waits_for_its_broker() -> Result<()> {
    let mut lab = Lab::start_broker().await?;
    lab.broker.kill().await?;
    lab.spawn_gateway()?;
    let ask = || async { lab.ready().await };
    let says_broker = |(status, text): &(u16, String)| *status == 503 && text.contains("broker");
    wait::until("/readyz names the broker", LIMIT, ask, says_broker).await?;
    assert!(lab.gateway()?.is_running());
    lab.broker.restart().await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    Ok(())
}

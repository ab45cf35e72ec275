//! The world around the gateway fails: a full disk, an API server that errs or is deaf, a
//! clock that stands in 1970. Each is said, waited out, and made good.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use nodling_e2e::lab::{LIMIT, Lab, condition};
use nodling_e2e::proxy::{Mood, Proxy};
use nodling_e2e::wait;
use nodling_gateway::time::BUILT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_edits_and_loses_none() -> Result<()> {
    let mut lab = Lab::start_broker().await?;
    lab.start_gateway_on_small_disk("8m").await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    lab.kubectl()
        .ok(&["label", "node", "pi-1", "before=full"])
        .await?;

    let filler = lab.data_dir().join("filler");
    let mut file = std::fs::File::create(&filler)?;
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    let mut edits = 0;
    let ask = || {
        edits += 1;
        let label = format!("edit={edits}");
        let kubectl = lab.kubectl();
        async move {
            kubectl
                .run(&["label", "--overwrite", "node", "pi-1", &label])
                .await
        }
    };
    // Space that the store had reserved is used up first.
    let refused = wait::until("edits are refused", LIMIT, ask, |printed| {
        !printed.is_success
    });
    let refused = refused.await?;
    assert!(
        refused.stderr.contains("No space left"),
        "{}",
        refused.stderr
    );
    let ask = || async { lab.ready().await };
    let says_store = |(status, text): &(u16, String)| *status == 503 && text.contains("store");
    wait::until("/readyz names the store", LIMIT, ask, says_store).await?;
    // Beats need no disk.
    lab.is_renewed_again("pi-1", LIMIT).await?;

    std::fs::remove_file(&filler)?;
    let kubectl = lab.kubectl();
    let ask = || async { kubectl.run(&["cordon", "pi-1"]).await };
    wait::until("edits again", LIMIT, ask, |printed| printed.is_success).await?;
    let ask = || async { lab.ready().await };
    wait::until("/readyz recovers", LIMIT, ask, |(status, _)| *status == 200).await?;
    let labels = lab.node("pi-1").await?.metadata.labels.unwrap();
    assert_eq!(labels["before"], "full");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_api_server_is_named_and_caught_up_with() -> Result<()> {
    // The cluster must not judge while its API is out of reach.
    let home = Lab::start_with(&["--grace", "10m"]).await?;
    let api = home.api_address()?;
    let proxy = Proxy::start(api).await?;
    let kubeconfig = home.path().join("through-the-proxy");
    let text = std::fs::read_to_string(home.data_dir().join("kubeconfig"))?;
    let through = text.replace(&api.to_string(), &proxy.address().to_string());
    anyhow::ensure!(
        text != through,
        "the kubeconfig does not name {api}:\n{text}"
    );
    std::fs::write(&kubeconfig, through)?;

    // A second gateway of another fleet, for which the first one's API is the cluster.
    let mut away = Lab::start_broker().await?;
    let kubeconfig = kubeconfig.display().to_string();
    away.start_gateway(&["--kubeconfig", &kubeconfig, "--fleet", "away"])
        .await?;
    let _agent = away.agent("pi-7")?;
    home.ready_is("pi-7", "True").await?;

    for mood in [Mood::Deaf, Mood::Closed] {
        proxy.set(mood);
        let ask = || async { away.ready().await };
        let says_api = |(status, text): &(u16, String)| *status == 503 && text.contains("api");
        let limit = Duration::from_mins(1);
        wait::until("/readyz names the API", limit, ask, says_api).await?;
        proxy.set(Mood::Open);
        let ask = || async { away.ready().await };
        wait::until("/readyz recovers", limit, ask, |(status, _)| *status == 200).await?;
        let node = home.ready_is("pi-7", "True").await?;
        let seen = condition(&node, "Ready")
            .unwrap()
            .last_transition_time
            .clone();
        home.is_renewed_again("pi-7", limit).await?;
        let node = home.node("pi-7").await?;
        assert_eq!(
            condition(&node, "Ready").unwrap().last_transition_time,
            seen
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_errs_is_named() -> Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let answer = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
                while stream.read(&mut request).await.is_ok_and(|len| len > 0) {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let mut lab = Lab::start_broker().await?;
    let kubeconfig = lab.path().join("errs");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&kubeconfig, text)?;
    lab.spawn_gateway_with(&["--kubeconfig", &kubeconfig.display().to_string()])?;
    let ask = || async { lab.ready().await };
    let says_api = |(status, text): &(u16, String)| {
        *status == 503 && text.contains("api") && text.contains("500")
    };
    wait::until("/readyz names the API's error", LIMIT, ask, says_api).await?;
    assert!(lab.gateway()?.is_running());
    let log = lab.gateway_log();
    assert!(log.contains("500"), "{log}");
    assert!(log.lines().count() < 100, "it floods:\n{log}");
    server.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_created_while_the_clock_stands_in_the_past() -> Result<()> {
    let mut lab = Lab::start_broker().await?;
    // The clock becomes plausible six seconds after the start.
    let epoch = (BUILT.as_second() - 6).to_string();
    lab.spawn_gateway_with(&["--test-wall-epoch", &epoch])?;
    let ask = || async { lab.ready().await };
    let says_clock = |(status, text): &(u16, String)| *status == 503 && text.contains("clock");
    wait::until("/readyz names the clock", LIMIT, ask, says_clock).await?;
    let _agent = lab.agent("pi-1")?;
    let ask = || async { lab.metric("nodling_heartbeats_received_total").await };
    wait::until("beats arrive", LIMIT, ask, |count| *count >= 2.0).await?;
    if lab.ready().await?.0 == 503 {
        let nodes = lab.kubectl().ok(&["get", "nodes", "-o", "name"]).await?;
        assert!(nodes.is_empty() || lab.ready().await?.0 == 200, "{nodes}");
    }
    let node = lab.ready_is("pi-1", "True").await?;
    let created = node
        .metadata
        .creation_timestamp
        .context("no creationTimestamp")?;
    assert!(created.0 >= BUILT, "created {created:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_in_1970_serves_and_waits() -> Result<()> {
    let mut lab = Lab::start_broker().await?;
    lab.spawn_gateway_with(&["--test-wall-epoch", "0"])?;
    let _agent = lab.agent("pi-1")?;
    let ask = || async { lab.metric("nodling_heartbeats_received_total").await };
    wait::until("beats arrive", LIMIT, ask, |count| *count >= 3.0).await?;
    let (status, text) = lab.ready().await?;
    assert_eq!(status, 503);
    assert!(text.contains("clock"), "{text}");
    let nodes = lab.kubectl().ok(&["get", "nodes", "-o", "name"]).await?;
    assert_eq!(nodes, "", "no Node is created in 1970");
    Ok(())
}

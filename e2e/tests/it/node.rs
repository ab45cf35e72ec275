//! What a Node says of itself, as its board's owner asked: a real container runtime, labels,
//! taints, addresses, names, and a board that makes no Node.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::PostParams;
use nodling_e2e::containerd::Containerd;
use nodling_e2e::lab::{LIMIT, Lab, is_tainted};
use nodling_e2e::wait;

/// The agent asks again after a refresh, at most this often.
const ASKED_AGAIN: Duration = Duration::from_secs(25);

fn runtime(node: &Node) -> String {
    let info = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.as_ref());
    info.map(|info| info.container_runtime_version.clone())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_container_runtime_says_its_version() -> Result<()> {
    let lab = Lab::start().await?;
    let mut containerd = Containerd::start(lab.path(), &[]).await?;
    let lines = format!(
        "container_runtime_endpoint = \"{}\"\n",
        containerd.endpoint()
    );
    let agent = lab.agent_configured("pi-1", "pi-1", &lines, &[])?;
    let ask = || async { lab.node("pi-1").await };
    let is_told = |node: &Node| runtime(node).starts_with("containerd://");
    let node = wait::until("the runtime's version", LIMIT, ask, is_told).await?;
    let shown = runtime(&node);
    let number = shown
        .strip_prefix("containerd://")
        .context("no containerd")?;
    // Debian adds to the number what kubelet leaves out.
    let version = Containerd::version().await?;
    assert!(!number.is_empty(), "{shown}");
    assert!(
        version.trim_start_matches('v').starts_with(number),
        "{version}, {shown}"
    );
    let wide = lab.kubectl().run(&["get", "nodes", "-o", "wide"]).await?;
    assert!(wide.stdout.contains(&shown), "{}", wide.stdout);

    containerd.kill().await?;
    agent.process.signal(rustix::process::Signal::HUP)?;
    let is_unknown = |node: &Node| runtime(node) == "containerd://Unknown";
    wait::until("the runtime is gone", ASKED_AGAIN, ask, is_unknown).await?;
    lab.is_renewed_again("pi-1", LIMIT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containerd_without_its_cri_plugin_is_unknown_and_said_why() -> Result<()> {
    let lab = Lab::start().await?;
    let containerd = Containerd::start(lab.path(), &["io.containerd.grpc.v1.cri"]).await?;
    let lines = format!(
        "container_runtime_endpoint = \"{}\"\n",
        containerd.endpoint()
    );
    let agent = lab.agent_configured("pi-1", "pi-1", &lines, &[])?;
    let ask = || async { lab.node("pi-1").await };
    let is_unknown = |node: &Node| runtime(node) == "containerd://Unknown";
    wait::until("the runtime's version", LIMIT, ask, is_unknown).await?;
    let log = agent.process.log();
    assert!(log.contains("is its CRI plugin off?"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_asks_for_stands_on_the_node() -> Result<()> {
    let lab = Lab::start().await?;
    let lines = "hostname_override = \"Attic.LAN\"\n\
                 node_labels = { \"topology.kubernetes.io/zone\" = \"attic\", floor = \"3\" }\n\
                 register_with_taints = [{ key = \"slow\", effect = \"PreferNoSchedule\" }]\n";
    let _agent = lab.agent_configured("pi-1", "pi-1", lines, &[])?;
    let node = lab.ready_is("pi-1", "True").await?;
    let labels = node.metadata.labels.clone().unwrap_or_default();
    for (key, value) in [
        ("kubernetes.io/hostname", "attic.lan"),
        ("kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/os", "linux"),
        ("topology.kubernetes.io/zone", "attic"),
        ("floor", "3"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(
        labels["kubernetes.io/arch"],
        labels["beta.kubernetes.io/arch"]
    );
    assert!(is_tainted(&node, "slow", "PreferNoSchedule"));
    assert!(is_tainted(&node, "nodling.dev/agent-only", "NoSchedule"));
    let addresses = node
        .status
        .and_then(|status| status.addresses)
        .unwrap_or_default();
    let hostname = addresses.iter().find(|address| address.type_ == "Hostname");
    assert_eq!(
        hostname.map(|address| address.address.as_str()),
        Some("attic.lan")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_makes_no_node_keeps_up_one_that_is_made() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent_configured("pi-1", "pi-1", "register_node = false\n", &[])?;
    let waiting = "nodling_nodes{state=\"unregistered\"}";
    let ask = || async { lab.metric(waiting).await };
    wait::until("the board waits", LIMIT, ask, |count| *count > 0.5).await?;
    assert_eq!(lab.gateway_log().matches("has no Node").count(), 1);
    assert!(lab.node("pi-1").await.is_err());
    let node: Node = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "pi-1", "labels": { "made": "by-hand" } }
    }))?;
    let nodes = Api::<Node>::all(lab.client().await?);
    nodes.create(&PostParams::default(), &node).await?;
    let node = lab.ready_is("pi-1", "True").await?;
    assert_eq!(
        node.metadata.labels.context("no labels")?["made"],
        "by-hand"
    );
    lab.is_renewed_again("pi-1", LIMIT).await?;
    wait::until("nobody waits", LIMIT, ask, |count| *count < 0.5).await?;
    Ok(())
}

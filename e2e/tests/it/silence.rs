//! An agent dies without a goodbye, or says one.

use std::time::{Duration, Instant};

use anyhow::Result;
use nodling_e2e::lab::{GRACE, LIMIT, Lab, condition, is_tainted};
use nodling_e2e::wait;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_turns_unknown_after_the_grace_and_comes_back() -> Result<()> {
    let lab = Lab::start().await?;
    let _other = lab.agent("pi-2")?;
    let mut agent = lab.agent("pi-1")?;
    lab.ready_is("pi-2", "True").await?;
    lab.ready_is("pi-1", "True").await?;

    let killed = Instant::now();
    agent.process.kill().await?;
    let node = lab.ready_is("pi-1", "Unknown").await?;
    let took = killed.elapsed();
    assert!(
        took + Duration::from_millis(1500) > GRACE,
        "too early: {took:?}"
    );
    assert!(took < GRACE + Duration::from_secs(3), "too late: {took:?}");
    let ready = condition(&node, "Ready").unwrap();
    assert_eq!(ready.reason.as_deref(), Some("NodeStatusUnknown"));
    assert_eq!(
        ready.message.as_deref(),
        Some("Kubelet stopped posting node status.")
    );
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        lab.condition_is("pi-1", kind, "Unknown").await?;
    }
    for effect in ["NoSchedule", "NoExecute"] {
        let ask = || async { lab.node("pi-1").await };
        let key = "node.kubernetes.io/unreachable";
        wait::until("tainted", LIMIT, ask, |node| is_tainted(node, key, effect)).await?;
    }
    lab.event("pi-1", "NodeNotReady").await?;

    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    let ask = || async { lab.node("pi-1").await };
    let is_clean = |node: &_| {
        !is_tainted(node, "node.kubernetes.io/unreachable", "NoSchedule")
            && !is_tainted(node, "node.kubernetes.io/unreachable", "NoExecute")
    };
    wait::until("untainted", LIMIT, ask, is_clean).await?;

    lab.event("pi-1", "NodeReady").await?;
    let events = lab.events("pi-1").await?;
    let count = |reason: &str| -> i32 {
        let of = events
            .iter()
            .filter(|event| event.reason.as_deref() == Some(reason));
        of.map(|event| event.count.unwrap_or(1)).sum()
    };
    assert_eq!(count("NodeNotReady"), 1, "each transition once");
    assert_eq!(count("NodeReady"), 1, "each transition once");
    assert!(condition(&lab.node("pi-2").await?, "Ready").unwrap().status == "True");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_fall_silent_nothing_is_evicted() -> Result<()> {
    let lab = Lab::start().await?;
    let mut agents = [lab.agent("pi-1")?, lab.agent("pi-2")?];
    for agent in &agents {
        lab.ready_is(agent.name(), "True").await?;
    }
    for agent in &mut agents {
        agent.process.kill().await?;
    }
    for agent in &agents {
        lab.ready_is(agent.name(), "Unknown").await?;
    }
    let ask = || async { Ok((lab.node("pi-1").await?, lab.node("pi-2").await?)) };
    let key = "node.kubernetes.io/unreachable";
    let is_so = |nodes: &(_, _)| {
        is_tainted(&nodes.0, key, "NoSchedule") && is_tainted(&nodes.1, key, "NoSchedule")
    };
    wait::until("tainted", LIMIT, ask, is_so).await?;
    let is_spared = |nodes: &(_, _)| {
        !is_tainted(&nodes.0, key, "NoExecute") && !is_tainted(&nodes.1, key, "NoExecute")
    };
    wait::throughout("not evicted", Duration::from_secs(3), ask, is_spared).await
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_for_good_terminates_the_node() -> Result<()> {
    let lab = Lab::start().await?;
    let mut agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    agent.process.terminate(Duration::from_secs(2)).await?;
    let config = lab.path().join("agent-pi-1.toml").display().to_string();
    let broker = lab.broker.url();
    let arguments = [
        "leave",
        "--config",
        &config,
        "--node-name",
        "pi-1",
        "--broker",
        &broker,
    ];
    let program = nodling_e2e::process::program("nodling-agent")?;
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .output()
        .await?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let ask = || async { lab.node("pi-1").await };
    let is_over = |node: &k8s_openapi::api::core::v1::Node| {
        let status = node.status.as_ref();
        status.and_then(|status| status.phase.as_deref()) == Some("Terminated")
    };
    wait::until("Terminated", LIMIT, ask, is_over).await?;
    Ok(())
}

//! What a user does with kubectl, against the embedded API, with an agent on this machine.

use anyhow::Result;
use nodling_e2e::lab::{LIMIT, Lab, is_tainted};
use nodling_e2e::wait;

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_a_board_as_a_node() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    let kubectl = lab.kubectl();

    let table = kubectl.ok(&["get", "nodes"]).await?;
    let header: Vec<_> = table
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        header,
        ["NAME", "STATUS", "ROLES", "AGE", "VERSION"],
        "{table}"
    );
    let row: Vec<_> = table
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        (row[0], row[1], row[2]),
        ("pi-1", "Ready", "<none>"),
        "{table}"
    );
    assert_eq!(
        row[4],
        format!("v{}+nodling", env!("CARGO_PKG_VERSION")),
        "{table}"
    );

    let wide = kubectl.ok(&["get", "nodes", "-o", "wide"]).await?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    assert!(wide.contains(kernel.trim()), "{wide}");
    assert!(wide.contains("INTERNAL-IP"), "{wide}");

    let json = kubectl.ok(&["get", "node", "pi-1", "-o", "json"]).await?;
    let node: serde_json::Value = serde_json::from_str(&json)?;
    let cpus = std::thread::available_parallelism()?.to_string();
    assert_eq!(node["status"]["capacity"]["cpu"], cpus, "{json}");
    assert_eq!(node["status"]["nodeInfo"]["operatingSystem"], "linux");
    assert_eq!(node["spec"]["providerID"], "nodling://home/pi-1");
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    let total_kib = meminfo.split_whitespace().nth(1).unwrap_or_default();
    assert_eq!(
        node["status"]["capacity"]["memory"],
        format!("{total_kib}Ki")
    );
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    assert_eq!(node["status"]["nodeInfo"]["bootID"], boot_id.trim());

    let name = kubectl.ok(&["get", "nodes", "-o", "name"]).await?;
    assert_eq!(name, "node/pi-1\n");
    let path = "jsonpath={.items[*].status.phase}";
    assert_eq!(kubectl.ok(&["get", "nodes", "-o", path]).await?, "Running");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_tells_lease_conditions_and_events() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    lab.event("pi-1", "RegisteredNode").await?;
    let described = lab.kubectl().ok(&["describe", "node", "pi-1"]).await?;
    for part in [
        "Name:               pi-1",
        "HolderIdentity:  pi-1",
        "nodling.dev/agent-only:NoSchedule",
        "KubeletHasSufficientMemory",
        "nodling-agent is posting ready status",
        "ProviderID:",
        "Non-terminated Pods:          (0 in total)",
        "RegisteredNode",
    ] {
        assert!(described.contains(part), "no {part:?} in\n{described}");
    }
    let events = lab.kubectl().ok(&["get", "events"]).await?;
    assert!(events.contains("node/pi-1"), "{events}");
    let leases = lab
        .kubectl()
        .ok(&["get", "leases", "-n", "kube-node-lease"])
        .await?;
    assert!(leases.contains("pi-1"), "{leases}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_sees_a_board_come_and_go() -> Result<()> {
    let lab = Lab::start().await?;
    let watch = lab.kubectl().start("watch", &["get", "nodes", "-w"])?;
    let mut agent = lab.agent("pi-1")?;
    let ask = || async { Ok(watch.log()) };
    let is_ready = |log: &String| shows(log, "pi-1", "Ready");
    wait::until("watch shows Ready", LIMIT, ask, is_ready).await?;
    agent.process.kill().await?;
    let is_silent = |log: &String| shows(log, "pi-1", "NotReady");
    wait::until("watch shows NotReady", LIMIT, ask, is_silent).await?;
    assert_eq!(
        watch.log().matches("NAME").count(),
        1,
        "one header\n{}",
        watch.log()
    );
    Ok(())
}

fn shows(table: &str, node: &str, status: &str) -> bool {
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|cells| {
            cells.first() == Some(&node) && cells.get(1).is_some_and(|cell| *cell == status)
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn cordon_drain_label_and_taint_stay() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    let kubectl = lab.kubectl();

    assert_eq!(
        kubectl.ok(&["cordon", "pi-1"]).await?,
        "node/pi-1 cordoned\n"
    );
    assert_eq!(
        kubectl.ok(&["cordon", "pi-1"]).await?,
        "node/pi-1 already cordoned\n"
    );
    let table = kubectl.ok(&["get", "nodes"]).await?;
    assert!(table.contains("Ready,SchedulingDisabled"), "{table}");
    assert_eq!(
        kubectl.ok(&["uncordon", "pi-1"]).await?,
        "node/pi-1 uncordoned\n"
    );
    let drained = kubectl
        .ok(&["drain", "pi-1", "--ignore-daemonsets"])
        .await?;
    assert!(drained.contains("node/pi-1 drained"), "{drained}");

    kubectl.ok(&["label", "node", "pi-1", "room=attic"]).await?;
    kubectl
        .ok(&["annotate", "node", "pi-1", "note=mine"])
        .await?;
    kubectl
        .ok(&["taint", "node", "pi-1", "mine=yes:NoSchedule"])
        .await?;
    let table = kubectl
        .ok(&["get", "nodes", "-l", "room=attic", "-o", "name"])
        .await?;
    assert_eq!(table, "node/pi-1\n");

    // Several beats later nothing of the user's is gone.
    lab.is_renewed_again("pi-1", LIMIT).await?;
    let node = lab.node("pi-1").await?;
    assert_eq!(node.metadata.labels.as_ref().unwrap()["room"], "attic");
    assert_eq!(node.metadata.annotations.as_ref().unwrap()["note"], "mine");
    assert!(is_tainted(&node, "mine", "NoSchedule"));
    assert!(is_tainted(&node, "nodling.dev/agent-only", "NoSchedule"));
    assert_eq!(node.spec.as_ref().unwrap().unschedulable, Some(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_node_comes_back_and_says_so() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent("pi-1")?;
    let uid = lab.ready_is("pi-1", "True").await?.metadata.uid;
    let deleted = lab
        .kubectl()
        .ok(&["delete", "node", "pi-1", "--wait=false"])
        .await?;
    assert_eq!(deleted.trim(), "node \"pi-1\" deleted");
    let ask = || async { lab.node("pi-1").await };
    let is_new = |node: &k8s_openapi::api::core::v1::Node| node.metadata.uid != uid;
    wait::until("a new Node", LIMIT, ask, is_new).await?;
    lab.ready_is("pi-1", "True").await?;
    let event = lab.event("pi-1", "Recreated").await?;
    let message = event.message.unwrap_or_default();
    assert!(
        message.contains("nodling-gateway nodes forget pi-1"),
        "{message}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laptop_gets_a_kubeconfig() -> Result<()> {
    let lab = Lab::start().await?;
    let program = nodling_e2e::process::program("nodling-gateway")?;
    let data_dir = lab.data_dir().display().to_string();
    let server = "https://127.0.0.1:1";
    let arguments = ["kubeconfig", "--data-dir", &data_dir, "--server", server];
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains(server), "{text}");
    assert!(text.contains("certificate-authority-data"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_the_token() -> Result<()> {
    let lab = Lab::start().await?;
    let printed = lab
        .kubectl()
        .run(&["get", "nodes", "--token", "wrong"])
        .await?;
    assert!(!printed.is_success, "{}", printed.stdout);
    let insecure = [
        "get",
        "nodes",
        "--request-timeout",
        "5s",
        "--certificate-authority",
        "/dev/null",
    ];
    assert!(!lab.kubectl().run(&insecure).await?.is_success);
    Ok(())
}

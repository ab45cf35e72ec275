//! Conditions that a board's owner defines, from the agent's file to kubectl.

use anyhow::{Context as _, Result};
use nodling_e2e::lab::{LIMIT, Lab};
use nodling_e2e::wait;
use serde_json::Value;

/// One that holds on every machine, one that never does, one that no machine can judge.
const RULES: &str = r#"
[[condition]]
type = "Loaded"
when = "load1 >= 0"

[[condition]]
type = "Overrun"
when = "load1 > 1000000"
for = "5s"
clear = "load1 < 999999.5"

[[condition]]
type = "EnclosureHot"
when = "attic.temperature > 45"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_owners_condition_is_shown_by_kubectl() -> Result<()> {
    let lab = Lab::start().await?;
    let mut agent = lab.agent_configured("pi-1", "pi-1", RULES, &[])?;
    lab.condition_is("pi-1", "Loaded", "True").await?;
    lab.condition_is("pi-1", "Overrun", "False").await?;
    lab.event("pi-1", "Loaded").await?;
    let kubectl = lab.kubectl();

    let json = kubectl.ok(&["get", "node", "pi-1", "-o", "json"]).await?;
    let node: Value = serde_json::from_str(&json)?;
    let conditions = node["status"]["conditions"]
        .as_array()
        .context("no conditions")?;
    let shown: Vec<_> = conditions[conditions.len() - 3..]
        .iter()
        .map(words)
        .collect();
    let expected = [
        "Loaded/True/Loaded/load1 >= 0",
        "Overrun/False/NoOverrun/load1 > 1000000 for 5s, clear load1 < 999999.5",
        "Ready/True/KubeletReady/nodling-agent is posting ready status",
    ];
    assert_eq!(shown, expected, "{json}");
    assert!(!json.contains("EnclosureHot"), "{json}");

    let described = kubectl.ok(&["describe", "node", "pi-1"]).await?;
    let row = |kind: &str| {
        let mut rows = described.lines().map(str::split_whitespace);
        rows.find_map(|mut cells| (cells.next() == Some(kind)).then(|| cells.collect::<Vec<_>>()))
    };
    let loaded = row("Loaded").with_context(|| described.clone())?;
    assert_eq!(loaded[0], "True", "{described}");
    assert_eq!(
        loaded[loaded.len() - 4..],
        ["Loaded", "load1", ">=", "0"],
        "{described}"
    );
    let overrun = row("Overrun").with_context(|| described.clone())?;
    assert_eq!(overrun[0], "False", "{described}");
    let message = "Node pi-1 status is now: Loaded";
    assert!(
        described.contains(message),
        "no {message:?} in\n{described}"
    );

    // What this machine cannot judge is said once, on the board.
    let log = agent.process.log();
    let warned = "this board has no reading attic.temperature";
    assert_eq!(log.matches(warned).count(), 1, "{log}");

    // Other rules after a restart: what is not defined any more goes, the rest is what it says.
    agent.process.kill().await?;
    let turned = "[[condition]]\ntype = \"Overrun\"\nwhen = \"load1 < 1000000\"\n";
    let _agent = lab.agent_configured("pi-1", "pi-1", turned, &[])?;
    lab.condition_is("pi-1", "Overrun", "True").await?;
    let ask = || async { lab.node("pi-1").await };
    let is_gone = |node: &_| nodling_e2e::lab::condition(node, "Loaded").is_none();
    wait::until("Loaded is gone", LIMIT, ask, is_gone).await?;
    Ok(())
}

fn words(condition: &Value) -> String {
    ["type", "status", "reason", "message"]
        .map(|key| condition[key].as_str().unwrap_or_default())
        .join("/")
}

//! Who may use a name: two agents that claim one, and a card that was copied.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use nodling_e2e::board::Board;
use nodling_e2e::lab::{LIMIT, Lab, condition};
use nodling_e2e::mqtt::Mqtt;
use nodling_e2e::wait;

#[tokio::test(flavor = "multi_thread")]
async fn the_second_agent_of_a_name_is_refused_until_the_first_is_silent() -> Result<()> {
    let lab = Lab::start().await?;
    let mut first = lab.agent_with("pi-1", "first", &[])?;
    let node = lab.ready_is("pi-1", "True").await?;
    let owner = owner(&node);
    let _second = lab.agent_with("pi-1", "second", &[])?;
    lab.event("pi-1", "DuplicateNode").await?;
    let ask = || async { lab.node("pi-1").await };
    let is_firsts = |node: &Node| {
        self::owner(node) == owner && condition(node, "Ready").unwrap().status == "True"
    };
    wait::throughout("the first's", Duration::from_secs(4), ask, is_firsts).await?;
    first.process.kill().await?;
    let is_seconds = |node: &Node| {
        self::owner(node) != owner && condition(node, "Ready").unwrap().status == "True"
    };
    wait::until("the second takes over", LIMIT, ask, is_seconds).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_card_is_said() -> Result<()> {
    let lab = Lab::start().await?;
    let _first = lab.agent_with("pi-1", "card", &[])?;
    lab.ready_is("pi-1", "True").await?;
    // The copy: the same instance under another name, as with names made from addresses.
    let _copy = lab.agent_with("pi-2", "card", &["--interval", "1s"])?;
    let on_either = || async {
        let mut events = lab.events("pi-1").await?;
        events.extend(lab.events("pi-2").await?);
        Ok(events
            .iter()
            .any(|event| event.reason.as_deref() == Some("ClonedCard")))
    };
    wait::until("ClonedCard", LIMIT, on_either, |is_said| *is_said).await?;
    lab.ready_is("pi-1", "True").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_comes_back_is_a_copied_card() -> Result<()> {
    let lab = Lab::start().await?;
    let air = Mqtt::connect(lab.broker.port(), "air", &[]).await?;
    let mut original = Board::new("pi-1", 0xCA4D, 1);
    let mut copy = Board::new("pi-1", 0xCA4D, 2);
    for board in [&mut original, &mut copy] {
        air.publish(&board.topic(), board.facts(&[])?).await?;
        air.publish(&board.topic(), board.beat()?).await?;
    }
    lab.ready_is("pi-1", "True").await?;
    air.publish(&original.topic(), original.facts(&[])?).await?;
    let event = lab.event("pi-1", "ClonedCard").await?;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_may_not_label_itself_a_control_plane() -> Result<()> {
    let lab = Lab::start().await?;
    let air = Mqtt::connect(lab.broker.port(), "air", &[]).await?;
    let mut board = Board::new("pi-1", 1, 1);
    let labels = [
        ("room", "attic"),
        ("node-role.kubernetes.io/control-plane", ""),
        ("a.k8s.io/b", "c"),
    ];
    air.publish(&board.topic(), board.facts(&labels)?).await?;
    air.publish(&board.topic(), board.beat()?).await?;
    let node = lab.ready_is("pi-1", "True").await?;
    let labels = node.metadata.labels.unwrap();
    assert_eq!(labels["room"], "attic");
    assert!(
        !labels
            .keys()
            .any(|key| key.contains("control-plane") || key == "a.k8s.io/b")
    );
    let ask = || async { lab.events("pi-1").await };
    let is_named = |events: &Vec<k8s_openapi::api::core::v1::Event>| {
        let messages = events.iter().filter_map(|event| event.message.as_deref());
        messages
            .into_iter()
            .any(|it| it.contains("node-role.kubernetes.io/control-plane"))
    };
    wait::until("the refused key is named", LIMIT, ask, is_named).await?;
    Ok(())
}

fn owner(node: &Node) -> Option<String> {
    node.metadata
        .annotations
        .as_ref()?
        .get("nodling.dev/owner")
        .cloned()
}

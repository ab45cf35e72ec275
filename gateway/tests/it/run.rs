//! The whole gateway in process, with boards played by hand.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use nodling_gateway::config::Config;
use nodling_gateway::time::Clocks;
use nodling_protocol::{Bye, Down, Frame, Kind};
use serde_json::json;

use crate::board::Board;
use crate::eventually;
use crate::gateway::{Gateway, condition, config};
use crate::peer::Peer;

#[tokio::test(flavor = "multi_thread")]
async fn a_board_becomes_a_ready_node_with_a_lease() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(config(dir.path())).await;
    let mut board = Board::connect(gateway.broker, "attic", 0xA1).await;
    board.facts().await;
    board.beat().await;
    let node = gateway.ready("attic", "True").await;
    assert_eq!(condition(&node, "Ready").unwrap().1, "KubeletReady");
    let status = node.status.unwrap();
    assert_eq!(status.addresses.unwrap()[0].address, "192.168.1.7");
    assert_eq!(status.node_info.unwrap().kubelet_version, "v0.1.0+nodling");
    let leases: Api<Lease> = Api::namespaced(gateway.client.clone(), "kube-node-lease");
    let lease = eventually(
        "lease",
        || leases.get_opt("attic"),
        |lease| matches!(lease, Ok(Some(_))),
    )
    .await;
    let spec = lease.unwrap().unwrap().spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("attic"));
    assert!(spec.renew_time.is_some());
    assert_eq!(gateway.page("/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(gateway.page("/healthz").await, (200, "ok\n".to_owned()));
    gateway
        .metric_at_least("nodling_nodes{state=\"alive\"}", 1)
        .await;
    assert!(gateway.metric("nodling_heartbeats_received_total").await >= 1);
    let took = gateway.stop().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_counted_by_reason_and_disturbs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(config(dir.path())).await;
    let mut board = Board::connect(gateway.broker, "attic", 0xA1).await;
    let vandal = Peer::connect(gateway.broker, "vandal", &[]).await;
    let up = "nodling/home/up/attic";
    vandal.publish(up, &[], false).await;
    vandal.publish(up, &[0xF0, 1, 1], false).await;
    vandal.publish(up, &[0x1F, 1, 0, 1, 1, 0xFF], false).await;
    vandal.publish(up, &[0x1F; 9000], false).await;
    vandal
        .publish("nodling/home/up/No Node", &[0x1F, 1], false)
        .await;
    vandal
        .publish("nodling/home/will/attic", &[0x1F, 1, 0, 1, 1], false)
        .await;
    for reason in ["empty", "version", "too_long", "node_name", "class"] {
        let sample = format!("nodling_heartbeats_rejected_total{{reason=\"{reason}\"}}");
        gateway.metric_at_least(&sample, 1).await;
    }
    board.facts().await;
    board.beat().await;
    gateway.ready("attic", "True").await;
    // Another board's Facts, on this board's topic.
    let mut liar = Board::connect(gateway.broker, "cellar", 0xB2).await;
    let frame = liar.facts_frame();
    vandal.publish(up, &frame, false).await;
    let sample = "nodling_heartbeats_rejected_total{reason=\"node_mismatch\"}";
    gateway.metric_at_least(sample, 1).await;
    assert_eq!(
        gateway
            .nodes()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_board_becomes_unknown_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let grace = Duration::from_secs(1);
    let gateway = Gateway::start(Config {
        grace,
        monitor_period: Duration::from_millis(50),
        ..config(dir.path())
    })
    .await;
    let mut board = Board::connect(gateway.broker, "attic", 0xA1).await;
    board.facts().await;
    board.beat().await;
    gateway.ready("attic", "True").await;
    let node = gateway.ready("attic", "Unknown").await;
    assert_eq!(condition(&node, "Ready").unwrap().1, "NodeStatusUnknown");
    let nodes = gateway.nodes();
    let beat = async || {
        board.beat().await;
        nodes
            .get("attic")
            .await
            .ok()
            .and_then(|node| condition(&node, "Ready"))
    };
    let is_ready = |ready: &Option<(String, String)>| {
        ready.as_ref().is_some_and(|(status, _)| status == "True")
    };
    eventually("return", beat, is_ready).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_shuts_down_says_so_and_a_broken_line_is_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(Config {
        fail_fast: true,
        ..config(dir.path())
    })
    .await;
    for name in ["attic", "cellar"] {
        let mut board = Board::connect(gateway.broker, name, name.len() as u64).await;
        board.facts().await;
        board.beat().await;
        gateway.ready(name, "True").await;
        if name == "attic" {
            board.bye(Bye::Shutdown).await;
        } else {
            board.break_off().await;
        }
        let node = gateway.ready(name, "False").await;
        let conditions = node.status.unwrap().conditions.unwrap();
        let ready = conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        let is_shutdown = ready.unwrap().message.as_deref() == Some("node is shutting down");
        assert_eq!(is_shutdown, name == "attic", "{ready:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_gateway_asks_for_facts_and_keeps_what_people_did() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(config(dir.path())).await;
    let mut board = Board::connect(gateway.broker, "attic", 0xA1).await;
    board.facts().await;
    board.beat().await;
    let before = gateway.ready("attic", "True").await;
    let cordon = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    gateway
        .nodes()
        .patch("attic", &PatchParams::default(), &cordon)
        .await
        .unwrap();
    gateway.kill().await;

    let gateway = Gateway::start(config(dir.path())).await;
    board.reconnect(gateway.broker).await;
    board.beat().await;
    let down = board.down().await;
    let frame = Frame::parse(&down).unwrap();
    let clear = frame.clear().unwrap();
    assert_eq!(clear.kind, Kind::Down);
    assert_eq!(Down::decode(clear.message), Ok(Down::SendFacts));
    board.facts().await;
    board.beat().await;
    gateway
        .metric_at_least("nodling_heartbeats_received_total", 1)
        .await;
    let after = gateway.ready("attic", "True").await;
    assert_eq!(before.metadata.uid, after.metadata.uid);
    assert_eq!(after.spec.unwrap().unschedulable, Some(true));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_1970_creates_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Clocks::played(Timestamp::UNIX_EPOCH);
    let gateway = Gateway::start_at(config(dir.path()), clocks).await;
    let mut board = Board::connect(gateway.broker, "attic", 0xA1).await;
    board.facts().await;
    board.beat().await;
    gateway
        .metric_at_least("nodling_heartbeats_received_total", 1)
        .await;
    let page = eventually(
        "clock trouble",
        || gateway.page("/readyz"),
        |(code, text)| *code == 503 && text.starts_with("clock: ") && text.lines().count() == 1,
    )
    .await;
    assert!(page.1.contains("before this program was built"), "{page:?}");
    assert!(gateway.nodes().get_opt("attic").await.unwrap().is_none());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_named_by_readyz() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(Config {
        embedded_broker: None,
        broker: Some("mqtt://127.0.0.1:9".parse().unwrap()),
        ..config(dir.path())
    })
    .await;
    let (_, text) = eventually(
        "broker trouble",
        || gateway.page("/readyz"),
        |(code, text)| *code == 503 && text.contains("refused"),
    )
    .await;
    assert!(
        text.starts_with("broker: ") && text.lines().count() == 1,
        "{text}"
    );
    gateway.stop().await;
}

//! What the core does, sentence by sentence, against a Kubernetes in memory and in virtual time.

use std::sync::OnceLock;

use nodling_protocol::condition::ConditionKind as Kind;
use nodling_protocol::units::Throttle;
use nodling_protocol::{Bye, Status, Statuses, Will};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fake::{Kubernetes, World, secs};
use super::fake_board::Board;
use super::{Action, Failure, Lifecycle, Settings};
use crate::clock::Moment;
use crate::roster::{Folded, Ignored};
use crate::seen::SeenChange;

fn embedded() -> World {
    World::new(Settings::default())
}

fn cluster() -> World {
    World::new(in_cluster())
}

fn in_cluster() -> Settings {
    Settings {
        lifecycle: Lifecycle::Cluster,
        ..Settings::default()
    }
}

fn attic() -> Board {
    Board::new("attic", 0xA1)
}

fn is_renewal(action: &Action) -> bool {
    matches!(
        action,
        Action::RenewLease { .. } | Action::CreateLease { .. }
    )
}

fn is_write(action: &Action) -> bool {
    action.write().is_some()
}

#[test]
fn a_new_board_becomes_a_ready_node_with_a_lease() {
    let (mut world, mut board) = (embedded(), attic());
    world.facts(&mut board);
    assert_eq!(
        world.kubernetes.nodes["attic"]["status"]["phase"],
        "Pending"
    );
    world.beat(&mut board);
    let node = &world.kubernetes.nodes["attic"];
    assert_eq!(node["status"]["phase"], "Running");
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    assert_eq!(
        node["status"]["nodeInfo"]["kubeletVersion"],
        "v0.1.0+nodling"
    );
    assert_eq!(
        node["status"]["capacity"],
        json!({ "cpu": "4", "memory": "3884340Ki", "pods": "0" })
    );
    assert_eq!(node["status"]["addresses"].as_array().unwrap().len(), 3);
    assert_eq!(node["spec"]["providerID"], "nodling://home/attic");
    assert_eq!(
        world.kubernetes.taints("attic"),
        ["nodling.dev/agent-only:NoSchedule"]
    );
    let labels = &node["metadata"]["labels"];
    assert_eq!(labels["kubernetes.io/hostname"], "attic");
    assert_eq!(labels["kubernetes.io/arch"], "arm64");
    assert_eq!(labels["nodling.dev/agent-only"], "true");
    assert_eq!(labels["zone"], "attic");
    let owner = &node["metadata"]["annotations"]["nodling.dev/owner"];
    assert_eq!(owner, "home/00000000000000a1");
    let lease = &world.kubernetes.leases["attic"];
    assert_eq!(lease["spec"]["holderIdentity"], "attic");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(
        lease["metadata"]["ownerReferences"][0]["uid"],
        node["metadata"]["uid"]
    );
    for reason in ["Starting", "RegisteredNode", "NodeHasSufficientMemory"] {
        assert_eq!(world.kubernetes.told(reason).len(), 1, "{reason}");
    }
}

#[test]
fn ready_is_the_last_of_kubelets_conditions() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let conditions = world.kubernetes.nodes["attic"]["status"]["conditions"]
        .as_array()
        .unwrap();
    let last = conditions.last().unwrap();
    assert_eq!(last["type"], "Ready");
}

#[test]
fn a_quiet_hour_writes_leases_and_a_status_every_five_minutes() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.actions.clear();
    world.live(&mut board, secs(3600));
    assert_eq!(world.count(is_renewal), 360);
    let statuses = world.count(|action| matches!(action, Action::PatchStatus { .. }));
    assert!((8..=24).contains(&statuses), "{statuses}");
    assert_eq!(world.count(is_write), 360 + statuses);
}

#[test]
fn an_unchanged_status_is_written_as_often_as_the_settings_say() {
    let settings = Settings {
        status_interval: secs(1800),
        ..Settings::default()
    };
    let (mut world, mut board) = (World::new(settings), attic());
    world.join(&mut board);
    world.actions.clear();
    world.live(&mut board, secs(3600));
    let statuses = world.count(|action| matches!(action, Action::PatchStatus { .. }));
    assert!((1..=4).contains(&statuses), "{statuses}");
}

#[test]
fn fast_beats_renew_no_more_often_than_every_eight_seconds() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.actions.clear();
    for _ in 0..80 {
        world.pass(secs(1));
        world.beat(&mut board);
    }
    assert_eq!(world.count(is_renewal), 10);
}

#[test]
fn a_silent_node_is_unknown_within_a_second_after_the_grace() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.live(&mut board, secs(60));
    world.pass(secs(40));
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    world.pass(secs(1));
    assert_eq!(world.kubernetes.ready("attic"), "Unknown/NodeStatusUnknown");
    assert_eq!(
        world.kubernetes.condition("attic", "MemoryPressure")["message"],
        "Kubelet stopped posting node status."
    );
    assert_eq!(
        world.kubernetes.condition("attic", "UnderVoltage")["reason"],
        "NodeSilent"
    );
    let taints = world.kubernetes.taints("attic");
    assert!(taints.contains(&"node.kubernetes.io/unreachable:NoSchedule".to_owned()));
    // The only node of the fleet: the fault may be ours.
    assert!(!taints.contains(&"node.kubernetes.io/unreachable:NoExecute".to_owned()));
    assert_eq!(
        world.kubernetes.told("NodeNotReady"),
        [("Node attic status is now: NodeNotReady".to_owned(), 1)]
    );
}

#[test]
fn a_node_that_is_back_is_ready_and_untainted_at_once() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.pass(secs(60));
    world.beat(&mut board);
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    assert_eq!(
        world.kubernetes.taints("attic"),
        ["nodling.dev/agent-only:NoSchedule"]
    );
    assert_eq!(
        world.kubernetes.condition("attic", "UnderVoltage")["status"],
        "False"
    );
    assert_eq!(world.kubernetes.told("NodeReady").len(), 1);
}

#[test]
fn the_beat_that_ends_a_short_silence_counts_before_the_lease_is_due() {
    let settings = Settings {
        grace: secs(4),
        ..Settings::default()
    };
    let (mut world, mut board) = (World::new(settings), attic());
    world.join(&mut board);
    world.pass(secs(5));
    assert_eq!(world.kubernetes.ready("attic"), "Unknown/NodeStatusUnknown");
    world.beat(&mut board);
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
}

#[test]
fn one_silent_node_of_two_is_evicted_and_both_silent_are_not() {
    let (mut world, mut board, mut other) = (embedded(), attic(), Board::new("cellar", 0xC1));
    world.join(&mut board);
    world.join(&mut other);
    // Held for one grace after the fleet came up from nothing.
    world.live(&mut other, secs(120));
    let evicted = "node.kubernetes.io/unreachable:NoExecute".to_owned();
    assert!(world.kubernetes.taints("attic").contains(&evicted));
    world.pass(secs(60));
    assert_eq!(
        world.kubernetes.ready("cellar"),
        "Unknown/NodeStatusUnknown"
    );
    assert!(!world.kubernetes.taints("attic").contains(&evicted));
    assert!(!world.kubernetes.taints("cellar").contains(&evicted));
}

#[test]
fn nothing_is_judged_while_the_broker_is_away() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.core.broker_down(world.time());
    world.pass(secs(600));
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    let actions = world.core.broker_up(world.time());
    world.run(actions);
    world.pass(secs(39));
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    world.pass(secs(2));
    assert_eq!(world.kubernetes.ready("attic"), "Unknown/NodeStatusUnknown");
}

#[test]
fn a_restarted_gateway_gives_a_fresh_grace_and_changes_nothing() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let kubernetes = core::mem::take(&mut world.kubernetes);
    let mut world = World::blank(Settings::default(), kubernetes);
    world.start();
    assert_eq!(world.count(is_write), 0);
    world.pass(secs(39));
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    world.pass(secs(2));
    assert_eq!(world.kubernetes.ready("attic"), "Unknown/NodeStatusUnknown");
}

#[test]
fn a_hand_made_node_that_never_reports_is_judged_after_the_startup_grace() {
    let mut world = embedded();
    let node = json!({ "metadata": { "name": "paper", "uid": "u", "resourceVersion": "1" } });
    world.kubernetes.nodes.insert("paper".to_owned(), node);
    world.see_node("paper");
    world.pass(secs(59));
    assert_eq!(world.kubernetes.ready("paper"), "");
    world.pass(secs(2));
    assert_eq!(
        world.kubernetes.ready("paper"),
        "Unknown/NodeStatusNeverUpdated"
    );
    assert_eq!(
        world.kubernetes.condition("paper", "Ready")["message"],
        "Kubelet never posted node status."
    );
}

#[test]
fn in_a_cluster_only_board_conditions_become_unknown() {
    let (mut world, mut board) = (cluster(), attic());
    world.join(&mut board);
    world.pass(secs(41));
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    assert_eq!(
        world.kubernetes.condition("attic", "MemoryPressure")["status"],
        "False"
    );
    let voltage = world.kubernetes.condition("attic", "UnderVoltage");
    assert_eq!(
        (&voltage["status"], &voltage["reason"]),
        (&json!("Unknown"), &json!("NodeSilent"))
    );
    assert!(world.kubernetes.told("RegisteredNode").is_empty());
}

#[test]
fn hoarded_beats_of_a_dead_board_renew_no_lease() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.live(&mut board, secs(60));
    let hoard: Vec<_> = (1..=30_u64)
        .map(|beat| board.beat(Moment(world.now.as_ms() + beat * 10_000)))
        .collect();
    world.pass(secs(300));
    world.actions.clear();
    for frame in hoard {
        assert!(matches!(
            world.take("attic", &frame),
            Folded::Accepted {
                is_fresh: false,
                ..
            }
        ));
        world.pass(secs(10));
    }
    assert_eq!(world.count(is_renewal), 0);
    assert_eq!(world.kubernetes.ready("attic"), "Unknown/NodeStatusUnknown");
}

#[test]
fn hoarded_beats_of_a_new_session_of_a_known_boot_are_old() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    board.reopen();
    let start = world.now.as_ms();
    let mut hoard = vec![board.facts(Moment(start + 60_000))];
    hoard.extend((7..=30_u64).map(|beat| board.beat(Moment(start + beat * 10_000))));
    world.pass(secs(600));
    world.actions.clear();
    for frame in hoard {
        world.take("attic", &frame);
        world.pass(secs(10));
    }
    assert_eq!(world.count(is_renewal), 0);
    assert_eq!(world.kubernetes.ready("attic"), "Unknown/NodeStatusUnknown");
}

#[test]
fn a_repeated_beat_is_no_renewal() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let frame = board.beat(world.now);
    world.take("attic", &frame);
    world.pass(secs(9));
    world.actions.clear();
    let folded = world.take("attic", &frame);
    assert_eq!(folded, Folded::Ignored(Ignored::StaleSequence));
    assert_eq!(world.count(is_write), 0);
}

#[test]
fn an_unknown_session_is_asked_for_facts_every_ten_seconds_at_most() {
    let (mut world, mut board) = (embedded(), attic());
    for _ in 0..25 {
        let folded = world.beat(&mut board);
        assert_eq!(folded, Folded::Ignored(Ignored::UnknownSession));
        world.pass(secs(1));
    }
    assert_eq!(
        world.count(|action| matches!(action, Action::Down { .. })),
        3
    );
    assert!(world.kubernetes.nodes.is_empty());
}

#[test]
fn a_second_instance_is_refused_until_the_first_is_silent() {
    let (mut world, mut board, mut other) = (embedded(), attic(), attic());
    other.instance.0 = 0xB2;
    world.join(&mut board);
    for _ in 0..6 {
        assert_eq!(
            world.facts(&mut other),
            Folded::Ignored(Ignored::DuplicateNode)
        );
        world.pass(secs(10));
        world.beat(&mut board);
    }
    let told = world.kubernetes.told("DuplicateNode");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1, 6);
    assert!(told[0].0.contains("00000000000000a1") && told[0].0.contains("00000000000000b2"));
    world.pass(secs(41));
    world.join(&mut other);
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    let owner = &world.kubernetes.nodes["attic"]["metadata"]["annotations"]["nodling.dev/owner"];
    assert_eq!(owner, "home/00000000000000b2");
}

#[test]
fn after_a_restart_the_annotation_says_who_was_first() {
    let (mut world, mut board, mut other) = (embedded(), attic(), attic());
    other.instance.0 = 0xB2;
    world.join(&mut board);
    let kubernetes = core::mem::take(&mut world.kubernetes);
    let mut world = World::blank(Settings::default(), kubernetes);
    // The usurper is heard before anything was seen.
    world.facts(&mut other);
    world.start();
    assert_eq!(
        world.facts(&mut other),
        Folded::Ignored(Ignored::DuplicateNode)
    );
    board.reopen();
    world.join(&mut board);
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    assert_eq!(
        world.facts(&mut other),
        Folded::Ignored(Ignored::DuplicateNode)
    );
}

#[test]
fn a_boot_that_was_replaced_and_runs_on_is_a_cloned_card() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let mut clone = board.clone();
    clone.boot = 2;
    clone.session = 40;
    world.pass(secs(10));
    world.join(&mut clone);
    world.pass(secs(10));
    board.reopen();
    assert_eq!(
        world.facts(&mut board),
        Folded::Ignored(Ignored::ClonedCard)
    );
    assert_eq!(world.kubernetes.told("ClonedCard").len(), 1);
    // The holder stays until it is silent.
    world.pass(secs(41));
    board.reopen();
    world.join(&mut board);
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
}

#[test]
fn one_instance_under_two_names_is_a_cloned_card() {
    let (mut world, mut board, mut other) = (embedded(), attic(), Board::new("cellar", 0xA1));
    world.join(&mut board);
    assert_eq!(
        world.facts(&mut other),
        Folded::Ignored(Ignored::ClonedCard)
    );
    assert!(!world.kubernetes.nodes.contains_key("cellar"));
    world.bye(&mut board, Bye::Restart);
    world.join(&mut other);
    assert_eq!(world.kubernetes.ready("cellar"), "True/KubeletReady");
}

#[test]
fn a_reboot_is_told_and_takes_over_at_once() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    board.boot = 2;
    board.booted_ms = world.now.as_ms();
    board.reopen();
    world.pass(secs(20));
    world.join(&mut board);
    let told = world.kubernetes.told("Rebooted");
    assert_eq!(told.len(), 1);
    assert!(
        told[0]
            .0
            .starts_with("Node attic has been rebooted, boot id: 02020202-")
    );
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
}

#[test]
fn a_late_facts_of_an_earlier_session_changes_nothing() {
    let (mut world, mut board) = (embedded(), attic());
    let first = board.facts(world.now);
    world.take("attic", &first);
    world.pass(secs(10));
    board.reopen();
    world.join(&mut board);
    let folded = world.take("attic", &first);
    assert_eq!(folded, Folded::Ignored(Ignored::StaleSequence));
    assert!(matches!(
        world.beat(&mut board),
        Folded::Accepted { is_fresh: true, .. }
    ));
}

#[test]
fn an_agent_that_counts_from_zero_again_is_a_new_session() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.live(&mut board, secs(100));
    // The same session number, another will.
    let mut again = board.clone();
    again.sequence = 0;
    again.boot = board.boot;
    again.reopen();
    again.session = 0;
    world.pass(secs(5));
    let frame = {
        let mut other = again.clone();
        other.session = 7;
        other.facts(world.now)
    };
    let mut frame = frame;
    frame[1] = 0;
    assert!(matches!(
        world.take("attic", &frame),
        Folded::Accepted { .. }
    ));
    again.sequence = 1;
    assert!(matches!(
        world.beat(&mut again),
        Folded::Accepted { is_fresh: true, .. }
    ));
}

#[test]
fn goodbyes_mean_what_they_say() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.bye(&mut board, Bye::Restart);
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    board.reopen();
    world.join(&mut board);
    world.bye(&mut board, Bye::Shutdown);
    let ready = world.kubernetes.condition("attic", "Ready");
    assert_eq!(world.kubernetes.ready("attic"), "False/KubeletNotReady");
    assert_eq!(ready["message"], "node is shutting down");
    assert!(
        world
            .kubernetes
            .taints("attic")
            .contains(&"node.kubernetes.io/not-ready:NoSchedule".to_owned())
    );
    board.reopen();
    world.join(&mut board);
    world.bye(&mut board, Bye::Leave);
    assert_eq!(
        world.kubernetes.nodes["attic"]["status"]["phase"],
        "Terminated"
    );
    world.delete("attic");
    world.pass(secs(100));
    assert!(world.kubernetes.nodes.is_empty());
}

#[test]
fn a_will_is_a_hint_unless_the_user_wants_it_to_count() {
    for (fail_fast, ready) in [
        (false, "True/KubeletReady"),
        (true, "False/KubeletNotReady"),
    ] {
        let settings = Settings {
            fail_fast,
            ..Settings::default()
        };
        let (mut world, mut board) = (World::new(settings), attic());
        world.join(&mut board);
        let forged = world.will(&board, Will([99; 16]));
        assert_eq!(forged, Folded::Ignored(Ignored::WillMismatch));
        assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
        world.will(&board, board.will());
        assert_eq!(world.kubernetes.ready("attic"), ready);
        world.beat(&mut board);
        assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    }
}

#[test]
fn what_others_wrote_survives_and_what_is_ours_is_put_right() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let foreign = json!({ "type": "KernelDeadlock", "status": "False", "reason": "KernelHasNoDeadlock", "message": "kernel has no deadlock" });
    let network = json!({ "type": "NetworkUnavailable", "status": "False", "reason": "FlannelIsUp", "message": "Flannel is running on this node" });
    world.edit("attic", |node| {
        node["metadata"]["labels"]["team"] = json!("garden");
        node["metadata"]["annotations"]["note"] = json!("mine");
        node["spec"]["unschedulable"] = json!(true);
        node["spec"]["taints"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "key": "mine", "effect": "NoSchedule" }));
        node["status"]["capacity"]["example.com/dongle"] = json!("1");
        let conditions = node["status"]["conditions"].as_array_mut().unwrap();
        conditions.push(foreign.clone());
        conditions.push(network.clone());
        // Ours, spoilt.
        conditions[0]["reason"] = json!("Nonsense");
        node["metadata"]["labels"]["kubernetes.io/arch"] = json!("z80");
        node["status"]["addresses"] = json!([]);
    });
    board.conditions = board
        .conditions
        .with(Kind::NetworkUnavailable, Status::True);
    world.live(&mut board, secs(600));
    let node = &world.kubernetes.nodes["attic"];
    assert_eq!(node["metadata"]["labels"]["team"], "garden");
    assert_eq!(node["metadata"]["annotations"]["note"], "mine");
    assert_eq!(node["spec"]["unschedulable"], true);
    assert!(
        world
            .kubernetes
            .taints("attic")
            .contains(&"mine:NoSchedule".to_owned())
    );
    assert!(
        world
            .kubernetes
            .taints("attic")
            .contains(&"node.kubernetes.io/unschedulable:NoSchedule".to_owned())
    );
    assert_eq!(node["status"]["capacity"]["example.com/dongle"], "1");
    assert_eq!(node["status"]["allocatable"]["example.com/dongle"], "1");
    assert_eq!(
        world.kubernetes.condition("attic", "KernelDeadlock"),
        foreign
    );
    assert_eq!(
        world.kubernetes.condition("attic", "NetworkUnavailable"),
        network
    );
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/arch"], "arm64");
    assert_eq!(node["status"]["addresses"].as_array().unwrap().len(), 3);
    assert!(
        node["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c["reason"] != "Nonsense")
    );
    assert_eq!(world.kubernetes.told("NodeNotSchedulable").len(), 1);
    assert_eq!(
        world.count(|action| matches!(action, Action::Down { .. })),
        1
    );
}

#[test]
fn a_board_whose_owner_asks_for_pods_shows_them_and_stays_tainted() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let pods = |world: &World| {
        let status = &world.kubernetes.nodes["attic"]["status"];
        [&status["capacity"]["pods"], &status["allocatable"]["pods"]].map(Clone::clone)
    };
    assert_eq!(pods(&world), ["0", "0"]);
    board.pods = Some(110);
    board.reopen();
    world.join(&mut board);
    world.live(&mut board, secs(20));
    assert_eq!(pods(&world), ["110", "110"]);
    assert_eq!(
        world.kubernetes.taints("attic"),
        ["nodling.dev/agent-only:NoSchedule"]
    );
    board.pods = None;
    board.reopen();
    world.join(&mut board);
    world.live(&mut board, secs(20));
    assert_eq!(pods(&world), ["0", "0"]);
}

#[test]
fn an_extended_resource_is_allocatable_while_it_is_capacity() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.live(&mut board, secs(60));
    let allocatable =
        |world: &World| world.kubernetes.nodes["attic"]["status"]["allocatable"].clone();
    let before = allocatable(&world);
    world.edit("attic", |node| {
        node["status"]["capacity"]["example.com/dongle"] = json!("2");
        // Not an extended one: whoever writes it looks after it.
        node["status"]["allocatable"]["attachable-volumes-x"] = json!("9");
    });
    world.live(&mut board, secs(20));
    let mut expected = before.clone();
    expected["example.com/dongle"] = json!("2");
    expected["attachable-volumes-x"] = json!("9");
    assert_eq!(allocatable(&world), expected);
    world.edit("attic", |node| {
        node["status"]["capacity"]
            .as_object_mut()
            .unwrap()
            .remove("example.com/dongle");
    });
    world.live(&mut board, secs(20));
    expected
        .as_object_mut()
        .unwrap()
        .remove("example.com/dongle");
    assert_eq!(allocatable(&world), expected);
    let writes = |world: &World| world.count(|action| matches!(action, Action::PatchStatus { .. }));
    let settled = writes(&world);
    world.live(&mut board, secs(60));
    assert_eq!(writes(&world), settled);
}

#[test]
fn labels_are_filtered_recorded_and_removed_when_dropped() {
    let (mut world, mut board) = (embedded(), attic());
    board.labels = vec![
        ("zone", "attic"),
        ("node-role.kubernetes.io/control-plane", ""),
        ("kubernetes.io/os", "plan9"),
        ("node.kubernetes.io/instance-type", "pi"),
    ];
    world.join(&mut board);
    let labels = |world: &World| world.kubernetes.nodes["attic"]["metadata"]["labels"].clone();
    assert_eq!(
        labels(&world)["node-role.kubernetes.io/control-plane"],
        Value::Null
    );
    assert_eq!(labels(&world)["kubernetes.io/os"], "linux");
    assert_eq!(labels(&world)["node.kubernetes.io/instance-type"], "pi");
    let told = world.kubernetes.told("LabelsRefused");
    assert!(
        told[0]
            .0
            .ends_with("kubernetes.io/os, node-role.kubernetes.io/control-plane")
    );
    world.edit("attic", |node| {
        node["metadata"]["labels"]["floor"] = json!("3");
    });
    board.labels = vec![("floor", "2")];
    board.generation = 1;
    world.facts(&mut board);
    assert_eq!(labels(&world)["zone"], Value::Null);
    // Somebody else set it first.
    assert_eq!(labels(&world)["floor"], "3");
}

#[test]
fn a_deleted_node_whose_agent_beats_is_registered_again_and_says_so() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.delete("attic");
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    let told = world.kubernetes.told("Recreated");
    assert!(told[0].0.contains("nodling-gateway nodes forget attic"));
    world.live(&mut board, secs(20));
    let uid = &world.kubernetes.nodes["attic"]["metadata"]["uid"];
    assert_eq!(
        world.kubernetes.leases["attic"]["metadata"]["ownerReferences"][0]["uid"],
        *uid
    );
    // A dead one stays deleted, and so does its Lease.
    world.pass(secs(60));
    world.delete("attic");
    world.pass(secs(60));
    assert!(world.kubernetes.nodes.is_empty());
    assert!(world.kubernetes.leases.is_empty());
}

#[test]
fn a_deletion_that_is_older_than_the_new_node_is_old_news() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let mut old = world.kubernetes.nodes.remove("attic").unwrap();
    world.kubernetes.stamp(&mut old);
    // The next write finds nothing, and a new Node is made before the watch tells of the old.
    board.conditions = board.conditions.with(Kind::DiskPressure, Status::True);
    world.beat(&mut board);
    world.live(&mut board, secs(10));
    assert_ne!(
        world.kubernetes.nodes["attic"]["metadata"]["uid"],
        old["metadata"]["uid"]
    );
    world.actions.clear();
    world.see_gone("attic", &old);
    assert_eq!(world.count(is_write), 0, "{:?}", world.actions);
    assert!(world.core.seen_node("attic").is_some());
}

#[test]
fn without_registration_only_nodes_that_are_there_are_patched() {
    let settings = Settings {
        register_node: false,
        ..Settings::default()
    };
    let (mut world, mut board) = (World::new(settings), attic());
    world.join(&mut board);
    assert!(world.kubernetes.nodes.is_empty());
    let node = json!({ "metadata": { "name": "attic", "uid": "u", "resourceVersion": "1" } });
    world.kubernetes.nodes.insert("attic".to_owned(), node);
    world.see_node("attic");
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    world.live(&mut board, secs(10));
    assert!(world.kubernetes.leases.contains_key("attic"));
}

#[test]
fn a_board_that_registers_no_node_keeps_up_one_that_is_there() {
    let (mut world, mut board) = (embedded(), attic());
    board.register_node = false;
    world.join(&mut board);
    world.live(&mut board, secs(60));
    assert!(world.kubernetes.nodes.is_empty() && world.kubernetes.leases.is_empty());
    let waiting = |world: &World| -> Vec<String> {
        let names = world.core.unregistered(world.time().moment);
        names.map(str::to_owned).collect()
    };
    assert_eq!(waiting(&world), ["attic"]);
    let node = json!({ "metadata": { "name": "attic", "uid": "u", "resourceVersion": "1" } });
    world.kubernetes.nodes.insert("attic".to_owned(), node);
    world.see_node("attic");
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    world.live(&mut board, secs(10));
    assert!(world.kubernetes.leases.contains_key("attic"));
    assert!(waiting(&world).is_empty());
    // Deleted, it is not made again, and who falls silent does not wait.
    world.delete("attic");
    world.live(&mut board, secs(60));
    assert!(world.kubernetes.nodes.is_empty());
    assert_eq!(waiting(&world), ["attic"]);
    world.pass(secs(60));
    assert!(waiting(&world).is_empty());
}

#[test]
fn labels_that_kubelet_lets_its_owner_overwrite_are_overwritten() {
    let (mut world, mut board) = (embedded(), attic());
    board.labels = vec![
        ("kubernetes.io/hostname", "attic.lan"),
        ("beta.kubernetes.io/os", "raspbian"),
        ("beta.kubernetes.io/arch", "armv6"),
        ("kubernetes.io/arch", "armv6"),
        ("nodling.dev/agent-only", "false"),
    ];
    world.join(&mut board);
    let labels = &world.kubernetes.nodes["attic"]["metadata"]["labels"];
    assert_eq!(labels["kubernetes.io/hostname"], "attic.lan");
    assert_eq!(labels["beta.kubernetes.io/os"], "raspbian");
    assert_eq!(labels["beta.kubernetes.io/arch"], "armv6");
    assert_eq!(labels["kubernetes.io/arch"], "arm64");
    assert_eq!(labels["nodling.dev/agent-only"], "true");
    let told = world.kubernetes.told("LabelsRefused");
    let refused = "kubernetes.io/arch, nodling.dev/agent-only";
    assert!(told[0].0.ends_with(refused), "{told:?}");
}

#[test]
fn taints_are_set_at_registration_and_never_again() {
    let (mut world, mut board) = (embedded(), attic());
    board.taints = vec![("example.com/slow", "yes"), ("no key", ""), ("a", "b c")];
    world.join(&mut board);
    let taints = [
        "nodling.dev/agent-only:NoSchedule",
        "example.com/slow:NoSchedule",
    ];
    assert_eq!(world.kubernetes.taints("attic"), taints);
    let told = world.kubernetes.told("TaintsRefused");
    assert!(told[0].0.ends_with("these taints: no key, a"), "{told:?}");
    board.taints = vec![("example.com/late", "")];
    board.generation = 1;
    world.facts(&mut board);
    world.live(&mut board, secs(20));
    assert_eq!(world.kubernetes.taints("attic"), taints);
}

#[test]
fn a_board_without_an_address_leaves_those_that_are_listed() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let addresses = std::mem::take(&mut board.addresses);
    board.generation = 1;
    world.facts(&mut board);
    world.actions.clear();
    world.live(&mut board, secs(3600));
    let listed = |world: &World| world.kubernetes.nodes["attic"]["status"]["addresses"].clone();
    assert_eq!(listed(&world).as_array().unwrap().len(), 3);
    let statuses = world.count(|action| matches!(action, Action::PatchStatus { .. }));
    assert!((1..=24).contains(&statuses), "{statuses}");
    board.addresses = addresses[1..].to_vec();
    board.generation = 2;
    world.facts(&mut board);
    assert_eq!(listed(&world).as_array().unwrap().len(), 2);
}

#[test]
fn a_kubelets_node_gets_only_our_conditions_and_labels() {
    let (mut world, mut board) = (cluster(), attic());
    let node = json!({
        "metadata": { "name": "attic", "uid": "u", "resourceVersion": "1", "labels": { "kubernetes.io/arch": "arm64" } },
        "status": {
            "nodeInfo": { "kubeletVersion": "v1.34.1", "architecture": "arm64", "bootID": "b", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": "" },
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status" }],
        },
    });
    world
        .kubernetes
        .nodes
        .insert("attic".to_owned(), node.clone());
    world.see_node("attic");
    world.join(&mut board);
    world.live(&mut board, secs(60));
    let after = &world.kubernetes.nodes["attic"];
    assert_eq!(
        world.kubernetes.condition("attic", "Ready"),
        node["status"]["conditions"][0]
    );
    assert_eq!(
        world.kubernetes.condition("attic", "UnderVoltage")["status"],
        "False"
    );
    assert_eq!(
        world.kubernetes.condition("attic", "MemoryPressure"),
        Value::Null
    );
    assert_eq!(after["status"]["nodeInfo"], node["status"]["nodeInfo"]);
    assert_eq!(after["status"].get("capacity"), None);
    assert_eq!(after["metadata"]["labels"]["nodling.dev/board"], "rpi-4b");
    assert_eq!(after["metadata"]["labels"]["zone"], Value::Null);
    assert_eq!(after.get("spec"), None);
    assert!(world.kubernetes.leases.is_empty());
}

#[test]
fn a_lease_that_a_kubelet_keeps_renewing_is_left_to_it() {
    let (mut world, mut board) = (cluster(), attic());
    world.join(&mut board);
    for seconds in ["01", "11"] {
        world.kubernetes.leases.get_mut("attic").unwrap()["spec"]["renewTime"] =
            json!(format!("2027-01-01T00:00:{seconds}.000000Z"));
        let mut lease = world.kubernetes.leases["attic"].clone();
        world.kubernetes.stamp(&mut lease);
        world.kubernetes.leases.insert("attic".to_owned(), lease);
        world.see(SeenChange::Lease(world.kubernetes.lease("attic")));
    }
    world.actions.clear();
    world.live(&mut board, secs(50));
    assert_eq!(world.count(is_renewal), 0);
    // The kubelet is gone: renewTime goes on increasing from its last.
    world.live(&mut board, secs(30));
    assert!(world.count(is_renewal) > 0);
}

#[test]
fn what_others_put_on_a_lease_survives_its_renewal() {
    let (mut world, mut board) = (cluster(), attic());
    world.join(&mut board);
    let mut lease = world.kubernetes.leases["attic"].clone();
    lease["metadata"]["labels"] = json!({ "room": "top" });
    lease["metadata"]["annotations"] = json!({ "note": "kept" });
    let owners = lease["metadata"]["ownerReferences"].as_array_mut().unwrap();
    owners.push(json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u" }));
    world.kubernetes.stamp(&mut lease);
    world
        .kubernetes
        .leases
        .insert("attic".to_owned(), lease.clone());
    world.see(SeenChange::Lease(world.kubernetes.lease("attic")));
    world.live(&mut board, secs(30));
    let after = &world.kubernetes.leases["attic"];
    assert_ne!(after["spec"]["renewTime"], lease["spec"]["renewTime"]);
    for field in ["labels", "annotations", "ownerReferences"] {
        assert_eq!(
            after["metadata"][field], lease["metadata"][field],
            "{field}"
        );
    }
}

#[test]
fn a_node_of_another_fleet_is_left_alone_until_it_is_silent() {
    let (mut world, mut board) = (cluster(), attic());
    let node = json!({
        "metadata": {
            "name": "attic",
            "uid": "u",
            "resourceVersion": "1",
            "annotations": { "nodling.dev/owner": "farm/00000000000000b2" },
        },
        "status": { "nodeInfo": { "kubeletVersion": "v0.1.0+nodling" } },
    });
    world
        .kubernetes
        .nodes
        .insert("attic".to_owned(), node.clone());
    world.see_node("attic");
    world.join(&mut board);
    world.live(&mut board, secs(30));
    assert_eq!(world.kubernetes.nodes["attic"], node);
    assert!(world.kubernetes.leases.is_empty());
    let told = world.kubernetes.told("DuplicateNode");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0.contains("fleet \"farm\" holds"), "{told:?}");
    // Nobody keeps it alive: the board's fleet takes it over.
    world.live(&mut board, secs(30));
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
}

#[test]
fn a_condition_that_the_board_cannot_judge_any_more_is_removed() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    board.conditions.set(Kind::UnderVoltage.index(), None);
    world.beat(&mut board);
    assert_eq!(
        world.kubernetes.condition("attic", "UnderVoltage"),
        Value::Null
    );
}

#[test]
fn a_transition_keeps_kubelets_times_and_is_told_once() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let before = world.kubernetes.condition("attic", "MemoryPressure");
    world.live(&mut board, secs(30));
    board.conditions = board.conditions.with(Kind::UnderVoltage, Status::True);
    world.beat(&mut board);
    let voltage = world.kubernetes.condition("attic", "UnderVoltage");
    assert_eq!(voltage["lastTransitionTime"], "2026-03-01T12:00:30Z");
    let memory = world.kubernetes.condition("attic", "MemoryPressure");
    assert_eq!(memory["lastTransitionTime"], before["lastTransitionTime"]);
    assert_eq!(memory["lastHeartbeatTime"], "2026-03-01T12:00:30Z");
    world.live(&mut board, secs(600));
    let told = world.kubernetes.told("UnderVoltage");
    assert_eq!(
        told,
        [("Node attic status is now: UnderVoltage".to_owned(), 1)]
    );
}

#[test]
fn a_supply_that_was_low_is_told_in_the_message_and_is_no_transition() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    let before = world.kubernetes.condition("attic", "UnderVoltage");
    board.vitals.throttle = Some(Throttle(Throttle::UNDER_VOLTAGE << 4));
    world.live(&mut board, secs(30));
    let after = world.kubernetes.condition("attic", "UnderVoltage");
    let message = after["message"].as_str().unwrap();
    assert!(message.ends_with("it was below since boot"), "{message}");
    for same in ["status", "reason", "lastTransitionTime"] {
        assert_eq!(after[same], before[same]);
    }
    assert_eq!(world.kubernetes.told("VoltageNormal"), []);
    // The words are ours still.
    world.pass(secs(41));
    let silent = world.kubernetes.condition("attic", "UnderVoltage");
    assert_eq!(silent["reason"], "NodeSilent");
}

#[test]
fn a_repeated_event_is_counted_and_not_added() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    for round in 1..=10 {
        let status = if round % 2 == 1 {
            Status::True
        } else {
            Status::False
        };
        board.conditions = board.conditions.with(Kind::UnderVoltage, status);
        world.pass(secs(10));
        world.beat(&mut board);
    }
    world.live(&mut board, secs(600));
    let told = world.kubernetes.told("UnderVoltage");
    assert_eq!(
        told,
        [("Node attic status is now: UnderVoltage".to_owned(), 5)]
    );
}

#[test]
fn custom_conditions_are_read_only_under_their_facts() {
    let (mut world, mut board) = (embedded(), attic());
    board.customs = vec![
        ("DoorOpen", "gpio 4 is high"),
        ("Ready", "shadow"),
        ("bad name", "no"),
    ];
    board.custom.set(0, Some(Status::True));
    board.custom.set(1, Some(Status::False));
    world.join(&mut board);
    let door = world.kubernetes.condition("attic", "DoorOpen");
    assert_eq!(
        (&door["reason"], &door["message"]),
        (&json!("DoorOpen"), &json!("gpio 4 is high"))
    );
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
    assert_eq!(world.kubernetes.condition("attic", "bad name"), Value::Null);
    // A beat of a later generation says nothing about them until its Facts come.
    board.generation = 1;
    board.custom = Statuses::default();
    world.beat(&mut board);
    assert_eq!(
        world.kubernetes.condition("attic", "DoorOpen")["status"],
        "True"
    );
    board.customs = vec![];
    world.facts(&mut board);
    assert_eq!(world.kubernetes.condition("attic", "DoorOpen"), Value::Null);
}

#[test]
fn an_earlier_sessions_statuses_are_not_read_under_later_names() {
    let (mut world, mut board) = (embedded(), attic());
    board.customs = vec![("DoorOpen", "door > 0"), ("Hot", "attic > 45")];
    board.custom.set(0, Some(Status::True));
    board.custom.set(1, Some(Status::False));
    world.join(&mut board);
    // Its owner turns the rules round and starts the agent again: bits mean something else now.
    board.reopen();
    board.customs.reverse();
    world.pass(secs(5));
    world.facts(&mut board);
    world.pass(secs(5));
    let status = |world: &World, kind| world.kubernetes.condition("attic", kind)["status"].clone();
    assert_eq!(
        (status(&world, "DoorOpen"), status(&world, "Hot")),
        (json!("True"), json!("False"))
    );
    // The same bits under the new names are news.
    world.beat(&mut board);
    world.pass(secs(1));
    assert_eq!(
        (status(&world, "DoorOpen"), status(&world, "Hot")),
        (json!("False"), json!("True"))
    );
}

#[test]
fn custom_conditions_are_told_when_they_turn() {
    let (mut world, mut board) = (embedded(), attic());
    board.customs = vec![("Hot", "attic.temperature > 45 for 60s")];
    board.custom.set(0, Some(Status::False));
    world.join(&mut board);
    let words = |world: &World| {
        let hot = world.kubernetes.condition("attic", "Hot");
        assert_eq!(hot["message"], "attic.temperature > 45 for 60s");
        format!("{}/{}", hot["status"], hot["reason"]).replace('"', "")
    };
    assert_eq!(words(&world), "False/NoHot");
    assert_eq!(
        world.kubernetes.told("NoHot"),
        [],
        "all was well from the beginning"
    );
    for (status, reason, kind) in [
        (Status::True, "Hot", "Warning"),
        (Status::Unknown, "ReadingFailed", "Warning"),
        (Status::False, "NoHot", "Normal"),
    ] {
        board.custom.set(0, Some(status));
        world.pass(secs(10));
        world.beat(&mut board);
        world.pass(secs(1));
        assert_eq!(words(&world), format!("{status}/{reason}"));
        let message = format!("Node attic status is now: {reason}");
        assert_eq!(world.kubernetes.told(reason), [(message, 1)]);
        let events = world.kubernetes.events.values();
        let kinds: Vec<_> = events
            .filter(|event| event["reason"] == reason)
            .map(|event| event["type"].clone())
            .collect();
        assert_eq!(kinds, [json!(kind)]);
    }
    // One that cannot be judged any more goes.
    board.custom.set(0, None);
    world.pass(secs(10));
    world.beat(&mut board);
    world.pass(secs(1));
    assert_eq!(world.kubernetes.condition("attic", "Hot"), Value::Null);
}

#[test]
fn without_a_believable_clock_nothing_is_written() {
    let mut world = World::blank(Settings::default(), Kubernetes::default());
    world.has_wall = false;
    let mut board = attic();
    world.start();
    world.join(&mut board);
    world.live(&mut board, secs(60));
    assert_eq!(world.count(is_write), 0);
    world.has_wall = true;
    world.pass(secs(1));
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
}

#[test]
fn nothing_is_written_before_nodes_were_listed() {
    let mut world = World::blank(Settings::default(), Kubernetes::default());
    world.join(&mut attic());
    assert_eq!(world.count(is_write), 0);
    world.start();
    assert_eq!(world.kubernetes.ready("attic"), "True/KubeletReady");
}

#[test]
fn an_api_that_is_away_is_retried_with_backoff_and_then_written_once() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.kubernetes.failure = Some(Failure::Unavailable);
    board.conditions = board.conditions.with(Kind::UnderVoltage, Status::True);
    world.actions.clear();
    world.live(&mut board, secs(600));
    let tries = world.count(|action| matches!(action, Action::PatchStatus { .. }));
    assert!((10..=40).contains(&tries), "{tries}");
    world.kubernetes.failure = None;
    world.actions.clear();
    world.live(&mut board, secs(90));
    let writes = world.count(|action| matches!(action, Action::PatchStatus { .. }));
    assert_eq!(writes, 1);
    assert_eq!(
        world.kubernetes.condition("attic", "UnderVoltage")["status"],
        "True"
    );
}

#[test]
fn a_conflict_is_retried_from_the_newest_object() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    // Changed behind the watch's back.
    let mut node = world.kubernetes.nodes["attic"].clone();
    node["metadata"]["labels"]["team"] = json!("garden");
    world.kubernetes.stamp(&mut node);
    world.kubernetes.nodes.insert("attic".to_owned(), node);
    board.conditions = board.conditions.with(Kind::UnderVoltage, Status::True);
    world.beat(&mut board);
    assert_eq!(
        world.kubernetes.condition("attic", "UnderVoltage")["status"],
        "False"
    );
    world.see_node("attic");
    world.pass(secs(1));
    assert_eq!(
        world.kubernetes.condition("attic", "UnderVoltage")["status"],
        "True"
    );
}

#[test]
fn a_server_that_drops_what_we_write_is_not_written_to_without_end() {
    let (mut world, mut board) = (embedded(), attic());
    world.join(&mut board);
    world.actions.clear();
    for _ in 0..60 {
        world.edit("attic", |node| node["status"]["addresses"] = json!([]));
        world.pass(secs(10));
        world.beat(&mut board);
    }
    let writes = world.count(|action| matches!(action, Action::PatchStatus { .. }));
    assert!((4..=16).contains(&writes), "{writes}");
}

#[test]
fn a_full_roster_refuses_and_says_so() {
    let settings = Settings {
        nodes_max: 1,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    world.join(&mut attic());
    let folded = world.facts(&mut Board::new("cellar", 0xC1));
    assert_eq!(folded, Folded::Ignored(Ignored::RosterFull));
}

#[test]
fn a_node_takes_less_than_six_kibibytes() {
    const NODES: usize = 200;
    let mut world = embedded();
    for number in 0..NODES {
        let name: &'static str = format!("node-{number}").leak();
        let mut board = Board::new(name, number as u64 + 1);
        world.join(&mut board);
    }
    let bytes = world.core.memory_bytes() / NODES;
    assert!(bytes < 6 * 1024, "{bytes} bytes a node");
}

proptest! {
    /// Beats and Facts lost, repeated and reordered: once the last of each is through, the Node
    /// is what it would have been without all that, and there is nothing left to do.
    #[test]
    fn loss_repetition_and_disorder_end_in_the_same_node(
        order in prop::collection::vec(0_usize..24, 0..32),
    ) {
        static STRAIGHT: OnceLock<Value> = OnceLock::new();
        let status = |beat: usize| if beat.is_multiple_of(3) { Status::True } else { Status::False };
        let script = |world: &World| {
            let mut board = attic();
            let mut frames = Vec::new();
            for step in 0..24 {
                if step % 8 == 0 {
                    board.generation += u16::from(step > 0);
                    board.labels = vec![("zone", ["attic", "roof", "loft"][step / 8])];
                    frames.push(board.facts(world.now));
                } else {
                    board.conditions = board.conditions.with(Kind::UnderVoltage, status(step));
                    frames.push(board.beat(world.now));
                }
            }
            frames
        };
        let comparable = |world: &World| {
            let mut node = world.kubernetes.nodes["attic"].clone();
            node["metadata"]["resourceVersion"] = Value::Null;
            node["metadata"]["uid"] = Value::Null;
            node
        };
        let straight = STRAIGHT.get_or_init(|| {
            let mut world = embedded();
            for frame in script(&world) {
                world.take("attic", &frame);
            }
            comparable(&world)
        });
        let mut crooked = embedded();
        let frames = script(&crooked);
        for index in order.into_iter().chain([16, 23]) {
            crooked.take("attic", &frames[index]);
        }
        prop_assert_eq!(straight, &comparable(&crooked));
        crooked.actions.clear();
        crooked.see_node("attic");
        crooked.sync();
        prop_assert_eq!(crooked.count(is_write), 0);
    }
}

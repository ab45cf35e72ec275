//! Kubernetes as the tests need it: Nodes, Leases and Events in memory, strategic-merge patches
//! as Nodes have them, conflicts; and a world that runs the core against it in virtual time.

use core::time::Duration;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use nodling_protocol::frame::encode_will;
use nodling_protocol::{Bye, Fleet, Will};
use serde_json::{Value, json};

use super::fake_board::Board;
use super::{Action, Core, Failure, Outcome, Settings, Written};
use crate::clock::{Moment, Now};
use crate::decode::decode;
use crate::roster::Folded;
use crate::seen::{Collection, Gone, SeenChange, SeenLease, SeenNode};

pub(super) const T0_MS: u64 = 10_000_000;

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Objects by name, as JSON.
#[derive(Debug, Default)]
pub(super) struct Kubernetes {
    pub(super) nodes: BTreeMap<String, Value>,
    pub(super) leases: BTreeMap<String, Value>,
    pub(super) events: BTreeMap<String, Value>,
    version: u64,
    /// Every write fails like this.
    pub(super) failure: Option<Failure>,
}

impl Kubernetes {
    pub(super) fn stamp(&mut self, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }

    fn create(&mut self, mut object: Value, wall: Timestamp) -> Value {
        self.stamp(&mut object);
        object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        object["metadata"]["creationTimestamp"] = json!(format!("{wall:.0}"));
        object
    }

    fn apply(&mut self, action: &Action, wall: Timestamp) -> Result<Written, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let name = action.node();
        match action {
            Action::CreateNode { body, .. } => {
                if self.nodes.contains_key(name) {
                    return Err(Failure::AlreadyExists);
                }
                let node = self.create(serde_json::to_value(body).unwrap(), wall);
                self.nodes.insert(name.to_owned(), node);
                Ok(Written::Node(Box::new(self.node(name))))
            }
            Action::PatchNode { patch, .. } | Action::PatchStatus { patch, .. } => {
                let is_status = matches!(action, Action::PatchStatus { .. });
                assert_eq!(is_status, patch.get("status").is_some(), "{patch}");
                let mut node = self.nodes.get(name).cloned().ok_or(Failure::NotFound)?;
                let based_on = &patch["metadata"]["resourceVersion"];
                if !based_on.is_null() && *based_on != node["metadata"]["resourceVersion"] {
                    return Err(Failure::Conflict);
                }
                merge(&mut node, patch, "");
                self.stamp(&mut node);
                self.nodes.insert(name.to_owned(), node);
                Ok(Written::Node(Box::new(self.node(name))))
            }
            Action::CreateLease { body, .. } => {
                if self.leases.contains_key(name) {
                    return Err(Failure::AlreadyExists);
                }
                let lease = self.create(serde_json::to_value(body).unwrap(), wall);
                self.leases.insert(name.to_owned(), lease);
                Ok(Written::Lease(self.lease(name)))
            }
            Action::RenewLease { body, .. } => {
                let old = self.leases.get(name).ok_or(Failure::NotFound)?;
                let mut new = serde_json::to_value(body).unwrap();
                if old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"] {
                    return Err(Failure::Conflict);
                }
                assert!(
                    old["spec"]["renewTime"].as_str() < new["spec"]["renewTime"].as_str(),
                    "renewTime strictly increases"
                );
                self.stamp(&mut new);
                self.leases.insert(name.to_owned(), new);
                Ok(Written::Lease(self.lease(name)))
            }
            Action::DeleteLease { .. } => {
                self.leases.remove(name).ok_or(Failure::NotFound)?;
                Ok(Written::Done)
            }
            Action::CreateEvent { body, .. } => {
                let event = self.create(serde_json::to_value(body).unwrap(), wall);
                let name = event["metadata"]["name"].as_str().unwrap().to_owned();
                if self.events.insert(name, event).is_some() {
                    return Err(Failure::AlreadyExists);
                }
                Ok(Written::Done)
            }
            Action::PatchEvent { event, patch, .. } => {
                let event = self.events.get_mut(&**event).ok_or(Failure::NotFound)?;
                merge(event, patch, "");
                Ok(Written::Done)
            }
            Action::Down { .. } => panic!("not a write"),
        }
    }

    pub(super) fn node(&self, name: &str) -> SeenNode {
        SeenNode::trim(&serde_json::from_value(self.nodes[name].clone()).unwrap())
    }

    pub(super) fn lease(&self, name: &str) -> SeenLease {
        SeenLease::trim(&serde_json::from_value(self.leases[name].clone()).unwrap())
    }

    pub(super) fn condition(&self, node: &str, kind: &str) -> Value {
        let conditions = self.nodes[node]["status"]["conditions"].as_array();
        let mut found = conditions.into_iter().flatten();
        found
            .find(|condition| condition["type"] == kind)
            .cloned()
            .unwrap_or_default()
    }

    /// `True/KubeletReady`, or nothing.
    pub(super) fn ready(&self, node: &str) -> String {
        let ready = self.condition(node, "Ready");
        match ready["status"].as_str() {
            Some(status) => format!("{status}/{}", ready["reason"].as_str().unwrap()),
            None => String::new(),
        }
    }

    /// Reasons of the Events, each with its count.
    pub(super) fn told(&self, reason: &str) -> Vec<(String, u64)> {
        self.events
            .values()
            .filter(|event| event["reason"] == reason)
            .map(|event| {
                assert!(event["involvedObject"]["uid"].is_string());
                let message = event["message"].as_str().unwrap().to_owned();
                (message, event["count"].as_u64().unwrap())
            })
            .collect()
    }

    pub(super) fn taints(&self, node: &str) -> Vec<String> {
        let taints = self.nodes[node]["spec"]["taints"].as_array();
        taints
            .into_iter()
            .flatten()
            .map(|taint| {
                let text = |part: &str| taint[part].as_str().unwrap().to_owned();
                format!("{}:{}", text("key"), text("effect"))
            })
            .collect()
    }
}

/// Strategic merge as far as Nodes have it.
fn merge(target: &mut Value, patch: &Value, key: &str) {
    match patch {
        Value::Object(patch) => {
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in patch {
                if value.is_null() {
                    target.as_object_mut().unwrap().remove(key);
                } else {
                    merge(&mut target[key.as_str()], value, key);
                }
            }
        }
        Value::Array(items) if key == "conditions" => {
            let mut list = target.as_array().cloned().unwrap_or_default();
            for item in items {
                let at = list.iter().position(|old| old["type"] == item["type"]);
                match (at, item["$patch"].as_str()) {
                    (Some(at), Some("delete")) => drop(list.remove(at)),
                    (None, Some("delete")) => {}
                    (Some(at), _) => merge(&mut list[at], item, ""),
                    (None, _) => list.push(item.clone()),
                }
            }
            *target = Value::Array(list);
        }
        Value::Array(items) if key == "addresses" => {
            let is_marker = |item: &&Value| item["$patch"] == "replace";
            assert_eq!(
                items.iter().filter(is_marker).count(),
                1,
                "addresses replace"
            );
            let list = items.iter().filter(|item| !is_marker(item)).cloned();
            *target = Value::Array(list.collect());
        }
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
            *target = patch.clone();
        }
    }
}

/// The core, Kubernetes, and the time.
pub(super) struct World {
    pub(super) core: Core,
    pub(super) kubernetes: Kubernetes,
    pub(super) now: Moment,
    pub(super) has_wall: bool,
    pub(super) actions: Vec<Action>,
}

impl World {
    /// Listed and connected.
    pub(super) fn new(settings: Settings) -> Self {
        let mut world = Self::blank(settings, Kubernetes::default());
        world.start();
        world
    }

    pub(super) fn blank(settings: Settings, kubernetes: Kubernetes) -> Self {
        let now = Moment(T0_MS);
        let wall = Some(wall(now));
        Self {
            core: Core::new(settings, Now { moment: now, wall }),
            kubernetes,
            now,
            has_wall: true,
            actions: Vec::new(),
        }
    }

    pub(super) fn start(&mut self) {
        self.sync();
        let now = self.time();
        let actions = self.core.broker_up(now);
        self.run(actions);
    }

    /// Lists everything, as `watch` does at start and after a break.
    pub(super) fn sync(&mut self) {
        self.see(SeenChange::Relisting(Collection::Nodes));
        for name in self.kubernetes.nodes.keys().cloned().collect::<Vec<_>>() {
            self.see_node(&name);
        }
        self.see(SeenChange::Relisted(Collection::Nodes));
        self.see(SeenChange::Relisting(Collection::Leases));
        for name in self.kubernetes.leases.keys().cloned().collect::<Vec<_>>() {
            self.see(SeenChange::Lease(self.kubernetes.lease(&name)));
        }
        self.see(SeenChange::Relisted(Collection::Leases));
    }

    pub(super) fn time(&self) -> Now {
        Now {
            moment: self.now,
            wall: self.has_wall.then(|| wall(self.now)),
        }
    }

    pub(super) fn see(&mut self, change: SeenChange) {
        let actions = self.core.seen(self.time(), change);
        self.run(actions);
    }

    pub(super) fn see_node(&mut self, name: &str) {
        self.see(SeenChange::Node(Box::new(self.kubernetes.node(name))));
    }

    /// Somebody else changes a Node.
    pub(super) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut node = self.kubernetes.nodes[name].clone();
        edit(&mut node);
        self.kubernetes.stamp(&mut node);
        self.kubernetes.nodes.insert(name.to_owned(), node);
        self.see_node(name);
    }

    pub(super) fn delete(&mut self, name: &str) {
        let mut node = self.kubernetes.nodes.remove(name).unwrap();
        self.kubernetes.stamp(&mut node);
        self.see_gone(name, &node);
    }

    pub(super) fn see_gone(&mut self, name: &str, last: &Value) {
        let version = last["metadata"]["resourceVersion"].as_str().unwrap();
        self.see(SeenChange::NodeGone(Gone {
            name: name.into(),
            resource_version: version.into(),
        }));
    }

    /// Carries out actions, and what follows from their outcomes.
    pub(super) fn run(&mut self, actions: Vec<Action>) {
        let mut queue: std::collections::VecDeque<_> = actions.into();
        for _ in 0..20_000 {
            let Some(action) = queue.pop_front() else {
                return;
            };
            self.actions.push(action.clone());
            let Some(write) = action.write() else {
                continue;
            };
            let outcome = Outcome {
                node: action.node().into(),
                write,
                result: self.kubernetes.apply(&action, wall(self.now)),
            };
            queue.extend(self.core.outcome(self.time(), outcome));
        }
        panic!(
            "actions without end: {:#?}",
            self.actions.iter().rev().take(4).collect::<Vec<_>>()
        );
    }

    pub(super) fn take(&mut self, board: &str, frame: &[u8]) -> Folded {
        self.take_on(&format!("nodling/home/up/{board}"), frame)
    }

    fn take_on(&mut self, topic: &str, frame: &[u8]) -> Folded {
        let fleet = Fleet::parse("home").unwrap();
        let (node, report) = decode(fleet, topic, frame, false).unwrap();
        let (folded, actions) = self.core.fold(self.time(), node, &report);
        self.run(actions);
        folded
    }

    pub(super) fn facts(&mut self, board: &mut Board) -> Folded {
        let frame = board.facts(self.now);
        self.take(board.name, &frame)
    }

    pub(super) fn beat(&mut self, board: &mut Board) -> Folded {
        let frame = board.beat(self.now);
        self.take(board.name, &frame)
    }

    pub(super) fn bye(&mut self, board: &mut Board, bye: Bye) {
        let frame = board.bye(bye);
        self.take(board.name, &frame);
    }

    pub(super) fn will(&mut self, board: &Board, will: Will) -> Folded {
        let mut buffer = [0; 64];
        let len = encode_will(&mut buffer, &will).unwrap();
        self.take_on(&format!("nodling/home/will/{}", board.name), &buffer[..len])
    }

    /// Facts and the first beat.
    pub(super) fn join(&mut self, board: &mut Board) {
        self.facts(board);
        self.beat(board);
    }

    /// Lets time pass; what is due is done when it is due.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..10_000 {
            let due = self.core.next_deadline().filter(|&due| due <= end);
            self.now = due.unwrap_or(end).max(self.now);
            let actions = self.core.tick(self.time());
            self.run(actions);
            if due.is_none() {
                return;
            }
        }
        panic!("deadlines without end at {:?}", self.now);
    }

    /// Lets time pass with a beat every ten seconds.
    pub(super) fn live(&mut self, board: &mut Board, duration: Duration) {
        for _ in 0..duration.as_secs() / 10 {
            self.pass(secs(10));
            self.beat(board);
        }
    }

    pub(super) fn count(&self, is_counted: impl Fn(&Action) -> bool) -> usize {
        self.actions
            .iter()
            .filter(|action| is_counted(action))
            .count()
    }
}

pub(super) fn wall(now: Moment) -> Timestamp {
    let epoch: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let since = now.since(Moment(T0_MS));
    epoch + SignedDuration::try_from(since).unwrap()
}

//! Judges silence where no kube-controller-manager does, by its rules.
//!
//! After the grace a Node's four kubelet conditions become Unknown; taints follow the
//! conditions. When every Node is silent at once, the fault is likelier ours than theirs: then
//! only the `NoExecute` taints are withheld, and for one grace after the first is back.

use core::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nodling_protocol::{ConditionKind, Status};

use super::status::{Condition, KUBELETS};
use crate::clock::Moment;
use crate::seen::{ConditionType, SeenNode};

/// kube-controller-manager's default: one node in ten seconds.
const EVICTION_INTERVAL: Duration = Duration::from_secs(10);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const PRESSURES: [(ConditionKind, &str); 4] = [
    (
        ConditionKind::MemoryPressure,
        "node.kubernetes.io/memory-pressure",
    ),
    (
        ConditionKind::DiskPressure,
        "node.kubernetes.io/disk-pressure",
    ),
    (
        ConditionKind::PidPressure,
        "node.kubernetes.io/pid-pressure",
    ),
    (
        ConditionKind::NetworkUnavailable,
        "node.kubernetes.io/network-unavailable",
    ),
];

/// How many Nodes are Ready, and who may get a `NoExecute` taint when.
#[derive(Debug, Default)]
pub(super) struct Evictions {
    pub(super) nodes: usize,
    pub(super) ready: usize,
    /// Withheld until then, after all had been silent.
    held_until: Moment,
    next: Moment,
}

impl Evictions {
    /// Whether every Node is silent or worse.
    pub(super) fn is_all_silent(&self) -> bool {
        self.nodes > 0 && self.ready == 0
    }

    /// Exchanges one seen Node for another; whether the fleet went silent or came back.
    pub(super) fn replace(
        &mut self,
        (old, new): (Option<&SeenNode>, Option<&SeenNode>),
        grace: Duration,
        now: Moment,
    ) -> bool {
        let was_silent = self.is_all_silent();
        self.nodes = self.nodes + usize::from(new.is_some()) - usize::from(old.is_some());
        let ready = |node: Option<&SeenNode>| usize::from(node.is_some_and(is_ready));
        self.ready = self.ready + ready(new) - ready(old);
        let is_silent = self.is_all_silent();
        if was_silent && !is_silent {
            self.held_until = now + grace;
        }
        was_silent != is_silent
    }

    /// Whether another Node may get a `NoExecute` taint now, or when to ask again.
    fn admit(&mut self, now: Moment) -> Result<(), Option<Moment>> {
        if self.is_all_silent() {
            return Err(None);
        }
        let open_at = self.held_until.max(self.next);
        if now < open_at {
            return Err(Some(open_at));
        }
        self.next = now + EVICTION_INTERVAL;
        Ok(())
    }
}

fn is_ready(node: &SeenNode) -> bool {
    node.known(ConditionKind::Ready)
        .is_some_and(|ready| ready.status == Some(Status::True))
}

/// The conditions that a Node gets that is silent; none if it has them.
pub(super) fn unknown_conditions(seen: &SeenNode) -> Vec<Condition> {
    KUBELETS
        .into_iter()
        .filter_map(|kind| {
            let (reason, message) = match seen.known(kind).map(|condition| condition.status) {
                None => (
                    "NodeStatusNeverUpdated",
                    "Kubelet never posted node status.",
                ),
                Some(Some(Status::Unknown)) => return None,
                Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            };
            Some(Condition {
                kind: ConditionType::Known(kind),
                status: Status::Unknown,
                reason: reason.into(),
                message: message.into(),
                event: "NodeNotReady".into(),
                keeps_heartbeat: true,
            })
        })
        .collect()
}

/// The whole list of taints if it is to change; and when to look again, if that is known.
pub(super) fn taints(
    seen: &SeenNode,
    evictions: &mut Evictions,
    (now, wall): (Moment, Timestamp),
) -> (Option<Vec<Taint>>, Option<Moment>) {
    let ready = seen
        .known(ConditionKind::Ready)
        .and_then(|ready| ready.status);
    let trouble = match ready {
        Some(Status::False) => Some(NOT_READY),
        Some(Status::Unknown) => Some(UNREACHABLE),
        Some(Status::True) | None => None,
    };
    let mut wanted: Vec<(&str, &str)> =
        trouble.map(|key| (key, "NoSchedule")).into_iter().collect();
    let bad = |kind| {
        seen.known(kind)
            .is_some_and(|condition| condition.status == Some(Status::True))
    };
    let pressures = PRESSURES.into_iter().filter(|(kind, _)| bad(*kind));
    wanted.extend(pressures.map(|(_, key)| (key, "NoSchedule")));
    if seen.is_unschedulable {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let mut again = None;
    if let Some(key) = trouble {
        // One that is there is kept or exchanged; a new one waits for its turn.
        let has_one = seen.taints.iter().any(is_eviction);
        if has_one && !evictions.is_all_silent() {
            wanted.push((key, "NoExecute"));
        } else {
            match evictions.admit(now) {
                Ok(()) => wanted.push((key, "NoExecute")),
                Err(at) => again = at,
            }
        }
    }
    (exchange(seen, &wanted, wall), again)
}

fn exchange(seen: &SeenNode, wanted: &[(&str, &str)], wall: Timestamp) -> Option<Vec<Taint>> {
    let is_wanted = |taint: &Taint| {
        wanted
            .iter()
            .any(|&(key, effect)| taint.key == key && taint.effect == effect)
    };
    let mut taints: Vec<Taint> = seen
        .taints
        .iter()
        .filter(|taint| !is_managed(taint) || is_wanted(taint))
        .cloned()
        .collect();
    for &(key, effect) in wanted {
        if !taints
            .iter()
            .any(|taint| taint.key == key && taint.effect == effect)
        {
            taints.push(Taint {
                effect: effect.to_owned(),
                key: key.to_owned(),
                time_added: Some(Time(wall)),
                value: None,
            });
        }
    }
    (taints != *seen.taints).then_some(taints)
}

fn is_eviction(taint: &Taint) -> bool {
    taint.effect == "NoExecute" && (taint.key == NOT_READY || taint.key == UNREACHABLE)
}

fn is_managed(taint: &Taint) -> bool {
    let is_schedule = taint.effect == "NoSchedule"
        && (taint.key == NOT_READY
            || taint.key == UNREACHABLE
            || taint.key == UNSCHEDULABLE
            || PRESSURES.iter().any(|(_, key)| taint.key == *key));
    is_schedule || is_eviction(taint)
}

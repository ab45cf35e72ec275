//! What the gateway's configuration decides about Nodes.

use core::time::Duration;

use nodling_protocol::ConditionKind;

use crate::roster::Roster;

/// Who judges silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// kube-controller-manager: the gateway merely stops renewing Leases.
    Cluster,
    /// The gateway, for every Node of its embedded API.
    Embedded,
}

/// What the gateway's configuration decides about Nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The fleet's name.
    pub fleet: Box<str>,
    /// Whether Nodes are created, or only those patched that are there.
    pub register_node: bool,
    /// Who judges silence.
    pub lifecycle: Lifecycle,
    /// A node that is silent for longer is lost.
    pub grace: Duration,
    /// The same for a Node that never had a Ready condition.
    pub startup_grace: Duration,
    /// An unchanged status is written this often, give or take half.
    pub status_interval: Duration,
    /// Whether a will makes a node `NotReady` at once instead of after the grace.
    pub fail_fast: bool,
    /// Conditions that are not written, whatever the boards say.
    pub withheld: Box<[ConditionKind]>,
    /// No more nodes than this are kept.
    pub nodes_max: usize,
    /// Where jitter starts; random per process.
    pub seed: u64,
}

impl Settings {
    /// More nodes than this are never allowed.
    pub const NODES_HARD_MAX: usize = Roster::NODES_HARD_MAX;

    /// A board without a Node is forgotten when it was silent for this long.
    pub(super) fn forget_after(&self) -> Duration {
        Duration::from_hours(1).max(self.grace)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fleet: "home".into(),
            register_node: true,
            lifecycle: Lifecycle::Embedded,
            grace: Duration::from_secs(40),
            startup_grace: Duration::from_mins(1),
            status_interval: Duration::from_mins(5),
            fail_fast: false,
            withheld: Box::default(),
            nodes_max: 10_000,
            seed: 0,
        }
    }
}

//! The one object that `run.rs` drives: every input comes in here, every action comes out.
//!
//! Inputs carry their time. Each touches one node or none and ends in that node being compared
//! once; deadlines (silence, periodic status, back-off) come due in [`Core::tick`].

use core::time::Duration;

use nodling_protocol::{ConditionKind, NodeName};

use super::{Action, Outcome};
use crate::clock::{Moment, Now};
use crate::decode::Report;
use crate::roster::{Folded, Ignored};
use crate::seen::SeenChange;

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
    pub const NODES_HARD_MAX: usize = 50_000;
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fleet: "home".into(),
            register_node: true,
            lifecycle: Lifecycle::Embedded,
            grace: Duration::from_secs(40),
            startup_grace: Duration::from_secs(60),
            fail_fast: false,
            withheld: Box::default(),
            nodes_max: 10_000,
            seed: 0,
        }
    }
}

/// The gateway's whole state.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
}

impl Core {
    /// An empty roster that has seen nothing of Kubernetes.
    pub fn new(settings: Settings, now: Now) -> Self {
        let _ = now;
        Self { settings }
    }

    /// Folds a report into the roster.
    pub fn fold(
        &mut self,
        now: Now,
        node: NodeName<'_>,
        report: &Report<'_>,
    ) -> (Folded, Vec<Action>) {
        let _ = (now, node, report, &self.settings);
        (Folded::Ignored(Ignored::UnknownSession), Vec::new())
    }

    /// Takes what `watch` saw.
    pub fn seen(&mut self, now: Now, change: SeenChange) -> Vec<Action> {
        let _ = (now, change);
        Vec::new()
    }

    /// Takes what became of a write.
    pub fn outcome(&mut self, now: Now, outcome: Outcome) -> Vec<Action> {
        let _ = (now, outcome);
        Vec::new()
    }

    /// Does what has come due; to be called at [`Core::next_deadline`], at any time without harm.
    pub fn tick(&mut self, now: Now) -> Vec<Action> {
        let _ = now;
        Vec::new()
    }

    /// The connection to the broker is there: deadlines start again.
    pub fn broker_up(&mut self, now: Now) -> Vec<Action> {
        let _ = now;
        Vec::new()
    }

    /// The connection to the broker is gone: nobody is judged for silence.
    pub fn broker_down(&mut self, now: Now) -> Vec<Action> {
        let _ = now;
        Vec::new()
    }

    /// When [`Core::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Moment> {
        None
    }
}

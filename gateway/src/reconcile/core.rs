//! The one object that `run.rs` drives: every input comes in here, every action comes out.
//!
//! Inputs carry their time. Each touches one node or none and ends in that node being compared
//! once; deadlines (silence, periodic status, back-off) come due in [`Core::tick`]. Without a
//! believable wall clock, and before Nodes were listed, nothing is written.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use nodling_protocol::{Bye, Down, NodeName};

use super::backoff::Jitter;
use super::kube::{Kube, is_older};
use super::lifecycle::Evictions;
use super::plan::Plan;
use super::{Action, Outcome, Settings, Write, node};
use crate::clock::{Moment, Now};
use crate::decode::Report;
use crate::roster::{Folded, Roster};
use crate::seen::{Collection, SeenChange, SeenLease, SeenNode};

/// How often the wall clock is looked at while it cannot be believed.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// The gateway's whole state.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that hold independently"
)]
pub struct Core {
    pub(super) settings: Settings,
    pub(super) roster: Roster,
    /// By the roster's index.
    pub(super) kubes: Vec<Kube>,
    pub(super) deadlines: BinaryHeap<Reverse<(Moment, usize)>>,
    pub(super) evictions: Evictions,
    pub(super) jitter: Jitter,
    pub(super) has_nodes: bool,
    pub(super) has_leases: bool,
    pub(super) has_broker: bool,
    pub(super) has_wall: bool,
    pub(super) latest: Moment,
    pub(super) down_sequence: u64,
}

impl Core {
    /// An empty roster that has seen nothing of Kubernetes.
    pub fn new(settings: Settings, now: Now) -> Self {
        let nodes_max = settings.nodes_max.min(Roster::NODES_HARD_MAX);
        Self {
            roster: Roster::new(settings.grace, nodes_max, now.moment),
            jitter: Jitter::new(settings.seed),
            settings,
            kubes: Vec::new(),
            deadlines: BinaryHeap::new(),
            evictions: Evictions::default(),
            has_nodes: false,
            has_leases: false,
            has_broker: false,
            has_wall: now.wall.is_some(),
            latest: now.moment,
            down_sequence: 0,
        }
    }

    /// What is known of every board.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The Node of a name, as last seen.
    pub fn seen_node(&self, name: &str) -> Option<&SeenNode> {
        self.kubes.get(self.roster.index(name)?)?.seen.as_deref()
    }

    /// Boards that beat, have no Node, and may have none registered.
    pub fn unregistered(&self, now: Moment) -> impl Iterator<Item = &str> {
        let kubes = self.kubes.iter().enumerate();
        let without = kubes.filter(|(_, kube)| self.has_nodes && kube.seen.is_none());
        without.filter_map(move |(index, _)| {
            let member = self.roster.get(index)?;
            let claim = member
                .claim()
                .filter(|claim| self.roster.is_alive(claim, now))?;
            let may_register = node::may_register(&self.settings, &claim.facts()?);
            let is_leaving = claim.bye == Some(Bye::Leave);
            (!may_register && !is_leaving).then(|| member.name())
        })
    }

    /// Bytes that the roster and what was seen take, heap included.
    pub fn memory_bytes(&self) -> usize {
        let heap = |kube: &Kube| {
            kube.events.heap_bytes()
                + kube.seen.as_ref().map_or(0, |seen| seen.memory_bytes())
                + kube.lease.as_ref().map_or(0, SeenLease::heap_bytes)
        };
        self.roster.memory_bytes()
            + self.kubes.capacity() * size_of::<Kube>()
            + self.kubes.iter().map(heap).sum::<usize>()
            + self.deadlines.capacity() * size_of::<(Moment, usize)>()
    }

    /// Folds a report into the roster.
    pub fn fold(
        &mut self,
        now: Now,
        node: NodeName<'_>,
        report: &Report<'_>,
    ) -> (Folded, Vec<Action>) {
        let fold = self.roster.fold(now.moment, node, report);
        let mut actions = Vec::new();
        if let Some(position) = fold.ask {
            let down = self.down(node.as_str(), position, Down::SendFacts);
            actions.extend(down);
        }
        let Some(index) = fold.index else {
            return (fold.folded, actions);
        };
        let is_noted = fold.note.is_some();
        if let Some(note) = &fold.note {
            self.note(now, index, note, &mut actions);
        }
        let (is_changed, is_fresh) = match fold.folded {
            Folded::Accepted {
                is_changed,
                is_fresh,
            } => (is_changed, is_fresh),
            Folded::Ignored(_) => (false, false),
        };
        if is_changed || is_noted {
            self.reconcile(now, index, &mut actions);
        } else if is_fresh {
            self.renew(now, index, &mut actions);
        }
        (fold.folded, actions)
    }

    /// Takes what `watch` saw.
    pub fn seen(&mut self, now: Now, change: SeenChange) -> Vec<Action> {
        let mut actions = Vec::new();
        match change {
            SeenChange::Node(node) => self.see_node(now, node, &mut actions),
            SeenChange::NodeGone(gone) => {
                let seen = self.seen_node(&gone.name);
                if !seen
                    .is_some_and(|seen| is_older(&gone.resource_version, &seen.resource_version))
                {
                    self.lose_node(now, &gone.name, &mut actions);
                }
            }
            SeenChange::Lease(lease) => {
                if let Some(index) = self.slot(&lease.name)
                    && let Some(kube) = self.kubes.get_mut(index)
                {
                    kube.is_lease_listed = true;
                    if kube.see_lease(lease, now.moment) {
                        kube.sign = now.moment;
                    }
                    self.renew(now, index, &mut actions);
                }
            }
            SeenChange::LeaseGone(gone) => {
                if let Some(index) = self.roster.index(&gone.name)
                    && let Some(kube) = self.kubes.get_mut(index)
                    && !kube.lease.as_ref().is_some_and(|lease| {
                        is_older(&gone.resource_version, &lease.resource_version)
                    })
                {
                    kube.lease = None;
                    self.reconcile(now, index, &mut actions);
                    self.forget_if_useless(index, now.moment);
                }
            }
            SeenChange::Relisting(Collection::Nodes) => {
                self.kubes
                    .iter_mut()
                    .for_each(|kube| kube.is_listed = false);
            }
            SeenChange::Relisting(Collection::Leases) => {
                let kubes = self.kubes.iter_mut();
                kubes.for_each(|kube| kube.is_lease_listed = false);
            }
            SeenChange::Relisted(collection) => self.relisted(now, collection, &mut actions),
            // What was seen stays the best that is known; writes carry its resourceVersion.
            SeenChange::Lost(_) => {}
        }
        actions
    }

    /// Takes what became of a write.
    pub fn outcome(&mut self, now: Now, outcome: Outcome) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(index) = self.roster.index(&outcome.node) else {
            return actions;
        };
        let is_renewal = matches!(outcome.write, Write::CreateLease | Write::RenewLease);
        match outcome.result {
            Ok(written) => {
                self.succeeded(now, index, outcome.write, written, &mut actions);
                if is_renewal {
                    self.renew(now, index, &mut actions);
                    return actions;
                }
            }
            Err(failure) => self.failed(now.moment, index, outcome.write, failure),
        }
        self.reconcile(now, index, &mut actions);
        actions
    }

    /// Does what has come due; to be called at [`Core::next_deadline`], at any time without harm.
    pub fn tick(&mut self, now: Now) -> Vec<Action> {
        self.latest = now.moment;
        if now.wall.is_some() != self.has_wall {
            self.has_wall = now.wall.is_some();
            self.schedule_all(now.moment);
        }
        let mut actions = Vec::new();
        while let Some(&Reverse((at, index))) = self.deadlines.peek() {
            if at > now.moment {
                break;
            }
            self.deadlines.pop();
            let Some(kube) = self.kubes.get_mut(index) else {
                continue;
            };
            if kube.scheduled == Some(at) {
                kube.scheduled = None;
                self.reconcile(now, index, &mut actions);
                self.forget_if_useless(index, now.moment);
            }
        }
        actions
    }

    /// The connection to the broker is there: deadlines start again.
    pub fn broker_up(&mut self, now: Now) -> Vec<Action> {
        self.has_broker = true;
        self.roster.listen_from(now.moment);
        self.schedule_all(now.moment);
        self.tick(now)
    }

    /// The connection to the broker is gone: nobody is judged for silence.
    pub fn broker_down(&mut self, now: Now) -> Vec<Action> {
        self.has_broker = false;
        self.tick(now)
    }

    /// When [`Core::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Moment> {
        let next = self.deadlines.peek().map(|Reverse((at, _))| *at);
        if self.has_wall {
            return next;
        }
        let clock = self.latest + CLOCK_INTERVAL;
        Some(next.map_or(clock, |next| next.clamp(self.latest, clock)))
    }

    /// The slot of a name, made if need be.
    pub(super) fn slot(&mut self, name: &str) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let index = self.roster.admit(name)?;
        self.grow(index);
        Some(index)
    }

    pub(super) fn grow(&mut self, index: usize) {
        if index >= self.kubes.len() {
            self.kubes.resize_with(index + 1, Kube::default);
        }
    }

    /// Compares one node whole.
    pub(super) fn reconcile(&mut self, now: Now, index: usize, actions: &mut Vec<Action>) {
        self.grow(index);
        let Some(mut plan) = self.plan(now, index) else {
            return;
        };
        plan.decide(actions);
        if let Some(at) = plan.again {
            self.schedule(index, at);
        }
    }

    /// Does what a sign of life asks for: of a node that is settled its Lease alone is looked
    /// at, which is all that most beats, and the echoes of their renewals, are about.
    fn renew(&mut self, now: Now, index: usize, actions: &mut Vec<Action>) {
        let Some(kube) = self.kubes.get(index) else {
            return self.reconcile(now, index, actions);
        };
        if !kube.is_settled || kube.is_lease_kubelets(now.moment) {
            return self.reconcile(now, index, actions);
        }
        let is_due = kube
            .renewed
            .is_none_or(|renewed| now.moment.since(renewed) >= super::lease::INTERVAL);
        if is_due && let Some(mut plan) = self.plan(now, index) {
            plan.renew(actions);
        }
    }

    fn plan(&mut self, now: Now, index: usize) -> Option<Plan<'_>> {
        let wall = now.wall.filter(|_| self.has_nodes)?;
        let (member, kube) = (self.roster.get(index)?, self.kubes.get_mut(index)?);
        if member.name().is_empty() {
            return None;
        }
        Some(Plan {
            settings: &self.settings,
            roster: &self.roster,
            member,
            kube,
            evictions: &mut self.evictions,
            jitter: &mut self.jitter,
            is_judging: self.has_broker,
            has_leases: self.has_leases,
            now: now.moment,
            wall,
            again: None,
        })
    }

    fn schedule(&mut self, index: usize, at: Moment) {
        if let Some(kube) = self.kubes.get_mut(index)
            && kube.scheduled.is_none_or(|scheduled| at < scheduled)
        {
            kube.scheduled = Some(at);
            self.deadlines.push(Reverse((at, index)));
        }
    }

    pub(super) fn schedule_all(&mut self, at: Moment) {
        for index in 0..self.kubes.len() {
            self.schedule(index, at);
        }
    }

    /// Drops a name that stands for nothing any more.
    pub(super) fn forget_if_useless(&mut self, index: usize, now: Moment) {
        let (Some(member), Some(kube)) = (self.roster.get(index), self.kubes.get_mut(index)) else {
            return;
        };
        let is_heard = member
            .claim()
            .is_some_and(|claim| now < claim.heard + self.settings.forget_after());
        let is_writing = kube.object.is_writing || kube.leases.is_writing || kube.event.is_writing;
        let is_of_use = kube.seen.is_some() || kube.lease.is_some() || is_heard || is_writing;
        if !is_of_use && !member.name().is_empty() {
            *kube = Kube::default();
            self.roster.forget(index);
        }
    }
}

//! The one object that `run.rs` drives: every input comes in here, every action comes out.
//!
//! Inputs carry their time. Each touches one node or none and ends in that node being compared
//! once; deadlines (silence, periodic status, back-off) come due in [`Core::tick`]. Without a
//! believable wall clock, and before Nodes were listed, nothing is written.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use jiff::Timestamp;
use nodling_protocol::frame::{Message, Position, encode_clear};
use nodling_protocol::{ConditionKind, Down, NodeName};

use super::backoff::Jitter;
use super::events::News;
use super::kube::{Kube, Lane, is_older};
use super::lifecycle::Evictions;
use super::node::owner_instance;
use super::plan::Plan;
use super::{Action, Failure, Outcome, Write, Written};
use crate::clock::{Moment, Now};
use crate::decode::Report;
use crate::roster::{Folded, Note, Roster};
use crate::seen::{Collection, SeenChange, SeenLease, SeenNode, digest};

/// How often the wall clock is looked at while it cannot be believed.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

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

    /// A board without a Node is forgotten when it was silent for this long.
    pub(super) fn forget_after(&self) -> Duration {
        Duration::from_secs(3600).max(self.grace)
    }
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
    roster: Roster,
    /// By the roster's index.
    kubes: Vec<Kube>,
    deadlines: BinaryHeap<Reverse<(Moment, usize)>>,
    evictions: Evictions,
    jitter: Jitter,
    has_nodes: bool,
    has_leases: bool,
    has_broker: bool,
    has_wall: bool,
    latest: Moment,
    down_sequence: u64,
}

impl Core {
    /// An empty roster that has seen nothing of Kubernetes.
    pub fn new(settings: Settings, now: Now) -> Self {
        let nodes_max = settings.nodes_max.min(Settings::NODES_HARD_MAX);
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

    /// Whether Nodes and Leases were listed.
    pub fn is_synced(&self) -> bool {
        self.has_nodes && self.has_leases
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
        let is_due = match fold.folded {
            Folded::Accepted {
                is_changed: true, ..
            } => true,
            Folded::Accepted { is_fresh: true, .. } => self.is_due(index, now.moment),
            Folded::Accepted { .. } | Folded::Ignored(_) => is_noted,
        };
        if is_due {
            self.reconcile(now, index, &mut actions);
        }
        (fold.folded, actions)
    }

    /// Takes what `watch` saw.
    pub fn seen(&mut self, now: Now, change: SeenChange) -> Vec<Action> {
        let mut actions = Vec::new();
        match change {
            SeenChange::Node(node) => self.see_node(now, node, &mut actions),
            SeenChange::NodeGone(name) => self.lose_node(now, &name, &mut actions),
            SeenChange::Lease(lease) => {
                if let Some(index) = self.slot(&lease.name)
                    && let Some(kube) = self.kubes.get_mut(index)
                {
                    kube.is_lease_listed = true;
                    if kube.see_lease(lease, now.moment) {
                        kube.sign = now.moment;
                    }
                    self.reconcile(now, index, &mut actions);
                }
            }
            SeenChange::LeaseGone(name) => {
                if let Some(index) = self.roster.index(&name)
                    && let Some(kube) = self.kubes.get_mut(index)
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
        match outcome.result {
            Ok(written) => self.succeeded(now, index, outcome.write, written, &mut actions),
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
    fn slot(&mut self, name: &str) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let index = self.roster.admit(name)?;
        self.grow(index);
        Some(index)
    }

    fn grow(&mut self, index: usize) {
        if index >= self.kubes.len() {
            self.kubes.resize_with(index + 1, Kube::default);
        }
    }

    /// Whether a beat that changed nothing still makes work.
    fn is_due(&self, index: usize, now: Moment) -> bool {
        let Some(kube) = self.kubes.get(index) else {
            return true;
        };
        let is_lease_due = kube
            .renewed
            .is_none_or(|renewed| now.since(renewed) >= super::lease::INTERVAL);
        !kube.is_settled || is_lease_due
    }

    fn down(&mut self, node: &str, position: Position, down: Down) -> Option<Action> {
        self.down_sequence += 1;
        let position = Position {
            sequence: self.down_sequence,
            ..position
        };
        let mut buffer = [0; 64];
        let len = encode_clear(&mut buffer, position, Message::Down(down)).ok()?;
        Some(Action::Down {
            node: node.into(),
            frame: buffer.get(..len)?.into(),
        })
    }

    /// Tells the board whether its Node takes new work.
    fn tell_board(&mut self, index: usize, actions: &mut Vec<Action>) {
        let seen = self.kubes.get(index).and_then(|kube| kube.seen.as_deref());
        let member = self.roster.get(index);
        let claim = member.and_then(|member| member.claim());
        let (Some(seen), Some(claim)) = (seen, claim) else {
            return;
        };
        let position = Position {
            tag: claim.instance.tag(),
            session: claim.session,
            sequence: 0,
        };
        let (name, down) = (
            seen.name.clone(),
            Down::Unschedulable(seen.is_unschedulable),
        );
        let down = self.down(&name, position, down);
        actions.extend(down);
    }

    fn note(&mut self, now: Now, index: usize, note: &Note, actions: &mut Vec<Action>) {
        self.grow(index);
        let name = self.roster.get(index).map_or("", |member| member.name());
        let at = |moment: Moment| {
            let ago = jiff::SignedDuration::try_from(now.moment.since(moment)).unwrap_or_default();
            now.wall.and_then(|wall| wall.checked_sub(ago).ok())
        };
        let time =
            |moment| at(moment).map_or_else(|| "?".to_owned(), |at: Timestamp| format!("{at:.0}"));
        let news = match note {
            Note::Started => News::normal("Starting", "Starting nodling-agent.".to_owned()),
            Note::Duplicate {
                holder,
                heard,
                claimant,
            } => {
                let heard = heard.map_or_else(
                    || "known from the Node's annotation".to_owned(),
                    |(first, last)| format!("heard from {} to {}", time(first), time(last)),
                );
                let message = format!(
                    "instance {claimant} claims the name {name}, which instance {holder} holds \
                     ({heard}); give one of the two boards another node name, or stop the one \
                     that is to go"
                );
                News {
                    key: Some(digest(&(holder.0, claimant.0))),
                    ..News::warning("DuplicateNode", message)
                }
            }
            Note::Cloned { instance, other } => {
                let message = format!(
                    "instance {instance} runs on two boards (here and as {other}): a card was \
                     copied; delete the agent's state directory on one of them"
                );
                News::warning("ClonedCard", message)
            }
        };
        let is_started = *note == Note::Started;
        if let Some(kube) = self.kubes.get_mut(index)
            && kube.untold.len() < 8
        {
            let is_new = !kube.untold.iter().any(|old| old.reason == news.reason);
            // Until the Node has a uid, once is enough.
            if is_new || kube.seen.is_some() {
                kube.untold.push(news);
            }
        }
        let is_cordoned = self
            .kubes
            .get(index)
            .and_then(|kube| kube.seen.as_deref())
            .is_some_and(|seen| seen.is_unschedulable);
        if is_started && is_cordoned {
            self.tell_board(index, actions);
        }
    }

    fn see_node(&mut self, now: Now, node: Box<SeenNode>, actions: &mut Vec<Action>) {
        let Some(index) = self.slot(&node.name) else {
            return;
        };
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        kube.is_listed = true;
        let old = kube.seen.take();
        if let Some(old) = &old
            && old.uid == node.uid
            && is_older(&node.resource_version, &old.resource_version)
        {
            kube.seen = Some(old.clone());
            return;
        }
        let ready = |node: &SeenNode| {
            let ready = node.known(ConditionKind::Ready);
            ready.and_then(|ready| ready.heartbeat)
        };
        let is_first = old.as_ref().is_none_or(|old| old.uid != node.uid);
        if is_first || old.as_deref().and_then(ready) != ready(&node) {
            kube.sign = now.moment;
        }
        let name = &node.name;
        if is_first && self.has_nodes && self.settings.lifecycle == Lifecycle::Embedded {
            let message = format!("Node {name} event: Registered Node {name} in Controller");
            kube.untold.push(News::normal("RegisteredNode", message));
        }
        let is_cordon_changed = old.as_ref().map_or(node.is_unschedulable, |old| {
            old.is_unschedulable != node.is_unschedulable
        });
        if is_cordon_changed && old.is_some() {
            let reason = if node.is_unschedulable {
                "NodeNotSchedulable"
            } else {
                "NodeSchedulable"
            };
            let severity = super::events::Severity::Normal;
            kube.untold
                .push(News::status(severity, name, reason.into()));
        }
        let grace = self.settings.grace;
        let pair = (old.as_deref(), Some(&*node));
        let is_turned = self.evictions.replace(pair, grace, now.moment);
        let owner = node.owner.as_deref();
        let owner = owner.and_then(|owner| owner_instance(&self.settings, owner));
        kube.seen = Some(node);
        kube.is_gone = false;
        self.roster.reserve(index, owner, now.moment);
        if is_cordon_changed {
            self.tell_board(index, actions);
        }
        self.reconcile(now, index, actions);
        if is_turned {
            self.schedule_all(now.moment);
        }
    }

    fn lose_node(&mut self, now: Now, name: &str, actions: &mut Vec<Action>) {
        let Some(index) = self.roster.index(name) else {
            return;
        };
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        let Some(old) = kube.seen.take() else {
            return;
        };
        kube.is_gone = true;
        kube.status.due = None;
        if let Some(wall) = now.wall
            && self.settings.lifecycle == Lifecycle::Embedded
        {
            let message = format!("Node {name} event: Removing Node {name} from Controller");
            kube.events
                .record(wall, &old.uid, News::normal("RemovingNode", message));
        }
        let pair = (Some(&*old), None);
        let is_turned = self
            .evictions
            .replace(pair, self.settings.grace, now.moment);
        self.reconcile(now, index, actions);
        self.forget_if_useless(index, now.moment);
        if is_turned {
            self.schedule_all(now.moment);
        }
    }

    fn relisted(&mut self, now: Now, collection: Collection, actions: &mut Vec<Action>) {
        for index in 0..self.kubes.len() {
            let Some(kube) = self.kubes.get_mut(index) else {
                continue;
            };
            match collection {
                Collection::Leases if !kube.is_lease_listed => kube.lease = None,
                Collection::Nodes if !kube.is_listed && kube.seen.is_some() => {
                    let name: Box<str> = self
                        .roster
                        .get(index)
                        .map_or("", |member| member.name())
                        .into();
                    self.lose_node(now, &name, actions);
                }
                Collection::Leases | Collection::Nodes => {}
            }
        }
        match collection {
            Collection::Leases => self.has_leases = true,
            Collection::Nodes => self.has_nodes = true,
        }
        self.schedule_all(now.moment);
        actions.extend(self.tick(now));
    }

    fn succeeded(
        &mut self,
        now: Now,
        index: usize,
        write: Write,
        written: Written,
        actions: &mut Vec<Action>,
    ) {
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        let lane = lane(kube, write);
        lane.is_writing = false;
        lane.backoff.succeed();
        match write {
            Write::CreateEvent | Write::PatchEvent => kube.events.finish(Ok(())),
            Write::DeleteLease => kube.lease = None,
            Write::CreateNode | Write::PatchStatus => {
                let news = core::mem::take(&mut kube.on_success);
                kube.untold.extend(news);
            }
            Write::CreateLease | Write::PatchNode | Write::RenewLease => {}
        }
        match written {
            Written::Done => {}
            Written::Lease(lease) => {
                kube.see_lease(lease, now.moment);
            }
            Written::Node(node) => self.see_node(now, node, actions),
        }
    }

    fn failed(&mut self, now: Moment, index: usize, write: Write, failure: Failure) {
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        let lane = lane(kube, write);
        lane.is_writing = false;
        lane.backoff.fail(now, failure, &mut self.jitter);
        match write {
            Write::CreateEvent | Write::PatchEvent => kube.events.finish(Err(failure)),
            Write::CreateLease | Write::RenewLease => {
                kube.renewed = None;
                if failure == Failure::NotFound {
                    kube.lease = None;
                }
            }
            Write::DeleteLease if failure == Failure::NotFound => kube.lease = None,
            Write::DeleteLease => {}
            Write::CreateNode | Write::PatchNode | Write::PatchStatus => {
                kube.on_success.clear();
                let is_same = kube
                    .seen
                    .as_ref()
                    .is_some_and(|seen| seen.resource_version == kube.based_on);
                if failure == Failure::NotFound
                    && is_same
                    && let Some(old) = kube.seen.take()
                {
                    kube.is_gone = true;
                    let pair = (Some(&*old), None);
                    self.evictions.replace(pair, self.settings.grace, now);
                }
            }
        }
    }

    fn reconcile(&mut self, now: Now, index: usize, actions: &mut Vec<Action>) {
        self.grow(index);
        let (Some(wall), true) = (now.wall, self.has_nodes) else {
            return;
        };
        let (Some(member), Some(kube)) = (self.roster.get(index), self.kubes.get_mut(index)) else {
            return;
        };
        if member.name().is_empty() {
            return;
        }
        let mut plan = Plan {
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
        };
        plan.decide(actions);
        if let Some(at) = plan.again {
            self.schedule(index, at);
        }
    }

    fn schedule(&mut self, index: usize, at: Moment) {
        if let Some(kube) = self.kubes.get_mut(index)
            && kube.scheduled.is_none_or(|scheduled| at < scheduled)
        {
            kube.scheduled = Some(at);
            self.deadlines.push(Reverse((at, index)));
        }
    }

    fn schedule_all(&mut self, at: Moment) {
        for index in 0..self.kubes.len() {
            self.schedule(index, at);
        }
    }

    /// Drops a name that stands for nothing any more.
    fn forget_if_useless(&mut self, index: usize, now: Moment) {
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

fn lane(kube: &mut Kube, write: Write) -> &mut Lane {
    match write {
        Write::CreateNode | Write::PatchNode | Write::PatchStatus => &mut kube.object,
        Write::CreateLease | Write::DeleteLease | Write::RenewLease => &mut kube.leases,
        Write::CreateEvent | Write::PatchEvent => &mut kube.event,
    }
}

//! The roster: the last known state of every node.
//!
//! Folding a report is the gateway's hot path: one hash lookup, no allocation for a heartbeat.
//! Reports come in any order, twice or never, and from more than one claimant of a name; what
//! the roster holds in the end is the same for the same newest reports.

mod fold;
mod claim;
mod session;
mod throttle;

use core::time::Duration;
use std::collections::HashMap;

use nodling_protocol::frame::Position;
use nodling_protocol::{Bye, Facts, Heartbeat, Instance, NodeName, Will};

use self::claim::Succession;
use crate::clock::Moment;
use crate::decode::Report;

pub use self::claim::{Beat, Claim};
pub(crate) use self::fold::Fold;
pub use self::fold::{Folded, Ignored, Note};
pub use self::throttle::Throttle;

/// A node is asked for Facts no more often.
const ASK_INTERVAL: Duration = Duration::from_secs(10);
/// An answer to a request comes within this, or was none.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// So many nodes are remembered as asked.
const ASKED_MAX: usize = 4096;

/// A name: of a board that was heard, of a Node that was seen, or both.
#[derive(Debug)]
pub struct Member {
    name: Box<str>,
    claim: Option<Box<Claim>>,
    /// Whom the Node's annotation names, while nobody was heard.
    reserved: Option<Instance>,
}

impl Member {
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who holds it, if anybody was heard.
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_deref()
    }
}

/// The last known state of every node.
#[derive(Debug)]
pub struct Roster {
    names: HashMap<Box<str>, usize>,
    instances: HashMap<Instance, usize>,
    members: Vec<Member>,
    free: Vec<usize>,
    asked: Throttle,
    grace: Duration,
    nodes_max: usize,
    /// Nobody is silent for longer than since then.
    listening_since: Moment,
}

impl Roster {
    /// More names than this are never kept.
    pub const NODES_HARD_MAX: usize = 50_000;

    /// An empty roster.
    pub fn new(grace: Duration, nodes_max: usize, now: Moment) -> Self {
        Self {
            names: HashMap::new(),
            instances: HashMap::new(),
            members: Vec::new(),
            free: Vec::new(),
            asked: Throttle::new(ASK_INTERVAL, ASKED_MAX),
            grace,
            nodes_max,
            listening_since: now,
        }
    }

    /// Every name that is known.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.name.is_empty())
    }

    /// The member of a name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(*self.names.get(name)?)
    }

    /// Whether a claim was heard within the grace, or there was no way to hear it.
    pub fn is_live(&self, claim: &Claim, now: Moment) -> bool {
        now <= claim.heard.max(self.listening_since) + self.grace
    }

    /// Whether something fresh was heard within the grace.
    pub fn is_alive(&self, claim: &Claim, now: Moment) -> bool {
        now <= claim.heard + self.grace
    }

    /// The connection to the broker is there: silence counts from now on.
    pub(crate) fn listen_from(&mut self, now: Moment) {
        self.listening_since = now;
    }

    pub(crate) fn listening_since(&self) -> Moment {
        self.listening_since
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    /// The slot of a name, new if need be; `None` when there is no room.
    pub(crate) fn admit(&mut self, name: &str) -> Option<usize> {
        if let Some(index) = self.index(name) {
            return Some(index);
        }
        if self.names.len() >= Self::NODES_HARD_MAX {
            return None;
        }
        let member = Member {
            name: name.into(),
            claim: None,
            reserved: None,
        };
        let index = if let Some(index) = self.free.pop() {
            *self.members.get_mut(index)? = member;
            index
        } else {
            self.members.push(member);
            self.members.len() - 1
        };
        self.names.insert(name.into(), index);
        Some(index)
    }

    /// Forgets a name that is of no use any more.
    pub(crate) fn forget(&mut self, index: usize) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if let Some(claim) = member.claim.take() {
            self.instances.remove(&claim.instance);
        }
        let name = core::mem::take(&mut member.name);
        self.names.remove(&name);
        self.free.push(index);
    }

    /// Takes whom a Node's annotation names. A claim of somebody else that was accepted before
    /// anything was seen, and within the grace, is taken back.
    pub(crate) fn reserve(&mut self, index: usize, owner: Option<Instance>, now: Moment) {
        let is_early = now <= self.listening_since + self.grace;
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        let is_usurped = is_early
            && owner.is_some()
            && member.reserved.is_none()
            && member
                .claim
                .as_ref()
                .is_some_and(|claim| Some(claim.instance) != owner);
        if is_usurped && let Some(claim) = member.claim.take() {
            self.instances.remove(&claim.instance);
        }
        if member.claim.is_none() {
            member.reserved = owner;
        }
    }

    /// Folds a report in.
    pub(crate) fn fold(&mut self, now: Moment, node: NodeName<'_>, report: &Report<'_>) -> Fold {
        match report {
            Report::Heartbeat(position, beat) => self.fold_beat(now, node, *position, beat),
            Report::Facts {
                position,
                facts,
                message,
            } => self.fold_facts(now, node, *position, (facts, message)),
            Report::Detail {
                position, message, ..
            } => self.fold_present(now, node, *position, |claim| claim.keep_detail(message)),
            Report::Bye(position, bye) => self.fold_bye(now, node, *position, *bye),
            Report::Will(will) => self.fold_will(node, will),
        }
    }

    fn fold_beat(
        &mut self,
        now: Moment,
        node: NodeName<'_>,
        position: Position,
        beat: &Heartbeat<'_>,
    ) -> Fold {
        let Some((index, claim)) = self.present(node, position) else {
            return self.ask(now, node, position);
        };
        if claim.is_before(beat.uptime) || !claim.advance(position.sequence) {
            return Fold::ignored(Ignored::StaleSequence);
        }
        let is_fresh = claim.offset.judge(now, beat.uptime.as_ms());
        let mut is_changed = claim.keep_beat(beat) || claim.bye.is_some() || claim.is_lost;
        claim.bye = None;
        if is_fresh {
            is_changed |= claim.is_lost;
            claim.is_lost = false;
            claim.heard = now;
            claim.beaten = Some(now);
        }
        let is_asking = !is_fresh || claim.lacks_facts();
        let mut fold = Fold::accepted(index, is_changed, is_fresh);
        if is_asking && self.asked.admit(now, node.as_str()) {
            fold.ask = Some(position);
            if let Some((_, claim)) = self.present(node, position) {
                claim.asked = Some(now);
            }
        }
        fold
    }

    fn fold_present(
        &mut self,
        now: Moment,
        node: NodeName<'_>,
        position: Position,
        keep: impl FnOnce(&mut Claim),
    ) -> Fold {
        let Some((index, claim)) = self.present(node, position) else {
            return self.ask(now, node, position);
        };
        if !claim.advance(position.sequence) {
            return Fold::ignored(Ignored::StaleSequence);
        }
        keep(claim);
        Fold::accepted(index, false, false)
    }

    fn fold_bye(&mut self, now: Moment, node: NodeName<'_>, position: Position, bye: Bye) -> Fold {
        let mut fold = self.fold_present(now, node, position, |claim| claim.bye = Some(bye));
        if let Folded::Accepted { is_changed, .. } = &mut fold.folded {
            *is_changed = true;
        }
        fold
    }

    fn fold_will(&mut self, node: NodeName<'_>, will: &Will) -> Fold {
        let index = self.index(node.as_str());
        let member = index.and_then(|index| self.members.get_mut(index));
        let Some((index, claim)) = index.zip(member.and_then(|member| member.claim.as_mut()))
        else {
            return Fold::ignored(Ignored::WillMismatch);
        };
        if will.hash() != claim.will_hash {
            return Fold::ignored(Ignored::WillMismatch);
        }
        claim.is_lost = true;
        Fold::accepted(index, true, false)
    }

    fn fold_facts(
        &mut self,
        now: Moment,
        node: NodeName<'_>,
        position: Position,
        (facts, message): (&Facts<'_>, &[u8]),
    ) -> Fold {
        let index = self.index(node.as_str());
        let claim = index.and_then(|index| self.get(index)?.claim());
        let (Some(index), Some(claim)) = (index, claim) else {
            return self.claim(now, node, position, (facts, message));
        };
        let is_live = self.is_live(claim, now);
        let is_released = !is_live || claim.bye == Some(Bye::Leave);
        if claim.instance != facts.instance {
            if is_released {
                return self.claim(now, node, position, (facts, message));
            }
            let mut fold = Fold::ignored(Ignored::DuplicateNode);
            fold.note = Some(Note::Duplicate {
                holder: claim.instance,
                heard: Some((claim.first, claim.heard)),
                claimant: facts.instance,
            });
            fold.index = Some(index);
            return fold;
        }
        match claim.succession(position, facts) {
            Succession::Stale => Fold::ignored(Ignored::StaleSequence),
            Succession::Cloned if !is_released => {
                Fold::cloned(index, facts.instance, node.as_str())
            }
            Succession::Update => self.update(now, index, position, (facts, message)),
            Succession::Session | Succession::Cloned => {
                self.begin(now, index, position, (facts, message))
            }
        }
    }

    /// Newer Facts of the present session.
    fn update(
        &mut self,
        now: Moment,
        index: usize,
        position: Position,
        (facts, message): (&Facts<'_>, &[u8]),
    ) -> Fold {
        let Some(claim) = self.claim_mut(index) else {
            return Fold::ignored(Ignored::UnknownSession);
        };
        let mut is_fresh = claim.offset.judge(now, facts.uptime.as_ms());
        let asked = claim.asked.take();
        if !is_fresh && asked.is_some_and(|asked| now <= asked + ANSWER_WITHIN) {
            is_fresh = claim.offset.vouch(now, facts.uptime.as_ms());
        }
        if is_fresh {
            claim.heard = now;
        }
        let is_changed = claim.keep_facts(position, facts, message);
        Fold::accepted(index, is_changed, is_fresh)
    }

    /// A new session of the instance that holds the name.
    fn begin(
        &mut self,
        now: Moment,
        index: usize,
        position: Position,
        (facts, message): (&Facts<'_>, &[u8]),
    ) -> Fold {
        let Some(claim) = self.claim_mut(index) else {
            return Fold::ignored(Ignored::UnknownSession);
        };
        let is_start = claim.boot_id != facts.boot_id || claim.bye.is_some();
        claim.begin(now, position, facts, message);
        let is_fresh = claim.offset.judge(now, facts.uptime.as_ms());
        if is_fresh {
            claim.heard = now;
        }
        let mut fold = Fold::accepted(index, true, is_fresh);
        fold.note = is_start.then_some(Note::Started);
        fold
    }

    /// Gives a name that is free, or whose holder is silent, to whoever says these Facts.
    fn claim(
        &mut self,
        now: Moment,
        node: NodeName<'_>,
        position: Position,
        (facts, message): (&Facts<'_>, &[u8]),
    ) -> Fold {
        if let Some(fold) = self.refuse(now, node, facts) {
            return fold;
        }
        let Some(index) = self.admit(node.as_str()) else {
            return Fold::ignored(Ignored::RosterFull);
        };
        if let Some(former) = self.instances.insert(facts.instance, index)
            && former != index
            && let Some(member) = self.members.get_mut(former)
        {
            member.claim = None;
        }
        let claim = Claim::new(now, position, facts, message);
        if let Some(member) = self.members.get_mut(index)
            && let Some(former) = member.claim.replace(Box::new(claim))
            && former.instance != facts.instance
        {
            self.instances.remove(&former.instance);
        }
        let mut fold = Fold::accepted(index, true, true);
        fold.note = Some(Note::Started);
        fold
    }

    fn refuse(&self, now: Moment, node: NodeName<'_>, facts: &Facts<'_>) -> Option<Fold> {
        let index = self.index(node.as_str());
        if let Some(&other) = self.instances.get(&facts.instance)
            && Some(other) != index
            && let Some(member) = self.get(other)
            && let Some(claim) = member.claim()
            && claim.bye.is_none()
            && self.is_live(claim, now)
        {
            return Some(Fold::cloned(other, facts.instance, node.as_str()));
        }
        let member = index.and_then(|index| self.get(index));
        if let Some(member) = member
            && let Some(holder) = member.reserved
            && holder != facts.instance
            && member.claim.is_none()
            && now <= self.listening_since + self.grace
        {
            let mut fold = Fold::ignored(Ignored::DuplicateNode);
            fold.index = index;
            fold.note = Some(Note::Duplicate {
                holder,
                heard: None,
                claimant: facts.instance,
            });
            return Some(fold);
        }
        let has_claim = member.is_some_and(|member| member.claim.is_some());
        (!has_claim && self.instances.len() >= self.nodes_max)
            .then(|| Fold::ignored(Ignored::RosterFull))
    }

    fn present(&mut self, node: NodeName<'_>, position: Position) -> Option<(usize, &mut Claim)> {
        let index = *self.names.get(node.as_str())?;
        let claim = self.members.get_mut(index)?.claim.as_deref_mut()?;
        claim.is_present(position).then_some((index, claim))
    }

    fn claim_mut(&mut self, index: usize) -> Option<&mut Claim> {
        self.members.get_mut(index)?.claim.as_deref_mut()
    }

    fn ask(&mut self, now: Moment, node: NodeName<'_>, position: Position) -> Fold {
        let mut fold = Fold::ignored(Ignored::UnknownSession);
        fold.ask = self.asked.admit(now, node.as_str()).then_some(position);
        fold
    }

    /// Bytes that the members take, keys and heap included.
    pub(crate) fn memory_bytes(&self) -> usize {
        let claims: usize = self
            .members
            .iter()
            .filter_map(Member::claim)
            .map(|claim| size_of::<Claim>() + claim.heap_bytes())
            .sum();
        let names: usize = self.names.keys().map(|name| 2 * name.len()).sum();
        claims
            + names
            + self.members.capacity() * size_of::<Member>()
            + self.names.capacity() * (size_of::<(Box<str>, usize)>() + 1)
            + self.instances.capacity() * (size_of::<(Instance, usize)>() + 1)
    }
}

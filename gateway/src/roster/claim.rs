//! A claim: the agent that holds a name, its present session, and what it last said.
//!
//! Within a session each kind of message is ordered by its own sequence, so that Facts which
//! were overtaken by a beat still count. Which of two sessions is the newer is told by the
//! board's uptime and by the will, which is new for each connection.

use nodling_protocol::frame::Position;
use nodling_protocol::units::{Throttle, Uptime};
use nodling_protocol::{
    BootId, Bye, Detail, Facts, Heartbeat, Instance, Statuses, Vitals, WillHash,
};

use super::session::Offset;
use crate::clock::Moment;

/// So many replaced sessions are remembered, to know their late frames by.
const REPLACED: usize = 4;

/// The agent that holds a name.
#[derive(Debug)]
pub struct Claim {
    /// Who.
    pub instance: Instance,
    /// Which boot.
    pub boot_id: BootId,
    /// When the instance was first heard under this name.
    pub first: Moment,
    /// When something fresh was last heard.
    pub heard: Moment,
    /// When the last fresh heartbeat came: what a Lease is renewed for.
    pub beaten: Option<Moment>,
    /// Whether a will said that the connection broke; a hint.
    pub is_lost: bool,
    /// The goodbye, if that was the last word.
    pub bye: Option<Bye>,
    /// The last heartbeat.
    pub beat: Option<Beat>,
    /// Names of resources and custom conditions that earlier Facts had and the present ones
    /// have not.
    pub(crate) dropped: Dropped,
    pub(crate) session: u8,
    pub(super) will_hash: WillHash,
    pub(super) offset: Offset,
    pub(super) asked: Option<Moment>,
    generation: u16,
    facts_sequence: u64,
    sequence: Option<u64>,
    opened_uptime: Uptime,
    /// Whether the last beat is the present session's: another's names are not its Facts'.
    is_beat_present: bool,
    /// Beats observed earlier are another session's that had the same number.
    beats_from: Uptime,
    uptime: Uptime,
    facts: Box<[u8]>,
    detail: Option<Box<[u8]>>,
    replaced: [Option<Replaced>; REPLACED],
}

/// What went out of use since the gateway started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) resources: Vec<Box<str>>,
    pub(crate) conditions: Vec<Box<str>>,
}

/// A heartbeat, kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// When it was observed.
    pub uptime: Uptime,
    /// The Facts that name its readings and custom conditions.
    pub generation: u16,
    /// The known conditions.
    pub conditions: Statuses,
    /// The custom conditions.
    pub custom: Statuses,
    /// Numbers that every board may have.
    pub vitals: Vitals,
    /// Bit n: the reading behind the nth vital failed.
    pub failed: u32,
    /// Sensor readings by position.
    pub readings: Vec<Option<i32>>,
}

#[derive(Clone, Copy, Debug)]
struct Replaced {
    boot_id: BootId,
    will_hash: WillHash,
    uptime: Uptime,
}

/// How Facts of the holder's own instance relate to its present session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Succession {
    /// Newer Facts of the present session.
    Update,
    /// A new session, of this boot or a new one.
    Session,
    /// Known or older.
    Stale,
    /// A boot that had been replaced runs on: two boards share the instance.
    Cloned,
}

impl Claim {
    /// A claim that begins with these Facts.
    pub(super) fn new(now: Moment, position: Position, facts: &Facts<'_>, message: &[u8]) -> Self {
        Self {
            instance: facts.instance,
            boot_id: facts.boot_id,
            first: now,
            heard: now,
            beaten: None,
            is_lost: false,
            bye: None,
            beat: None,
            dropped: Dropped::default(),
            session: position.session,
            will_hash: facts.will_hash,
            offset: Offset::new(now, facts.uptime.as_ms()),
            asked: None,
            generation: facts.generation,
            facts_sequence: position.sequence,
            sequence: None,
            opened_uptime: facts.uptime,
            is_beat_present: false,
            beats_from: Uptime(0),
            uptime: facts.uptime,
            facts: message.into(),
            detail: None,
            replaced: [None; REPLACED],
        }
    }

    /// The Facts.
    pub fn facts(&self) -> Option<Facts<'_>> {
        Facts::decode(&self.facts).ok()
    }

    /// The last Detail of the present session.
    pub fn detail(&self) -> Option<Detail<'_>> {
        Detail::decode(self.detail.as_deref()?).ok()
    }

    /// Custom conditions of the last beat, if the present Facts are those that name them.
    pub(crate) fn custom(&self) -> Option<Statuses> {
        let beat = self.beat.as_ref()?;
        (self.is_beat_present && beat.generation == self.generation).then_some(beat.custom)
    }

    /// Whether a frame belongs to the present session.
    pub(super) fn is_present(&self, position: Position) -> bool {
        self.session == position.session && self.instance.tag() == position.tag
    }

    /// Whether the last beat was read under other Facts than those that are here.
    pub(super) fn lacks_facts(&self) -> bool {
        self.beat
            .as_ref()
            .is_some_and(|beat| beat.generation != self.generation)
    }

    /// Moves the order of beats, details and goodbyes on; `false` for what is not newer.
    pub(super) fn advance(&mut self, sequence: u64) -> bool {
        let is_new = self.sequence.is_none_or(|last| sequence > last);
        if is_new {
            self.sequence = Some(sequence);
        }
        is_new
    }

    /// Whether a beat is a late one of an earlier session that had the present one's number.
    pub(super) fn is_before(&self, uptime: Uptime) -> bool {
        uptime < self.beats_from
    }

    /// Keeps a heartbeat; whether anything but numbers changed. Allocates only when the number
    /// of readings grows.
    pub(super) fn keep_beat(&mut self, new: &Heartbeat<'_>) -> bool {
        self.uptime = self.uptime.max(new.uptime);
        let beat = self.beat.get_or_insert_default();
        let is_changed = !self.is_beat_present
            || beat.conditions != new.conditions
            || beat.custom != new.custom
            // It stands in a condition's message.
            || since_boot(&beat.vitals) != since_boot(&new.vitals)
            || beat.generation != new.generation;
        self.is_beat_present = true;
        beat.uptime = new.uptime;
        beat.generation = new.generation;
        beat.conditions = new.conditions;
        beat.custom = new.custom;
        beat.vitals = new.vitals;
        beat.failed = new.failed;
        beat.readings.clear();
        beat.readings.extend(new.readings.iter());
        is_changed
    }

    pub(super) fn keep_detail(&mut self, message: &[u8]) {
        self.detail = Some(message.into());
    }

    /// Keeps newer Facts of the present session; whether they differ but for their uptime.
    pub(super) fn keep_facts(
        &mut self,
        position: Position,
        facts: &Facts<'_>,
        message: &[u8],
    ) -> bool {
        let is_changed = self.drop_what_is_missing(facts);
        self.will_hash = facts.will_hash;
        self.generation = facts.generation;
        self.facts_sequence = position.sequence;
        self.uptime = self.uptime.max(facts.uptime);
        self.facts = message.into();
        is_changed
    }

    /// Goes over to a new session of the same instance.
    pub(super) fn begin(
        &mut self,
        now: Moment,
        position: Position,
        facts: &Facts<'_>,
        message: &[u8],
    ) {
        self.replaced.rotate_right(1);
        if let Some(first) = self.replaced.first_mut() {
            *first = Some(Replaced {
                boot_id: self.boot_id,
                will_hash: self.will_hash,
                uptime: self.uptime,
            });
        }
        self.drop_what_is_missing(facts);
        // The offset of a boot that goes on stays: it is what tells hoarded frames.
        if self.boot_id != facts.boot_id {
            self.offset = Offset::new(now, facts.uptime.as_ms());
            self.beat = None;
        }
        let is_same_number = self.boot_id == facts.boot_id && self.session == position.session;
        self.beats_from = if is_same_number {
            facts.uptime
        } else {
            Uptime(0)
        };
        self.boot_id = facts.boot_id;
        self.session = position.session;
        self.will_hash = facts.will_hash;
        self.sequence = None;
        self.is_beat_present = false;
        self.facts_sequence = position.sequence;
        self.generation = facts.generation;
        self.opened_uptime = facts.uptime;
        self.uptime = facts.uptime;
        self.facts = message.into();
        self.detail = None;
        self.is_lost = false;
        self.bye = None;
    }

    /// Orders Facts of the same instance.
    pub(super) fn succession(&self, position: Position, facts: &Facts<'_>) -> Succession {
        if facts.boot_id != self.boot_id {
            return self.other_boot(facts);
        }
        if facts.will_hash == self.will_hash && position.session == self.session {
            return if position.sequence > self.facts_sequence {
                Succession::Update
            } else {
                Succession::Stale
            };
        }
        // A number comes round again, and an agent that was restarted may count from 0.
        if position.session == self.session && position.sequence > self.facts_sequence {
            return Succession::Update;
        }
        let is_replaced = self.replaced.iter().flatten().any(|replaced| {
            replaced.will_hash == facts.will_hash && replaced.boot_id == facts.boot_id
        });
        if facts.uptime < self.opened_uptime || (is_replaced && facts.uptime <= self.uptime) {
            Succession::Stale
        } else {
            Succession::Session
        }
    }

    fn other_boot(&self, facts: &Facts<'_>) -> Succession {
        let replaced = self
            .replaced
            .iter()
            .flatten()
            .filter(|replaced| replaced.boot_id == facts.boot_id)
            .map(|replaced| replaced.uptime)
            .max();
        match replaced {
            None => Succession::Session,
            Some(uptime) if facts.uptime <= uptime => Succession::Stale,
            Some(_) => Succession::Cloned,
        }
    }

    fn drop_what_is_missing(&mut self, new: &Facts<'_>) -> bool {
        let Ok(old) = Facts::decode(&self.facts) else {
            return true;
        };
        let mut dropped = core::mem::take(&mut self.dropped);
        let has_resource = |name: &str| new.capacity.iter().any(|resource| resource.name == name);
        let has_condition = |name: &str| new.conditions.iter().any(|custom| custom.name == name);
        let resources = old.capacity.iter().map(|resource| resource.name.into());
        dropped.resources.extend(resources);
        let conditions = old.conditions.iter().map(|custom| custom.name.into());
        dropped.conditions.extend(conditions);
        keep_some(&mut dropped.resources, has_resource);
        keep_some(&mut dropped.conditions, has_condition);
        let is_changed = Facts {
            uptime: new.uptime,
            ..old
        } != *new;
        self.dropped = dropped;
        is_changed
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let names = |names: &Vec<Box<str>>| -> usize {
            names.capacity() * size_of::<Box<str>>()
                + names.iter().map(|name| name.len()).sum::<usize>()
        };
        self.facts.len()
            + self.detail.as_ref().map_or(0, |detail| detail.len())
            + self.beat.as_ref().map_or(0, |beat| {
                beat.readings.capacity() * size_of::<Option<i32>>()
            })
            + names(&self.dropped.resources)
            + names(&self.dropped.conditions)
    }
}

/// Leaves out what is in use again, and bounds what is left.
fn keep_some(names: &mut Vec<Box<str>>, is_in_use: impl Fn(&str) -> bool) {
    names.retain(|name| !is_in_use(name));
    names.sort_unstable();
    names.dedup();
    names.truncate(nodling_protocol::facts::MAX_RESOURCES);
}

fn since_boot(vitals: &Vitals) -> Option<u8> {
    vitals.throttle.map(Throttle::since_boot)
}

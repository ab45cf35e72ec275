//! The nodes behind one connection: whose turn it is, who opens a session, who was
//! spoken to.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use anyhow::Result;
use nodling_protocol::{Announce, Down, Frame, Kind, WillHash};
use tokio::time::Instant;

use super::node::SimulatedNode;

/// Nodes that share a connection.
#[derive(Debug)]
pub(super) struct Crew {
    start: Instant,
    interval: Duration,
    interval_max: Duration,
    members: Vec<Member>,
    by_down_topic: HashMap<String, usize>,
    turns: BinaryHeap<Reverse<(Instant, usize)>>,
    epoch: Option<u64>,
}

#[derive(Debug)]
struct Member {
    node: SimulatedNode,
    /// As the gateway asked; `None` for the fleet's own.
    interval: Option<Duration>,
    /// Its next turn opens a session.
    is_new: bool,
}

/// A frame and where it goes.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) frame: Vec<u8>,
    pub(super) is_beat: bool,
}

impl Crew {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            start: Instant::now(),
            interval,
            interval_max: Duration::MAX,
            members: Vec::new(),
            by_down_topic: HashMap::new(),
            turns: BinaryHeap::new(),
            epoch: None,
        }
    }

    pub(super) fn add(&mut self, node: SimulatedNode, phase: Duration) {
        let index = self.members.len();
        let down = node.down_topic().to_owned();
        self.by_down_topic.insert(down, index);
        self.turns.push(Reverse((self.start + phase, index)));
        self.members.push(Member {
            node,
            interval: None,
            is_new: true,
        });
    }

    /// Whose name the connection's will bears.
    pub(super) fn first_name(&self) -> &str {
        self.members.first().map_or("", |member| member.node.name())
    }

    /// Where the members are spoken to.
    pub(super) fn down_topics(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.node.down_topic())
    }

    /// A new connection: everybody's next turn opens a session.
    pub(super) fn open_sessions(&mut self, now: Instant) {
        for member in &mut self.members {
            member.is_new = true;
        }
        let turns = std::mem::take(&mut self.turns);
        self.turns = turns
            .into_iter()
            .map(|Reverse((at, index))| Reverse((self.turn_after(at, index, now), index)))
            .collect();
    }

    /// When the next turn is.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.turns.peek().map(|Reverse((at, _))| *at)
    }

    /// The frames of the next turn, which has come.
    pub(super) fn take_turn(&mut self, now: Instant, will: WillHash) -> Result<Vec<Outgoing>> {
        let Some(Reverse((at, index))) = self.turns.pop() else {
            return Ok(Vec::new());
        };
        let next = self.turn_after(at + self.interval_of(index), index, now);
        self.turns.push(Reverse((next, index)));
        let mut frames = Vec::new();
        let since = now.saturating_duration_since(self.start);
        if let Some(member) = self.members.get_mut(index).filter(|member| member.is_new) {
            member.is_new = false;
            member.node.open_session();
            frames.extend(self.facts(index, now, will)?);
        }
        if let Some(member) = self.members.get_mut(index) {
            frames.push(Outgoing {
                topic: member.node.topic().to_owned(),
                frame: member.node.beat(since),
                is_beat: true,
            });
        }
        Ok(frames)
    }

    /// Takes what the gateway said; returns Facts where they were asked for.
    pub(super) fn hear(
        &mut self,
        topic: &str,
        payload: &[u8],
        now: Instant,
        will: WillHash,
    ) -> Result<Option<Outgoing>> {
        let Ok(frame) = Frame::parse(payload) else {
            return Ok(None);
        };
        let Some(&index) = self.by_down_topic.get(topic) else {
            if let Ok(announce) = frame.announce() {
                self.heed(announce);
            }
            return Ok(None);
        };
        let Some(member) = self.members.get_mut(index) else {
            return Ok(None);
        };
        let Ok(clear) = frame.clear() else {
            return Ok(None);
        };
        if clear.kind != Kind::Down || !member.node.is_ours(clear.tag, frame.session) {
            return Ok(None);
        }
        match Down::decode(clear.message) {
            Ok(Down::SendFacts) if !member.is_new => self.facts(index, now, will),
            Ok(Down::SetInterval { interval_ms: 0 }) => {
                member.interval = None;
                Ok(None)
            }
            Ok(Down::SetInterval { interval_ms }) => {
                member.interval = Some(Duration::from_millis(interval_ms.into()));
                Ok(None)
            }
            Ok(Down::SendFacts | Down::SendDetail { .. } | Down::Unschedulable(_)) | Err(_) => {
                Ok(None)
            }
        }
    }

    /// A new epoch has forgotten all sessions; everybody opens one within an interval.
    fn heed(&mut self, announce: Announce) {
        self.interval_max = Duration::from_millis(announce.interval_ms_max.into());
        if self.epoch.replace(announce.epoch) != Some(announce.epoch) {
            for member in &mut self.members {
                member.is_new = true;
            }
        }
    }

    fn facts(&mut self, index: usize, now: Instant, will: WillHash) -> Result<Option<Outgoing>> {
        let interval = self.interval_of(index);
        let since = now.saturating_duration_since(self.start);
        let Some(member) = self.members.get_mut(index) else {
            return Ok(None);
        };
        Ok(Some(Outgoing {
            topic: member.node.topic().to_owned(),
            frame: member.node.facts(since, interval, will)?,
            is_beat: false,
        }))
    }

    fn interval_of(&self, index: usize) -> Duration {
        let asked = self.members.get(index).and_then(|member| member.interval);
        let interval = asked.unwrap_or(self.interval).min(self.interval_max);
        // A gateway that asks for nonsense does not make us spin.
        interval.max(Duration::from_millis(10))
    }

    /// The first turn from `at` on, in steps of the interval, that is still to come: turns
    /// that were missed are skipped, not made up for.
    fn turn_after(&self, at: Instant, index: usize, now: Instant) -> Instant {
        let interval = self.interval_of(index);
        let late = now.saturating_duration_since(at);
        let missed = late.as_nanos().div_ceil(interval.as_nanos());
        at + interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
    }
}

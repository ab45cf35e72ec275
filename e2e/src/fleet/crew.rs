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

#[cfg(test)]
mod tests {
    use nodling_protocol::frame::{Message, Position, encode_announce, encode_clear};
    use nodling_protocol::{Class, Facts, Fleet, Heartbeat, Instance};

    use super::*;

    const WILL: WillHash = WillHash([0; WillHash::LEN]);
    const SECOND: Duration = Duration::from_secs(1);

    fn crew(nodes: u32) -> Crew {
        let fleet = Fleet::parse("home").unwrap();
        let mut crew = Crew::new(SECOND);
        for number in 0..nodes {
            let node = SimulatedNode::new(fleet, "play", number as usize, 1).unwrap();
            crew.add(node, SECOND * number / nodes);
        }
        crew
    }

    /// Plays until then; the kinds of frames by topic, in order.
    fn play(crew: &mut Crew, until: Instant) -> Vec<(String, Kind)> {
        let mut frames = Vec::new();
        while let Some(at) = crew.next_turn().filter(|at| *at < until) {
            for outgoing in crew.take_turn(at, WILL).unwrap() {
                let kind = Frame::parse(&outgoing.frame).unwrap().clear().unwrap().kind;
                assert_eq!(outgoing.is_beat, kind == Kind::Heartbeat);
                frames.push((outgoing.topic, kind));
            }
        }
        frames
    }

    fn kinds(frames: &[(String, Kind)]) -> Vec<Kind> {
        frames.iter().map(|(_, kind)| *kind).collect()
    }

    #[test]
    fn every_node_says_facts_once_and_beats_every_interval() {
        let mut crew = crew(10);
        let end = crew.start + SECOND * 3;
        let frames = play(&mut crew, end);
        let facts = kinds(&frames)
            .iter()
            .filter(|kind| **kind == Kind::Facts)
            .count();
        assert_eq!((facts, frames.len() - facts), (10, 30));
        for chunk in kinds(&frames)[..20].chunks(2) {
            assert_eq!(chunk, [Kind::Facts, Kind::Heartbeat]);
        }
    }

    #[test]
    fn a_gateway_reads_what_a_node_says() {
        let mut crew = crew(1);
        let start = crew.start;
        let [facts, beat] = crew.take_turn(start, WILL).unwrap().try_into().unwrap();
        let frame = Frame::parse(&facts.frame).unwrap();
        let facts = Facts::decode(frame.clear().unwrap().message).unwrap();
        assert_eq!(
            (facts.node, facts.interval_ms, frame.sequence),
            ("play-00000", 1000, 0)
        );
        assert!(
            (400..700).contains(&frame.body.len()),
            "{}",
            frame.body.len()
        );
        let frame = Frame::parse(&beat.frame).unwrap();
        let beat = Heartbeat::decode(frame.clear().unwrap().message).unwrap();
        assert_eq!((frame.class, frame.sequence), (Class::Clear, 1));
        assert_eq!(beat.uptime, facts.uptime);
        assert!(beat.vitals.network_sent.is_some());
    }

    #[test]
    fn turns_that_were_missed_are_skipped_and_the_phase_is_kept() {
        let mut crew = crew(1);
        let (start, late) = (crew.start, crew.start + SECOND.mul_f64(5.3));
        crew.take_turn(late, WILL).unwrap();
        assert_eq!(crew.next_turn(), Some(start + SECOND * 6));
    }

    #[test]
    fn a_new_epoch_opens_new_sessions_and_a_known_one_does_not() {
        let mut crew = crew(2);
        let start = crew.start;
        play(&mut crew, start + SECOND);
        let announce = |epoch| {
            let mut frame = [0; 64];
            let announce = Announce {
                epoch,
                version_highest: 1,
                interval_ms_max: 10_000,
            };
            let len = encode_announce(&mut frame, &announce).unwrap();
            frame[..len].to_vec()
        };
        for (epoch, opens) in [(1, true), (1, false), (2, true)] {
            let now = crew.next_turn().unwrap();
            crew.hear("nodling/home/gateway", &announce(epoch), now, WILL)
                .unwrap();
            let frames = play(&mut crew, now + SECOND);
            assert_eq!(kinds(&frames).contains(&Kind::Facts), opens, "{epoch}");
        }
    }

    #[test]
    fn facts_are_said_to_whoever_asks_about_the_present_session() {
        let mut crew = crew(1);
        let start = crew.start;
        play(&mut crew, start + SECOND);
        let probe = crew.take_turn(start + SECOND, WILL).unwrap().remove(0);
        let sent = Frame::parse(&probe.frame).unwrap();
        let mut ask = |session, message| {
            let tag = Instance(sent.clear().unwrap().tag.into()).tag();
            let position = Position {
                tag,
                session,
                sequence: 0,
            };
            let mut frame = [0; 64];
            let len = encode_clear(&mut frame, position, Message::Down(message)).unwrap();
            crew.hear("nodling/home/down/play-00000", &frame[..len], start, WILL)
                .unwrap()
        };
        assert!(ask(sent.session, Down::SendFacts).is_some_and(|facts| !facts.is_beat));
        assert!(ask(sent.session.wrapping_add(1), Down::SendFacts).is_none());
        assert!(ask(sent.session, Down::SetInterval { interval_ms: 250 }).is_none());
        play(&mut crew, start + SECOND * 3);
        let frames = play(&mut crew, start + SECOND * 4);
        assert_eq!(frames.len(), 4);
    }
}

//! The loop, in paused time, with a double of the broker session.

use std::path::Path;
use std::time::Duration;

use nodling_agent::alarm::Alarm;
use nodling_agent::assess::State;
use nodling_agent::encode::Encoder;
use nodling_agent::goodbye::RunError;
use nodling_agent::observe::root::Root;
use nodling_agent::observe::trigger::Resource;
use nodling_agent::observe::{Config, Observer};
use nodling_agent::parts::{Parts, Ports, Signal};
use nodling_agent::publish::trouble::Trouble;
use nodling_agent::publish::{Notice, Outbox, Sent};
use nodling_agent::registration::Registration;
use nodling_agent::run::Agent;
use nodling_protocol::frame::{Message, Position, encode_announce, encode_clear};
use nodling_protocol::{
    Announce, Bye, Down, Facts, Frame, Heartbeat, Instance, Kind, Status, WillHash,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::support::{fixture, write};

const INSTANCE: Instance = Instance(0x0123_4567_89AB_CDEF);
const FIRST_SESSION: u8 = 250;
const CONNECTION: u64 = 1;

/// What the agent said.
#[derive(Debug)]
struct Said {
    kind: Kind,
    session: u8,
    sequence: u64,
    payload: Vec<u8>,
    at: Instant,
}

impl Said {
    fn parse(payload: &[u8]) -> Self {
        let frame = Frame::parse(payload).unwrap();
        Self {
            kind: frame.clear().unwrap().kind,
            session: frame.session,
            sequence: frame.sequence,
            payload: payload.to_vec(),
            at: Instant::now(),
        }
    }

    fn message(&self) -> &[u8] {
        Frame::parse(&self.payload)
            .unwrap()
            .clear()
            .unwrap()
            .message
    }
}

/// The session's end of the loop's channels.
struct Double {
    outbox: watch::Receiver<Outbox>,
    notices: mpsc::Sender<Notice>,
    stalls: mpsc::Sender<Resource>,
    signals: mpsc::Sender<Signal>,
    sent: Sent,
    agent: JoinHandle<Result<(), RunError>>,
}

impl Double {
    fn start(interval: Duration) -> Self {
        let board = fixture("raspberry-pi-4b/idle").path;
        Self::start_on(&board, State::default(), interval)
    }

    fn start_on(board: &Path, state: State, interval: Duration) -> Self {
        let (outbox, outbox_out) = watch::channel(Outbox::new(interval));
        let (notices_in, notices) = mpsc::channel(8);
        let (stalls_in, stalls) = mpsc::channel(2);
        let (signals_in, signals) = mpsc::channel(2);
        let root = Root::open(board).unwrap();
        let agent = Agent::start(Parts {
            observer: Observer::new(root, Config::default()),
            state,
            encoder: Encoder::new(INSTANCE, FIRST_SESSION),
            node: "attic".into(),
            registration: Registration::new(),
            broker: "broker:1883".into(),
            interval,
            random: || 4_000,
        });
        Self {
            outbox: outbox_out,
            notices: notices_in,
            stalls: stalls_in,
            signals: signals_in,
            sent: Sent::default(),
            agent: tokio::spawn(agent.run(Ports {
                // The runtime's, which can be paused.
                alarm: Alarm::default(),
                outbox,
                notices,
                stalls,
                signals,
            })),
        }
    }

    async fn connect(&mut self) {
        let notice = Notice::Connected {
            connection: CONNECTION,
            will_hash: WillHash([3; WillHash::LEN]),
        };
        self.notices.send(notice).await.unwrap();
    }

    async fn next(&mut self) -> Said {
        loop {
            let frame = self
                .outbox
                .borrow_and_update()
                .next(CONNECTION, &mut self.sent)
                .map(Said::parse);
            match frame {
                Some(said) => return said,
                None => self.outbox.changed().await.unwrap(),
            }
        }
    }

    async fn is_silent_for(&mut self, duration: Duration) -> bool {
        timeout(duration, self.next()).await.is_err()
    }

    /// Connects and takes the two frames that open a session.
    async fn open(&mut self) -> u8 {
        self.connect().await;
        let facts = self.next().await;
        assert_eq!((facts.kind, facts.sequence), (Kind::Facts, 0));
        let beat = self.next().await;
        assert_eq!((beat.kind, beat.sequence), (Kind::Heartbeat, 1));
        facts.session
    }

    async fn tell(&mut self, session: u8, tag: u8, down: Down) {
        let mut frame = [0; 64];
        let position = Position {
            tag,
            session,
            sequence: 0,
        };
        let len = encode_clear(&mut frame, position, Message::Down(down)).unwrap();
        self.notices
            .send(Notice::Down(frame[..len].into()))
            .await
            .unwrap();
    }

    async fn announce(&mut self, epoch: u64, interval_ms_max: u32, is_retained: bool) {
        let mut frame = [0; 64];
        let announce = Announce {
            epoch,
            version_highest: 1,
            interval_ms_max,
        };
        let len = encode_announce(&mut frame, &announce).unwrap();
        let notice = Notice::Announced {
            frame: frame[..len].into(),
            is_retained,
        };
        self.notices.send(notice).await.unwrap();
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_session_begins_with_facts_and_beats_in_step() {
    let mut double = Double::start(secs(10));
    assert!(
        double.is_silent_for(secs(35)).await,
        "nothing is said while there is no broker"
    );
    let session = double.open().await;
    assert_eq!(session, FIRST_SESSION.wrapping_add(1));
    let first = double.next().await;
    for count in 3..10 {
        let beat = double.next().await;
        assert_eq!((beat.kind, beat.sequence), (Kind::Heartbeat, count));
        let due = first.at + secs(10) * u32::try_from(count - 2).unwrap();
        assert_eq!(beat.at, due);
    }
}

#[tokio::test(start_paused = true)]
async fn every_connection_is_a_new_session() {
    let mut double = Double::start(secs(10));
    let first = double.open().await;
    let lost = Notice::Disconnected(Trouble::Closed);
    double.notices.send(lost).await.unwrap();
    assert!(double.is_silent_for(secs(60)).await);
    assert_eq!(double.open().await, first.wrapping_add(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_says_goodbye_and_ends_when_it_was_heard() {
    let mut double = Double::start(secs(10));
    double.open().await;
    double.signals.send(Signal::Stop).await.unwrap();
    let bye = double.next().await;
    assert_eq!(Bye::decode(bye.message()), Ok(Bye::Restart));
    assert!(double.outbox.borrow().is_closing());
    let began = Instant::now();
    drop(double.outbox);
    double.agent.await.unwrap().unwrap();
    assert!(began.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_within_two_seconds_though_nobody_hears_it() {
    for is_connected in [false, true] {
        let mut double = Double::start(secs(10));
        if is_connected {
            double.open().await;
        }
        let began = Instant::now();
        double.signals.send(Signal::Stop).await.unwrap();
        double.agent.await.unwrap().unwrap();
        assert!(began.elapsed() < secs(2));
    }
}

#[tokio::test(start_paused = true)]
async fn the_death_of_the_session_ends_the_agent() {
    let double = Double::start(secs(10));
    drop(double.notices);
    let ended = double.agent.await.unwrap();
    assert!(matches!(ended, Err(RunError::SessionEnded)));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_asks_gets_facts_at_most_once_a_second() {
    let mut double = Double::start(secs(60));
    let session = double.open().await;
    let opened = Instant::now();
    for _ in 0..50 {
        double.tell(session, INSTANCE.tag(), Down::SendFacts).await;
    }
    let facts = double.next().await;
    assert_eq!((facts.kind, facts.at), (Kind::Facts, opened + secs(1)));
    assert!(double.is_silent_for(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn commands_for_another_session_or_agent_are_not_obeyed() {
    let mut double = Double::start(secs(60));
    let session = double.open().await;
    let tag = INSTANCE.tag();
    double
        .tell(session.wrapping_sub(1), tag, Down::SendFacts)
        .await;
    double.tell(session, tag ^ 1, Down::SendFacts).await;
    double
        .notices
        .send(Notice::Down((*b"\xFF\x00garbage").into()))
        .await
        .unwrap();
    double
        .notices
        .send(Notice::Down(Box::default()))
        .await
        .unwrap();
    assert!(double.is_silent_for(secs(10)).await);
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_opens_a_new_session_after_its_jitter() {
    let mut double = Double::start(secs(60));
    let session = double.open().await;
    // What had been said before we came has heard us come.
    double.announce(1, 0, true).await;
    double.announce(1, 15_000, false).await;
    let said = Instant::now();
    double.announce(2, 15_000, false).await;
    let facts = loop {
        let said = double.next().await;
        if said.session != session {
            break said;
        }
    };
    assert_eq!(
        (facts.kind, facts.session),
        (Kind::Facts, session.wrapping_add(1))
    );
    assert_eq!(facts.at, said + secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_comes_up_later_is_greeted() {
    let mut double = Double::start(secs(60));
    let session = double.open().await;
    double.announce(1, 60_000, false).await;
    let facts = double.next().await;
    assert_eq!(
        (facts.kind, facts.session),
        (Kind::Facts, session.wrapping_add(1))
    );
}

#[tokio::test(start_paused = true)]
async fn the_gateways_ceiling_and_wish_rule_the_interval() {
    let mut double = Double::start(secs(60));
    let session = double.open().await;
    double.announce(1, 5_000, true).await;
    let (mut beats, mut generation) = (Vec::new(), 0);
    while beats.len() < 4 {
        let said = double.next().await;
        if said.kind == Kind::Facts {
            let facts = Facts::decode(said.message()).unwrap();
            assert_eq!(facts.interval_ms, 5_000);
            generation = facts.generation;
        } else {
            let beat = Heartbeat::decode(said.message()).unwrap();
            assert_eq!((beat.generation, generation), (1, 1));
            beats.push(said.at);
        }
    }
    assert!(
        beats.windows(2).all(|pair| pair[1] - pair[0] == secs(5)),
        "{beats:?}"
    );
    // A wish below the ceiling holds.
    let tag = INSTANCE.tag();
    double
        .tell(session, tag, Down::SetInterval { interval_ms: 2_000 })
        .await;
    let (mut beats, mut facts) = (Vec::new(), Vec::new());
    while beats.len() < 4 {
        let said = double.next().await;
        if said.kind == Kind::Heartbeat {
            beats.push(said.at);
        } else {
            facts.push(said);
        }
    }
    assert_eq!(beats[3] - beats[2], secs(2));
    assert_eq!(
        Facts::decode(facts[0].message()).unwrap().interval_ms,
        2_000
    );
    assert_eq!(double.outbox.borrow().interval(), secs(2));
}

#[tokio::test(start_paused = true)]
async fn wishes_end_with_their_session() {
    let mut double = Double::start(secs(60));
    let session = double.open().await;
    let tag = INSTANCE.tag();
    for wish in [
        Down::SetInterval { interval_ms: 1_000 },
        Down::SendDetail { every_s: 5 },
    ] {
        double.tell(session, tag, wish).await;
    }
    double.announce(1, 60_000, false).await;
    let (mut beats, mut details) = (Vec::new(), 0);
    while beats.len() < 3 {
        let said = double.next().await;
        if said.session != session {
            details += usize::from(said.kind == Kind::Detail);
            beats.extend((said.kind == Kind::Heartbeat).then_some(said.at));
        }
    }
    assert_eq!((beats[2] - beats[1], details), (secs(60), 0));
    assert_eq!(double.outbox.borrow().interval(), secs(60));
}

#[tokio::test(start_paused = true)]
async fn detail_comes_while_it_is_asked_for() {
    let mut double = Double::start(secs(3600));
    let session = double.open().await;
    let tag = INSTANCE.tag();
    double
        .tell(session, tag, Down::SendDetail { every_s: 60 })
        .await;
    let first = double.next().await;
    let second = double.next().await;
    assert_eq!((first.kind, second.kind), (Kind::Detail, Kind::Detail));
    assert_eq!(second.at - first.at, secs(60));
    let detail = nodling_protocol::Detail::decode(second.message()).unwrap();
    assert_eq!(detail.cpus.len(), 4);
    assert!(detail.memory.is_some() && !detail.filesystems.is_empty());
    for _ in 0..20 {
        let every_s = 60;
        double
            .tell(session, tag, Down::SendDetail { every_s })
            .await;
    }
    assert_eq!(double.next().await.at - second.at, secs(5));
    double
        .tell(session, tag, Down::SendDetail { every_s: 0 })
        .await;
    assert!(double.is_silent_for(secs(600)).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_no_longer_than_twelve_hours() {
    let mut double = Double::start(secs(3600));
    let session = double.open().await;
    let opened = Instant::now();
    loop {
        let said = double.next().await;
        if said.session != session {
            assert_eq!((said.kind, said.sequence), (Kind::Facts, 0));
            assert!(said.at - opened <= secs(12 * 3600));
            assert!(said.at - opened > secs(10 * 3600));
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_told_at_once_and_then_no_more_while_it_lasts() {
    let mut double = Double::start(secs(3600));
    double.open().await;
    for resource in [Resource::Cpu, Resource::Io, Resource::Memory] {
        // Facts that were due anyway, and the restraint after the last one.
        assert!(double.is_silent_for(secs(2)).await);
        let began = Instant::now();
        double.stalls.send(resource).await.unwrap();
        let beat = double.next().await;
        assert_eq!((beat.kind, beat.at), (Kind::Heartbeat, began));
        for _ in 0..60 {
            double.stalls.send(resource).await.unwrap();
            assert!(double.is_silent_for(secs(1)).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stalls_of_two_resources_are_told_a_second_apart() {
    let mut double = Double::start(secs(3600));
    double.open().await;
    let began = Instant::now();
    double.stalls.send(Resource::Memory).await.unwrap();
    assert_eq!(double.next().await.at, began);
    for _ in 0..50 {
        double.stalls.send(Resource::Io).await.unwrap();
        double.stalls.send(Resource::Cpu).await.unwrap();
    }
    let beat = double.next().await;
    assert_eq!((beat.kind, beat.at), (Kind::Heartbeat, began + secs(1)));
    assert!(double.is_silent_for(secs(30)).await);
}

#[tokio::test(start_paused = true)]
async fn an_onset_that_a_look_in_turn_finds_waits_for_the_rest_of_the_second() {
    let mut double = Double::start(secs(3600));
    double.open().await;
    let began = Instant::now();
    double.stalls.send(Resource::Memory).await.unwrap();
    assert_eq!(double.next().await.at, began);
    double.stalls.send(Resource::Cpu).await.unwrap();
    assert!(double.is_silent_for(Duration::from_millis(50)).await);
    double.signals.send(Signal::Refresh).await.unwrap();
    let beat = double.next().await;
    assert_eq!((beat.kind, beat.at), (Kind::Heartbeat, began + secs(1)));
    assert!(double.is_silent_for(secs(30)).await);
}

#[tokio::test(start_paused = true)]
async fn beats_stay_in_step_whatever_stalls() {
    let mut double = Double::start(secs(10));
    double.open().await;
    let first = double.next().await;
    double.stalls.send(Resource::Cpu).await.unwrap();
    assert_eq!(double.next().await.at, first.at);
    for count in 1..5 {
        assert_eq!(double.next().await.at, first.at + secs(10) * count);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owners_condition_that_turns_is_told_at_once() {
    let text = "[[condition]]\ntype = \"Loaded\"\nwhen = \"load1 >= 4\"\nclear = \"load1 < 2\"\n";
    let config = nodling_agent::config::Config::parse("agent.toml", text).unwrap();
    let board = fixture("raspberry-pi-4b/idle").copy();
    let state = State::new(config.assess);
    let mut double = Double::start_on(board.path(), state, secs(3600));
    double.open().await;
    let custom = |said: &Said| {
        let beat = Heartbeat::decode(said.message()).unwrap();
        (beat.custom.get(0), beat.custom.get(1), beat.generation)
    };
    for (load, expected) in [("4.00", Status::True), ("1.99", Status::False)] {
        let text = format!("{load} 0.10 0.05 1/200 1234\n");
        write(board.path(), "proc/loadavg", text);
        let changed = Instant::now();
        let beat = double.next().await;
        assert_eq!(beat.kind, Kind::Heartbeat);
        assert!(beat.at - changed <= secs(10), "{:?}", beat.at - changed);
        assert_eq!(custom(&beat), (Some(expected), None, 0));
        // In between nothing changes, and nothing is told.
        write(board.path(), "proc/loadavg", "3.00 0.10 0.05 1/200 1234\n");
        assert!(double.is_silent_for(secs(60)).await);
    }
}

//! The loop: reads, judges, encodes and hands over, until it is told to stop.
//!
//! One `select!` over a closed set of inputs. The agent never waits for the broker: while
//! there is none it observes on, and what it would have said is not kept.

use std::time::Duration;

use nodling_protocol::{Announce, Bye, Down, Frame, Kind, WillHash};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::agenda::{Agenda, after, phase};
use crate::assess::stalls::pressure_hint;
use crate::assess::{Assessment, assess};
use crate::encode::{Identity, facts};
use crate::goodbye::{self, Goodbye, LEAVE_WITHIN, RunError};
use crate::observe::trigger::Resource;
use crate::observe::{Detail, Observation};
use crate::onset::{Change, Due, Stalls, Told};
use crate::parts::{Parts, Ports, Signal};
use crate::publish::trouble::Trouble;
use crate::publish::{Notice, Outbox, Slot};
use crate::{telemetry, unjudged};

/// Conditions are judged at least this often, however seldom beats are wanted.
const OBSERVE_EVERY_MAX: Duration = Duration::from_secs(10);
/// No gateway can ask for more.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// No gateway can ask for less.
const INTERVAL_MAX: Duration = Duration::from_hours(1);
/// A fleet that greets a new gateway spreads over this.
const HELLO_JITTER_MS: u64 = 10_000;
/// Crystals drift: a session's clock is trusted for twelve hours.
const SESSION_MAX: Duration = Duration::from_hours(12);
/// By how much a session may be shorter, so that a fleet does not renew in step.
const SESSION_JITTER_MS: u64 = 3_600_000;
/// Facts on request come no more often.
const FACTS_APART: Duration = Duration::from_secs(1);
/// Detail on request comes no more often.
const DETAIL_EVERY_MIN: Duration = Duration::from_secs(5);
/// A contested connection that lives this long is ours alone.
const SETTLED_AFTER: Duration = Duration::from_mins(1);
/// What a goodbye may take; systemd and people wait for it.
const GOODBYE_WITHIN: Duration = Duration::from_millis(1_500);

/// Every cause of work.
#[derive(Debug)]
enum Input {
    Due,
    Notice(Notice),
    Pressure(Resource),
    Signal(Signal),
}

/// Counts of what was not obeyed.
#[derive(Clone, Copy, Debug, Default)]
struct Rejected {
    malformed: u32,
    stale: u32,
    dropped: u32,
}

/// One agent, between start and stop.
#[derive(Debug)]
pub struct Agent {
    parts: Parts,
    agenda: Agenda,
    latest: (Observation, Assessment),
    stalls: Stalls,
    /// Of the present connection; `None` while there is none.
    will_hash: Option<WillHash>,
    connected_at: Option<Instant>,
    trouble: Option<Trouble>,
    epoch: Option<u64>,
    interval_asked: Option<Duration>,
    interval_max: Duration,
    detail_every: Option<Duration>,
    facts_at: Option<Instant>,
    detail_at: Option<Instant>,
    is_unschedulable: Option<bool>,
    rejected: Rejected,
}

impl Agent {
    /// Observes for the first time; the next tick's phase is the node's own.
    pub fn start(mut parts: Parts) -> Self {
        let now = Instant::now();
        let latest = observe(&mut parts, Detail::Dropped);
        unjudged::warn_unjudged(&latest.0, &latest.1);
        telemetry::log_hint(pressure_hint(&latest.0));
        let first = phase(&parts.node, parts.interval);
        Self {
            agenda: Agenda {
                observe: now + first.min(OBSERVE_EVERY_MAX),
                beat: now + first,
                hello: None,
                facts: None,
                detail: None,
                alive: telemetry::watchdog_every().map(|every| now + every),
            },
            parts,
            latest,
            stalls: Stalls::default(),
            will_hash: None,
            connected_at: None,
            trouble: None,
            epoch: None,
            interval_asked: None,
            interval_max: INTERVAL_MAX,
            detail_every: None,
            facts_at: None,
            detail_at: None,
            is_unschedulable: None,
            rejected: Rejected::default(),
        }
    }

    /// Runs until a signal stops it, then says goodbye if anybody listens.
    pub async fn run(mut self, mut ports: Ports) -> Result<(), RunError> {
        loop {
            let input = tokio::select! {
                () = ports.alarm.until(self.agenda.next()) => Input::Due,
                notice = ports.notices.recv() => match notice {
                    Some(notice) => Input::Notice(notice),
                    None => return Err(RunError::SessionEnded),
                },
                Some(resource) = ports.stalls.recv() => Input::Pressure(resource),
                Some(signal) = ports.signals.recv() => Input::Signal(signal),
            };
            let now = Instant::now();
            match input {
                Input::Due => self.due(now, &ports.outbox),
                Input::Notice(notice) => self.take(notice, now, &ports.outbox),
                Input::Pressure(resource) => {
                    debug!(?resource, "the kernel reports a stall");
                    if let Some(at) = self.stalls.report(resource, now) {
                        self.agenda.observe = self.agenda.observe.min(at);
                    }
                }
                Input::Signal(Signal::Refresh) => {
                    self.parts.observer.refresh();
                    self.agenda.observe = now;
                }
                Input::Signal(Signal::Stop) => {
                    let bye = if self.parts.observer.is_shutting_down() {
                        Bye::Shutdown
                    } else {
                        Bye::Restart
                    };
                    match self.goodbye(bye, GOODBYE_WITHIN, &mut ports).await {
                        Goodbye::Said => {}
                        Goodbye::Failed(trouble) => debug!(%trouble, "the goodbye was not taken"),
                        Goodbye::Unanswered => debug!("the goodbye was not acknowledged"),
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Connects, says goodbye for good, and ends.
    pub async fn leave(mut self, mut ports: Ports) -> Result<(), RunError> {
        let broker = self.parts.broker.clone();
        let connected = async {
            while let Some(notice) = ports.notices.recv().await {
                match notice {
                    Notice::Connected { .. } => return Ok(notice),
                    Notice::Disconnected(trouble) => {
                        let broker = self.parts.broker.clone();
                        return Err(RunError::NotConnected { broker, trouble });
                    }
                    Notice::Refused(_)
                    | Notice::Accepted
                    | Notice::Down(_)
                    | Notice::Announced { .. }
                    | Notice::Dropped => {}
                }
            }
            Err(RunError::SessionEnded)
        };
        let Ok(connected) = tokio::time::timeout(LEAVE_WITHIN, connected).await else {
            return Err(RunError::NoAnswer { broker });
        };
        self.take(connected?, Instant::now(), &ports.outbox);
        match self.goodbye(Bye::Leave, LEAVE_WITHIN, &mut ports).await {
            Goodbye::Said => Ok(()),
            Goodbye::Failed(trouble) => Err(RunError::Unheard { broker, trouble }),
            Goodbye::Unanswered => Err(RunError::NoAnswer { broker }),
        }
    }

    async fn goodbye(&mut self, bye: Bye, within: Duration, ports: &mut Ports) -> Goodbye {
        telemetry::stopping();
        info!(?bye, is_connected = self.will_hash.is_some(), "stopping");
        let bye = self.will_hash.map(|_| self.parts.encoder.bye(bye));
        goodbye::say(bye, within, ports).await
    }

    fn due(&mut self, now: Instant, outbox: &watch::Sender<Outbox>) {
        if self.agenda.alive.is_some_and(|at| at <= now) {
            telemetry::alive();
            self.agenda.alive = telemetry::watchdog_every().map(|every| now + every);
        }
        if self.agenda.hello.is_some_and(|at| at <= now) {
            self.open_session(now, outbox);
        }
        if self.agenda.observe <= now || self.agenda.beat <= now {
            self.tick(now, outbox);
        }
        if self.agenda.facts.is_some_and(|at| at <= now) {
            self.agenda.facts = None;
            self.send_facts(now, Slot::Facts, outbox);
        }
        if self.agenda.detail.is_some_and(|at| at <= now) {
            self.send_detail(now, outbox);
        }
    }

    fn tick(&mut self, now: Instant, outbox: &watch::Sender<Outbox>) {
        let interval = self.interval();
        let observe_every = interval.min(OBSERVE_EVERY_MAX);
        let due = if self.agenda.beat <= now {
            self.agenda.beat = after(self.agenda.beat, interval, now);
            // Together with the beats wherever both are due: files are read once.
            self.agenda.observe = now + observe_every;
            Due::Beat
        } else {
            self.agenda.observe = after(self.agenda.observe, observe_every, now);
            Due::Look
        };
        let change = self.look(now);
        let told = self.stalls.look(now, due, change);
        if let Told::Later(at) = told {
            self.agenda.observe = self.agenda.observe.min(at);
        }
        if self.will_hash.is_none() {
            return;
        }
        self.settle(now);
        if self.has_news() {
            self.send_facts(now, Slot::Facts, outbox);
        }
        if told == Told::Beat {
            self.send_heartbeat(outbox);
        }
    }

    fn look(&mut self, now: Instant) -> Change {
        let before = self.latest.1.statuses();
        self.latest = observe(&mut self.parts, Detail::Dropped);
        self.stalls.raise(now, &mut self.latest.1.vitals);
        if telemetry::log_transitions(before, &self.latest.1) {
            Change::Some
        } else {
            Change::None
        }
    }

    fn take(&mut self, notice: Notice, now: Instant, outbox: &watch::Sender<Outbox>) {
        match notice {
            Notice::Connected {
                connection,
                will_hash,
            } => {
                self.will_hash = Some(will_hash);
                self.connected_at = Some(now);
                let is_contested = self
                    .trouble
                    .as_ref()
                    .is_some_and(Trouble::outlives_a_connection);
                if is_contested {
                    debug!(broker = %self.parts.broker, "connected to the broker");
                } else {
                    self.trouble = None;
                    info!(broker = %self.parts.broker, "connected to the broker");
                }
                telemetry::status(&format!("connected to {}", self.parts.broker));
                outbox.send_modify(|outbox| outbox.connect(connection));
                self.open_session(now, outbox);
            }
            Notice::Disconnected(trouble) => {
                self.will_hash = None;
                self.connected_at = None;
                self.agenda.hello = None;
                self.agenda.facts = None;
                self.agenda.detail = None;
                self.say(trouble);
            }
            Notice::Refused(trouble) => self.say(trouble),
            Notice::Accepted => {
                self.trouble = None;
                info!(broker = %self.parts.broker, "the broker passes our frames on again");
                telemetry::status(&format!("connected to {}", self.parts.broker));
            }
            Notice::Down(frame) => self.obey(&frame, now, outbox),
            Notice::Announced { frame, is_retained } => {
                self.greet(&frame, is_retained, now, outbox);
            }
            Notice::Dropped => {
                self.rejected.dropped = self.rejected.dropped.saturating_add(1);
                debug!(rejected = ?self.rejected, "dropped a message that nobody may send here");
            }
        }
    }

    /// A connection that lasts ends a trouble that outlived others.
    fn settle(&mut self, now: Instant) {
        let is_stable = self
            .connected_at
            .is_some_and(|at| now - at >= SETTLED_AFTER);
        let is_over = self
            .trouble
            .as_ref()
            .is_some_and(Trouble::outlives_a_connection);
        if is_stable && is_over {
            self.trouble = None;
            info!(broker = %self.parts.broker, "the connection to the broker lasts again");
        }
    }

    /// Logs a trouble when it is another than before.
    fn say(&mut self, trouble: Trouble) {
        telemetry::status(&format!("{}: {trouble}", self.parts.broker));
        if self.trouble.as_ref() == Some(&trouble) {
            debug!(broker = %self.parts.broker, %trouble, "the same again");
        } else {
            warn!(broker = %self.parts.broker, "{trouble}");
            self.trouble = Some(trouble);
        }
    }

    fn open_session(&mut self, now: Instant, outbox: &watch::Sender<Outbox>) {
        self.parts.observer.refresh();
        self.parts.encoder.open();
        // Wishes end with the session they were sent to: who restarts does not know of them.
        (self.interval_asked, self.detail_every) = (None, None);
        self.agenda.detail = None;
        self.apply_interval(now, outbox);
        self.look(now);
        self.has_news();
        let early = Duration::from_millis((self.parts.random)() % SESSION_JITTER_MS);
        self.agenda.hello = Some(now + SESSION_MAX.saturating_sub(early));
        self.agenda.facts = None;
        self.send_facts(now, Slot::Opening, outbox);
        self.send_heartbeat(outbox);
        debug!(session = self.parts.encoder.session(), "session opened");
    }

    /// What the gateway says of itself.
    fn greet(
        &mut self,
        frame: &[u8],
        is_retained: bool,
        now: Instant,
        outbox: &watch::Sender<Outbox>,
    ) {
        let announce = Frame::parse(frame).and_then(|frame| frame.announce());
        let Ok(Announce {
            epoch,
            interval_ms_max,
            ..
        }) = announce
        else {
            self.rejected.malformed = self.rejected.malformed.saturating_add(1);
            return;
        };
        // One that had been said before we came has heard us come.
        let is_news = self.epoch.map_or(!is_retained, |known| known != epoch);
        self.epoch = Some(epoch);
        if is_news {
            let jitter = Duration::from_millis((self.parts.random)() % HELLO_JITTER_MS);
            let hello = now + jitter;
            self.agenda.hello = Some(self.agenda.hello.map_or(hello, |at| at.min(hello)));
        }
        let interval_max = Duration::from_millis(interval_ms_max.into());
        self.interval_max = interval_max.clamp(INTERVAL_MIN, INTERVAL_MAX);
        self.apply_interval(now, outbox);
    }

    /// What the gateway wants.
    fn obey(&mut self, frame: &[u8], now: Instant, outbox: &watch::Sender<Outbox>) {
        let opened = Frame::parse(frame).and_then(|frame| Ok((frame.session, frame.clear()?)));
        let Ok((session, clear)) = opened else {
            self.rejected.malformed = self.rejected.malformed.saturating_add(1);
            return;
        };
        if clear.kind != Kind::Down || !self.parts.encoder.is_ours(clear.tag, session) {
            self.rejected.stale = self.rejected.stale.saturating_add(1);
            return;
        }
        match Down::decode(clear.message) {
            Ok(Down::SendFacts) => {
                let earliest = self.facts_at.map_or(now, |at| at + FACTS_APART);
                self.agenda.facts = Some(earliest.max(now));
            }
            Ok(Down::SendDetail { every_s }) => {
                let every = Duration::from_secs(every_s.into()).max(DETAIL_EVERY_MIN);
                self.detail_every = (every_s != 0).then_some(every);
                let earliest = self.detail_at.map_or(now, |at| at + DETAIL_EVERY_MIN);
                self.agenda.detail = self.detail_every.map(|_| earliest.max(now));
            }
            Ok(Down::Unschedulable(is_unschedulable)) => {
                if self.is_unschedulable.replace(is_unschedulable) != Some(is_unschedulable) {
                    info!(is_unschedulable, "the gateway tells whether pods may come");
                }
            }
            Ok(Down::SetInterval { interval_ms }) => {
                let interval = Duration::from_millis(interval_ms.into());
                self.interval_asked = (interval_ms != 0).then_some(interval);
                self.apply_interval(now, outbox);
            }
            Err(_) => self.rejected.malformed = self.rejected.malformed.saturating_add(1),
        }
    }

    fn apply_interval(&mut self, now: Instant, outbox: &watch::Sender<Outbox>) {
        let interval = self.interval();
        self.agenda.beat = self.agenda.beat.min(now + interval);
        self.agenda.observe = self.agenda.observe.min(now + interval);
        outbox.send_if_modified(|outbox| {
            let has_changed = outbox.interval() != interval;
            outbox.set_interval(interval);
            has_changed
        });
    }

    fn interval(&self) -> Duration {
        let wanted = self.interval_asked.unwrap_or(self.parts.interval);
        wanted
            .min(self.interval_max)
            .clamp(INTERVAL_MIN, INTERVAL_MAX)
    }

    fn interval_ms(&self) -> u32 {
        u32::try_from(self.interval().as_millis()).unwrap_or(u32::MAX)
    }

    fn has_news(&mut self) -> bool {
        let (node, registration) = (&self.parts.node, &self.parts.registration);
        let identity = Identity::new(node, self.will_hash, self.interval_ms(), registration);
        let facts = facts(identity, &self.latest.0, &self.latest.1);
        self.parts.encoder.has_news(&facts)
    }

    fn send_facts(&mut self, now: Instant, slot: Slot, outbox: &watch::Sender<Outbox>) {
        if self.will_hash.is_none() {
            return;
        }
        let (node, registration) = (&self.parts.node, &self.parts.registration);
        let identity = Identity::new(node, self.will_hash, self.interval_ms(), registration);
        let facts = facts(identity, &self.latest.0, &self.latest.1);
        let frame = self.parts.encoder.facts(facts);
        outbox.send_modify(|outbox| outbox.put(slot, frame));
        self.facts_at = Some(now);
    }

    fn send_heartbeat(&mut self, outbox: &watch::Sender<Outbox>) {
        let frame = self.parts.encoder.heartbeat(&self.latest.1);
        outbox.send_modify(|outbox| outbox.put(Slot::Heartbeat, frame));
    }

    fn send_detail(&mut self, now: Instant, outbox: &watch::Sender<Outbox>) {
        self.agenda.detail = self.detail_every.map(|every| now + every);
        if self.detail_every.is_some() && self.will_hash.is_some() {
            let observation = self.parts.observer.observe(Detail::Kept);
            let frame = self.parts.encoder.detail(&observation);
            outbox.send_modify(|outbox| outbox.put(Slot::Detail, frame));
            self.detail_at = Some(now);
        }
    }
}

fn observe(parts: &mut Parts, detail: Detail) -> (Observation, Assessment) {
    let observation = parts.observer.observe(detail);
    let before = parts.state.address_error();
    let assessment = assess(&mut parts.state, &observation);
    telemetry::log_addresses(before, &assessment);
    (observation, assessment)
}

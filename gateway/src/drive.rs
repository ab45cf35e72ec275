//! Takes every input to the core, and everything the core decides to where it is done.
//!
//! Holds what the loop knows besides the core: what is in trouble (logged when it begins and
//! when it ends, shown on `/readyz`) and what is counted. Never waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::apiserver::Store;
use crate::apply::{Applied, Applier, is_retryable};
use crate::clock::{Moment, Now};
use crate::config::FleetName;
use crate::decode::{Reject, Report, decode};
use crate::metrics::{Metrics, failure_label, ignored_label, reject_label};
use crate::receive::{Downlink, Message, Received};
use crate::reconcile::{Action, Core, Failure};
use crate::roster::{Folded, Ignored, Member, Throttle};
use crate::seen::Collection;
use crate::serve::Readiness;
use crate::time::Clocks;
use crate::watch::Watched;

/// Writes must go well for so long before the API counts as well again.
const CALM: Duration = Duration::from_secs(3);

/// Every cause of work.
#[derive(Debug)]
pub enum Input {
    /// A write is finished.
    Applied(Applied),
    /// The broker.
    Received(Received),
    /// Time has passed.
    Tick,
    /// Kubernetes changed, or cannot be watched.
    Watched(Watched),
}

/// The core and its hands.
pub struct Driver {
    core: Core,
    clocks: Clocks,
    fleet: FleetName,
    applier: Applier,
    downlink: Downlink,
    metrics: Arc<Metrics>,
    readiness: watch::Sender<Readiness>,
    throttle: Throttle,
    /// Boards without a Node that were named in the log.
    waiting: BTreeSet<Box<str>>,
    writes: Writes,
    watches: Watches,
}

/// Whether Kubernetes takes writes.
#[derive(Debug, Default)]
struct Writes {
    trouble: Option<String>,
    last_failure: Moment,
}

/// Why collections cannot be watched; a collection that was never listed cannot.
#[derive(Debug)]
struct Watches {
    nodes: Option<String>,
    leases: Option<String>,
}

/// What a [`Driver`] is made of.
pub struct Parts {
    /// Decides.
    pub core: Core,
    /// Time.
    pub clocks: Clocks,
    /// Whose topics.
    pub fleet: FleetName,
    /// Writes.
    pub applier: Applier,
    /// Frames for boards.
    pub downlink: Downlink,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// Trouble.
    pub readiness: watch::Sender<Readiness>,
}

impl Driver {
    /// Everything is in trouble until it has shown otherwise.
    pub fn new(parts: Parts) -> Self {
        let not_yet = || Some("not connected yet".to_owned());
        parts.readiness.send_modify(|readiness| {
            readiness.broker = not_yet();
            readiness.api = Some("not listed yet".to_owned());
        });
        Self {
            core: parts.core,
            clocks: parts.clocks,
            fleet: parts.fleet,
            applier: parts.applier,
            downlink: parts.downlink,
            metrics: parts.metrics,
            readiness: parts.readiness,
            throttle: Throttle::for_log(),
            waiting: BTreeSet::new(),
            writes: Writes::default(),
            watches: Watches {
                nodes: Some("nodes not listed yet".to_owned()),
                leases: Some("leases not listed yet".to_owned()),
            },
        }
    }

    /// The next finished write.
    pub async fn applied(&mut self) -> Result<Applied, tokio::task::JoinError> {
        self.applier.next().await
    }

    /// Writes not yet finished.
    pub fn unfinished(&self) -> usize {
        self.applier.len()
    }

    /// When the core wants to be ticked.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.core.next_deadline()
    }

    /// Does what an input asks for.
    pub fn take(&mut self, input: Input) {
        let actions = match input {
            Input::Applied(applied) => self.take_applied(applied),
            Input::Received(Received::Message(message)) => self.take_message(&message),
            Input::Received(Received::Up) => {
                self.set(|readiness| &mut readiness.broker, None);
                self.core.broker_up(self.clocks.now())
            }
            Input::Received(Received::Down(reason)) => {
                self.set(|readiness| &mut readiness.broker, Some(reason));
                self.core.broker_down(self.clocks.now())
            }
            Input::Tick => self.tick(),
            Input::Watched(watched) => self.take_watched(watched),
        };
        for action in actions {
            self.submit(action);
        }
    }

    /// Counts the nodes by whether they are heard, and names those that wait for a Node.
    pub fn count_nodes(&mut self, now: Moment) {
        let roster = self.core.roster();
        let (mut alive, mut silent) = (0, 0);
        for claim in roster.members().filter_map(Member::claim) {
            if roster.is_alive(claim, now) {
                alive += 1;
            } else {
                silent += 1;
            }
        }
        let waiting: BTreeSet<Box<str>> = self.core.unregistered(now).map(Box::from).collect();
        for node in waiting.difference(&self.waiting) {
            warn!(
                %node,
                "the board beats and has no Node: register_node is false here or on the board; \
                 make the Node, or allow it"
            );
        }
        self.metrics.update(|counts| {
            counts.nodes.insert("alive", alive);
            counts.nodes.insert("silent", silent);
            counts.nodes.insert("unregistered", waiting.len());
        });
        self.waiting = waiting;
    }

    /// Takes over what the embedded store says of itself.
    pub fn set_store(&self, store: &Store) {
        let trouble = store.last_error();
        let figures = store.metrics();
        self.metrics.update(|counts| {
            counts.store_bytes = Some(figures.bytes_written);
            counts.store_objects = figures.objects;
        });
        self.set(|readiness| &mut readiness.store, trouble);
    }

    fn submit(&mut self, action: Action) {
        if let Some((node, frame)) = self.applier.submit(action) {
            let is_sent = self.downlink.publish(&node, frame.into_vec());
            debug!(%node, is_sent, "frame for the board");
        }
    }

    fn take_message(&mut self, message: &Message) -> Vec<Action> {
        let now = Now {
            moment: message.arrival,
            ..self.clocks.now()
        };
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        let decoded = decode(
            self.fleet.fleet(),
            topic,
            &message.payload,
            message.is_retained,
        );
        let (node, report) = match decoded {
            Ok(decoded) => decoded,
            Err(reject) => {
                self.reject(now.moment, topic, reject);
                return Vec::new();
            }
        };
        let is_heartbeat = matches!(report, Report::Heartbeat(..));
        let (folded, actions) = self.core.fold(now, node, &report);
        match folded {
            Folded::Accepted { .. } if is_heartbeat => {
                self.metrics.update(|counts| counts.heartbeats += 1);
            }
            Folded::Accepted { .. } => {}
            Folded::Ignored(ignored) => self.ignore(now.moment, node.as_str(), ignored),
        }
        actions
    }

    fn reject(&mut self, now: Moment, topic: &str, reject: Reject) {
        self.metrics.update(|counts| counts.reject(reject));
        // Names that are none share a line a minute.
        let name = topic.rsplit('/').next().unwrap_or_default();
        let node = nodling_protocol::NodeName::parse(name).map_or("?", |name| name.as_str());
        if self.throttle.admit(now, node) {
            warn!(node, reason = reject_label(reject), "message rejected");
        }
    }

    fn ignore(&mut self, now: Moment, node: &str, ignored: Ignored) {
        self.metrics.update(|counts| counts.ignore(ignored));
        let reason = ignored_label(ignored);
        match ignored {
            // Ordinary: the network repeats and reorders, and gateways restart.
            Ignored::StaleSequence | Ignored::UnknownSession | Ignored::WillMismatch => {
                debug!(node, reason, "message ignored");
            }
            Ignored::ClonedCard | Ignored::DuplicateNode | Ignored::RosterFull => {
                if self.throttle.admit(now, node) {
                    warn!(node, reason, "message ignored");
                }
            }
        }
    }

    fn take_applied(&mut self, applied: Applied) -> Vec<Action> {
        let Applied {
            outcome,
            elapsed,
            complaint,
        } = applied;
        let now = self.clocks.now();
        let failure = outcome.result.as_ref().err().copied();
        self.metrics.update(|counts| counts.apply(elapsed, failure));
        if let Some(failure) = failure {
            let complaint = complaint.unwrap_or_default();
            self.complain(now.moment, &outcome.node, failure, complaint);
        }
        self.core.outcome(now, outcome)
    }

    fn complain(&mut self, now: Moment, node: &str, failure: Failure, complaint: String) {
        let reason = failure_label(failure);
        match failure {
            // Races that the next comparison settles.
            Failure::AlreadyExists | Failure::Conflict | Failure::NotFound => {
                debug!(node, reason, error = complaint, "write lost a race");
                return;
            }
            Failure::Invalid => {
                if self.throttle.admit(now, (node, reason)) {
                    warn!(node, reason, error = complaint, "write refused");
                }
                return;
            }
            Failure::Forbidden | Failure::TooManyRequests { .. } | Failure::Unavailable => {}
        }
        self.writes.last_failure = now;
        if self.writes.trouble.is_none() {
            let is_retryable = is_retryable(failure);
            warn!(
                reason,
                error = complaint,
                is_retryable,
                "writes to kubernetes fail"
            );
        }
        self.writes.trouble = Some(complaint);
        self.set_api_trouble();
    }

    fn take_watched(&mut self, watched: Watched) -> Vec<Action> {
        match watched {
            Watched::Change(change) => return self.core.seen(self.clocks.now(), change),
            Watched::Broken(collection, reason) => *self.watched(collection) = Some(reason),
            Watched::Following(collection) => {
                if self.watched(collection).take().is_some() {
                    info!(?collection, "watching kubernetes");
                }
            }
        }
        self.set_api_trouble();
        Vec::new()
    }

    const fn watched(&mut self, collection: Collection) -> &mut Option<String> {
        match collection {
            Collection::Leases => &mut self.watches.leases,
            Collection::Nodes => &mut self.watches.nodes,
        }
    }

    fn tick(&mut self) -> Vec<Action> {
        let now = self.clocks.now();
        let is_calm = now.moment.since(self.writes.last_failure) >= CALM;
        if is_calm && self.writes.trouble.take().is_some() {
            info!("writes to kubernetes succeed again");
            self.set_api_trouble();
        }
        let doubt = self.clocks.complaint();
        self.set(|readiness| &mut readiness.clock, doubt.map(str::to_owned));
        let waiting = self.applier.len();
        self.metrics.update(|counts| counts.apply_waiting = waiting);
        self.core.tick(now)
    }

    fn set_api_trouble(&self) {
        let Watches { nodes, leases } = &self.watches;
        let trouble = nodes.as_ref().or(leases.as_ref());
        let trouble = trouble.or(self.writes.trouble.as_ref()).cloned();
        self.set(|readiness| &mut readiness.api, trouble);
    }

    /// Changes one part, and wakes whoever waits only if it is different.
    fn set(&self, part: fn(&mut Readiness) -> &mut Option<String>, trouble: Option<String>) {
        self.readiness.send_if_modified(|readiness| {
            let part = part(readiness);
            let is_different = *part != trouble;
            *part = trouble;
            is_different
        });
    }
}

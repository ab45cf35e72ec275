//! The gateway's core and the embedded API around simulated nodes, in simulated time.
//!
//! Frames go in as wire bytes; actions are done by the gateway's own `apply` through the
//! in-process client, and outcomes come back, as in the real loop. What the loop has beyond
//! that, the watch, would only repeat the outcomes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use nodling_gateway::apiserver::{ApiServer, Store, StoreOptions};
use nodling_gateway::apply::Applier;
use nodling_gateway::clock::{Moment, Now};
use nodling_gateway::decode::decode;
use nodling_gateway::reconcile::{Action, Core, Lifecycle, Settings};
use nodling_gateway::roster::Folded;
use nodling_gateway::seen::{Collection, SeenChange};
use nodling_protocol::{Fleet, Will};

use crate::fleet::node::SimulatedNode;

/// The nodes' interval.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// Where simulated time begins.
const EPOCH: Timestamp = Timestamp::constant(1_800_000_000, 0);
/// The gateway has been up for a while by then.
const START_MS: u64 = 1_000_000;

/// Simulated time, shared with the API server.
#[derive(Clone, Debug)]
pub(super) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }

    pub(super) fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(by_ms, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Now {
        Now {
            moment: Moment(self.0.load(Ordering::Relaxed)),
            wall: Some(self.wall()),
        }
    }

    pub(super) fn wall(&self) -> Timestamp {
        let ms = i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        EPOCH
            .checked_add(SignedDuration::from_millis(ms))
            .unwrap_or(EPOCH)
    }

    /// Since simulated time began.
    pub(super) fn since_start(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed) - START_MS)
    }
}

/// A core as the loop has it once both collections are listed and empty.
pub(super) fn core(clock: &Clock) -> Core {
    let mut core = Core::new(settings(), clock.now());
    core.broker_up(clock.now());
    for collection in [Collection::Nodes, Collection::Leases] {
        core.seen(clock.now(), SeenChange::Relisting(collection));
        core.seen(clock.now(), SeenChange::Relisted(collection));
    }
    core
}

pub(super) fn settings() -> Settings {
    Settings {
        lifecycle: Lifecycle::Embedded,
        ..Settings::default()
    }
}

pub(super) fn fleet() -> Fleet<'static> {
    Fleet::parse("home").expect("it is a name")
}

/// Simulated nodes; the same for the same number in every process.
pub(super) fn nodes(count: usize) -> Result<Vec<SimulatedNode>> {
    (0..count)
        .map(|number| SimulatedNode::new(fleet(), "bench", number, 1))
        .collect()
}

/// Facts of a session that begins.
pub(super) fn opening(node: &mut SimulatedNode, clock: &Clock) -> Result<Vec<u8>> {
    node.open_session();
    node.facts(clock.since_start(), INTERVAL, Will([7; Will::LEN]).hash())
}

/// Takes wire bytes as the loop does.
pub(super) fn take(
    core: &mut Core,
    now: Now,
    topic: &str,
    payload: &[u8],
) -> Result<(Folded, Vec<Action>)> {
    let (node, report) = decode(fleet(), topic, payload, false)?;
    Ok(core.fold(now, node, &report))
}

/// A gateway with its API, and nodes that beat.
pub(super) struct Home {
    pub(super) clock: Clock,
    pub(super) core: Core,
    pub(super) nodes: Vec<SimulatedNode>,
    pub(super) store: Arc<Store>,
    pub(super) api: ApiServer,
    applier: Applier,
}

impl Home {
    pub(super) fn open(dir: &Path, count: usize) -> Result<Self> {
        let clock = Clock::new();
        let store = Arc::new(Store::open(dir, StoreOptions::default())?);
        let stamps = clock.clone();
        let api = ApiServer::new(Arc::clone(&store), move || stamps.wall());
        Ok(Self {
            core: core(&clock),
            nodes: nodes(count)?,
            applier: Applier::new(api.client()),
            clock,
            store,
            api,
        })
    }

    /// Every node says Facts and beats once, and is Ready; Kubernetes is as the core wants it.
    pub(super) async fn register(&mut self) -> Result<()> {
        /// Enough to share commits, few enough to show an error early.
        const TOGETHER: usize = 256;
        let mut from = 0;
        while from < self.nodes.len() {
            let to = (from + TOGETHER).min(self.nodes.len());
            for index in from..to {
                self.open_session(index)?;
                self.beat(index)?;
            }
            self.settle().await?;
            from = to;
        }
        Ok(())
    }

    fn open_session(&mut self, index: usize) -> Result<()> {
        let node = self.nodes.get_mut(index).context("there is such a node")?;
        let frame = opening(node, &self.clock)?;
        let topic = node.topic().to_owned();
        self.hear(&topic, &frame)
    }

    /// A node's next beat.
    pub(super) fn beat(&mut self, index: usize) -> Result<()> {
        let node = self.nodes.get_mut(index).context("there is such a node")?;
        let frame = node.beat(self.clock.since_start());
        let topic = node.topic().to_owned();
        self.hear(&topic, &frame)
    }

    fn hear(&mut self, topic: &str, frame: &[u8]) -> Result<()> {
        let (folded, actions) = take(&mut self.core, self.clock.now(), topic, frame)?;
        ensure!(
            matches!(folded, Folded::Accepted { is_fresh: true, .. }),
            "{topic} was not taken: {folded:?}"
        );
        self.submit(actions);
        Ok(())
    }

    /// What has come due.
    pub(super) fn tick(&mut self) {
        let actions = self.core.tick(self.clock.now());
        self.submit(actions);
    }

    fn submit(&mut self, actions: Vec<Action>) {
        for action in actions {
            // Frames for boards go nowhere.
            drop(self.applier.submit(action));
        }
    }

    /// Lets every write arrive, and what follows from its outcome.
    pub(super) async fn settle(&mut self) -> Result<()> {
        while !self.applier.is_empty() {
            let applied = self.applier.next().await?;
            if let Some(complaint) = applied.complaint {
                anyhow::bail!("{:?}: {complaint}", applied.outcome.write);
            }
            let actions = self.core.outcome(self.clock.now(), applied.outcome);
            self.submit(actions);
        }
        Ok(())
    }
}

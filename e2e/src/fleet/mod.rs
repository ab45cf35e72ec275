//! Plays many agents over few connections: the agent's encoder and backoff, simulated boards.
//!
//! Beats are spread evenly over the interval. A node says Facts first in every session, and
//! again when a gateway asks or announces a new epoch. What a real fleet does differently: one
//! connection and one will per node, and Facts at once after a reconnect instead of at the
//! node's next turn, because a thousand boards do not reconnect in the same millisecond.

pub mod node;
mod tally;
mod crew;
mod link;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use nodling_agent::publish::broker::Broker;
use nodling_protocol::Fleet;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crew::Crew;
use link::Link;
use node::SimulatedNode;

pub use tally::{Counters, Tally};

/// What is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// How often each beats, unless the gateway asks for more.
    pub interval: Duration,
    /// Where.
    pub broker: Broker,
    /// How the broker is trusted, for `mqtts`.
    pub tls: Option<Arc<ClientConfig>>,
    /// The fleet's name.
    pub fleet: String,
    /// What the nodes' names begin with.
    pub prefix: String,
    /// Connections to the broker, at most one per node.
    pub connections: usize,
    /// Told when a connection breaks, or the first attempt fails.
    pub say: fn(&str),
}

/// Plays until told to stop, then waits for the last acknowledgements.
pub async fn play(
    options: Options,
    counters: Arc<Counters>,
    stop: watch::Receiver<bool>,
) -> Result<Tally> {
    ensure!(options.nodes > 0, "there must be at least one node");
    ensure!(!options.interval.is_zero(), "the interval must not be zero");
    let mut tasks = JoinSet::new();
    for crew in crews(&options)? {
        let link = Link::new(&options, Arc::clone(&counters));
        tasks.spawn(link.keep(crew, stop.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(counters.tally())
}

/// Deals the nodes out, so that each connection's beats are spread over the interval too.
fn crews(options: &Options) -> Result<Vec<Crew>> {
    let fleet = Fleet::parse(&options.fleet)?;
    let boot = getrandom::u64()?;
    let connections = options.connections.clamp(1, options.nodes);
    let mut crews: Vec<Crew> = (0..connections)
        .map(|_| Crew::new(options.interval))
        .collect();
    for number in 0..options.nodes {
        let node = SimulatedNode::new(fleet, &options.prefix, number, boot)?;
        let phase = options.interval * u32::try_from(number)? / u32::try_from(options.nodes)?;
        if let Some(crew) = crews.get_mut(number % connections) {
            crew.add(node, phase);
        }
    }
    Ok(crews)
}

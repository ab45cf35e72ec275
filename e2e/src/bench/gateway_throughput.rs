//! Heartbeats per second, from wire bytes through `decode` into a core with 10,000 nodes whose
//! Nodes and Leases are as it wants them; one thread, shuffled, frames made beforehand.
//!
//! The first figure is a beat that changes nothing and renews nothing, which is what a beat is
//! between two renewals. The second is one that renews its Lease each time: reconcile builds
//! the renewal, and hears of its outcome, as in a loop that keeps up with 10 s intervals.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use nodling_gateway::decode::decode;
use nodling_gateway::reconcile::{Action, Core, Outcome, Write, Written};
use nodling_gateway::seen::SeenLease;

use super::home::{Clock, Home, INTERVAL, fleet};
use super::{Bound, Row};
use crate::fleet::node::next;

const NODES: usize = 10_000;
/// The best of so many passes over all nodes counts: noise only ever slows down.
const PASSES: usize = 12;
/// Between passes in which nothing is to be renewed.
const SHORT: Duration = Duration::from_millis(400);

/// A beat on its way.
struct Wire {
    topic: String,
    frame: Vec<u8>,
}

/// Measures.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let mut home = Home::open(dir.path(), NODES)?;
    home.register().await?;
    let folding = best(&mut home, SHORT, fold_all)?;
    let renewing = best(&mut home, INTERVAL, renew_all)?;
    Ok(vec![
        Row::new("gateway-throughput/fold", folding, "beats/s")
            .must(Bound::AtLeast(600_000.0))
            .aim(Bound::AtLeast(2_000_000.0)),
        Row::new("gateway-throughput/renew", renewing, "beats/s"),
    ])
}

/// The rate of the fastest pass.
fn best(
    home: &mut Home,
    apart: Duration,
    pass: fn(&mut Core, &Clock, &[Wire]) -> Result<()>,
) -> Result<f64> {
    let mut fastest = Duration::MAX;
    for number in 0..PASSES {
        home.clock.advance(apart);
        let beats = beats(home, number as u64);
        let start = Instant::now();
        pass(&mut home.core, &home.clock, &beats)?;
        fastest = fastest.min(start.elapsed());
    }
    Ok(NODES as f64 / fastest.as_secs_f64())
}

/// One beat of every node, shuffled.
fn beats(home: &mut Home, mut seed: u64) -> Vec<Wire> {
    let since = home.clock.since_start();
    let mut beats: Vec<Wire> = home
        .nodes
        .iter_mut()
        .map(|node| Wire {
            topic: node.topic().to_owned(),
            frame: node.beat(since),
        })
        .collect();
    for last in (1..beats.len()).rev() {
        let other = usize::try_from(next(&mut seed) % (last as u64 + 1)).unwrap_or(0);
        beats.swap(last, other);
    }
    beats
}

fn fold_all(core: &mut Core, clock: &Clock, beats: &[Wire]) -> Result<()> {
    let now = clock.now();
    let mut actions = 0;
    for Wire { topic, frame } in beats {
        let (node, report) = decode(fleet(), topic, frame, false)?;
        actions += core.fold(now, node, &report).1.len();
    }
    ensure!(
        actions == 0,
        "{actions} actions where nothing was to be done"
    );
    Ok(())
}

fn renew_all(core: &mut Core, clock: &Clock, beats: &[Wire]) -> Result<()> {
    let now = clock.now();
    let mut renewals = 0;
    for Wire { topic, frame } in beats {
        let (node, report) = decode(fleet(), topic, frame, false)?;
        for action in core.fold(now, node, &report).1 {
            if let Action::RenewLease { node, body } = action {
                renewals += 1;
                core.outcome(now, renewed(node, &body));
            }
        }
    }
    ensure!(
        renewals == beats.len(),
        "{renewals} renewals for {} beats",
        beats.len()
    );
    Ok(())
}

/// What the API would answer.
fn renewed(node: Box<str>, lease: &Lease) -> Outcome {
    Outcome {
        node,
        write: Write::RenewLease,
        result: Ok(Written::Lease(SeenLease::trim(lease))),
    }
}

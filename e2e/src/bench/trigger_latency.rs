//! From the beginning of a stall for memory to the beat that tells of it, at the broker.
//!
//! The agent beats once an hour, so that no regular beat can be mistaken for it. Some of the time
//! is the stall's own: its programs start, and fill the little memory that they have.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use super::board::{self, Listener};
use super::{Bound, Row};
use crate::lab::Lab;
use crate::stall::MemoryStall;

const SAMPLES: usize = 5;
/// What else this machine does is told at the start, once.
const SETTLED: Duration = Duration::from_secs(5);
/// Two of the longest windows: what happened before is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(4);
/// A beat that takes longer is none.
const LIMIT: Duration = Duration::from_secs(20);

/// Measures.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn measure() -> Result<Vec<Row>> {
    // A user namespace has every capability, as far as pressure files ask for one.
    let with = latencies(&["unshare", "-Ur"]).await?;
    let without = latencies(&["setpriv", "--bounding-set", "-sys_resource"]).await?;
    let [median, slowest] = [SAMPLES / 2, SAMPLES - 1];
    let of = |all: &[f64], position: usize| all.get(position).copied().context("a sample");
    Ok(vec![
        Row::new("trigger-latency/capability", of(&with, median)?, "s").must(Bound::AtMost(1.0)),
        Row::new("trigger-latency/capability-max", of(&with, slowest)?, "s"),
        Row::new("trigger-latency/unprivileged", of(&without, median)?, "s")
            .must(Bound::AtMost(3.0)),
        Row::new(
            "trigger-latency/unprivileged-max",
            of(&without, slowest)?,
            "s",
        ),
    ])
}

/// In seconds, the quickest first.
async fn latencies(wrapper: &[&str]) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for _ in 0..SAMPLES {
        let lab = Lab::start_broker().await?;
        let mut listener = Listener::connect(&lab).await?;
        let agent = board::start(&lab, "1h", wrapper)?;
        listener.beats(1, LIMIT).await?;
        sleep(SETTLED).await;
        listener.forget();
        let began = Instant::now();
        let stall = MemoryStall::begin(lab.path())?;
        let stall = stall.context("no memory cgroup can be made here: run it as root")?;
        listener.beats(1, LIMIT).await?;
        latencies.push(began.elapsed().as_secs_f64());
        agent.id().context("the agent ended")?;
        drop(stall);
        sleep(FORGOTTEN).await;
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

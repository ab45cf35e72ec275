//! Resident memory of the agent as it is flashed, after thirty beats at one second.
//!
//! Built for this machine: its C library is shared with other programs, which Pss divides and
//! a static binary on a board would not.

use std::time::Duration;

use anyhow::Result;

use super::board::{self, Listener, kilobytes};
use super::{Bound, Row};
use crate::lab::Lab;

const BEATS: usize = 31;
const KIB_PER_MB: f64 = 1_000_000.0 / 1024.0;

/// Measures.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn measure() -> Result<Vec<Row>> {
    let lab = Lab::start_broker().await?;
    let mut listener = Listener::connect(&lab).await?;
    let agent = board::start(&lab, "1s", &[])?;
    listener.beats(BEATS, Duration::from_secs(1)).await?;
    let pid = agent.id()?;
    let resident = kilobytes(pid, "status", "VmRSS:")? / KIB_PER_MB;
    let proportional = kilobytes(pid, "smaps_rollup", "Pss:")? / KIB_PER_MB;
    let peak = kilobytes(pid, "status", "VmHWM:")? / KIB_PER_MB;
    Ok(vec![
        Row::new("agent-memory/rss", resident, "MB")
            .must(Bound::AtMost(4.0))
            .aim(Bound::AtMost(3.0)),
        Row::new("agent-memory/pss", proportional, "MB").aim(Bound::AtMost(2.0)),
        Row::new("agent-memory/peak-rss", peak, "MB"),
    ])
}

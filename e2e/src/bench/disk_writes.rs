//! Bytes that the gateway writes to its disk per day with fifty idle nodes, from half an hour
//! of simulated time.
//!
//! The kernel counts them (`write_bytes`: pages made dirty), on a real disk. Registration is
//! over before and told apart: it happens once. Lease renewals, heartbeat times, periodic
//! status, garbage collection and flushes happen as in the gateway's loop.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::home::{Home, INTERVAL};
use super::{Bound, Row, runner};

const NODES: usize = 50;
const MEASURED: Duration = Duration::from_mins(30);
const DAY: Duration = Duration::from_hours(24);
/// The gateway's `monitor_period`.
const STEP: Duration = Duration::from_secs(1);
/// The gateway's `flush_interval`.
const FLUSH_EVERY: Duration = Duration::from_mins(5);
/// How often the gateway's loop collects garbage.
const COLLECT_EVERY: Duration = Duration::from_mins(1);

/// Measures.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir_in(runner::target()?)?;
    check_disk(dir.path())?;
    let before = written()?;
    let mut home = Home::open(dir.path(), NODES)?;
    home.register().await?;
    home.store.flush()?;
    let registered = written()?;
    // The first period also brings what follows a registration.
    pass(&mut home, FLUSH_EVERY).await?;
    let (start, handed_over) = (written()?, home.store.metrics().bytes_written);
    pass(&mut home, MEASURED).await?;
    let end = written()?;
    let per_day = DAY.as_secs_f64() / MEASURED.as_secs_f64();
    let daily = |from: u64, to: u64| (to - from) as f64 * per_day / 1e6;
    let handed_over = daily(handed_over, home.store.metrics().bytes_written);
    let dirtied = daily(start, end);
    ensure!(
        dirtied > 0.0,
        "the kernel does not count what is written here"
    );
    Ok(vec![
        Row::new("disk-writes/day", dirtied, "MB").must(Bound::AtMost(20.0)),
        Row::new("disk-writes/day-handed-over", handed_over, "MB"),
        Row::new(
            "disk-writes/registration",
            (registered - before) as f64 / 1e6,
            "MB",
        ),
    ])
}

/// Lets simulated time pass: every node beats in its turn.
async fn pass(home: &mut Home, time: Duration) -> Result<()> {
    let turns = INTERVAL.as_secs() / STEP.as_secs();
    for step in 1..=time.as_secs() / STEP.as_secs() {
        home.clock.advance(STEP);
        home.tick();
        for index in 0..NODES {
            if index as u64 % turns == step % turns {
                home.beat(index)?;
            }
        }
        home.settle().await?;
        let passed = home.clock.since_start();
        if passed.as_secs().is_multiple_of(COLLECT_EVERY.as_secs()) {
            home.store.collect_garbage(home.clock.wall()).await;
        }
        if passed.as_secs().is_multiple_of(FLUSH_EVERY.as_secs()) {
            home.store.flush()?;
        }
    }
    Ok(())
}

/// Bytes of pages that this process made dirty.
fn written() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(number.context("no write_bytes")?.trim().parse()?)
}

fn check_disk(dir: &Path) -> Result<()> {
    const TMPFS: u64 = 0x0102_1994;
    let kind = u64::try_from(rustix::fs::statfs(dir)?.f_type).unwrap_or(0);
    ensure!(kind != TMPFS, "{} is memory, not a disk", dir.display());
    Ok(())
}

//! The agent's CPU time per heartbeat, as a multiple of merely reading the same kernel files.
//!
//! What "the same files" are is not guessed: a second agent runs under strace, and every file
//! that it opened with success in a whole number of ticks is opened, read to its end and
//! closed again in a loop, every fstatfs made again. What the agent opened in vain is left
//! out, which makes the loop cheaper and the ratio worse.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, Mode, OFlags};

use super::board::{self, Listener};
use super::{Bound, Row};
use crate::lab::Lab;

const INTERVAL: Duration = Duration::from_secs(1);
const WARM_UP_BEATS: usize = 5;
/// Two of the agent's half minutes, so that what it reads every half minute counts twice.
const MEASURED_BEATS: usize = 60;
/// One half minute.
const TRACED_BEATS: usize = 31;
/// Read first in every tick.
const TICK: &str = "proc/stat";
/// The best of so many loops is what reading costs.
const LOOPS: usize = 20;

/// One thing the agent asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ask {
    Read(PathBuf),
    List(PathBuf),
    StatFs(PathBuf),
}

/// Measures.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn measure() -> Result<Vec<Row>> {
    let agent_us = agent_us().await?;
    let (asks, ticks) = trace().await?;
    ensure!(asks.len() > ticks, "the trace shows next to nothing");
    let hot_us = (0..LOOPS)
        .map(|_| reading_us(&asks))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .fold(f64::INFINITY, f64::min)
        / ticks as f64;
    let paced_us = paced_us(&asks, ticks).await?;
    Ok(vec![
        Row::new("agent-cpu/ratio", agent_us / hot_us, "x")
            .must(Bound::AtMost(3.0))
            .aim(Bound::AtMost(2.0)),
        Row::new("agent-cpu/ratio-paced", agent_us / paced_us, "x"),
        Row::new("agent-cpu/beat", agent_us, "µs"),
        Row::new("agent-cpu/reading", hot_us, "µs"),
        Row::new("agent-cpu/reading-paced", paced_us, "µs"),
        Row::new("agent-cpu/files", asks.len() as f64 / ticks as f64, ""),
    ])
}

/// CPU time of the real agent per beat: observing, judging, encoding, sending, and its
/// acknowledgement.
async fn agent_us() -> Result<f64> {
    let lab = Lab::start_broker().await?;
    let mut listener = Listener::connect(&lab).await?;
    let agent = board::start(&lab, "1s", &[])?;
    listener.beats(WARM_UP_BEATS, INTERVAL).await?;
    let before_ns = board::cpu_ns(agent.id()?)?;
    listener.beats(MEASURED_BEATS, INTERVAL).await?;
    let spent_ns = board::cpu_ns(agent.id()?)? - before_ns;
    Ok(spent_ns as f64 / 1000.0 / MEASURED_BEATS as f64)
}

/// What the agent asked of the kernel in a number of whole ticks.
async fn trace() -> Result<(Vec<Ask>, usize)> {
    let lab = Lab::start_broker().await?;
    let mut listener = Listener::connect(&lab).await?;
    let log = lab.path().join("strace");
    let to = log.display().to_string();
    let what = "trace=openat,openat2,fstatfs";
    let wrapper = ["strace", "-f", "-y", "-qq", "-e", what, "-o", &to];
    let mut agent = board::start(&lab, "1s", &wrapper)
        .context("strace is needed to see what the agent reads: apt-get install strace")?;
    // The tick before the first beat and the first one belong to the start.
    listener.beats(TRACED_BEATS + 2, INTERVAL).await?;
    agent.kill().await?;
    let text = std::fs::read_to_string(&log)?;
    let asks: Vec<Ask> = text.lines().filter_map(parse).collect();
    Ok(whole_ticks(&asks))
}

/// The asks between two beginnings of ticks, the first few ticks left out, and how many ticks
/// they are.
fn whole_ticks(asks: &[Ask]) -> (Vec<Ask>, usize) {
    let is_tick = |ask: &Ask| *ask == Ask::Read(Path::new("/").join(TICK));
    let begins: Vec<usize> = asks
        .iter()
        .enumerate()
        .filter_map(|(at, ask)| is_tick(ask).then_some(at))
        .collect();
    let (Some(&first), Some(&last)) = (begins.get(2), begins.last()) else {
        return (Vec::new(), 1);
    };
    let between = asks.get(first..last).unwrap_or_default().to_vec();
    (between, begins.len() - 3)
}

/// A line such as `7 openat(3</>, "proc/stat", O_RDONLY|O_CLOEXEC) = 9</proc/stat>`; `None`
/// for what failed, what is not the kernel's, and what only names a file to ask about later.
fn parse(line: &str) -> Option<Ask> {
    let (_, call) = line.split_once(' ')?;
    let (call, result) = call.trim_start().rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let path = |text: &str| {
        let path = text.split('"').nth(1)?;
        let path = Path::new("/").join(path);
        let is_kernels = ["/proc", "/sys", "/etc", "/run"]
            .iter()
            .any(|root| path.starts_with(root));
        // Our own proc would show another process's mounts than the agent's, if at all.
        is_kernels.then_some(path)
    };
    if let Some(arguments) = call.strip_prefix("fstatfs(") {
        let (_, rest) = arguments.split_once('<')?;
        let (path, _) = rest.split_once('>')?;
        return Some(Ask::StatFs(path.into()));
    }
    let arguments = call
        .strip_prefix("openat(")
        .or_else(|| call.strip_prefix("openat2("))?;
    if arguments.contains("O_PATH") {
        return None;
    }
    let path = path(arguments)?;
    if arguments.contains("O_DIRECTORY") {
        Some(Ask::List(path))
    } else {
        Some(Ask::Read(path))
    }
}

/// CPU time of asking everything once, as cheaply as it can be asked.
fn reading_us(asks: &[Ask]) -> Result<f64> {
    let before_ns = own_cpu_ns()?;
    ask_all(asks)?;
    Ok((own_cpu_ns()? - before_ns) as f64 / 1000.0)
}

/// The same in the agent's rhythm: with whatever caches a second leaves.
async fn paced_us(asks: &[Ask], ticks: usize) -> Result<f64> {
    const PACED_TICKS: usize = 20;
    let per_tick = asks.len() / ticks;
    let mut spent_us = 0.0;
    for tick in asks.chunks(per_tick).take(PACED_TICKS) {
        tokio::time::sleep(INTERVAL).await;
        spent_us += reading_us(tick)?;
    }
    Ok(spent_us / PACED_TICKS.min(ticks) as f64)
}

fn ask_all(asks: &[Ask]) -> Result<()> {
    let mut buffer = [0; 16 * 1024];
    for ask in asks {
        match ask {
            Ask::Read(path) => {
                // What has gone since, such as a network interface, costs nobody anything.
                if let Ok(mut file) = File::open(path) {
                    while file.read(&mut buffer).unwrap_or(0) > 0 {}
                }
            }
            Ask::List(path) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
                for entry in rustix::fs::Dir::new(directory)? {
                    std::hint::black_box(entry?);
                }
            }
            Ask::StatFs(path) => {
                let file =
                    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                std::hint::black_box(rustix::fs::fstatfs(file)?);
            }
        }
    }
    Ok(())
}

fn own_cpu_ns() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_or_is_not_the_kernels_is_not_asked_again() {
        let stat = Some(Ask::Read("/proc/stat".into()));
        let text = r#"12  openat(3</>, "proc/stat", O_RDONLY|O_CLOEXEC) = 9</proc/stat>"#;
        assert_eq!(parse(text), stat);
        let text = r#"12  openat(3</>, "sys/x", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file)"#;
        assert_eq!(parse(text), None);
        let text = r#"12  openat(AT_FDCWD</w>, "/lib/libc.so.6", O_RDONLY|O_CLOEXEC) = 3</lib>"#;
        assert_eq!(parse(text), None);
        let text = "12  fstatfs(9</data>, {f_type=EXT2_SUPER_MAGIC}) = 0";
        assert_eq!(parse(text), Some(Ask::StatFs("/data".into())));
    }

    #[test]
    fn only_whole_ticks_count() {
        let tick = Ask::Read("/proc/stat".into());
        let other = Ask::Read("/proc/meminfo".into());
        let asks: Vec<Ask> = std::iter::repeat_n([tick.clone(), other.clone()], 5)
            .flatten()
            .collect();
        let (between, ticks) = whole_ticks(&asks);
        assert_eq!((between.len(), ticks), (4, 2));
        assert_eq!(between, [tick.clone(), other.clone(), tick, other]);
    }
}

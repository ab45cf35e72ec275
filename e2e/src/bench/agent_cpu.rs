//! The agent's CPU time per heartbeat, as a multiple of merely reading the same kernel files.
//!
//! What "the same files" are is not guessed: an agent runs under strace first, and every file
//! that it read with success in a number of whole ticks is opened, read to its end and closed
//! again, every fstatfs made again. What the agent asked in vain is left out, which makes reading
//! cheaper and the ratio worse.
//!
//! Both sides run at the same pace, since at one beat a second a processor has forgotten most of
//! what it had in its caches, and reading costs twice what it costs in a loop without a pause:
//! the loop turns once a second, half a second after each beat. Beside it, without a pause on
//! either side, stand the agent's own stages, packet and acknowledgement included, and the same
//! reading (decision 0011).

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nodling_agent::assess::{State, assess};
use nodling_agent::encode::{Encoder, Identity, facts};
use nodling_agent::observe::root::Root;
use nodling_agent::observe::{self, Detail, Observer};
use nodling_agent::publish::broker::Broker;
use nodling_agent::publish::locate::Locator;
use nodling_agent::publish::mqtt::Session;
use nodling_agent::publish::{Notice, Outbox, Slot};
use nodling_agent::registration::Registration;
use nodling_protocol::{Fleet, Instance, NodeName};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, watch};

use super::board::{self, Listener};
use super::{Bound, Row};
use crate::lab::Lab;

const INTERVAL: Duration = Duration::from_secs(1);
const WARM_UP_BEATS: usize = 5;
/// Two of the agent's half minutes, so that what it reads every half minute counts twice.
const MEASURED_BEATS: usize = 60;
/// One half minute, and what belongs to the start.
const TRACED_BEATS: usize = 33;
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
    let ticks = trace().await?;
    let (beat_us, reading_us) = side_by_side(&ticks).await?;
    let (beat_hot_us, reading_hot_us) = without_a_pause(&ticks).await?;
    let asks: usize = ticks.iter().map(Vec::len).sum();
    let bounded = |row: Row| row.must(Bound::AtMost(3.0)).aim(Bound::AtMost(2.0));
    Ok(vec![
        bounded(Row::new("agent-cpu/ratio", beat_us / reading_us, "x")),
        bounded(Row::new(
            "agent-cpu/ratio-hot",
            beat_hot_us / reading_hot_us,
            "x",
        )),
        Row::new("agent-cpu/beat", beat_us, "µs"),
        Row::new("agent-cpu/reading", reading_us, "µs"),
        Row::new("agent-cpu/beat-hot", beat_hot_us, "µs"),
        Row::new("agent-cpu/reading-hot", reading_hot_us, "µs"),
        Row::new("agent-cpu/files", asks as f64 / ticks.len() as f64, ""),
    ])
}

/// CPU time of a beat, from the first file until the broker has acknowledged and passed on the
/// packet, and of reading what it reads; each without a pause, and of each the best round.
async fn without_a_pause(ticks: &[Vec<Ask>]) -> Result<(f64, f64)> {
    let lab = Lab::start_broker().await?;
    let mut listener = Listener::connect(&lab).await?;
    let broker = Broker::parse(&lab.broker.url())?;
    let (tell, heard) = mpsc::unbounded_channel();
    let beats_a_round = ticks.len();
    // A thread of its own, so that its CPU time is the agent's alone.
    let beating = std::thread::spawn(move || beat_on(broker, beats_a_round, heard));
    while !beating.is_finished() {
        // The last one has been heard when the thread ends, and nothing comes any more.
        if tokio::time::timeout(INTERVAL, listener.beats(1, INTERVAL))
            .await
            .is_err()
        {
            continue;
        }
        if tell.send(()).is_err() {
            break;
        }
    }
    let Ok(beat_us) = beating.join() else {
        anyhow::bail!("the thread that beats panicked");
    };
    let mut reading_best_us = f64::INFINITY;
    for _ in 0..LOOPS {
        let round_us = ticks.iter().map(|tick| reading_us(tick));
        reading_best_us = reading_best_us.min(round_us.sum::<Result<f64>>()?);
    }
    Ok((beat_us?, reading_best_us / ticks.len() as f64))
}

/// Beats as fast as the broker passes beats on; returns the CPU time of one.
fn beat_on(
    broker: Broker,
    beats_a_round: usize,
    mut heard: mpsc::UnboundedReceiver<()>,
) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (outbox, newest) = watch::channel(Outbox::new(INTERVAL));
    let (to_notices, mut notices) = mpsc::channel(16);
    let names = (Fleet::parse("home")?, NodeName::parse(board::NAME)?);
    let session = Session::new(Locator::at(broker), None, names.0, names.1, 0xCDEF);
    let beats = async move {
        let session = session.run(newest, to_notices, || getrandom::u64().unwrap_or_default());
        tokio::spawn(session);
        let notice = tokio::time::timeout(INTERVAL * 5, notices.recv()).await?;
        let Some(Notice::Connected { connection, .. }) = notice else {
            anyhow::bail!("no connection but {notice:?}");
        };
        outbox.send_modify(|outbox| outbox.connect(connection));
        let registration = Registration::new();
        let identity = Identity::new(board::NAME, None, 1000, &registration);
        let mut state = State::default();
        let mut encoder = Encoder::new(Instance(1), 0);
        let mut best_us = f64::INFINITY;
        for _ in 0..LOOPS {
            let before_us = own_cpu_us();
            // A new one reads again what is read rarely, as the agent did in one of these ticks.
            let mut observer = Observer::new(Root::open("/")?, observe::Config::default());
            for _ in 0..beats_a_round {
                let observation = observer.observe(Detail::Dropped);
                let assessment = assess(&mut state, &observation);
                let facts = facts(identity, &observation, &assessment);
                std::hint::black_box(encoder.has_news(&facts));
                let frame = encoder.heartbeat(&assessment);
                outbox.send_modify(|outbox| outbox.put(Slot::Heartbeat, frame));
                let heard = tokio::time::timeout(INTERVAL * 5, heard.recv()).await?;
                heard.context("nobody listens")?;
            }
            best_us = best_us.min(own_cpu_us() - before_us);
        }
        Ok(best_us / beats_a_round as f64)
    };
    // A task, as in the agent.
    runtime.block_on(async { tokio::spawn(beats).await? })
}

/// CPU time per beat of the real agent, which observes, judges, encodes, sends and takes the
/// acknowledgement; and of reading what it reads.
async fn side_by_side(ticks: &[Vec<Ask>]) -> Result<(f64, f64)> {
    let lab = Lab::start_broker().await?;
    let mut listener = Listener::connect(&lab).await?;
    let agent = board::start(&lab, "1s", &[])?;
    listener.beats(WARM_UP_BEATS, INTERVAL).await?;
    let before_ns = board::cpu_ns(agent.id()?)?;
    let mut reading_total_us = 0.0;
    for tick in ticks.iter().cycle().take(MEASURED_BEATS) {
        listener.beats(1, INTERVAL).await?;
        tokio::time::sleep(INTERVAL / 2).await;
        reading_total_us += reading_us(tick)?;
    }
    let spent_ns = board::cpu_ns(agent.id()?)? - before_ns;
    let per_beat = |total_us: f64| total_us / MEASURED_BEATS as f64;
    Ok((
        per_beat(spent_ns as f64 / 1000.0),
        per_beat(reading_total_us),
    ))
}

/// What the agent asked of the kernel, by ticks.
async fn trace() -> Result<Vec<Vec<Ask>>> {
    let lab = Lab::start_broker().await?;
    let mut listener = Listener::connect(&lab).await?;
    let log = lab.path().join("strace");
    let to = log.display().to_string();
    let what = "trace=openat,openat2,pread64,fstatfs";
    // -D: the agent stays our child, to be ended like any other.
    let wrapper = ["strace", "-D", "-f", "-y", "-qq", "-e", what, "-o", &to];
    let mut agent = board::start(&lab, "1s", &wrapper)
        .context("strace is needed to see what the agent reads: apt-get install strace")?;
    listener.beats(TRACED_BEATS, INTERVAL).await?;
    agent.terminate(INTERVAL * 5).await?;
    let text = std::fs::read_to_string(&log)?;
    let asks: Vec<Ask> = text.lines().filter_map(parse).collect();
    let ticks = whole_ticks(&asks);
    let asks: usize = ticks.iter().map(Vec::len).sum();
    ensure!(
        asks > 2 * ticks.len(),
        "the trace shows next to nothing:\n{text}"
    );
    Ok(ticks)
}

/// The asks of each tick; what the first ones and the last one ask belongs to start and end.
fn whole_ticks(asks: &[Ask]) -> Vec<Vec<Ask>> {
    const OF_THE_START: usize = 2;
    let is_tick = |ask: &Ask| *ask == Ask::Read(Path::new("/").join(TICK));
    let begins: Vec<usize> = asks
        .iter()
        .enumerate()
        .filter_map(|(at, ask)| is_tick(ask).then_some(at))
        .collect();
    begins
        .windows(2)
        .skip(OF_THE_START)
        .filter_map(|pair| Some(asks.get(*pair.first()?..*pair.last()?)?.to_vec()))
        .collect()
}

/// A line such as `7 openat(3</>, "proc/stat", O_RDONLY|O_CLOEXEC) = 9</proc/stat>`; `None`
/// for what failed, what is not the kernel's, and what only names a file to ask about later.
fn parse(line: &str) -> Option<Ask> {
    let (process, call) = line.split_once(' ')?;
    let (call, result) = call.trim_start().rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let kernels = |path: &str| {
        let path = Path::new("/").join(path);
        let roots = ["/proc", "/sys", "/etc", "/run"];
        let is_kernels = roots.iter().any(|root| path.starts_with(root));
        is_kernels.then_some(path)
    };
    // A file that stays open is read again from its start.
    if let Some(arguments) = call.strip_prefix("pread64(") {
        let (_, rest) = arguments.split_once('<')?;
        let (path, rest) = rest.split_once('>')?;
        // By then the agent's own directory is gone; ours is like it.
        let path = path.replacen(&format!("/proc/{process}/"), "/proc/self/", 1);
        return kernels(&path)
            .filter(|_| rest.ends_with(", 0)"))
            .map(Ask::Read);
    }
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
    let path = kernels(arguments.split('"').nth(1)?)?;
    if arguments.contains("O_DIRECTORY") {
        Some(Ask::List(path))
    } else {
        Some(Ask::Read(path))
    }
}

/// CPU time of asking everything once, as cheaply as it can be asked.
fn reading_us(asks: &[Ask]) -> Result<f64> {
    let before_us = own_cpu_us();
    ask_all(asks)?;
    Ok(own_cpu_us() - before_us)
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

/// Exact, unlike schedstat's figure for whoever is running.
fn own_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
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
        let text = r#"12  pread64(11</proc/stat>, "cpu  1080955 208"..., 8192, 0) = 1202"#;
        assert_eq!(parse(text), stat);
        let text = r#"12  pread64(11</proc/stat>, "", 6990, 1202) = 0"#;
        assert_eq!(parse(text), None);
        let text = r#"12  pread64(11</proc/12/mountinfo>, "22 27"..., 8192, 0) = 1486"#;
        let own = "/proc/self/mountinfo";
        assert_eq!(parse(text), Some(Ask::Read(own.into())));
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
        assert_eq!(whole_ticks(&asks), vec![vec![tick, other]; 2]);
    }
}

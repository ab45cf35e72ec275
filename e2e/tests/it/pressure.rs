//! Real pressure: memory is filled, the root's disk fills up, a mount never answers, tasks wait
//! for memory. The board says so, in time, and says when it is over.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nodling_e2e::lab::{Agent, LIMIT, Lab, condition};
use nodling_e2e::mqtt::Mqtt;
use nodling_e2e::process::program;
use nodling_e2e::stall::{CpuStall, MemoryStall};
use nodling_e2e::wait;
use nodling_protocol::units::Permille;
use nodling_protocol::{Frame, Heartbeat, Kind, Vitals};
use tokio::process::Command;

/// As short as the kubelet's own can be made.
const TRANSITION: &str = "eviction_pressure_transition_period = \"1s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_filled_is_pressure_until_it_is_freed() -> Result<()> {
    let lab = Lab::start().await?;
    // Other programs come and go: whatever they take must not matter.
    let (available, step) = available_memory_bytes().await?;
    let lines = format!(
        "{TRANSITION}[eviction_hard]\n\"memory.available\" = \"{}\"\n",
        available - step
    );
    let _agent = lab.agent_under(&[], "pi-1", &lines, &[])?;
    lab.condition_is("pi-1", "MemoryPressure", "False").await?;

    // Written, so that the pages are there and not promised.
    let filled = vec![1_u8; usize::try_from(2 * step)?];
    let node = lab.condition_is("pi-1", "MemoryPressure", "True").await?;
    let pressure = condition(&node, "MemoryPressure").unwrap();
    assert_eq!(
        pressure.reason.as_deref(),
        Some("KubeletHasInsufficientMemory")
    );
    let kubectl = lab.kubectl();
    let shown = kubectl.ok(&["describe", "node", "pi-1"]).await?;
    assert!(shown.contains("KubeletHasInsufficientMemory"), "{shown}");
    assert!(filled.iter().step_by(4096).all(|byte| *byte == 1));
    drop(filled);
    lab.condition_is("pi-1", "MemoryPressure", "False").await?;
    lab.event("pi-1", "NodeHasInsufficientMemory").await?;
    Ok(())
}

/// What the agent itself calls available, and a sixteenth of it.
async fn available_memory_bytes() -> Result<(u64, u64)> {
    let output = Command::new(program("nodling-agent")?)
        .args(["assess", "--once"])
        .output()
        .await?;
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let capacity = shown.pointer("/status/capacity/memory");
    let capacity = capacity.and_then(serde_json::Value::as_str);
    let capacity = capacity.and_then(|capacity| capacity.strip_suffix("Ki"));
    let capacity_kib: u64 = capacity.context("no capacity in KiB")?.parse()?;
    let used_kib = shown.pointer("/vitals/memory_working_set");
    let used_kib = used_kib.and_then(serde_json::Value::as_u64);
    let available = (capacity_kib - used_kib.context("no working set")?) * 1024;
    Ok((available, available / 16))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_disk_that_fills_up_is_under_pressure_then_full_then_fine() -> Result<()> {
    const MIB: u64 = 1024 * 1024;
    let lab = Lab::start().await?;
    let root = lab.path().join("root");
    std::fs::create_dir(&root)?;
    let disk = if rustix::process::getuid().is_root() {
        let image = lab.path().join("image");
        File::create(&image)?.set_len(64 * MIB)?;
        let made = Command::new("mkfs.ext4").arg("-q").arg(&image).status();
        assert!(made.await?.success());
        "mount -o loop \"$0/image\" \"$0/root\""
    } else {
        // Loop devices are root's.
        "mount -t tmpfs -o size=64m disk \"$0/root\""
    };
    let mounts = format!(
        "{disk}\nfor tree in proc sys; do mkdir \"$0/root/$tree\" && \
         mount --rbind \"/$tree\" \"$0/root/$tree\"; done"
    );
    let prefix = root.display().to_string();
    let agent = lab.agent_among(&mounts, "pi-1", TRANSITION, &["--root", &prefix])?;
    for kind in ["DiskPressure", "OutOfDisk"] {
        lab.condition_is("pi-1", kind, "False").await?;
    }
    let disk = seen_by(&agent, &root)?;

    // Below the kubelet's tenth, and far from full.
    let mut file = File::create(disk.join("filler"))?;
    let space = rustix::fs::statvfs(&disk)?;
    fill(&mut file, space.f_bavail * space.f_frsize - 3 * MIB)?;
    let node = lab.condition_is("pi-1", "DiskPressure", "True").await?;
    assert_eq!(condition(&node, "OutOfDisk").unwrap().status, "False");
    assert_eq!(condition(&node, "Ready").unwrap().status, "True");

    assert!(fill(&mut file, u64::MAX).is_err(), "a disk has an end");
    let node = lab.condition_is("pi-1", "OutOfDisk", "True").await?;
    assert_eq!(condition(&node, "DiskPressure").unwrap().status, "True");

    drop(file);
    std::fs::remove_file(disk.join("filler"))?;
    for kind in ["OutOfDisk", "DiskPressure"] {
        lab.condition_is("pi-1", kind, "False").await?;
    }
    Ok(())
}

fn fill(file: &mut File, mut bytes: u64) -> Result<()> {
    let block = [1_u8; 16 * 1024];
    while bytes > 0 {
        let count = usize::try_from(bytes).map_or(block.len(), |bytes| bytes.min(block.len()));
        file.write_all(block.get(..count).context("a part of the block")?)?;
        bytes -= u64::try_from(count)?;
    }
    Ok(file.sync_all()?)
}

/// A path as the agent sees it, in its mount namespace.
fn seen_by(agent: &Agent, path: &Path) -> Result<PathBuf> {
    let view = PathBuf::from(format!("/proc/{}/root", agent.process.id()?));
    Ok(view.join(path.strip_prefix("/")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_never_answers_delays_neither_beats_nor_goodbye() -> Result<()> {
    let lab = Lab::start().await?;
    let point = lab.path().join("hung");
    std::fs::create_dir(&point)?;
    // Whoever mounts FUSE answers for it, and nobody does.
    let mounts = "exec 9<>/dev/fuse\nid=$(id -u)\nmount -i -t fuse.hung \
         -o fd=9,rootmode=40000,user_id=$id,group_id=$(id -g) hung \"$0/hung\"";
    let lines = format!("[observe]\nfilesystems = [\"{}\"]\n", point.display());
    let mut agent = lab.agent_among(mounts, "pi-1", &lines, &[])?;
    lab.ready_is("pi-1", "True").await?;
    let ask = || async { waiting_threads(&agent) };
    let is_asked = |threads: &Vec<String>| threads.len() == 1;
    wait::until("one thread waits for an answer", LIMIT, ask, is_asked).await?;
    for _ in 0..3 {
        lab.is_renewed_again("pi-1", LIMIT).await?;
    }
    let threads = waiting_threads(&agent)?;
    assert_eq!(threads.len(), 1, "nobody is asked twice: {threads:?}");
    let log = agent.process.log();
    assert_eq!(log.matches("does not answer").count(), 1, "{log}");
    let status = agent.process.terminate(Duration::from_secs(2)).await?;
    assert!(status.success(), "{}", agent.process.log());
    Ok(())
}

/// The names of the agent's threads that the kernel keeps waiting without a way out.
fn waiting_threads(agent: &Agent) -> Result<Vec<String>> {
    let mut waiting = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", agent.process.id()?))? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let (name, rest) = stat.rsplit_once(')').context("no name")?;
        if rest.trim_start().starts_with('D') && name.ends_with("(statvfs") {
            waiting.push(name.to_owned());
        }
    }
    Ok(waiting)
}

/// Far above every promise, and far below the interval of the tests below.
const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_told_at_once_with_and_without_the_privilege() -> Result<()> {
    if File::options()
        .write(true)
        .open("/proc/pressure/memory")
        .is_err()
    {
        println!("not shown: this kernel reports no pressure");
        return Ok(());
    }
    let lab = Lab::start_broker().await?;
    let mut boards = Vec::new();
    // A user namespace has every capability, as far as pressure files ask for one.
    for (name, wrapper) in [
        ("pi-1", &["unshare", "-Ur"][..]),
        ("pi-2", &["setpriv", "--bounding-set", "-sys_resource"]),
    ] {
        boards.push(Board::start(&lab, name, wrapper).await?);
    }
    // Of the whole machine, which may have been stalled for processors all the time.
    let stall = CpuStall::begin()?;
    for board in &mut boards {
        board
            .tells("Cpu", |vitals| vitals.cpu_pressure_some, 40)
            .await?;
    }
    drop(stall);
    let stall = MemoryStall::begin(lab.path())?;
    if stall.is_none() {
        println!("not shown: no cgroup in which to wait for memory");
        return Ok(());
    }
    for board in &mut boards {
        board
            .tells("Memory", |vitals| vitals.memory_pressure_some, 10)
            .await?;
        let id = board.agent.process.id()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let kept = status.lines().find(|line| line.starts_with("CapEff"));
        assert!(!has_sys_resource(kept), "{kept:?}");
    }
    Ok(())
}

/// Whether bit 24 of a line of `/proc/PID/status` is set.
fn has_sys_resource(line: Option<&str>) -> bool {
    let mask = line.and_then(|line| line.split_whitespace().last());
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    mask.is_none_or(|mask| mask & (1 << 24) != 0)
}

/// A board that beats once a minute, heard where the gateway would.
struct Board {
    agent: Agent,
    broker: Mqtt,
    latest: Vitals,
}

impl Board {
    /// Returns once it has opened its session.
    async fn start(lab: &Lab, name: &str, wrapper: &[&str]) -> Result<Self> {
        let filter = format!("nodling/home/up/{name}");
        let broker = Mqtt::connect(lab.broker.port(), &format!("hears-{name}"), &[&filter]).await?;
        let lines = "[log]\nlevel = \"debug\"\n";
        let agent = lab.agent_under(wrapper, name, lines, &["--interval", "60s"])?;
        let latest = Vitals::default();
        let mut board = Self {
            agent,
            broker,
            latest,
        };
        board.latest = board.beat().await?;
        Ok(board)
    }

    /// Waits for the beat that tells of a stall.
    async fn tells(
        &mut self,
        resource: &str,
        share: fn(&Vitals) -> Option<Permille>,
        permille_min: u16,
    ) -> Result<()> {
        let reported = format!("resource={resource}");
        let is_told = |board: &Self| {
            let has_reported = board.agent.process.log().contains(&reported);
            has_reported && share(&board.latest) >= Some(Permille(permille_min))
        };
        while !is_told(self) {
            self.latest = self.beat().await?;
        }
        Ok(())
    }

    /// The next beat's vitals.
    async fn beat(&mut self) -> Result<Vitals> {
        loop {
            let next = self.broker.next(SOON).await;
            let (_, payload) = next.with_context(|| self.agent.process.log())?;
            let frame = Frame::parse(&payload).and_then(|frame| frame.clear());
            let clear = frame.context("no frame of ours")?;
            if clear.kind == Kind::Heartbeat {
                let beat = Heartbeat::decode(clear.message).context("no heartbeat")?;
                return Ok(beat.vitals);
            }
        }
    }
}

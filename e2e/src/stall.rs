//! Real pressure on purpose: programs that wait for memory, and processors that are wanted by more
//! programs than there are.
//!
//! Memory is short only for these programs: they live in a cgroup of their own with little of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};

/// Much less than what is written there.
const LIMIT_BYTES: &str = "16777216";
/// Each rewrites a file of its own.
const WRITERS: usize = 2;
/// How long the cgroup may take to empty.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Programs in a cgroup of little memory, until it is dropped.
#[derive(Debug)]
pub struct MemoryStall {
    cgroup: PathBuf,
    writers: Vec<Child>,
}

impl MemoryStall {
    /// Begins to stall; `None` where no cgroup can be made, which takes root and a controller.
    pub fn begin(dir: &Path) -> Result<Option<Self>> {
        let Some(cgroup) = make_cgroup() else {
            return Ok(None);
        };
        let mut stall = Self {
            cgroup,
            writers: Vec::new(),
        };
        // Pages of a new file are charged to who writes them, and must be written back first.
        let script =
            "echo $$ > \"$0\" && while :; do dd if=/dev/zero of=\"$1\" bs=1M count=64; done";
        for number in 0..WRITERS {
            let writer = Command::new("sh")
                .args(["-c", script])
                .arg(stall.cgroup.join("cgroup.procs"))
                .arg(dir.join(format!("stall-{number}")))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("starting sh")?;
            stall.writers.push(writer);
        }
        Ok(Some(stall))
    }

    /// Ends whatever still runs in the cgroup, all of which the writers started.
    fn empty(&self) {
        let members = std::fs::read_to_string(self.cgroup.join("cgroup.procs"));
        let members = members.unwrap_or_default();
        for member in members.lines().filter_map(|id| id.parse().ok()) {
            if let Some(member) = Pid::from_raw(member) {
                let _ = rustix::process::kill_process(member, Signal::KILL);
            }
        }
    }
}

impl Drop for MemoryStall {
    fn drop(&mut self) {
        for writer in &mut self.writers {
            let _ = writer.kill();
            let _ = writer.wait();
        }
        let began = Instant::now();
        while std::fs::remove_dir(&self.cgroup).is_err() && began.elapsed() < END_WITHIN {
            self.empty();
            std::thread::yield_now();
        }
    }
}

/// Below the memory controller of either hierarchy.
fn make_cgroup() -> Option<PathBuf> {
    let name = format!("nodling-stall-{}", std::process::id());
    for (parent, limit) in [
        ("/sys/fs/cgroup", "memory.max"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ] {
        let cgroup = Path::new(parent).join(&name);
        if std::fs::create_dir(&cgroup).is_err() {
            continue;
        }
        if cgroup.join("cgroup.procs").is_file()
            && std::fs::write(cgroup.join(limit), LIMIT_BYTES).is_ok()
        {
            return Some(cgroup);
        }
        let _ = std::fs::remove_dir(&cgroup);
    }
    None
}

/// More programs that compute than there are processors, until it is dropped.
#[derive(Debug)]
pub struct CpuStall {
    programs: Vec<Child>,
}

impl CpuStall {
    /// Begins to stall.
    pub fn begin() -> Result<Self> {
        let count = std::thread::available_parallelism()?.get() * 4;
        let mut stall = Self {
            programs: Vec::new(),
        };
        for _ in 0..count {
            let mut program = Command::new("sh");
            let program = program.args(["-c", "while :; do :; done"]).spawn();
            stall.programs.push(program.context("starting sh")?);
        }
        Ok(stall)
    }
}

impl Drop for CpuStall {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

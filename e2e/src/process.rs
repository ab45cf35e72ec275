//! A child process with its log in a file; ended by its id.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

/// A running program of the lab.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to `<dir>/<name>.log`, appended.
    pub fn start(
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: &[String],
        environment: &[(String, String)],
        dir: &Path,
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(&program)
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.as_ref().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process id while it runs.
    pub fn id(&self) -> Result<u32> {
        self.child
            .id()
            .ok_or_else(|| anyhow!("{} has ended:\n{}", self.name, self.log()))
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.id()?)?;
        let pid = Pid::from_raw(pid).ok_or_else(|| anyhow!("{pid} is no process id"))?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Waits for the end.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(anyhow!(
                "{} runs on after {limit:?}:\n{}",
                self.name,
                self.log()
            )),
        }
    }

    /// Kills it without a goodbye, and waits.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to end and waits.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(limit).await
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the log of a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- {} ----\n{}", self.name, self.log());
        }
    }
}

/// One of our programs: where the environment says (`NODLING_AGENT`, `NODLING_GATEWAY`), as a
/// bench does, or as Cargo built it beside this test.
pub fn program(name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(name.replace('-', "_").to_uppercase()) {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let dir = test.ancestors().find(|dir| dir.join(name).is_file());
    dir.map(|dir| dir.join(name)).ok_or_else(|| {
        anyhow!(
            "no {name} beside {}: run `cargo build` first",
            test.display()
        )
    })
}

//! A child process with its log in a file, ended by its own id and never left behind.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Both programs promise to be gone within two seconds of SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
const LOG_LINES_SHOWN: usize = 15;

/// A running program.
pub(crate) struct Child {
    name: &'static str,
    process: process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts it in a process group of its own, with all it writes in `<directory>/<name>.log`.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        let process = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name, process, log })
    }

    /// An error, with the end of its log, if it has died.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.process.try_wait()? else {
            return Ok(());
        };
        bail!(
            "{} ended with {status}; the end of {}:\n{}",
            self.name,
            self.log.display(),
            self.log_end()
        )
    }

    fn log_end(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(LOG_LINES_SHOWN);
        lines.get(start..).unwrap_or_default().join(
            "
",
        )
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        if self.process.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.process), Signal::TERM)
            .with_context(|| format!("stopping {}", self.name))?;
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!(
            "{} did not end within {} s of SIGTERM: killed",
            self.name,
            GRACE.as_secs()
        );
        Ok(())
    }
}

impl Drop for Child {
    /// Whatever path we leave by, nothing stays behind.
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(Some(_))) {
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("xtask-{}-{name}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_child_that_dies_is_reported_with_its_last_words() {
        let directory = directory("dies");
        let mut child = Child::start("x", shell("echo farewell; exit 3"), &directory).unwrap();
        child.process.wait().unwrap();
        let err = child.check().unwrap_err().to_string();
        assert!(err.contains("farewell") && err.contains('3'), "{err}");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_child_is_asked_before_it_is_ended() {
        let directory = directory("asked");
        let script = "sleep 60 & trap 'kill $!; echo goodbye; exit' TERM; echo up; wait";
        let child = Child::start("x", shell(script), &directory).unwrap();
        let log = child.log.clone();
        while !fs::read_to_string(&log).unwrap().contains("up") {
            std::thread::yield_now();
        }
        child.stop().unwrap();
        assert!(fs::read_to_string(&log).unwrap().contains("goodbye"));
        fs::remove_dir_all(directory).unwrap();
    }
}

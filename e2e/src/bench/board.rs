//! An agent under measurement: the program as it is flashed, against a real Mosquitto.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nodling_protocol::{Frame, Kind};

use crate::lab::Lab;
use crate::mqtt::Mqtt;
use crate::process::{Process, program};

/// The node's name; the topic is sent once per connection, so its length hardly matters.
pub(super) const NAME: &str = "attic";

/// Starts the agent, under a wrapper if there is one, with its state in the lab.
pub(super) fn start(lab: &Lab, interval: &str, wrapper: &[&str]) -> Result<Process> {
    let configuration = lab.path().join("agent.toml");
    let state_dir = lab.path().join("state");
    let text = format!("state_dir = \"{}\"\n", state_dir.display());
    std::fs::write(&configuration, text)?;
    let agent = program("nodling-agent")?.display().to_string();
    let mut words: Vec<String> = wrapper.iter().map(|&word| word.to_owned()).collect();
    words.extend([agent, "run".to_owned(), "--config".to_owned()]);
    words.push(configuration.display().to_string());
    words.extend(["--node-name", NAME, "--interval", interval, "--broker"].map(str::to_owned));
    words.push(lab.broker.url());
    let (program, arguments) = words.split_first().context("there is a program")?;
    Process::start("agent", program, arguments, &[], lab.path())
}

/// Hears an agent's frames at the broker.
#[derive(Debug)]
pub(super) struct Listener(Mqtt);

impl Listener {
    pub(super) async fn connect(lab: &Lab) -> Result<Self> {
        let up = format!("nodling/home/up/{NAME}");
        let mqtt = Mqtt::connect(lab.broker.port(), "bench", &[&up]).await?;
        Ok(Self(mqtt))
    }

    /// Drops what has come so far.
    pub(super) fn forget(&mut self) {
        self.0.forget();
    }

    /// Waits until so many heartbeats more have come.
    pub(super) async fn beats(&mut self, count: usize, interval: Duration) -> Result<()> {
        let mut beats = 0;
        while beats < count {
            let (_, payload) = self.0.next(interval * 3).await?;
            let frame = Frame::parse(&payload)?;
            beats += usize::from(frame.clear()?.kind == Kind::Heartbeat);
        }
        Ok(())
    }
}

/// The number after a key in one of a process's files of lines, such as `status`.
pub(super) fn kilobytes(pid: u32, file: &str, key: &str) -> Result<f64> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let number = value.and_then(|value| value.split_whitespace().next());
    let number = number.with_context(|| format!("{} has no {key}", path.display()))?;
    Ok(number.parse()?)
}

/// Nanoseconds that a process has run, all its threads together.
pub(super) fn cpu_ns(pid: u32) -> Result<u64> {
    let mut total_ns = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let first: u64 = text.split(' ').next().unwrap_or_default().parse()?;
        total_ns += first;
    }
    ensure!(
        total_ns > 0,
        "this kernel does not account CPU time in schedstat"
    );
    Ok(total_ns)
}

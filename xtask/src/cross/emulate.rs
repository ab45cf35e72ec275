//! Runs an agent for another processor under QEMU's user-mode emulation.
//!
//! Its system calls are this machine's, translated; its files are a fixture's, so that neither
//! this machine nor its load is what comes out. Its wall clock is in a year that 32 bits of
//! seconds do not reach: that a program for 32 bits counts further is seen here. Once it says
//! what it reads, once it beats through a real broker.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::target::Target;
use crate::demo::child::Child;
use crate::demo::ports;
use crate::install::{self, Need};
use crate::repo::Repo;
use crate::shell;

/// The program that boards run.
pub(super) const PROGRAM: &str = "nodling-agent";

/// `faketime` works by a library that is loaded first, so the static QEMU will not do.
const FAKETIME: Need = Need::Program {
    name: "faketime",
    package: "faketime",
};

const BROKER: &[Need] = &[
    Need::Program {
        name: "mosquitto",
        package: "mosquitto",
    },
    Need::Program {
        name: "mosquitto_sub",
        package: "mosquitto-clients",
    },
];

/// The file that makes a directory a fixture, with the answers of system calls.
const SYSCALLS_FILE: &str = "syscalls.toml";

/// A signed count of seconds in 32 bits ends in January 2038.
const FAR_DATE: &str = "2040-06-15";

/// What the node is, how it is, and an interval later how it is then.
const FRAMES: &str = "3";
/// A busy machine emulates slowly.
const BEATS_WITHIN_S: &str = "30";
const BROKER_WITHIN: Duration = Duration::from_secs(5);

/// Runs the agent in every way; an error if one does not say what it must.
pub(super) fn check(repo: &Repo, target: &Target, program: &Path) -> anyhow::Result<()> {
    let emulator = Need::Program {
        name: target.emulator,
        package: "qemu-user",
    };
    install::packages(&[emulator, FAKETIME])?;
    let place = repo.target.join("cross").join(target.triple).join("check");
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
    }
    let emulated = Emulated {
        target,
        program,
        root: place.join("root"),
        place,
    };
    copy(&repo.root.join(target.fixture), &emulated.root)?;
    // Without it, system calls are made and not answered by the fixture.
    fs::remove_file(emulated.root.join(SYSCALLS_FILE)).context("making the fixture a root")?;
    emulated.reads()?;
    emulated.beats()?;
    println!(
        "{} on {}: {}, {FAR_DATE}, beats through a broker",
        target.triple, target.cpu, target.architecture
    );
    Ok(())
}

struct Emulated<'a> {
    target: &'a Target,
    program: &'a Path,
    /// Everything of this check.
    place: PathBuf,
    /// What the agent is shown.
    root: PathBuf,
}

impl Emulated<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("faketime");
        command
            .args(["--exclude-monotonic", "-f"])
            .arg(format!("@{FAR_DATE} 12:00:00"))
            .env("TZ", "UTC")
            .arg(self.target.emulator)
            .args(["-cpu", self.target.cpu])
            .arg(self.program)
            .args(arguments)
            .arg("--root")
            .arg(&self.root);
        command
    }

    /// It says what it was built for and what day it is.
    fn reads(&self) -> anyhow::Result<()> {
        let text = shell::output(&mut self.command(&["assess", "--once"]))?;
        let assessment: Value = serde_json::from_str(&text).context("assess printed no JSON")?;
        let said = assessment.pointer("/status/nodeInfo/architecture");
        if said.and_then(Value::as_str) != Some(self.target.architecture) {
            bail!(
                "the architecture is {said:?}, not {}",
                self.target.architecture
            );
        }
        let dates = heartbeat_dates(&assessment);
        if dates.is_empty() || !dates.iter().all(|date| date.starts_with(FAR_DATE)) {
            bail!("{FAR_DATE} is shown as {dates:?}");
        }
        Ok(())
    }

    fn beats(&self) -> anyhow::Result<()> {
        install::packages(BROKER)?;
        let [address] = ports::free([0])?;
        let broker = start_broker(address, &self.place)?;
        let heard = self.hear(address);
        broker.stop()?;
        heard
    }

    /// Starts the agent and waits for its beats.
    fn hear(&self, broker: SocketAddr) -> anyhow::Result<()> {
        const NODE: &str = "emulated";
        let port = broker.port().to_string();
        let mut ear = Command::new("mosquitto_sub");
        ear.args(["-h", "127.0.0.1", "-p", &port])
            .args(["-t", &format!("nodling/+/up/{NODE}"), "-F", "%t %l bytes"])
            .args(["-C", FRAMES, "-W", BEATS_WITHIN_S]);
        let config = self.place.join("agent.toml");
        let state = self.place.join("state");
        fs::create_dir_all(&state).context("making the agent's directory")?;
        fs::write(
            &config,
            format!("state_dir = {:?}\n", state.display().to_string()),
        )?;
        let mut run = self.command(&["run"]);
        run.arg("--config")
            .arg(&config)
            .args(["--broker", &format!("mqtt://{broker}")])
            .args(["--node-name", NODE, "--interval", "1s"]);
        let mut agent = Child::start(PROGRAM, run, &self.place)?;
        let heard = shell::output(&mut ear);
        agent.check()?;
        agent.stop()?;
        heard.map(drop).with_context(|| {
            format!(
                "too little came through the broker; the logs are in {}",
                self.place.display()
            )
        })
    }
}

fn start_broker(address: SocketAddr, place: &Path) -> anyhow::Result<Child> {
    let config = place.join("mosquitto.conf");
    let text = format!(
        "listener {} {}\nallow_anonymous true\npersistence false\n",
        address.port(),
        address.ip()
    );
    fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    let program = shell::find("mosquitto").context("mosquitto is not there")?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&config);
    let mut broker = Child::start("mosquitto", command, place)?;
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        broker.check()?;
        if started.elapsed() > BROKER_WITHIN {
            bail!("mosquitto does not listen after {BROKER_WITHIN:?}");
        }
        std::thread::yield_now();
    }
    Ok(broker)
}

/// Fixtures are plain files.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("reading {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place)
                .with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn heartbeat_dates(assessment: &Value) -> Vec<&str> {
    let conditions = assessment.pointer("/status/conditions");
    let conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    conditions
        .filter_map(|condition| condition.get("lastHeartbeatTime")?.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cross::target::TARGETS;

    #[test]
    fn every_target_has_a_fixture() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for target in TARGETS {
            let path = root.join(target.fixture).join(SYSCALLS_FILE);
            assert!(path.is_file(), "{}", path.display());
        }
    }

    #[test]
    fn the_dates_are_those_of_the_heartbeats() {
        let date = json!({ "lastHeartbeatTime": "2040-01-01T00:00:00Z" });
        let assessment = json!({ "status": { "conditions": [date, { "type": "Ready" }] } });
        assert_eq!(heartbeat_dates(&assessment), ["2040-01-01T00:00:00Z"]);
        assert!(heartbeat_dates(&json!({})).is_empty());
    }
}

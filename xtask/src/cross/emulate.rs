//! Runs an agent for another processor under QEMU's user-mode emulation.
//!
//! Its system calls are this machine's, translated; its files are a fixture's, so that neither
//! this machine nor its load is what comes out. Three runs: with the fixture's recorded answers
//! in a year that 32 bits of seconds do not reach, with real system calls, and against a broker.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::elf::Class;
use super::target::Target;
use crate::demo::child::Child;
use crate::demo::ports;
use crate::install::{self, Need};
use crate::repo::Repo;
use crate::shell;

/// The program that boards run.
pub(super) const PROGRAM: &str = "nodling-agent";

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

/// 2040-01-01; a signed count of seconds in 32 bits ends in January 2038.
const FAR_UNIX_S: i64 = 2_208_988_800;
const FAR_DATE: &str = "2040-01-01T";

/// What the node is, how it is, and an interval later how it is then.
const FRAMES: &str = "3";
/// A busy machine emulates slowly.
const BEATS_WITHIN_S: &str = "30";
const BROKER_WITHIN: Duration = Duration::from_secs(5);

/// Runs the agent in every way; an error if one does not say what it must.
pub(super) fn check(repo: &Repo, target: &Target, program: &Path) -> anyhow::Result<()> {
    install::packages(&[Need::Program {
        name: target.emulator,
        package: "qemu-user-static",
    }])?;
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
    emulated.lay_out(&repo.root.join(target.fixture))?;
    emulated.far_date()?;
    emulated.architecture()?;
    emulated.beats()?;
    println!(
        "{} on {}: {}, time in 64 bits, beats through a broker",
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
    fn lay_out(&self, fixture: &Path) -> anyhow::Result<()> {
        copy(fixture, &self.root)?;
        let syscalls = self.root.join(SYSCALLS_FILE);
        let text = fs::read_to_string(&syscalls)
            .with_context(|| format!("reading {}", syscalls.display()))?;
        let text = with_wall_clock(&text, FAR_UNIX_S)
            .with_context(|| format!("{} says no wall_unix_s", syscalls.display()))?;
        fs::write(&syscalls, text).with_context(|| format!("writing {}", syscalls.display()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.target.emulator);
        command
            .args(["-cpu", self.target.cpu])
            .arg(self.program)
            .args(arguments)
            .arg("--root")
            .arg(&self.root);
        command
    }

    fn assess(&self) -> anyhow::Result<Value> {
        let text = shell::output(&mut self.command(&["assess", "--once"]))?;
        serde_json::from_str(&text).context("assess printed no JSON")
    }

    /// The answers are recorded, so only the arithmetic is the program's.
    fn far_date(&self) -> anyhow::Result<()> {
        let assessment = self.assess()?;
        let dates = heartbeat_dates(&assessment);
        let is_far = !dates.is_empty() && dates.iter().all(|date| date.starts_with(FAR_DATE));
        if !is_far {
            bail!("{FAR_UNIX_S} seconds are shown as {dates:?}");
        }
        Ok(())
    }

    /// With real system calls from here on: the program says what it was built for, and asks
    /// for no time in 32 bits.
    fn architecture(&self) -> anyhow::Result<()> {
        fs::remove_file(self.root.join(SYSCALLS_FILE)).context("making the fixture a root")?;
        let traced =
            shell::both_outputs(self.command(&["assess", "--once"]).env("QEMU_STRACE", "1"))?;
        let calls = clock_calls(&traced.complaint);
        let is_wide = |call: &&str| self.target.class == Class::Bits64 || call.ends_with("64");
        if calls.is_empty() || !calls.iter().all(is_wide) {
            bail!("the time is asked for with {calls:?}");
        }
        let assessment: Value =
            serde_json::from_str(&traced.text).context("assess printed no JSON")?;
        let said = assessment.pointer("/status/nodeInfo/architecture");
        if said.and_then(Value::as_str) != Some(self.target.architecture) {
            bail!(
                "the architecture is {said:?}, not {}",
                self.target.architecture
            );
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

/// The same answers at another time; `None` if they tell no time.
fn with_wall_clock(syscalls: &str, unix_s: i64) -> Option<String> {
    let is_clock = |line: &&str| line.split('=').next().map(str::trim) == Some("wall_unix_s");
    let clock = syscalls.lines().find(is_clock)?;
    Some(syscalls.replacen(clock, &format!("wall_unix_s = {unix_s}"), 1))
}

/// The system calls that read or judge a clock, from QEMU's trace of one call a line, each as
/// `<process> <call>(<arguments>) = <result>`. A call that QEMU does not know is left out.
fn clock_calls(trace: &str) -> BTreeSet<&str> {
    const CLOCK: &[&str] = &["clock_gettime", "gettimeofday", "clock_adjtime", "adjtimex"];
    let calls = trace.lines().filter_map(|line| {
        let (process, call) = line.split_once('(')?.0.split_once(' ')?;
        process.parse::<u32>().ok().map(|_| call)
    });
    calls
        .filter(|call| CLOCK.contains(&call.trim_end_matches("64")))
        .collect()
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
    fn every_target_has_a_fixture_that_tells_the_time() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for target in TARGETS {
            let path = root.join(target.fixture).join(SYSCALLS_FILE);
            let text = fs::read_to_string(&path).unwrap();
            let moved = with_wall_clock(&text, FAR_UNIX_S).unwrap();
            assert!(
                moved.contains("\nwall_unix_s = 2208988800\n"),
                "{}",
                path.display()
            );
            assert_eq!(moved.lines().count(), text.lines().count());
        }
    }

    #[test]
    fn answers_without_a_clock_are_not_moved() {
        assert_eq!(with_wall_clock("# wall_unix_s\nuptime_ms = 3\n", 7), None);
    }

    #[test]
    fn calls_that_read_a_clock_are_found_in_a_trace() {
        let trace = "17 clock_gettime64(CLOCK_BOOTTIME,0x40800330) = 0 ({tv_sec = 3})\n\
            17 Unknown syscall 405\n\
            17 openat(AT_FDCWD,\"adjtimex\",O_RDONLY) = 3\n\
            a clock_gettime(of the log) \n\
            17 gettimeofday(0x40800330,NULL) = 0\n\
            17 clock_gettime64(CLOCK_REALTIME,0x40800330) = 0";
        let calls: Vec<&str> = clock_calls(trace).into_iter().collect();
        assert_eq!(calls, ["clock_gettime64", "gettimeofday"]);
    }

    #[test]
    fn the_dates_are_those_of_the_heartbeats() {
        let date = json!({ "lastHeartbeatTime": "2040-01-01T00:00:00Z" });
        let assessment = json!({ "status": { "conditions": [date, { "type": "Ready" }] } });
        assert_eq!(heartbeat_dates(&assessment), ["2040-01-01T00:00:00Z"]);
        assert!(heartbeat_dates(&json!({})).is_empty());
    }
}

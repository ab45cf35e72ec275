//! `cargo demo`: a gateway with its own broker and its own Kubernetes API, and an agent for
//! this machine, until Ctrl-C.
//!
//! Everything lies in one directory under cargo's target directory and listens on loopback.
//! The children run in process groups of their own, so that Ctrl-C reaches only us and the
//! agent can say goodbye while there is still a gateway to hear it.

pub(crate) mod ports;
pub(crate) mod child;
mod witness;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::repo::Repo;
use crate::shell;
use child::Child;
use witness::Witness;

/// What the demonstration promises.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// When it stops believing in it.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Where everything of one demonstration is.
struct Stage {
    directory: PathBuf,
    api: SocketAddr,
    broker: SocketAddr,
    /// `/healthz`, `/readyz`, `/metrics`.
    admin: SocketAddr,
    node: String,
}

impl Stage {
    fn new(repo: &Repo) -> anyhow::Result<Self> {
        let [api, broker, admin] = ports::free([16443, 1883, 16444])?;
        // By port, so that a second demonstration beside the first has its own.
        let directory = repo.target.join(format!("demo-{}", api.port()));
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("removing {}", directory.display()))?;
        }
        let agent = directory.join("agent");
        fs::create_dir_all(&agent).with_context(|| format!("making {}", agent.display()))?;
        let config = format!("state_dir = {:?}\n", agent.display().to_string());
        fs::write(directory.join("agent.toml"), config)?;
        Ok(Self {
            directory,
            api,
            broker,
            admin,
            node: node_name(),
        })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.join("gateway").join("kubeconfig")
    }

    fn start_gateway(&self, repo: &Repo) -> anyhow::Result<Child> {
        let mut gateway = repo.program(repo.built("debug", "nodling-gateway"));
        gateway
            .args(["run", "--embedded-broker", &self.broker.to_string()])
            .args([
                "--api-listen",
                &self.api.to_string(),
                "--listen",
                &self.admin.to_string(),
            ])
            .arg("--data-dir")
            .arg(self.directory.join("gateway"))
            // The embedded API is the point; a cluster of the user's stays out of it.
            .env_remove("KUBECONFIG");
        Child::start("nodling-gateway", gateway, &self.directory)
    }

    fn start_agent(&self, repo: &Repo) -> anyhow::Result<Child> {
        let mut agent = repo.program(repo.built("debug", "nodling-agent"));
        agent
            .arg("run")
            .arg("--config")
            .arg(self.directory.join("agent.toml"))
            .args([
                "--broker",
                &format!("mqtt://{}", self.broker),
                "--node-name",
                &self.node,
            ]);
        Child::start("nodling-agent", agent, &self.directory)
    }
}

/// Builds, starts, shows, and waits for Ctrl-C or for one of the two to die.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    shell::run(repo.cargo().args([
        "build",
        "--locked",
        "--package=nodling-gateway",
        "--package=nodling-agent",
    ]))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("listening for Ctrl-C")?;
    }
    let stage = Stage::new(repo)?;
    let started = Instant::now();
    // In this order, because they are stopped in the opposite one.
    let mut children = vec![stage.start_gateway(repo)?];
    children.push(stage.start_agent(repo)?);
    let shown = show(&stage, &mut children, started, &stop);
    let lived = shown.and_then(|()| wait(&mut children, &stop));
    while let Some(child) = children.pop() {
        child.stop()?;
    }
    lived
}

/// Waits for the node to be Ready and tells the user what there is.
fn show(
    stage: &Stage,
    children: &mut [Child],
    started: Instant,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let witness = Witness::find(stage.kubeconfig(), stage.admin);
    while !witness.sees_ready(&stage.node) {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        for child in children.iter_mut() {
            child.check()?;
        }
        if started.elapsed() > GIVE_UP_AFTER {
            bail!(
                "no Ready node after {} s; the logs are in {}",
                GIVE_UP_AFTER.as_secs(),
                stage.directory.display()
            );
        }
        std::thread::sleep(POLL_EVERY);
    }
    let took = started.elapsed();
    let late = if took > READY_WITHIN {
        ", which is later than it should be"
    } else {
        ""
    };
    println!(
        "\n{} is Ready, {:.1} s after the start{late}.",
        stage.node,
        took.as_secs_f64()
    );
    if let Some(table) = witness.table() {
        println!("\n{}", table.trim_end());
    }
    println!(
        "\nThe kubeconfig and the logs are in {}. Try:\n",
        stage.directory.display()
    );
    println!("  export KUBECONFIG={}", stage.kubeconfig().display());
    println!("  kubectl get nodes -o wide");
    println!("  kubectl describe node {}", stage.node);
    println!("\nCtrl-C stops everything.");
    Ok(())
}

fn wait(children: &mut [Child], stop: &AtomicBool) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        for child in children.iter_mut() {
            child.check()?;
        }
        std::thread::sleep(POLL_EVERY);
    }
    Ok(())
}

/// The host's name as Kubernetes allows one.
fn node_name() -> String {
    let host = rustix::system::uname();
    dns_name(&host.nodename().to_string_lossy())
}

fn dns_name(host: &str) -> String {
    let lower = host.to_lowercase();
    let allowed = lower.chars().map(|c| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    });
    let name: String = allowed.collect();
    let labels = name
        .split('.')
        .map(|label| label.trim_matches('-'))
        .filter(|label| !label.is_empty());
    let name = labels.collect::<Vec<_>>().join(".");
    if name.is_empty() {
        "this-board".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_a_node_name() {
        assert_eq!(dns_name("Pi_4.Local"), "pi-4.local");
        assert_eq!(dns_name("-x-..y"), "x.y");
        assert_eq!(dns_name("_"), "this-board");
    }
}

//! `cargo xtask bench` and `cargo xtask fleet`: build what is measured or played, then hand
//! over to the programs of the same names in `e2e`, which know the product's types.
//!
//! The paths of the built programs go over in the environment: a bench measures exactly what
//! was built for it, never what lies about.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::repo::Repo;
use crate::shell;

/// Arguments handed over as they are.
#[derive(clap::Args)]
pub(crate) struct Passed {
    /// Arguments of the program itself; `-- --help` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the agent as it is flashed and the gateway as it is deployed, and measures them.
pub(crate) fn bench(repo: &Repo, passed: &Passed) -> anyhow::Result<()> {
    // As on a board, the agent is one static file: a shared C library is memory too.
    let host = host()?;
    let target = format!("--target={host}");
    let mut agent = repo.cargo();
    agent
        .args([
            "build",
            "--locked",
            "--profile=board",
            "--package=nodling-agent",
            &target,
        ])
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    shell::run(&mut agent)?;
    // One build, so that what both need is built once.
    shell::run(repo.cargo().args([
        "build",
        "--locked",
        "--release",
        "--package=nodling-gateway",
        "--package=nodling-e2e",
        "--bins",
    ]))?;
    let mut program = Command::new(repo.built("release", "bench"));
    program
        .args(&passed.arguments)
        .env(
            "NODLING_AGENT",
            repo.target.join(host).join("board/nodling-agent"),
        )
        .env("NODLING_GATEWAY", repo.built("release", "nodling-gateway"))
        .env("NODLING_BENCH_OUT", repo.target.join("bench.json"));
    shell::run(&mut program)
}

/// What the compiler calls this machine.
fn host() -> anyhow::Result<String> {
    let version = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// Plays many agents against a broker.
pub(crate) fn fleet(repo: &Repo, passed: &Passed) -> anyhow::Result<()> {
    // The program takes our place, so that Ctrl-C is its own to answer.
    Err(hand_over(repo, "fleet", passed).exec()).context("starting cargo")
}

fn hand_over(repo: &Repo, program: &str, passed: &Passed) -> Command {
    let mut command = repo.cargo();
    command
        .args([
            "run",
            "--quiet",
            "--locked",
            "--release",
            "--package=nodling-e2e",
            "--bin",
            program,
            "--",
        ])
        .args(&passed.arguments);
    command
}

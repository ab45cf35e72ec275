//! Developer commands: `cargo xtask <command>`, each in the file of its name.
//!
//! Depends on no other crate of the workspace, so that it still builds while one of them does
//! not, and a fresh clone is not kept waiting.
#![expect(clippy::print_stdout, reason = "a command line talks to its user")]

mod repo;
mod shell;
mod install;
mod suites;
mod tidy;
mod test;
mod demo;
mod cross;
mod bench;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::repo::Repo;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Developer commands",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every check that a change must pass, each against its time budget.
    Test(test::Args),
    /// Checks the rules of this repository that no other tool knows.
    Tidy,
    /// Starts a gateway and an agent on this machine and shows its Node.
    Demo,
    /// Builds the programs for boards and holds their sizes against limits.
    Cross(cross::Args),
    /// Measures what the project promises; prints a table and writes bench.json.
    Bench(bench::Passed),
    /// Plays many agents against a broker.
    Fleet(bench::Passed),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            println!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let repo = Repo::find()?;
    match command {
        Command::Test(args) => test::run(&repo, &args),
        Command::Tidy => tidy::run(&repo),
        Command::Demo => demo::run(&repo),
        Command::Cross(args) => cross::run(&repo, &args),
        Command::Bench(passed) => bench::bench(&repo, &passed),
        Command::Fleet(passed) => bench::fleet(&repo, &passed),
    }
}

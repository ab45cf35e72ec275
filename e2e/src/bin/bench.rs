//! Measures what the project promises; `cargo xtask bench` builds what is measured first.

use std::process::ExitCode;

use clap::Parser;
use nodling_e2e::bench;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Measures what the project promises; prints a table and writes bench.json"
)]
struct Arguments {
    /// What to measure; everything if nothing is named.
    names: Vec<String>,
    /// Only says what there is to measure.
    #[arg(long)]
    list: bool,
    /// Measures one thing in this process.
    #[arg(long, hide = true)]
    alone: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { names, list, alone } = Arguments::parse();
    let is_met = match alone {
        Some(name) => bench::alone(&name).map(|()| true),
        None => bench::run(&names, list),
    };
    match is_met {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            complain(&err);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "standard output carries the rows")]
fn complain(err: &anyhow::Error) {
    eprintln!("error: {err:#}");
}

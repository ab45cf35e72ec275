//! `cargo xtask cross`: the programs as boards run them, static and small.
//!
//! Builds each for each of its targets, reads from the file that it is static and for the right
//! processor, holds its size against a limit, and with `--check` runs the agents under
//! emulation. The programs end in `cross/<target>/` in cargo's target directory.

mod elf;
mod target;
mod build;
mod report;
mod emulate;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::repo::Repo;
use crate::suites::{Context, Outcome};
use build::{Compiler, Workshop};
use elf::Elf;
use report::Built;
use target::{Job, Program, Target};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only for this target; may be repeated.
    #[arg(long = "target", value_name = "TARGET", value_parser = target::target_named)]
    targets: Vec<&'static Target>,
    /// Only this program; may be repeated.
    #[arg(long = "bin", value_name = "BIN", value_parser = target::program_named)]
    programs: Vec<&'static Program>,
    /// Run each agent under emulation too: once for what it reads, once against a broker.
    #[arg(long)]
    check: bool,
}

/// Builds what is asked for; an error if any of it is unfit.
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    let jobs = target::jobs(&args.targets, &args.programs)?;
    let built = build_all(repo, &jobs)?;
    if args.check {
        for (job, program) in &built {
            if job.program.name == emulate::PROGRAM {
                emulate::check(repo, job.target, program)?;
            }
        }
    }
    Ok(())
}

/// Everything, built and run: a suite of `cargo xtask test`.
#[expect(
    dead_code,
    reason = "not yet among the suites: without a warm cache it takes half an hour"
)]
pub(crate) fn suite(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let everything = Args {
        targets: Vec::new(),
        programs: Vec::new(),
        check: true,
    };
    run(context.repo, &everything)?;
    Ok(Outcome::Passed)
}

/// Goes on after a program that is unfit, so that the table is whole.
fn build_all(repo: &Repo, jobs: &[Job]) -> anyhow::Result<Vec<(Job, PathBuf)>> {
    let workshop = Workshop::set_up(repo)?;
    let mut rows = Vec::new();
    let mut built = Vec::new();
    for &job in jobs {
        let started = Instant::now();
        let compiler = Compiler::find(repo, job.target);
        let path = workshop.build(job, compiler)?;
        println!("built in {:.1} s", started.elapsed().as_secs_f64());
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let faults = match Elf::parse(&bytes) {
            Ok(elf) => elf.faults(job.target),
            Err(err) => vec![err.to_string()],
        };
        let len = u64::try_from(bytes.len()).context("a program larger than memory")?;
        rows.push(Built::new(job, compiler.name(), len, faults));
        built.push((job, path));
    }
    println!("\n{}", report::table(&rows));
    println!("in {}", repo.target.join("cross").display());
    if rows.iter().any(|row| !row.faults.is_empty()) {
        bail!("a program is unfit for its boards");
    }
    Ok(built)
}

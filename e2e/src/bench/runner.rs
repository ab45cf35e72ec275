//! Starts each measure in a process of its own and collects what they print.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::report;
use super::{MEASURES, Measure, Place, gateway_memory};

/// The argument that makes the program measure instead of starting measures.
pub(super) const ALONE: &str = "--alone";

/// Runs the named measures, or all; says whether every must was kept.
#[expect(clippy::print_stdout, reason = "a command line talks to its user")]
pub fn run(names: &[String], is_listing: bool) -> Result<bool> {
    let measures = chosen(names)?;
    if is_listing {
        for Measure { name, about, .. } in measures {
            println!("{name:<20} {about}");
        }
        return Ok(true);
    }
    ensure!(
        !cfg!(debug_assertions),
        "an unoptimised build measures nothing: cargo xtask bench"
    );
    let mut rows = Vec::new();
    for measure in measures {
        println!("{} …", measure.name);
        match start(measure) {
            Ok(found) => rows.extend(found),
            Err(err) => {
                println!("{}: {err:#}", measure.name);
                rows.push(report::failure(measure.name));
            }
        }
    }
    let out = out()?;
    let document = serde_json::to_string_pretty(&report::document(&rows))?;
    std::fs::write(&out, document + "\n").with_context(|| format!("writing {}", out.display()))?;
    println!("\n{}\nwritten to {}", report::table(&rows), out.display());
    Ok(rows.iter().all(report::is_met))
}

/// Measures in this process and prints the rows, one per line.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub fn alone(name: &str) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let measure = MEASURES.iter().find(|measure| measure.name == name);
    let run = match measure {
        Some(measure) => measure.run,
        None if name == gateway_memory::DUMP => gateway_memory::dump,
        None => bail!(unknown(name)),
    };
    for row in run()? {
        println!("{}", report::to_json(&row));
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Measure>> {
    for name in names {
        ensure!(
            MEASURES.iter().any(|measure| measure.name == name),
            unknown(name)
        );
    }
    let is_chosen =
        |measure: &&Measure| names.is_empty() || names.iter().any(|name| name == measure.name);
    Ok(MEASURES.iter().filter(is_chosen).collect())
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = MEASURES.iter().map(|measure| measure.name).collect();
    format!("there is no measure {name:?}, only {}", names.join(", "))
}

fn start(measure: &Measure) -> Result<Vec<Value>> {
    let mut words: Vec<OsString> = Vec::new();
    if measure.place == Place::PrivateNetwork {
        let is_root = rustix::process::getuid().is_root();
        words.extend(["unshare", if is_root { "-n" } else { "-rn" }].map(OsString::from));
    }
    words.push(std::env::current_exe()?.into());
    words.extend([ALONE, measure.name].map(OsString::from));
    let (program, arguments) = words.split_first().context("there is a program")?;
    let output = Command::new(program)
        .args(arguments)
        .env(
            "NODLING_AGENT",
            built("NODLING_AGENT", "board/nodling-agent")?,
        )
        .env(
            "NODLING_GATEWAY",
            built("NODLING_GATEWAY", "release/nodling-gateway")?,
        )
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    if !output.status.success() {
        bail!("{}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

/// A program of ours as it is deployed: where the environment says, or as cargo builds it.
fn built(variable: &str, path: &str) -> Result<PathBuf> {
    let program = match std::env::var_os(variable) {
        Some(program) => PathBuf::from(program),
        None => target()?.join(path),
    };
    ensure!(
        program.is_file(),
        "there is no {}: `cargo xtask bench` builds it",
        program.display()
    );
    Ok(program)
}

fn out() -> Result<PathBuf> {
    Ok(match std::env::var_os("NODLING_BENCH_OUT") {
        Some(path) => path.into(),
        None => target()?.join("bench.json"),
    })
}

/// Cargo's target directory, in one of whose directories this program is.
pub(super) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent);
    Ok(target
        .context("this program is in a target directory")?
        .to_owned())
}

//! The suites of `cargo xtask test`: what each runs, what it needs, how long it may take.
//!
//! In the order in which they are cheapest to fail. A suite that cannot run here says why
//! instead of passing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::bail;
use serde_json::Value;

use crate::install::{self, DEBIAN_RUST, DEBIAN_RUSTC, Need};
use crate::repo::Repo;
use crate::shell;
use crate::tidy;

/// Which run a suite belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Needs other tools, which it installs.
    Full,
    /// Needs nothing but cargo.
    Quick,
}

/// One line of the table.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) tier: Tier,
    /// On two cores, with dependencies built.
    pub(crate) budget_s: u64,
    pub(crate) run: fn(&Context<'_>) -> anyhow::Result<Outcome>,
}

/// What a suite is told.
pub(crate) struct Context<'a> {
    pub(crate) repo: &'a Repo,
    pub(crate) keep_going: bool,
}

/// How a suite ended, if it did not fail.
pub(crate) enum Outcome {
    /// Passed, except for the part named.
    Partly(String),
    Passed,
}

const fn quick(
    name: &'static str,
    budget_s: u64,
    run: fn(&Context<'_>) -> anyhow::Result<Outcome>,
) -> Suite {
    Suite {
        name,
        tier: Tier::Quick,
        budget_s,
        run,
    }
}

const fn full(
    name: &'static str,
    budget_s: u64,
    run: fn(&Context<'_>) -> anyhow::Result<Outcome>,
) -> Suite {
    Suite {
        name,
        tier: Tier::Full,
        budget_s,
        run,
    }
}

/// All of them, in the order in which they run.
pub(crate) const SUITES: &[Suite] = &[
    quick("fmt", 5, fmt),
    quick("tidy", 5, tidy_suite),
    quick("lint", 80, lint),
    quick("test", 150, test),
    quick("doc", 60, doc),
    full("typos", 10, typos),
    full("taplo", 10, taplo),
    full("unused", 10, unused),
    full("deny", 30, deny),
    full("no-std", 60, no_std),
    full("msrv", 90, msrv),
    full("e2e", 600, e2e),
];

/// Versions of the tools, so that two machines judge the same source alike.
const TYPOS: &str = "1.52.0";
const TAPLO: &str = "0.9.3";
const CARGO_DENY: &str = "0.20.2";
const CARGO_MACHETE: &str = "0.9.2";

/// A microcontroller without an operating system: whatever builds for it needs none.
const BARE_METAL: &str = "thumbv7em-none-eabihf";

fn fmt(context: &Context<'_>) -> anyhow::Result<Outcome> {
    shell::run(context.repo.cargo().args(["fmt", "--all", "--", "--check"]))?;
    Ok(Outcome::Passed)
}

fn tidy_suite(context: &Context<'_>) -> anyhow::Result<Outcome> {
    tidy::run(context.repo)?;
    Ok(Outcome::Passed)
}

fn lint(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let clippy = |features: &str| {
        let workspace = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            features,
        ];
        shell::run(
            context
                .repo
                .cargo()
                .args(workspace)
                .args(["--", "-D", "warnings"]),
        )
    };
    clippy("--all-features")?;
    if has_default_features(context.repo)? {
        clippy("--no-default-features")?;
    }
    Ok(Outcome::Passed)
}

/// Whether leaving out default features would change anything.
fn has_default_features(repo: &Repo) -> anyhow::Result<bool> {
    Ok(packages(repo, &["--no-deps"])?.iter().any(|package| {
        let default = package
            .pointer("/features/default")
            .and_then(Value::as_array);
        default.is_some_and(|features| !features.is_empty())
    }))
}

fn test(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let fail_fast = if context.keep_going {
        &["--no-fail-fast"][..]
    } else {
        &[]
    };
    let workspace = ["--workspace", "--locked"];
    if shell::find("cargo-nextest").is_some() {
        shell::run(
            context
                .repo
                .cargo()
                .args(["nextest", "run"])
                .args(workspace)
                .args(fail_fast),
        )?;
        shell::run(
            context
                .repo
                .cargo()
                .args(["test", "--doc"])
                .args(workspace)
                .args(fail_fast),
        )?;
    } else {
        shell::run(
            context
                .repo
                .cargo()
                .arg("test")
                .args(workspace)
                .args(fail_fast),
        )?;
    }
    Ok(Outcome::Passed)
}

fn doc(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut doc = context.repo.cargo();
    doc.args([
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--locked",
    ]);
    shell::run(doc.env(
        "RUSTDOCFLAGS",
        "-D warnings -A rustdoc::private_intra_doc_links",
    ))?;
    Ok(Outcome::Passed)
}

fn typos(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let typos = install::python_tool(context.repo, "typos", TYPOS)?;
    shell::run(context.repo.program(typos).args(["--config", "typos.toml"]))?;
    Ok(Outcome::Passed)
}

fn taplo(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let taplo = install::python_tool(context.repo, "taplo", TAPLO)?;
    let files = context.repo.files()?.into_iter().filter(|path| {
        Path::new(path)
            .extension()
            .is_some_and(|extension| extension == "toml")
    });
    let mut format = context.repo.program(taplo);
    shell::run(
        format
            .args(["format", "--check", "--diff", "--config", "taplo.toml"])
            .args(files),
    )?;
    Ok(Outcome::Passed)
}

fn unused(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let machete = install::cargo_tool(context.repo, "cargo-machete", CARGO_MACHETE)?;
    shell::run(&mut context.repo.program(machete))?;
    Ok(Outcome::Passed)
}

fn deny(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let deny = install::cargo_tool(context.repo, "cargo-deny", CARGO_DENY)?;
    let command = |arguments: &[&str]| {
        let mut command = context.repo.program(&deny);
        command.args(["--locked", "--all-features"]).args(arguments);
        command
    };
    shell::run(&mut command(&[
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    if !shell::succeeds(&mut command(&["fetch", "db"])) {
        return Ok(Outcome::Partly(
            "advisories skipped: the database cannot be fetched".to_owned(),
        ));
    }
    shell::run(&mut command(&["check", "--disable-fetch", "advisories"]))?;
    Ok(Outcome::Passed)
}

fn no_std(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut build = context.repo.cargo();
    build
        .args([
            "build",
            "--locked",
            "--package=nodling-protocol",
            "--no-default-features",
        ])
        .args(["--target", BARE_METAL])
        .env("CARGO_TARGET_DIR", context.repo.cache.join("no-std"));
    let targets =
        shell::output(
            context
                .repo
                .program("rustup")
                .args(["target", "list", "--installed"]),
        );
    if !targets.is_ok_and(|targets| targets.lines().any(|target| target == BARE_METAL)) {
        if let Err(err) = install::packages(DEBIAN_RUST) {
            bail!(
                "{err:#}
or, where rustup has it: rustup target add {BARE_METAL}"
            );
        }
        // The variable lets a stable compiler build `core`; it reaches no other suite.
        build
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=core");
    }
    shell::run(&mut build)?;
    Ok(Outcome::Passed)
}

fn msrv(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let stated = stated_msrv(context.repo)?;
    dependencies_allow(context.repo, &stated)?;
    let active = shell::output(Command::new("rustc").arg("--version"))?;
    let active = active.split_whitespace().nth(1).unwrap_or_default();
    if is_release_of(&stated, active) {
        // Every other suite has built with the oldest compiler that is promised.
        return Ok(Outcome::Passed);
    }
    let rustup = |arguments: &[&str]| {
        let mut command = context.repo.program("rustup");
        command
            .args(["run", &format!("{stated}.0")])
            .args(arguments);
        command
    };
    if !shell::succeeds(&mut rustup(&["cargo", "--version"])) {
        return Ok(Outcome::Partly(format!(
            "no dependency asks for more than {stated}; build skipped: toolchain {stated}.0 is not installed"
        )));
    }
    let mut check = rustup(&["cargo", "check", "--workspace", "--locked"]);
    check
        .env_remove("CARGO")
        .env("CARGO_TARGET_DIR", context.repo.cache.join("msrv"));
    shell::run(&mut check)?;
    Ok(Outcome::Passed)
}

/// Whether `1.95.0` is a release of `1.95`.
fn is_release_of(stated: &str, version: &str) -> bool {
    version
        .strip_prefix(stated)
        .is_some_and(|patch| patch.is_empty() || patch.starts_with('.'))
}

/// The real parts that the end-to-end tests hold together.
const REAL_PARTS: &[Need] = &[
    Need::Program {
        name: "mosquitto",
        package: "mosquitto",
    },
    Need::Program {
        name: "containerd",
        package: "containerd",
    },
    Need::Program {
        name: "kubectl",
        package: "kubernetes-client",
    },
];

/// Selects the whole workspace, as `test` does: cargo unites the features of what it builds
/// together, and another selection would build every dependency once more.
fn e2e(context: &Context<'_>) -> anyhow::Result<Outcome> {
    install::packages(REAL_PARTS)?;
    let workspace = [
        "--workspace",
        "--locked",
        "--features=nodling-e2e/real-parts",
    ];
    shell::run(
        context
            .repo
            .cargo()
            .arg("build")
            .args(workspace)
            .args(["--bins", "--tests"]),
    )?;
    let fail_fast = if context.keep_going {
        &["--no-fail-fast"][..]
    } else {
        &[]
    };
    shell::run(
        context
            .repo
            .cargo()
            .arg("test")
            .args(workspace)
            .args(["--test=real"])
            .args(fail_fast),
    )?;
    Ok(Outcome::Passed)
}

fn stated_msrv(repo: &Repo) -> anyhow::Result<String> {
    let packages = packages(repo, &["--no-deps"])?;
    let stated: BTreeSet<_> = packages.iter().map(rust_version).collect();
    match stated.into_iter().collect::<Vec<_>>().as_slice() {
        [Some(one)] => Ok((*one).to_owned()),
        other => bail!("every crate must state the same rust-version; found {other:?}"),
    }
}

fn dependencies_allow(repo: &Repo, stated: &str) -> anyhow::Result<()> {
    let packages = packages(repo, &[])?;
    let newer: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let version = rust_version(package)?;
            let name = package.get("name").and_then(Value::as_str)?;
            (numbers(version) > numbers(stated)).then(|| format!("{name} asks for {version}"))
        })
        .collect();
    if !newer.is_empty() {
        bail!("rust-version {stated} is not true: {}", newer.join(", "));
    }
    Ok(())
}

fn rust_version(package: &Value) -> Option<&str> {
    package.get("rust_version").and_then(Value::as_str)
}

/// `1.90` is `1.90.0`.
fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn packages(repo: &Repo, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut metadata = repo.cargo();
    metadata
        .args(["metadata", "--locked", "--format-version=1"])
        .args(arguments);
    let mut value: Value = serde_json::from_str(&shell::output(&mut metadata)?)?;
    match value.get_mut("packages").map(Value::take) {
        Some(Value::Array(packages)) => Ok(packages),
        _ => bail!("cargo metadata lists no packages"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_not_by_letter() {
        assert!(numbers("1.100") > numbers("1.90"));
        assert_eq!(numbers("1.90"), numbers("1.90.0"));
    }
}

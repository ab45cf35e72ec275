//! Installs what a suite needs, or says in one line how to.
//!
//! Debian packages as root or through a `sudo` that asks nothing; tools from the package
//! indexes of Python and cargo into the user's cache directory, at the versions named here, so
//! that two machines judge the same source alike. Nothing goes into the checkout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;

use crate::repo::Repo;
use crate::shell;

/// Something a suite cannot do without, and the Debian package that brings it.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    /// A package as such: what it brings lies elsewhere on each architecture.
    Package(&'static str),
    /// A program, wherever it came from.
    Program {
        name: &'static str,
        package: &'static str,
    },
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Package(package) => {
                let query = ["--show", "--showformat=${db:Status-Status}", package];
                shell::output(Command::new("dpkg-query").args(query))
                    .is_ok_and(|is| is == "installed")
            }
            Self::Program { name, .. } => shell::find(name).is_some(),
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Package(package) | Self::Program { package, .. } => package,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Package(what) | Self::Program { name: what, .. } => what,
        }
    }
}

/// Debian's compiler and the packages that bring it and its sources. It can build `core` and `std`
/// for any target, so that no network but the distribution's is needed.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
pub(crate) const DEBIAN_RUST: &[Need] = &[
    Need::Package("rustc-web"),
    Need::Package("rust-web-src"),
    Need::Package("libstd-rust-web-dev"),
];

/// `apt-get update` once per run is enough.
static PACKAGE_LISTS_ARE_FRESH: AtomicBool = AtomicBool::new(false);

/// Sees to it that every need is met, with `apt-get` where it is allowed.
pub(crate) fn packages(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<Need> = needs
        .iter()
        .copied()
        .filter(|need| !need.is_met())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut names: Vec<&str> = missing.iter().map(|need| need.package()).collect();
    names.sort_unstable();
    names.dedup();
    let by_hand = format!("sudo apt-get install {}", names.join(" "));
    if shell::find("apt-get").is_none() {
        let wanted: Vec<&str> = missing.iter().map(|need| need.what()).collect();
        bail!(
            "missing: {}; on Debian or Ubuntu: {by_hand}",
            wanted.join(", ")
        );
    }
    let Some(root) = Privilege::find() else {
        bail!("missing packages; install them:\n  {by_hand}")
    };
    if !PACKAGE_LISTS_ARE_FRESH.swap(true, Ordering::Relaxed) {
        shell::run(root.apt().args(["--quiet=2", "update"]))?;
    }
    let quiet = ["--quiet=2", "--yes", "--no-install-recommends", "install"];
    if let Err(err) = shell::run(root.apt().args(quiet).args(&names)) {
        bail!("{err:#}; install by hand: {by_hand}");
    }
    for need in missing {
        if !need.is_met() {
            bail!("package {} brought no {}", need.package(), need.what());
        }
        stop_service(root, need.package());
    }
    Ok(())
}

/// Debian starts a daemon as it installs it. Our tests start their own, on their own ports,
/// and a developer did not ask for a broker open on the machine's.
fn stop_service(root: Privilege, package: &str) {
    if package != "mosquitto" {
        return;
    }
    let is_stopped = if Path::new("/run/systemd/system").exists() {
        shell::succeeds(
            root.command("systemctl")
                .args(["disable", "--now", package]),
        )
    } else {
        shell::succeeds(root.command("service").args([package, "stop"]))
    };
    println!(
        "installed {package}; its service is {}",
        if is_stopped { "stopped" } else { "as it was" }
    );
}

#[derive(Clone, Copy)]
enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    fn find() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            Some(Self::Root)
        } else if shell::succeeds(Command::new("sudo").args(["--non-interactive", "true"])) {
            Some(Self::Sudo)
        } else {
            None
        }
    }

    fn command(self, program: &str) -> Command {
        match self {
            Self::Root => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["--non-interactive", program]);
                command
            }
        }
    }

    /// `sudo` drops the environment, so the setting that keeps packages from asking goes
    /// through `env`.
    fn apt(self) -> Command {
        let mut command = self.command("env");
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        // Another apt may be at work; and nobody needs to watch dpkg count.
        command.args(["-oDPkg::Lock::Timeout=300", "-oDpkg::Use-Pty=0"]);
        command
    }
}

/// A tool that the Python package index carries as a ready-made binary.
pub(crate) fn python_tool(repo: &Repo, name: &str, version: &str) -> anyhow::Result<PathBuf> {
    python_tool_with(repo, name, version, &[])
}

/// The same, for a tool that needs others beside it, each named with its version.
pub(crate) fn python_tool_with(
    repo: &Repo,
    name: &str,
    version: &str,
    others: &[&str],
) -> anyhow::Result<PathBuf> {
    let venv = repo.cache.join("python").join(format!("{name}-{version}"));
    let tool = venv.join("bin").join(name);
    if shell::succeeds(Command::new(&tool).arg("--version")) {
        return Ok(tool);
    }
    packages(&[Need::Program {
        name: "python3",
        package: "python3",
    }])?;
    if !shell::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        packages(&[Need::Package("python3-venv")])?;
    }
    shell::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv),
    )?;
    let pip = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ];
    shell::run(
        Command::new(venv.join("bin/pip"))
            .args(pip)
            .arg(format!("{name}=={version}"))
            .args(others),
    )?;
    Ok(tool)
}

/// A tool from the crate registry, built once without optimisation: three times as fast to
/// have, and none of ours works hard.
pub(crate) fn cargo_tool(repo: &Repo, name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let root = repo
        .cache
        .join("cargo-tools")
        .join(format!("{name}-{version}"));
    let tool = root.join("bin").join(name);
    if tool.is_file() {
        return Ok(tool);
    }
    let mut install = repo.cargo();
    install
        .args([
            "install",
            "--quiet",
            "--locked",
            "--profile=dev",
            name,
            "--version",
            version,
            "--root",
        ])
        .arg(&root)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TARGET_DIR", repo.cache.join("cargo-tools/build"));
    shell::run(&mut install)?;
    Ok(tool)
}

//! Where things are: the checkout, cargo's target directory, and the cache for tools.
//!
//! Nothing is ever installed or written into the checkout itself; only the target directory
//! and the user's cache directory are written to.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::shell;

/// The three directories that every command needs.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, wherever the user put it.
    pub(crate) target: PathBuf,
    /// `$XDG_CACHE_HOME/nodling` or `~/.cache/nodling`: tools, and builds that would disturb
    /// those in `target`.
    pub(crate) cache: PathBuf,
}

impl Repo {
    /// Asks cargo where the workspace is.
    pub(crate) fn find() -> anyhow::Result<Self> {
        // As `cargo run` says now: where this was built may be another checkout, gone since,
        // if two share a target directory.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let manifest = package.join("Cargo.toml");
        let text = shell::output(
            cargo()
                .args([
                    "metadata",
                    "--no-deps",
                    "--format-version=1",
                    "--manifest-path",
                ])
                .arg(manifest),
        )?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
        let directory = |key: &str| -> anyhow::Result<PathBuf> {
            let value = metadata.get(key).and_then(Value::as_str);
            Ok(value
                .with_context(|| format!("cargo metadata has no {key}"))?
                .into())
        };
        Ok(Self {
            root: directory("workspace_root")?,
            target: directory("target_directory")?,
            cache: cache_dir()?,
        })
    }

    /// `cargo`, started in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// Any program, started in the checkout.
    pub(crate) fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// A program that cargo built under the named profile's directory (`debug`, `release`, …).
    pub(crate) fn built(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// Every file that git tracks or would track, relative to the checkout, that still exists.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<String>> {
        let listing = shell::output(self.program("git").args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let mut files: Vec<String> = listing
            .split('\0')
            .filter(|path| !path.is_empty() && self.root.join(path).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// The cargo that runs us, so that `+toolchain` holds for what we start.
/// What the cargo that runs us told us about ourselves is taken back: build scripts that watch
/// such a variable would run anew for every command of ours, and most of the tree with them.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if is_ours {
            command.env_remove(name);
        }
    }
    command
}

fn cache_dir() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match (set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => anyhow::bail!("neither XDG_CACHE_HOME nor HOME is set: no place for tools"),
    };
    Ok(base.join("nodling"))
}

//! A real containerd on a socket of its own, with all its state in one directory: whatever else
//! runs on this machine is not touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::process::Process;
use crate::wait;

/// A container runtime that runs no container.
#[derive(Debug)]
pub struct Containerd {
    dir: PathBuf,
    process: Process,
}

impl Containerd {
    /// Starts it in a directory and waits until it listens; `disabled` are plugins to be left
    /// out.
    pub async fn start(dir: &Path, disabled: &[&str]) -> Result<Self> {
        let dir = dir.join("containerd");
        std::fs::create_dir_all(&dir)?;
        let at = dir.display();
        // Nothing of the machine's configuration, images or network is looked at.
        let text = format!(
            "version = 2\nroot = \"{at}/root\"\nstate = \"{at}/state\"\n\
             disabled_plugins = {disabled:?}\n\
             [grpc]\naddress = \"{at}/run.sock\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n\
             stream_server_address = \"127.0.0.1\"\nstream_server_port = \"0\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\n\
             bin_dir = \"{at}/cni\"\nconf_dir = \"{at}/cni\"\n"
        );
        std::fs::create_dir_all(dir.join("cni"))?;
        let configuration = dir.join("config.toml");
        std::fs::write(&configuration, text)?;
        let arguments = ["--config".to_owned(), configuration.display().to_string()];
        let process = Process::start("containerd", "containerd", &arguments, &[], &dir)
            .context("cargo xtask test installs it")?;
        let containerd = Self { dir, process };
        let log = || async { Ok(containerd.process.log()) };
        let booted = "containerd successfully booted";
        wait::until(booted, Duration::from_secs(20), log, |log| {
            log.contains(booted)
        })
        .await?;
        Ok(containerd)
    }

    /// Where it listens, as the agent's configuration says it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}/run.sock", self.dir.display())
    }

    /// What the program itself says its version is.
    pub async fn version() -> Result<String> {
        let printed = Command::new("containerd").arg("--version").output().await?;
        let printed = String::from_utf8(printed.stdout)?;
        let version = printed.split_whitespace().nth(2);
        Ok(version
            .context("containerd --version prints no version")?
            .to_owned())
    }

    /// Ends it at once.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }
}

//! The real `kubectl`, with a home of its own so that nobody's cache or configuration is seen.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::process::Process;

/// A `kubectl` bound to one kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    dir: PathBuf,
    kubeconfig: PathBuf,
}

/// What a command printed.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Whether it exited 0.
    pub is_success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Kubectl {
    /// With a scratch directory for its cache.
    pub fn new(dir: &Path, kubeconfig: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// Runs a command to its end, at most a minute.
    pub async fn run(&self, arguments: &[&str]) -> Result<Printed> {
        let child = Command::new("kubectl")
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("kubectl is not installed: cargo xtask test installs it")?;
        let output = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output());
        let output = output
            .await
            .with_context(|| format!("kubectl {arguments:?} hangs"))??;
        Ok(Printed {
            is_success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed and returns its standard output.
    pub async fn ok(&self, arguments: &[&str]) -> Result<String> {
        let printed = self.run(arguments).await?;
        if !printed.is_success {
            bail!(
                "kubectl {arguments:?}: {}{}",
                printed.stdout,
                printed.stderr
            );
        }
        Ok(printed.stdout)
    }

    /// Runs a command that must fail and returns its standard error.
    pub async fn err(&self, arguments: &[&str]) -> Result<String> {
        let printed = self.run(arguments).await?;
        if printed.is_success {
            bail!("kubectl {arguments:?} succeeded: {}", printed.stdout);
        }
        Ok(printed.stderr)
    }

    /// Starts a command that runs on, such as a watch; its output is in the log.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Result<Process> {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let environment = [
            (
                "KUBECONFIG".to_owned(),
                self.kubeconfig.display().to_string(),
            ),
            ("HOME".to_owned(), self.dir.display().to_string()),
        ];
        Process::start(name, "kubectl", &arguments, &environment, &self.dir)
    }
}

//! A real Mosquitto on loopback, with a configuration of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Process;
use crate::wait;

/// Where Debian puts it, which is not on everybody's PATH.
const PROGRAMS: [&str; 3] = [
    "/usr/sbin/mosquitto",
    "/usr/local/sbin/mosquitto",
    "/usr/bin/mosquitto",
];

/// A broker that can be killed and started again on the same port.
#[derive(Debug)]
pub struct Broker {
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Broker {
    /// Starts a broker that lets everybody in.
    pub async fn start(dir: &Path) -> Result<Self> {
        Self::start_with(dir, "allow_anonymous true\n").await
    }

    /// Starts a broker with further lines of configuration; they follow the `listener`.
    pub async fn start_with(dir: &Path, lines: &str) -> Result<Self> {
        // Mosquitto cannot be given port 0; somebody may take the port in between.
        for _ in 0..5 {
            let port = free_port()?;
            let configuration =
                format!("listener {port} 127.0.0.1\n{lines}persistence false\nlog_type all\n");
            std::fs::write(dir.join("mosquitto.conf"), configuration)?;
            let mut broker = Self {
                dir: dir.to_owned(),
                port,
                process: None,
            };
            if broker.restart().await.is_ok() {
                return Ok(broker);
            }
        }
        bail!("mosquitto did not start:\n{}", Self::log_in(dir))
    }

    /// Starts it on its port, if it does not run.
    pub async fn restart(&mut self) -> Result<()> {
        let program = PROGRAMS.iter().find(|program| Path::new(program).is_file());
        let program =
            program.context("mosquitto is not installed: cargo xtask test installs it")?;
        let configuration = self.dir.join("mosquitto.conf").display().to_string();
        let arguments = ["-c".to_owned(), configuration];
        let mut process = Process::start("mosquitto", program, &arguments, &[], &self.dir)?;
        let address = ("127.0.0.1", self.port);
        let connect = || async { Ok(tokio::net::TcpStream::connect(address).await.is_ok()) };
        let up = wait::until("broker", Duration::from_secs(5), connect, |is_up| *is_up).await;
        if up.is_err() || !process.is_running() {
            bail!("mosquitto did not start:\n{}", process.log());
        }
        self.process = Some(process);
        Ok(())
    }

    /// Kills it.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// The port on loopback.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// As the agent and the gateway take it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// The process id, while it runs.
    pub fn id(&self) -> Result<u32> {
        self.process
            .as_ref()
            .context("the broker is not running")?
            .id()
    }

    /// What it printed.
    pub fn log(&self) -> String {
        Self::log_in(&self.dir)
    }

    fn log_in(dir: &Path) -> String {
        std::fs::read_to_string(dir.join("mosquitto.log")).unwrap_or_default()
    }
}

/// A port on loopback that nobody listens on just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

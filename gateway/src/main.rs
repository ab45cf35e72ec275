//! The gateway program: its command line, and the runtime that it runs on.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use nodling_gateway::admin;
use nodling_gateway::config::{BrokerUrl, Config, Environment, FleetName, Target, grace_flag};
use nodling_gateway::run::run;
use nodling_gateway::target::{cluster, data_dir, kubeconfig_for, open_alone};
use nodling_gateway::telemetry::{self, Chain};
use nodling_gateway::time::Clocks;
use nodling_protocol::NodeName;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Heartbeats in, Kubernetes Nodes and Leases out.
#[derive(Debug, Parser)]
#[command(name = "nodling-gateway", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Run {
        #[command(flatten)]
        flags: Flags,
        /// Seconds since 1970 that the wall clock is to show: for tests.
        #[arg(long, hide = true)]
        test_wall_epoch: Option<i64>,
    },
    /// Parse the configuration, print it resolved, and exit.
    Check {
        #[command(flatten)]
        flags: Flags,
    },
    /// Print a kubeconfig for the embedded API, for a laptop.
    Kubeconfig {
        /// How the laptop reaches the API, such as <https://attic.local:16443>.
        #[arg(long, value_name = "URL")]
        server: String,
        #[command(flatten)]
        flags: Flags,
    },
    /// Look after nodes.
    Nodes {
        #[command(subcommand)]
        command: NodesCommand,
    },
}

#[derive(Debug, Subcommand)]
enum NodesCommand {
    /// Delete a node's Node and Lease.
    Forget {
        /// Its name.
        name: String,
        #[command(flatten)]
        flags: Flags,
    },
}

/// Flags override the configuration file.
#[derive(Args, Debug)]
struct Flags {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write to the cluster that this kubeconfig names.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where the embedded API listens.
    #[arg(long, value_name = "ADDR")]
    api_listen: Option<SocketAddr>,
    /// Where the embedded API keeps its state.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The broker: `mqtt[s]://[user:password@]host[:port]`.
    #[arg(long, value_name = "URL", conflicts_with = "embedded_broker")]
    broker: Option<BrokerUrl>,
    /// Run a broker here instead.
    #[arg(long, value_name = "ADDR")]
    embedded_broker: Option<SocketAddr>,
    /// Where health and metrics are served.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Which fleet's topics are read.
    #[arg(long, value_name = "NAME")]
    fleet: Option<FleetName>,
    /// How long a node may be silent before it is Unknown.
    #[arg(long, value_name = "PERIOD", value_parser = grace_flag)]
    grace: Option<Duration>,
    /// How long a new node may take to say Ready for the first time.
    #[arg(long, value_name = "PERIOD", value_parser = grace_flag)]
    startup_grace: Option<Duration>,
    /// What is logged.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl Flags {
    /// The configuration that holds in the end.
    fn resolve(self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        // A flag for one kind of broker replaces the file's other kind.
        if self.broker.is_some() || self.embedded_broker.is_some() {
            config.broker = self.broker;
            config.embedded_broker = self.embedded_broker;
        }
        config.kubeconfig = self.kubeconfig.or(config.kubeconfig);
        config.data_dir = self.data_dir.or(config.data_dir);
        set(&mut config.api_listen, self.api_listen);
        set(&mut config.listen, self.listen);
        set(&mut config.fleet, self.fleet);
        set(&mut config.grace, self.grace);
        set(&mut config.startup_grace, self.startup_grace);
        set(&mut config.log, self.log);
        Ok(config.check()?)
    }
}

fn set<T>(to: &mut T, from: Option<T>) {
    if let Some(value) = from {
        *to = value;
    }
}

fn main() -> ExitCode {
    let environment = Environment::read();
    match dispatch(Cli::parse().command, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let chain = Chain(error.as_ref()).to_string();
            let _ = writeln!(std::io::stderr(), "nodling-gateway: {chain}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, environment: Environment) -> anyhow::Result<()> {
    match command {
        Command::Run {
            flags,
            test_wall_epoch,
        } => run_gateway(flags.resolve()?, environment, test_wall_epoch),
        Command::Check { flags } => {
            let mut config = flags.resolve()?;
            config.data_dir = Some(data_dir(&config, &environment));
            print(&config.to_string())
        }
        Command::Kubeconfig { server, flags } => {
            let dir = data_dir(&flags.resolve()?, &environment);
            print(&kubeconfig_for(&dir, &server)?)
        }
        Command::Nodes {
            command: NodesCommand::Forget { name, flags },
        } => {
            if let Err(error) = NodeName::parse(&name) {
                bail!("{name:?} is no node's name: {error}");
            }
            let config = flags.resolve()?;
            let said = runtime()?.block_on(forget(&name, &config, &environment))?;
            print(&format!("{said}\n"))
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("printing")
}

/// Two threads: one may wait for the store while the other takes beats.
fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("gateway")
        .enable_all()
        .build()
        .context("starting the runtime")
}

fn run_gateway(
    config: Config,
    environment: Environment,
    test_wall_epoch: Option<i64>,
) -> anyhow::Result<()> {
    let directives = environment.log.as_deref().unwrap_or(&config.log);
    telemetry::init(directives, environment.is_journal)
        .with_context(|| format!("reading the log setting {directives:?}"))?;
    let clocks = match test_wall_epoch {
        None => Clocks::system(config.require_synchronized_clock),
        Some(seconds) => Clocks::played(Timestamp::from_second(seconds)?),
    };
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for signals")?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        anyhow::Ok(run(config, environment, clocks, stop).await?)
    });
    // Nothing that still runs is waited for: what must be on disk is.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

async fn forget(name: &str, config: &Config, environment: &Environment) -> anyhow::Result<String> {
    let target = environment.target(config);
    if target != Target::Embedded {
        return Ok(admin::forget(&cluster(&target).await?, name).await?);
    }
    let dir = data_dir(config, environment);
    if let Some(said) = admin::ask_to_forget(&dir, name).await? {
        return Ok(said);
    }
    let api = open_alone(&dir, Clocks::system(false))?;
    let said = admin::forget(&api.client(), name).await?;
    api.store().flush().context("writing the store")?;
    Ok(said)
}

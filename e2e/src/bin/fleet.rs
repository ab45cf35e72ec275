//! Plays many agents against a broker; Ctrl-C prints what became of their beats.
#![expect(clippy::print_stdout, reason = "a command line talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Parser;
use nodling_agent::publish::broker::Broker;
use nodling_agent::publish::tls::{Pem, client_config};
use nodling_e2e::fleet::{self, Counters, Options};
use rustls::ClientConfig;
use tokio::sync::watch;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask fleet",
    about = "Plays many agents against a broker"
)]
struct Arguments {
    /// How many nodes to play.
    #[arg(long)]
    nodes: usize,
    /// How often each node beats: 10, 10s, 500ms.
    #[arg(long, value_parser = duration)]
    interval: Duration,
    /// `mqtt[s]://[user[:password]@]host[:port]`
    #[arg(long, value_parser = Broker::parse)]
    broker: Broker,
    /// Join token; reserved until sessions are sealed.
    #[arg(long)]
    token: Option<String>,
    /// Certificates that an mqtts broker's must descend from.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Name of the fleet.
    #[arg(long, default_value = "home")]
    fleet: String,
    /// What the nodes' names begin with.
    #[arg(long, default_value = "fleet")]
    prefix: String,
    /// Connections to the broker.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Stop after this time instead of at Ctrl-C.
    #[arg(long = "for", value_parser = duration)]
    time: Option<Duration>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            println!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    if arguments.token.is_some() {
        bail!("--token: sessions are not sealed yet, there is nothing to join with a token");
    }
    let tls = match (&arguments.ca_file, arguments.broker.is_tls) {
        (Some(path), true) => Some(trust(path)?),
        (None, true) => bail!("an mqtts:// broker needs --ca-file"),
        (Some(_), false) => bail!("--ca-file is for mqtts:// brokers"),
        (None, false) => None,
    };
    let options = Options {
        nodes: arguments.nodes,
        interval: arguments.interval,
        broker: arguments.broker,
        tls,
        fleet: arguments.fleet,
        prefix: arguments.prefix,
        connections: arguments.connections,
        say: |what| println!("{what}"),
    };
    println!(
        "{} nodes, a beat each every {:?}; Ctrl-C ends",
        options.nodes, options.interval
    );
    let counters = Arc::new(Counters::default());
    let (stop, stopped) = watch::channel(false);
    let mut playing = tokio::spawn(fleet::play(options, counters, stopped));
    tokio::select! {
        tally = &mut playing => {
            tally??;
            bail!("the fleet ended by itself");
        }
        () = end(arguments.time) => {}
    }
    stop.send_replace(true);
    println!("{}", playing.await??);
    Ok(())
}

/// Ctrl-C, or the end of the time.
async fn end(time: Option<Duration>) {
    let time_is_up = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Without a signal handler the signal itself ends us.
        Ok(()) = tokio::signal::ctrl_c() => {}
        () = time_is_up => {}
    }
}

fn trust(path: &PathBuf) -> Result<Arc<ClientConfig>> {
    let roots = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let pem = Pem {
        roots,
        identity: None,
    };
    let tls = client_config(&pem).with_context(|| format!("using {}", path.display()))?;
    Ok(tls.by_name())
}

/// A number of seconds, or one with a unit.
fn duration(text: &str) -> Result<Duration> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let number: f64 = number
        .parse()
        .context("expected a time such as 10s or 500ms")?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        unit => return Err(anyhow!("{unit:?} is none of ms, s, m")),
    };
    let time = Duration::try_from_secs_f64(seconds)?;
    ensure!(time >= Duration::from_millis(10), "shorter than 10ms");
    Ok(time)
}

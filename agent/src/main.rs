//! The program: turns command line and configuration into the parts of an agent and runs them.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use nodling_agent::alarm::Alarm;
use nodling_agent::assess::capacity::{self, ReservationError};
use nodling_agent::assess::{State, assess};
use nodling_agent::cli::{Arguments, Command, HELP};
use nodling_agent::config::{Config, ConfigError, DEFAULT_FILE, Environment};
use nodling_agent::describe::describe;
use nodling_agent::encode::Encoder;
use nodling_agent::inventory::inventory;
use nodling_agent::observe::root::Root;
use nodling_agent::observe::runtime::{Asker, Runtime};
use nodling_agent::observe::trigger::Resource;
use nodling_agent::observe::{self, Detail, Observation, Observer, sensor};
use nodling_agent::parts::{Parts, Ports, Signal};
use nodling_agent::publish::locate::Locator;
use nodling_agent::publish::mqtt::Session;
use nodling_agent::publish::{Outbox, tls};
use nodling_agent::registration::Registration;
use nodling_agent::replay::{self, ReplayError};
use nodling_agent::run::Agent;
use nodling_agent::unjudged::warn_unjudged;
use nodling_agent::{instance, telemetry};
use nodling_protocol::{Fleet, Instance, NodeName};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::warn;

/// Between the two observations of `assess`.
const ASSESS_APART: Duration = Duration::from_secs(1);

/// The slowest chip measures every five seconds.
const SENSORS_WITHIN: Duration = Duration::from_secs(8);

/// Between two looks at what sensors said.
const SENSORS_APART: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let result = Arguments::parse(std::env::args_os().skip(1))
        // Its own message once more is all that such an error has for a source.
        .map_err(|err| anyhow::Error::msg(err.to_string()))
        .and_then(|arguments| execute(&arguments));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            // The log may be filtered; why a program did not start must not be.
            let _ = writeln!(std::io::stderr(), "nodling-agent: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Help => print(HELP),
        Command::Version => print(concat!("nodling-agent ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Assess { is_once } => {
            let environment = Environment::read();
            let config = load(arguments, &environment)?;
            let is_journal = environment.is_journal;
            telemetry::subscribe(config.log, environment.log.as_deref(), is_journal);
            telemetry::log_ignored(&config.assess.thresholds);
            let state = State::new(config.assess.clone());
            let mut observer = observer(arguments, &config)?;
            first_look(&config, &mut observer)?;
            let asker = asker(arguments, &config)?;
            block_on(print_assessment(
                (observer, asker),
                (state, &config.registration),
                is_once,
            ))?
        }
        Command::Check => check(arguments),
        Command::Sensors => {
            let config = load(arguments, &Environment::read())?;
            let observer = observer(arguments, &config)?;
            block_on(print_sensors(observer, &config.observe.sensors))?
        }
        Command::Replay => replay(arguments),
        Command::Run | Command::Leave => {
            let environment = Environment::read();
            let config = load(arguments, &environment)?;
            let is_journal = environment.is_journal;
            telemetry::subscribe(config.log, environment.log.as_deref(), is_journal);
            block_on(live(arguments, config, environment))?
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that has enough, such as `head`, is no failure.
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to standard output"),
    }
}

fn load(arguments: &Arguments, environment: &Environment) -> Result<Config, ConfigError> {
    Config::load(
        arguments.config.as_deref(),
        &arguments.overrides,
        environment,
    )
}

fn observer(arguments: &Arguments, config: &Config) -> anyhow::Result<Observer> {
    open_observer(arguments, config.observe.clone())
}

/// Who asks the container runtime what it is; the sockets are below the root, too.
fn asker(arguments: &Arguments, config: &Config) -> anyhow::Result<(Asker, Runtime)> {
    let root = Root::open(&arguments.root).context("--root")?;
    let endpoint = config.observe.container_runtime_endpoint.clone();
    Ok(Asker::new(root, endpoint))
}

fn open_observer(arguments: &Arguments, config: observe::Config) -> anyhow::Result<Observer> {
    let root = Root::open(&arguments.root).context("--root")?;
    Ok(Observer::new(root, config))
}

/// One thread for everything but sensors; a second one lives while a name is looked up.
fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .thread_stack_size(512 * 1024)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(future);
    // A name look-up may hang for as long as the resolver likes; the exit does not wait for it.
    runtime.shutdown_background();
    Ok(result)
}

async fn print_assessment(
    (observer, (mut asker, runtime)): (Observer, (Asker, Runtime)),
    (mut state, registration): (State, &Registration),
    is_once: bool,
) -> anyhow::Result<()> {
    let mut observer = observer.with_runtime(runtime);
    asker.ask().await;
    let mut observation = observe_settled(&mut observer).await;
    let mut assessment = assess(&mut state, &observation);
    if !is_once {
        tokio::time::sleep(ASSESS_APART).await;
        observation = observer.observe(Detail::Dropped);
        assessment = assess(&mut state, &observation);
    }
    warn_unjudged(&observation, &assessment);
    let text = serde_json::to_string_pretty(&describe(&observation, &assessment, registration))?;
    print(&format!("{text}\n"))
}

async fn print_sensors(mut observer: Observer, sensors: &[sensor::Config]) -> anyhow::Result<()> {
    let observation = observe_settled(&mut observer).await;
    let assessment = assess(&mut State::default(), &observation);
    let buses = observer.i2c_buses();
    print(&inventory(sensors, &buses, &observation, &assessment))
}

/// Observes when every sensor has been read once, or has had the time.
async fn observe_settled(observer: &mut Observer) -> Observation {
    let given_up = tokio::time::Instant::now() + SENSORS_WITHIN;
    loop {
        let observation = observer.observe(Detail::Dropped);
        let mut sensors = observation.sensors.iter().chain(&observation.found);
        let is_settled = sensors.all(sensor::Named::is_settled);
        if is_settled || tokio::time::Instant::now() >= given_up {
            return observation;
        }
        tokio::time::sleep(SENSORS_APART).await;
    }
}

fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let environment = Environment::read();
    let config = load(arguments, &environment)?;
    // Nothing here needs a sensor, and somebody may be running who reads them.
    let quiet = observe::Config {
        sensors: Vec::new(),
        ..config.observe.clone()
    };
    let mut observer = open_observer(arguments, quiet)?;
    let node = config.node_name(&first_look(&config, &mut observer)?.fixed.host.hostname)?;
    if let Some(pem) = config.read_pem()? {
        tls::client_config(&pem).context("tls")?;
    }
    let state_dir = config.state_dir(&environment);
    for ignored in config.assess.thresholds.ignored() {
        // What is printed is a configuration, and stays one.
        let _ = writeln!(std::io::stderr(), "nodling-agent: {ignored}");
    }
    print(&config.resolved(&node, &state_dir).to_string())
}

/// Observes once, and refuses to reserve what the board does not have.
fn first_look(config: &Config, observer: &mut Observer) -> Result<Observation, ReservationError> {
    let observation = observer.observe(Detail::Dropped);
    let capacity = capacity::capacity(&observation, config.assess.pods);
    capacity::check(&capacity, &config.assess)?;
    Ok(observation)
}

fn replay(arguments: &Arguments) -> anyhow::Result<()> {
    let config = load(arguments, &Environment::read())?;
    let thresholds = &config.assess.thresholds;
    let output = std::io::stdout().lock();
    let result = match arguments.file.as_deref() {
        None => return Ok(()),
        Some(file) if file == Path::new("-") => replay::replay(
            thresholds,
            "standard input",
            std::io::stdin().lock(),
            output,
        ),
        Some(file) => {
            #[expect(
                clippy::disallowed_methods,
                reason = "a recording, not the board's file"
            )]
            let input = File::open(file).with_context(|| format!("reading {}", file.display()))?;
            let input = BufReader::new(input);
            replay::replay(thresholds, &file.to_string_lossy(), input, output)
        }
    };
    match result {
        // A reader that has enough, such as `head`, is no failure.
        Err(ReplayError::Write(err)) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

async fn live(
    arguments: &Arguments,
    config: Config,
    environment: Environment,
) -> anyhow::Result<()> {
    let locator = locator(arguments, &config).await?;
    let broker = locator.shown();
    let pem = config.read_pem()?;
    let tls = pem
        .map(|pem| tls::client_config(&pem))
        .transpose()
        .context("tls")?;
    let (asker, runtime) = asker(arguments, &config)?;
    let mut observer = observer(arguments, &config)?.with_runtime(runtime);
    let is_leaving = arguments.command == Command::Leave;
    let (observation, stalls) = if is_leaving {
        (observer.observe(Detail::Dropped), mpsc::channel(1).1)
    } else {
        // First of all: a privilege that this needs is given back at once.
        let stalls = watch_stalls(&observer);
        telemetry::log_ignored(&config.assess.thresholds);
        (first_look(&config, &mut observer)?, stalls)
    };
    let node = config.node_name(&observation.fixed.host.hostname)?;
    let instance = identity(&config.state_dir(&environment));
    let session = Session::new(
        locator,
        tls,
        Fleet::parse(&config.fleet)?,
        NodeName::parse(&node)?,
        instance_tail(instance),
    );
    let [number, ..] = random().to_le_bytes();
    let parts = Parts {
        observer,
        state: State::new(config.assess),
        encoder: Encoder::new(instance, number),
        node,
        registration: config.registration,
        broker: broker.clone(),
        interval: config.interval,
        random,
    };
    // A handful is never outstanding; both ends run in one thread.
    let (notices_in, notices) = mpsc::channel(8);
    let (outbox, outbox_out) = watch::channel(Outbox::new(config.interval));
    let signals = listen()?;
    let agent = Agent::start(parts);
    telemetry::ready(&format!("connecting to {broker}"));
    tokio::spawn(asker.run());
    tokio::spawn(session.run(outbox_out, notices_in, random));
    let ends = Ports {
        alarm: Alarm::new(),
        outbox,
        notices,
        stalls,
        signals,
    };
    // A task of its own: what wakes the runtime's first future costs a system call each time.
    let work = tokio::spawn(async move {
        if is_leaving {
            agent.leave(ends).await
        } else {
            agent.run(ends).await
        }
    });
    work.await.context("the agent's loop")??;
    Ok(())
}

/// Who finds the broker. Where nothing says which and none announces itself, a human must act.
async fn locator(arguments: &Arguments, config: &Config) -> Result<Locator, ConfigError> {
    let locator = match &config.broker {
        Some(broker) => Locator::at(broker.clone()),
        None => Locator::announced(config.is_tls()),
    };
    let mut locator = locator.below(&arguments.root);
    if config.broker.is_none() && locator.locate(random).await.is_err() {
        let file = arguments.config.as_deref();
        let file = file.unwrap_or(Path::new(DEFAULT_FILE));
        return Err(ConfigError::NoBroker(file.into()));
    }
    Ok(locator)
}

/// The identity that is kept, or one for this run.
fn identity(state_dir: &Path) -> Instance {
    let made = random();
    instance::load_or_create(state_dir, made).unwrap_or_else(|err| {
        let error = telemetry::Chain(&err);
        warn!(%error, "after a restart the gateway will take this for another board");
        Instance(made)
    })
}

/// What tells two claimants of one name apart at the broker.
fn instance_tail(instance: Instance) -> u16 {
    let bytes = instance.0.to_be_bytes();
    u16::from_be_bytes(bytes.first_chunk().copied().unwrap_or_default())
}

/// Tells the loop of every signal.
fn listen() -> anyhow::Result<mpsc::Receiver<Signal>> {
    let (tell, signals) = mpsc::channel(2);
    for (kind, meaning) in [
        (SignalKind::terminate(), Signal::Stop),
        (SignalKind::interrupt(), Signal::Stop),
        (SignalKind::hangup(), Signal::Refresh),
    ] {
        let mut stream = signal(kind).context("listening for signals")?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && tell.send(meaning).await.is_ok() {}
        });
    }
    Ok(signals)
}

/// Tells the loop of every stall that the kernel reports.
fn watch_stalls(observer: &Observer) -> mpsc::Receiver<Resource> {
    let (report, stalls) = mpsc::channel(2);
    for trigger in observer.arm_triggers() {
        let report = report.clone();
        let mut listening = Some(trigger);
        tokio::spawn(async move {
            while let Some(trigger) = listening {
                let is_told = trigger.stalled().await.is_some()
                    && report.send(trigger.resource()).await.is_ok();
                if !is_told {
                    return;
                }
                listening = trigger.rest().await;
            }
        });
    }
    stalls
}

fn random() -> u64 {
    getrandom::u64().expect("the kernel has had random numbers since it opened this program")
}

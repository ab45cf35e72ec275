//! Starts the parts in order, turns the loop, and stops them in order.
//!
//! One `select!` over a closed [`Input`]; every task is owned, and the death of any ends the
//! program with its reason, so that systemd starts a whole one. The loop feeds the watchdog: a
//! loop that hangs is seen.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use nodling_protocol::{Announce, VERSION};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::admin::{self, AdminError};
use crate::advertise::{Advertisement, Offer};
use crate::apiserver::{self, Store};
use crate::apply::Applier;
use crate::backoff::next_random;
use crate::broker::{BrokerError, EmbeddedBroker, reachable};
use crate::clock::Moment;
use crate::config::{BrokerUrl, Config, Environment, Target};
use crate::drive::{Driver, Input, Parts};
use crate::metrics::Metrics;
use crate::receive::{ReceiveError, Received, Receiver, Subscription};
use crate::reconcile::{Core, Lifecycle, Settings};
use crate::serve::{Pages, Readiness, serve};
use crate::target::{Addresses, Embedded, TargetError, cluster, data_dir};
use crate::telemetry::Chain;
use crate::time::Clocks;
use crate::watch::{self as watcher, Watched};

/// Messages between the broker's task and the loop; beyond it TCP holds them.
const RECEIVED_MAX: usize = 1024;
/// Changes between a watch and the loop.
const WATCHED_MAX: usize = 256;
/// How often what is too old is removed from the embedded API.
const COLLECT_PERIOD: Duration = Duration::from_mins(1);
/// A deadline that stays due does not turn the loop faster than this.
const REST: Duration = Duration::from_millis(1);
/// What writes on their way may take at the end.
const FAREWELL: Duration = Duration::from_millis(500);
/// What the last flush may take; the whole stop is to take less than 2 s.
const LAST_FLUSH: Duration = Duration::from_millis(1200);

/// Why the gateway did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The command line's socket.
    #[error("listening for the command line")]
    Admin(#[from] AdminError),
    /// The embedded broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A part ended by itself.
    #[error("{0} ended")]
    Ended(&'static str),
    /// Health and metrics cannot be served.
    #[error("listening on {address} for health and metrics (change it with --listen)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Nobody said which broker.
    #[error("no broker: give --broker URL or --embedded-broker ADDRESS")]
    NoBroker,
    /// A part panicked.
    #[error("a part of the gateway panicked")]
    Panicked(#[from] JoinError),
    /// The operating system gives no random numbers.
    #[error("no random numbers")]
    Random,
    /// The connection to the broker cannot be prepared.
    #[error("preparing the connection to the broker")]
    Receive(#[from] ReceiveError),
    /// Kubernetes.
    #[error(transparent)]
    Target(#[from] TargetError),
}

type Tasks = JoinSet<RunError>;

/// Runs until `stop`; everything that must be on disk then is.
pub async fn run(
    config: Config,
    environment: Environment,
    clocks: Clocks,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    if config.broker.is_none() && config.embedded_broker.is_none() {
        return Err(RunError::NoBroker);
    }
    let mut tasks = Tasks::new();
    let mut seed = random()?;
    let (stopping, _) = watch::channel(false);
    let mut addresses = Addresses::default();
    let kubernetes = open_kubernetes(&config, &environment, clocks, &mut tasks, &stopping).await?;
    addresses.api = kubernetes.address;
    let broker = open_broker(&config, &environment, &mut addresses, &mut tasks).await?;

    let metrics = Arc::new(Metrics::default());
    let (readiness, ready) = watch::channel(Readiness::default());
    let pages = Pages {
        readiness: ready.clone(),
        metrics: Arc::clone(&metrics),
    };
    addresses.listen = Some(open_pages(config.listen, pages, &mut tasks).await?);
    if let Some(dir) = &kubernetes.dir {
        addresses.write(dir);
    }

    let announce = Announce {
        epoch: next_random(&mut seed),
        version_highest: VERSION,
        interval_ms_max: config.interval_ms_max(),
    };
    let subscription = Subscription {
        broker,
        tls: config.broker_tls.clone(),
        fleet: config.fleet.clone(),
        announce,
    };
    let (sender, received) = mpsc::channel(RECEIVED_MAX);
    let (link, downlink) = Receiver::try_new(subscription, sender, clocks)?;
    tasks.spawn(async move {
        link.run().await;
        RunError::Ended("the connection to the broker")
    });
    let watched = open_watches(&kubernetes.client, clocks, &mut seed, &mut tasks);

    let settings = settings(&config, kubernetes.lifecycle, next_random(&mut seed));
    let driver = Driver::new(Parts {
        core: Core::new(settings, clocks.now()),
        clocks,
        fleet: config.fleet.clone(),
        applier: Applier::new(kubernetes.client.clone()),
        downlink: downlink.clone(),
        metrics,
        readiness,
    });
    let turning = Turning {
        driver,
        clocks,
        period: config.monitor_period,
        flush_interval: config.flush_interval,
        store: kubernetes.store,
        ready,
        received,
        watched,
        tasks,
    };
    let advertisement = advertise(&config, &environment, addresses.broker);
    notify(&[NotifyState::Ready]);
    info!(version = env!("CARGO_PKG_VERSION"), fleet = %config.fleet, "gateway started");
    let ended = turning.turn(stop).await;
    withdraw(advertisement).await;
    downlink.disconnect();
    let _ = stopping.send(true);
    ended
}

/// What is written to, opened.
struct Kubernetes {
    client: Client,
    lifecycle: Lifecycle,
    store: Option<Arc<Store>>,
    dir: Option<PathBuf>,
    address: Option<SocketAddr>,
}

async fn open_kubernetes(
    config: &Config,
    environment: &Environment,
    clocks: Clocks,
    tasks: &mut Tasks,
    stopping: &watch::Sender<bool>,
) -> Result<Kubernetes, RunError> {
    let target = environment.target(config);
    if target != Target::Embedded {
        info!(?target, "writing to a cluster");
        return Ok(Kubernetes {
            client: cluster(&target).await?,
            lifecycle: Lifecycle::Cluster,
            store: None,
            dir: config.data_dir.clone(),
            address: None,
        });
    }
    let dir = data_dir(config, environment);
    let embedded = Embedded::open(&dir, environment, clocks)?;
    let listener = embedded.listen(config.api_listen).await?;
    let address = listener.local_addr().ok();
    info!(
        address = %address.unwrap_or(config.api_listen),
        kubeconfig = %embedded.kubeconfig().display(),
        "serving the kubernetes api"
    );
    let client = embedded.api.client();
    let tls = embedded.credentials.tls().map_err(TargetError::from)?;
    let token = embedded.credentials.token().to_owned();
    let api = embedded.api.clone();
    let mut stop = stopping.subscribe();
    tasks.spawn(async move {
        let stopped = async move {
            let _ = stop.wait_for(|is_stopping| *is_stopping).await;
        };
        apiserver::serve(listener, api, tls, token, stopped).await;
        RunError::Ended("the embedded API")
    });
    let renewal = embedded.renew_certificate(environment.host_name.clone(), clocks);
    tasks.spawn(async move { renewal.await.into() });
    let admin = admin::listen(&dir)?;
    let for_admin = client.clone();
    tasks.spawn(async move {
        let _ = admin::serve(admin, for_admin).await;
        RunError::Ended("the command line's socket")
    });
    Ok(Kubernetes {
        client,
        lifecycle: Lifecycle::Embedded,
        store: Some(embedded.store),
        dir: Some(dir),
        address,
    })
}

async fn open_broker(
    config: &Config,
    environment: &Environment,
    addresses: &mut Addresses,
    tasks: &mut Tasks,
) -> Result<BrokerUrl, RunError> {
    let Some(address) = config.embedded_broker else {
        let url = config.broker.clone().ok_or(RunError::NoBroker)?;
        return Ok(environment.with_password(url));
    };
    let broker = EmbeddedBroker::start(address).await?;
    addresses.broker = Some(broker.address);
    info!(address = %broker.address, "serving mqtt");
    let url = BrokerUrl::plain(reachable(broker.address));
    tasks.spawn(async move { broker.ended().await.into() });
    Ok(url)
}

/// Announces the embedded broker. Who cannot be found can still be configured: no reason to end.
fn advertise(
    config: &Config,
    environment: &Environment,
    address: Option<SocketAddr>,
) -> Option<Advertisement> {
    let address = address.filter(|_| config.announce_broker)?;
    let fleet = config.fleet.to_string();
    let offer = Offer::of(address, &environment.host_name, &fleet)?;
    match Advertisement::start(&offer) {
        Ok(advertisement) => {
            info!(
                name = advertisement.name(),
                "announcing the embedded broker"
            );
            Some(advertisement)
        }
        Err(error) => {
            warn!(error = %Chain(&error), "nobody finds the embedded broker by itself");
            None
        }
    }
}

async fn withdraw(advertisement: Option<Advertisement>) {
    if let Some(advertisement) = advertisement {
        advertisement.withdraw().await;
    }
}

async fn open_pages(
    address: SocketAddr,
    pages: Pages,
    tasks: &mut Tasks,
) -> Result<SocketAddr, RunError> {
    let failed = |source| RunError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    info!(%address, "serving health and metrics");
    tasks.spawn(async move {
        let _ = serve(listener, pages).await;
        RunError::Ended("the health and metrics pages")
    });
    Ok(address)
}

fn open_watches(
    client: &Client,
    clocks: Clocks,
    seed: &mut u64,
    tasks: &mut Tasks,
) -> mpsc::Receiver<Watched> {
    let (sender, watched) = mpsc::channel(WATCHED_MAX);
    let nodes = watcher::nodes(client.clone(), sender.clone(), clocks, next_random(seed));
    tasks.spawn(async move {
        nodes.await;
        RunError::Ended("the watch of nodes")
    });
    let leases = watcher::leases(client.clone(), sender, clocks, next_random(seed));
    tasks.spawn(async move {
        leases.await;
        RunError::Ended("the watch of leases")
    });
    watched
}

fn settings(config: &Config, lifecycle: Lifecycle, seed: u64) -> Settings {
    Settings {
        fleet: config.fleet.to_string().into(),
        register_node: config.register_node,
        lifecycle,
        grace: config.grace,
        startup_grace: config.startup_grace,
        status_interval: config.status_report_interval,
        fail_fast: config.fail_fast,
        withheld: config.conditions.withheld(),
        nodes_max: usize::try_from(config.max_nodes).unwrap_or(usize::MAX),
        seed,
    }
}

/// The loop and what it listens to.
struct Turning {
    driver: Driver,
    clocks: Clocks,
    period: Duration,
    flush_interval: Duration,
    store: Option<Arc<Store>>,
    ready: watch::Receiver<Readiness>,
    received: mpsc::Receiver<Received>,
    watched: mpsc::Receiver<Watched>,
    tasks: Tasks,
}

/// What the loop woke up for.
enum Woken {
    Input(Input),
    Ended(RunError),
    Stop,
}

impl Turning {
    async fn turn(mut self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut stop = pin!(stop);
        let mut chores = Chores::new(&self);
        let mut next_tick = self.clocks.moment();
        loop {
            let now = self.clocks.moment();
            let due = self
                .driver
                .next_deadline()
                .map_or(next_tick, |deadline| deadline.min(next_tick));
            let woken = tokio::select! {
                () = &mut stop => Woken::Stop,
                Some(ended) = self.tasks.join_next() => {
                    Woken::Ended(ended.unwrap_or_else(RunError::from))
                }
                applied = self.driver.applied() => match applied {
                    Ok(applied) => Woken::Input(Input::Applied(applied)),
                    Err(panicked) => Woken::Ended(panicked.into()),
                },
                Some(watched) = self.watched.recv() => Woken::Input(Input::Watched(watched)),
                Some(received) = self.received.recv() => Woken::Input(Input::Received(received)),
                () = sleep(due.since(now).max(REST)) => Woken::Input(Input::Tick),
            };
            match woken {
                Woken::Input(Input::Tick) => {
                    self.driver.take(Input::Tick);
                    let now = self.clocks.moment();
                    if now >= next_tick {
                        next_tick = now + self.period;
                        self.driver.count_nodes(now);
                        chores.turn(&self, now);
                    }
                }
                Woken::Input(input) => self.driver.take(input),
                Woken::Ended(reason) => {
                    error!(error = %Chain(&reason), "gateway ends");
                    self.farewell().await;
                    return Err(reason);
                }
                Woken::Stop => {
                    info!("gateway stops");
                    self.farewell().await;
                    return Ok(());
                }
            }
        }
    }

    /// Lets writes on their way arrive, and puts on disk what is only in memory.
    async fn farewell(&mut self) {
        notify(&[NotifyState::Stopping]);
        let _ = timeout(FAREWELL, async {
            while self.driver.unfinished() > 0 {
                if let Ok(applied) = self.driver.applied().await {
                    self.driver.take(Input::Applied(applied));
                }
            }
        })
        .await;
        let Some(store) = self.store.take() else {
            return;
        };
        let (done, flushed) = oneshot::channel();
        tokio::task::spawn_blocking(move || done.send(store.flush()));
        match timeout(LAST_FLUSH, flushed).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(error))) => warn!(error = %Chain(&error), "last flush failed"),
            Ok(Err(_)) | Err(_) => warn!("last flush did not end in time"),
        }
    }
}

/// What is done now and then beside the inputs.
struct Chores {
    watchdog: bool,
    flush_next: Moment,
    collect_next: Moment,
    said: Option<Readiness>,
}

impl Chores {
    fn new(turning: &Turning) -> Self {
        let now = turning.clocks.moment();
        Self {
            watchdog: sd_notify::watchdog_enabled().is_some(),
            flush_next: now + turning.flush_interval,
            collect_next: now + COLLECT_PERIOD,
            said: None,
        }
    }

    fn turn(&mut self, turning: &Turning, now: Moment) {
        if self.watchdog {
            notify(&[NotifyState::Watchdog]);
        }
        if let Some(store) = &turning.store {
            turning.driver.set_store(store);
            if now >= self.flush_next {
                self.flush_next = now + turning.flush_interval;
                let store = Arc::clone(store);
                // The store remembers a failure itself, and shows it on /readyz.
                drop(tokio::task::spawn_blocking(move || store.flush().map(drop)));
            }
            // Ages are not judged by a clock that is not believed.
            if now >= self.collect_next
                && let Some(wall) = turning.clocks.now().wall
            {
                self.collect_next = now + COLLECT_PERIOD;
                let store = Arc::clone(store);
                drop(tokio::spawn(
                    async move { store.collect_garbage(wall).await },
                ));
            }
        }
        let readiness = turning.ready.borrow();
        if self.said.as_ref() != Some(&*readiness) {
            let status = match readiness.to_string().trim_end() {
                "" => "ready".to_owned(),
                trouble => trouble.replace('\n', "; "),
            };
            notify(&[NotifyState::Status(&status)]);
            self.said = Some(readiness.clone());
        }
    }
}

/// Tells systemd, if it listens.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "systemd does not listen");
    }
}

fn random() -> Result<u64, RunError> {
    getrandom::u64().map_err(|_| RunError::Random)
}

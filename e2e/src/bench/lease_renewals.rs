//! Lease renewals per second at the embedded API, as a gateway makes them (a PUT with the
//! resourceVersion, 32 under way): in process, and over TLS with a bearer token.
//!
//! Client and server share this process and its processors.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use nodling_gateway::apiserver::{ApiServer, Credentials, Store, StoreOptions, kubeconfig, serve};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Bound, Row, runner};

const CONCURRENCY: usize = 32;
const LEASES: usize = 1_000;
const TIME: Duration = Duration::from_secs(3);
/// The best of so many counts: noise only ever slows down.
const RUNS: usize = 3;
const MUST: Bound = Bound::AtLeast(8_000.0);
const AIM: Bound = Bound::AtLeast(20_000.0);

/// Measures.
#[tokio::main]
pub(super) async fn measure() -> Result<Vec<Row>> {
    // On the disk that builds are on: a temporary directory may be memory.
    let dir = tempfile::tempdir_in(runner::target()?)?;
    let store = Store::open(dir.path(), StoreOptions::default())?;
    let api = ApiServer::new(Arc::new(store), Timestamp::now);
    let leases = create(&api.client()).await?;
    let (in_process, leases) = best(&api.client(), leases).await?;
    let client = over_tls(&api, dir.path()).await?;
    let (over_tls, _) = best(&client, leases).await?;
    Ok(vec![
        Row::new("lease-renewals/in-process", in_process, "1/s")
            .must(MUST)
            .aim(AIM),
        Row::new("lease-renewals/tls", over_tls, "1/s")
            .must(MUST)
            .aim(AIM),
    ])
}

async fn create(client: &Client) -> Result<Vec<Lease>> {
    let mut tasks = JoinSet::new();
    for number in 0..LEASES {
        let leases = namespaced(client);
        tasks.spawn(async move { leases.create(&PostParams::default(), &lease(number)).await });
    }
    let mut leases = Vec::new();
    while let Some(created) = tasks.join_next().await {
        leases.push(created??);
    }
    Ok(leases)
}

fn namespaced(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), "kube-node-lease")
}

fn lease(number: usize) -> Lease {
    let name = format!("bench-{number:05}");
    Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name),
            lease_duration_seconds: Some(40),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    }
}

/// Serves the API as the gateway does, and connects as its user would.
async fn over_tls(api: &ApiServer, dir: &Path) -> Result<Client> {
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let credentials = Credentials::load_or_create(dir, &hosts, Timestamp::now())?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("https://{}", listener.local_addr()?);
    let token = credentials.token().to_owned();
    let for_ever = std::future::pending();
    tokio::spawn(serve(
        listener,
        api.clone(),
        credentials.tls()?,
        token,
        for_ever,
    ));
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig(&credentials, &url))?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Ok(Client::try_from(config)?)
}

async fn best(client: &Client, mut leases: Vec<Lease>) -> Result<(f64, Vec<Lease>)> {
    let mut fastest = 0.0_f64;
    for _ in 0..RUNS {
        let rate;
        (rate, leases) = renew(client, leases).await?;
        fastest = fastest.max(rate);
    }
    Ok((fastest, leases))
}

/// Renews for a while, each task its own share of the Leases again and again.
async fn renew(client: &Client, leases: Vec<Lease>) -> Result<(f64, Vec<Lease>)> {
    let mut shares: Vec<Vec<Lease>> = vec![Vec::new(); CONCURRENCY];
    for (number, lease) in leases.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(number % CONCURRENCY) {
            share.push(lease);
        }
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for share in shares {
        tasks.spawn(renew_share(namespaced(client), share, start + TIME));
    }
    let (mut renewals, mut leases) = (0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (count, share) = done??;
        renewals += count;
        leases.extend(share);
    }
    Ok((renewals as f64 / start.elapsed().as_secs_f64(), leases))
}

async fn renew_share(
    api: Api<Lease>,
    mut share: Vec<Lease>,
    until: Instant,
) -> Result<(usize, Vec<Lease>)> {
    let mut renewals = 0;
    loop {
        for lease in &mut share {
            if Instant::now() >= until {
                return Ok((renewals, share));
            }
            let spec = lease.spec.as_mut().context("a lease has a spec")?;
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            let name = lease.metadata.name.clone().context("a lease has a name")?;
            *lease = api.replace(&name, &PostParams::default(), lease).await?;
            renewals += 1;
        }
    }
}

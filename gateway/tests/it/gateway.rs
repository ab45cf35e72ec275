//! A whole gateway in this process: embedded broker, embedded API, ports 0.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Node;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use nodling_gateway::apiserver::{Store, StoreOptions};
use nodling_gateway::config::{Config, Environment};
use nodling_gateway::run::{RunError, run};
use nodling_gateway::time::Clocks;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{eventually, soon};

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) client: Client,
    pub(crate) broker: SocketAddr,
    listen: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
    dir: PathBuf,
}

/// What a test changes: everything else is the default on ports 0.
pub(crate) fn config(dir: &Path) -> Config {
    Config {
        embedded_broker: Some("127.0.0.1:0".parse().unwrap()),
        api_listen: "127.0.0.1:0".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: Some(dir.to_owned()),
        ..Config::default()
    }
}

impl Gateway {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_at(config, Clocks::system(false)).await
    }

    pub(crate) async fn start_at(config: Config, clocks: Clocks) -> Self {
        let dir = config.data_dir.clone().unwrap();
        // What an earlier one wrote is not this one's.
        let _ = std::fs::remove_file(dir.join("addresses.json"));
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(run(config, Environment::default(), clocks, async {
            let _ = stopped.await;
        }));
        let file = dir.join("addresses.json");
        let addresses = eventually(
            "addresses.json",
            async || {
                std::fs::read(&file)
                    .ok()
                    .and_then(|text| serde_json::from_slice(&text).ok())
            },
            Option::is_some,
        )
        .await;
        let addresses: Value = addresses.unwrap();
        let address = |name: &str| addresses[name].as_str().and_then(|text| text.parse().ok());
        let kubeconfig = Kubeconfig::read_from(dir.join("kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
        let unused = SocketAddr::from(([127, 0, 0, 1], 9));
        Self {
            client: Client::try_from(config.await.unwrap()).unwrap(),
            broker: address("broker").unwrap_or(unused),
            listen: address("listen").unwrap(),
            stop,
            ended,
            dir,
        }
    }

    /// Ends it as SIGTERM does, and says how long that took.
    pub(crate) async fn stop(self) -> Duration {
        let started = tokio::time::Instant::now();
        self.stop.send(()).unwrap();
        soon("end", self.ended).await.unwrap().unwrap();
        started.elapsed()
    }

    /// Kills it: nothing is flushed. Its store is free again when the last of it has gone.
    pub(crate) async fn kill(self) {
        self.ended.abort();
        let _ = self.ended.await;
        let free = async || Store::open(&self.dir, StoreOptions::default()).is_ok();
        eventually("free store", free, |is_free| *is_free).await;
    }

    pub(crate) fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// A page of `--listen`: its status and text.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let client = HttpClient::builder(TokioExecutor::new()).build_http::<Empty<&[u8]>>();
        let uri = format!("http://{}{path}", self.listen).parse().unwrap();
        let answer = soon("page", client.get(uri)).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A counter of the metrics page.
    pub(crate) async fn metric(&self, sample: &str) -> u64 {
        let (_, page) = self.page("/metrics").await;
        let line = page.lines().find(|line| line.starts_with(sample));
        let line = line.unwrap_or_else(|| panic!("no {sample} in\n{page}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Waits for a counter.
    pub(crate) async fn metric_at_least(&self, sample: &str, count: u64) {
        eventually(sample, || self.metric(sample), |value| *value >= count).await;
    }

    /// Waits for a node's Ready condition.
    pub(crate) async fn ready(&self, name: &str, status: &str) -> Node {
        let nodes = self.nodes();
        let node = eventually(
            &format!("{name} with Ready={status}"),
            || nodes.get_opt(name),
            |node| {
                let Ok(Some(node)) = node else { return false };
                condition(node, "Ready").is_some_and(|(have, _)| have == status)
            },
        )
        .await;
        node.unwrap().unwrap()
    }
}

/// Status and reason of a condition.
pub(crate) fn condition(node: &Node, kind: &str) -> Option<(String, String)> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((
        condition.status.clone(),
        condition.reason.clone().unwrap_or_default(),
    ))
}

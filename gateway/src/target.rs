//! Opens the Kubernetes that is written to: a cluster's API, or the embedded one.
//!
//! Whatever it is, the rest of the gateway sees one `kube::Client`. The embedded one listens for
//! `kubectl` as well, and its kubeconfig is written beside its store.
#![expect(
    clippy::disallowed_methods,
    reason = "the kubeconfig and the addresses are files of the data directory"
)]

use std::fs;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Duration, sleep};
use tracing::warn;

use crate::apiserver::{
    ApiServer, Credentials, CredentialsError, STORE_FILE, Store, StoreError, StoreOptions,
    kubeconfig, read_kubeconfig,
};
use crate::config::{Config, Environment, Target};
use crate::names;
use crate::telemetry::Chain;
use crate::time::Clocks;

/// How often the host's names are compared with those of the API's certificate.
const RENEW_PERIOD: Duration = Duration::from_mins(1);

/// Why there is no Kubernetes to write to.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The store of the embedded API cannot be opened.
    #[error("opening the store in {dir}")]
    Store {
        /// Where.
        dir: PathBuf,
        /// Why not.
        source: StoreError,
    },
    /// The credentials of the embedded API cannot be read or made.
    #[error("preparing the credentials of the embedded API")]
    Credentials(#[from] CredentialsError),
    /// An address cannot be listened on.
    #[error("listening on {address} for the embedded API (change it with --api-listen)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The data directory cannot be made.
    #[error("making the data directory {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A kubeconfig for it would not work.
    #[error("{url:?} is no URL of the embedded API: expected https://NAME:PORT")]
    Url {
        /// As it was given.
        url: String,
    },
    /// No gateway has run with this data directory.
    #[error(
        "no gateway has run with the data directory {dir}: name the one it uses with --data-dir, \
         or run it once"
    )]
    NeverRun {
        /// Which.
        dir: PathBuf,
    },
    /// The kubeconfig cannot be used.
    #[error("using the kubeconfig {path}")]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: kube::config::KubeconfigError,
    },
    /// The pod's service account cannot be used.
    #[error("using the pod's service account")]
    InCluster(#[from] kube::config::InClusterError),
    /// No client can be made of a configuration.
    #[error("preparing the Kubernetes client")]
    Client(#[source] kube::Error),
}

/// The embedded API, not yet served.
pub struct Embedded {
    /// The API.
    pub api: ApiServer,
    /// What it keeps.
    pub store: Arc<Store>,
    /// Its certificate and token.
    pub credentials: Credentials,
    /// The data directory.
    pub dir: PathBuf,
}

impl Embedded {
    /// Opens the store and the credentials.
    pub fn open(
        dir: &Path,
        environment: &Environment,
        clocks: Clocks,
    ) -> Result<Self, TargetError> {
        create_dir(dir)?;
        let store = open_store(dir)?;
        let hosts = names::read(&environment.host_name);
        let credentials = Credentials::load_or_create(dir, &hosts, clocks.reading())?;
        let store = Arc::new(store);
        let api = ApiServer::new(Arc::clone(&store), move || clocks.reading());
        Ok(Self {
            api,
            store,
            credentials,
            dir: dir.to_owned(),
        })
    }

    /// Listens for `kubectl` and writes the kubeconfig that fits the port.
    pub async fn listen(&self, address: SocketAddr) -> Result<TcpListener, TargetError> {
        let failed = |source| TargetError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let url = format!("https://127.0.0.1:{port}");
        let path = self.kubeconfig();
        write_private(&path, &kubeconfig(&self.credentials, &url));
        Ok(listener)
    }

    /// Keeps the API's certificate fit: names and addresses come and go, and time passes. Ends
    /// only if it panics.
    pub fn renew_certificate(
        &self,
        host_name: String,
        clocks: Clocks,
    ) -> impl Future<Output = JoinError> + Send + use<> {
        let (credentials, dir) = (self.credentials.clone(), self.dir.clone());
        async move {
            let mut was_well = true;
            loop {
                sleep(RENEW_PERIOD).await;
                let (credentials, dir) = (credentials.clone(), dir.clone());
                let host_name = host_name.clone();
                let refresh =
                    move || credentials.refresh(&dir, &names::read(&host_name), clocks.reading());
                match spawn_blocking(refresh).await {
                    Ok(Ok(())) => was_well = true,
                    Ok(Err(error)) => {
                        if std::mem::replace(&mut was_well, false) {
                            warn!(error = %Chain(&error), "certificate not renewed");
                        }
                    }
                    Err(panicked) => return panicked,
                }
            }
        }
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }
}

/// The API of the command line, in process: only when no gateway has the store.
pub fn open_alone(dir: &Path, clocks: Clocks) -> Result<ApiServer, TargetError> {
    // A mistyped directory is not to become an empty store.
    if !dir.join(STORE_FILE).exists() {
        return Err(TargetError::NeverRun {
            dir: dir.to_owned(),
        });
    }
    let store = Arc::new(open_store(dir)?);
    Ok(ApiServer::new(store, move || clocks.reading()))
}

fn open_store(dir: &Path) -> Result<Store, TargetError> {
    Store::open(dir, StoreOptions::default()).map_err(|source| TargetError::Store {
        dir: dir.to_owned(),
        source,
    })
}

/// A client for a cluster.
pub async fn cluster(target: &Target) -> Result<Client, TargetError> {
    let config = match target {
        Target::Kubeconfig(path) => {
            let failed = |source| TargetError::Kubeconfig {
                path: path.clone(),
                source,
            };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            let options = KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(failed)?
        }
        Target::InCluster | Target::Embedded => kube::Config::incluster()?,
    };
    Client::try_from(config).map_err(TargetError::Client)
}

/// A kubeconfig for a server's URL, from the credentials that a gateway has made.
pub fn kubeconfig_for(dir: &Path, url: &str) -> Result<String, TargetError> {
    let is_url = url
        .parse::<Uri>()
        .is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some());
    if !is_url {
        return Err(TargetError::Url {
            url: url.to_owned(),
        });
    }
    read_kubeconfig(dir, url)?.ok_or_else(|| TargetError::NeverRun {
        dir: dir.to_owned(),
    })
}

/// Where a gateway listens, for whoever started it on port 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// The embedded API.
    pub api: Option<SocketAddr>,
    /// The embedded broker.
    pub broker: Option<SocketAddr>,
    /// Health and metrics.
    pub listen: Option<SocketAddr>,
}

impl Addresses {
    /// Writes them to `addresses.json` of the data directory.
    pub fn write(&self, dir: &Path) {
        let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let document = json!({
            "api": text(self.api),
            "broker": text(self.broker),
            "listen": text(self.listen),
        });
        write_private(&dir.join("addresses.json"), &format!("{document}\n"));
    }
}

/// The data directory that holds, made if it is not there.
pub fn data_dir(config: &Config, environment: &Environment) -> PathBuf {
    config
        .data_dir
        .clone()
        .unwrap_or_else(|| environment.data_dir())
}

fn create_dir(dir: &Path) -> Result<(), TargetError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| TargetError::Directory {
            path: dir.to_owned(),
            source,
        })
}

/// Replaces a file that only its owner may read; whoever reads it sees all of it. One that says
/// the same already is left alone. A full disk is no reason not to run: the store says so too,
/// and goes on trying.
fn write_private(path: &Path, content: &str) {
    if fs::read_to_string(path).is_ok_and(|present| present == content) {
        return;
    }
    let write = || {
        let draft = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&draft)?.write_all(content.as_bytes())?;
        fs::rename(&draft, path)
    };
    if let Err(error) = write() {
        warn!(path = %path.display(), %error, "file not written");
    }
}

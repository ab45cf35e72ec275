//! Lists and watches Nodes and Leases, trims each at once and hands over what changed.
//!
//! Full objects live for one event only. A watch that ends is taken up where it ended; one that
//! is too old (410) or was never begun starts with a list, which is announced, so that what is
//! not in it is known to be gone. A connection that says nothing is noticed: the server is
//! asked to end every watch after [`WATCH`], and one that does not is given up.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, WatchParams};
use kube::core::{Status, WatchEvent};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::apply::LEASE_NAMESPACE;
use crate::backoff::Backoff;
use crate::seen::{Collection, Gone, SeenChange, SeenLease, SeenNode};
use crate::telemetry::Chain;
use crate::time::Clocks;

/// How long one watch lasts; long enough to be cheap, short enough that a path which died
/// without a word is noticed in about a minute.
const WATCH: Duration = Duration::from_mins(1);
/// What a server may take longer than asked to end a watch, or to answer at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Objects a page of a list: bounds what is in memory at a time.
const PAGE: u32 = 500;

/// What comes from a watch.
#[derive(Debug)]
pub enum Watched {
    /// Something is there, gone, or counted anew.
    Change(SeenChange),
    /// The watch broke, and why; it is tried again.
    Broken(Collection, String),
    /// The watch is there.
    Following(Collection),
}

/// Why a list or watch ended.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("no answer in time")]
    Silence,
    #[error("the API server answered {code}: {message}")]
    Refused { code: u16, message: String },
    #[error("talking to the API server")]
    Client(#[from] kube::Error),
    /// Nobody listens any more.
    #[error("the gateway is stopping")]
    Closed,
}

/// What can be watched and trimmed.
trait Watchable:
    kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    const COLLECTION: Collection;
    fn api(client: Client) -> Api<Self>;
    fn seen(&self) -> SeenChange;
    fn gone(gone: Gone) -> SeenChange;
}

impl Watchable for Node {
    const COLLECTION: Collection = Collection::Nodes;

    fn api(client: Client) -> Api<Self> {
        Api::all(client)
    }

    fn seen(&self) -> SeenChange {
        SeenChange::Node(Box::new(SeenNode::trim(self)))
    }

    fn gone(gone: Gone) -> SeenChange {
        SeenChange::NodeGone(gone)
    }
}

impl Watchable for Lease {
    const COLLECTION: Collection = Collection::Leases;

    fn api(client: Client) -> Api<Self> {
        Api::namespaced(client, LEASE_NAMESPACE)
    }

    fn seen(&self) -> SeenChange {
        SeenChange::Lease(SeenLease::trim(self))
    }

    fn gone(gone: Gone) -> SeenChange {
        SeenChange::LeaseGone(gone)
    }
}

/// Watches Nodes until nobody listens any more.
pub async fn nodes(client: Client, changes: mpsc::Sender<Watched>, clocks: Clocks, seed: u64) {
    Watch::<Node>::new(client, changes).run(clocks, seed).await;
}

/// Watches the Leases of nodes until nobody listens any more.
pub async fn leases(client: Client, changes: mpsc::Sender<Watched>, clocks: Clocks, seed: u64) {
    Watch::<Lease>::new(client, changes).run(clocks, seed).await;
}

struct Watch<K> {
    api: Api<K>,
    changes: mpsc::Sender<Watched>,
    /// Where to go on; `None` before the first list and after a 410.
    version: Option<String>,
    is_following: bool,
    is_trouble_said: bool,
}

impl<K: Watchable> Watch<K> {
    fn new(client: Client, changes: mpsc::Sender<Watched>) -> Self {
        Self {
            api: K::api(client),
            changes,
            version: None,
            is_following: false,
            is_trouble_said: false,
        }
    }

    async fn run(mut self, clocks: Clocks, seed: u64) {
        let mut backoff = Backoff::new(seed);
        loop {
            let ended = match self.version.take() {
                None => self.list().await,
                Some(version) => self.follow(version).await,
            };
            let now = clocks.moment();
            let Err(error) = ended else {
                backoff.succeed(now);
                continue;
            };
            let delay = backoff.fail(now);
            if self.complain(&error).await.is_err() {
                return;
            }
            tokio::select! {
                () = sleep(delay) => {}
                () = self.changes.closed() => return,
            }
        }
    }

    async fn complain(&mut self, error: &WatchError) -> Result<(), WatchError> {
        let reason = Chain(error).to_string();
        match error {
            WatchError::Closed => return Err(WatchError::Closed),
            WatchError::Refused { code: 410, .. } => {
                debug!(collection = ?K::COLLECTION, "watch expired");
            }
            WatchError::Refused { .. } | WatchError::Silence | WatchError::Client(_) => {
                if std::mem::replace(&mut self.is_trouble_said, true) {
                    debug!(collection = ?K::COLLECTION, error = reason, "watch still broken");
                } else {
                    warn!(collection = ?K::COLLECTION, error = reason, "watch broke");
                }
            }
        }
        if self.version.is_none() {
            self.change(SeenChange::Lost(K::COLLECTION)).await?;
        }
        self.is_following = false;
        self.send(Watched::Broken(K::COLLECTION, reason)).await
    }

    /// Lists in pages, from the newest state there is.
    async fn list(&mut self) -> Result<(), WatchError> {
        let mut params = ListParams::default().limit(PAGE);
        self.change(SeenChange::Relisting(K::COLLECTION)).await?;
        loop {
            let page = timeout(PATIENCE, self.api.list(&params))
                .await
                .map_err(|_| WatchError::Silence)?
                .map_err(refused)?;
            for object in &page.items {
                self.change(object.seen()).await?;
            }
            let rest = page.metadata.continue_.filter(|token| !token.is_empty());
            let Some(token) = rest else {
                self.version = page.metadata.resource_version;
                return self.change(SeenChange::Relisted(K::COLLECTION)).await;
            };
            params = params.continue_token(&token);
        }
    }

    /// Follows one watch to its end, and remembers where that was.
    async fn follow(&mut self, mut version: String) -> Result<(), WatchError> {
        let seconds = u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams::default().timeout(seconds);
        let opened = timeout(PATIENCE, self.api.watch(&params, &version)).await;
        let mut events = pin!(match opened {
            Err(_) => return self.resume(version, WatchError::Silence),
            Ok(Err(error)) => return self.resume(version, refused(error)),
            Ok(Ok(events)) => events,
        });
        self.is_trouble_said = false;
        if !std::mem::replace(&mut self.is_following, true) {
            self.send(Watched::Following(K::COLLECTION)).await?;
        }
        loop {
            let event = match timeout(WATCH + PATIENCE, events.try_next()).await {
                Err(_) => return self.resume(version, WatchError::Silence),
                Ok(Err(error)) => return self.resume(version, refused(error)),
                Ok(Ok(None)) => {
                    self.version = Some(version);
                    return Ok(());
                }
                Ok(Ok(Some(event))) => event,
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version = object.resource_version().unwrap_or(version);
                    self.change(object.seen()).await?;
                }
                WatchEvent::Deleted(object) => {
                    version = object.resource_version().unwrap_or(version);
                    let gone = Gone {
                        name: object.name_any().into(),
                        resource_version: version.as_str().into(),
                    };
                    self.change(K::gone(gone)).await?;
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return self.resume(version, expired(*status)),
            }
        }
    }

    /// Ends a watch with an error, to go on where it was, unless that is too long ago.
    fn resume(&mut self, version: String, error: WatchError) -> Result<(), WatchError> {
        let is_expired = matches!(error, WatchError::Refused { code: 410, .. });
        self.version = (!is_expired).then_some(version);
        Err(error)
    }

    async fn change(&self, change: SeenChange) -> Result<(), WatchError> {
        self.send(Watched::Change(change)).await
    }

    async fn send(&self, watched: Watched) -> Result<(), WatchError> {
        self.changes
            .send(watched)
            .await
            .map_err(|_| WatchError::Closed)
    }
}

fn refused(error: kube::Error) -> WatchError {
    if let kube::Error::Api(status) = error {
        expired(*status)
    } else {
        WatchError::Client(error)
    }
}

fn expired(status: Status) -> WatchError {
    WatchError::Refused {
        code: status.code,
        message: status.message,
    }
}

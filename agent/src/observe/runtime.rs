//! Which container runtime there is, by asking its CRI socket for `containerd://1.7.2`.
//!
//! Asked by a task of its own with a deadline: at start, after a refresh, and every five
//! minutes. What it found last is read at each tick without waiting. Sockets are looked up
//! through `Root`; a fixture has none. Version numbers are shown as kubelet shows them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fd::AsRawFd as _;
use rustix::io::Errno as Os;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::cri::{Answer, CriError, Exchange, request};
use super::root::Root;

/// A runtime that is well answers in milliseconds, and in seconds while the card is busy. Nobody
/// but `assess` waits for it.
const DEADLINE: Duration = Duration::from_secs(3);
/// A new version is shown about as soon as a kubelet would write it.
const ASK_EVERY: Duration = Duration::from_mins(5);
/// A runtime that is down is likely to be up soon.
const ASK_EVERY_IN_DOUBT: Duration = Duration::from_mins(1);
/// Sessions that come and go ask no more often.
const ASK_APART: Duration = Duration::from_secs(10);

/// Kubelet's version of a runtime that does not tell.
const UNKNOWN: &str = "://Unknown";

/// Where runtimes listen unless they are told otherwise; k3s brings its own.
const USUAL: [&str; 4] = [
    "run/containerd/containerd.sock",
    "run/crio/crio.sock",
    "run/cri-dockerd.sock",
    "run/k3s/containerd/containerd.sock",
];

/// A runtime's socket: kubelet's `--container-runtime-endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Without its leading slash, as `Root` takes it.
    path: Box<str>,
}

impl Endpoint {
    /// Parses `unix:///path`, or the bare path that kubelet took before.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        let path = path.strip_prefix('/')?;
        let is_fit = !path.is_empty() && !path.contains(char::is_control);
        is_fit.then(|| Self { path: path.into() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:///{}", self.path)
    }
}

/// What was found last, for whoever observes.
#[derive(Clone, Debug, Default)]
pub struct Runtime(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// `containerd://1.7.2`, or empty.
    shown: Mutex<Arc<str>>,
    wanted: Notify,
}

impl Runtime {
    /// What was found last; empty before anything was.
    pub(super) fn latest(&self) -> Arc<str> {
        Arc::clone(&self.0.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has it asked again soon.
    pub(super) fn refresh(&self) {
        self.0.wanted.notify_one();
    }
}

/// Why a runtime does not tell its version.
#[derive(Debug, thiserror::Error)]
enum RuntimeError {
    #[error("{0}")]
    Cri(#[from] CriError),
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Late,
    #[error("{0}")]
    Socket(std::io::Error),
    #[error("{0:?} is no version")]
    Version(Box<str>),
}

/// Asks again and again.
#[derive(Debug)]
pub struct Asker {
    root: Root,
    endpoint: Option<Endpoint>,
    /// What the last runtime called itself.
    name: Option<Box<str>>,
    shared: Runtime,
}

impl Asker {
    /// Asks at the configured socket, or at the usual ones.
    pub fn new(root: Root, endpoint: Option<Endpoint>) -> (Self, Runtime) {
        let shared = Runtime::default();
        let asker = Self {
            root,
            endpoint,
            name: None,
            shared: shared.clone(),
        };
        (asker, shared)
    }

    /// Asks until the program ends.
    pub async fn run(mut self) {
        loop {
            self.ask().await;
            let is_in_doubt = self.shared.latest().ends_with(UNKNOWN);
            let every = if is_in_doubt {
                ASK_EVERY_IN_DOUBT
            } else {
                ASK_EVERY
            };
            tokio::time::sleep(ASK_APART).await;
            tokio::select! {
                () = self.shared.0.wanted.notified() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Asks once, and shows what came of it.
    pub async fn ask(&mut self) {
        let (shown, error) = self.find().await;
        let mut place = self
            .shared
            .0
            .shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if **place == *shown {
            return;
        }
        if let Some(error) = error {
            warn!(runtime = shown, %error, "the container runtime hides its version");
        } else if shown.ends_with(UNKNOWN) {
            warn!(runtime = shown, "the container runtime is gone");
        } else {
            info!(runtime = shown, "the container runtime tells its version");
        }
        *place = shown.into();
    }

    async fn find(&mut self) -> (String, Option<RuntimeError>) {
        let sockets: Vec<Box<str>> = match &self.endpoint {
            Some(endpoint) => vec![endpoint.path.clone()],
            None => USUAL.map(Box::from).into(),
        };
        for path in sockets {
            let error = match self.ask_at(&path).await {
                Ok((name, version)) => {
                    let shown = format!("{name}://{version}");
                    self.name = Some(name);
                    return (shown, None);
                }
                // Nobody said that one should be there.
                Err(error) if self.endpoint.is_none() && is_none(&error) => continue,
                Err(error) => error,
            };
            let name = self.name.as_deref().unwrap_or(kind(&path));
            return (format!("{name}{UNKNOWN}"), Some(error));
        }
        match &self.name {
            Some(name) => (format!("{name}{UNKNOWN}"), None),
            None => (String::new(), None),
        }
    }

    async fn ask_at(&self, path: &str) -> Result<(Box<str>, String), RuntimeError> {
        let socket = self.root.open_socket(path).map_err(io_error)?;
        // Through the descriptor, so that the path stays below the root and may be long.
        let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let talk = async {
            let stream = UnixStream::connect(path)
                .await
                .map_err(RuntimeError::Socket)?;
            talk(stream).await
        };
        let answer = tokio::time::timeout(DEADLINE, talk).await;
        let Answer { name, version } = answer.map_err(|_| RuntimeError::Late)??;
        match show(&version) {
            Some(shown) => Ok((name, shown)),
            None => Err(RuntimeError::Version(version)),
        }
    }
}

fn io_error(err: Os) -> RuntimeError {
    RuntimeError::Socket(err.into())
}

/// Whether there is no socket, nobody behind it, or somebody who is no CRI runtime.
fn is_none(error: &RuntimeError) -> bool {
    match error {
        RuntimeError::Cri(error) => *error == CriError::NoMessage,
        RuntimeError::Socket(error) => matches!(
            error.kind(),
            std::io::ErrorKind::NotFound
                | std::io::ErrorKind::NotADirectory
                | std::io::ErrorKind::ConnectionRefused
        ),
        RuntimeError::Late | RuntimeError::Version(_) => false,
    }
}

async fn talk(mut stream: UnixStream) -> Result<Answer, RuntimeError> {
    stream
        .write_all(&request())
        .await
        .map_err(RuntimeError::Socket)?;
    let mut exchange = Exchange::default();
    let mut piece = vec![0; 4096];
    loop {
        let len = stream
            .read(&mut piece)
            .await
            .map_err(RuntimeError::Socket)?;
        let mut reply = Vec::new();
        let answer = exchange.take(piece.get(..len).unwrap_or_default(), &mut reply)?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        stream
            .write_all(&reply)
            .await
            .map_err(RuntimeError::Socket)?;
    }
}

/// What a runtime that never told is called, by the name of its socket.
fn kind(path: &str) -> &'static str {
    if path.contains("containerd") {
        "containerd"
    } else if path.contains("crio") {
        "cri-o"
    } else if path.contains("docker") {
        "docker"
    } else {
        "remote"
    }
}

/// A version as kubelet shows it: apimachinery's `ParseSemantic`, else `ParseGeneric`, printed.
pub(super) fn show(version: &str) -> Option<String> {
    let text = version.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let (components, rest) = components(text);
    let is_padded = |part: &&str| part.len() > 1 && part.starts_with('0');
    let numbers: Vec<u64> = components
        .iter()
        .map_while(|part| part.parse().ok())
        .collect();
    if numbers.len() != components.len() || components.first().is_none_or(is_padded) {
        return None;
    }
    let shown: Vec<String> = numbers.iter().map(u64::to_string).collect();
    let shown = shown.join(".");
    if components.len() == 3 && !components.iter().any(is_padded) && is_semantic(rest) {
        return Some(format!("{shown}{rest}"));
    }
    (components.len() >= 2).then_some(shown)
}

/// Digits between points, as far as there are, and what follows.
fn components(mut text: &str) -> (Vec<&str>, &str) {
    let mut components = Vec::new();
    loop {
        let begin = match text.strip_prefix('.') {
            Some(rest) if !components.is_empty() => rest,
            None if components.is_empty() => text,
            Some(_) | None => return (components, text),
        };
        let end = begin
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(begin.len());
        match begin.split_at_checked(end) {
            Some((digits, rest)) if !digits.is_empty() => {
                components.push(digits);
                text = rest;
            }
            Some(_) | None => return (components, text),
        }
    }
}

/// `-pre.release+build.metadata`, each part optional.
fn is_semantic(rest: &str) -> bool {
    let (pre, build) = match rest.split_once('+') {
        Some((pre, build)) => (pre, Some(build)),
        None => (rest, None),
    };
    let is_identifier = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_padded = |part: &str| {
        part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_pre = match pre.strip_prefix('-') {
        Some(pre) => pre
            .split('.')
            .all(|part| is_identifier(part) && !is_padded(part)),
        None => pre.is_empty(),
    };
    is_pre && build.is_none_or(|build| build.split('.').all(is_identifier))
}

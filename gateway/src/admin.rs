//! What the command line asks of a running gateway, over `DIR/admin.sock`.
//!
//! One process owns the store, so whoever wants something of it asks. One line each way: a
//! request, and `ok …` or `error …`. The socket is the owner's alone (0600), as the store is.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use http::StatusCode;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::DeleteParams;
use kube::{Api, Client};
use nodling_protocol::NodeName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Duration, timeout};
use tracing::{debug, info};

use crate::apply::LEASE_NAMESPACE;
use crate::telemetry::Chain;

/// A command and a node's name; nobody sends more.
const LINE_LEN_MAX: u64 = 512;
/// A client that says nothing is sent away.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an answer may take: a slow disk, two deletions.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The socket cannot be used.
    #[error("using {path}")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Kubernetes refused.
    #[error("deleting {what} {name:?}")]
    Delete {
        /// Node or Lease.
        what: &'static str,
        /// Whose.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The running gateway said no.
    #[error("{0}")]
    Refused(String),
}

/// Where the socket is.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("admin.sock")
}

/// Listens; a socket that a killed gateway left behind is replaced.
pub fn listen(dir: &Path) -> Result<UnixListener, AdminError> {
    let path = socket(dir);
    let failed = |source| AdminError::Socket {
        path: socket(dir),
        source,
    };
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let permissions = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, permissions).map_err(failed)?;
    Ok(listener)
}

/// Answers one request at a time until the process ends.
pub async fn serve(listener: UnixListener, client: Client) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        if let Err(error) = answer(stream, &client).await {
            debug!(%error, "admin connection broke");
        }
    }
}

async fn answer(stream: UnixStream, client: &Client) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LINE_LEN_MAX));
    timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let answer = match line.trim_end().split_once(' ') {
        Some(("forget", name)) if NodeName::parse(name).is_ok() => {
            match forget(client, name).await {
                Ok(said) => format!("ok {said}\n"),
                Err(error) => format!("error {}\n", Chain(&error)),
            }
        }
        _ => "error unknown request\n".to_owned(),
    };
    writer.write_all(answer.as_bytes()).await?;
    writer.shutdown().await
}

/// Asks a running gateway to forget a node; `None` if none runs.
pub async fn ask_to_forget(dir: &Path, name: &str) -> Result<Option<String>, AdminError> {
    let path = socket(dir);
    let failed = |source| AdminError::Socket {
        path: socket(dir),
        source,
    };
    let mut stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let talk = async {
        stream
            .write_all(format!("forget {name}\n").as_bytes())
            .await?;
        let mut said = String::new();
        stream.take(LINE_LEN_MAX).read_to_string(&mut said).await?;
        Ok::<_, io::Error>(said)
    };
    let said = timeout(ANSWER_PATIENCE, talk)
        .await
        .map_err(|elapsed| failed(elapsed.into()))?
        .map_err(failed)?;
    match said.trim_end().split_once(' ') {
        Some(("ok", said)) => Ok(Some(said.to_owned())),
        Some(("error", said)) => Err(AdminError::Refused(said.to_owned())),
        _ => Err(failed(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Deletes a node's Node and Lease; either may be gone already.
pub async fn forget(client: &Client, name: &str) -> Result<String, AdminError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let params = DeleteParams::default();
    let was_there = deleted("node", name, nodes.delete(name, &params).await.map(drop))?;
    deleted("lease", name, leases.delete(name, &params).await.map(drop))?;
    info!(node = name, was_there, "node forgotten");
    let became = if was_there {
        "forgotten (if its agent still runs, it registers again: stop that first)"
    } else {
        "was not there"
    };
    Ok(format!("node {name} {became}"))
}

fn deleted(
    what: &'static str,
    name: &str,
    result: Result<(), kube::Error>,
) -> Result<bool, AdminError> {
    match result {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == StatusCode::NOT_FOUND.as_u16() => Ok(false),
        Err(source) => Err(AdminError::Delete {
            what,
            name: name.to_owned(),
            source: Box::new(source),
        }),
    }
}

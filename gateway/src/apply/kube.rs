//! Turns an action into one HTTP request, and the answer into what the core compares.
//!
//! Requests go through [`Client::send`] rather than a typed `Api`, because the typed one drops
//! the headers of an error, `Retry-After` among them.

use std::fmt::Display;

use ::kube::core::Status;
use ::kube::core::params::{DeleteParams, Patch, PatchParams, PostParams};
use ::kube::core::request::{Error as RequestError, Request as Builder};
use ::kube::{Client, Resource};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::retry::classify;
use crate::reconcile::{Action, Failure, Write, Written};
use crate::seen::{SeenLease, SeenNode};
use crate::telemetry::Chain;

/// Who writes, in `managedFields`.
const FIELD_MANAGER: &str = "nodling-gateway";
/// Where Leases of nodes are.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Where Events of nodes are: nodes have no namespace, and kubectl looks here.
const EVENT_NAMESPACE: &str = "default";
/// No object of ours comes near; a server that sends more is not one.
const ANSWER_LEN_MAX: usize = 8 * 1024 * 1024;

/// An HTTP request, ready to be sent, or why it could not be written.
pub type Request = Result<http::Request<Vec<u8>>, RequestError>;

/// What became of a request: the result, or what to do about it and what to log.
pub type Answer = Result<Written, (Failure, String)>;

/// A frame for a board.
type Down = (Box<str>, Box<[u8]>);

/// The request that an action is; or the frame, for one that is none.
pub(super) fn request(action: Action) -> Result<(Box<str>, Write, Request), Down> {
    let write = action.write();
    let (node, request) = match action {
        Action::CreateNode { node, body } => (node, create(&nodes(), &*body)),
        Action::PatchNode { node, patch } => {
            let request = nodes().patch(&node, &patching(), &Patch::Strategic(patch));
            (node, request)
        }
        Action::PatchStatus { node, patch } => {
            let patch: Patch<Value> = Patch::Strategic(patch);
            let request = nodes().patch_subresource("status", &node, &patching(), &patch);
            (node, request)
        }
        Action::CreateLease { node, body } => (node, create(&leases(), &*body)),
        Action::RenewLease { node, body } => {
            let request =
                written(&*body).and_then(|body| leases().replace(&node, &posting(), body));
            (node, request)
        }
        Action::DeleteLease { node } => {
            let request = leases().delete(&node, &DeleteParams::default());
            (node, request)
        }
        Action::CreateEvent { node, body } => (node, create(&events(), &*body)),
        Action::PatchEvent { node, event, patch } => {
            let request = events().patch(&event, &patching(), &Patch::Strategic(patch));
            (node, request)
        }
        Action::Down { node, frame } => return Err((node, frame)),
    };
    let write = write.expect("everything but a frame is a write");
    Ok((node, write, request))
}

/// Sends a request and reads the answer.
pub async fn execute(client: &Client, write: Write, request: Request) -> Answer {
    let invalid =
        |error: &(dyn std::error::Error + 'static)| (Failure::Invalid, Chain(error).to_string());
    let request = request.map_err(|error| invalid(&error))?;
    let unavailable = |error: &(dyn std::error::Error + 'static)| {
        (Failure::Unavailable, Chain(error).to_string())
    };
    let response = client
        .send(request.map(::kube::client::Body::from))
        .await
        .map_err(|error| unavailable(&error))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_LEN_MAX)
        .collect()
        .await
        .map_err(|error| (Failure::Unavailable, error.to_string()))?
        .to_bytes();
    if parts.status.is_success() {
        return read(write, &body);
    }
    Err(refused(write, parts.status, &parts.headers, &body))
}

fn read(write: Write, body: &Bytes) -> Answer {
    match write {
        Write::CreateNode | Write::PatchNode | Write::PatchStatus => {
            let node: Node = parsed(body)?;
            Ok(Written::Node(Box::new(SeenNode::trim(&node))))
        }
        Write::CreateLease | Write::RenewLease => {
            let lease: Lease = parsed(body)?;
            Ok(Written::Lease(SeenLease::trim(&lease)))
        }
        Write::CreateEvent | Write::DeleteLease | Write::PatchEvent => Ok(Written::Done),
    }
}

fn parsed<T: DeserializeOwned>(body: &Bytes) -> Result<T, (Failure, String)> {
    serde_json::from_slice(body).map_err(|error| {
        let complaint = format!("the answer is not understood: {error}");
        (Failure::Unavailable, complaint)
    })
}

fn refused(write: Write, code: StatusCode, headers: &HeaderMap, body: &Bytes) -> (Failure, String) {
    let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status {
        // A proxy's page, or priority and fairness; enough of it to know which.
        message: String::from_utf8_lossy(body).chars().take(200).collect(),
        ..Status::default()
    });
    let complaint = said(code, &status.message);
    (classify(write, code, headers, &status), complaint)
}

fn said(code: impl Display, message: &str) -> String {
    match message.trim() {
        "" => format!("the API server answered {code}"),
        message => format!("the API server answered {code}: {message}"),
    }
}

fn create(of: &Builder, body: &impl Serialize) -> Request {
    of.create(&posting(), written(body)?)
}

fn written(body: &impl Serialize) -> Result<Vec<u8>, RequestError> {
    serde_json::to_vec(body).map_err(RequestError::SerializeBody)
}

fn nodes() -> Builder {
    Builder::new(Node::url_path(&(), None))
}

fn leases() -> Builder {
    Builder::new(Lease::url_path(&(), Some(LEASE_NAMESPACE)))
}

fn events() -> Builder {
    Builder::new(Event::url_path(&(), Some(EVENT_NAMESPACE)))
}

fn posting() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn patching() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER)
}

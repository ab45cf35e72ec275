//! Compares what the roster wants with what `watch` saw, and says what to do about it.
//!
//! No IO, no clock, no failure: [`Core`] takes inputs with their time and returns [`Action`]s,
//! each a complete request. What became of them comes back as an [`Outcome`]. Nothing is
//! remembered as sent: a write that vanished is seen to be missing and made again.

mod settings;
mod quantity;
mod backoff;
mod wanted;
mod events;
mod kube;
mod status;
mod node;
mod lease;
mod lifecycle;
mod plan;
mod core;
mod change;
mod tell;

use ::core::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node};
use serde_json::Value;

use crate::seen::{SeenLease, SeenNode};

pub use self::core::Core;
pub use self::settings::{Lifecycle, Settings};

/// One thing to do, complete: whoever does it decides nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// POST to `/api/v1/nodes`.
    CreateNode {
        /// The Node's name.
        node: Box<str>,
        /// The body.
        body: Box<Node>,
    },
    /// Strategic-merge PATCH of the Node.
    PatchNode {
        /// The Node's name.
        node: Box<str>,
        /// The body.
        patch: Value,
    },
    /// Strategic-merge PATCH of the Node's `/status`.
    PatchStatus {
        /// The Node's name.
        node: Box<str>,
        /// The body.
        patch: Value,
    },
    /// POST to the Leases of `kube-node-lease`.
    CreateLease {
        /// The Lease's and the Node's name.
        node: Box<str>,
        /// The body.
        body: Box<Lease>,
    },
    /// PUT of the Lease, with its resourceVersion.
    RenewLease {
        /// The Lease's and the Node's name.
        node: Box<str>,
        /// The body.
        body: Box<Lease>,
    },
    /// DELETE of the Lease.
    DeleteLease {
        /// The Lease's and the Node's name.
        node: Box<str>,
    },
    /// POST to the Events of the namespace `default`.
    CreateEvent {
        /// The Node's name.
        node: Box<str>,
        /// The body.
        body: Box<Event>,
    },
    /// Strategic-merge PATCH of an Event of the namespace `default`.
    PatchEvent {
        /// The Node's name.
        node: Box<str>,
        /// The Event's name.
        event: Box<str>,
        /// The body.
        patch: Value,
    },
    /// Publish a frame on the node's down topic, not retained.
    Down {
        /// The node's name.
        node: Box<str>,
        /// The payload.
        frame: Box<[u8]>,
    },
}

/// Which write to Kubernetes an [`Action`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// [`Action::CreateEvent`].
    CreateEvent,
    /// [`Action::CreateLease`].
    CreateLease,
    /// [`Action::CreateNode`].
    CreateNode,
    /// [`Action::DeleteLease`].
    DeleteLease,
    /// [`Action::PatchEvent`].
    PatchEvent,
    /// [`Action::PatchNode`].
    PatchNode,
    /// [`Action::PatchStatus`].
    PatchStatus,
    /// [`Action::RenewLease`].
    RenewLease,
}

/// What became of a write. Every write has exactly one.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The node it was for.
    pub node: Box<str>,
    /// Which write.
    pub write: Write,
    /// The object as it is now, or why not.
    pub result: Result<Written, Failure>,
}

/// What Kubernetes returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// Nothing worth keeping (Events, deletions).
    Done,
    /// The Lease.
    Lease(SeenLease),
    /// The Node.
    Node(Box<SeenNode>),
}

/// Why a write did not happen, by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// 409 on create.
    #[error("object exists already")]
    AlreadyExists,
    /// 409 on update: somebody was faster.
    #[error("object was changed by somebody else")]
    Conflict,
    /// 401 or 403.
    #[error("not allowed")]
    Forbidden,
    /// 400 or 422: the same request will fail again.
    #[error("request refused as invalid")]
    Invalid,
    /// 404.
    #[error("object not found")]
    NotFound,
    /// 429.
    #[error("too many requests")]
    TooManyRequests {
        /// `Retry-After`, if it was sent.
        retry_after: Option<Duration>,
    },
    /// 5xx, a broken connection, no answer in time.
    #[error("not reachable")]
    Unavailable,
}

impl Action {
    /// The node it is about.
    pub fn node(&self) -> &str {
        match self {
            Self::CreateNode { node, .. }
            | Self::PatchNode { node, .. }
            | Self::PatchStatus { node, .. }
            | Self::CreateLease { node, .. }
            | Self::RenewLease { node, .. }
            | Self::DeleteLease { node }
            | Self::CreateEvent { node, .. }
            | Self::PatchEvent { node, .. }
            | Self::Down { node, .. } => node,
        }
    }

    /// Which write it is; `None` for what goes to the board and has no outcome.
    pub const fn write(&self) -> Option<Write> {
        match self {
            Self::CreateNode { .. } => Some(Write::CreateNode),
            Self::PatchNode { .. } => Some(Write::PatchNode),
            Self::PatchStatus { .. } => Some(Write::PatchStatus),
            Self::CreateLease { .. } => Some(Write::CreateLease),
            Self::RenewLease { .. } => Some(Write::RenewLease),
            Self::DeleteLease { .. } => Some(Write::DeleteLease),
            Self::CreateEvent { .. } => Some(Write::CreateEvent),
            Self::PatchEvent { .. } => Some(Write::PatchEvent),
            Self::Down { .. } => None,
        }
    }
}

#[cfg(test)]
mod fake_board;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

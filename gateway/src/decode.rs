//! Turns the topic and payload of one MQTT message into a node's name and its report.
//!
//! Any bytes end in a report or in a [`Reject`], a closed and countable enum that holds nothing
//! from the network. The frame is opened but not believed: order, identity and freshness are
//! the roster's.

use nodling_protocol::frame::Position;
use nodling_protocol::{Bye, Detail, Facts, Fleet, Heartbeat, NodeName, Will};

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// A class that has no business on its topic.
    #[error("frame class does not belong on this topic")]
    Class,
    /// No bytes.
    #[error("empty frame")]
    Empty,
    /// A kind of message that a later version added, or that only a gateway sends.
    #[error("unknown kind of message")]
    Kind,
    /// A value outside its range.
    #[error("malformed frame")]
    Malformed,
    /// The Facts are another node's than the topic says.
    #[error("facts name another node than the topic")]
    NodeMismatch,
    /// The topic's last level is no node name.
    #[error("topic holds no valid node name")]
    NodeName,
    /// The broker kept it: nobody knows since when.
    #[error("retained message")]
    Retained,
    /// More bytes than a frame may have.
    #[error("frame longer than allowed")]
    TooLong,
    /// A topic that is none of the fleet's that agents publish on.
    #[error("topic is not one that agents publish on")]
    Topic,
    /// Bytes after the message.
    #[error("trailing bytes after the message")]
    Trailing,
    /// The bytes end inside a value.
    #[error("truncated frame")]
    Truncated,
    /// A protocol version that this gateway does not read.
    #[error("unknown protocol version")]
    Version,
}

/// What one frame says.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "heartbeats are nearly all of the reports and must not allocate"
)]
pub enum Report<'a> {
    /// The state of a board.
    Heartbeat(Position, Heartbeat<'a>),
    /// What a board is; `message` is its bytes, for keeping.
    Facts {
        /// Whose, and which.
        position: Position,
        /// Decoded.
        facts: Box<Facts<'a>>,
        /// As it came.
        message: &'a [u8],
    },
    /// Counters for whoever watches closely; `message` is its bytes, for keeping.
    Detail {
        /// Whose, and which.
        position: Position,
        /// Decoded.
        detail: Box<Detail<'a>>,
        /// As it came.
        message: &'a [u8],
    },
    /// A goodbye.
    Bye(Position, Bye),
    /// The broker says that a connection broke.
    Will(Will),
}

/// Opens a message that arrived on a topic of the fleet.
pub fn decode<'a>(
    fleet: Fleet<'_>,
    topic: &'a str,
    payload: &'a [u8],
    is_retained: bool,
) -> Result<(NodeName<'a>, Report<'a>), Reject> {
    let _ = (fleet, topic, payload, is_retained);
    Err(Reject::Topic)
}

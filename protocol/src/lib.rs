//! What agent and gateway say to each other: frames, the messages in them, topics, units.
//!
//! ```text
//! topic   nodling/<fleet>/up/<node>
//! payload [version:4|class:4] [session u8] [sequence varint] [body …]
//!                                                             │
//!                       clear body: [instance tag u8] [kind u8] [message …]
//! ```
//!
//! Nothing here allocates, does IO or knows the time. Decoding any bytes ends in a value or a
//! small [`DecodeError`]. Wire enums grow only at their end; a changed struct is a new
//! [`VERSION`]; `tests/wire/v1.rs` holds the bytes. Words for people (reasons, messages) are
//! here as constants, so that they cost nothing on the wire.
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core)]

#[cfg(test)]
extern crate std;

mod wire;
pub mod units;
pub mod condition;
pub mod session;
pub mod topic;
pub mod label;
pub mod heartbeat;
pub mod facts;
pub mod detail;
pub mod command;
pub mod frame;

pub use command::{Announce, Bye, Down};
pub use condition::{ConditionKind, Status, Statuses};
pub use detail::Detail;
pub use facts::Facts;
pub use frame::{Class, Clear, Frame, Kind};
pub use heartbeat::{Heartbeat, Vitals};
pub use session::{BootId, Instance, Will, WillHash};
pub use topic::{Fleet, NodeName, Topic};
pub use wire::{DecodeError, EncodeError};

/// The protocol version this crate writes.
pub const VERSION: u8 = 1;

/// The oldest protocol version this crate reads.
pub const VERSION_OLDEST: u8 = 1;

/// No frame is longer, in either direction.
pub const MAX_FRAME_LEN: usize = 8192;

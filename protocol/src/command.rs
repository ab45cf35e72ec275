//! The short messages: the agent's goodbye, the gateway's wishes, the gateway's announcement.

use serde::{Deserialize, Serialize};

use crate::wire::{DecodeError, from_postcard};

/// Why an agent goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Bye {
    /// It will be back: the gateway waits out the grace.
    Restart,
    /// The board is shutting down.
    Shutdown,
    /// For good.
    Leave,
}

/// What a gateway asks of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Down {
    /// Send Facts: the gateway does not know this session.
    SendFacts,
    /// Send Detail this often; 0 stops.
    SendDetail {
        /// Seconds between two.
        every_s: u16,
    },
    /// `spec.unschedulable` of the Node changed.
    Unschedulable(bool),
    /// Send heartbeats this often; 0 returns to the agent's own interval.
    SetInterval {
        /// Milliseconds between two.
        interval_ms: u32,
    },
}

/// What a gateway says of itself, retained, on the fleet's gateway topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// Random per start: a new one means that sessions are gone and agents say Facts again.
    pub epoch: u64,
    /// The highest protocol version the gateway speaks.
    pub version_highest: u8,
    /// A quarter of the grace: heartbeats must come at least this often.
    pub interval_ms_max: u32,
}

impl Bye {
    /// Decodes the message of a frame whose kind is [`crate::Kind::Bye`].
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        from_postcard(message)
    }
}

impl Down {
    /// Decodes the message of a frame whose kind is [`crate::Kind::Down`].
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        from_postcard(message)
    }
}

impl Announce {
    /// Decodes the body of a frame whose class is [`crate::Class::Announce`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        from_postcard(body)
    }
}

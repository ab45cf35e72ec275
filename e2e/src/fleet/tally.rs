//! What became of a fleet's beats.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that all connections share.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) beats_sent: AtomicU64,
    pub(super) beats_acknowledged: AtomicU64,
    pub(super) facts_sent: AtomicU64,
    pub(super) connections: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Heartbeats handed to a connection.
    pub beats_sent: u64,
    /// Heartbeats that the broker took.
    pub beats_acknowledged: u64,
    /// Facts handed to a connection.
    pub facts_sent: u64,
    /// Connections that the broker accepted.
    pub connections: u64,
}

impl Counters {
    /// Reads them.
    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // In this order, so that none is ever acknowledged before it was sent.
        let beats_acknowledged = read(&self.beats_acknowledged);
        Tally {
            beats_sent: read(&self.beats_sent),
            beats_acknowledged,
            facts_sent: read(&self.facts_sent),
            connections: read(&self.connections),
        }
    }
}

impl Tally {
    /// Heartbeats that no broker took, or none said so.
    pub const fn beats_lost(self) -> u64 {
        self.beats_sent.saturating_sub(self.beats_acknowledged)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            beats_sent,
            beats_acknowledged,
            facts_sent,
            connections,
        } = self;
        let lost = self.beats_lost();
        write!(
            f,
            "beats sent {beats_sent}, acknowledged {beats_acknowledged}, lost {lost}; \
             facts sent {facts_sent}, connections {connections}"
        )
    }
}

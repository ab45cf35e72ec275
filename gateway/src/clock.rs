//! What time it is, as the core is told it.
//!
//! Deadlines, ages and intervals are [`Moment`]s: milliseconds on the gateway's boot-time
//! clock, which no time server moves. The wall clock only fills fields of Kubernetes objects,
//! and is absent until it can be believed. Nothing here reads a clock; `run.rs` does.

use core::ops::Add;
use core::time::Duration;

use jiff::Timestamp;

/// Milliseconds on the gateway's boot-time clock (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// From the clock's reading.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The clock's reading.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Time passed since an earlier moment; zero if that is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ms))
    }
}

/// The time of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For everything that is decided.
    pub moment: Moment,
    /// For everything that is written; `None` until the clock is plausible (not before the
    /// build) and synchronised. Without it nothing is written to Kubernetes.
    pub wall: Option<Timestamp>,
}

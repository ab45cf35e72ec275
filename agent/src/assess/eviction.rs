//! When thresholds are met and pressures reported, as the kubelet's eviction manager judges
//! (`synchronize` in `pkg/kubelet/eviction/eviction_manager.go`), without the evicting.
//!
//! A threshold is met while strictly less than its limit is available. Once its grace has passed,
//! it stays met until its minimum reclaim is available too. A met threshold is pressure at once,
//! soft ones included: grace delays what the kubelet evicts, not what it reports. A pressure is
//! reported until its transition period has passed. `run` and `replay` both judge by this.

use std::time::Duration;

use nodling_protocol::ConditionKind;

use super::thresholds::{Limit, Signal, Threshold, Thresholds};
use crate::quantity::Quantity;

/// The conditions that thresholds set.
pub const PRESSURES: [ConditionKind; 3] = [
    ConditionKind::MemoryPressure,
    ConditionKind::DiskPressure,
    ConditionKind::PidPressure,
];

/// One signal at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Observed {
    /// There is no such signal here: it counts as not met.
    #[default]
    Absent,
    /// It could not be read: what was known of it stays.
    Failed,
    /// How much is left.
    Available {
        /// In bytes or pieces.
        available: u64,
        /// Of how much, where that is known.
        capacity: Option<u64>,
    },
}

/// Every signal at one moment, by [`Signal::index`].
pub type Signals = [Observed; Signal::ALL.len()];

/// What one moment says of a pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// A threshold is met now.
    pub is_met: bool,
    /// One is, or was within the transition period.
    pub is_reported: bool,
}

/// What must be remembered from one moment to the next.
#[derive(Clone, Debug)]
pub struct Eviction {
    tracked: Vec<Tracked>,
    transition_period: Duration,
    met_ms: [Option<u64>; PRESSURES.len()],
}

/// A threshold and its past.
#[derive(Clone, Debug)]
struct Tracked {
    threshold: Threshold,
    reclaim: Option<Limit>,
    /// Since when it has been met; `None` while it is not.
    met_since_ms: Option<u64>,
    /// Its grace had passed when it was last judged.
    is_due: bool,
}

impl Eviction {
    /// Remembers nothing yet; the thresholds are in the order of their signals, hard before soft.
    pub fn new(thresholds: &Thresholds) -> Self {
        let configured = thresholds.hard.iter().chain(&thresholds.soft);
        let mut tracked: Vec<_> = configured
            .flat_map(|threshold| implied(*threshold))
            .flatten()
            .map(|(threshold, reclaimed_as)| Tracked {
                threshold,
                reclaim: thresholds.reclaim(reclaimed_as),
                met_since_ms: None,
                is_due: false,
            })
            .collect();
        tracked.sort_by_key(|tracked| tracked.threshold.signal);
        Self {
            tracked,
            transition_period: thresholds.transition_period,
            met_ms: [None; PRESSURES.len()],
        }
    }

    /// Judges one moment; `now_ms` is any clock that never runs backwards.
    pub fn update(&mut self, signals: &Signals, now_ms: u64) -> [Pressure; PRESSURES.len()] {
        let mut pressures = [Pressure::default(); PRESSURES.len()];
        for tracked in &mut self.tracked {
            let condition = tracked.threshold.signal.condition();
            let is_met = tracked.update(signals, now_ms);
            let of_condition = PRESSURES.iter().zip(&mut pressures);
            for (_, pressure) in of_condition.filter(|(kind, _)| **kind == condition) {
                pressure.is_met |= is_met;
            }
        }
        for (pressure, met_ms) in pressures.iter_mut().zip(&mut self.met_ms) {
            if pressure.is_met {
                *met_ms = Some(now_ms);
            }
            let is_recent = |met_ms| since(met_ms, now_ms) < self.transition_period;
            pressure.is_reported = pressure.is_met || met_ms.is_some_and(is_recent);
        }
        pressures
    }

    /// The signals whose thresholds are met, each once, in the order of [`Signal::ALL`].
    pub fn met(&self) -> impl Iterator<Item = Signal> {
        let is_met = |signal| {
            let mut of_signal = self.tracked.iter();
            of_signal
                .any(|tracked| tracked.threshold.signal == signal && tracked.met_since_ms.is_some())
        };
        Signal::ALL
            .into_iter()
            .filter(move |signal| is_met(*signal))
    }
}

impl Default for Eviction {
    fn default() -> Self {
        Self::new(&Thresholds::default())
    }
}

impl Tracked {
    /// Whether it is met now.
    fn update(&mut self, signals: &Signals, now_ms: u64) -> bool {
        let observed = signals.get(self.threshold.signal.index());
        let is_met = match observed.copied().unwrap_or_default() {
            // Without a summary the kubelet judges nothing and forgets nothing.
            Observed::Failed => return false,
            Observed::Absent => false,
            Observed::Available {
                available,
                capacity,
            } => self.is_met(Quantity::from_pieces(available), capacity),
        };
        if is_met {
            let since_ms = *self.met_since_ms.get_or_insert(now_ms);
            self.is_due = since(since_ms, now_ms) >= self.threshold.grace;
        } else {
            (self.met_since_ms, self.is_due) = (None, false);
        }
        is_met
    }

    fn is_met(&self, available: Quantity, capacity: Option<u64>) -> bool {
        let Some(limit) = self.threshold.limit.of(capacity) else {
            return false;
        };
        let reclaim = self.reclaim.filter(|_| self.is_due);
        let reclaim = reclaim.and_then(|reclaim| reclaim.of(capacity));
        available < reclaim.map_or(limit, |reclaim| limit + reclaim)
    }
}

fn since(then_ms: u64, now_ms: u64) -> Duration {
    Duration::from_millis(now_ms.saturating_sub(then_ms))
}

/// The threshold itself and those that the kubelet derives from it, each with the signal whose
/// minimum reclaim is its own.
///
/// `containerfs` takes over what holds for `nodefs`, since here both are one filesystem; what is
/// configured for it is ignored. A hard memory threshold holds for pods' share of the memory too.
fn implied(threshold: Threshold) -> [Option<(Threshold, Signal)>; 2] {
    let signal = threshold.signal;
    let copy = |signal| Threshold {
        signal,
        ..threshold
    };
    let copied_to = match signal {
        Signal::ContainerfsAvailable | Signal::ContainerfsInodesFree => return [None, None],
        Signal::NodefsAvailable => Some(Signal::ContainerfsAvailable),
        Signal::NodefsInodesFree => Some(Signal::ContainerfsInodesFree),
        Signal::MemoryAvailable if threshold.grace.is_zero() => {
            Some(Signal::AllocatableMemoryAvailable)
        }
        Signal::MemoryAvailable
        | Signal::ImagefsAvailable
        | Signal::ImagefsInodesFree
        | Signal::AllocatableMemoryAvailable
        | Signal::PidAvailable => None,
    };
    [
        Some((threshold, signal)),
        copied_to.map(|copied_to| (copy(copied_to), signal)),
    ]
}

#[cfg(test)]
#[path = "eviction_tests.rs"]
mod tests;

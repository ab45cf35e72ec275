//! Below which amounts the kubelet evicts, and what that leaves for pods.
//!
//! The defaults and the arithmetic are the kubelet's (pkg/kubelet/eviction): percentages are
//! 32-bit floats, so 10 % of a disk is the same byte count as there.

use std::time::Duration;

use nodling_protocol::ConditionKind;

/// Something that can run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `memory.available`: all of it less the working set.
    MemoryAvailable,
    /// `nodefs.available`: space on the root filesystem.
    NodefsAvailable,
    /// `nodefs.inodesFree`: inodes on the root filesystem.
    NodefsInodesFree,
    /// `pid.available`: process ids.
    PidAvailable,
}

impl Signal {
    /// The condition that tells of it.
    pub const fn condition(self) -> ConditionKind {
        match self {
            Self::MemoryAvailable => ConditionKind::MemoryPressure,
            Self::NodefsAvailable | Self::NodefsInodesFree => ConditionKind::DiskPressure,
            Self::PidAvailable => ConditionKind::PidPressure,
        }
    }
}

/// An amount, absolute or as a share of what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// In bytes or pieces.
    Amount(u64),
    /// Of the capacity, from 0 to 1.
    Share(f32),
}

impl Limit {
    /// The amount, given what there is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the kubelet computes int64(float64(capacity) * float64(share)); to the byte"
    )]
    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Amount(amount) => amount,
            Self::Share(share) => (capacity as f64 * f64::from(share)) as u64,
        }
    }
}

/// A signal is met while less than its limit is available.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// What runs short.
    pub signal: Signal,
    /// How little of it is too little.
    pub limit: Limit,
}

/// All thresholds of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Each signal's hard threshold.
    pub hard: Vec<Threshold>,
    /// A condition is reported for this long after its threshold was last met.
    pub transition_period: Duration,
}

impl Default for Thresholds {
    /// The kubelet's defaults for a node without an image filesystem of its own.
    fn default() -> Self {
        let threshold = |signal, limit| Threshold { signal, limit };
        Self {
            hard: vec![
                threshold(Signal::MemoryAvailable, Limit::Amount(100 * 1024 * 1024)),
                threshold(Signal::NodefsAvailable, Limit::Share(0.1)),
                threshold(Signal::NodefsInodesFree, Limit::Share(0.05)),
            ],
            transition_period: Duration::from_secs(5 * 60),
        }
    }
}

impl Thresholds {
    /// What a hard threshold keeps back of a capacity.
    pub fn reserved(&self, signal: Signal, capacity: u64) -> u64 {
        let of_signal = self.hard.iter().filter(|hard| hard.signal == signal);
        of_signal
            .map(|hard| hard.limit.of(capacity))
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_kubelets_to_the_byte() {
        assert_eq!(Limit::Share(0.05).of(10 << 30), 536_870_920);
        assert_eq!(Limit::Share(0.1).of(61_255_492 * 1024), 6_272_562_474);
        assert_eq!(Limit::Amount(100).of(7), 100);
    }
}

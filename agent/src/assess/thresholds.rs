//! Below which amounts the kubelet evicts, and what that leaves for pods.
//!
//! Signals, defaults and arithmetic are the kubelet's (pkg/kubelet/eviction): percentages are
//! 32-bit floats, so 10 % of a disk is the same byte count as there. Who meets a threshold when is
//! judged in `eviction.rs`.

use std::fmt;
use std::time::Duration;

use nodling_protocol::ConditionKind;

use crate::quantity::{Quantity, QuantityError};

/// Something that can run short, in the order in which the kubelet lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Memory less the working set.
    MemoryAvailable,
    /// Space on the root filesystem; the kubelet's is that of `/var/lib/kubelet`.
    NodefsAvailable,
    /// Inodes on it.
    NodefsInodesFree,
    /// Space for images, where a container runtime keeps them on a filesystem of their own.
    ImagefsAvailable,
    /// Inodes there.
    ImagefsInodesFree,
    /// Space for the layers that containers write.
    ContainerfsAvailable,
    /// Inodes there.
    ContainerfsInodesFree,
    /// Memory that pods may use, less their working set; there are no pods here.
    AllocatableMemoryAvailable,
    /// Process ids.
    PidAvailable,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 9] = [
        Self::MemoryAvailable,
        Self::NodefsAvailable,
        Self::NodefsInodesFree,
        Self::ImagefsAvailable,
        Self::ImagefsInodesFree,
        Self::ContainerfsAvailable,
        Self::ContainerfsInodesFree,
        Self::AllocatableMemoryAvailable,
        Self::PidAvailable,
    ];

    /// As the kubelet's configuration names it.
    pub const fn as_str(self) -> &'static str {
        self.names().0
    }

    /// How `replay` names what there is of it.
    pub const fn capacity_name(self) -> &'static str {
        self.names().1
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::MemoryAvailable => ("memory.available", "memory.capacity"),
            Self::NodefsAvailable => ("nodefs.available", "nodefs.capacity"),
            Self::NodefsInodesFree => ("nodefs.inodesFree", "nodefs.inodes"),
            Self::ImagefsAvailable => ("imagefs.available", "imagefs.capacity"),
            Self::ImagefsInodesFree => ("imagefs.inodesFree", "imagefs.inodes"),
            Self::ContainerfsAvailable => ("containerfs.available", "containerfs.capacity"),
            Self::ContainerfsInodesFree => ("containerfs.inodesFree", "containerfs.inodes"),
            Self::AllocatableMemoryAvailable => {
                ("allocatableMemory.available", "allocatableMemory.capacity")
            }
            Self::PidAvailable => ("pid.available", "pid.capacity"),
        }
    }

    /// The signal of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == name)
    }

    /// Its position in [`Signal::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The signal whose thresholds are this one's too, in place of its own.
    pub const fn follows(self) -> Option<Self> {
        match self {
            Self::ContainerfsAvailable => Some(Self::NodefsAvailable),
            Self::ContainerfsInodesFree => Some(Self::NodefsInodesFree),
            Self::MemoryAvailable
            | Self::NodefsAvailable
            | Self::NodefsInodesFree
            | Self::ImagefsAvailable
            | Self::ImagefsInodesFree
            | Self::AllocatableMemoryAvailable
            | Self::PidAvailable => None,
        }
    }

    /// The condition that tells of it.
    pub const fn condition(self) -> ConditionKind {
        match self {
            Self::MemoryAvailable | Self::AllocatableMemoryAvailable => {
                ConditionKind::MemoryPressure
            }
            Self::NodefsAvailable
            | Self::NodefsInodesFree
            | Self::ImagefsAvailable
            | Self::ImagefsInodesFree
            | Self::ContainerfsAvailable
            | Self::ContainerfsInodesFree => ConditionKind::DiskPressure,
            Self::PidAvailable => ConditionKind::PidPressure,
        }
    }
}

/// An amount, absolute or as a share of what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// In bytes or pieces.
    Amount(Quantity),
    /// Of the capacity, from 0 to 100.
    Percent(f32),
    /// Never met: how the kubelet reads `0%` and `100%`, written so and not otherwise.
    Never,
}

/// Why a text is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Below nothing.
    #[error("less than nothing")]
    Negative,
    /// No number before the percent sign.
    #[error("not a percentage")]
    NoPercentage,
    /// No quantity.
    #[error(transparent)]
    NoQuantity(#[from] QuantityError),
    /// A share of more than there is.
    #[error("more than 100%")]
    TooMuch,
    /// Nothing, where something is needed.
    #[error("nothing")]
    Zero,
}

impl Limit {
    /// Reads a threshold: positive, or a percentage from 0 to 100.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        if text == "0%" || text == "100%" {
            return Ok(Self::Never);
        }
        match Self::read(text)? {
            Self::Percent(percent) if percent < 0.0 => Err(LimitError::Negative),
            // The kubelet compares the share, after rounding.
            Self::Percent(percent) if percent / 100.0 > 1.0 => Err(LimitError::TooMuch),
            Self::Amount(amount) if amount.is_negative() => Err(LimitError::Negative),
            Self::Amount(amount) if amount.is_zero() => Err(LimitError::Zero),
            limit @ (Self::Amount(_) | Self::Percent(_) | Self::Never) => Ok(limit),
        }
    }

    /// Reads a minimum reclaim: not negative, or a positive percentage.
    pub fn parse_reclaim(text: &str) -> Result<Self, LimitError> {
        match Self::read(text)? {
            Self::Percent(percent) if percent < 0.0 => Err(LimitError::Negative),
            Self::Percent(percent) if percent <= 0.0 => Err(LimitError::Zero),
            Self::Amount(amount) if amount.is_negative() => Err(LimitError::Negative),
            limit @ (Self::Amount(_) | Self::Percent(_) | Self::Never) => Ok(limit),
        }
    }

    fn read(text: &str) -> Result<Self, LimitError> {
        let Some(percent) = text.strip_suffix('%') else {
            return Ok(Self::Amount(Quantity::parse(text)?));
        };
        match percent.parse::<f32>() {
            Ok(percent) if percent.is_finite() => Ok(Self::Percent(percent)),
            _ => Err(LimitError::NoPercentage),
        }
    }

    /// The amount, given what there is; a share of what nobody knows is not known, and what is
    /// never met has none.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the kubelet computes int64(float64(capacity) * float64(share)); to the byte"
    )]
    pub fn of(self, capacity: Option<u64>) -> Option<Quantity> {
        match self {
            Self::Amount(amount) => Some(amount),
            Self::Percent(percent) => {
                let share = f64::from(percent / 100.0);
                let of = |capacity| Quantity::from_bytes((capacity as f64 * share) as u64);
                capacity.map(of)
            }
            Self::Never => None,
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => write!(f, "{amount}"),
            Self::Never => f.write_str("0%"),
            // Without a fraction these would be read as never met.
            Self::Percent(percent) => match percent.to_string().as_str() {
                whole @ ("0" | "100") => write!(f, "{whole}.0%"),
                percent => write!(f, "{percent}%"),
            },
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
    /// For how long it must last before the kubelet evicts; nothing for a hard threshold.
    pub grace: Duration,
}

/// A signal that is configured and not judged by that; shown as the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored {
    signal: Signal,
    follows: Signal,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signal, follows) = (self.signal.as_str(), self.follows.as_str());
        write!(
            f,
            "what is configured for {signal} is ignored, as the kubelet ignores it: {follows} \
             stands for both"
        )
    }
}

/// All thresholds of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Hard thresholds, at most one for each signal.
    pub hard: Vec<Threshold>,
    /// Soft thresholds, at most one for each signal.
    pub soft: Vec<Threshold>,
    /// How much more than its limit must be available before a met threshold is not.
    pub minimum_reclaim: Vec<(Signal, Limit)>,
    /// Whether the configured hard thresholds were added to the defaults; `hard` has them all.
    pub merges_defaults: bool,
    /// A condition is reported for this long after its threshold was last met.
    pub transition_period: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            hard: Self::hard_defaults(),
            soft: Vec::new(),
            minimum_reclaim: Vec::new(),
            merges_defaults: false,
            transition_period: Duration::from_mins(5),
        }
    }
}

impl Thresholds {
    /// The kubelet's hard thresholds where none are configured.
    pub fn hard_defaults() -> Vec<Threshold> {
        let threshold = |signal, limit| Threshold {
            signal,
            limit,
            grace: Duration::ZERO,
        };
        vec![
            threshold(
                Signal::MemoryAvailable,
                Limit::Amount(Quantity::from_bytes(100 << 20)),
            ),
            threshold(Signal::NodefsAvailable, Limit::Percent(10.0)),
            threshold(Signal::NodefsInodesFree, Limit::Percent(5.0)),
            threshold(Signal::ImagefsAvailable, Limit::Percent(15.0)),
            threshold(Signal::ImagefsInodesFree, Limit::Percent(5.0)),
        ]
    }

    /// What must be available beyond a signal's limits.
    pub fn reclaim(&self, signal: Signal) -> Option<Limit> {
        let mut reclaims = self.minimum_reclaim.iter();
        let reclaim = reclaims.find(|(of, _)| *of == signal);
        reclaim.map(|(_, limit)| *limit)
    }

    /// The signals that are configured in vain, each once.
    pub fn ignored(&self) -> impl Iterator<Item = Ignored> {
        let is_configured = |signal| {
            let mut thresholds = self.hard.iter().chain(&self.soft);
            thresholds.any(|threshold| threshold.signal == signal) || self.reclaim(signal).is_some()
        };
        let ignored = Signal::ALL.into_iter().filter_map(|signal| {
            let follows = signal.follows()?;
            Some(Ignored { signal, follows })
        });
        ignored.filter(move |ignored| is_configured(ignored.signal))
    }

    /// What a hard threshold keeps back of a capacity; soft ones keep back nothing.
    pub fn reserved(&self, signal: Signal, capacity: u64) -> Quantity {
        let of_signal = self.hard.iter().find(|hard| hard.signal == signal);
        of_signal
            .and_then(|hard| hard.limit.of(Some(capacity)))
            .unwrap_or(Quantity::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_the_kubelets_to_the_byte() {
        let of = |percent, capacity| {
            Limit::Percent(percent)
                .of(Some(capacity))
                .unwrap()
                .to_whole()
        };
        assert_eq!(of(5.0, 10 << 30), Some(536_870_920));
        assert_eq!(of(10.0, 61_255_492 * 1024), Some(6_272_562_474));
        assert_eq!(of(15.0, 0), Some(0));
        assert_eq!(Limit::Percent(10.0).of(None), None);
        let hundred = Limit::Amount(Quantity::from_pieces(100));
        assert_eq!(hundred.of(None).unwrap().to_whole(), Some(100));
    }

    #[test]
    fn a_threshold_is_a_positive_quantity_or_a_percentage() {
        for (text, limit) in [
            ("100Mi", Limit::Amount(Quantity::from_bytes(100 << 20))),
            ("1e3", Limit::Amount(Quantity::from_pieces(1000))),
            ("10%", Limit::Percent(10.0)),
            ("10.5%", Limit::Percent(10.5)),
            ("0.0%", Limit::Percent(0.0)),
            ("-0%", Limit::Percent(0.0)),
            ("100.0%", Limit::Percent(100.0)),
            ("0%", Limit::Never),
            ("100%", Limit::Never),
        ] {
            assert_eq!(Limit::parse(text), Ok(limit), "{text}");
        }
        for (text, err) in [
            ("0", LimitError::Zero),
            ("0Mi", LimitError::Zero),
            ("-150Mi", LimitError::Negative),
            ("-15%", LimitError::Negative),
            ("100.1%", LimitError::TooMuch),
            ("%", LimitError::NoPercentage),
            ("ten%", LimitError::NoPercentage),
            ("NaN%", LimitError::NoPercentage),
            ("10%%", LimitError::NoPercentage),
            ("10 %", LimitError::NoPercentage),
            ("10Mb", LimitError::NoQuantity(QuantityError::Malformed)),
            ("", LimitError::NoQuantity(QuantityError::Malformed)),
        ] {
            assert_eq!(Limit::parse(text), Err(err), "{text}");
        }
    }

    #[test]
    fn a_minimum_reclaim_may_be_nothing_but_not_zero_percent() {
        assert_eq!(Limit::parse_reclaim("0"), Ok(Limit::Amount(Quantity::ZERO)));
        assert_eq!(Limit::parse_reclaim("5%"), Ok(Limit::Percent(5.0)));
        assert_eq!(Limit::parse_reclaim("200%"), Ok(Limit::Percent(200.0)));
        assert_eq!(Limit::parse_reclaim("0%"), Err(LimitError::Zero));
        assert_eq!(Limit::parse_reclaim("-5%"), Err(LimitError::Negative));
        assert_eq!(Limit::parse_reclaim("-300Mi"), Err(LimitError::Negative));
    }

    #[test]
    fn what_is_configured_for_containerfs_is_told_to_be_ignored() {
        let of = |signals: &[Signal]| -> Vec<_> {
            let soft = signals.iter().map(|signal| Threshold {
                signal: *signal,
                limit: Limit::Percent(10.0),
                grace: Duration::ZERO,
            });
            let thresholds = Thresholds {
                soft: soft.collect(),
                minimum_reclaim: vec![(Signal::ContainerfsInodesFree, Limit::Percent(1.0))],
                ..Thresholds::default()
            };
            thresholds.ignored().map(|one| one.signal).collect()
        };
        let (available, inodes_free) =
            (Signal::ContainerfsAvailable, Signal::ContainerfsInodesFree);
        assert_eq!(of(&[]), [inodes_free]);
        assert_eq!(of(&[inodes_free, available]), [available, inodes_free]);
        assert_eq!(Thresholds::default().ignored().count(), 0);
    }

    #[test]
    fn signals_are_found_by_their_names() {
        for (index, signal) in Signal::ALL.into_iter().enumerate() {
            assert_eq!(Signal::parse(signal.as_str()), Some(signal));
            assert_eq!(signal.index(), index);
        }
        assert_eq!(Signal::parse("mem.available"), None);
        assert_eq!(Signal::parse("nodefs.inodesfree"), None);
    }

    #[test]
    fn the_defaults_are_the_kubelets() {
        let shown = Thresholds::hard_defaults()
            .into_iter()
            .map(|hard| format!("{}<{}", hard.signal.as_str(), hard.limit));
        let expected = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,\
                        imagefs.available<15%,imagefs.inodesFree<5%";
        assert_eq!(shown.collect::<Vec<_>>().join(","), expected);
    }

    fn limit() -> impl Strategy<Value = Limit> {
        let percent = prop_oneof![
            0.0_f32..=100.0,
            Just(0.0_f32),
            Just(-0.0_f32),
            Just(100.0_f32)
        ];
        prop_oneof![
            percent.prop_map(Limit::Percent),
            (1_u64..=u64::MAX).prop_map(|pieces| Limit::Amount(Quantity::from_pieces(pieces))),
            (1_u64..=u64::MAX).prop_map(|bytes| Limit::Amount(Quantity::from_bytes(bytes))),
            Just(Limit::Never),
        ]
    }

    proptest! {
        #[test]
        fn a_shown_limit_is_read_again(limit in limit()) {
            prop_assert_eq!(Limit::parse(&limit.to_string()), Ok(limit));
        }

        #[test]
        fn a_shown_percentage_is_read_again(percent in 0.0_f32..=100.0) {
            let limit = Limit::Percent(percent);
            prop_assert_eq!(Limit::parse_reclaim(&limit.to_string()).ok(), (percent > 0.0).then_some(limit));
        }
    }
}

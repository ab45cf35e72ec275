//! The conditions of a node: their numbers on the wire and their words in Kubernetes.
//!
//! The first four carry kubelet's reasons and messages to the letter (Kubernetes 1.36,
//! pkg/kubelet/nodestatus/setters.go), but for Ready's message, which says who is posting.
//! True is bad for all but Ready. A new condition is appended, never inserted: its number is
//! its position.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Throttle;

/// Status of one condition; a condition that the board cannot judge has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The condition does not hold.
    False = 1,
    /// The condition holds.
    True = 2,
    /// The board could judge it once, and cannot now.
    Unknown = 3,
}

impl Status {
    /// As the Kubernetes API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::False => "False",
            Self::True => "True",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a condition's status is called and how it is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// CamelCase, for machines.
    pub reason: &'static str,
    /// A sentence, for people.
    pub message: &'static str,
    /// Reason of the Event that a transition to this status makes.
    pub event: &'static str,
}

const fn words(reason: &'static str, message: &'static str, event: &'static str) -> Words {
    Words {
        reason,
        message,
        event,
    }
}

/// What is said when a reading failed that a condition rests on.
const UNKNOWN: Words = words(
    "ReadingFailed",
    "the reading behind this condition failed on the board",
    "NodeConditionUnknown",
);

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $type:literal {
        True: $tr:literal, $tm:literal, $te:literal;
        False: $fr:literal, $fm:literal, $fe:literal;
    })*) => {
        /// A condition that every gateway knows, in wire order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ConditionKind {
            $($(#[$doc])* $name,)*
        }

        impl ConditionKind {
            /// Every kind, in wire order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The type as it stands in `status.conditions[].type`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $type,)*
                }
            }

            /// Reason, message and Event reason for a status.
            pub const fn words(self, status: Status) -> Words {
                match (self, status) {
                    (_, Status::Unknown) => UNKNOWN,
                    $((Self::$name, Status::True) => words($tr, $tm, $te),)*
                    $((Self::$name, Status::False) => words($fr, $fm, $fe),)*
                }
            }
        }
    };
}

conditions! {
    /// Memory is below an eviction threshold.
    MemoryPressure = "MemoryPressure" {
        True: "KubeletHasInsufficientMemory", "kubelet has insufficient memory available", "NodeHasInsufficientMemory";
        False: "KubeletHasSufficientMemory", "kubelet has sufficient memory available", "NodeHasSufficientMemory";
    }
    /// A filesystem is below an eviction threshold.
    DiskPressure = "DiskPressure" {
        True: "KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure";
        False: "KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure";
    }
    /// Process ids are below an eviction threshold.
    PidPressure = "PIDPressure" {
        True: "KubeletHasInsufficientPID", "kubelet has insufficient PID available", "NodeHasInsufficientPID";
        False: "KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasSufficientPID";
    }
    /// The agent is alive and reporting.
    Ready = "Ready" {
        True: "KubeletReady", "nodling-agent is posting ready status", "NodeReady";
        False: "KubeletNotReady", "nodling-agent is not ready", "NodeNotReady";
    }
    /// The root filesystem is full, not merely under pressure.
    OutOfDisk = "OutOfDisk" {
        True: "KubeletOutOfDisk", "the root filesystem is full", "NodeOutOfDisk";
        False: "KubeletHasSufficientDisk", "the root filesystem has space left", "NodeHasSufficientDisk";
    }
    /// No default route leads anywhere.
    NetworkUnavailable = "NetworkUnavailable" {
        True: "NoRoute", "the default route is gone", "NodeNetworkUnavailable";
        False: "RouteAvailable", "a default route is present", "NodeNetworkAvailable";
    }
    /// The supply's voltage is too low.
    UnderVoltage = "UnderVoltage" {
        True: "UnderVoltage", "the supply voltage is below the board's limit", "UnderVoltage";
        False: "VoltageNormal", "the supply voltage is within the board's limits", "VoltageNormal";
    }
    /// The firmware holds the cores back.
    Throttled = "Throttled" {
        True: "Throttled", "the firmware is holding the processor back", "Throttled";
        False: "NotThrottled", "the processor runs at the speed asked for", "NotThrottled";
    }
    /// The board is near its thermal limit.
    ThermalPressure = "ThermalPressure" {
        True: "TemperatureHigh", "the board is near its thermal limit", "TemperatureHigh";
        False: "TemperatureNormal", "the board is below its thermal limit", "TemperatureNormal";
    }
    /// A filesystem that should be writable is not.
    ReadOnlyFilesystem = "ReadOnlyFilesystem" {
        True: "FilesystemReadOnly", "a filesystem has become read-only", "FilesystemReadOnly";
        False: "FilesystemWritable", "the filesystems are writable", "FilesystemWritable";
    }
    /// The flash memory reports the end of its life.
    StorageWorn = "StorageWorn" {
        True: "StorageWorn", "the flash storage reports that it is worn", "StorageWorn";
        False: "StorageHealthy", "the flash storage reports life left", "StorageHealthy";
    }
    /// The wall clock is not synchronised.
    ClockUnsynchronized = "ClockUnsynchronized" {
        True: "ClockUnsynchronized", "the clock is not synchronised", "ClockUnsynchronized";
        False: "ClockSynchronized", "the clock is synchronised", "ClockSynchronized";
    }
    /// Tasks wait for a processor.
    CpuPressure = "CPUPressure" {
        True: "CPUStalled", "tasks are waiting for the processor", "CPUStalled";
        False: "CPUAvailable", "tasks are not waiting for the processor", "CPUAvailable";
    }
    /// Tasks wait for disks.
    IoPressure = "IOPressure" {
        True: "IOStalled", "tasks are waiting for input and output", "IOStalled";
        False: "IOAvailable", "tasks are not waiting for input and output", "IOAvailable";
    }
}

impl ConditionKind {
    /// Reason, message and Event reason for a status, given the vital that tells of the past.
    pub fn words_of(self, status: Status, throttle: Option<Throttle>) -> Words {
        let has_held = match (self, throttle.map(Throttle::since_boot)) {
            (Self::UnderVoltage, Some(past)) => past & Throttle::UNDER_VOLTAGE != 0,
            (Self::Throttled, Some(past)) => past & !Throttle::UNDER_VOLTAGE != 0,
            (_, _) => false,
        };
        match self.words_of_past() {
            Some(words) if has_held && status == Status::False => words,
            Some(_) | None => self.words(status),
        }
    }

    /// The words for False where it has been True since the board booted, if there are any.
    pub const fn words_of_past(self) -> Option<Words> {
        let message = if matches!(self, Self::UnderVoltage) {
            "the supply voltage is within the board's limits; it was below since boot"
        } else if matches!(self, Self::Throttled) {
            "the processor runs at the speed asked for; it was held back since boot"
        } else {
            return None;
        };
        Some(Words {
            message,
            ..self.words(Status::False)
        })
    }

    /// Position on the wire.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Up to [`Statuses::CAPACITY`] statuses by position, two bits each; 0 is "cannot judge".
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Statuses(u64);

impl Statuses {
    /// How many conditions fit.
    pub const CAPACITY: usize = 32;

    /// From the wire's varint; any bits are valid.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// For the wire.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether nothing is judged.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The status at a position; `None` when absent or out of range.
    pub const fn get(self, index: usize) -> Option<Status> {
        if index >= Self::CAPACITY {
            return None;
        }
        match (self.0 >> (index * 2)) & 3 {
            1 => Some(Status::False),
            2 => Some(Status::True),
            3 => Some(Status::Unknown),
            _ => None,
        }
    }

    /// Sets the status at a position; positions out of range are ignored.
    pub const fn set(&mut self, index: usize, status: Option<Status>) {
        if index >= Self::CAPACITY {
            return;
        }
        let bits = match status {
            Some(status) => status as u64,
            None => 0,
        };
        self.0 = (self.0 & !(3 << (index * 2))) | (bits << (index * 2));
    }

    /// The status of a known condition.
    pub const fn of(self, kind: ConditionKind) -> Option<Status> {
        self.get(kind.index())
    }

    /// This set with a known condition's status.
    #[must_use]
    pub const fn with(mut self, kind: ConditionKind, status: Status) -> Self {
        self.set(kind.index(), Some(status));
        self
    }

    /// The known conditions that are judged, in wire order.
    pub fn known(self) -> impl Iterator<Item = (ConditionKind, Status)> {
        ConditionKind::ALL
            .iter()
            .filter_map(move |&kind| Some((kind, self.of(kind)?)))
    }
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judged = (0..Self::CAPACITY).filter_map(|index| Some((index, self.get(index)?)));
        f.debug_map()
            .entries(judged.map(|(index, status)| {
                (
                    ConditionKind::ALL
                        .get(index)
                        .map_or("later", |kind| kind.as_str()),
                    status,
                )
            }))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_on_the_wire_do_not_move() {
        let types: std::vec::Vec<_> = ConditionKind::ALL
            .iter()
            .map(|kind| kind.as_str())
            .collect();
        assert_eq!(
            types,
            [
                "MemoryPressure",
                "DiskPressure",
                "PIDPressure",
                "Ready",
                "OutOfDisk",
                "NetworkUnavailable",
                "UnderVoltage",
                "Throttled",
                "ThermalPressure",
                "ReadOnlyFilesystem",
                "StorageWorn",
                "ClockUnsynchronized",
                "CPUPressure",
                "IOPressure",
            ],
            "the position is the wire number: append only"
        );
        assert!(ConditionKind::ALL.len() <= Statuses::CAPACITY);
    }

    #[test]
    fn reasons_are_camel_case_and_differ_by_status() {
        for &kind in ConditionKind::ALL {
            let (bad, good) = (kind.words(Status::True), kind.words(Status::False));
            assert_ne!(bad.reason, good.reason, "{kind}");
            assert_ne!(bad.message, good.message, "{kind}");
            for words in [bad, good, kind.words(Status::Unknown)] {
                for name in [words.reason, words.event] {
                    assert!(name.chars().all(char::is_alphanumeric), "{name}");
                    assert!(name.starts_with(char::is_uppercase), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_supply_that_was_low_is_told_while_it_is_not() {
        let dipped = Some(Throttle(Throttle::UNDER_VOLTAGE << 4));
        let kind = ConditionKind::UnderVoltage;
        let words = kind.words_of(Status::False, dipped);
        assert_eq!(Some(words), kind.words_of_past());
        assert_eq!(words.reason, kind.words(Status::False).reason);
        assert_ne!(words.message, kind.words(Status::False).message);
        for status in [Status::True, Status::Unknown] {
            assert_eq!(kind.words_of(status, dipped), kind.words(status));
        }
        for other in [
            None,
            Some(Throttle(0)),
            Some(Throttle(Throttle::THROTTLED << 4)),
        ] {
            assert_eq!(
                kind.words_of(Status::False, other),
                kind.words(Status::False)
            );
        }
        let kind = ConditionKind::Throttled;
        assert_eq!(
            kind.words_of(Status::False, dipped),
            kind.words(Status::False)
        );
        let kind = ConditionKind::ThermalPressure;
        assert_eq!(kind.words_of_past(), None);
    }

    proptest! {
        #[test]
        fn setting_one_status_leaves_the_others(bits: u64, index in 0_usize..32, raw in 0_u8..4) {
            let status = match raw { 1 => Some(Status::False), 2 => Some(Status::True), 3 => Some(Status::Unknown), _ => None };
            let before = Statuses::from_bits(bits);
            let mut after = before;
            after.set(index, status);
            prop_assert_eq!(after.get(index), status);
            for other in (0..Statuses::CAPACITY).filter(|&other| other != index) {
                prop_assert_eq!(after.get(other), before.get(other));
            }
        }
    }
}

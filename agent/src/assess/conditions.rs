//! Which conditions hold.
//!
//! Each is a [`Finding`] of this tick, passed through a [`Latch`]: a condition is slow to
//! clear, so that a supply at its limit does not fill the cluster with transitions. What the board
//! cannot judge is absent. A reading that fails leaves its condition as it was for a while.

use nodling_protocol::{ConditionKind, Status, Statuses};

use super::eviction::PRESSURES;
use super::finding::Finding;
use super::zones::main_zone;
use crate::observe::disk::Filesystem;
use crate::observe::power::Throttled;
use crate::observe::pressure::Stalls;
use crate::observe::{Observation, Reading};

/// A fault that comes back within this time never went.
const CLEAR_AFTER_MS: u64 = 60_000;
/// A reading that fails for longer than the kubelet's transition period says nothing any more.
const UNKNOWN_AFTER_MS: u64 = 300_000;
/// Time synchronisation may lapse for this long, for example while a server is changed.
const CLOCK_LAPSE_MS: u64 = 120_000;
/// Below this a filesystem is full for every practical purpose.
const FULL_BYTES: u64 = 1024 * 1024;
/// From here on it is not full any more.
const NOT_FULL_BYTES: u64 = 8 * 1024 * 1024;
/// How far below its limit a board must cool.
const COOLER_MILLI_CELSIUS: i32 = 5_000;
/// Share of a minute in which some task waited for a processor: above, and below again.
const CPU_STALLED_HUNDREDTHS: (u16, u16) = (6_000, 4_000);
/// Share of a minute in which all tasks waited for disks.
const IO_STALLED_HUNDREDTHS: (u16, u16) = (3_000, 1_500);
/// Filesystems that nobody can write to, by their nature.
const READ_ONLY_KINDS: [&str; 5] = ["cramfs", "erofs", "iso9660", "squashfs", "udf"];

/// How long a finding must last before the condition follows it.
#[derive(Clone, Copy, Debug)]
struct Hold {
    set_ms: u64,
    clear_ms: u64,
}

/// Follows findings with hysteresis in time; the first finding is followed at once.
#[derive(Clone, Copy, Debug, Default)]
struct Latch {
    status: Option<Status>,
    /// Since when findings differ from the status.
    differs_ms: Option<u64>,
}

impl Latch {
    fn update(&mut self, finding: Finding, now_ms: u64, hold: Hold) -> Option<Status> {
        let (found, patience_ms) = match finding {
            Finding::Absent => {
                *self = Self::default();
                return None;
            }
            Finding::Holds(true) => (Status::True, hold.set_ms),
            Finding::Holds(false) => (Status::False, hold.clear_ms),
            Finding::Failed => (Status::Unknown, UNKNOWN_AFTER_MS),
        };
        if self.status == Some(found) {
            self.differs_ms = None;
            return self.status;
        }
        let since_ms = *self.differs_ms.get_or_insert(now_ms);
        let is_due = now_ms.saturating_sub(since_ms) >= patience_ms;
        // From Unknown every finding is news at once.
        if is_due || matches!(self.status, None | Some(Status::Unknown)) {
            self.status = Some(found);
            self.differs_ms = None;
        }
        self.status
    }

    fn is_set(self) -> bool {
        self.status == Some(Status::True)
    }
}

/// What must be remembered to judge the next tick.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    latches: [Latch; ConditionKind::ALL.len()],
    /// Mount points that this agent has seen writable.
    writable: Vec<Box<str>>,
}

impl Conditions {
    /// Judges one tick, in which [`PRESSURES`] were found so.
    pub(super) fn update(
        &mut self,
        observation: &Observation,
        pressures: [Finding; PRESSURES.len()],
    ) -> Statuses {
        let mut statuses = Statuses::default();
        for &kind in ConditionKind::ALL {
            let pressure = PRESSURES.iter().zip(pressures).find(|(of, _)| **of == kind);
            let finding = match pressure {
                Some((_, finding)) => finding,
                None => self.find(kind, observation),
            };
            if let Some(latch) = self.latches.get_mut(kind.index()) {
                statuses.set(
                    kind.index(),
                    latch.update(finding, observation.uptime_ms, hold(kind)),
                );
            }
        }
        statuses
    }

    fn find(&mut self, kind: ConditionKind, observation: &Observation) -> Finding {
        let is_set = self
            .latches
            .get(kind.index())
            .is_some_and(|latch| latch.is_set());
        match kind {
            // That this is sent at all is what Ready means here.
            ConditionKind::Ready => Finding::Holds(true),
            // Judged by `pressure.rs`; nothing reads the flash's wear yet.
            ConditionKind::MemoryPressure
            | ConditionKind::DiskPressure
            | ConditionKind::PidPressure
            | ConditionKind::StorageWorn => Finding::Absent,
            ConditionKind::OutOfDisk => Finding::of(&observation.root_usage, |usage| {
                let full_bytes = if is_set { NOT_FULL_BYTES } else { FULL_BYTES };
                usage.available_bytes < full_bytes || (usage.inodes != 0 && usage.inodes_free == 0)
            }),
            ConditionKind::NetworkUnavailable => network_unavailable(observation),
            ConditionKind::UnderVoltage => {
                let firmware = throttled(observation, Throttled::UNDER_VOLTAGE);
                firmware.worst(Finding::of(
                    &observation.power.is_under_voltage_alarm,
                    |is_low| *is_low,
                ))
            }
            ConditionKind::Throttled => throttled(
                observation,
                Throttled::CAPPED | Throttled::THROTTLED | Throttled::SOFT_LIMIT,
            ),
            ConditionKind::ThermalPressure => thermal_pressure(observation, is_set),
            ConditionKind::ReadOnlyFilesystem => self.read_only(observation),
            ConditionKind::ClockUnsynchronized => {
                let clock = &observation.clock;
                Finding::of(&clock.timex, |timex| {
                    timex.is_unsynchronised && !clock.has_timesyncd_synchronized
                })
            }
            ConditionKind::CpuPressure => stalled(
                &observation.pressure.cpu,
                is_set,
                CPU_STALLED_HUNDREDTHS,
                |stalls| Some(stalls.some.avg60_hundredths),
            ),
            ConditionKind::IoPressure => stalled(
                &observation.pressure.io,
                is_set,
                IO_STALLED_HUNDREDTHS,
                |stalls| stalls.full.map(|full| full.avg60_hundredths),
            ),
        }
    }

    /// A filesystem that has become read-only: the mount was asked to be writable and the
    /// filesystem is not, as after an error; or it was writable before.
    fn read_only(&mut self, observation: &Observation) -> Finding {
        let Ok(Some(filesystems)) = &observation.filesystems else {
            return Finding::of(&observation.filesystems, |_| false);
        };
        let watched = filesystems
            .iter()
            .filter(|filesystem| !READ_ONLY_KINDS.contains(&filesystem.kind.as_ref()));
        let mut finding = Finding::Absent;
        for Filesystem {
            mount_point,
            is_mount_read_only,
            is_super_read_only,
            ..
        } in watched
        {
            let was_writable = self.writable.contains(mount_point);
            if !is_super_read_only && !was_writable && self.writable.len() < WATCHED_MAX {
                self.writable.push(mount_point.clone());
            }
            let is_fault = *is_super_read_only && (!is_mount_read_only || was_writable);
            finding = finding.worst(Finding::Holds(is_fault));
        }
        finding
    }
}

/// Containers mount without end; what is remembered of them has one.
const WATCHED_MAX: usize = 64;

fn hold(kind: ConditionKind) -> Hold {
    let (set_ms, clear_ms) = match kind {
        // The kubelet's own hysteresis is in `pressure.rs`.
        ConditionKind::MemoryPressure
        | ConditionKind::DiskPressure
        | ConditionKind::PidPressure
        | ConditionKind::Ready
        | ConditionKind::OutOfDisk
        | ConditionKind::StorageWorn
        // The next two hold between two values already.
        | ConditionKind::CpuPressure
        | ConditionKind::IoPressure => (0, 0),
        ConditionKind::NetworkUnavailable => (CLEAR_AFTER_MS / 2, 0),
        ConditionKind::UnderVoltage
        | ConditionKind::Throttled
        | ConditionKind::ThermalPressure
        | ConditionKind::ReadOnlyFilesystem => (0, CLEAR_AFTER_MS),
        ConditionKind::ClockUnsynchronized => (CLOCK_LAPSE_MS, 0),
    };
    Hold { set_ms, clear_ms }
}

fn network_unavailable(observation: &Observation) -> Finding {
    let links = &observation.links;
    match (&links.default_route_v4, &links.default_route_v6) {
        (Ok(Some(_)), _) | (_, Ok(Some(_))) => Finding::Holds(false),
        (Err(_), _) | (_, Err(_)) => Finding::Failed,
        (Ok(None), Ok(None)) => Finding::Holds(true),
    }
}

fn throttled(observation: &Observation, bits: u32) -> Finding {
    Finding::of(&observation.power.throttled, |throttled| {
        throttled.is_now(bits)
    })
}

fn thermal_pressure(observation: &Observation, is_set: bool) -> Finding {
    let zone = match main_zone(observation) {
        Ok(Some(zone)) => zone,
        Ok(None) => return Finding::Absent,
        Err(_) => return Finding::Failed,
    };
    let of_profile = observation
        .fixed
        .profile
        .thermal
        .soft_limit_milli_celsius
        .as_ref();
    let limit = of_profile
        .map(|fact| fact.value)
        .or(zone.passive_milli_celsius)
        .or(zone
            .critical_milli_celsius
            .map(|critical| critical.saturating_sub(COOLER_MILLI_CELSIUS)));
    let Some(limit) = limit else {
        return Finding::Absent;
    };
    let limit = if is_set {
        limit.saturating_sub(COOLER_MILLI_CELSIUS)
    } else {
        limit
    };
    Finding::of(&zone.temperature_milli_celsius, |temperature| {
        *temperature >= limit
    })
}

fn stalled(
    reading: &Reading<Stalls>,
    is_set: bool,
    (above, below): (u16, u16),
    share: impl FnOnce(&Stalls) -> Option<u16>,
) -> Finding {
    match reading {
        Ok(Some(stalls)) => share(stalls).map_or(Finding::Absent, |share| {
            Finding::Holds(if is_set {
                share >= below
            } else {
                share > above
            })
        }),
        Ok(None) => Finding::Absent,
        Err(_) => Finding::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLD: Hold = Hold {
        set_ms: 0,
        clear_ms: 60_000,
    };

    fn finding() -> impl Strategy<Value = Finding> {
        prop_oneof![
            Just(Finding::Absent),
            Just(Finding::Failed),
            Just(Finding::Holds(true)),
            Just(Finding::Holds(false)),
        ]
    }

    #[test]
    fn a_fault_shows_at_once_and_clears_slowly() {
        let mut latch = Latch::default();
        let mut at = |now_s: u64, finding| latch.update(finding, now_s * 1000, HOLD);
        assert_eq!(at(0, Finding::Holds(false)), Some(Status::False));
        assert_eq!(at(10, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(20, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(70, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(80, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(139, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(140, Finding::Holds(false)), Some(Status::False));
    }

    #[test]
    fn a_failing_reading_keeps_the_status_for_five_minutes() {
        let mut latch = Latch::default();
        let mut at = |now_s: u64, finding| latch.update(finding, now_s * 1000, HOLD);
        assert_eq!(at(0, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(10, Finding::Failed), Some(Status::True));
        assert_eq!(at(309, Finding::Failed), Some(Status::True));
        assert_eq!(at(310, Finding::Failed), Some(Status::Unknown));
        assert_eq!(at(320, Finding::Holds(false)), Some(Status::False));
    }

    #[test]
    fn a_reading_that_never_worked_is_unknown_and_one_that_is_not_there_absent() {
        assert_eq!(
            Latch::default().update(Finding::Failed, 0, HOLD),
            Some(Status::Unknown)
        );
        assert_eq!(Latch::default().update(Finding::Absent, 0, HOLD), None);
    }

    proptest! {
        #[test]
        fn what_never_crosses_never_sets(
            findings in prop::collection::vec(finding(), 1..60), step_ms in 1_u64..120_000
        ) {
            let mut latch = Latch::default();
            for (index, finding) in findings.iter().filter(|finding| **finding != Finding::Holds(true)).enumerate() {
                let now_ms = u64::try_from(index).unwrap() * step_ms;
                let status = latch.update(*finding, now_ms, HOLD);
                prop_assert_ne!(status, Some(Status::True));
            }
        }

        #[test]
        fn a_status_changes_at_most_once_per_hold(
            findings in prop::collection::vec(any::<bool>(), 1..200)
        ) {
            let mut latch = Latch::default();
            let (mut cleared_at, mut previous) = (None, None);
            for (index, holds) in findings.iter().enumerate() {
                let now_ms = u64::try_from(index).unwrap() * 10_000;
                let status = latch.update(Finding::Holds(*holds), now_ms, HOLD);
                if previous == Some(Status::True) && status == Some(Status::False) {
                    if let Some(cleared_at) = cleared_at {
                        prop_assert!(now_ms - cleared_at > HOLD.clear_ms);
                    }
                    cleared_at = Some(now_ms);
                }
                previous = status;
            }
        }
    }
}

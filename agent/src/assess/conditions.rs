//! Which conditions hold.
//!
//! Each is a [`Finding`] of this tick, passed through a [`Latch`]: a condition is slow to
//! clear, so that a supply at its limit does not fill the cluster with transitions. What the board
//! cannot judge is absent. A reading that fails leaves its condition as it was for a while.

use nodling_protocol::{ConditionKind, Statuses};

use super::eviction::PRESSURES;
use super::finding::Finding;
use super::latch::{Hold, Latch};
use super::zones::main_zone;
use crate::observe::disk::Filesystem;
use crate::observe::power::Throttled;
use crate::observe::pressure::Stalls;
use crate::observe::{Observation, Reading};

/// A fault that comes back within this time never went.
const CLEAR_AFTER_MS: u64 = 60_000;
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

//! Which conditions hold.
//!
//! Each is a `Finding` of this tick, judged by the file of its subject and passed through a
//! `Latch`. What the board cannot judge is absent.

use nodling_protocol::{ConditionKind, Statuses};

use super::clock::unsynchronized;
use super::eviction::PRESSURES;
use super::finding::Finding;
use super::heat::Heat;
use super::latch::{Hold, Latch};
use super::rates::Shares;
use super::room::{out_of_disk, storage_worn};
use super::route::network_unavailable;
use super::stalls::Estimates;
use super::supply::Supply;
use super::writability::Writability;
use crate::observe::Observation;

/// A fault that comes back within this time never went.
pub(super) const CLEAR_AFTER_MS: u64 = 60_000;
/// Time synchronisation may lapse for this long, for example while a server is changed.
const CLOCK_LAPSE_MS: u64 = 120_000;
/// A lease may be renewed, a cable moved.
const ROUTE_LAPSE_MS: u64 = 30_000;

/// The part of the configuration that says which conditions are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether `OutOfDisk` is.
    pub reports_out_of_disk: bool,
    /// Whether `NetworkUnavailable` is.
    pub reports_network_unavailable: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reports_out_of_disk: true,
            reports_network_unavailable: true,
        }
    }
}

/// What must be remembered to judge the next tick.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    latches: [Latch; ConditionKind::ALL.len()],
    estimates: Estimates,
    heat: Heat,
    writability: Writability,
}

/// What one tick is judged by, besides what is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick<'t> {
    pub(super) observation: &'t Observation,
    /// What [`PRESSURES`] were found to be.
    pub(super) pressures: [Finding; PRESSURES.len()],
    pub(super) config: Config,
    pub(super) supply: &'t Supply,
    pub(super) shares: Option<Shares>,
}

impl Conditions {
    /// Judges one tick.
    pub(super) fn update(&mut self, tick: Tick<'_>) -> Statuses {
        let mut statuses = Statuses::default();
        for &kind in ConditionKind::ALL {
            let pressure = PRESSURES
                .iter()
                .zip(tick.pressures)
                .find(|(of, _)| **of == kind);
            let finding = match pressure {
                Some((_, finding)) => finding,
                None => self.find(kind, tick),
            };
            if let Some(latch) = self.latches.get_mut(kind.index()) {
                let now_ms = tick.observation.uptime_ms;
                statuses.set(kind.index(), latch.update(finding, now_ms, hold(kind)));
            }
        }
        statuses
    }

    fn find(&mut self, kind: ConditionKind, tick: Tick<'_>) -> Finding {
        let Tick {
            observation,
            config,
            supply,
            shares,
            ..
        } = tick;
        let latch = self.latches.get(kind.index()).copied().unwrap_or_default();
        match kind {
            // That this is sent at all is what Ready means here.
            ConditionKind::Ready => Finding::Holds(true),
            // Judged by `pressure.rs`.
            ConditionKind::MemoryPressure
            | ConditionKind::DiskPressure
            | ConditionKind::PidPressure => Finding::Absent,
            ConditionKind::OutOfDisk if !config.reports_out_of_disk => Finding::Absent,
            ConditionKind::OutOfDisk => out_of_disk(observation, latch.is_set()),
            ConditionKind::NetworkUnavailable if !config.reports_network_unavailable => {
                Finding::Absent
            }
            ConditionKind::NetworkUnavailable => network_unavailable(&observation.links),
            ConditionKind::UnderVoltage => supply.under_voltage(observation),
            ConditionKind::Throttled => supply.throttled(observation),
            ConditionKind::ThermalPressure => self.heat.update(observation),
            ConditionKind::ReadOnlyFilesystem => self.writability.update(observation),
            ConditionKind::StorageWorn => storage_worn(observation),
            ConditionKind::ClockUnsynchronized => unsynchronized(&observation.clock),
            ConditionKind::CpuPressure => self.estimates.cpu(observation, shares, latch),
            ConditionKind::IoPressure => self.estimates.io(observation, shares, latch),
        }
    }
}

fn hold(kind: ConditionKind) -> Hold {
    let (set_ms, clear_ms, gone_ms) = match kind {
        // The kubelet's own hysteresis is in `pressure.rs`.
        ConditionKind::MemoryPressure
        | ConditionKind::DiskPressure
        | ConditionKind::PidPressure
        | ConditionKind::Ready => (0, 0, 0),
        // These hold between two values already, or never heal.
        ConditionKind::OutOfDisk
        | ConditionKind::StorageWorn
        | ConditionKind::CpuPressure
        | ConditionKind::IoPressure => (0, 0, CLEAR_AFTER_MS),
        ConditionKind::NetworkUnavailable => (ROUTE_LAPSE_MS, 0, CLEAR_AFTER_MS),
        ConditionKind::UnderVoltage
        | ConditionKind::Throttled
        | ConditionKind::ThermalPressure
        | ConditionKind::ReadOnlyFilesystem => (0, CLEAR_AFTER_MS, CLEAR_AFTER_MS),
        ConditionKind::ClockUnsynchronized => (CLOCK_LAPSE_MS, 0, CLEAR_AFTER_MS),
    };
    Hold {
        set_ms,
        clear_ms,
        gone_ms,
    }
}

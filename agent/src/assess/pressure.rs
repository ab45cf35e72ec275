//! The kubelet's three pressures: memory, disk, process ids.
//!
//! As its eviction manager judges (pkg/kubelet/eviction): a threshold is met while strictly less
//! than the limit is available; a condition is reported until its transition period has passed; a
//! signal without an observation is skipped.

use nodling_protocol::ConditionKind;

use super::finding::Finding;
use super::thresholds::{Signal, Thresholds};
use crate::observe::memory::MemoryCgroup;
use crate::observe::{Observation, ReadError};

/// How much of something is left, of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Available {
    /// Left.
    pub(super) available: u64,
    /// Of how much.
    pub(super) capacity: u64,
}

/// When each pressure's threshold was last met.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressures {
    met_ms: [Option<u64>; PRESSURES.len()],
}

/// In the order of [`Pressures`].
pub(super) const PRESSURES: [(ConditionKind, &[Signal]); 3] = [
    (ConditionKind::MemoryPressure, &[Signal::MemoryAvailable]),
    (
        ConditionKind::DiskPressure,
        &[Signal::NodefsAvailable, Signal::NodefsInodesFree],
    ),
    (ConditionKind::PidPressure, &[Signal::PidAvailable]),
];

impl Pressures {
    /// Whether each pressure holds.
    pub(super) fn update(
        &mut self,
        observation: &Observation,
        thresholds: &Thresholds,
    ) -> [Finding; PRESSURES.len()] {
        let now_ms = observation.uptime_ms;
        let period_ms = u64::try_from(thresholds.transition_period.as_millis()).unwrap_or(u64::MAX);
        let mut all = [Finding::Absent; PRESSURES.len()];
        for (((_, signals), met_ms), finding) in
            PRESSURES.iter().zip(&mut self.met_ms).zip(&mut all)
        {
            *finding = look(observation, thresholds, signals);
            if *finding == Finding::Holds(true) {
                *met_ms = Some(now_ms);
            }
            let is_recent = met_ms.is_some_and(|met_ms| now_ms.saturating_sub(met_ms) < period_ms);
            if is_recent && *finding == Finding::Holds(false) {
                *finding = Finding::Holds(true);
            }
        }
        all
    }
}

fn look(observation: &Observation, thresholds: &Thresholds, signals: &[Signal]) -> Finding {
    let mut finding = Finding::Absent;
    for signal in signals {
        let now = match available(observation, *signal) {
            Ok(Some(has)) => Finding::Holds(is_met(has, *signal, thresholds)),
            Ok(None) => Finding::Absent,
            Err(_) => Finding::Failed,
        };
        finding = finding.worst(now);
    }
    finding
}

fn is_met(has: Available, signal: Signal, thresholds: &Thresholds) -> bool {
    let mut of_signal = thresholds.hard.iter().filter(|hard| hard.signal == signal);
    of_signal.any(|hard| has.available < hard.limit.of(has.capacity))
}

/// How much of a signal is left.
pub(super) fn available(
    observation: &Observation,
    signal: Signal,
) -> Result<Option<Available>, &ReadError> {
    match signal {
        Signal::MemoryAvailable => {
            let memory = observation.memory.as_ref()?.as_ref();
            Ok(memory
                .zip(working_set_bytes(observation)?)
                .map(|(memory, used)| {
                    let capacity = memory.total_kib.saturating_mul(1024);
                    Available {
                        available: capacity.saturating_sub(used),
                        capacity,
                    }
                }))
        }
        Signal::NodefsAvailable => {
            let usage = observation.root_usage.as_ref()?.as_ref();
            Ok(usage.map(|usage| Available {
                available: usage.available_bytes,
                capacity: usage.capacity_bytes,
            }))
        }
        // btrfs and vfat have no inodes to run short of.
        Signal::NodefsInodesFree => {
            let usage = observation.root_usage.as_ref()?.as_ref();
            Ok(usage
                .filter(|usage| usage.inodes != 0)
                .map(|usage| Available {
                    available: usage.inodes_free,
                    capacity: usage.inodes,
                }))
        }
        Signal::PidAvailable => {
            let load = observation.load.as_ref()?.as_ref();
            let pid_max = observation.fixed.pid_max.as_ref()?;
            let threads_max = observation.fixed.threads_max.as_ref()?;
            let capacity = [*pid_max, *threads_max].into_iter().flatten().min();
            Ok(load.zip(capacity).map(|(load, capacity)| Available {
                available: capacity.saturating_sub(u64::from(load.threads)),
                capacity,
            }))
        }
    }
}

/// Usage less inactive file pages: from the root cgroup as the kubelet reads it, or, where the
/// memory controller is off, from what `/proc/meminfo` says of the same pages.
pub(super) fn working_set_bytes(observation: &Observation) -> Result<Option<u64>, &ReadError> {
    let (usage, inactive) = match &observation.memory_cgroup {
        Ok(Some(MemoryCgroup::V1 {
            usage_bytes,
            inactive_file_bytes,
        })) => (*usage_bytes, *inactive_file_bytes),
        Ok(Some(MemoryCgroup::V2 {
            anon_bytes,
            file_bytes,
            inactive_file_bytes,
        })) => (anon_bytes.saturating_add(*file_bytes), *inactive_file_bytes),
        Ok(None) | Err(_) => {
            let Some(memory) = observation.memory.as_ref()?.as_ref() else {
                return Ok(None);
            };
            let (Some(anon_kib), Some(inactive_kib)) =
                (memory.anon_pages_kib, memory.inactive_file_kib)
            else {
                return Ok(None);
            };
            let file_kib = memory.cached_kib + memory.buffers_kib + memory.swap_cached_kib;
            let usage_kib = anon_kib.saturating_add(file_kib);
            (
                usage_kib.saturating_mul(1024),
                inactive_kib.saturating_mul(1024),
            )
        }
    };
    Ok(Some(usage.saturating_sub(inactive)))
}

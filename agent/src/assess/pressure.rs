//! The kubelet's three pressures: memory, disk, process ids, from what was observed.
//!
//! `eviction.rs` judges as the kubelet does, which reports "no pressure" of what it cannot see;
//! here a pressure of which no signal is observed is absent. Image and container filesystems have
//! no signal: they are a container runtime's, and a node without one has none.

use super::eviction::{Eviction, Observed, PRESSURES, Signals};
use super::finding::Finding;
use super::room::is_root_an_image;
use super::thresholds::{Signal, Thresholds};
use crate::observe::disk::Usage;
use crate::observe::memory::MemoryCgroup;
use crate::observe::{Observation, ReadError};

/// What each pressure's thresholds have met so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressures {
    eviction: Eviction,
}

impl Pressures {
    /// Nothing is met yet.
    pub(super) fn new(thresholds: &Thresholds) -> Self {
        Self {
            eviction: Eviction::new(thresholds),
        }
    }

    /// Whether each of [`PRESSURES`] holds.
    pub(super) fn update(&mut self, observation: &Observation) -> [Finding; PRESSURES.len()] {
        let signals = signals(observation);
        let pressures = self.eviction.update(&signals, observation.uptime_ms);
        let mut findings = [Finding::Absent; PRESSURES.len()];
        for ((kind, pressure), finding) in PRESSURES.iter().zip(pressures).zip(&mut findings) {
            let of_kind = Signal::ALL.into_iter().zip(signals);
            let of_kind = of_kind.filter(|(signal, _)| signal.condition() == *kind);
            for (_, observed) in of_kind {
                *finding = finding.worst(match observed {
                    Observed::Absent => Finding::Absent,
                    Observed::Failed => Finding::Failed,
                    Observed::Available { .. } => Finding::Holds(pressure.is_reported),
                });
            }
            if pressure.is_met {
                *finding = Finding::Holds(true);
            }
        }
        findings
    }
}

/// Every signal, as it was observed.
fn signals(observation: &Observation) -> Signals {
    let mut signals = Signals::default();
    let observed = [
        (Signal::MemoryAvailable, memory(observation)),
        (Signal::NodefsAvailable, space(observation)),
        (Signal::NodefsInodesFree, inodes(observation)),
        (Signal::PidAvailable, process_ids(observation)),
    ];
    for (signal, left) in observed {
        if let Some(observed) = signals.get_mut(signal.index()) {
            *observed = match left {
                Ok(Some((available, capacity))) => Observed::Available {
                    available,
                    capacity: Some(capacity),
                },
                Ok(None) => Observed::Absent,
                Err(_) => Observed::Failed,
            };
        }
    }
    signals
}

/// What is left, and of how much.
type Left<'o> = Result<Option<(u64, u64)>, &'o ReadError>;

fn memory(observation: &Observation) -> Left<'_> {
    let memory = observation.memory.as_ref()?.as_ref();
    let both = memory.zip(working_set_bytes(observation)?);
    Ok(both.map(|(memory, used)| {
        let capacity = memory.total_kib.saturating_mul(1024);
        (capacity.saturating_sub(used), capacity)
    }))
}

/// The root filesystem, unless nobody could keep pods there.
fn nodefs(observation: &Observation) -> Result<Option<&Usage>, &ReadError> {
    let usage = observation.root_usage.as_ref()?.as_ref();
    Ok(usage.filter(|_| !is_root_an_image(observation)))
}

fn space(observation: &Observation) -> Left<'_> {
    let usage = nodefs(observation)?;
    Ok(usage.map(|usage| (usage.available_bytes, usage.capacity_bytes)))
}

fn inodes(observation: &Observation) -> Left<'_> {
    let usage = nodefs(observation)?;
    // btrfs and vfat have none to run short of.
    let limited = usage.filter(|usage| usage.inodes != 0);
    Ok(limited.map(|usage| (usage.inodes_free, usage.inodes)))
}

fn process_ids(observation: &Observation) -> Left<'_> {
    let load = observation.load.as_ref()?.as_ref();
    let limits = [&observation.pid_max, &observation.threads_max];
    let known = limits.into_iter().flatten().flatten().copied().min();
    // The one that can be read holds, whatever the other is.
    if known.is_none() {
        for limit in limits {
            limit.as_ref()?;
        }
    }
    let both = load.zip(known);
    Ok(both.map(|(load, capacity)| (capacity.saturating_sub(u64::from(load.threads)), capacity)))
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
            let (Some(anon_kib), Some(cached_kib), Some(buffers_kib), Some(inactive_kib)) = (
                memory.anon_pages_kib,
                memory.cached_kib,
                memory.buffers_kib,
                memory.inactive_file_kib,
            ) else {
                return memory.flaw.as_ref().map_or(Ok(None), Err);
            };
            // A container's stand-in for /proc leaves the swap cache out.
            let swap_cached_kib = memory.swap_cached_kib.unwrap_or(0);
            let file_kib = [cached_kib, buffers_kib, swap_cached_kib];
            let usage_kib = file_kib.into_iter().fold(anon_kib, u64::saturating_add);
            (
                usage_kib.saturating_mul(1024),
                inactive_kib.saturating_mul(1024),
            )
        }
    };
    Ok(Some(usage.saturating_sub(inactive)))
}

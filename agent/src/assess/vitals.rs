//! The numbers that every board may have, in the units of the wire.
//!
//! Each reading is told, missing, or failed on its own; why it failed stays on the board, and the
//! wire carries one bit.

use nodling_protocol::Vitals;
use nodling_protocol::units::{CentiLoad, DeciCelsius, Kibibytes, Megahertz, Permille};

use super::pressure::working_set_bytes;
use super::supply::Supply;
use super::zones::main_zone;
use crate::observe::network::Interface;
use crate::observe::pressure::Stalls;
use crate::observe::{Observation, ReadError, Reading};

/// A reading that was looked at.
type Seen<'o, T> = Result<Option<T>, &'o ReadError>;

/// The vitals of one tick, and which of them failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) vitals: Vitals,
    /// Position in [`Vitals::NAMES`], and why.
    pub(super) failures: Vec<(usize, ReadError)>,
}

/// Collects the vitals in wire order.
#[derive(Default)]
struct Collector {
    position: usize,
    failures: Vec<(usize, ReadError)>,
}

impl Collector {
    fn take<T>(&mut self, seen: Seen<'_, T>) -> Option<T> {
        let position = self.position;
        self.position += 1;
        seen.unwrap_or_else(|err| {
            self.failures.push((position, err.clone()));
            None
        })
    }
}

/// Reads the vitals off an observation; `cpu_busy` needs two and comes from `rates`.
pub(super) fn vitals(
    observation: &Observation,
    cpu_busy: Option<Permille>,
    supply: &Supply,
) -> Tally {
    let mut next = Collector::default();
    let memory = |kib: fn(&crate::observe::memory::Memory) -> Option<u64>| {
        see(&observation.memory, |memory| kib(memory).map(Kibibytes))
    };
    let stall = |reading, share: fn(&Stalls) -> Option<u16>| {
        see(reading, |stalls| {
            share(stalls).map(|hundredths| Permille(hundredths / 10))
        })
    };
    let some = |stalls: &Stalls| Some(stalls.some.avg10_hundredths);
    let full = |stalls: &Stalls| stalls.full.map(|full| full.avg10_hundredths);
    let pressure = &observation.pressure;
    // Fields are evaluated as written: the order is the wire's.
    let vitals = Vitals {
        cpu_busy: next.take(see(&observation.cpu, |_| cpu_busy)),
        load1: next.take(see(&observation.load, |load| {
            Some(CentiLoad(load.one_minute_hundredths))
        })),
        memory_available: next.take(memory(|memory| memory.available_kib)),
        memory_working_set: next.take(
            working_set_bytes(observation).map(|bytes| bytes.map(|bytes| Kibibytes(bytes / 1024))),
        ),
        swap_used: next.take(memory(|memory| {
            let swap = memory.swap_total_kib.zip(memory.swap_free_kib);
            let swap = swap.filter(|(total_kib, _)| *total_kib != 0);
            swap.map(|(total_kib, free_kib)| total_kib.saturating_sub(free_kib))
        })),
        root_available: next.take(see(&observation.root_usage, |usage| {
            Some(Kibibytes(usage.available_bytes / 1024))
        })),
        temperature: next.take(temperature(observation)),
        throttle: next.take(see(&observation.power.throttled, |throttled| {
            Some(supply.vital(*throttled))
        })),
        frequency: next.take(frequency(observation)),
        cpu_pressure_some: next.take(stall(&pressure.cpu, some)),
        memory_pressure_some: next.take(stall(&pressure.memory, some)),
        memory_pressure_full: next.take(stall(&pressure.memory, full)),
        io_pressure_some: next.take(stall(&pressure.io, some)),
        io_pressure_full: next.take(stall(&pressure.io, full)),
        network_received: next.take(network(observation, |interface| interface.received_bytes)),
        network_sent: next.take(network(observation, |interface| interface.sent_bytes)),
        disk_read: next.take(disks(observation, |disk| disk.read_bytes)),
        disk_written: next.take(disks(observation, |disk| disk.written_bytes)),
    };
    Tally {
        vitals,
        failures: next.failures,
    }
}

fn see<T, U>(reading: &Reading<T>, value: impl FnOnce(&T) -> Option<U>) -> Seen<'_, U> {
    reading
        .as_ref()
        .map(|present| present.as_ref().and_then(value))
}

fn temperature(observation: &Observation) -> Seen<'_, DeciCelsius> {
    let Some(zone) = main_zone(observation)? else {
        return Ok(None);
    };
    see(&zone.temperature_milli_celsius, |temperature| {
        deci_celsius(*temperature)
    })
}

/// Tenths of a degree; a value that no thermometer shows is none.
pub(super) fn deci_celsius(milli_celsius: i32) -> Option<DeciCelsius> {
    i16::try_from(milli_celsius / 100).ok().map(DeciCelsius)
}

/// The fastest policy's: little cores idle while big ones work.
fn frequency(observation: &Observation) -> Seen<'_, Megahertz> {
    let Some(policies) = observation.frequency.as_ref()?.as_ref() else {
        return Ok(None);
    };
    let mut fastest = None;
    let mut failure = None;
    for policy in policies {
        match &policy.current_khz {
            Ok(khz) => fastest = fastest.max(*khz),
            Err(err) => failure = Some(err),
        }
    }
    match (fastest, failure) {
        (Some(khz), _) => Ok(Some(Megahertz(khz / 1000))),
        (None, Some(err)) => Err(err),
        (None, None) => Ok(None),
    }
}

/// Physical interfaces only: what crosses a bridge would count twice.
fn network(observation: &Observation, bytes: fn(&Interface) -> u64) -> Seen<'_, Kibibytes> {
    let links = observation
        .links
        .links
        .as_ref()
        .ok()
        .and_then(Option::as_ref);
    let is_counted = |interface: &&Interface| match links {
        Some(links) => links
            .iter()
            .any(|link| link.name == interface.name && link.is_physical && !link.is_loopback),
        None => interface.name.as_ref() != "lo",
    };
    see(&observation.interfaces, |interfaces| {
        sum_kib(interfaces.iter().filter(is_counted).map(bytes))
    })
}

fn disks(
    observation: &Observation,
    bytes: fn(&crate::observe::disk::Disk) -> u64,
) -> Seen<'_, Kibibytes> {
    see(&observation.disks, |disks| {
        sum_kib(disks.iter().filter(|disk| !disk.is_stacked).map(bytes))
    })
}

/// None of none: a board without disks has no disk counter.
fn sum_kib(bytes: impl Iterator<Item = u64>) -> Option<Kibibytes> {
    bytes
        .reduce(u64::saturating_add)
        .map(|bytes| Kibibytes(bytes / 1024))
}

//! What the project promises in numbers, measured with the real parts.
//!
//! Each measure is a file and runs in a process of its own, so that none sees another's heap,
//! threads or network. A measure returns rows; nothing here is a test with a time limit.
#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people, far below 2^52"
)]

mod report;
mod runner;
mod board;
mod reference;
mod agent_memory;
mod agent_cpu;
mod trigger_latency;
mod beat_size;
mod wire_volume;
mod home;
mod gateway_throughput;
mod gateway_memory;
mod fleet_arrival;
mod lease_renewals;
mod disk_writes;

use anyhow::Result;

pub use runner::{alone, run};

/// What a value must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    must: Option<Bound>,
    aim: Option<Bound>,
}

impl Row {
    /// A value that is told beside others.
    pub const fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            must: None,
            aim: None,
        }
    }

    /// What it must keep to.
    #[must_use]
    pub const fn must(mut self, bound: Bound) -> Self {
        self.must = Some(bound);
        self
    }

    /// What it is meant to keep to.
    #[must_use]
    pub const fn aim(mut self, bound: Bound) -> Self {
        self.aim = Some(bound);
        self
    }
}

/// Where a measure runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Anywhere.
    Here,
    /// In a network namespace of its own, whose loopback carries nothing else.
    PrivateNetwork,
}

/// Something to measure.
struct Measure {
    name: &'static str,
    about: &'static str,
    place: Place,
    run: fn() -> Result<Vec<Row>>,
}

const MEASURES: &[Measure] = &[
    Measure {
        name: "agent-memory",
        about: "resident memory of an agent at steady state",
        place: Place::Here,
        run: agent_memory::measure,
    },
    Measure {
        name: "agent-cpu",
        about: "an agent's CPU time per heartbeat, beside merely reading the same files",
        place: Place::Here,
        run: agent_cpu::measure,
    },
    Measure {
        name: "trigger-latency",
        about: "from the beginning of a stall to the beat that tells of it",
        place: Place::Here,
        run: trigger_latency::measure,
    },
    Measure {
        name: "beat-size",
        about: "the reference heartbeat as an MQTT packet, and what sensors add",
        place: Place::Here,
        run: beat_size::measure,
    },
    Measure {
        name: "wire-volume",
        about: "bytes on the wire per node and day",
        place: Place::PrivateNetwork,
        run: wire_volume::measure,
    },
    Measure {
        name: "gateway-throughput",
        about: "heartbeats per second from wire bytes into a roster of 10,000 nodes",
        place: Place::Here,
        run: gateway_throughput::measure,
    },
    Measure {
        name: "gateway-memory",
        about: "memory per node in the roster and the watch cache",
        place: Place::Here,
        run: gateway_memory::measure,
    },
    Measure {
        name: "fleet-arrival",
        about: "1,000 nodes over a real broker into the embedded API",
        place: Place::Here,
        run: fleet_arrival::measure,
    },
    Measure {
        name: "lease-renewals",
        about: "Lease renewals per second at the embedded API",
        place: Place::Here,
        run: lease_renewals::measure,
    },
    Measure {
        name: "disk-writes",
        about: "bytes the gateway writes per day with 50 idle nodes",
        place: Place::Here,
        run: disk_writes::measure,
    },
];

//! The reference beat: a board that has been up for thirty days.
//!
//! Fourteen conditions, one filesystem, summed interfaces and disks with counters above 2^32
//! bytes, five pressure values, no sensor; the sequence of a session of six hours.

use std::sync::Arc;

use nodling_agent::assess::{Assessment, Sensor};
use nodling_agent::encode::Encoder;
use nodling_protocol::units::{
    CentiLoad, DeciCelsius, Kibibytes, Megahertz, Permille, Throttle, Unit, Uptime,
};
use nodling_protocol::{Instance, Statuses, Vitals};

use crate::fleet::node::all_is_well;

/// Thirty days.
const UPTIME: Uptime = Uptime(30 * 86_400 * 100);
/// Six hours of beats every ten seconds.
const SEQUENCE: usize = 6 * 360;

/// What the board says.
fn assessment(sensors: usize) -> Assessment {
    let sensor = |number: usize| Sensor {
        name: format!("zone-{number}").into(),
        unit: Unit::Celsius,
        exponent: -1,
        reading: Ok(Some(523 + i32::try_from(number).unwrap_or_default())),
    };
    Assessment {
        uptime: UPTIME,
        vitals: Vitals {
            cpu_busy: Some(Permille(137)),
            load1: Some(CentiLoad(142)),
            memory_available: Some(Kibibytes(3_100_000)),
            memory_working_set: Some(Kibibytes(600_000)),
            swap_used: Some(Kibibytes(0)),
            root_available: Some(Kibibytes(24_000_000)),
            temperature: Some(DeciCelsius(523)),
            throttle: Some(Throttle(0x50)),
            frequency: Some(Megahertz(1500)),
            cpu_pressure_some: Some(Permille(12)),
            memory_pressure_some: Some(Permille(3)),
            memory_pressure_full: Some(Permille(1)),
            io_pressure_some: Some(Permille(31)),
            io_pressure_full: Some(Permille(4)),
            network_received: Some(kibibytes(41_000_000_000)),
            network_sent: Some(kibibytes(9_000_000_000)),
            disk_read: Some(kibibytes(6_000_000_000)),
            disk_written: Some(kibibytes(62_000_000_000)),
        },
        failures: Vec::new(),
        conditions: all_is_well(),
        custom: Statuses::default(),
        rules: Arc::default(),
        sensors: (0..sensors).map(sensor).collect(),
        capacity: Vec::new(),
        allocatable: Vec::new(),
        addresses: [].into(),
        address_error: None,
    }
}

const fn kibibytes(bytes: u64) -> Kibibytes {
    assert!(bytes > 1 << 32, "the reference's counters are large");
    Kibibytes(bytes / 1024)
}

/// The beat's frame with so many sensors, as the agent's encoder writes it.
pub(super) fn frame(sensors: usize) -> Vec<u8> {
    let assessment = assessment(sensors);
    let mut encoder = Encoder::new(Instance(0x0123_4567_89AB_CDEF), 200);
    for _ in 0..SEQUENCE {
        encoder.heartbeat(&assessment);
    }
    encoder.heartbeat(&assessment).to_vec()
}

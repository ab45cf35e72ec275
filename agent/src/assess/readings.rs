//! Every reading by its name, in the unit that people read: what rules compare and what
//! `nodling-agent assess` prints.
//!
//! First the vitals, then the sensors; where both have a name, the vital is meant.

use nodling_protocol::Vitals;
use nodling_protocol::units::{Kibibytes, Permille};

use super::decimal::Decimal;
use super::{Assessment, Sensor};
use crate::observe::{Observation, ReadError};

/// What a reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The board has no such reading.
    Absent,
    /// The reading failed.
    Failed(&'a ReadError),
    /// A number.
    Known(Decimal),
    /// It needs one more observation.
    Pending,
}

/// A reading with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Unique on the board.
    pub name: &'a str,
    /// The symbol; empty for a bare number.
    pub unit: &'static str,
    /// What it says.
    pub value: Value<'a>,
}

/// All readings of one tick, in wire order.
pub fn readings<'a>(
    observation: &Observation,
    assessment: &'a Assessment,
) -> impl Iterator<Item = Named<'a>> {
    let is_cpu_read = matches!(observation.cpu, Ok(Some(_)));
    let names = Vitals::NAMES.iter().zip(vitals(&assessment.vitals));
    let vitals = names.enumerate().map(move |(at, (&name, (known, unit)))| {
        let mut failures = assessment.failures.iter();
        let failure = failures.find(|(failed, _)| *failed == at);
        let value = match (known, failure) {
            (Some(number), _) => Value::Known(number),
            (None, Some((_, err))) => Value::Failed(err),
            // A share of time needs two observations, also after the counters were reset.
            (None, None) if name == CPU_BUSY && is_cpu_read => Value::Pending,
            (None, None) => Value::Absent,
        };
        Named { name, unit, value }
    });
    vitals.chain(assessment.sensors.iter().map(of_sensor))
}

/// The one vital that is made of two observations.
const CPU_BUSY: &str = "cpu_busy";

fn of_sensor(sensor: &Sensor) -> Named<'_> {
    Named {
        name: &sensor.name,
        unit: sensor.unit.symbol(),
        value: match &sensor.reading {
            Ok(Some(value)) => Value::Known(Decimal::new(i64::from(*value), sensor.exponent)),
            Ok(None) => Value::Absent,
            Err(err) => Value::Failed(err),
        },
    }
}

/// Each vital with its unit, in wire order.
fn vitals(vitals: &Vitals) -> [(Option<Decimal>, &'static str); Vitals::NAMES.len()] {
    let whole = |number: u32| Decimal::new(number.into(), 0);
    let kib = |kib: Option<Kibibytes>| {
        let number = kib.map(|kib| i64::try_from(kib.0).unwrap_or(i64::MAX));
        (number.map(|number| Decimal::new(number, 0)), "KiB")
    };
    let percent = |share: Option<Permille>| {
        let number = share.map(|share| Decimal::new(share.0.into(), -1));
        (number, "%")
    };
    [
        percent(vitals.cpu_busy),
        (vitals.load1.map(|load| Decimal::new(load.0.into(), -2)), ""),
        kib(vitals.memory_available),
        kib(vitals.memory_working_set),
        kib(vitals.swap_used),
        kib(vitals.root_available),
        (
            vitals
                .temperature
                .map(|temperature| Decimal::new(temperature.0.into(), -1)),
            "°C",
        ),
        (vitals.throttle.map(|throttle| whole(throttle.0.into())), ""),
        (vitals.frequency.map(|frequency| whole(frequency.0)), "MHz"),
        percent(vitals.cpu_pressure_some),
        percent(vitals.memory_pressure_some),
        percent(vitals.memory_pressure_full),
        percent(vitals.io_pressure_some),
        percent(vitals.io_pressure_full),
        kib(vitals.network_received),
        kib(vitals.network_sent),
        kib(vitals.disk_read),
        kib(vitals.disk_written),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use nodling_protocol::units::{CentiLoad, DeciCelsius, Megahertz, Throttle};

    #[test]
    fn vitals_keep_the_order_of_their_names() {
        let all = Vitals {
            cpu_busy: Some(Permille(1)),
            load1: Some(CentiLoad(2)),
            memory_available: Some(Kibibytes(3)),
            memory_working_set: Some(Kibibytes(4)),
            swap_used: Some(Kibibytes(5)),
            root_available: Some(Kibibytes(6)),
            temperature: Some(DeciCelsius(7)),
            throttle: Some(Throttle(8)),
            frequency: Some(Megahertz(9)),
            cpu_pressure_some: Some(Permille(10)),
            memory_pressure_some: Some(Permille(11)),
            memory_pressure_full: Some(Permille(12)),
            io_pressure_some: Some(Permille(13)),
            io_pressure_full: Some(Permille(14)),
            network_received: Some(Kibibytes(15)),
            network_sent: Some(Kibibytes(16)),
            disk_read: Some(Kibibytes(17)),
            disk_written: Some(Kibibytes(18)),
        };
        let shown: Vec<_> = vitals(&all)
            .into_iter()
            .map(|(number, unit)| format!("{}{unit}", number.unwrap()))
            .collect();
        let expected = [
            "0.1%", "0.02", "3KiB", "4KiB", "5KiB", "6KiB", "0.7°C", "8", "9MHz", "1.0%", "1.1%",
            "1.2%", "1.3%", "1.4%", "15KiB", "16KiB", "17KiB", "18KiB",
        ];
        assert_eq!(shown, expected);
    }
}

//! What `nodling-agent sensors` prints: each configured sensor with its readings, or why it has
//! none and what to do about it, and what the kernel reads by itself.

use std::fmt::Write as _;

use nodling_boards::sensor::{Kind, SensorError};

use crate::assess::Assessment;
use crate::assess::readings::{Named, Value, readings};
use crate::observe::sensor::Config;
use crate::observe::{Errno, Observation, ReadError};

/// Lists sensors and readings.
pub fn inventory(
    sensors: &[Config],
    buses: &[String],
    observation: &Observation,
    assessment: &Assessment,
) -> String {
    let mut text = String::new();
    let all: Vec<_> = readings(observation, assessment).collect();
    if sensors.is_empty() {
        line(
            &mut text,
            "no sensor is configured: [[sensor]] in the configuration names one",
        );
    }
    for sensor in sensors {
        line(&mut text, &format!("{}: {}", sensor.name, sensor.device()));
        let own: Vec<_> = all
            .iter()
            .filter(|reading| is_of(sensor, reading))
            .collect();
        match common_failure(&own) {
            Some(err) => {
                line(&mut text, &format!("  {}", cause(err)));
                if let Some(advice) = advice(sensor.kind, err) {
                    line(&mut text, &format!("  {advice}"));
                }
            }
            None => own.iter().for_each(|reading| show(&mut text, reading)),
        }
    }
    match buses {
        [] => line(
            &mut text,
            "I2C buses: none; on a Raspberry Pi `raspi-config` turns one on",
        ),
        buses => line(&mut text, &format!("I2C buses: {}", buses.join(", "))),
    }
    line(&mut text, "read by the kernel:");
    let is_found = |reading: &&Named<'_>| {
        let is_sensor = assessment
            .sensors
            .iter()
            .any(|sensor| &*sensor.name == reading.name);
        (is_sensor || (reading.name == "temperature" && reading.value != Value::Absent))
            && !sensors.iter().any(|sensor| is_of(sensor, reading))
    };
    let before = text.len();
    all.iter()
        .filter(is_found)
        .for_each(|reading| show(&mut text, reading));
    if text.len() == before {
        line(&mut text, "  nothing");
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn is_of(sensor: &Config, reading: &Named<'_>) -> bool {
    let quantity = reading.name.strip_prefix(&*sensor.name);
    quantity.is_some_and(|rest| rest.starts_with('.'))
}

/// What all of a sensor's readings failed of.
fn common_failure<'a>(own: &[&Named<'a>]) -> Option<&'a ReadError> {
    let (first, others) = own.split_first()?;
    let Value::Failed(err) = first.value else {
        return None;
    };
    let is_same = |other: &&Named<'a>| other.value == Value::Failed(err);
    others.iter().all(is_same).then_some(err)
}

/// Without the device, which stands in the line above.
fn cause(err: &ReadError) -> String {
    match err {
        ReadError::Device { cause, .. } => cause.to_string(),
        ReadError::Refused { cause, .. } => cause.to_string(),
        ReadError::Stale { age_s, .. } => format!("nothing was read for {age_s} s"),
        ReadError::Malformed { .. } | ReadError::TooLong { .. } | ReadError::Unanswered { .. } => {
            err.to_string()
        }
    }
}

fn show(text: &mut String, reading: &Named<'_>) {
    let Named { name, unit, .. } = reading;
    // Writing to a string cannot fail.
    let _ = match reading.value {
        Value::Absent => writeln!(text, "  {name}: no value"),
        Value::Failed(err) => writeln!(text, "  {name}: {err}"),
        Value::Known(number) => writeln!(text, "  {name}: {number} {unit}"),
        Value::Pending => writeln!(text, "  {name}: not yet known"),
    };
}

/// What a person could do about it.
fn advice(kind: Kind, err: &ReadError) -> Option<String> {
    match err {
        ReadError::Device { cause, .. } => match cause {
            SensorError::Nack => Some(whereabouts(kind)),
            SensorError::WrongChip { found } => {
                let other = mistaken(kind, *found)?;
                Some(format!("that is the answer of kind = \"{}\"", other.name()))
            }
            SensorError::Bus | SensorError::Checksum => {
                Some("long wires, or weak pull-up resistors, do this".into())
            }
            SensorError::NotReady | SensorError::Absurd => None,
        },
        ReadError::Refused { cause, .. } => of_errno(*cause).map(str::to_owned),
        ReadError::Stale { .. } => {
            Some("the kernel has not come back from the bus: a device may hold it".into())
        }
        ReadError::Malformed { .. } | ReadError::TooLong { .. } | ReadError::Unanswered { .. } => {
            None
        }
    }
}

fn whereabouts(kind: Kind) -> String {
    let (name, first, last) = (kind.name(), kind.address(), kind.address_last());
    if first == last {
        format!("is it wired and powered? every {name} is at {first:#04x}")
    } else {
        format!("is it wired and powered? kind {name} is at {first:#04x} to {last:#04x}")
    }
}

/// The kind that a chip is which does not answer as the configured one.
fn mistaken(kind: Kind, found: u16) -> Option<Kind> {
    match (kind, found) {
        (Kind::Bme280, 0x56..=0x58) => Some(Kind::Bmp280),
        (Kind::Bmp280, 0x60) => Some(Kind::Bme280),
        (Kind::Ina219, 0x4127) => Some(Kind::Ina226),
        _ => None,
    }
}

fn of_errno(errno: Errno) -> Option<&'static str> {
    match errno.0 {
        libc::EBUSY => Some("the kernel drives this address itself: what it reads stands below"),
        libc::EACCES | libc::EPERM => {
            Some("this user may not use the bus: the group that may is usually i2c")
        }
        libc::ENOENT | libc::ENODEV | libc::ENXIO => Some("there is no such bus: is it turned on?"),
        libc::ETIMEDOUT => Some("a device may hold the bus: does it work with fewer of them?"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(cause: SensorError) -> ReadError {
        ReadError::Device {
            device: "x".into(),
            cause,
        }
    }

    #[test]
    fn a_person_is_told_what_to_do() {
        for (kind, cause, expected) in [
            (
                Kind::Bme280,
                SensorError::Nack,
                "kind bme280 is at 0x76 to 0x77",
            ),
            (Kind::Scd4x, SensorError::Nack, "every scd4x is at 0x62"),
            (
                Kind::Bme280,
                SensorError::WrongChip { found: 0x58 },
                "kind = \"bmp280\"",
            ),
            (
                Kind::Bmp280,
                SensorError::WrongChip { found: 0x60 },
                "kind = \"bme280\"",
            ),
            (
                Kind::Ina219,
                SensorError::WrongChip { found: 0x4127 },
                "kind = \"ina226\"",
            ),
            (Kind::Sht3x, SensorError::Checksum, "long wires"),
        ] {
            let advice = advice(kind, &device(cause)).unwrap();
            assert!(advice.contains(expected), "{advice}");
        }
        let unknown = SensorError::WrongChip { found: 0x61 };
        assert_eq!(advice(Kind::Bme280, &device(unknown)), None);
        for (errno, expected) in [
            (libc::EBUSY, "the kernel drives"),
            (libc::EACCES, "group"),
            (libc::ENOENT, "no such bus"),
        ] {
            let refused = ReadError::Refused {
                path: "x".into(),
                cause: Errno(errno),
            };
            let advice = advice(Kind::Bme280, &refused).unwrap();
            assert!(advice.contains(expected), "{advice}");
        }
    }
}

//! Reads `/sys/class/thermal/thermal_zone*/{type,temp,trip_point_*}`; temp is in millidegrees
//! Celsius (Documentation/driver-api/thermal/sysfs-api.rst).
//!
//! EINVAL, EAGAIN and ENODATA are what a driver answers whose sensor sleeps, and some answer 0:
//! absent, never cold. A trip point that no silicon has is none.

use super::root::Root;
use super::text::{Flaw, lone_integer, lone_text, number_u32};
use super::{Errno, ReadError, Reading};

/// A thermal zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// For example `thermal_zone0`; the number may differ after a boot.
    pub name: Box<str>,
    /// For example `cpu-thermal`; empty if the driver gave none.
    pub kind: Box<str>,
    /// Its temperature.
    pub temperature_milli_celsius: Reading<i32>,
    /// The lowest `passive` trip point: where the kernel slows down.
    pub passive_milli_celsius: Option<i32>,
    /// The lowest `hot` or `critical` trip point: where the kernel gives up.
    pub critical_milli_celsius: Option<i32>,
}

const DIRECTORY: &str = "sys/class/thermal";
const ZONES_MAX: usize = 16;
const TRIPS_MAX: usize = 12;

/// What of a zone does not change.
#[derive(Clone, Debug)]
pub(super) struct Known {
    name: Box<str>,
    path: String,
    kind: Box<str>,
    passive_milli_celsius: Option<i32>,
    critical_milli_celsius: Option<i32>,
}

/// Finds the zones, by number.
pub(super) fn find(root: &mut Root) -> Reading<Vec<Known>> {
    let Some(mut names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    let zone_number = |name: &String| number_u32(name.strip_prefix("thermal_zone")?.as_bytes());
    names.retain(|name| zone_number(name).is_some());
    names.sort_unstable_by_key(zone_number);
    let known: Vec<_> = names
        .into_iter()
        .take(ZONES_MAX)
        .map(|name| find_zone(root, name))
        .collect();
    Ok(Some(known).filter(|known| !known.is_empty()))
}

fn find_zone(root: &mut Root, name: String) -> Known {
    let directory = format!("{DIRECTORY}/{name}");
    let kind = root
        .parse(&format!("{directory}/type"), lone_text)
        .ok()
        .flatten();
    let (mut passive, mut critical) = (None, None);
    for trip in 0..TRIPS_MAX {
        let path = format!("{directory}/trip_point_{trip}_type");
        let Ok(Some(trip_kind)) = root.parse(&path, lone_text) else {
            break;
        };
        let limit = root.parse(&format!("{directory}/trip_point_{trip}_temp"), parse_trip);
        let lowest = match &*trip_kind {
            "passive" => &mut passive,
            "hot" | "critical" => &mut critical,
            _ => continue,
        };
        let limit = limit.ok().flatten();
        *lowest = [*lowest, limit].into_iter().flatten().min();
    }
    Known {
        name: name.into(),
        path: format!("{directory}/temp"),
        kind: kind.unwrap_or_default(),
        passive_milli_celsius: passive,
        critical_milli_celsius: critical,
    }
}

/// Reads the temperatures.
pub(super) fn read(root: &mut Root, known: &Reading<Vec<Known>>) -> Reading<Vec<Zone>> {
    let known = known.as_ref().map_err(Clone::clone)?;
    let zones = known.iter().flatten().map(|known| Zone {
        name: known.name.clone(),
        kind: known.kind.clone(),
        temperature_milli_celsius: awake(root.parse(&known.path, parse)),
        passive_milli_celsius: known.passive_milli_celsius,
        critical_milli_celsius: known.critical_milli_celsius,
    });
    Ok(known.is_some().then(|| zones.collect()))
}

/// A sensor that sleeps is absent; so is one that shows exactly 0, as those without power do.
fn awake(reading: Reading<i32>) -> Reading<i32> {
    match reading {
        Ok(Some(0))
        | Err(ReadError::Refused {
            cause: Errno(libc::EINVAL | libc::EAGAIN | libc::ENODATA),
            ..
        }) => Ok(None),
        reading => reading,
    }
}

fn parse(text: &[u8]) -> Result<i32, Flaw> {
    /// Beyond this no sensor works; the kernel's own "invalid" is -274,000.
    const RANGE: std::ops::RangeInclusive<i32> = -60_000..=200_000;
    i32::try_from(lone_integer(text)?)
        .ok()
        .filter(|temperature| RANGE.contains(temperature))
        .ok_or(Flaw::new(1, "a temperature that nothing survives"))
}

/// Drivers switch a trip point off with 0, -274,000 or the largest number they have.
fn parse_trip(text: &[u8]) -> Result<i32, Flaw> {
    /// Skin below it, silicon above.
    const RANGE: std::ops::RangeInclusive<i32> = 30_000..=150_000;
    parse(text).and_then(|limit| {
        let is_credible = RANGE.contains(&limit);
        is_credible
            .then_some(limit)
            .ok_or(Flaw::new(1, "a limit that no silicon has"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_may_be_below_zero() {
        assert_eq!(parse(b"52300\n"), Ok(52_300));
        assert_eq!(parse(b"-5500\n"), Ok(-5_500));
        for text in [
            "",
            "-",
            "--1",
            "-274000",
            "200001",
            "-9223372036854775808",
            "5 5",
            "0x10",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_trip_point_that_is_switched_off_is_none() {
        assert_eq!(parse_trip(b"85000\n"), Ok(85_000));
        for text in [
            "0",
            "-274000",
            "2147483647",
            "2147483648",
            "1000",
            "200000",
            "",
            "x",
        ] {
            assert!(parse_trip(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_sleeping_sensor_is_absent_and_a_forbidden_one_failed() {
        let refused = |errno| {
            Err(ReadError::Refused {
                path: "temp".into(),
                cause: Errno(errno),
            })
        };
        for errno in [libc::EINVAL, libc::EAGAIN, libc::ENODATA] {
            assert_eq!(awake(refused(errno)), Ok(None));
        }
        assert_eq!(awake(Ok(Some(0))), Ok(None));
        assert_eq!(awake(Ok(Some(-1))), Ok(Some(-1)));
        assert_eq!(awake(refused(libc::EACCES)), refused(libc::EACCES));
    }
}

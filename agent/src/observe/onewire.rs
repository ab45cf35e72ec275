//! Finds the thermometers of `/sys/bus/w1/devices/<family>-*`: `temperature` in millidegrees, or
//! from older kernels `w1_slave` with a checksum (`Documentation/w1/slaves/w1_therm.rst`).
//!
//! A read takes most of a second, in which the kernel holds the bus. 85 °C is what a DS18B20 says
//! that was not given the power to measure; it is refused, and so is the one true 85.000 °C.

use nodling_protocol::units::Unit;

use super::channel::{Known, Source};
use super::root::Root;
use super::text::{Flaw, lines, lone_integer};

const DIRECTORY: &str = "sys/bus/w1/devices";
const DEVICES_MAX: usize = 16;

/// DS18S20, DS1822, DS18B20, DS1825, DS28EA00.
const FAMILIES: [&str; 5] = ["10-", "22-", "28-", "3b-", "42-"];

const POWER_ON_MILLI_CELSIUS: i64 = 85_000;

/// Finds the thermometers, by their serial numbers.
pub(super) fn find(root: &mut Root) -> Vec<Known> {
    let devices = root.list(DIRECTORY).ok().flatten().unwrap_or_default();
    let is_thermometer = |name: &&String| FAMILIES.iter().any(|family| name.starts_with(family));
    devices
        .iter()
        .filter(is_thermometer)
        .take(DEVICES_MAX)
        .map(|device| {
            let file = |file| format!("{DIRECTORY}/{device}/{file}");
            let (path, source) = if root.exists(&file("temperature")) {
                (file("temperature"), Source::OneWire)
            } else {
                (file("w1_slave"), Source::OneWireSlave)
            };
            Known {
                name: format!("{device}.temperature"),
                unit: Unit::Celsius,
                exponent: -2,
                path,
                source,
            }
        })
        .collect()
}

/// In hundredths of a degree.
pub(super) fn parse(text: &[u8]) -> Result<i32, Flaw> {
    judge(lone_integer(text)?, 1)
}

/// The same from the file that shows the chip's memory and, at its end, `t=<millidegrees>`.
pub(super) fn parse_slave(text: &[u8]) -> Result<i32, Flaw> {
    let mut lines = lines(text);
    match lines.next() {
        Some((_, first)) if first.ends_with(b"YES") => {}
        Some((number, _)) => return Err(Flaw::new(number, "wrong checksum")),
        None => return Err(Flaw::new(1, "expected a line with a checksum")),
    }
    let found = lines.find_map(|(number, line)| {
        let at = line.windows(2).rposition(|pair| pair == b"t=")?;
        Some((number, line.get(at + 2..)?))
    });
    let (number, digits) = found.ok_or(Flaw::new(2, "expected t= and a number"))?;
    judge(lone_integer(digits)?, number)
}

fn judge(milli_celsius: i64, line: usize) -> Result<i32, Flaw> {
    if milli_celsius == POWER_ON_MILLI_CELSIUS {
        return Err(Flaw::new(line, "the value before any measurement"));
    }
    i32::try_from(milli_celsius)
        .ok()
        .filter(|milli_celsius| (-55_000..=125_000).contains(milli_celsius))
        .map(|milli_celsius| milli_celsius / 10)
        .ok_or(Flaw::new(line, "beyond what the chip measures"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_is_in_millidegrees() {
        assert_eq!(parse(b"21437\n"), Ok(2_143));
        assert_eq!(parse(b"-1062\n"), Ok(-106));
        for text in ["85000", "-127000", "125001", "", "21.4"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_older_kernel_shows_the_checksum() {
        let right = "50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n\
                     50 05 4b 46 7f ff 0c 10 1c t=85000\n";
        assert!(parse_slave(right.as_bytes()).is_err());
        let right = right.replace("t=85000", "t=21437");
        assert_eq!(parse_slave(right.as_bytes()), Ok(2_143));
        let below = right.replace("t=21437", "t=-500");
        assert_eq!(parse_slave(below.as_bytes()), Ok(-50));
        for wrong in [
            right.replace("YES", "NO"),
            right.replace("t=", "u="),
            "ff ff : crc=c9 YES\n".to_owned(),
            String::new(),
        ] {
            assert!(parse_slave(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}

//! The `[[sensor]]` tables: chips on buses that the kernel does not read itself.
//!
//! Each becomes one sensor with a driver; two of one name, two at one place, and a knob that its
//! chip does not have are refused here.

use std::path::PathBuf;
use std::time::Duration;

use nodling_boards::sensor::{FullScale, Kind, Options, Shunt};
use nodling_protocol::heartbeat::MAX_SENSORS;

use super::values::{absolute, interval};
use crate::keys::{KeyError, Keys, Refusal};
use crate::observe::sensor::Config;

/// Rules and dashboards repeat it.
const NAME_LEN_MAX: usize = 32;

/// As long as the heartbeat's own.
const INTERVAL: Duration = Duration::from_secs(10);

/// The header's bus on a Raspberry Pi and most others.
const BUS: &str = "/dev/i2c-1";

pub(super) fn sensors(tables: &[Keys<'_>]) -> Result<Vec<Config>, KeyError> {
    let mut sensors: Vec<Config> = Vec::with_capacity(tables.len());
    let mut readings = 0;
    for keys in tables {
        let sensor = sensor(keys, &sensors)?;
        readings += sensor.kind.quantities().len();
        if readings > MAX_SENSORS {
            return Err(keys.refusal(Refusal {
                got: format!("{readings} readings of all sensors"),
                expected: format!("at most {MAX_SENSORS}"),
            }));
        }
        sensors.push(sensor);
    }
    Ok(sensors)
}

fn sensor(keys: &Keys<'_>, earlier: &[Config]) -> Result<Config, KeyError> {
    keys.only(&[
        "name",
        "kind",
        "bus",
        "address",
        "interval",
        "shunt_milliohm",
        "range_millivolt",
    ])?;
    let name = keys.required("name", |text| name(text, earlier))?;
    let kind = keys.required("kind", kind)?;
    let bus = keys.parse("bus", absolute)?;
    let bus = bus.unwrap_or_else(|| PathBuf::from(BUS));
    let address = keys.number("address", address, "an address from 0x08 to 0x77")?;
    let address = address.unwrap_or(kind.address());
    if let Some(other) = earlier
        .iter()
        .find(|other| other.bus == bus && other.address == address)
    {
        return Err(keys.refusal(Refusal {
            got: format!("{address:#04x} on {}", bus.display()),
            expected: format!("a place of its own: {} is there", other.name),
        }));
    }
    Ok(Config {
        name,
        kind,
        bus,
        address,
        interval: keys
            .parse("interval", |text| paced(text, kind))?
            .unwrap_or_else(|| pace(kind)),
        options: options(keys, kind)?,
    })
}

fn options(keys: &Keys<'_>, kind: Kind) -> Result<Options, KeyError> {
    let knob = |name: &str, has_it: bool| {
        if has_it || !keys.has(name) {
            return Ok(());
        }
        Err(keys.refusal(Refusal {
            got: name.to_owned(),
            expected: format!("no such key: a chip of kind {} has none", kind.name()),
        }))
    };
    knob("shunt_milliohm", kind.has_shunt())?;
    knob("range_millivolt", kind.has_full_scale())?;
    let shunt = keys.number(
        "shunt_milliohm",
        Shunt::try_new,
        "a resistance from 1 to 100000, such as 100",
    )?;
    let full_scale = keys.number(
        "range_millivolt",
        |millivolt| FullScale::from_millivolt(u16::try_from(millivolt).ok()?),
        "one of 6144, 4096, 2048, 1024, 512 and 256",
    )?;
    Ok(Options {
        shunt: shunt.unwrap_or_default(),
        full_scale: full_scale.unwrap_or_default(),
    })
}

fn name(text: &str, earlier: &[Config]) -> Result<Box<str>, Refusal> {
    let is_name = (1..=NAME_LEN_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_name && earlier.iter().all(|sensor| &*sensor.name != text) {
        return Ok(text.into());
    }
    Err(Refusal::new(
        text,
        format!(
            "a name of at most {NAME_LEN_MAX} letters, digits, '-' and '_' that no other sensor \
             has, such as \"attic\""
        ),
    ))
}

fn kind(text: &str) -> Result<Kind, Refusal> {
    Kind::parse(text).ok_or_else(|| {
        let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        Refusal::new(text, format!("one of {}", names.join(", ")))
    })
}

/// The others are reserved by the bus.
fn address(number: u32) -> Option<u8> {
    u8::try_from(number)
        .ok()
        .filter(|address| (0x08..=0x77).contains(address))
}

/// A chip that sets the pace is not asked more often.
fn paced(text: &str, kind: Kind) -> Result<Duration, Refusal> {
    let wanted = interval(text)?;
    match period(kind) {
        Some(period) if wanted < period => Err(Refusal::new(
            text,
            format!(
                "at least \"{}s\": a chip of kind {} measures no more often",
                period.as_secs(),
                kind.name()
            ),
        )),
        Some(_) | None => Ok(wanted),
    }
}

fn pace(kind: Kind) -> Duration {
    period(kind).map_or(INTERVAL, |period| INTERVAL.max(period))
}

fn period(kind: Kind) -> Option<Duration> {
    kind.period_ms().map(|ms| Duration::from_millis(ms.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Document;

    fn parse(text: &str) -> Result<Vec<Config>, String> {
        let document = Document::parse("agent.toml", text).unwrap();
        let tables = document.top().tables("sensor").unwrap();
        sensors(&tables).map_err(|err| err.to_string())
    }

    #[test]
    fn a_name_and_a_kind_are_enough() {
        let sensors = parse("[[sensor]]\nname = \"attic\"\nkind = \"bme280\"\n").unwrap();
        let [sensor] = sensors.try_into().unwrap();
        assert_eq!(
            sensor,
            Config {
                name: "attic".into(),
                kind: Kind::Bme280,
                bus: "/dev/i2c-1".into(),
                address: 0x76,
                interval: Duration::from_secs(10),
                options: Options::default(),
            }
        );
    }

    #[test]
    fn every_key_is_taken() {
        let sensors = parse(
            "[[sensor]]\nname = \"ups\"\nkind = \"ina219\"\nbus = \"/dev/i2c-0\"\n\
             address = 0x41\ninterval = \"1s\"\nshunt_milliohm = 10\n\
             [[sensor]]\nname = \"tank\"\nkind = \"ads1115\"\nrange_millivolt = 2048\n",
        )
        .unwrap();
        let [ups, tank] = sensors.try_into().unwrap();
        assert_eq!((ups.kind, ups.address), (Kind::Ina219, 0x41));
        assert_eq!(ups.bus, PathBuf::from("/dev/i2c-0"));
        assert_eq!(ups.interval, Duration::from_secs(1));
        assert_eq!(ups.options.shunt.milliohm(), 10);
        assert_eq!(tank.options.full_scale, FullScale::Mv2048);
    }

    #[test]
    fn errors_say_what_was_wanted() {
        let one = "[[sensor]]\nname = \"a\"\nkind = \"bme280\"\n";
        for (text, expected) in [
            (
                "[[sensor]]\nkind = \"bme280\"\n".to_owned(),
                "agent.toml:1: sensor.name: got nothing, expected a name of at most 32 letters",
            ),
            (
                "[[sensor]]\nname = \"a\"\nkind = \"dht22\"\n".to_owned(),
                "agent.toml:3: sensor.kind: got \"dht22\", expected one of ads1115, bme280,",
            ),
            (
                "[[sensor]]\nname = \"a.b\"\nkind = \"bme280\"\n".to_owned(),
                "agent.toml:2: sensor.name: got \"a.b\", expected a name",
            ),
            (
                format!("{one}adress = 0x76\n"),
                "agent.toml:4: sensor.adress: unknown key; did you mean address?",
            ),
            (
                format!("{one}address = 0x78\n"),
                "agent.toml:4: sensor.address: got 0x78, expected an address from 0x08 to 0x77",
            ),
            (
                format!("{one}address = \"0x76\"\n"),
                "agent.toml:4: sensor.address: got \"0x76\", expected an address",
            ),
            (
                format!("{one}bus = \"i2c-1\"\n"),
                "agent.toml:4: sensor.bus: got \"i2c-1\", expected a path that begins with /",
            ),
            (
                format!("{one}shunt_milliohm = 100\n"),
                "agent.toml:1: sensor: got shunt_milliohm, expected no such key",
            ),
            (
                format!("{one}[[sensor]]\nname = \"b\"\nkind = \"bmp280\"\n"),
                "agent.toml:4: sensor: got 0x76 on /dev/i2c-1, expected a place of its own: a is",
            ),
            (
                format!("{one}[[sensor]]\nname = \"a\"\nkind = \"tmp102\"\n"),
                "agent.toml:5: sensor.name: got \"a\", expected a name",
            ),
            (
                "[[sensor]]\nname = \"co2\"\nkind = \"scd4x\"\ninterval = \"2s\"\n".to_owned(),
                "agent.toml:4: sensor.interval: got \"2s\", expected at least \"5s\"",
            ),
            (
                "[[sensor]]\nname = \"a\"\nkind = \"ina226\"\nshunt_milliohm = 0\n".to_owned(),
                "agent.toml:4: sensor.shunt_milliohm: got 0, expected a resistance from 1",
            ),
            (
                "[[sensor]]\nname = \"a\"\nkind = \"ads1115\"\nrange_millivolt = 5000\n".to_owned(),
                "agent.toml:4: sensor.range_millivolt: got 5000, expected one of 6144,",
            ),
        ] {
            let err = parse(&text).unwrap_err();
            assert!(err.starts_with(expected), "{err}");
        }
    }

    #[test]
    fn all_readings_fit_a_heartbeat() {
        let table = |n: usize| {
            format!(
                "[[sensor]]\nname = \"s{n}\"\nkind = \"ads1115\"\naddress = {}\n",
                n + 8
            )
        };
        let text: String = (0..8).map(table).collect();
        assert_eq!(parse(&text).unwrap().len(), 8);
        let err = parse(&format!("{text}{}", table(8))).unwrap_err();
        assert_eq!(
            err,
            "agent.toml:33: sensor: got 36 readings of all sensors, expected at most 32"
        );
    }
}

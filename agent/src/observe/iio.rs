//! Finds `/sys/bus/iio/devices/iio:device*/in_*` (Documentation/ABI/testing/sysfs-bus-iio): as
//! `_input`, or as `_raw` with `_scale` and `_offset`, which may be shared by all of a kind.
//!
//! After scaling, the kernel's units are millidegrees, thousandths of a percent, kilopascals, lux,
//! millivolts, milliamperes, milliwatts, and percent for concentrations. Accelerations and the
//! like are not for a node.

use nodling_protocol::units::Unit;

use super::channel::{Known, Source, word};
use super::root::Root;
use super::text::{lone_text, number_u32};

const DIRECTORY: &str = "sys/bus/iio/devices";
const DEVICES_MAX: usize = 8;
const CHANNELS_MAX: usize = 8;

/// What the letters after `in_` mean.
#[derive(Debug)]
struct ChannelKind {
    prefix: &'static str,
    quantity: &'static str,
    unit: Unit,
    /// Of the kernel's unit.
    scale: i8,
    /// Of the reading.
    exponent: i8,
}

const fn kind(
    prefix: &'static str,
    quantity: &'static str,
    unit: Unit,
    powers: (i8, i8),
) -> ChannelKind {
    let (scale, exponent) = powers;
    ChannelKind {
        prefix,
        quantity,
        unit,
        scale,
        exponent,
    }
}

const KINDS: [ChannelKind; 8] = [
    kind("temp", "temperature", Unit::Celsius, (-3, -2)),
    kind("humidityrelative", "humidity", Unit::Percent, (-3, -1)),
    kind("pressure", "pressure", Unit::Pascal, (3, 0)),
    kind("illuminance", "illuminance", Unit::Lux, (0, 0)),
    // A percent is ten thousand parts per million.
    kind("concentration_co2", "co2", Unit::PartsPerMillion, (4, 0)),
    kind("voltage", "voltage", Unit::Volt, (-3, -3)),
    kind("current", "current", Unit::Ampere, (-3, -3)),
    kind("power", "power", Unit::Watt, (-3, -3)),
];

/// Finds the channels, by the number of their device.
pub(super) fn find(root: &mut Root) -> Vec<Known> {
    let mut devices = root.list(DIRECTORY).ok().flatten().unwrap_or_default();
    let number = |name: &String| number_u32(name.strip_prefix("iio:device")?.as_bytes());
    devices.retain(|name| number(name).is_some());
    devices.sort_unstable_by_key(number);
    devices
        .iter()
        .take(DEVICES_MAX)
        .flat_map(|device| find_device(root, device))
        .collect()
}

fn find_device(root: &mut Root, device: &str) -> Vec<Known> {
    let directory = format!("{DIRECTORY}/{device}");
    let Ok(Some(name)) = root.parse(&format!("{directory}/name"), lone_text) else {
        return Vec::new();
    };
    let files = root.list(&directory).ok().flatten().unwrap_or_default();
    let mut channels: Vec<_> = files
        .iter()
        .filter_map(|file| Channel::parse(file))
        .collect();
    channels.sort_by_key(|channel| (channel.rank, channel.index));
    // The processed value stands before the raw one.
    channels.dedup_by_key(|channel| (channel.rank, channel.index));
    channels
        .iter()
        .take(CHANNELS_MAX)
        .filter_map(|channel| channel.known(root, &directory, &word(&name)))
        .collect()
}

/// One `in_<kind><number>_{input,raw}`.
#[derive(Debug)]
struct Channel<'f> {
    kind: &'static ChannelKind,
    rank: usize,
    /// As in the file's name, perhaps empty.
    index: &'f str,
    is_processed: bool,
}

impl<'f> Channel<'f> {
    fn parse(file: &'f str) -> Option<Self> {
        let stem = file.strip_prefix("in_")?;
        let (stem, is_processed) = match stem.strip_suffix("_input") {
            Some(stem) => (stem, true),
            None => (stem.strip_suffix("_raw")?, false),
        };
        let of_kind = |(_, kind): &(usize, &ChannelKind)| stem.starts_with(kind.prefix);
        let (rank, kind) = KINDS.iter().enumerate().find(of_kind)?;
        let index = stem.strip_prefix(kind.prefix)?;
        // Differences, moduli and names of channels are no plain measurements.
        index
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(Self {
                kind,
                rank,
                index,
                is_processed,
            })
    }

    fn known(&self, root: &Root, directory: &str, device: &str) -> Option<Known> {
        let ChannelKind {
            prefix,
            quantity,
            unit,
            scale,
            exponent,
        } = *self.kind;
        let stem = format!("{directory}/in_{prefix}{}", self.index);
        let (path, source) = if self.is_processed {
            (format!("{stem}_input"), Source::Number { scale })
        } else {
            let shared = format!("{directory}/in_{prefix}");
            let file = |what: &str| {
                let both = [format!("{stem}_{what}"), format!("{shared}_{what}")];
                both.into_iter().find(|path| root.exists(path))
            };
            let source = Source::Raw {
                // A count without a scale is in no unit.
                factor: file("scale")?,
                offset: file("offset"),
                scale,
            };
            (format!("{stem}_raw"), source)
        };
        Some(Known {
            name: format!("{device}.{quantity}{}", self.index),
            unit,
            exponent,
            path,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_a_kind_perhaps_with_a_number() {
        let parsed = |file| {
            let channel = Channel::parse(file)?;
            Some((channel.kind.quantity, channel.index, channel.is_processed))
        };
        assert_eq!(parsed("in_temp_input"), Some(("temperature", "", true)));
        assert_eq!(parsed("in_voltage3_raw"), Some(("voltage", "3", false)));
        assert_eq!(parsed("in_concentration_co2_raw"), Some(("co2", "", false)));
        for file in [
            "in_accel_x_raw",
            "in_voltage0-voltage1_raw",
            "in_temp_scale",
            "in_temp_ambient_raw",
            "out_voltage0_raw",
            "name",
        ] {
            assert_eq!(parsed(file), None, "{file}");
        }
    }
}

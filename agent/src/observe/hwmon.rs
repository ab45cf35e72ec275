//! Finds `/sys/class/hwmon/hwmon*/{temp,in,curr,power,fan,humidity}*_input`
//! (Documentation/hwmon/sysfs-interface.rst): millidegrees, millivolts, milliamperes, microwatts,
//! revolutions per minute, thousandths of a percent.
//!
//! The number of a chip may differ after a boot, therefore readings are called by the chip's name
//! and the channel's label. A chip that only mirrors a thermal zone is left out.

use nodling_protocol::units::Unit;

use super::channel::{Known, Source, word};
use super::root::Root;
use super::text::{lone_text, number_u32};

const DIRECTORY: &str = "sys/class/hwmon";
const CHIPS_MAX: usize = 24;
/// A server's processor has a channel per core; the first ones tell enough.
const CHANNELS_MAX: usize = 8;

/// Finds the channels, by the number of their chip.
pub(super) fn find(root: &mut Root) -> Vec<Known> {
    let mut chips = root.list(DIRECTORY).ok().flatten().unwrap_or_default();
    let number = |name: &String| number_u32(name.strip_prefix("hwmon")?.as_bytes());
    chips.retain(|name| number(name).is_some());
    chips.sort_unstable_by_key(number);
    let zones = zones(root);
    chips
        .iter()
        .take(CHIPS_MAX)
        .flat_map(|chip| find_chip(root, chip, &zones))
        .collect()
}

/// The names under which thermal zones are mirrored.
fn zones(root: &mut Root) -> Vec<String> {
    let zones = root.list("sys/class/thermal").ok().flatten();
    let zones = zones.unwrap_or_default();
    let kinds = zones.iter().filter_map(|zone| {
        let path = format!("sys/class/thermal/{zone}/type");
        let kind = root.parse(&path, lone_text).ok().flatten()?;
        zone.starts_with("thermal_zone")
            .then(|| kind.replace('-', "_"))
    });
    kinds.collect()
}

fn find_chip(root: &mut Root, chip: &str, zones: &[String]) -> Vec<Known> {
    let directory = format!("{DIRECTORY}/{chip}");
    let Ok(Some(name)) = root.parse(&format!("{directory}/name"), lone_text) else {
        return Vec::new();
    };
    if zones.iter().any(|zone| **zone == *name) {
        return Vec::new();
    }
    let files = root.list(&directory).ok().flatten().unwrap_or_default();
    let mut channels: Vec<_> = files
        .iter()
        .filter_map(|file| Channel::parse(file))
        .collect();
    channels.sort_by_key(|channel| (channel.kind.rank, channel.number));
    channels.truncate(CHANNELS_MAX);
    let labels: Vec<_> = channels
        .iter()
        .map(|channel| channel.label(root, &directory))
        .collect();
    let is_unique = |label: &String| labels.iter().filter(|other| *other == label).count() == 1;
    channels
        .iter()
        .zip(&labels)
        .map(|(channel, label)| {
            let label = if is_unique(label) {
                label.clone()
            } else {
                channel.stem.to_owned()
            };
            Known {
                name: format!("{}.{label}", word(&name)),
                unit: channel.kind.unit,
                exponent: channel.kind.exponent,
                path: format!("{directory}/{}_input", channel.stem),
                source: Source::Number {
                    scale: channel.kind.scale,
                },
            }
        })
        .collect()
}

/// What the letters before a channel's number mean.
#[derive(Debug)]
struct ChannelKind {
    prefix: &'static str,
    unit: Unit,
    /// Of the number in the file.
    scale: i8,
    /// Of the reading.
    exponent: i8,
    rank: u8,
}

const fn kind(prefix: &'static str, unit: Unit, powers: (i8, i8), rank: u8) -> ChannelKind {
    let (scale, exponent) = powers;
    ChannelKind {
        prefix,
        unit,
        scale,
        exponent,
        rank,
    }
}

const KINDS: [ChannelKind; 6] = [
    kind("temp", Unit::Celsius, (-3, -1), 0),
    kind("fan", Unit::RevolutionsPerMinute, (0, 0), 1),
    kind("humidity", Unit::Percent, (-3, -1), 2),
    kind("in", Unit::Volt, (-3, -3), 3),
    kind("curr", Unit::Ampere, (-3, -3), 4),
    kind("power", Unit::Watt, (-6, -3), 5),
];

/// One `<kind><number>_input`.
#[derive(Debug)]
struct Channel<'f> {
    stem: &'f str,
    kind: &'static ChannelKind,
    number: u32,
}

impl<'f> Channel<'f> {
    fn parse(file: &'f str) -> Option<Self> {
        let stem = file.strip_suffix("_input")?;
        let of_kind = |kind: &&ChannelKind| stem.starts_with(kind.prefix);
        let kind = KINDS.iter().find(of_kind)?;
        let number = number_u32(stem.strip_prefix(kind.prefix)?.as_bytes())?;
        Some(Self { stem, kind, number })
    }

    fn label(&self, root: &mut Root, directory: &str) -> String {
        let path = format!("{directory}/{}_label", self.stem);
        let label = root.parse(&path, lone_text).ok().flatten();
        let label = label.map(|label| word(&label)).unwrap_or_default();
        if label.is_empty() {
            self.stem.to_owned()
        } else {
            label
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_its_kind_and_its_number() {
        let parsed = |file| Channel::parse(file).map(|channel| (channel.kind.unit, channel.number));
        assert_eq!(parsed("temp1_input"), Some((Unit::Celsius, 1)));
        assert_eq!(parsed("in0_input"), Some((Unit::Volt, 0)));
        assert_eq!(parsed("curr12_input"), Some((Unit::Ampere, 12)));
        assert_eq!(parsed("power1_input"), Some((Unit::Watt, 1)));
        assert_eq!(parsed("fan2_input"), Some((Unit::RevolutionsPerMinute, 2)));
        for file in [
            "temp_input",
            "temp1_max",
            "intrusion0_alarm",
            "energy1_input",
            "in0_lcrit_alarm",
        ] {
            assert_eq!(parsed(file), None, "{file}");
        }
    }
}

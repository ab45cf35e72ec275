//! Finds `/sys/class/power_supply/*/{capacity,voltage_now,current_now,power_now,temp,online}`
//! (Documentation/ABI/testing/sysfs-class-power): percent, microvolts, microamperes, microwatts,
//! tenths of a degree.
//!
//! The batteries of mice and keyboards, whose scope is `Device`, are not the board's.

use nodling_protocol::units::Unit;

use super::channel::{Known, Source, word};
use super::root::Root;
use super::text::lone_text;

const DIRECTORY: &str = "sys/class/power_supply";
const SUPPLIES_MAX: usize = 4;

/// File, quantity, unit, power of ten of the file and of the reading.
const QUANTITIES: [(&str, &str, Unit, i8, i8); 6] = [
    ("capacity", "charge", Unit::Percent, 0, 0),
    ("voltage_now", "voltage", Unit::Volt, -6, -3),
    ("current_now", "current", Unit::Ampere, -6, -3),
    ("power_now", "power", Unit::Watt, -6, -3),
    ("temp", "temperature", Unit::Celsius, -1, -1),
    ("online", "online", Unit::None, 0, 0),
];

/// Finds the supplies, by name.
pub(super) fn find(root: &mut Root) -> Vec<Known> {
    let mut supplies = root.list(DIRECTORY).ok().flatten().unwrap_or_default();
    supplies.retain(|supply| {
        let scope = root.parse(&format!("{DIRECTORY}/{supply}/scope"), lone_text);
        scope.ok().flatten().as_deref() != Some("Device")
    });
    let mut known = Vec::new();
    for supply in supplies.iter().take(SUPPLIES_MAX) {
        for (file, quantity, unit, scale, exponent) in QUANTITIES {
            let path = format!("{DIRECTORY}/{supply}/{file}");
            if root.exists(&path) {
                known.push(Known {
                    name: format!("{}.{quantity}", word(supply)),
                    unit,
                    exponent,
                    path,
                    source: Source::Number { scale },
                });
            }
        }
    }
    known
}

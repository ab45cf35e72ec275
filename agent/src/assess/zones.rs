//! Which thermal zone is the board's temperature, and how the others are called.

use crate::observe::thermal::Zone;
use crate::observe::{Observation, ReadError};

/// What drivers call the processor's zone, best first.
const CPU_KINDS: [&str; 7] = [
    "cpu-thermal",
    "cpu_thermal",
    "soc-thermal",
    "soc_thermal",
    "cpu0-thermal",
    "x86_pkg_temp",
    "acpitz",
];

/// The zone that is the board's: the profile's, else the processor's, else the first.
pub(super) fn main_zone(observation: &Observation) -> Result<Option<&Zone>, &ReadError> {
    let Some(zones) = observation.thermal.as_ref()?.as_ref() else {
        return Ok(None);
    };
    // Of several with one name the lowest number, in whatever order they are listed.
    let by_number = |one: &&Zone, other: &&Zone| {
        let lengths = one.name.len().cmp(&other.name.len());
        lengths.then_with(|| one.name.cmp(&other.name))
    };
    let named = |kind: &str| {
        let named = zones.iter().filter(|zone| *zone.kind == *kind);
        named.min_by(by_number)
    };
    let of_profile = observation.fixed.profile.thermal.zone.as_ref();
    Ok(of_profile
        .and_then(|fact| named(&fact.value))
        .or_else(|| CPU_KINDS.into_iter().find_map(named))
        .or_else(|| zones.iter().min_by(by_number)))
}

/// The other zones with names that are unique on the board.
pub(super) fn other_zones(observation: &Observation) -> Vec<(Box<str>, &Zone)> {
    let main = main_zone(observation).ok().flatten();
    let Ok(Some(zones)) = &observation.thermal else {
        return Vec::new();
    };
    let is_other = |zone: &&Zone| main.is_none_or(|main| main.name != zone.name);
    let others = zones.iter().filter(is_other).map(|zone| {
        let is_unique = zones.iter().filter(|other| other.kind == zone.kind).count() == 1;
        let name = match zone.kind.as_ref() {
            "" => zone.name.clone(),
            kind if is_unique => kind.into(),
            kind => format!("{kind}/{}", zone.name).into(),
        };
        (name, zone)
    });
    others.collect()
}

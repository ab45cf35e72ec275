//! `ThermalPressure`: a zone at its limit.
//!
//! The processor's limit is the board profile's; every other zone's, and the processor's of an
//! undescribed board, is the lowest of its own trip points. A zone that was hot must cool by 5 °C,
//! each for itself. Whether the processor's zone can be read decides whether all of it can.

use super::finding::Finding;
use super::zones::main_zone;
use crate::observe::Observation;
use crate::observe::thermal::Zone;

/// How far below its limit a zone must cool, and how near a point where the kernel gives up the
/// pressure begins.
const COOLER_MILLI_CELSIUS: i32 = 5_000;

/// Which zones are hot.
#[derive(Clone, Debug, Default)]
pub(super) struct Heat {
    hot: Vec<Box<str>>,
}

impl Heat {
    /// Judges one tick.
    pub(super) fn update(&mut self, observation: &Observation) -> Finding {
        let zones = match &observation.thermal {
            Ok(Some(zones)) => zones,
            Ok(None) => return Finding::Absent,
            Err(_) => return Finding::Failed,
        };
        let main = main_zone(observation).ok().flatten();
        let is_main = |zone: &Zone| main.is_some_and(|main| main.name == zone.name);
        let (mut of_main, mut of_others) = (Finding::Absent, Finding::Absent);
        let mut hot = Vec::new();
        for zone in zones {
            let was_hot = self.hot.contains(&zone.name);
            let limit = if is_main(zone) {
                of_profile(observation).or(of_trips(zone))
            } else {
                of_trips(zone)
            };
            let finding = judge(zone, limit, was_hot);
            // One that cannot be read at the moment has not cooled.
            if finding == Finding::Holds(true) || (was_hot && finding != Finding::Holds(false)) {
                hot.push(zone.name.clone());
            }
            if is_main(zone) {
                of_main = finding;
            } else {
                of_others = of_others.worst(finding);
            }
        }
        self.hot = hot;
        match (of_main, of_others) {
            (_, Finding::Holds(true)) | (Finding::Absent, _) => of_others,
            (of_main, _) => of_main,
        }
    }
}

fn judge(zone: &Zone, limit: Option<i32>, was_hot: bool) -> Finding {
    let Some(limit) = limit else {
        return Finding::Absent;
    };
    let limit = if was_hot {
        limit.saturating_sub(COOLER_MILLI_CELSIUS)
    } else {
        limit
    };
    Finding::of(&zone.temperature_milli_celsius, |temperature| {
        *temperature >= limit
    })
}

/// Where the silicon slows down; where only the end of that is known, a little before.
fn of_profile(observation: &Observation) -> Option<i32> {
    let thermal = &observation.fixed.profile.thermal;
    let soft = thermal.soft_limit_milli_celsius.as_ref();
    let hard = thermal.hard_limit_milli_celsius.as_ref();
    soft.map(|fact| fact.value)
        .or(hard.map(|fact| fact.value.saturating_sub(COOLER_MILLI_CELSIUS)))
}

/// Where the kernel slows down, or a little before it gives up.
fn of_trips(zone: &Zone) -> Option<i32> {
    let critical = zone.critical_milli_celsius;
    let before_critical = critical.map(|limit| limit.saturating_sub(COOLER_MILLI_CELSIUS));
    [zone.passive_milli_celsius, before_critical]
        .into_iter()
        .flatten()
        .min()
}

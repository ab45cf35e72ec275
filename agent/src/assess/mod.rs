//! Stage 2: judges what was observed.
//!
//! From the previous and the present observation and the thresholds come rates, capacity,
//! addresses and conditions. Pure: no IO, and the only time is the observation's own uptime, so a
//! test is a list of observations.

pub mod thresholds;
pub mod eviction;
pub mod capacity;
pub mod decimal;
pub mod readings;
pub mod node_ip;
pub mod addresses;
#[cfg(test)]
mod addresses_tests;
mod zones;
mod rates;
mod finding;
mod latch;
pub mod rules;
#[cfg(test)]
mod rules_tests;
mod room;
mod pressure;
mod supply;
mod vitals;
mod heat;
mod writability;
mod route;
mod clock;
pub mod stalls;
pub mod unread;
pub mod conditions;

use std::sync::Arc;

use nodling_protocol::units::{Unit, Uptime};
use nodling_protocol::{Status, Statuses, Vitals};

use crate::observe::sensor::Named;
use crate::observe::{Observation, ReadError, Reading};
use addresses::{AddressError, Reachable};
use capacity::{Amount, Capacity, Pods, Reserved};
use readings::{Value, readings};
use rules::Rule;
use thresholds::Thresholds;

/// What the configuration says about judging; each part has its own file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Below which amounts a pressure begins.
    pub thresholds: Thresholds,
    /// What the Node lists as its addresses.
    pub addresses: addresses::Config,
    /// Which conditions are reported.
    pub conditions: conditions::Config,
    /// What is kept back for others than pods.
    pub reserved: Reserved,
    /// How many pods are offered.
    pub pods: Pods,
    /// The conditions that the board's owner defined, in the order in which they are sent.
    pub rules: Arc<[Rule]>,
}

/// What must be remembered from one tick to the next.
#[derive(Clone, Debug, Default)]
pub struct State {
    config: Config,
    capacity: Capacity,
    addresses: addresses::Addresses,
    processors: rates::Processors,
    supply: supply::Supply,
    pressures: pressure::Pressures,
    conditions: conditions::Conditions,
    latches: rules::Latches,
}

impl State {
    /// Remembers nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            pressures: pressure::Pressures::new(&config.thresholds),
            config,
            ..Self::default()
        }
    }

    /// Why the addresses of the last assessment are older than it, or none.
    pub fn address_error(&self) -> Option<AddressError> {
        self.addresses.error()
    }
}

/// What one tick means.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// When it was observed.
    pub uptime: Uptime,
    /// Numbers that every board may have.
    pub vitals: Vitals,
    /// Which of the vitals failed, by position in [`Vitals::NAMES`], and why.
    pub failures: Vec<(usize, ReadError)>,
    /// The known conditions.
    pub conditions: Statuses,
    /// The conditions that the board's owner defined, by their position in `rules`.
    pub custom: Statuses,
    /// What those conditions are.
    pub rules: Arc<[Rule]>,
    /// Readings that only this board has.
    pub sensors: Vec<Sensor>,
    /// What the board has.
    pub capacity: Vec<Amount>,
    /// What of it pods could use.
    pub allocatable: Vec<Amount>,
    /// Where the node can be reached, in the order in which Kubernetes is to list it.
    pub addresses: Arc<[Reachable]>,
    /// Why these are the last ones that were found, or none.
    pub address_error: Option<AddressError>,
}

impl Assessment {
    /// The owner's conditions that are judged, in their order.
    pub fn custom(&self) -> impl Iterator<Item = (&Rule, Status)> {
        let rules = self.rules.iter().enumerate();
        rules.filter_map(|(index, rule)| Some((rule, self.custom.get(index)?)))
    }

    /// Every status.
    pub const fn statuses(&self) -> Judged {
        Judged {
            conditions: self.conditions,
            custom: self.custom,
        }
    }
}

/// The statuses of one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The known conditions.
    pub conditions: Statuses,
    /// The conditions that the board's owner defined.
    pub custom: Statuses,
}

/// A reading that has a name instead of a place on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    /// Unique on the board.
    pub name: Box<str>,
    /// Unit.
    pub unit: Unit,
    /// The reading is multiplied by ten to this power.
    pub exponent: i8,
    /// The reading.
    pub reading: Reading<i32>,
}

/// Judges one observation.
pub fn assess(state: &mut State, observation: &Observation) -> Assessment {
    let cpu = observation.cpu.as_ref().ok().and_then(Option::as_ref);
    let shares = cpu.and_then(|cpu| state.processors.update(observation.uptime_ms, cpu.total));
    state.supply.update(observation);
    let cpu_busy = shares.map(|shares| shares.busy);
    let tally = vitals::vitals(observation, cpu_busy, &state.supply);
    let capacity = state.capacity.update(observation, state.config.pods);
    let pressures = state.pressures.update(observation);
    let (addresses, address_error) = state.addresses.update(observation, &state.config.addresses);
    let mut assessment = Assessment {
        uptime: Uptime::from_ms(observation.uptime_ms),
        vitals: tally.vitals,
        failures: tally.failures,
        conditions: state.conditions.update(conditions::Tick {
            observation,
            pressures,
            config: state.config.conditions,
            supply: &state.supply,
            shares,
        }),
        custom: Statuses::default(),
        rules: Arc::clone(&state.config.rules),
        sensors: sensors(observation),
        allocatable: capacity::allocatable(&capacity, &state.config),
        capacity,
        addresses,
        address_error,
    };
    let value = |name: &str| {
        readings(observation, &assessment)
            .find(|reading| reading.name == name)
            .map_or(Value::Absent, |reading| reading.value)
    };
    let now_ms = observation.uptime_ms;
    assessment.custom = state.latches.update(&assessment.rules, value, now_ms);
    assessment
}

fn sensors(observation: &Observation) -> Vec<Sensor> {
    let zones = zones::other_zones(observation).into_iter();
    let of_zones = zones.map(|(name, zone)| Sensor {
        name,
        unit: Unit::Celsius,
        exponent: -1,
        reading: match &zone.temperature_milli_celsius {
            Ok(milli_celsius) => Ok(milli_celsius.map(|milli_celsius| milli_celsius / 100)),
            Err(err) => Err(err.clone()),
        },
    });
    // What was asked for stands first: what is beyond the wire's bound is left out.
    let configured = observation.sensors.iter().map(sensor);
    let is_taken = |name: &str| {
        let mut configured = observation.sensors.iter();
        configured.any(|sensor| &*sensor.name == name)
    };
    let found = observation.found.iter();
    let found = found.filter(|found| !is_taken(&found.name));
    configured
        .chain(of_zones)
        .chain(found.map(sensor))
        .collect()
}

fn sensor(named: &Named) -> Sensor {
    Sensor {
        name: named.name.clone(),
        unit: named.unit,
        exponent: named.exponent,
        reading: named.reading.clone(),
    }
}

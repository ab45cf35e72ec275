//! Stage 2: judges what was observed.
//!
//! From the previous and the present observation and the thresholds come rates, capacity,
//! addresses and conditions. Pure: no IO, and the only time is the observation's own uptime, so a
//! test is a list of observations.

pub mod thresholds;
pub mod eviction;
pub mod capacity;
mod addresses;
mod zones;
mod rates;
mod finding;
mod pressure;
mod vitals;
mod conditions;

use nodling_protocol::facts::AddressKind;
use nodling_protocol::units::{Unit, Uptime};
use nodling_protocol::{Statuses, Vitals};

use crate::observe::{Observation, ReadError, Reading};
use capacity::{Amount, Pods, Reserved};
use thresholds::Thresholds;

/// What the configuration says about judging; each part has its own file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Below which amounts a pressure begins.
    pub thresholds: Thresholds,
    /// What is kept back for others than pods.
    pub reserved: Reserved,
    /// How many pods are offered.
    pub pods: Pods,
}

/// What must be remembered from one tick to the next.
#[derive(Clone, Debug, Default)]
pub struct State {
    config: Config,
    cpu_busy: rates::CpuBusy,
    pressures: pressure::Pressures,
    conditions: conditions::Conditions,
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
    /// The conditions that the board's owner defined.
    pub custom: Statuses,
    /// Readings that only this board has.
    pub sensors: Vec<Sensor>,
    /// What the board has.
    pub capacity: Vec<Amount>,
    /// What of it pods could use.
    pub allocatable: Vec<Amount>,
    /// Where the node can be reached, in the order in which Kubernetes is to list it.
    pub addresses: Vec<(AddressKind, Box<str>)>,
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
    let cpu_busy = cpu.and_then(|cpu| state.cpu_busy.update(observation.uptime_ms, cpu.total));
    let tally = vitals::vitals(observation, cpu_busy);
    let capacity = capacity::capacity(observation, state.config.pods);
    let pressures = state.pressures.update(observation);
    Assessment {
        uptime: Uptime::from_ms(observation.uptime_ms),
        vitals: tally.vitals,
        failures: tally.failures,
        conditions: state.conditions.update(observation, pressures),
        custom: Statuses::default(),
        sensors: sensors(observation),
        allocatable: capacity::allocatable(&capacity, &state.config),
        capacity,
        addresses: addresses::addresses(&observation.links, &observation.fixed.host.hostname),
    }
}

fn sensors(observation: &Observation) -> Vec<Sensor> {
    let zones = zones::other_zones(observation).into_iter();
    let sensors = zones.map(|(name, zone)| Sensor {
        name,
        unit: Unit::Celsius,
        exponent: -1,
        reading: match &zone.temperature_milli_celsius {
            Ok(milli_celsius) => Ok(milli_celsius.map(|milli_celsius| milli_celsius / 100)),
            Err(err) => Err(err.clone()),
        },
    });
    sensors.collect()
}

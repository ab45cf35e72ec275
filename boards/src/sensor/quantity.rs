//! What a sensor measures: name, unit, scale, and the range outside which a number is a fault.
//!
//! Readings are integers with a power of ten, chosen so that the last digit is about the chip's
//! resolution and no finer: a digit of noise costs bytes in every heartbeat.

use super::SensorError;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Electric current.
    Ampere,
    /// Degrees Celsius.
    Celsius,
    /// Concentration.
    PartsPerMillion,
    /// Newtons per square metre.
    Pascal,
    /// Hundredths of a whole.
    Percent,
    /// Electric tension.
    Volt,
    /// Power.
    Watt,
}

/// One of the quantities that a kind of sensor yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// For example `temperature`; unique within a kind.
    pub name: &'static str,
    /// Unit.
    pub unit: Unit,
    /// A value is multiplied by ten to this power.
    pub exponent: i8,
    /// The lowest value that the chip can mean.
    pub min: i32,
    /// The highest value that the chip can mean.
    pub max: i32,
}

impl Quantity {
    const fn new(name: &'static str, unit: Unit, exponent: i8, range: (i32, i32)) -> Self {
        let (min, max) = range;
        Self {
            name,
            unit,
            exponent,
            min,
            max,
        }
    }

    /// A value within the range, or that it is absurd.
    pub(super) fn check(&self, value: i64) -> Result<i32, SensorError> {
        i32::try_from(value)
            .ok()
            .filter(|value| (self.min..=self.max).contains(value))
            .ok_or(SensorError::Absurd)
    }
}

const fn temperature(min_celsius: i32, max_celsius: i32) -> Quantity {
    let range = (min_celsius * 100, max_celsius * 100);
    Quantity::new("temperature", Unit::Celsius, -2, range)
}

const HUMIDITY: Quantity = Quantity::new("humidity", Unit::Percent, -1, (0, 1000));
const PRESSURE: Quantity = Quantity::new("pressure", Unit::Pascal, 0, (30_000, 110_000));

const fn adc(name: &'static str) -> Quantity {
    // A little below zero is the offset of a grounded input.
    Quantity::new(name, Unit::Volt, -5, (-30_000, 614_400))
}

const fn current(max_ampere: i32) -> Quantity {
    let max = max_ampere * 10_000;
    Quantity::new("current", Unit::Ampere, -4, (-max, max))
}

const fn power(max_watt: i32) -> Quantity {
    let max = max_watt * 1000;
    Quantity::new("power", Unit::Watt, -3, (-max, max))
}

const fn voltage(max_millivolt: i32) -> Quantity {
    Quantity::new("voltage", Unit::Volt, -3, (0, max_millivolt))
}

pub(super) const ADS1115: &[Quantity] = &[
    adc("voltage0"),
    adc("voltage1"),
    adc("voltage2"),
    adc("voltage3"),
];
pub(super) const BME280: &[Quantity] = &[temperature(-40, 85), HUMIDITY, PRESSURE];
pub(super) const BMP280: &[Quantity] = &[temperature(-40, 85), PRESSURE];
/// At the smallest shunt, 1 mΩ, the full 320 mV are 320 A.
pub(super) const INA219: &[Quantity] = &[voltage(32_000), current(320), power(10_240)];
/// At the smallest shunt, 1 mΩ, the full 81.92 mV are 82 A.
pub(super) const INA226: &[Quantity] = &[voltage(40_960), current(82), power(3_360)];
pub(super) const MAX17048: &[Quantity] = &[
    voltage(5_120),
    Quantity::new("charge", Unit::Percent, -1, (0, 1000)),
];
pub(super) const MCP9808: &[Quantity] = &[temperature(-40, 125)];
pub(super) const SCD4X: &[Quantity] = &[
    // No air has none: 0 is what the chip says before it knows.
    Quantity::new("co2", Unit::PartsPerMillion, 0, (1, 40_000)),
    temperature(-10, 60),
    HUMIDITY,
];
pub(super) const SHT: &[Quantity] = &[temperature(-40, 125), HUMIDITY];
pub(super) const TMP: &[Quantity] = &[temperature(-55, 150)];

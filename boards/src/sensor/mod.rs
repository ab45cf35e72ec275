//! Sensors on I2C, driven from user space through `embedded-hal` 1.0.
//!
//! A [`Sensor`] is told which chip stands at which address and is read again and again. It sets
//! the chip up when it must: at first, and after an error, so that a device that was unplugged
//! comes back by itself. Numbers are integers from the datasheets' own arithmetic; one that the
//! chip cannot mean is an error, never a reading. Nothing here opens a bus or knows the time.

mod quantity;
mod device;
mod kind;
mod sensirion;
mod ads1115;
mod bme280;
mod ina2xx;
mod max17048;
mod mcp9808;
mod scd4x;
mod sht;
mod tmp102;
mod tmp117;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

pub use self::ads1115::FullScale;
use self::device::Device;
pub use self::ina2xx::Shunt;
pub use self::kind::Kind;
pub use self::quantity::{Quantity, Unit};

/// No sensor yields more quantities.
pub const QUANTITIES_MAX: usize = 4;

/// Why a sensor, or one quantity of it, has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SensorError {
    /// No device answers at the address.
    #[error("no device answers")]
    Nack,
    /// The bus failed in another way.
    #[error("the bus failed")]
    Bus,
    /// What arrived is not what was sent.
    #[error("wrong checksum")]
    Checksum,
    /// The chip has not measured yet; what was read before still holds.
    #[error("nothing is measured yet")]
    NotReady,
    /// Another chip than the one that was named.
    #[error("another chip answers, which says {found:#x}")]
    WrongChip {
        /// What it said where the chip's identity should stand.
        found: u16,
    },
    /// A number that the chip cannot mean, or an input beyond its range.
    #[error("a value beyond the chip's range")]
    Absurd,
}

/// The value of one quantity.
pub type Value = Result<i32, SensorError>;

/// What only some kinds need to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The resistor that a current flows through; INA219 and INA226.
    pub shunt: Shunt,
    /// The highest voltage that is told from the next; ADS1115.
    pub full_scale: FullScale,
}

/// What one read yielded, a value per quantity of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    quantities: &'static [Quantity],
    values: [Value; QUANTITIES_MAX],
}

impl Readings {
    fn new(kind: Kind, unchecked: &[Result<i64, SensorError>]) -> Self {
        let quantities = kind.quantities();
        let mut values = [Err(SensorError::NotReady); QUANTITIES_MAX];
        let checked = quantities
            .iter()
            .zip(unchecked)
            .map(|(quantity, value)| value.and_then(|value| quantity.check(value)));
        for (place, value) in values.iter_mut().zip(checked) {
            *place = value;
        }
        Self { quantities, values }
    }

    /// The values in the order of [`Kind::quantities`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static Quantity, Value)> {
        self.quantities.iter().zip(self.values)
    }
}

/// One chip at one address.
#[derive(Debug)]
pub struct Sensor {
    kind: Kind,
    address: u8,
    options: Options,
    driver: Driver,
}

/// What is remembered of a chip between reads.
#[derive(Debug)]
enum Driver {
    Ads1115(ads1115::Ads1115),
    Bosch(bme280::Bosch),
    Ina(ina2xx::Ina),
    Max17048(max17048::Max17048),
    Mcp9808(mcp9808::Mcp9808),
    Scd4x(scd4x::Scd4x),
    Sht(sht::Sht),
    Tmp102(tmp102::Tmp102),
    Tmp117(tmp117::Tmp117),
}

impl Driver {
    fn new(kind: Kind, options: Options) -> Self {
        match kind {
            Kind::Ads1115 => Self::Ads1115(ads1115::Ads1115::new(options.full_scale)),
            Kind::Bme280 => Self::Bosch(bme280::Bosch::new(bme280::Model::Bme280)),
            Kind::Bmp280 => Self::Bosch(bme280::Bosch::new(bme280::Model::Bmp280)),
            Kind::Ina219 => Self::Ina(ina2xx::Ina::new(ina2xx::Model::Ina219, options.shunt)),
            Kind::Ina226 => Self::Ina(ina2xx::Ina::new(ina2xx::Model::Ina226, options.shunt)),
            Kind::Max17048 => Self::Max17048(max17048::Max17048::default()),
            Kind::Mcp9808 => Self::Mcp9808(mcp9808::Mcp9808::default()),
            Kind::Scd4x => Self::Scd4x(scd4x::Scd4x::default()),
            Kind::Sht3x => Self::Sht(sht::Sht::Sht3x),
            Kind::Sht4x => Self::Sht(sht::Sht::Sht4x),
            Kind::Tmp102 | Kind::Tmp112 => Self::Tmp102(tmp102::Tmp102::new(tmp102::Model::Tmp102)),
            Kind::Tmp105 => Self::Tmp102(tmp102::Tmp102::new(tmp102::Model::Tmp105)),
            Kind::Tmp117 => Self::Tmp117(tmp117::Tmp117::default()),
        }
    }
}

impl Sensor {
    /// Touches no bus yet.
    pub fn new(kind: Kind, address: u8, options: Options) -> Self {
        Self {
            kind,
            address,
            options,
            driver: Driver::new(kind, options),
        }
    }

    /// Which chip it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its address on the bus.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// Measures; takes as long as the chip does, at most a second.
    pub fn read(
        &mut self,
        i2c: &mut impl I2c,
        delay: &mut impl DelayNs,
    ) -> Result<Readings, SensorError> {
        let mut device = Device {
            i2c,
            delay,
            address: self.address,
        };
        let device = &mut device;
        let kind = self.kind;
        let readings = match &mut self.driver {
            Driver::Ads1115(driver) => driver.read(device).map(|all| Readings::new(kind, &all)),
            Driver::Bosch(driver) => driver
                .read(device)
                .map(|all| Readings::new(kind, all.as_slice())),
            Driver::Ina(driver) => driver.read(device).map(|all| Readings::new(kind, &all)),
            Driver::Max17048(driver) => driver.read(device).map(|all| Readings::new(kind, &all)),
            Driver::Mcp9808(driver) => driver.read(device).map(|one| Readings::new(kind, &[one])),
            Driver::Scd4x(driver) => driver.read(device).map(|all| Readings::new(kind, &all)),
            Driver::Sht(driver) => driver.read(device).map(|all| Readings::new(kind, &all)),
            Driver::Tmp102(driver) => driver.read(device).map(|one| Readings::new(kind, &[one])),
            Driver::Tmp117(driver) => driver.read(device).map(|one| Readings::new(kind, &[one])),
        };
        match readings {
            // Whatever stands at the address next may be another device, or a fresh one.
            Err(err) if err != SensorError::NotReady => {
                self.driver = Driver::new(kind, self.options);
            }
            Ok(_) | Err(_) => {}
        }
        readings
    }
}

#[cfg(test)]
mod tests;

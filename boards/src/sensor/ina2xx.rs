//! Texas Instruments INA219 and INA226: voltage of a bus, and current through a shunt.
//!
//! Current and power are computed here from the two voltages. The chips could do so themselves
//! with a calibration register, which a supply that falters clears unseen.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

const CONFIGURATION: u8 = 0x00;
const SHUNT_VOLTAGE: u8 = 0x01;
const BUS_VOLTAGE: u8 = 0x02;
/// Of the INA226 only.
const MANUFACTURER_ID: u8 = 0xFE;
/// Of the INA226 only.
const DIE_ID: u8 = 0xFF;

/// Both after power-on: widest ranges, converted continuously.
const INA219_CONFIGURATION: u16 = 0x399F;
const INA226_CONFIGURATION: u16 = 0x4127;

const TEXAS_INSTRUMENTS: u16 = 0x5449;
/// Without the last four bits, which count revisions.
const INA226_IDENTITY: u16 = 0x2260;

/// The resistor that the current flows through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shunt {
    milliohm: u32,
}

impl Shunt {
    /// 1 mΩ to 100 Ω; nobody measures with less or more.
    pub fn try_new(milliohm: u32) -> Option<Self> {
        (1..=100_000)
            .contains(&milliohm)
            .then_some(Self { milliohm })
    }

    /// Its resistance.
    pub const fn milliohm(self) -> u32 {
        self.milliohm
    }
}

impl Default for Shunt {
    /// 0.1 Ω, as on nearly every module.
    fn default() -> Self {
        Self { milliohm: 100 }
    }
}

/// Which of the two; scales differ, and only one has an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Ina219,
    Ina226,
}

/// A chip with its shunt.
#[derive(Debug)]
pub(super) struct Ina {
    model: Model,
    shunt: Shunt,
    is_known: bool,
}

impl Ina {
    pub(super) fn new(model: Model, shunt: Shunt) -> Self {
        Self {
            model,
            shunt,
            is_known: false,
        }
    }

    pub(super) fn read<I: I2c, D: DelayNs>(
        &mut self,
        device: &mut Device<'_, I, D>,
    ) -> Result<[Result<i64, SensorError>; 3], SensorError> {
        if self.model == Model::Ina226 && !self.is_known {
            identify(device)?;
            self.is_known = true;
        }
        self.set_up(device)?;
        let shunt = device.word(SHUNT_VOLTAGE)?.cast_signed();
        let bus = device.word(BUS_VOLTAGE)?;
        let voltage = match self.model {
            // 4 mV each, above three bits of flags.
            Model::Ina219 => i64::from(bus >> 3) * 4,
            // 1.25 mV each.
            Model::Ina226 => round_div(i64::from(bus) * 5, 4),
        };
        let current = self.current(shunt);
        // Millivolts times tenths of milliamperes.
        let power = current.map(|current| round_div(voltage * current, 10_000));
        Ok([Ok(voltage), current, power])
    }

    /// In tenths of milliamperes.
    fn current(&self, raw: i16) -> Result<i64, SensorError> {
        let (clipped, tenths_times_milliohm) = match self.model {
            // 10 µV each, up to 320 mV.
            Model::Ina219 => (raw.unsigned_abs() >= 32_000, 100),
            // 2.5 µV each.
            Model::Ina226 => (raw == i16::MAX || raw == i16::MIN, 25),
        };
        if clipped {
            return Err(SensorError::Absurd);
        }
        let milliohm = i64::from(self.shunt.milliohm);
        Ok(round_div(i64::from(raw) * tenths_times_milliohm, milliohm))
    }

    /// Makes sure that the ranges are the ones that are reckoned with.
    fn set_up<I: I2c, D: DelayNs>(&self, device: &mut Device<'_, I, D>) -> Result<(), SensorError> {
        let (wanted, conversion_ms) = match self.model {
            Model::Ina219 => (INA219_CONFIGURATION, 2),
            Model::Ina226 => (INA226_CONFIGURATION, 3),
        };
        let found = device.word(CONFIGURATION)?;
        if found == wanted {
            return Ok(());
        }
        if self.model == Model::Ina219 && found == INA226_CONFIGURATION {
            return Err(SensorError::WrongChip { found });
        }
        device.write_word(CONFIGURATION, wanted)?;
        match device.word(CONFIGURATION)? {
            taken if taken == wanted => {
                device.wait_ms(conversion_ms);
                Ok(())
            }
            _ => Err(SensorError::WrongChip { found }),
        }
    }
}

fn identify<I: I2c, D: DelayNs>(device: &mut Device<'_, I, D>) -> Result<(), SensorError> {
    let found = device.word(MANUFACTURER_ID)?;
    if found != TEXAS_INSTRUMENTS {
        return Err(SensorError::WrongChip { found });
    }
    match device.word(DIE_ID)? {
        found if found & 0xFFF0 == INA226_IDENTITY => Ok(()),
        found => Err(SensorError::WrongChip { found }),
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use super::Shunt;
    use crate::sensor::tests::{Bench, expect, no_acknowledge, read_once};
    use crate::sensor::{Kind, Options, SensorError};

    fn register(register: u8, word: u16) -> Transaction {
        Transaction::write_read(0x40, vec![register], word.to_be_bytes().to_vec())
    }

    fn ina219(shunt: u16, bus: u16) -> [Transaction; 3] {
        [register(0, 0x399F), register(1, shunt), register(2, bus)]
    }

    fn with_shunt(kind: Kind, milliohm: u32) -> Bench {
        let shunt = Shunt::try_new(milliohm).unwrap();
        let options = Options {
            shunt,
            ..Options::default()
        };
        Bench::with_options(kind, options)
    }

    #[test]
    fn the_datasheets_load_of_ten_amperes_is_read() {
        // INA219, section 8.5.2: 2 mΩ, 20 mV across it, 11.98 V: 10 A and 119.8 W.
        let mut bench = with_shunt(Kind::Ina219, 2);
        expect(
            bench.read(&ina219(0x07D0, 0x5D98)),
            &[Ok(11_980), Ok(100_000), Ok(119_800)],
        );
    }

    #[test]
    fn a_current_may_flow_backwards() {
        let mut bench = Bench::new(Kind::Ina219);
        // −320 mV + 1 bit across 0.1 Ω, at 5 V.
        expect(
            bench.read(&ina219(0x8301, 0x2710)),
            &[Ok(5_000), Ok(-31_999), Ok(-16_000)],
        );
    }

    #[test]
    fn a_current_beyond_the_range_leaves_the_voltage() {
        let mut bench = Bench::new(Kind::Ina219);
        let clipped = Err(SensorError::Absurd);
        for shunt in [0x7D00, 0x8300, 0x8000] {
            expect(
                bench.read(&ina219(shunt, 0x2710)),
                &[Ok(5_000), clipped, clipped],
            );
        }
    }

    #[test]
    fn an_ina219_that_somebody_set_otherwise_is_set_right() {
        let mut bench = Bench::new(Kind::Ina219);
        let exchange = [
            register(0, 0x019F),
            Transaction::write(0x40, vec![0, 0x39, 0x9F]),
            register(0, 0x399F),
            register(1, 1_000),
            register(2, 0x2710),
        ];
        expect(bench.read(&exchange), &[Ok(5_000), Ok(1_000), Ok(500)]);
    }

    #[test]
    fn an_ina226_in_the_place_of_an_ina219_is_named() {
        let result = read_once(Kind::Ina219, &[register(0, 0x4127)]);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x4127 }));
        let exchange = [
            register(0, 0x1100),
            Transaction::write(0x40, vec![0, 0x39, 0x9F]),
            register(0, 0x1100),
        ];
        let result = read_once(Kind::Ina219, &exchange);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x1100 }));
    }

    #[test]
    fn an_ina226_identifies_itself_and_has_finer_scales() {
        // Its datasheet's example: 2 mΩ, 20 mV, 11.98 V (0x2570): 10 A.
        let mut bench = with_shunt(Kind::Ina226, 2);
        let identity = [register(0xFE, 0x5449), register(0xFF, 0x2260)];
        let rest = [
            register(0, 0x4127),
            register(1, 0x1F40),
            register(2, 0x2570),
        ];
        let first: Vec<_> = identity.iter().chain(&rest).cloned().collect();
        let expected = [Ok(11_980), Ok(100_000), Ok(119_800)];
        expect(bench.read(&first), &expected);
        expect(bench.read(&rest), &expected);
        let gone = [register(0, 0).with_error(no_acknowledge())];
        assert_eq!(bench.read(&gone), Err(SensorError::Nack));
        expect(bench.read(&first), &expected);
        let clipped = Err(SensorError::Absurd);
        let rest = [
            register(0, 0x4127),
            register(1, 0x7FFF),
            register(2, 0xFFFF),
        ];
        expect(bench.read(&rest), &[clipped, clipped, clipped]);
    }

    #[test]
    fn another_chip_is_not_an_ina226() {
        let result = read_once(Kind::Ina226, &[register(0xFE, 0)]);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0 }));
        let exchange = [register(0xFE, 0x5449), register(0xFF, 0x2270)];
        let result = read_once(Kind::Ina226, &exchange);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x2270 }));
    }

    #[test]
    fn a_shunt_has_a_resistance() {
        assert_eq!(Shunt::default().milliohm(), 100);
        assert!(Shunt::try_new(0).is_none() && Shunt::try_new(100_001).is_none());
    }
}

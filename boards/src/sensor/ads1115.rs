//! Texas Instruments ADS1115: four voltages against ground, one conversion each per read.
//!
//! A conversion is started by writing the configuration and awaited by reading it back, which
//! also shows that it is this chip.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

const CONVERSION: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;

/// Written: start. Read: idle.
const OPERATIONAL: u16 = 0x8000;
/// Single shot, 128 samples a second, no comparator.
const SINGLE_SHOT: u16 = 0x0183;
/// A conversion takes 7.8 ms and up to a tenth more.
const CONVERSION_MS: u32 = 9;
/// What a slow chip is given on top, a millisecond each.
const PATIENCE: usize = 3;

/// The highest voltage that is told from the next; no input may exceed the chip's supply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullScale {
    /// ±6.144 V.
    Mv6144,
    /// ±4.096 V, for inputs up to 3.3 V.
    #[default]
    Mv4096,
    /// ±2.048 V.
    Mv2048,
    /// ±1.024 V.
    Mv1024,
    /// ±0.512 V.
    Mv512,
    /// ±0.256 V.
    Mv256,
}

impl FullScale {
    /// Every range, in the order of the chip's register.
    pub const ALL: [Self; 6] = [
        Self::Mv6144,
        Self::Mv4096,
        Self::Mv2048,
        Self::Mv1024,
        Self::Mv512,
        Self::Mv256,
    ];

    /// Finds the range with this end.
    pub fn from_millivolt(millivolt: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|range| range.millivolt() == millivolt)
    }

    /// The end of the range.
    pub const fn millivolt(self) -> u16 {
        match self {
            Self::Mv6144 => 6_144,
            Self::Mv4096 => 4_096,
            Self::Mv2048 => 2_048,
            Self::Mv1024 => 1_024,
            Self::Mv512 => 512,
            Self::Mv256 => 256,
        }
    }

    const fn bits(self) -> u16 {
        let gain = match self {
            Self::Mv6144 => 0,
            Self::Mv4096 => 1,
            Self::Mv2048 => 2,
            Self::Mv1024 => 3,
            Self::Mv512 => 4,
            Self::Mv256 => 5,
        };
        gain << 9
    }
}

/// A chip with its range.
#[derive(Debug)]
pub(super) struct Ads1115 {
    full_scale: FullScale,
}

impl Ads1115 {
    pub(super) fn new(full_scale: FullScale) -> Self {
        Self { full_scale }
    }

    pub(super) fn read<I: I2c, D: DelayNs>(
        &self,
        device: &mut Device<'_, I, D>,
    ) -> Result<[Result<i64, SensorError>; 4], SensorError> {
        let mut voltages = [Err(SensorError::NotReady); 4];
        for (input, voltage) in (0..).zip(&mut voltages) {
            *voltage = self.voltage(self.convert(device, input)?);
        }
        Ok(voltages)
    }

    fn convert<I: I2c, D: DelayNs>(
        &self,
        device: &mut Device<'_, I, D>,
        input: u16,
    ) -> Result<i16, SensorError> {
        let against_ground = (4 + input) << 12;
        let wanted = against_ground | self.full_scale.bits() | SINGLE_SHOT;
        device.write_word(CONFIGURATION, OPERATIONAL | wanted)?;
        device.wait_ms(CONVERSION_MS);
        for _ in 0..PATIENCE {
            let found = device.word(CONFIGURATION)?;
            if found & !OPERATIONAL != wanted {
                return Err(SensorError::WrongChip { found });
            }
            if found & OPERATIONAL != 0 {
                return Ok(device.word(CONVERSION)?.cast_signed());
            }
            device.wait_ms(1);
        }
        Err(SensorError::NotReady)
    }

    /// In units of 10 µV; at the end of the range the input may be anything beyond.
    fn voltage(&self, raw: i16) -> Result<i64, SensorError> {
        if raw == i16::MAX || raw == i16::MIN {
            return Err(SensorError::Absurd);
        }
        let full_scale = i64::from(self.full_scale.millivolt()) * 100;
        Ok(round_div(i64::from(raw) * full_scale, 32_768))
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use super::FullScale;
    use crate::sensor::tests::{Bench, expect, no_acknowledge, read_once};
    use crate::sensor::{Kind, Options, SensorError};

    fn conversion(configuration: u16, raw: u16) -> Vec<Transaction> {
        let [high, low] = configuration.to_be_bytes();
        vec![
            Transaction::write(0x48, vec![1, high, low]),
            register(1, configuration),
            register(0, raw),
        ]
    }

    fn register(register: u8, word: u16) -> Transaction {
        Transaction::write_read(0x48, vec![register], word.to_be_bytes().to_vec())
    }

    #[test]
    fn the_four_inputs_are_converted_in_turn() {
        let exchange = [
            conversion(0xC383, 0x6720),
            conversion(0xD383, 0x0001),
            conversion(0xE383, 0xFFFF),
            conversion(0xF383, 0x4000),
        ]
        .concat();
        // 125 µV each.
        expect(
            read_once(Kind::Ads1115, &exchange),
            &[Ok(330_000), Ok(13), Ok(-13), Ok(204_800)],
        );
    }

    #[test]
    fn an_input_beyond_the_range_leaves_the_others() {
        let options = Options {
            full_scale: FullScale::Mv256,
            ..Options::default()
        };
        let mut bench = Bench::with_options(Kind::Ads1115, options);
        let exchange = [
            conversion(0xCB83, 0x7FFF),
            conversion(0xDB83, 0x8000),
            conversion(0xEB83, 0x7FFE),
            conversion(0xFB83, 0),
        ]
        .concat();
        let clipped = Err(SensorError::Absurd);
        expect(
            bench.read(&exchange),
            &[clipped, clipped, Ok(25_598), Ok(0)],
        );
    }

    #[test]
    fn a_slow_conversion_is_awaited_and_an_endless_one_is_not() {
        let start = Transaction::write(0x48, vec![1, 0xC3, 0x83]);
        let busy = register(1, 0x4383);
        let mut exchange = vec![start.clone(), busy.clone(), busy.clone()];
        exchange.extend([register(1, 0xC383), register(0, 0)]);
        for configuration in [0xD383, 0xE383, 0xF383] {
            exchange.extend(conversion(configuration, 0));
        }
        expect(read_once(Kind::Ads1115, &exchange), &[Ok(0); 4]);
        let endless = [start, busy.clone(), busy.clone(), busy];
        let result = read_once(Kind::Ads1115, &endless);
        assert_eq!(result, Err(SensorError::NotReady));
    }

    #[test]
    fn another_chip_is_named_and_an_empty_place_told() {
        let start = Transaction::write(0x48, vec![1, 0xC3, 0x83]);
        let result = read_once(Kind::Ads1115, &[start.clone(), register(1, 0x60A0)]);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x60A0 }));
        let result = read_once(Kind::Ads1115, &[start.with_error(no_acknowledge())]);
        assert_eq!(result, Err(SensorError::Nack));
    }

    #[test]
    fn every_range_is_found_by_its_end() {
        for range in FullScale::ALL {
            assert_eq!(FullScale::from_millivolt(range.millivolt()), Some(range));
        }
        assert_eq!(FullScale::from_millivolt(5_000), None);
    }
}

//! Texas Instruments TMP117: temperature in 1/128 of a degree, averaged and converted continuously.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

const TEMPERATURE: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;
const DEVICE_ID: u8 = 0x0F;

/// In the lower twelve bits; the others count revisions.
const IDENTITY: u16 = 0x117;
/// The two bits of the mode, and the value that is shutdown.
const MODE: (u16, u16) = (0x0C00, 0x0400);
/// Continuous, a result a second out of eight.
const CONTINUOUS: u16 = 0x0220;
/// What stands in the register before the first conversion: −256 °C.
const UNCONVERTED: u16 = 0x8000;

/// Whether it is known to measure.
#[derive(Debug, Default)]
pub(super) struct Tmp117 {
    is_set_up: bool,
}

impl Tmp117 {
    pub(super) fn read<I: I2c, D: DelayNs>(
        &mut self,
        device: &mut Device<'_, I, D>,
    ) -> Result<Result<i64, SensorError>, SensorError> {
        if !self.is_set_up {
            let found = device.word(DEVICE_ID)?;
            if found & 0x0FFF != IDENTITY {
                return Err(SensorError::WrongChip { found });
            }
            let (mask, shutdown) = MODE;
            if device.word(CONFIGURATION)? & mask == shutdown {
                device.write_word(CONFIGURATION, CONTINUOUS)?;
            }
            self.is_set_up = true;
        }
        match device.word(TEMPERATURE)? {
            UNCONVERTED => Err(SensorError::NotReady),
            raw => Ok(Ok(round_div(i64::from(raw.cast_signed()) * 100, 128))),
        }
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use crate::sensor::tests::{Bench, expect, no_acknowledge, read_once};
    use crate::sensor::{Kind, SensorError};

    fn register(register: u8, word: u16) -> Transaction {
        Transaction::write_read(0x48, vec![register], word.to_be_bytes().to_vec())
    }

    #[test]
    fn temperatures_are_the_datasheets() {
        let mut bench = Bench::new(Kind::Tmp117);
        let first = [
            register(0x0F, 0x0117),
            register(1, 0x0220),
            register(0, 0x0C80),
        ];
        expect(bench.read(&first), &[Ok(2_500)]);
        for (raw, expected) in [
            (0x4B00, Ok(15_000)),
            (0x3200, Ok(10_000)),
            (0x0080, Ok(100)),
            (0x0001, Ok(1)),
            (0x0000, Ok(0)),
            (0xFFFF, Ok(-1)),
            (0xF380, Ok(-2_500)),
            (0xE480, Ok(-5_500)),
            (0x4C00, Err(SensorError::Absurd)),
            (0x8001, Err(SensorError::Absurd)),
        ] {
            expect(bench.read(&[register(0, raw)]), &[expected]);
        }
    }

    #[test]
    fn before_the_first_conversion_there_is_no_reading() {
        let mut bench = Bench::new(Kind::Tmp117);
        let first = [
            register(0x0F, 0x1117),
            register(1, 0x0220),
            register(0, 0x8000),
        ];
        assert_eq!(bench.read(&first), Err(SensorError::NotReady));
        expect(bench.read(&[register(0, 0x0C80)]), &[Ok(2_500)]);
    }

    #[test]
    fn a_chip_that_sleeps_is_woken() {
        let exchange = [
            register(0x0F, 0x0117),
            register(1, 0x0620),
            Transaction::write(0x48, vec![1, 0x02, 0x20]),
            register(0, 0x0C80),
        ];
        expect(read_once(Kind::Tmp117, &exchange), &[Ok(2_500)]);
    }

    #[test]
    fn another_chip_is_named_and_asked_again_after_it_was_replaced() {
        let mut bench = Bench::new(Kind::Tmp117);
        let wrong = [register(0x0F, 0x7500)];
        let found = SensorError::WrongChip { found: 0x7500 };
        assert_eq!(bench.read(&wrong), Err(found));
        let gone = [register(0x0F, 0).with_error(no_acknowledge())];
        assert_eq!(bench.read(&gone), Err(SensorError::Nack));
        let right = [
            register(0x0F, 0x0117),
            register(1, 0x0220),
            register(0, 0x0C80),
        ];
        expect(bench.read(&right), &[Ok(2_500)]);
    }
}

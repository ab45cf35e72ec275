//! Texas Instruments TMP102 and TMP112, and TMP105, TMP75 and TMP175: temperature in sixteenths of
//! a degree, converted continuously by the chip itself.
//!
//! The configuration is read with each temperature: it tells a chip that lost its power, or that
//! somebody sent to sleep, from one that measures.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

const TEMPERATURE: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;

/// Resolution of twelve bits; the chips with two bytes have no other.
const TWELVE_BITS: u8 = 0x60;
/// What of a temperature of twelve bits is always 0.
const BELOW_TWELVE_BITS: i16 = 0xF;
/// Shutdown, in the first byte.
const SHUTDOWN: u8 = 0x01;
/// Thirteen bits instead of twelve, in the second byte.
const EXTENDED: u8 = 0x10;

/// What the configuration register is like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Model {
    /// Two bytes, twelve bits from the start; TMP112 too.
    Tmp102,
    /// One byte, nine bits until told otherwise.
    Tmp105,
}

/// A chip, and whether it had the time to convert.
#[derive(Debug)]
pub(super) struct Tmp102 {
    model: Model,
    has_converted: bool,
}

impl Tmp102 {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            has_converted: false,
        }
    }

    pub(super) fn read<I: I2c, D: DelayNs>(
        &mut self,
        device: &mut Device<'_, I, D>,
    ) -> Result<Result<i64, SensorError>, SensorError> {
        if !self.is_converting(device)? {
            match self.model {
                Model::Tmp102 => device.write(&[CONFIGURATION, TWELVE_BITS, 0xA0])?,
                Model::Tmp105 => device.write(&[CONFIGURATION, TWELVE_BITS])?,
            }
            if !self.is_converting(device)? {
                let found = device.word(CONFIGURATION)?;
                return Err(SensorError::WrongChip { found });
            }
            self.has_converted = false;
        }
        if !self.has_converted {
            // Before the first conversion the register says 0 °C.
            device.wait_ms(match self.model {
                Model::Tmp102 => 35,
                Model::Tmp105 => 300,
            });
            self.has_converted = true;
        }
        let raw = device.word(TEMPERATURE)?.cast_signed();
        Ok(if raw & BELOW_TWELVE_BITS == 0 {
            Ok(round_div(i64::from(raw) * 100, 256))
        } else {
            Err(SensorError::Absurd)
        })
    }

    fn is_converting<I: I2c, D: DelayNs>(
        &self,
        device: &mut Device<'_, I, D>,
    ) -> Result<bool, SensorError> {
        let (first, second) = match self.model {
            Model::Tmp102 => {
                let [first, second] = device.registers(CONFIGURATION)?;
                (first, second)
            }
            Model::Tmp105 => (device.register(CONFIGURATION)?, 0),
        };
        Ok(first & (TWELVE_BITS | SHUTDOWN) == TWELVE_BITS && second & EXTENDED == 0)
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use crate::sensor::tests::{Bench, expect, no_acknowledge, read_once};
    use crate::sensor::{Kind, SensorError};

    fn register(register: u8, bytes: &[u8]) -> Transaction {
        Transaction::write_read(0x48, vec![register], bytes.to_vec())
    }

    #[test]
    fn temperatures_are_the_datasheets() {
        // Table 8-2 of the TMP102's, which the TMP105's repeats.
        for (raw, expected) in [
            ([0x7F, 0xF0], 12_794),
            ([0x64, 0x00], 10_000),
            ([0x50, 0x00], 8_000),
            ([0x4B, 0x00], 7_500),
            ([0x32, 0x00], 5_000),
            ([0x19, 0x00], 2_500),
            ([0x00, 0x40], 25),
            ([0x00, 0x00], 0),
            ([0xFF, 0xC0], -25),
            ([0xE7, 0x00], -2_500),
            ([0xC9, 0x00], -5_500),
        ] {
            for kind in [Kind::Tmp102, Kind::Tmp112] {
                let exchange = [register(1, &[0x60, 0xA0]), register(0, &raw)];
                expect(read_once(kind, &exchange), &[Ok(expected)]);
            }
            let exchange = [register(1, &[0x60]), register(0, &raw)];
            expect(read_once(Kind::Tmp105, &exchange), &[Ok(expected)]);
        }
    }

    #[test]
    fn a_fresh_tmp105_is_told_to_use_all_its_bits() {
        let mut bench = Bench::new(Kind::Tmp105);
        let exchange = [
            register(1, &[0x00]),
            Transaction::write(0x48, vec![1, 0x60]),
            register(1, &[0x60]),
            register(0, &[0x3F, 0x80]),
        ];
        expect(bench.read(&exchange), &[Ok(6_350)]);
        let exchange = [register(1, &[0x60]), register(0, &[0x14, 0x80])];
        expect(bench.read(&exchange), &[Ok(2_050)]);
    }

    #[test]
    fn a_tmp102_that_sleeps_or_counts_in_thirteen_bits_is_set_right() {
        for wrong in [[0x61, 0xA0], [0x60, 0xB0]] {
            let exchange = [
                register(1, &wrong),
                Transaction::write(0x48, vec![1, 0x60, 0xA0]),
                register(1, &[0x60, 0xA0]),
                register(0, &[0x19, 0x00]),
            ];
            expect(read_once(Kind::Tmp102, &exchange), &[Ok(2_500)]);
        }
    }

    #[test]
    fn a_chip_that_does_not_take_the_configuration_is_another() {
        let exchange = [
            register(1, &[0x12, 0x34]),
            Transaction::write(0x48, vec![1, 0x60, 0xA0]),
            register(1, &[0x12, 0x34]),
            register(1, &[0x12, 0x34]),
        ];
        let result = read_once(Kind::Tmp102, &exchange);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x1234 }));
    }

    #[test]
    fn a_chip_that_was_unplugged_is_set_up_again() {
        let mut bench = Bench::new(Kind::Tmp105);
        let exchange = [register(1, &[0x60]), register(0, &[0x19, 0x00])];
        expect(bench.read(&exchange), &[Ok(2_500)]);
        let gone = [register(1, &[0]).with_error(no_acknowledge())];
        assert_eq!(bench.read(&gone), Err(SensorError::Nack));
        let fresh = [
            register(1, &[0x00]),
            Transaction::write(0x48, vec![1, 0x60]),
            register(1, &[0x60]),
            register(0, &[0x19, 0x00]),
        ];
        expect(bench.read(&fresh), &[Ok(2_500)]);
    }

    #[test]
    fn bits_that_are_always_zero_are() {
        let exchange = [register(1, &[0x60, 0xA0]), register(0, &[0x19, 0x01])];
        expect(
            read_once(Kind::Tmp102, &exchange),
            &[Err(SensorError::Absurd)],
        );
    }
}

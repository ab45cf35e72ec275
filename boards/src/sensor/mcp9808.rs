//! Microchip MCP9808: temperature in sixteenths of a degree, converted continuously.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

const CONFIGURATION: u8 = 0x01;
const TEMPERATURE: u8 = 0x05;
const MANUFACTURER_ID: u8 = 0x06;
const DEVICE_ID: u8 = 0x07;

const MICROCHIP: u16 = 0x0054;
/// In the upper byte; the lower one counts revisions.
const IDENTITY: u16 = 0x0400;
const SHUTDOWN: u16 = 0x0100;

/// Whether it is known to measure.
#[derive(Debug, Default)]
pub(super) struct Mcp9808 {
    is_set_up: bool,
}

impl Mcp9808 {
    pub(super) fn read<I: I2c, D: DelayNs>(
        &mut self,
        device: &mut Device<'_, I, D>,
    ) -> Result<Result<i64, SensorError>, SensorError> {
        if !self.is_set_up {
            let found = device.word(MANUFACTURER_ID)?;
            if found != MICROCHIP {
                return Err(SensorError::WrongChip { found });
            }
            let found = device.word(DEVICE_ID)?;
            if found & 0xFF00 != IDENTITY {
                return Err(SensorError::WrongChip { found });
            }
            if device.word(CONFIGURATION)? & SHUTDOWN != 0 {
                device.write_word(CONFIGURATION, 0)?;
            }
            // Before the first conversion the register says 0 °C.
            device.wait_ms(300);
            self.is_set_up = true;
        }
        // Three bits tell of alarms; the rest is two's complement of thirteen bits.
        let raw = (device.word(TEMPERATURE)? << 3).cast_signed() >> 3;
        Ok(Ok(round_div(i64::from(raw) * 100, 16)))
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use crate::sensor::tests::{Bench, expect, no_acknowledge, read_once};
    use crate::sensor::{Kind, SensorError};

    fn register(register: u8, word: u16) -> Transaction {
        Transaction::write_read(0x18, vec![register], word.to_be_bytes().to_vec())
    }

    fn setup() -> [Transaction; 3] {
        [register(6, 0x0054), register(7, 0x0400), register(1, 0)]
    }

    #[test]
    fn a_temperature_has_a_sign_bit_and_flags_before_it() {
        let mut bench = Bench::new(Kind::Mcp9808);
        let [maker, chip, configuration] = setup();
        let first = [maker, chip, configuration, register(5, 0xC190)];
        expect(bench.read(&first), &[Ok(2_500)]);
        for (raw, expected) in [
            (0x0190, Ok(2_500)),
            (0xE194, Ok(2_525)),
            (0x1FFC, Ok(-25)),
            (0x1E70, Ok(-2_500)),
            (0x1D80, Ok(-4_000)),
            (0x07D0, Ok(12_500)),
            (0x07E0, Err(SensorError::Absurd)),
            (0x1D70, Err(SensorError::Absurd)),
            (0xFFFF, Ok(-6)),
        ] {
            expect(bench.read(&[register(5, raw)]), &[expected]);
        }
    }

    #[test]
    fn a_chip_that_sleeps_is_woken() {
        let exchange = [
            register(6, 0x0054),
            register(7, 0x0401),
            register(1, 0x0100),
            Transaction::write(0x18, vec![1, 0, 0]),
            register(5, 0x0190),
        ];
        expect(read_once(Kind::Mcp9808, &exchange), &[Ok(2_500)]);
    }

    #[test]
    fn another_maker_or_chip_is_named() {
        let result = read_once(Kind::Mcp9808, &[register(6, 0xFFFF)]);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0xFFFF }));
        let exchange = [register(6, 0x0054), register(7, 0x0500)];
        let result = read_once(Kind::Mcp9808, &exchange);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x0500 }));
    }

    #[test]
    fn a_chip_that_was_unplugged_is_set_up_again() {
        let mut bench = Bench::new(Kind::Mcp9808);
        for _ in 0..2 {
            let [maker, chip, configuration] = setup();
            let first = [maker, chip, configuration, register(5, 0x0190)];
            expect(bench.read(&first), &[Ok(2_500)]);
            let gone = [register(5, 0).with_error(no_acknowledge())];
            assert_eq!(bench.read(&gone), Err(SensorError::Nack));
        }
    }
}

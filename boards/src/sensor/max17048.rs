//! Maxim MAX17048: voltage and charge of one lithium cell, from the chip's own model of it.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

const VCELL: u8 = 0x02;
const SOC: u8 = 0x04;
const VERSION: u8 = 0x08;

/// Without the last four bits, which count revisions.
const IDENTITY: u16 = 0x0010;
/// The model counts a little past full when a full cell rests; further is a fault.
const OVERFULL_PERMILLE_MAX: i64 = 1_100;

/// Whether the chip has said who it is.
#[derive(Debug, Default)]
pub(super) struct Max17048 {
    is_known: bool,
}

impl Max17048 {
    pub(super) fn read<I: I2c, D: DelayNs>(
        &mut self,
        device: &mut Device<'_, I, D>,
    ) -> Result<[Result<i64, SensorError>; 2], SensorError> {
        if !self.is_known {
            let found = device.word(VERSION)?;
            if found & 0xFFF0 != IDENTITY {
                return Err(SensorError::WrongChip { found });
            }
            self.is_known = true;
        }
        // 78.125 µV each.
        let voltage = round_div(i64::from(device.word(VCELL)?) * 5, 64);
        // 1/256 % each.
        let charge = round_div(i64::from(device.word(SOC)?) * 10, 256);
        let charge = match charge {
            1_000..=OVERFULL_PERMILLE_MAX => 1_000,
            charge => charge,
        };
        Ok([Ok(voltage), Ok(charge)])
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use crate::sensor::tests::{Bench, expect, no_acknowledge, read_once};
    use crate::sensor::{Kind, SensorError};

    fn register(register: u8, word: u16) -> Transaction {
        Transaction::write_read(0x36, vec![register], word.to_be_bytes().to_vec())
    }

    #[test]
    fn a_cell_has_a_voltage_and_a_charge() {
        let mut bench = Bench::new(Kind::Max17048);
        let first = [
            register(8, 0x0012),
            register(2, 0xBA00),
            register(4, 0x3280),
        ];
        expect(bench.read(&first), &[Ok(3_720), Ok(505)]);
        for (voltage, charge, expected) in [
            (0xD200, 0x6400, [Ok(4_200), Ok(1_000)]),
            (0xD200, 0x6733, [Ok(4_200), Ok(1_000)]),
            (0x0000, 0x0000, [Ok(0), Ok(0)]),
            (0xFFFF, 0x7000, [Ok(5_120), Err(SensorError::Absurd)]),
        ] {
            let exchange = [register(2, voltage), register(4, charge)];
            expect(bench.read(&exchange), &expected);
        }
    }

    #[test]
    fn another_gauge_is_named() {
        // A MAX17043, which has another scale.
        let result = read_once(Kind::Max17048, &[register(8, 0x0003)]);
        assert_eq!(result, Err(SensorError::WrongChip { found: 3 }));
    }

    #[test]
    fn a_gauge_that_was_unplugged_says_again_who_it_is() {
        let mut bench = Bench::new(Kind::Max17048);
        for _ in 0..2 {
            let first = [
                register(8, 0x0012),
                register(2, 0xBA00),
                register(4, 0x3280),
            ];
            expect(bench.read(&first), &[Ok(3_720), Ok(505)]);
            let gone = [register(2, 0).with_error(no_acknowledge())];
            assert_eq!(bench.read(&gone), Err(SensorError::Nack));
        }
    }
}

//! One device on a bus: registers, commands and waits, with errors that a driver can judge.
//!
//! Every exchange is one message or one write and one read with a repeated start: adapters without
//! `I2C_FUNC_NOSTART` cannot do more.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{Error, ErrorKind, I2c};

use super::SensorError;

/// A device for the time of one read.
pub(super) struct Device<'b, I, D> {
    pub(super) i2c: &'b mut I,
    pub(super) delay: &'b mut D,
    pub(super) address: u8,
}

impl<I: I2c, D: DelayNs> Device<'_, I, D> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SensorError> {
        self.i2c.write(self.address, bytes).map_err(judge)
    }

    pub(super) fn read<const N: usize>(&mut self) -> Result<[u8; N], SensorError> {
        let mut bytes = [0; N];
        self.i2c.read(self.address, &mut bytes).map_err(judge)?;
        Ok(bytes)
    }

    /// Reads from a register on.
    pub(super) fn registers<const N: usize>(
        &mut self,
        register: u8,
    ) -> Result<[u8; N], SensorError> {
        let mut bytes = [0; N];
        self.i2c
            .write_read(self.address, &[register], &mut bytes)
            .map_err(judge)?;
        Ok(bytes)
    }

    pub(super) fn register(&mut self, register: u8) -> Result<u8, SensorError> {
        let [byte] = self.registers(register)?;
        Ok(byte)
    }

    /// Reads a register of two bytes, the higher one first.
    pub(super) fn word(&mut self, register: u8) -> Result<u16, SensorError> {
        Ok(u16::from_be_bytes(self.registers(register)?))
    }

    /// Writes a register of two bytes, the higher one first.
    pub(super) fn write_word(&mut self, register: u8, word: u16) -> Result<(), SensorError> {
        let [high, low] = word.to_be_bytes();
        self.write(&[register, high, low])
    }

    pub(super) fn wait_ms(&mut self, ms: u32) {
        self.delay.delay_ms(ms);
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn judge(err: impl Error) -> SensorError {
    if matches!(err.kind(), ErrorKind::NoAcknowledge(_)) {
        SensorError::Nack
    } else {
        SensorError::Bus
    }
}

/// Divides and rounds to the nearest, halves away from zero.
pub(super) const fn round_div(dividend: i64, divisor: i64) -> i64 {
    let half = divisor / 2;
    let is_negative = (dividend < 0) != (divisor < 0);
    if is_negative {
        (dividend - half) / divisor
    } else {
        (dividend + half) / divisor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_away_from_zero() {
        for (dividend, divisor, expected) in [
            (7, 2, 4),
            (-7, 2, -4),
            (5, 4, 1),
            (-5, 4, -1),
            (6, 4, 2),
            (-6, 4, -2),
            (0, 9, 0),
        ] {
            assert_eq!(
                round_div(dividend, divisor),
                expected,
                "{dividend}/{divisor}"
            );
        }
    }
}

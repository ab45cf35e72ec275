//! Sensirion `SHT3x` and `SHT4x`: temperature and humidity, one measurement per read.
//!
//! Single shot, highest repeatability, no clock stretching, which some adapters do badly. Between
//! reads the chip sleeps and remembers nothing, so there is nothing to set up.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};
use super::sensirion::{centi_celsius, command, permille, words};

/// Which of the two families; they differ in commands and in the scale of the humidity.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sht {
    Sht3x,
    Sht4x,
}

impl Sht {
    pub(super) fn read<I: I2c, D: DelayNs>(
        self,
        device: &mut Device<'_, I, D>,
    ) -> Result<[Result<i64, SensorError>; 2], SensorError> {
        match self {
            Self::Sht3x => {
                command(device, 0x2400)?;
                // 15.5 ms at the lowest supply.
                device.wait_ms(16);
            }
            Self::Sht4x => {
                device.write(&[0xFD])?;
                // 8.3 ms at most.
                device.wait_ms(10);
            }
        }
        let [temperature, humidity] = words(&device.read::<6>()?)?;
        let humidity = match self {
            Self::Sht3x => permille(humidity),
            // −6 % + 125 % × raw / (2^16 − 1); the datasheet wants the overhang cropped.
            Self::Sht4x => (round_div(1_250 * i64::from(humidity), 65_535) - 60).clamp(0, 1_000),
        };
        Ok([Ok(centi_celsius(temperature)), Ok(humidity)])
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use crate::sensor::sensirion::testing::answer;
    use crate::sensor::tests::{expect, no_acknowledge, read_once};
    use crate::sensor::{Kind, SensorError};

    #[test]
    fn an_sht3x_is_asked_once_per_read() {
        let values = read_once(
            Kind::Sht3x,
            &[
                Transaction::write(0x44, vec![0x24, 0x00]),
                Transaction::read(0x44, answer(&[0x6666, 0x8000])),
            ],
        );
        expect(values, &[Ok(2_500), Ok(500)]);
    }

    #[test]
    fn an_sht4x_has_a_scale_of_its_own_for_humidity() {
        for (raw, expected) in [(0x8000, 565), (0, 0), (0xFFFF, 1_000), (0x0C4A, 0)] {
            let values = read_once(
                Kind::Sht4x,
                &[
                    Transaction::write(0x44, vec![0xFD]),
                    Transaction::read(0x44, answer(&[0x6666, raw])),
                ],
            );
            expect(values, &[Ok(2_500), Ok(expected)]);
        }
    }

    #[test]
    fn a_wrong_checksum_is_no_reading() {
        let mut wrong = answer(&[0x6666, 0x8000]);
        wrong[5] ^= 1;
        let result = read_once(
            Kind::Sht3x,
            &[
                Transaction::write(0x44, vec![0x24, 0x00]),
                Transaction::read(0x44, wrong),
            ],
        );
        assert_eq!(result, Err(SensorError::Checksum));
    }

    #[test]
    fn nobody_at_the_address_is_told_from_a_broken_bus() {
        let write = Transaction::write(0x44, vec![0xFD]);
        let result = read_once(Kind::Sht4x, &[write.clone().with_error(no_acknowledge())]);
        assert_eq!(result, Err(SensorError::Nack));
        let lost = embedded_hal::i2c::ErrorKind::ArbitrationLoss;
        let result = read_once(Kind::Sht4x, &[write.with_error(lost)]);
        assert_eq!(result, Err(SensorError::Bus));
    }
}

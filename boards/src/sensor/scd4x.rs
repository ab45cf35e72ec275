//! Sensirion SCD40, SCD41 and SCD43: carbon dioxide, temperature and humidity every five seconds.
//!
//! The chip measures periodically by itself; starting anew at each read would cost it a minute of
//! warming up. Its own altitude and calibration settings are left alone.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::Device;
use super::sensirion::{centi_celsius, command, permille, words};

const START_PERIODIC_MEASUREMENT: u16 = 0x21B1;
const READ_MEASUREMENT: u16 = 0xEC05;
const STOP_PERIODIC_MEASUREMENT: u16 = 0x3F86;
const GET_DATA_READY_STATUS: u16 = 0xE4B8;
const GET_SERIAL_NUMBER: u16 = 0x3682;

/// Bits of the answer to [`GET_DATA_READY_STATUS`]; all 0 without a measurement.
const READY: u16 = 0x07FF;

/// Reads come no more often than measurements: this many without one, and the chip has lost its
/// power meanwhile and waits for a start.
const UNREADY_MAX: u8 = 3;

/// Whether it was started, and how often it had nothing since.
#[derive(Debug, Default)]
pub(super) struct Scd4x {
    is_started: bool,
    unready: u8,
}

impl Scd4x {
    pub(super) fn read<I: I2c, D: DelayNs>(
        &mut self,
        device: &mut Device<'_, I, D>,
    ) -> Result<[Result<i64, SensorError>; 3], SensorError> {
        if !self.is_started {
            start(device)?;
            *self = Self {
                is_started: true,
                unready: 0,
            };
            return Err(SensorError::NotReady);
        }
        let [ready] = words(&ask::<3, _, _>(device, GET_DATA_READY_STATUS)?)?;
        if ready & READY == 0 {
            self.unready += 1;
            self.is_started = self.unready < UNREADY_MAX;
            return Err(SensorError::NotReady);
        }
        self.unready = 0;
        let answer = ask::<9, _, _>(device, READ_MEASUREMENT)?;
        let [co2, temperature, humidity] = words(&answer)?;
        Ok([
            Ok(i64::from(co2)),
            Ok(centi_celsius(temperature)),
            Ok(permille(humidity)),
        ])
    }
}

/// From whatever state an earlier run left it in.
fn start<I: I2c, D: DelayNs>(device: &mut Device<'_, I, D>) -> Result<(), SensorError> {
    command(device, STOP_PERIODIC_MEASUREMENT)?;
    device.wait_ms(500);
    // No chip has an identity register; three good checksums are nearly one.
    let _: [u16; 3] = words(&ask::<9, _, _>(device, GET_SERIAL_NUMBER)?)?;
    command(device, START_PERIODIC_MEASUREMENT)
}

fn ask<const N: usize, I: I2c, D: DelayNs>(
    device: &mut Device<'_, I, D>,
    question: u16,
) -> Result<[u8; N], SensorError> {
    command(device, question)?;
    device.wait_ms(1);
    device.read()
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use crate::sensor::sensirion::testing::answer;
    use crate::sensor::tests::{Bench, expect, no_acknowledge};
    use crate::sensor::{Kind, SensorError};

    fn write(command: u16) -> Transaction {
        Transaction::write(0x62, command.to_be_bytes().to_vec())
    }

    fn read(words: &[u16]) -> Transaction {
        Transaction::read(0x62, answer(words))
    }

    fn start() -> [Transaction; 4] {
        [
            write(0x3F86),
            write(0x3682),
            read(&[0xF896, 0x9F07, 0x3BBE]),
            write(0x21B1),
        ]
    }

    fn measurement() -> [Transaction; 4] {
        // The datasheet's example: 500 ppm, 25 °C, 37 %.
        [
            write(0xE4B8),
            read(&[0x8006]),
            write(0xEC05),
            read(&[0x01F4, 0x6667, 0x5EB9]),
        ]
    }

    #[test]
    fn it_is_started_once_and_then_only_read() {
        let mut bench = Bench::new(Kind::Scd4x);
        assert_eq!(bench.read(&start()), Err(SensorError::NotReady));
        for _ in 0..3 {
            expect(bench.read(&measurement()), &[Ok(500), Ok(2_500), Ok(370)]);
        }
    }

    #[test]
    fn a_read_between_two_measurements_says_so() {
        let mut bench = Bench::new(Kind::Scd4x);
        assert_eq!(bench.read(&start()), Err(SensorError::NotReady));
        let unready = [write(0xE4B8), read(&[0x8000])];
        for _ in 0..2 {
            assert_eq!(bench.read(&unready), Err(SensorError::NotReady));
            assert_eq!(bench.read(&unready), Err(SensorError::NotReady));
            expect(bench.read(&measurement()), &[Ok(500), Ok(2_500), Ok(370)]);
        }
    }

    #[test]
    fn a_chip_that_lost_its_power_unseen_is_started_again() {
        let mut bench = Bench::new(Kind::Scd4x);
        assert_eq!(bench.read(&start()), Err(SensorError::NotReady));
        for _ in 0..3 {
            let unready = [write(0xE4B8), read(&[0x8000])];
            assert_eq!(bench.read(&unready), Err(SensorError::NotReady));
        }
        assert_eq!(bench.read(&start()), Err(SensorError::NotReady));
        expect(bench.read(&measurement()), &[Ok(500), Ok(2_500), Ok(370)]);
    }

    #[test]
    fn a_chip_that_comes_back_is_started_again() {
        let mut bench = Bench::new(Kind::Scd4x);
        assert_eq!(bench.read(&start()), Err(SensorError::NotReady));
        let gone = [write(0xE4B8).with_error(no_acknowledge())];
        assert_eq!(bench.read(&gone), Err(SensorError::Nack));
        assert_eq!(bench.read(&start()), Err(SensorError::NotReady));
    }

    #[test]
    fn no_air_is_without_carbon_dioxide() {
        let mut bench = Bench::new(Kind::Scd4x);
        assert_eq!(bench.read(&start()), Err(SensorError::NotReady));
        let [ask, ready, fetch, _] = measurement();
        let zero = [ask, ready, fetch, read(&[0, 0x6667, 0x5EB9])];
        expect(
            bench.read(&zero),
            &[Err(SensorError::Absurd), Ok(2_500), Ok(370)],
        );
    }

    #[test]
    fn the_datasheets_answer_has_the_checksums_that_we_compute() {
        assert_eq!(
            answer(&[0x01F4, 0x6667, 0x5EB9]),
            [0x01, 0xF4, 0x33, 0x66, 0x67, 0xA2, 0x5E, 0xB9, 0x3C]
        );
    }
}

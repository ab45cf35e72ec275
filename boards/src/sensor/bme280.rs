//! Bosch BME280 and BMP280: temperature, pressure and, of the BME280, humidity.
//!
//! Forced mode, oversampling ×1, no filter, as Bosch recommends for weather: the chip measures
//! when it is asked and sleeps in between, so that it does not warm itself. The compensation is
//! the integer one of the datasheet (BST-BME280-DS002, 4.2.3), with 64 bits for the pressure.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

const ID: u8 = 0xD0;
const CALIBRATION: u8 = 0x88;
const CALIBRATION_H1: u8 = 0xA1;
const CALIBRATION_H2: u8 = 0xE1;
const CTRL_HUM: u8 = 0xF2;
const STATUS: u8 = 0xF3;
const CTRL_MEAS: u8 = 0xF4;
const CONFIG: u8 = 0xF5;
const PRESSURE: u8 = 0xF7;

/// Oversampling ×1 of temperature and pressure, asleep; after power-on it is 0.
const ASLEEP: u8 = 0x24;
const FORCED: u8 = 0x25;
/// The bits of the status: measuring, and copying the calibration after power-on.
const BUSY: u8 = 0x09;
/// 9.3 ms for all three at most.
const MEASUREMENT_MS: u32 = 10;
/// What a slow chip is given on top, two milliseconds each.
const PATIENCE: usize = 3;

/// What stands in a temperature or pressure that was not measured.
const SKIPPED: u32 = 0x8_0000;
/// What stands in a humidity that was not measured.
const SKIPPED_HUMIDITY: u16 = 0x8000;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Bme280,
    Bmp280,
}

/// A chip, and what its maker measured of it.
#[derive(Debug)]
pub(super) struct Bosch {
    model: Model,
    calibration: Option<Calibration>,
}

/// The trimming parameters, named as in the datasheet.
#[derive(Clone, Debug)]
struct Calibration {
    t1: u16,
    t: [i16; 2],
    p1: u16,
    p: [i16; 8],
    humidity: Option<Humidity>,
}

#[derive(Clone, Copy, Debug)]
struct Humidity {
    h1: u8,
    h2: i16,
    h3: u8,
    h4: i16,
    h5: i16,
    h6: i8,
}

/// Two or three values.
#[derive(Debug)]
pub(super) struct Values {
    values: [Result<i64, SensorError>; 3],
    count: usize,
}

impl Values {
    pub(super) fn as_slice(&self) -> &[Result<i64, SensorError>] {
        self.values.get(..self.count).unwrap_or_default()
    }
}

impl Bosch {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            calibration: None,
        }
    }

    pub(super) fn read<I: I2c, D: DelayNs>(
        &mut self,
        device: &mut Device<'_, I, D>,
    ) -> Result<Values, SensorError> {
        // A chip that lost its power meanwhile, which may be another one, has forgotten this.
        if self.calibration.is_some() && device.register(CTRL_MEAS)? != ASLEEP {
            self.calibration = None;
        }
        if self.calibration.is_none() {
            self.calibration = Some(set_up(self.model, device)?);
        }
        let Some(calibration) = &self.calibration else {
            return Err(SensorError::NotReady);
        };
        device.write(&[CTRL_MEAS, FORCED])?;
        device.wait_ms(MEASUREMENT_MS);
        await_rest(device)?;
        match self.model {
            Model::Bme280 => {
                let [p0, p1, p2, t0, t1, t2, h0, h1] = device.registers(PRESSURE)?;
                let raw = Raw {
                    pressure: twenty_bits([p0, p1, p2]),
                    temperature: twenty_bits([t0, t1, t2]),
                    humidity: u16::from_be_bytes([h0, h1]),
                };
                Ok(calibration.values(raw))
            }
            Model::Bmp280 => {
                let [p0, p1, p2, t0, t1, t2] = device.registers(PRESSURE)?;
                let raw = Raw {
                    pressure: twenty_bits([p0, p1, p2]),
                    temperature: twenty_bits([t0, t1, t2]),
                    humidity: SKIPPED_HUMIDITY,
                };
                Ok(calibration.values(raw))
            }
        }
    }
}

fn set_up<I: I2c, D: DelayNs>(
    model: Model,
    device: &mut Device<'_, I, D>,
) -> Result<Calibration, SensorError> {
    let found = device.register(ID)?;
    let is_right = match model {
        Model::Bme280 => found == 0x60,
        // The first two are samples, which are sold all the same.
        Model::Bmp280 => matches!(found, 0x56..=0x58),
    };
    if !is_right {
        return Err(SensorError::WrongChip {
            found: found.into(),
        });
    }
    await_rest(device)?;
    let humidity = match model {
        Model::Bme280 => {
            let h1 = device.register(CALIBRATION_H1)?;
            Some(Humidity::parse(h1, device.registers(CALIBRATION_H2)?))
        }
        Model::Bmp280 => None,
    };
    let calibration = Calibration::parse(&device.registers(CALIBRATION)?, humidity)?;
    device.write(&[CONFIG, 0])?;
    if model == Model::Bme280 {
        // Oversampling ×1; counts from the next write of CTRL_MEAS on.
        device.write(&[CTRL_HUM, 1])?;
    }
    Ok(calibration)
}

fn await_rest<I: I2c, D: DelayNs>(device: &mut Device<'_, I, D>) -> Result<(), SensorError> {
    for _ in 0..PATIENCE {
        if device.register(STATUS)? & BUSY == 0 {
            return Ok(());
        }
        device.wait_ms(2);
    }
    Err(SensorError::NotReady)
}

fn twenty_bits([high, middle, low]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, high, middle, low]) >> 4
}

/// What the chip measured.
#[derive(Clone, Copy, Debug)]
struct Raw {
    pressure: u32,
    temperature: u32,
    humidity: u16,
}

impl Calibration {
    fn parse(bytes: &[u8; 24], humidity: Option<Humidity>) -> Result<Self, SensorError> {
        let mut words = [0; 12];
        for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
            *word = u16::from_le_bytes(pair.try_into().unwrap_or_default());
        }
        let [t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9] = words;
        if matches!(t1, 0 | u16::MAX) || matches!(p1, 0 | u16::MAX) {
            // A bus that is pulled to one level; no chip leaves the factory like this.
            return Err(SensorError::Absurd);
        }
        Ok(Self {
            t1,
            t: [t2, t3].map(u16::cast_signed),
            p1,
            p: [p2, p3, p4, p5, p6, p7, p8, p9].map(u16::cast_signed),
            humidity,
        })
    }

    fn values(&self, raw: Raw) -> Values {
        let t_fine = self.t_fine(raw.temperature);
        let temperature = t_fine.map(|t_fine| (t_fine * 5 + 128) >> 8);
        let pressure = t_fine.and_then(|t_fine| self.pressure(raw.pressure, t_fine));
        match &self.humidity {
            Some(humidity) => {
                let humidity = t_fine.and_then(|t_fine| humidity.permille(raw.humidity, t_fine));
                Values {
                    values: [temperature, humidity, pressure],
                    count: 3,
                }
            }
            None => Values {
                values: [temperature, pressure, Err(SensorError::NotReady)],
                count: 2,
            },
        }
    }

    /// 1/5120 of a degree; refused outside of what the chip survives, so that what is computed
    /// from it fits.
    fn t_fine(&self, raw: u32) -> Result<i64, SensorError> {
        /// −40 °C to 85 °C.
        const RANGE: std::ops::RangeInclusive<i64> = -204_800..=435_200;
        let [t2, t3] = self.t.map(i64::from);
        let (t1, adc) = (i64::from(self.t1), i64::from(raw));
        let first = (((adc >> 3) - (t1 << 1)) * t2) >> 11;
        let offset = (adc >> 4) - t1;
        let second = (((offset * offset) >> 12) * t3) >> 14;
        Some(first + second)
            .filter(|t_fine| raw != SKIPPED && RANGE.contains(t_fine))
            .ok_or(SensorError::Absurd)
    }

    /// In pascals. With a calibration that no chip has it may overflow, which is absurd too.
    fn pressure(&self, raw: u32, t_fine: i64) -> Result<i64, SensorError> {
        if raw == SKIPPED {
            return Err(SensorError::Absurd);
        }
        self.pressure_q8(raw, t_fine)
            .map(|pascal_q8| round_div(pascal_q8, 256))
            .ok_or(SensorError::Absurd)
    }

    fn pressure_q8(&self, raw: u32, t_fine: i64) -> Option<i64> {
        let [p2, p3, p4, p5, p6, p7, p8, p9] = self.p.map(i64::from);
        let t = t_fine - 128_000;
        let offset = t * t * p6 + ((t * p5) << 17) + (p4 << 35);
        let slope = ((t * t * p3) >> 8) + ((t * p2) << 12);
        let slope = ((1 << 47) + slope).checked_mul(i64::from(self.p1))? >> 33;
        let rest = 1_048_576 - i64::from(raw);
        let pressure = ((rest << 31) - offset)
            .checked_mul(3_125)?
            .checked_div(slope)?;
        let high = pressure >> 13;
        let square = p9.checked_mul(high)?.checked_mul(high)? >> 25;
        let linear = p8.checked_mul(pressure)? >> 19;
        let sum = pressure.checked_add(square)?.checked_add(linear)?;
        Some((sum >> 8) + (p7 << 4))
    }
}

impl Humidity {
    fn parse(h1: u8, [h2_low, h2_high, h3, e4, e5, e6, h6]: [u8; 7]) -> Self {
        // H4 and H5 are twelve bits each and share a byte; the sign is in the upper one.
        let upper = |byte: u8| i16::from(byte.cast_signed()) << 4;
        Self {
            h1,
            h2: i16::from_le_bytes([h2_low, h2_high]),
            h3,
            h4: upper(e4) | i16::from(e5 & 0xF),
            h5: upper(e6) | i16::from(e5 >> 4),
            h6: h6.cast_signed(),
        }
    }

    /// In tenths of a percent; the formula crops to 0..=100 % itself.
    fn permille(&self, raw: u16, t_fine: i64) -> Result<i64, SensorError> {
        if raw == SKIPPED_HUMIDITY {
            return Err(SensorError::Absurd);
        }
        let [h2, h4, h5] = [self.h2, self.h4, self.h5].map(i64::from);
        let t = t_fine - 76_800;
        let offset = (i64::from(raw) << 14) - (h4 << 20) - h5 * t + 16_384;
        let by_h6 = (t * i64::from(self.h6)) >> 10;
        let by_h3 = ((t * i64::from(self.h3)) >> 11) + 32_768;
        let slope = ((((by_h6 * by_h3) >> 10) + 2_097_152) * h2 + 8_192) >> 14;
        let linear = (offset >> 15) * slope;
        let square = (linear >> 15) * (linear >> 15);
        let humidity = linear - (((square >> 7) * i64::from(self.h1)) >> 4);
        // 2^22 is one percent.
        Ok(round_div(humidity.clamp(0, 100 << 22) * 10, 1 << 22))
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::Transaction;

    use super::*;
    use crate::sensor::Kind;
    use crate::sensor::tests::{Bench, expect, no_acknowledge, read_once};

    /// The example of the BMP280's datasheet, 3.12.
    const EXAMPLE: [i32; 12] = [
        27_504, 26_435, -1_000, 36_477, -10_685, 3_024, 2_855, 140, -7, 15_500, -14_600, 6_000,
    ];
    /// 519,888 and 415,148.
    const EXAMPLE_RAW: [u8; 6] = [0x65, 0x5A, 0xC0, 0x7E, 0xED, 0x00];
    /// H2 = 370, H3 = 0, H4 = 313, H5 = 50, H6 = 30, as a real chip had them; H1 is 75.
    const HUMIDITY: [u8; 7] = [0x72, 0x01, 0x00, 0x13, 0x29, 0x03, 0x1E];

    fn example() -> Vec<u8> {
        let words = EXAMPLE
            .iter()
            .map(|word| u16::try_from(word & 0xFFFF).unwrap());
        words.flat_map(u16::to_le_bytes).collect()
    }

    fn register(register: u8, bytes: &[u8]) -> Transaction {
        Transaction::write_read(0x76, vec![register], bytes.to_vec())
    }

    fn write(register: u8, byte: u8) -> Transaction {
        Transaction::write(0x76, vec![register, byte])
    }

    fn set_up(model: Model) -> Vec<Transaction> {
        match model {
            Model::Bme280 => vec![
                register(ID, &[0x60]),
                register(STATUS, &[0]),
                register(CALIBRATION_H1, &[75]),
                register(CALIBRATION_H2, &HUMIDITY),
                register(CALIBRATION, &example()),
                write(CONFIG, 0),
                write(CTRL_HUM, 1),
            ],
            Model::Bmp280 => vec![
                register(ID, &[0x58]),
                register(STATUS, &[0]),
                register(CALIBRATION, &example()),
                write(CONFIG, 0),
            ],
        }
    }

    fn measure(raw: &[u8]) -> Vec<Transaction> {
        vec![
            write(CTRL_MEAS, FORCED),
            register(STATUS, &[0]),
            register(PRESSURE, raw),
        ]
    }

    #[test]
    fn the_datasheets_example_is_computed_to_the_last_digit() {
        let mut bench = Bench::new(Kind::Bmp280);
        let first = [set_up(Model::Bmp280), measure(&EXAMPLE_RAW)].concat();
        expect(bench.read(&first), &[Ok(2_508), Ok(100_653)]);
        let calibration = Calibration::parse(&example().try_into().unwrap(), None).unwrap();
        assert_eq!(calibration.t_fine(519_888), Ok(128_422));
        // 100,653.27 Pa in floating point.
        let pascal_q8 = calibration.pressure_q8(415_148, 128_422).unwrap();
        assert!(
            (pascal_q8 * 100 / 256 - 10_065_327).abs() <= 2,
            "{pascal_q8}"
        );
    }

    #[test]
    fn the_chip_is_set_up_once_and_then_only_asked() {
        let mut bench = Bench::new(Kind::Bme280);
        let raw = [&EXAMPLE_RAW[..], &[0x70, 0x00]].concat();
        let first = [set_up(Model::Bme280), measure(&raw)].concat();
        let values = bench.read(&first).unwrap();
        let again = [vec![register(CTRL_MEAS, &[ASLEEP])], measure(&raw)].concat();
        assert_eq!(bench.read(&again), Ok(values));
    }

    #[test]
    fn a_chip_that_lost_its_power_unseen_is_set_up_again() {
        let mut bench = Bench::new(Kind::Bmp280);
        let first = [set_up(Model::Bmp280), measure(&EXAMPLE_RAW)].concat();
        expect(bench.read(&first), &[Ok(2_508), Ok(100_653)]);
        let fresh = [vec![register(CTRL_MEAS, &[0])], first.clone()].concat();
        expect(bench.read(&fresh), &[Ok(2_508), Ok(100_653)]);
        let gone = [register(CTRL_MEAS, &[0]).with_error(no_acknowledge())];
        assert_eq!(bench.read(&gone), Err(SensorError::Nack));
        expect(bench.read(&first), &[Ok(2_508), Ok(100_653)]);
    }

    #[test]
    fn a_bmp280_sold_as_a_bme280_is_named() {
        let result = read_once(Kind::Bme280, &[register(ID, &[0x58])]);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x58 }));
        let result = read_once(Kind::Bmp280, &[register(ID, &[0x60])]);
        assert_eq!(result, Err(SensorError::WrongChip { found: 0x60 }));
    }

    #[test]
    fn what_was_not_measured_is_no_value() {
        let raw = [0x80, 0, 0, 0x7E, 0xED, 0x00, 0x80, 0];
        let first = [set_up(Model::Bme280), measure(&raw)].concat();
        let absurd = Err(SensorError::Absurd);
        expect(
            read_once(Kind::Bme280, &first),
            &[Ok(2_508), absurd, absurd],
        );
        let raw = [0x65, 0x5A, 0xC0, 0x80, 0, 0, 0x70, 0];
        let first = [set_up(Model::Bme280), measure(&raw)].concat();
        expect(read_once(Kind::Bme280, &first), &[absurd; 3]);
    }

    #[test]
    fn a_measurement_without_end_is_given_up() {
        let busy = register(STATUS, &[8]);
        let endless = [
            set_up(Model::Bmp280),
            vec![write(CTRL_MEAS, FORCED), busy.clone(), busy.clone(), busy],
        ];
        let result = read_once(Kind::Bmp280, &endless.concat());
        assert_eq!(result, Err(SensorError::NotReady));
    }

    #[test]
    fn a_bus_at_one_level_is_no_calibration() {
        for byte in [0, 0xFF] {
            let result = Calibration::parse(&[byte; 24], None);
            assert_eq!(result.unwrap_err(), SensorError::Absurd);
        }
    }

    #[test]
    fn twelve_bits_that_share_a_byte_keep_their_signs() {
        let humidity = Humidity::parse(75, HUMIDITY);
        assert_eq!((humidity.h2, humidity.h3), (370, 0));
        assert_eq!((humidity.h4, humidity.h5, humidity.h6), (313, 50, 30));
        let humidity = Humidity::parse(75, [0, 0, 0, 0xFF, 0xEF, 0x80, 0xFF]);
        assert_eq!((humidity.h4, humidity.h5, humidity.h6), (-1, -2_034, -1));
    }

    /// The datasheet's formula in floating point, 8.1.
    fn percent(humidity: &Humidity, raw: u16, t_fine: i64) -> f64 {
        let t = f64::from(i32::try_from(t_fine).unwrap()) - 76_800.0;
        let [h2, h4, h5] = [humidity.h2, humidity.h4, humidity.h5].map(f64::from);
        let (h1, h3, h6) = (humidity.h1, humidity.h3, humidity.h6);
        let (h1, h3, h6) = (f64::from(h1), f64::from(h3), f64::from(h6));
        let offset = f64::from(raw) - (h4 * 64.0 + h5 / 16_384.0 * t);
        let by_h3 = 1.0 + h3 / 67_108_864.0 * t;
        let slope = h2 / 65_536.0 * (1.0 + h6 / 67_108_864.0 * t * by_h3);
        let humidity = offset * slope;
        (humidity * (1.0 - h1 * humidity / 524_288.0)).clamp(0.0, 100.0)
    }

    #[test]
    fn the_humidity_in_integers_is_the_one_in_floating_point() {
        let humidity = Humidity::parse(75, HUMIDITY);
        let mut seen = (f64::MAX, f64::MIN);
        for raw in (0x4000..0xA000).step_by(97) {
            for t_fine in [-200_000, -51_200, 0, 76_800, 128_422, 256_000, 435_200] {
                let expected = percent(&humidity, raw, t_fine);
                seen = (seen.0.min(expected), seen.1.max(expected));
                let permille = humidity.permille(raw, t_fine).unwrap();
                let computed = f64::from(i32::try_from(permille).unwrap()) / 10.0;
                assert!(
                    (computed - expected).abs() < 0.1,
                    "{raw:#x} {t_fine}: {computed} {expected}"
                );
            }
        }
        assert!(seen.0 < 1.0 && seen.1 > 99.0, "{seen:?}");
    }
}

//! A bench for one chip on a scripted bus, and laws that hold whatever a chip answers.

use std::convert::Infallible;

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use proptest::prelude::*;

use super::sensirion::testing::answer;
use super::{Kind, Options, Readings, Sensor, SensorError, Value};

/// A chip that is read again and again, each time with its exact exchange.
pub(super) struct Bench {
    sensor: Sensor,
}

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        Self::with_options(kind, Options::default())
    }

    pub(super) fn with_options(kind: Kind, options: Options) -> Self {
        Self {
            sensor: Sensor::new(kind, kind.address(), options),
        }
    }

    pub(super) fn read(&mut self, exchange: &[Transaction]) -> Result<Readings, SensorError> {
        let mut bus = Mock::new(exchange);
        let result = self.sensor.read(&mut bus, &mut NoopDelay);
        bus.done();
        result
    }
}

pub(super) fn read_once(kind: Kind, exchange: &[Transaction]) -> Result<Readings, SensorError> {
    Bench::new(kind).read(exchange)
}

pub(super) fn no_acknowledge() -> ErrorKind {
    ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
}

/// Asserts what was read, in the order of the quantities.
#[track_caller]
pub(super) fn expect(readings: Result<Readings, SensorError>, expected: &[Value]) {
    let values: Vec<_> = readings.unwrap().iter().map(|(_, value)| value).collect();
    assert_eq!(values, expected);
}

/// A chip of the right kind whose registers hold anything.
struct Anything<'a> {
    kind: Kind,
    bytes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    written: Vec<u8>,
}

impl Anything<'_> {
    fn fill(&mut self, buffer: &mut [u8]) {
        for place in buffer.iter_mut() {
            *place = *self.bytes.next().unwrap();
        }
        let identity: &[u8] = match (self.kind, self.written.as_slice()) {
            (Kind::Bme280, [0xD0]) => &[0x60],
            (Kind::Bmp280, [0xD0]) => &[0x58],
            // Asleep, and never busy.
            (Kind::Bme280 | Kind::Bmp280, [0xF3]) => &[0],
            (Kind::Bme280 | Kind::Bmp280, [0xF4]) => &[0x24],
            (Kind::Ina219, [0x00]) => &[0x39, 0x9F],
            (Kind::Ina226, [0x00]) => &[0x41, 0x27],
            (Kind::Ina226, [0xFE]) => &[0x54, 0x49],
            (Kind::Ina226, [0xFF]) => &[0x22, 0x60],
            (Kind::Max17048, [0x08]) => &[0x00, 0x12],
            (Kind::Mcp9808, [0x06]) => &[0x00, 0x54],
            (Kind::Mcp9808, [0x07]) => &[0x04, 0x00],
            (Kind::Tmp102 | Kind::Tmp105 | Kind::Tmp112, [0x01]) => &[0x60, 0xA0],
            (Kind::Tmp117, [0x0F]) => &[0x01, 0x17],
            // What was written, and idle.
            (Kind::Ads1115, [1, high, low]) => &[*high, *low],
            (Kind::Scd4x | Kind::Sht3x | Kind::Sht4x, _) => {
                let words: Vec<_> = buffer
                    .chunks_exact(3)
                    .map(|word| u16::from_be_bytes([word[0], word[1]]))
                    .collect();
                buffer.copy_from_slice(&answer(&words));
                &[]
            }
            _ => &[],
        };
        for (place, byte) in buffer.iter_mut().zip(identity) {
            *place = *byte;
        }
    }
}

impl ErrorType for Anything<'_> {
    type Error = Infallible;
}

impl I2c for Anything<'_> {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), Infallible> {
        for operation in operations {
            match operation {
                // An ADS1115's pointer comes after its configuration, which is to be kept.
                Operation::Write([1]) if self.kind == Kind::Ads1115 => {}
                Operation::Write(bytes) => self.written = bytes.to_vec(),
                Operation::Read(buffer) => self.fill(buffer),
            }
        }
        Ok(())
    }
}

/// A bus that answers whatever it is asked, identities included.
struct Noise<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl ErrorType for Noise<'_> {
    type Error = ErrorKind;
}

impl I2c for Noise<'_> {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        for operation in operations {
            match operation {
                Operation::Write(_) if self.0.next() == Some(&0xEE) => return Err(ErrorKind::Bus),
                Operation::Write(_) => {}
                Operation::Read(buffer) => buffer
                    .iter_mut()
                    .for_each(|place| *place = *self.0.next().unwrap()),
            }
        }
        Ok(())
    }
}

fn assert_in_range(kind: Kind, readings: &Readings) -> usize {
    let values = readings.iter().filter_map(|(quantity, value)| {
        let value = value.ok()?;
        assert!(
            (quantity.min..=quantity.max).contains(&value),
            "{kind:?} {}: {value}",
            quantity.name
        );
        Some(value)
    });
    values.count()
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn any_shunt() -> impl Strategy<Value = Options> {
    (1_u32..=100_000).prop_map(|milliohm| Options {
        shunt: super::Shunt::try_new(milliohm).unwrap(),
        ..Options::default()
    })
}

proptest! {
    #[test]
    fn whatever_the_registers_hold_a_value_is_in_range_or_an_error(
        kind in any_kind(),
        options in any_shunt(),
        bytes in prop::collection::vec(any::<u8>(), 64..256),
    ) {
        let mut sensor = Sensor::new(kind, kind.address(), options);
        let written = Vec::new();
        let mut bus = Anything { kind, bytes: bytes.iter().cycle(), written };
        for _ in 0..6 {
            match sensor.read(&mut bus, &mut NoopDelay) {
                Ok(readings) => { assert_in_range(kind, &readings); }
                Err(err) => prop_assert!(
                    matches!(err, SensorError::NotReady | SensorError::Absurd),
                    "{kind:?}: {err}"
                ),
            }
        }
    }

    #[test]
    fn a_bus_full_of_noise_is_survived(
        kind in any_kind(),
        bytes in prop::collection::vec(any::<u8>(), 1..128),
    ) {
        let mut sensor = Sensor::new(kind, kind.address(), Options::default());
        let mut bus = Noise(bytes.iter().cycle());
        for _ in 0..6 {
            if let Ok(readings) = sensor.read(&mut bus, &mut NoopDelay) {
                assert_in_range(kind, &readings);
            }
        }
    }
}

#[test]
fn the_law_about_registers_is_not_vacuous() {
    // Somewhere among these bytes every kind finds a value.
    for kind in Kind::ALL {
        let found = (0_u8..=255).any(|seed| {
            let bytes: Vec<_> = (0..200)
                .map(|at| seed.wrapping_mul(31).wrapping_add(at))
                .collect();
            let mut sensor = Sensor::new(kind, kind.address(), Options::default());
            let mut bus = Anything {
                kind,
                bytes: bytes.iter().cycle(),
                written: Vec::new(),
            };
            (0..4).any(|_| {
                sensor
                    .read(&mut bus, &mut NoopDelay)
                    .is_ok_and(|readings| assert_in_range(kind, &readings) > 0)
            })
        });
        assert!(found, "{kind:?}");
    }
}

#[test]
fn nobody_at_the_address_is_told_for_every_kind() {
    struct Empty;
    impl ErrorType for Empty {
        type Error = ErrorKind;
    }
    impl I2c for Empty {
        fn transaction(&mut self, _: u8, _: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            Err(no_acknowledge())
        }
    }
    for kind in Kind::ALL {
        let mut sensor = Sensor::new(kind, kind.address(), Options::default());
        let result = sensor.read(&mut Empty, &mut NoopDelay);
        assert_eq!(result, Err(SensorError::Nack), "{kind:?}");
    }
}

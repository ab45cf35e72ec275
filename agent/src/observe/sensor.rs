//! The sensors that the configuration names, each read by its own clock.
//!
//! On a machine every bus has a thread, and an observation takes what it read last: a bus that is
//! stuck makes its readings stale, with their age, and no heartbeat late. In a fixture the
//! recorded bus is read on the spot. A read that failed is tried once more before it is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodling_boards::sensor::{Kind, Options, Readings, Sensor, SensorError, Unit as BoardUnit};
use nodling_protocol::units::Unit;
use tracing::{info, warn};

use super::background::{Background, Shared};
use super::i2c::Bus;
use super::root::Root;
use super::{Errno, ReadError, Reading};

/// A sensor that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its readings are called `<name>.<quantity>`.
    pub name: Box<str>,
    /// Which chip it is.
    pub kind: Kind,
    /// The bus's device, for example `/dev/i2c-1`.
    pub bus: PathBuf,
    /// On the bus.
    pub address: u8,
    /// How often it is read.
    pub interval: Duration,
    /// What only some kinds need to be told.
    pub options: Options,
}

/// A reading that has a name of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Unique on the board.
    pub name: Box<str>,
    /// Unit.
    pub unit: Unit,
    /// The reading is multiplied by ten to this power.
    pub exponent: i8,
    /// The reading.
    pub reading: Reading<i32>,
}

impl Named {
    /// Whether it says something, or why it never will: not while the first value is awaited.
    pub fn is_settled(&self) -> bool {
        let cause = match &self.reading {
            Err(ReadError::Device { cause, .. }) => Some(cause),
            Ok(_) | Err(_) => None,
        };
        cause != Some(&SensorError::NotReady)
    }
}

/// A reading is stale when two in a row are missing, and what a slow bus may take on top.
const SLACK_MS: u64 = 5_000;

/// After a read that found nothing measured yet the next one comes soon.
const UNREADY_MS: u64 = 1_000;

/// The sensors of one board.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    buses: Option<Buses>,
}

#[derive(Debug)]
enum Buses {
    Recorded(Vec<Device>),
    Threads(Vec<Thread>),
}

/// The sensors of one bus, and who reads them.
#[derive(Debug)]
struct Thread {
    latest: Shared<Vec<Latest>>,
    configs: Arc<[Config]>,
    /// The bus.
    path: PathBuf,
    /// Or why there is none.
    background: Result<Background, Errno>,
}

/// A sensor with its driver.
#[derive(Debug)]
struct Device {
    config: Config,
    sensor: Sensor,
    bus: Option<Bus>,
    due_ms: u64,
}

/// What is known of a sensor.
#[derive(Clone, Debug, PartialEq)]
struct Latest {
    readings: Option<(Readings, u64)>,
    failure: Option<Failure>,
    /// When the last attempt ended, or when the first one was begun.
    ended_ms: u64,
}

/// Why a read yielded nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Refused(Errno),
    Sensor(SensorError),
}

impl Config {
    /// How people find it: `bme280 at /dev/i2c-1 0x76`.
    pub fn device(&self) -> Box<str> {
        let (kind, bus) = (self.kind.name(), self.bus.display());
        format!("{kind} at {bus} {:#04x}", self.address).into()
    }

    fn interval_ms(&self) -> u64 {
        u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX)
    }

    fn patience_ms(&self) -> u64 {
        self.interval_ms()
            .saturating_mul(2)
            .saturating_add(SLACK_MS)
    }

    /// The readings as they stand now.
    fn named(&self, latest: &Latest, now_ms: u64) -> impl Iterator<Item = Named> {
        let quantities = self.kind.quantities().iter().enumerate();
        quantities.map(move |(index, quantity)| Named {
            name: format!("{}.{}", self.name, quantity.name).into(),
            unit: unit(quantity.unit),
            exponent: quantity.exponent,
            reading: self.reading(latest, index, now_ms),
        })
    }

    fn reading(&self, latest: &Latest, index: usize, now_ms: u64) -> Reading<i32> {
        let failed = |cause| ReadError::Device {
            device: self.device(),
            cause,
        };
        let age_ms = |since_ms: u64| now_ms.saturating_sub(since_ms);
        if age_ms(latest.ended_ms) > self.patience_ms() {
            let since_ms = latest.readings.map_or(latest.ended_ms, |(_, at_ms)| at_ms);
            return Err(ReadError::Stale {
                device: self.device(),
                age_s: age_ms(since_ms) / 1000,
            });
        }
        let known = latest.readings.and_then(|(readings, at_ms)| {
            let (_, value) = readings.iter().nth(index)?;
            (age_ms(at_ms) <= self.patience_ms()).then_some(value)
        });
        match (latest.failure, known) {
            (None | Some(Failure::Sensor(SensorError::NotReady)), Some(value)) => {
                value.map(Some).map_err(failed)
            }
            (None, None) => Err(failed(SensorError::NotReady)),
            (Some(Failure::Sensor(cause)), _) => Err(failed(cause)),
            (Some(Failure::Refused(cause)), _) => Err(ReadError::Refused {
                path: self.device(),
                cause,
            }),
        }
    }
}

fn unit(unit: BoardUnit) -> Unit {
    match unit {
        BoardUnit::Ampere => Unit::Ampere,
        BoardUnit::Celsius => Unit::Celsius,
        BoardUnit::PartsPerMillion => Unit::PartsPerMillion,
        BoardUnit::Pascal => Unit::Pascal,
        BoardUnit::Percent => Unit::Percent,
        BoardUnit::Volt => Unit::Volt,
        BoardUnit::Watt => Unit::Watt,
    }
}

impl Latest {
    fn new(now_ms: u64) -> Self {
        Self {
            readings: None,
            failure: None,
            ended_ms: now_ms,
        }
    }

    /// Takes an outcome; returns whether it is news that it failed, or that it did not.
    fn take(&mut self, outcome: Result<Readings, Failure>, now_ms: u64) -> bool {
        let before = self.failure;
        match outcome {
            Ok(readings) => {
                self.readings = Some((readings, now_ms));
                self.failure = None;
            }
            Err(failure) => self.failure = Some(failure),
        }
        self.ended_ms = now_ms;
        let is_failed = |failure: Option<Failure>| {
            failure.filter(|failure| *failure != Failure::Sensor(SensorError::NotReady))
        };
        is_failed(before) != is_failed(self.failure)
    }
}

impl Device {
    fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            sensor: Sensor::new(config.kind, config.address, config.options),
            bus: None,
            due_ms: 0,
        }
    }

    /// Reads, and a second time if the first failed: a spark on a long wire is no news.
    fn read(&mut self, open: impl FnOnce() -> Result<Bus, Errno>) -> Result<Readings, Failure> {
        let bus = match &mut self.bus {
            Some(bus) => bus,
            none => none.insert(open().map_err(Failure::Refused)?),
        };
        let mut delay = bus.delay();
        let mut result = self.sensor.read(bus, &mut delay);
        if matches!(
            result,
            Err(SensorError::Bus | SensorError::Checksum | SensorError::Nack)
        ) {
            result = self.sensor.read(bus, &mut delay);
        }
        let errno = bus.errno;
        result.map_err(|err| {
            if err != SensorError::NotReady {
                // An adapter that was unplugged comes back as another file.
                self.bus = None;
            }
            match (err, errno) {
                (SensorError::Bus, Some(errno)) => Failure::Refused(errno),
                (err, _) => Failure::Sensor(err),
            }
        })
    }

    fn plan(&mut self, outcome: Result<Readings, Failure>, now_ms: u64) {
        let pause_ms = match outcome {
            Err(Failure::Sensor(SensorError::NotReady)) => {
                let period_ms = self.config.kind.period_ms().map_or(UNREADY_MS, u64::from);
                period_ms.min(self.config.interval_ms())
            }
            Ok(_) | Err(_) => self.config.interval_ms(),
        };
        let in_step_ms = self.due_ms.saturating_add(pause_ms);
        self.due_ms = if in_step_ms > now_ms {
            in_step_ms
        } else {
            now_ms.saturating_add(pause_ms)
        };
    }
}

impl Sensors {
    /// The readings of all configured sensors, in the order of the configuration.
    pub(super) fn read(&mut self, root: &mut Root, configs: &[Config]) -> Vec<Named> {
        if configs.is_empty() {
            return Vec::new();
        }
        let now_ms = root.syscalls().uptime_ms();
        let buses = self
            .buses
            .get_or_insert_with(|| Buses::begin(root, configs, now_ms));
        match buses {
            Buses::Recorded(devices) => devices
                .iter_mut()
                .flat_map(|device| replay(device, root, now_ms))
                .collect(),
            Buses::Threads(threads) => {
                for thread in threads.iter_mut() {
                    thread.retry(now_ms);
                }
                let named = |config| {
                    threads
                        .iter()
                        .find_map(|thread| thread.named(config, now_ms))
                };
                configs.iter().filter_map(named).flatten().collect()
            }
        }
    }
}

/// Reads a sensor of a fixture on the spot.
fn replay(device: &mut Device, root: &mut Root, now_ms: u64) -> Vec<Named> {
    let path = device.config.bus.to_string_lossy();
    let path = path.trim_start_matches('/').to_owned();
    let mut latest = Latest::new(now_ms);
    let bus = match root.parse(&path, Bus::recorded) {
        Ok(bus) => bus.ok_or(Errno(libc::ENOENT)),
        Err(ReadError::Refused { cause, .. }) => Err(cause),
        Err(_) => Err(Errno(libc::EIO)),
    };
    // Recorded anew: what the fixture says now holds.
    device.bus = None;
    latest.take(device.read(|| bus), now_ms);
    device.config.named(&latest, now_ms).collect()
}

impl Buses {
    fn begin(root: &Root, configs: &[Config], now_ms: u64) -> Self {
        if root.is_fixture() {
            return Self::Recorded(configs.iter().map(Device::new).collect());
        }
        let mut buses: Vec<_> = configs.iter().map(|config| &config.bus).collect();
        buses.sort_unstable();
        buses.dedup();
        let threads = buses.into_iter().map(|bus| {
            let on_bus = configs.iter().filter(|config| config.bus == *bus);
            let path = root.absolute(&bus.to_string_lossy());
            Thread::start(on_bus.cloned().collect(), path, now_ms)
        });
        Self::Threads(threads.collect())
    }
}

impl Thread {
    fn start(configs: Arc<[Config]>, path: PathBuf, now_ms: u64) -> Self {
        let latest = Shared::new(vec![Latest::new(now_ms); configs.len()]);
        let mut devices: Vec<_> = configs.iter().map(Device::new).collect();
        let (bus, shared) = (path.clone(), latest.clone());
        let background = Background::start("i2c", move || turn(&mut devices, &bus, &shared));
        Self {
            latest,
            configs,
            path,
            background,
        }
    }

    /// Starts it again if it could not be started: what the system refuses now it may grant later.
    fn retry(&mut self, now_ms: u64) {
        if self.background.is_err() {
            *self = Self::start(Arc::clone(&self.configs), self.path.clone(), now_ms);
        }
    }

    /// The readings of one sensor, if it is on this bus.
    fn named(&self, config: &Config, now_ms: u64) -> Option<Vec<Named>> {
        let index = self.configs.iter().position(|other| other == config)?;
        let mut latest = self.latest.lock().get(index)?.clone();
        if let Err(cause) = self.background {
            latest.take(Err(Failure::Refused(cause)), now_ms);
        }
        Some(config.named(&latest, now_ms).collect())
    }
}

/// Reads the sensors that are due and returns the time until one is.
fn turn(devices: &mut [Device], path: &std::path::Path, shared: &Shared<Vec<Latest>>) -> Duration {
    for (index, device) in devices.iter_mut().enumerate() {
        let begun_ms = super::sys::live_uptime_ms();
        if device.due_ms > begun_ms {
            continue;
        }
        let outcome = device.read(|| Bus::open(path));
        let now_ms = super::sys::live_uptime_ms();
        device.plan(outcome, now_ms);
        let is_news = shared
            .lock()
            .get_mut(index)
            .is_some_and(|latest| latest.take(outcome, now_ms));
        if is_news {
            tell(&device.config, outcome);
        }
    }
    let now_ms = super::sys::live_uptime_ms();
    let due_ms = devices.iter().map(|device| device.due_ms).min();
    Duration::from_millis(due_ms.unwrap_or(u64::MAX).saturating_sub(now_ms))
}

fn tell(config: &Config, outcome: Result<Readings, Failure>) {
    let (sensor, device) = (&config.name, config.device());
    match outcome {
        Ok(_) => info!(%sensor, %device, "the sensor is read again"),
        Err(Failure::Refused(error)) => warn!(%sensor, %device, %error, "a sensor is not read"),
        Err(Failure::Sensor(error)) => warn!(%sensor, %device, %error, "a sensor is not read"),
    }
}

#[cfg(test)]
#[path = "sensor_tests.rs"]
mod tests;

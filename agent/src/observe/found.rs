//! What the kernel's own drivers measure, found without being asked for: hwmon, IIO, 1-wire,
//! power supplies and Wi-Fi.
//!
//! Which files there are is looked up with the other slow facts; the numbers are read by threads,
//! since a driver may ask a bus first, and a 1-wire thermometer thinks for most of a second. It
//! has a thread of its own. In a fixture they are read on the spot.

use std::sync::Arc;
use std::time::Duration;

use nodling_boards::sensor::SensorError;
use nodling_protocol::heartbeat::MAX_SENSORS;

use super::background::{Background, Shared};
use super::channel::{BILLION, Known, Source, decimal};
use super::root::{Pace, Root};
use super::sensor::Named;
use super::text::Flaw;
use super::{Errno, ReadError, Reading, hwmon, iio, onewire, supply, wireless};

/// As often as the configured sensors.
const EVERY: Duration = Duration::from_secs(10);

/// Two reads missing, and what a dozen thermometers on one wire take.
const PATIENCE_MS: u64 = 35_000;

/// What there is to read, promptly and slowly.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    prompt: Arc<[Known]>,
    slow: Arc<[Known]>,
}

/// Looks up what drivers offer.
pub(super) fn find(root: &mut Root) -> Lists {
    let mut prompt = hwmon::find(root);
    prompt.extend(iio::find(root));
    prompt.extend(supply::find(root));
    prompt.extend(wireless::find(root));
    let mut slow = onewire::find(root);
    for list in [&mut prompt, &mut slow] {
        number_twins(list);
        // More than a heartbeat carries.
        list.truncate(MAX_SENSORS);
    }
    Lists {
        prompt: prompt.into(),
        slow: slow.into(),
    }
}

/// Of several with one name, the second is called `name/2`.
fn number_twins(list: &mut [Known]) {
    let names: Vec<_> = list.iter().map(|known| known.name.clone()).collect();
    for (at, known) in list.iter_mut().enumerate() {
        let before = names.iter().take(at);
        let twins = before.filter(|name| **name == known.name).count();
        if twins != 0 {
            known.name = format!("{}/{}", known.name, twins + 1);
        }
    }
}

/// What stands in the file of one.
fn read(known: &Known, root: &mut Root) -> Reading<i32> {
    let path = &known.path;
    awake(match &known.source {
        Source::Number { scale } => {
            root.parse(path, |text| known.scaled(decimal(text)?.into(), *scale))
        }
        Source::Raw {
            offset,
            factor,
            scale,
        } => read_raw(known, root, (offset.as_deref(), factor), *scale),
        Source::OneWire => root.parse(path, onewire::parse),
        Source::OneWireSlave => root.parse(path, onewire::parse_slave),
        Source::Wireless(interface) => root
            .parse_table(path, |text| wireless::parse(text, interface))
            .map(Option::flatten),
    })
}

/// A sensor that sleeps, or has no power, is absent.
fn awake(reading: Reading<i32>) -> Reading<i32> {
    match reading {
        Err(ReadError::Refused {
            cause: Errno(libc::EINVAL | libc::EAGAIN | libc::ENODATA),
            ..
        }) => Ok(None),
        reading => reading,
    }
}

fn read_raw(
    known: &Known,
    root: &mut Root,
    (offset, factor): (Option<&str>, &str),
    scale: i8,
) -> Reading<i32> {
    let Some(factor) = root.parse(factor, decimal)? else {
        return Ok(None);
    };
    let offset = match offset {
        Some(path) => root.parse(path, decimal)?,
        None => None,
    };
    root.parse(&known.path, |text| {
        let count = i128::from(decimal(text)?) + i128::from(offset.unwrap_or(0));
        let product = count.checked_mul(factor.into());
        let billionths = product.ok_or(Flaw::new(1, "a count that nothing counts"))? / BILLION;
        known.scaled(billionths, scale)
    })
}

fn named(known: &Known, reading: Reading<i32>) -> Named {
    Named {
        name: known.name.as_str().into(),
        unit: known.unit,
        exponent: known.exponent,
        reading,
    }
}

/// The found readings of one board.
#[derive(Debug, Default)]
pub(super) struct Found {
    prompt: Option<Reader>,
    slow: Option<Reader>,
}

impl Found {
    /// What was read last; begins to read what is new in the lists.
    pub(super) fn read(&mut self, root: &mut Root, lists: &Lists) -> Vec<Named> {
        let Lists { prompt, slow } = lists;
        if root.is_fixture() {
            let all = prompt.iter().chain(slow.iter());
            return all.map(|known| named(known, read(known, root))).collect();
        }
        let mut named = follow(&mut self.prompt, root, prompt);
        named.extend(follow(&mut self.slow, root, slow));
        named
    }
}

fn follow(reader: &mut Option<Reader>, root: &Root, list: &Arc<[Known]>) -> Vec<Named> {
    if list.is_empty() {
        *reader = None;
        return Vec::new();
    }
    let reader = match reader {
        // A thread that could not be started may be startable now.
        Some(reader) if reader.list == *list && reader.background.is_ok() => reader,
        other => other.insert(Reader::start(root, Arc::clone(list))),
    };
    reader.named(root.syscalls().uptime_ms())
}

/// A thread and what it has read.
#[derive(Debug)]
struct Reader {
    list: Arc<[Known]>,
    /// With the time at which each was read, or the reader started.
    latest: Shared<Vec<(Reading<i32>, u64)>>,
    /// Or why there is none.
    background: Result<Background, Errno>,
}

impl Reader {
    fn start(root: &Root, list: Arc<[Known]>) -> Self {
        let now_ms = root.syscalls().uptime_ms();
        let awaited = |known: &Known| {
            let cause = SensorError::NotReady;
            let device = known.path.as_str().into();
            (Err(ReadError::Device { device, cause }), now_ms)
        };
        let latest = Shared::new(list.iter().map(awaited).collect());
        let background = match Root::open(root.absolute("")) {
            Ok(root) => Self::background(root, Arc::clone(&list), latest.clone()),
            Err(_) => Err(Errno(libc::EIO)),
        };
        Self {
            list,
            latest,
            background,
        }
    }

    fn background(
        mut root: Root,
        list: Arc<[Known]>,
        latest: Shared<Vec<(Reading<i32>, u64)>>,
    ) -> Result<Background, Errno> {
        root.set_pace(Pace::EveryTick);
        Background::start("sensors", move || {
            for (at, known) in list.iter().enumerate() {
                let reading = read(known, &mut root);
                let now_ms = root.syscalls().uptime_ms();
                if let Some(place) = latest.lock().get_mut(at) {
                    *place = (reading, now_ms);
                }
            }
            EVERY
        })
    }

    fn named(&self, now_ms: u64) -> Vec<Named> {
        let latest = self.latest.lock();
        let both = self.list.iter().zip(latest.iter());
        both.map(|(known, (reading, at_ms))| {
            let age_ms = now_ms.saturating_sub(*at_ms);
            named(
                known,
                match (self.background.as_ref(), reading) {
                    (Err(cause), _) => Err(ReadError::Refused {
                        path: known.path.as_str().into(),
                        cause: *cause,
                    }),
                    (Ok(_), _) if age_ms > PATIENCE_MS => Err(ReadError::Stale {
                        device: known.path.as_str().into(),
                        age_s: age_ms / 1000,
                    }),
                    (Ok(_), reading) => reading.clone(),
                },
            )
        })
        .collect()
    }
}

#[cfg(test)]
#[path = "found_tests.rs"]
mod tests;

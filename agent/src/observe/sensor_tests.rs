//! A reading through time: awaited, held, stale, failed, and back.

use nodling_boards::sensor::SensorError;

use super::*;

const KIND: Kind = Kind::Tmp102;
const INTERVAL_MS: u64 = 10_000;
const PATIENCE_MS: u64 = 25_000;

fn config(name: &str) -> Config {
    Config {
        name: name.into(),
        kind: KIND,
        bus: "/dev/i2c-1".into(),
        address: 0x48,
        interval: Duration::from_millis(INTERVAL_MS),
        options: Options::default(),
    }
}

/// What a recorded chip at 25 °C says.
fn readings() -> Readings {
    let bus = Bus::recorded(b"48 01 = 60 A0\n48 00 = 19 00\n").unwrap();
    Device::new(&config("attic")).read(|| Ok(bus)).unwrap()
}

fn reading(latest: &Latest, now_ms: u64) -> Reading<i32> {
    let config = config("attic");
    let mut named = config.named(latest, now_ms);
    let first = named.next().unwrap();
    assert_eq!(&*first.name, "attic.temperature");
    assert!(named.next().is_none());
    first.reading
}

fn failed(cause: SensorError) -> Reading<i32> {
    Err(ReadError::Device {
        device: "tmp102 at /dev/i2c-1 0x48".into(),
        cause,
    })
}

fn stale(age_s: u64) -> Reading<i32> {
    Err(ReadError::Stale {
        device: "tmp102 at /dev/i2c-1 0x48".into(),
        age_s,
    })
}

#[test]
fn before_the_first_read_ends_nothing_is_measured_and_then_it_is_stale() {
    let latest = Latest::new(1_000);
    assert_eq!(reading(&latest, 1_000), failed(SensorError::NotReady));
    let last_ms = 1_000 + PATIENCE_MS;
    assert_eq!(reading(&latest, last_ms), failed(SensorError::NotReady));
    assert_eq!(reading(&latest, last_ms + 1), stale(25));
}

#[test]
fn a_reading_holds_until_two_are_missing_and_is_then_stale_with_its_age() {
    let mut latest = Latest::new(0);
    latest.take(Ok(readings()), 5_000);
    assert_eq!(reading(&latest, 5_000), Ok(Some(2_500)));
    assert_eq!(reading(&latest, 5_000 + PATIENCE_MS), Ok(Some(2_500)));
    assert_eq!(reading(&latest, 5_000 + PATIENCE_MS + 1), stale(25));
    assert_eq!(reading(&latest, 65_000), stale(60));
}

#[test]
fn a_failure_takes_the_place_of_the_reading_before_it_and_goes_with_the_next() {
    let mut latest = Latest::new(0);
    assert!(!latest.take(Ok(readings()), 1_000));
    let nack = Failure::Sensor(SensorError::Nack);
    assert!(latest.take(Err(nack), 11_000), "it became so");
    assert_eq!(reading(&latest, 11_000), failed(SensorError::Nack));
    assert!(!latest.take(Err(nack), 21_000), "it still is");
    assert!(latest.take(Err(Failure::Refused(Errno(libc::EBUSY))), 31_000));
    let refused = reading(&latest, 31_000).unwrap_err().to_string();
    assert_eq!(
        refused,
        "reading tmp102 at /dev/i2c-1 0x48: Device or resource busy (os error 16)"
    );
    assert!(latest.take(Ok(readings()), 41_000));
    assert_eq!(reading(&latest, 41_000), Ok(Some(2_500)));
}

#[test]
fn what_was_measured_holds_while_the_chip_measures_anew() {
    let mut latest = Latest::new(0);
    let unready = Err(Failure::Sensor(SensorError::NotReady));
    assert!(!latest.take(unready, 1_000));
    assert_eq!(reading(&latest, 1_000), failed(SensorError::NotReady));
    latest.take(Ok(readings()), 2_000);
    assert!(!latest.take(unready, 12_000));
    assert_eq!(reading(&latest, 12_000), Ok(Some(2_500)));
    latest.take(unready, 2_001 + PATIENCE_MS);
    assert_eq!(
        reading(&latest, 2_001 + PATIENCE_MS),
        failed(SensorError::NotReady),
        "it was measured too long ago"
    );
}

#[test]
fn reads_come_in_step_and_what_was_missed_is_not_made_up_for() {
    let mut device = Device::new(&config("attic"));
    device.plan(Ok(readings()), 43_000);
    assert_eq!(device.due_ms, 53_000);
    device.plan(Ok(readings()), 53_200);
    assert_eq!(device.due_ms, 63_000);
    device.plan(Ok(readings()), 90_000);
    assert_eq!(device.due_ms, 100_000);
    device.plan(Err(Failure::Sensor(SensorError::NotReady)), 100_100);
    assert_eq!(device.due_ms, 101_000);
    device.plan(Err(Failure::Sensor(SensorError::Nack)), 101_100);
    assert_eq!(device.due_ms, 111_000);
}

#[test]
fn one_failed_exchange_is_tried_again_before_it_is_told() {
    // Nobody else answers: the second attempt must come too, and may not help.
    let nobody = Bus::recorded(b"10 00 = 00\n").unwrap();
    let mut device = Device::new(&config("attic"));
    let nack = Err(Failure::Sensor(SensorError::Nack));
    assert_eq!(device.read(|| Ok(nobody)), nack);
    assert!(device.bus.is_none(), "the bus is opened anew");
    let refused = device.read(|| Err(Errno(libc::EACCES)));
    assert_eq!(refused, Err(Failure::Refused(Errno(libc::EACCES))));
    let bus = Bus::recorded(b"48 01 = 60 A0\n48 00 = 19 00\n").unwrap();
    assert_eq!(device.read(|| Ok(bus)), Ok(readings()));
    assert!(device.bus.is_some(), "and kept while it works");
}

#[test]
fn a_bus_that_is_not_there_fails_its_sensors_and_delays_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let mut root = Root::open(directory.path()).unwrap();
    let configs = [config("attic"), config("cellar")];
    let mut sensors = Sensors::default();
    // Until the thread has tried, nothing is measured; then there is no such bus.
    let is_tried = |named: &Named| named.reading != failed(SensorError::NotReady);
    let mut all = sensors.read(&mut root, &configs);
    while !all.iter().all(is_tried) {
        std::thread::yield_now();
        all = sensors.read(&mut root, &configs);
    }
    let names: Vec<_> = all.iter().map(|named| &*named.name).collect();
    assert_eq!(names, ["attic.temperature", "cellar.temperature"]);
    for named in &all {
        let Err(ReadError::Refused { cause, .. }) = &named.reading else {
            panic!("{named:?}");
        };
        assert_eq!(*cause, Errno(libc::ENOENT));
    }
}

#[test]
fn a_thread_that_could_not_be_started_is_started_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut root = Root::open(directory.path()).unwrap();
    let configs = [config("attic")];
    let thread = Thread {
        latest: Shared::new(vec![Latest::new(0)]),
        configs: configs.clone().into(),
        path: directory.path().join("i2c-1"),
        background: Err(Errno(libc::EAGAIN)),
    };
    let is_refused = |reading: &Reading<i32>, by: i32| matches!(reading, Err(ReadError::Refused { cause, .. }) if *cause == Errno(by));
    let before = thread.named(&configs[0], 0).unwrap().swap_remove(0);
    assert!(is_refused(&before.reading, libc::EAGAIN), "{before:?}");
    let mut sensors = Sensors {
        buses: Some(Buses::Threads(vec![thread])),
    };
    // Now there is a thread, which says that there is no such bus.
    loop {
        let named = sensors.read(&mut root, &configs).swap_remove(0);
        if is_refused(&named.reading, libc::ENOENT) {
            break;
        }
        assert!(!is_refused(&named.reading, libc::EAGAIN), "{named:?}");
        std::thread::yield_now();
    }
}

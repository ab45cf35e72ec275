//! Configured sensors on a recorded bus: unplugged, replugged, and whatever the bus says.

use std::path::Path;
use std::time::Duration;

use nodling_agent::assess::{State, assess};
use nodling_agent::encode::{Encoder, Identity, facts};
use nodling_agent::observe::root::Root;
use nodling_agent::observe::sensor::Config as SensorConfig;
use nodling_agent::observe::{Config, Detail, Observation, Observer, Reading};
use nodling_agent::registration::Registration;
use nodling_boards::sensor::{Kind, Options};
use nodling_protocol::{Facts, Frame, Heartbeat, Instance, WillHash};
use tempfile::TempDir;

use crate::support::{Breakage, fixture, write};

const BUS: &str = "dev/i2c-1";
/// A TMP102 at 25 °C, and nothing at 0x44.
const PLUGGED: &str = "48 01 = 60 A0\n48 00 = 19 00\n";
const UNPLUGGED: &str = "10 00 = 00\n";

fn sensor(name: &str, kind: Kind) -> SensorConfig {
    SensorConfig {
        name: name.into(),
        kind,
        bus: "/dev/i2c-1".into(),
        address: kind.address(),
        interval: Duration::from_secs(10),
        options: Options::default(),
    }
}

fn board() -> (TempDir, Observer) {
    let copy = fixture("raspberry-pi-4b/idle").copy();
    let sensors = vec![sensor("attic", Kind::Tmp102), sensor("cellar", Kind::Sht3x)];
    let config = Config {
        sensors,
        ..Config::default()
    };
    let observer = Observer::new(Root::open(copy.path()).unwrap(), config);
    (copy, observer)
}

fn plug(root: &Path, bus: &str) {
    write(root, BUS, bus);
}

fn attic(observation: &Observation) -> Reading<i32> {
    observation.sensors[0].reading.clone()
}

#[test]
fn a_sensor_that_is_unplugged_fails_and_comes_back_by_itself() {
    let (root, mut observer) = board();
    plug(root.path(), PLUGGED);
    for _ in 0..2 {
        assert_eq!(attic(&observer.observe(Detail::Dropped)), Ok(Some(2_500)));
        plug(root.path(), UNPLUGGED);
        let err = attic(&observer.observe(Detail::Dropped)).unwrap_err();
        assert_eq!(
            err.to_string(),
            "tmp102 at /dev/i2c-1 0x48: no device answers"
        );
        plug(root.path(), PLUGGED);
    }
}

#[test]
fn whatever_a_bus_says_the_other_readings_stay_and_a_heartbeat_is_made() {
    let (root, mut observer) = board();
    plug(root.path(), PLUGGED);
    let whole = observer.observe(Detail::Dropped);
    for breakage in Breakage::ALL {
        breakage.apply(&root.path().join(BUS));
        let broken = observer.observe(Detail::Dropped);
        assert!(attic(&broken).is_err(), "{breakage:?}");
        let sensors = whole.sensors.clone();
        assert_eq!(
            Observation {
                sensors,
                ..broken.clone()
            },
            whole,
            "{breakage:?}"
        );
        let assessment = assess(&mut State::default(), &broken);
        let mut encoder = Encoder::new(Instance(1), 0);
        let parsed = Frame::parse(encoder.heartbeat(&assessment)).unwrap();
        let beat = Heartbeat::decode(parsed.clear().unwrap().message).unwrap();
        assert_eq!(beat.readings.iter().next(), Some(None), "{breakage:?}");
        let path = root.path().join(BUS);
        let _ = std::fs::remove_dir(&path);
        plug(root.path(), PLUGGED);
        assert_eq!(attic(&observer.observe(Detail::Dropped)), Ok(Some(2_500)));
    }
}

#[test]
fn facts_name_a_sensor_whether_it_is_there_or_not() {
    let (root, mut observer) = board();
    plug(root.path(), UNPLUGGED);
    let observation = observer.observe(Detail::Dropped);
    let assessment = assess(&mut State::default(), &observation);
    let registration = Registration::default();
    let identity = Identity {
        node: "attic",
        will_hash: WillHash([7; WillHash::LEN]),
        interval_ms: 10_000,
        registration: &registration,
    };
    let mut encoder = Encoder::new(Instance(1), 0);
    let frame = encoder.facts(facts(identity, &observation, &assessment));
    let parsed = Frame::parse(frame).unwrap().clear().unwrap();
    let heard = Facts::decode(parsed.message).unwrap();
    let names: Vec<_> = heard.sensors.iter().map(|sensor| sensor.name).collect();
    let expected = ["attic.temperature", "cellar.temperature", "cellar.humidity"];
    assert_eq!(names[..3], expected);
    plug(root.path(), PLUGGED);
    let observation = observer.observe(Detail::Dropped);
    let assessment = assess(&mut State::default(), &observation);
    let said = facts(identity, &observation, &assessment);
    assert_eq!(said.sensors, heard.sensors, "no new generation for a plug");
}

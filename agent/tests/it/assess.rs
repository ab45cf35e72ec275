//! What each fixture means, and that whatever breaks, a heartbeat is still made of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nodling_agent::assess::thresholds::{Limit, Signal, Threshold, Thresholds};
use nodling_agent::assess::{Assessment, Config, State, assess, unread};
use nodling_agent::describe::describe;
use nodling_agent::encode::{Encoder, Identity, facts};
use nodling_agent::observe::{Detail, Fixed, Observation, ReadError};
use nodling_protocol::ConditionKind::{DiskPressure, MemoryPressure, PidPressure, Ready};
use nodling_protocol::{
    ConditionKind, Facts, Frame, Heartbeat, Instance, Kind, Status, Vitals, WillHash,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{self, Breakage, Fixture, NO_WISHES, all_fixtures, fixture, observe};

const IDLE: &str = "raspberry-pi-4b/idle";
static IDENTITY: Identity<'_> = Identity {
    node: "attic",
    will_hash: WillHash([7; WillHash::LEN]),
    interval_ms: 10_000,
    registration: &NO_WISHES,
};

fn idle() -> Observation {
    observe(&fixture(IDLE).path)
}

fn once(observation: &Observation) -> Assessment {
    assess(&mut State::default(), observation)
}

/// Encodes, decodes, and compares with what was to be said.
fn beat_returns(encoder: &mut Encoder, assessment: &Assessment) -> usize {
    let frame = encoder.heartbeat(assessment);
    let parsed = Frame::parse(frame).unwrap().clear().unwrap();
    assert_eq!(parsed.kind, Kind::Heartbeat);
    let beat = Heartbeat::decode(parsed.message).unwrap();
    assert_eq!(beat.uptime, assessment.uptime);
    assert_eq!(beat.vitals, assessment.vitals);
    assert_eq!(beat.conditions, assessment.conditions);
    let readings: Vec<_> = beat.readings.iter().collect();
    let sensors = assessment.sensors.iter();
    let sensors: Vec<_> = sensors
        .map(|sensor| sensor.reading.clone().unwrap_or(None))
        .collect();
    assert_eq!(readings, sensors);
    for (position, _) in &assessment.failures {
        assert_ne!(beat.failed & (1 << position), 0, "{position}");
    }
    assert_eq!(
        usize::try_from(beat.failed.count_ones()).unwrap(),
        assessment.failures.len()
    );
    frame.len()
}

#[test]
fn every_fixture_is_assessed_as_recorded() {
    for fixture in all_fixtures() {
        let observation = observe(&fixture.path);
        let description = describe(&observation, &once(&observation), &NO_WISHES);
        let name = format!("{}--{}", fixture.board, fixture.scenario);
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&description).unwrap());
    }
}

#[test]
fn every_fixture_makes_facts_and_a_beat_that_return() {
    for fixture in all_fixtures() {
        let observation = observe(&fixture.path);
        let assessment = once(&observation);
        let mut encoder = Encoder::new(Instance(0xABCD), 4);
        let said = facts(IDENTITY, &observation, &assessment);
        assert!(encoder.has_news(&said), "{}", fixture.name());
        let frame = encoder.facts(said.clone()).to_vec();
        let parsed = Frame::parse(&frame).unwrap();
        assert_eq!((parsed.session, parsed.sequence), (4, 0));
        let heard = Facts::decode(parsed.clear().unwrap().message).unwrap();
        assert_eq!(
            heard,
            Facts {
                instance: Instance(0xABCD),
                ..said
            },
            "{}",
            fixture.name()
        );
        let len = beat_returns(&mut encoder, &assessment);
        assert!(len <= 64, "{}: {len}", fixture.name());
    }
}

#[test]
fn whatever_breaks_a_heartbeat_is_made() {
    for fixture in all_fixtures() {
        let copy = fixture.copy();
        let mut encoder = Encoder::new(Instance(1), 0);
        for file in fixture.new_files() {
            // Absent, failed and half of it: `assess` cannot tell more kinds of broken apart.
            for breakage in [Breakage::Deleted, Breakage::Unreadable, Breakage::Truncated] {
                breakage.apply(&copy.path().join(&file));
                let observation = observe(copy.path());
                let assessment = once(&observation);
                assert_eq!(
                    assessment.conditions.of(Ready),
                    Some(Status::True),
                    "{file}"
                );
                beat_returns(&mut encoder, &assessment);
                let frame = encoder.facts(facts(IDENTITY, &observation, &assessment));
                assert!(Frame::parse(frame).is_ok(), "{file} {breakage:?}");
                fixture.restore(copy.path(), &file);
            }
        }
    }
}

#[test]
fn a_failed_reading_is_a_bit_on_the_wire_and_a_reason_on_the_board() {
    let fixture = fixture(IDLE);
    let copy = fixture.copy();
    Breakage::Garbled.apply(&copy.path().join("proc/loadavg"));
    let assessment = once(&observe(copy.path()));
    let failed: Vec<_> = assessment
        .failures
        .iter()
        .map(|(at, _)| Vitals::NAMES[*at])
        .collect();
    assert_eq!(failed, ["load1"]);
    // What judges process ids by the same file cannot tell either.
    assert_eq!(assessment.conditions.of(PidPressure), Some(Status::Unknown));
}

/// What happens to the board before an observation, in seconds since boot.
type Step<'s> = (u64, &'s dyn Fn(&mut Observation));

/// Assesses observations at times, and returns one condition's status at each.
fn timeline(kind: ConditionKind, state: &mut State, steps: &[Step<'_>]) -> Vec<Option<Status>> {
    let original = idle();
    let step = |(at_s, change): &Step<'_>| {
        let mut observation = original.clone();
        observation.uptime_ms = at_s * 1000;
        change(&mut observation);
        assess(state, &observation).conditions.of(kind)
    };
    steps.iter().map(step).collect()
}

const TRUE: Option<Status> = Some(Status::True);
const FALSE: Option<Status> = Some(Status::False);

fn fine(_: &mut Observation) {}

fn nearly_full(observation: &mut Observation) {
    let usage = observation.root_usage.as_mut().unwrap().as_mut().unwrap();
    usage.available_bytes = usage.capacity_bytes / 20;
}

#[test]
fn disk_pressure_lasts_the_kubelets_transition_period() {
    let at = timeline(
        DiskPressure,
        &mut State::default(),
        &[
            (0, &fine),
            (10, &nearly_full),
            (20, &fine),
            (309, &fine),
            (310, &fine),
            (320, &|observation| {
                let usage = observation.root_usage.as_mut().unwrap().as_mut().unwrap();
                usage.inodes_free = usage.inodes / 100;
            }),
        ],
    );
    assert_eq!(at, [FALSE, TRUE, TRUE, TRUE, FALSE, TRUE]);
}

/// The amounts of the resources that are read, after each observation.
fn capacities(state: &mut State, observations: &[Observation]) -> Vec<Vec<(String, u64)>> {
    let amounts = |observation: &Observation| {
        let capacity = assess(state, observation).capacity;
        let amounts = capacity.into_iter();
        amounts
            .map(|has| (has.name.into_owned(), has.amount))
            .collect()
    };
    observations.iter().map(amounts).collect()
}

#[test]
fn what_limits_and_names_a_board_is_told_where_it_cannot_be_read() {
    for (file, name) in [
        ("sys/fs/cgroup/memory.stat", "memory_cgroup"),
        ("proc/sys/kernel/pid_max", "pid_max"),
        ("proc/sys/kernel/threads-max", "threads_max"),
        ("proc/device-tree/model", "model"),
        ("proc/device-tree/compatible", "compatible"),
        ("proc/vmstat", "vmstat"),
    ] {
        let copy = fixture("raspberry-pi-5/cgroup-v2").copy();
        support::write(copy.path(), file, "");
        Breakage::Binary.apply(&copy.path().join(file));
        let unread = observe(copy.path());
        let unread = unread::unread(&unread);
        let names: Vec<_> = unread.iter().map(|(name, _)| &**name).collect();
        assert!(names.contains(&name), "{file}: {names:?}");
        assert!(unread.iter().any(|(_, err)| err.to_string().contains(file)));
    }
    let mut observation = idle();
    let fixed = Arc::make_mut(&mut observation.fixed);
    let err = || ReadError::TooLong {
        path: "x".into(),
        bytes_max: 1,
    };
    (fixed.processors, fixed.huge_pages) = (Err(err()), Err(err()));
    let unread = unread::unread(&observation);
    let names: Vec<_> = unread.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["processors", "huge_pages"]);
}

#[test]
fn capacity_survives_readings_that_fail() {
    let err = || ReadError::TooLong {
        path: "x".into(),
        bytes_max: 1,
    };
    let sound = observe(&fixture("raspberry-pi-4b/idle").path);
    let mut briefly = sound.clone();
    (briefly.root_usage, briefly.memory) = (Err(err()), Err(err()));
    let mut anew = briefly.clone();
    let fixed = Arc::make_mut(&mut anew.fixed);
    (fixed.processors, fixed.huge_pages) = (Err(err()), Err(err()));
    let at = capacities(
        &mut State::default(),
        &[sound.clone(), briefly.clone(), anew.clone(), sound.clone()],
    );
    assert!(at[0].iter().any(|(name, _)| name == "ephemeral-storage"));
    assert!(at[0].iter().any(|(name, _)| name == "memory"));
    assert!(at.iter().all(|amounts| *amounts == at[0]), "{at:#?}");
    // What could not be read at first is taken as soon as it can.
    let late = capacities(&mut State::default(), &[briefly, sound]);
    assert_eq!(late[1], at[0]);
    assert_ne!(late[0], at[0]);
}

#[test]
fn one_broken_pool_of_huge_pages_leaves_the_others() {
    let copy = fixture("raspberry-pi-4b/idle").copy();
    let pool = |size: &str| format!("sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages");
    support::write(copy.path(), &pool("2048"), "3\n");
    support::write(copy.path(), &pool("64"), "5\n");
    let sound = observe(copy.path());
    support::write(copy.path(), &pool("2048"), "many\n");
    let broken = observe(copy.path());
    let at = capacities(
        &mut State::default(),
        &[sound.clone(), broken.clone(), sound],
    );
    assert!(at.iter().all(|amounts| *amounts == at[0]), "{at:#?}");
    let fresh = capacities(&mut State::default(), std::slice::from_ref(&broken));
    let pools = |amounts: &[(String, u64)]| {
        let names = amounts.iter().map(|(name, _)| name.clone());
        let mut pools: Vec<_> = names.filter(|name| name.starts_with("huge")).collect();
        pools.sort();
        pools
    };
    assert!(pools(&at[0]).contains(&"hugepages-2Mi".to_owned()));
    assert!(pools(&fresh[0]).contains(&"hugepages-64Ki".to_owned()));
    assert!(!pools(&fresh[0]).contains(&"hugepages-2Mi".to_owned()));
    let unread = unread::unread(&broken);
    let names: Vec<_> = unread.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["huge_pages/2048kB"]);
}

#[test]
fn capacity_changes_only_when_what_is_fixed_was_read_again() {
    let sound = observe(&fixture("raspberry-pi-4b/idle").path);
    let mut drifted = sound.clone();
    let usage = drifted.root_usage.as_mut().unwrap().as_mut().unwrap();
    usage.capacity_bytes -= 4096;
    let memory = drifted.memory.as_mut().unwrap().as_mut().unwrap();
    memory.total_kib += 4;
    let mut anew = drifted.clone();
    anew.fixed = Arc::new(Fixed::clone(&sound.fixed));
    let fresh = capacities(&mut State::default(), std::slice::from_ref(&drifted));
    let at = capacities(&mut State::default(), &[sound, drifted, anew]);
    assert_eq!(at[0], at[1]);
    assert_ne!(at[1], at[2]);
    assert_eq!(at[2], fresh[0]);
}

#[test]
fn a_threshold_is_met_below_it_and_not_at_it() {
    for (available, expected) in [(1000, FALSE), (999, TRUE)] {
        let thresholds = Thresholds {
            hard: vec![Threshold {
                signal: Signal::PidAvailable,
                limit: Limit::parse("1000").unwrap(),
                grace: Duration::ZERO,
            }],
            ..Thresholds::default()
        };
        let with_pids = |observation: &mut Observation| {
            let load = observation.load.as_mut().unwrap().as_mut().unwrap();
            observation.pid_max = Ok(Some(u64::from(load.threads) + available));
            observation.threads_max = Ok(None);
        };
        let mut state = State::new(Config {
            thresholds,
            ..Config::default()
        });
        let at = timeline(PidPressure, &mut state, &[(0, &with_pids)]);
        assert_eq!(at, [expected]);
    }
}

#[test]
fn memory_pressure_is_judged_by_the_working_set() {
    let low = |observation: &mut Observation| {
        let memory = observation.memory.as_mut().unwrap().as_mut().unwrap();
        memory.anon_pages_kib = Some(memory.total_kib - 50 * 1024);
        memory.inactive_file_kib = Some(0);
        memory.cached_kib = Some(0);
        memory.buffers_kib = Some(0);
        memory.swap_cached_kib = Some(0);
        observation.memory_cgroup = Ok(None);
    };
    let gone = |observation: &mut Observation| {
        observation.memory = Ok(None);
        observation.memory_cgroup = Ok(None);
    };
    let mut state = State::default();
    let at = timeline(
        MemoryPressure,
        &mut state,
        &[(0, &fine), (10, &low), (20, &gone)],
    );
    assert_eq!(at, [FALSE, TRUE, None]);
}

#[test]
fn facts_that_do_not_fit_lose_labels_first() {
    let observation = idle();
    let mut assessment = once(&observation);
    let long = "x".repeat(250);
    assessment.addresses = (0..16)
        .map(|_| {
            (
                nodling_protocol::facts::AddressKind::Hostname,
                long.as_str().into(),
            )
        })
        .collect();
    let value = "v".repeat(200);
    let mut said = facts(IDENTITY, &observation, &assessment);
    said.labels.clear();
    for _ in 0..32 {
        let label = nodling_protocol::facts::Label {
            key: &long,
            value: &value,
        };
        said.labels.push(label).unwrap();
    }
    let mut encoder = Encoder::new(Instance(1), 0);
    let frame = encoder.facts(said);
    let heard = Facts::decode(Frame::parse(frame).unwrap().clear().unwrap().message).unwrap();
    assert!(heard.labels.is_empty());
    assert_eq!(heard.addresses.len(), 16);
}

#[test]
fn facts_are_news_only_when_something_slow_changed() {
    let mut observation = idle();
    let mut encoder = Encoder::new(Instance(1), 0);
    let mut news = |observation: &Observation, identity: Identity<'_>| {
        let assessment = once(observation);
        let has_news = encoder.has_news(&facts(identity, observation, &assessment));
        let beat = encoder.heartbeat(&assessment);
        let beat = Frame::parse(beat).unwrap().clear().unwrap();
        (
            has_news,
            Heartbeat::decode(beat.message).unwrap().generation,
        )
    };
    assert_eq!(news(&observation, IDENTITY), (true, 0));
    observation.uptime_ms += 10_000;
    let other_will = Identity {
        will_hash: WillHash([8; 16]),
        ..IDENTITY
    };
    assert_eq!(news(&observation, other_will), (false, 0));
    let slower = Identity {
        interval_ms: 20_000,
        ..IDENTITY
    };
    assert_eq!(news(&observation, slower), (true, 1));
    let usage = observation.root_usage.as_mut().unwrap().as_mut().unwrap();
    usage.capacity_bytes += 4096;
    assert_eq!(news(&observation, slower), (true, 2));
}

proptest! {
    #[test]
    fn sequences_count_on_and_begin_anew_with_each_session(
        opens in prop::collection::vec(any::<bool>(), 1..40), number: u8
    ) {
        let assessment = once(&idle());
        let mut encoder = Encoder::new(Instance(9), number);
        let (mut session, mut sequence) = (number, 0);
        for opens in opens {
            if opens {
                encoder.open();
                (session, sequence) = (session.wrapping_add(1), 0);
            }
            let frame = Frame::parse(encoder.heartbeat(&assessment)).unwrap();
            prop_assert_eq!((frame.session, frame.sequence), (session, sequence));
            prop_assert_eq!(frame.clear().unwrap().tag, 9);
            sequence += 1;
        }
    }

    #[test]
    fn any_number_may_be_absurd(
        fixture in any::<prop::sample::Index>(),
        file in any::<prop::sample::Index>(),
        number in any::<prop::sample::Index>(),
        absurd in prop::sample::select(ABSURD.as_slice()),
    ) {
        static COPIES: OnceLock<Vec<(Fixture, TempDir)>> = OnceLock::new();
        let (fixture, copy) = fixture.get(COPIES.get_or_init(support::copies));
        let mut files = fixture.kernel_files();
        files.push("syscalls.toml".into());
        let file = file.get(&files);
        let sound = support::read(&fixture.path, file).unwrap();
        support::write(copy.path(), file, with_number(&sound, number, absurd));
        // An answer that is no number at all is a wrong fixture, not a wrong kernel.
        if let Ok(mut observer) = support::observer(copy.path()) {
            let mut state = State::default();
            let mut encoder = Encoder::new(Instance(1), 0);
            for _ in 0..2 {
                let observation = observer.observe(Detail::Kept);
                let assessment = assess(&mut state, &observation);
                prop_assert_eq!(assessment.conditions.of(Ready), Some(Status::True));
                for (has, of) in assessment.allocatable.iter().zip(&assessment.capacity) {
                    prop_assert!(has.amount <= of.amount, "{} {}", file, has.name);
                }
                beat_returns(&mut encoder, &assessment);
                let frame = encoder.facts(facts(IDENTITY, &observation, &assessment));
                prop_assert!(Frame::parse(frame).is_ok());
            }
        }
        fixture.restore(copy.path(), file);
    }

    #[test]
    fn files_may_vanish_between_ticks_and_return(
        fixture in any::<prop::sample::Index>(),
        vanishing in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        static COPIES: OnceLock<Vec<(Fixture, TempDir)>> = OnceLock::new();
        let (fixture, copy) = fixture.get(COPIES.get_or_init(support::copies));
        let files = fixture.kernel_files();
        let mut observer = support::observer(copy.path()).unwrap();
        let mut encoder = Encoder::new(Instance(1), 0);
        let before = once(&observer.observe(Detail::Dropped));
        for file in &vanishing {
            let path = copy.path().join(file.get(&files));
            if path.exists() {
                Breakage::Deleted.apply(&path);
            }
            beat_returns(&mut encoder, &once(&observer.observe(Detail::Dropped)));
        }
        for file in &vanishing {
            let file = file.get(&files);
            fixture.restore(copy.path(), file);
        }
        prop_assert_eq!(once(&observer.observe(Detail::Dropped)), before, "all is back");
    }
}

/// What broken drivers, wrapped counters and torn reads have shown.
const ABSURD: [&str; 10] = [
    "",
    "-1",
    "-9223372036854775808",
    "0",
    "4294967295",
    "9223372036854775807",
    "18446744073709551615",
    "340282366920938463463374607431768211456",
    "1e309",
    "NaN",
];

/// Replaces one of the numbers in a text; a text without any stays.
fn with_number(text: &[u8], which: prop::sample::Index, replacement: &str) -> Vec<u8> {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<_> = (0..text.len())
        .filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1)))
        .collect();
    if starts.is_empty() {
        return text.to_vec();
    }
    let start = *which.get(&starts);
    let end = (start..=text.len()).find(|at| !is_digit(*at)).unwrap();
    [&text[..start], replacement.as_bytes(), &text[end..]].concat()
}

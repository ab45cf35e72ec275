//! Pressures of what was observed: each signal to the byte, and what cannot be seen.

use nodling_agent::assess::thresholds::{Limit, Signal, Threshold, Thresholds};
use nodling_agent::assess::{Config, State, assess, unread};
use nodling_agent::observe::memory::MemoryCgroup;
use nodling_agent::observe::{Observation, ReadError};
use nodling_protocol::ConditionKind::{DiskPressure, MemoryPressure, PidPressure};
use nodling_protocol::{ConditionKind, Status};

use crate::support::{fixture, observe, read, write};

fn idle() -> Observation {
    observe(&fixture("raspberry-pi-4b/idle").path)
}

fn state(signal: Signal, limit: &str) -> State {
    let thresholds = Thresholds {
        hard: vec![Threshold {
            signal,
            limit: Limit::parse(limit).unwrap(),
            grace: std::time::Duration::ZERO,
        }],
        ..Thresholds::default()
    };
    State::new(Config {
        thresholds,
        ..Config::default()
    })
}

fn status(observation: &Observation, signal: Signal, limit: &str) -> Option<Status> {
    let conditions = assess(&mut state(signal, limit), observation).conditions;
    conditions.of(signal.condition())
}

type Change = fn(&mut Observation);

/// The signal has exactly this: it is met by a threshold of one more.
fn assert_available(observation: &Observation, signal: Signal, available: u64) {
    let at = status(observation, signal, &available.to_string());
    assert_eq!(at, Some(Status::False), "{signal:?} at {available}");
    let above = status(observation, signal, &(available + 1).to_string());
    assert_eq!(above, Some(Status::True), "{signal:?} above {available}");
}

#[test]
fn available_memory_is_the_kubelets_to_the_byte() {
    let mut observation = idle();
    let memory = observation.memory.as_mut().unwrap().as_mut().unwrap();
    memory.total_kib = 4_000_000;
    memory.anon_pages_kib = Some(400_000);
    memory.cached_kib = Some(300_000);
    memory.buffers_kib = Some(20_000);
    memory.swap_cached_kib = Some(1_000);
    memory.inactive_file_kib = Some(100_000);
    let total = 4_000_000 * 1024;
    for (cgroup, working_set) in [
        // AnonPages + Cached + Buffers + SwapCached - Inactive(file).
        (None, 621_000 * 1024),
        (
            Some(MemoryCgroup::V2 {
                anon_bytes: 1_000_001,
                file_bytes: 2_000_000,
                inactive_file_bytes: 500_000,
            }),
            2_500_001,
        ),
        (
            Some(MemoryCgroup::V1 {
                usage_bytes: 3_000_003,
                inactive_file_bytes: 1_000_000,
            }),
            2_000_003,
        ),
        // More inactive than used: a working set of nothing.
        (
            Some(MemoryCgroup::V1 {
                usage_bytes: 10,
                inactive_file_bytes: 11,
            }),
            0,
        ),
    ] {
        observation.memory_cgroup = Ok(cgroup);
        assert_available(&observation, Signal::MemoryAvailable, total - working_set);
    }
}

/// The status of memory pressure by default thresholds, and whether a file is told as unread.
fn memory_pressure(board: &std::path::Path, file: &str) -> (Option<Status>, bool) {
    let observation = observe(board);
    let assessed = assess(&mut State::default(), &observation);
    let failures = assessed.failures.iter().map(|(_, err)| err);
    let unread = unread::unread(&observation);
    let mut all = failures.chain(unread.iter().map(|(_, err)| *err));
    let is_told = all.any(|err| err.to_string().contains(file));
    (assessed.conditions.of(MemoryPressure), is_told)
}

#[test]
fn more_memory_than_there_is_is_not_believed() {
    let board = fixture("raspberry-pi-5/cgroup-v2");
    let copy = board.copy();
    let stat = "sys/fs/cgroup/memory.stat";
    let absurd = "anon 1125899906842624\nfile 1\ninactive_file 1\n";
    write(copy.path(), stat, absurd);
    // The other account of the same pages is taken.
    let at = memory_pressure(copy.path(), stat);
    assert_eq!(at, (Some(Status::False), true));
    let meminfo = "proc/meminfo";
    let text = String::from_utf8(read(copy.path(), meminfo).unwrap()).unwrap();
    let cached = text.lines().find(|line| line.starts_with("Cached:"));
    let text = text.replace(cached.unwrap(), "Cached: 8796093022207 kB");
    write(copy.path(), meminfo, text);
    let at = memory_pressure(copy.path(), meminfo);
    assert_eq!(at, (Some(Status::Unknown), true));
    let old = fixture("jetson-nano/cgroup-v1").copy();
    let usage = "sys/fs/cgroup/memory/memory.usage_in_bytes";
    for absurd in ["18446744073709551615\n", "9223372036854775807\n"] {
        write(old.path(), usage, absurd);
        let at = memory_pressure(old.path(), "sys/fs/cgroup/memory");
        assert_eq!(at, (Some(Status::False), true), "{absurd}");
    }
}

#[test]
fn one_broken_line_of_meminfo_fails_what_rests_on_it_only() {
    let copy = fixture("raspberry-pi-4b/idle").copy();
    let meminfo = "proc/meminfo";
    let text = String::from_utf8(read(copy.path(), meminfo).unwrap()).unwrap();
    let sound = observe(copy.path()).memory.unwrap().unwrap();
    for (key, status) in [("SwapCached:", Status::False), ("Cached:", Status::Unknown)] {
        let line = text.lines().find(|line| line.starts_with(key));
        write(
            copy.path(),
            meminfo,
            text.replace(line.unwrap(), &format!("{key} ?")),
        );
        let memory = observe(copy.path()).memory.unwrap().unwrap();
        assert_eq!(memory.total_kib, sound.total_kib);
        assert_eq!(memory.available_kib, sound.available_kib);
        let at = memory_pressure(copy.path(), meminfo);
        assert_eq!(at, (Some(status), true), "{key}");
    }
}

#[test]
fn disk_and_process_ids_are_what_the_kernel_counts() {
    let mut observation = idle();
    let usage = observation.root_usage.as_mut().unwrap().as_mut().unwrap();
    usage.available_bytes = 123_456_789;
    usage.inodes_free = 4_321;
    assert_available(&observation, Signal::NodefsAvailable, 123_456_789);
    assert_available(&observation, Signal::NodefsInodesFree, 4_321);
    let threads = observation.load.as_ref().unwrap().unwrap().threads;
    observation.pid_max = Ok(Some(32_768));
    observation.threads_max = Ok(Some(10_000));
    assert_available(
        &observation,
        Signal::PidAvailable,
        10_000 - u64::from(threads),
    );
}

#[test]
fn one_limit_of_process_ids_is_enough() {
    let err = || ReadError::TooLong {
        path: "x".into(),
        bytes_max: 1,
    };
    let mut observation = idle();
    let threads = observation.load.as_ref().unwrap().unwrap().threads;
    let left = 10_000 - u64::from(threads);
    for broken in [Err(err()), Ok(None)] {
        for (pid_max, threads_max) in [
            (broken.clone(), Ok(Some(10_000))),
            (Ok(Some(10_000)), broken),
        ] {
            (observation.pid_max, observation.threads_max) = (pid_max, threads_max);
            assert_available(&observation, Signal::PidAvailable, left);
        }
    }
    for (pid_max, threads_max) in [
        (Err(err()), Ok(None)),
        (Ok(None), Err(err())),
        (Err(err()), Err(err())),
    ] {
        (observation.pid_max, observation.threads_max) = (pid_max, threads_max);
        let at = status(&observation, Signal::PidAvailable, "1");
        assert_eq!(at, Some(Status::Unknown));
    }
}

#[test]
fn a_runtimes_filesystems_are_not_observed() {
    let mut observation = idle();
    let usage = observation.root_usage.as_mut().unwrap().as_mut().unwrap();
    usage.available_bytes = 0;
    usage.inodes_free = 0;
    for signal in [
        Signal::ImagefsAvailable,
        Signal::ImagefsInodesFree,
        Signal::ContainerfsAvailable,
        Signal::ContainerfsInodesFree,
    ] {
        assert_eq!(
            status(&observation, signal, "1Ei"),
            Some(Status::False),
            "{signal:?}"
        );
    }
}

#[test]
fn what_a_board_does_not_have_is_absent_and_what_fails_is_kept() {
    let gone: [(ConditionKind, Signal, Change); 3] = [
        (MemoryPressure, Signal::MemoryAvailable, |board| {
            board.memory = Ok(None);
        }),
        (DiskPressure, Signal::NodefsAvailable, |board| {
            board.root_usage = Ok(None);
        }),
        (PidPressure, Signal::PidAvailable, |board| {
            board.load = Ok(None);
        }),
    ];
    let failed: [fn(&mut Observation, ReadError); 3] = [
        |board, err| board.memory = Err(err),
        |board, err| board.root_usage = Err(err),
        |board, err| board.load = Err(err),
    ];
    for ((kind, signal, gone), failed) in gone.into_iter().zip(failed) {
        let mut state = state(signal, "1Ei");
        let mut judge = |at_s: u64, change: &dyn Fn(&mut Observation)| {
            let mut observation = idle();
            observation.uptime_ms = at_s * 1000;
            change(&mut observation);
            assess(&mut state, &observation).conditions.of(kind)
        };
        let err = ReadError::TooLong {
            path: "/".into(),
            bytes_max: 1,
        };
        assert_eq!(judge(0, &|_| {}), Some(Status::True));
        assert_eq!(
            judge(10, &|board| failed(board, err.clone())),
            Some(Status::True)
        );
        assert_eq!(
            judge(309, &|board| failed(board, err.clone())),
            Some(Status::True)
        );
        assert_eq!(
            judge(310, &|board| failed(board, err.clone())),
            Some(Status::Unknown)
        );
        assert_eq!(judge(320, &gone), None);
    }
}

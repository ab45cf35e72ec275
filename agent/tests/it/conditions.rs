//! The board's conditions over time: what sets each, what clears it, and what says nothing.

use std::sync::Arc;

use nodling_agent::assess::stalls::pressure_hint;
use nodling_agent::assess::{Assessment, Config, State, assess, conditions};
use nodling_agent::describe::describe;
use nodling_agent::observe::clock::Timex;
use nodling_agent::observe::disk::{Filesystem, Usage};
use nodling_agent::observe::emmc::{Life, Spare, Wear};
use nodling_agent::observe::ext4::{Device, Errors};
use nodling_agent::observe::fstab::Entry;
use nodling_agent::observe::power::{Source, Throttled};
use nodling_agent::observe::pressure::{Stall, Stalls};
use nodling_agent::observe::thermal::Zone;
use nodling_agent::observe::{Fixed, Links, Observation, ReadError, Storage};
use nodling_protocol::ConditionKind::{
    self, ClockUnsynchronized, CpuPressure, DiskPressure, IoPressure, NetworkUnavailable,
    OutOfDisk, ReadOnlyFilesystem, StorageWorn, ThermalPressure, Throttled as HeldBack,
    UnderVoltage,
};
use nodling_protocol::units::Throttle;
use nodling_protocol::{Status, Statuses};
use proptest::prelude::*;

use crate::support::{self, NO_WISHES, fixture, observe};

const TRUE: Option<Status> = Some(Status::True);
const FALSE: Option<Status> = Some(Status::False);
const UNKNOWN: Option<Status> = Some(Status::Unknown);

/// A Raspberry Pi 4 that nothing ails, and of whose mounts nobody says what is meant.
fn idle() -> Observation {
    let mut observation = observe(&fixture("raspberry-pi-4b/idle").path);
    fixed(&mut observation).fstab = Ok(None);
    observation
}

/// What happens to the board before an observation, in seconds since boot.
type Step<'s> = (u64, &'s dyn Fn(&mut Observation));

fn assessments(state: &mut State, steps: &[Step<'_>]) -> Vec<Assessment> {
    let original = idle();
    let step = |(at_s, change): &Step<'_>| {
        let mut observation = original.clone();
        observation.uptime_ms = at_s * 1000;
        change(&mut observation);
        assess(state, &observation)
    };
    steps.iter().map(step).collect()
}

/// One condition's status after each step.
fn timeline(kind: ConditionKind, steps: &[Step<'_>]) -> Vec<Option<Status>> {
    let assessments = assessments(&mut State::default(), steps);
    let statuses = assessments.iter();
    statuses.map(|one| one.conditions.of(kind)).collect()
}

fn fine(_: &mut Observation) {}

fn failure() -> ReadError {
    ReadError::TooLong {
        path: "x".into(),
        bytes_max: 1,
    }
}

fn fixed(observation: &mut Observation) -> &mut Fixed {
    Arc::make_mut(&mut observation.fixed)
}

fn links(observation: &mut Observation) -> &mut Links {
    Arc::make_mut(&mut observation.links)
}

fn storage(observation: &mut Observation) -> &mut Storage {
    Arc::make_mut(&mut observation.storage)
}

fn bits(bits: u32) -> impl Fn(&mut Observation) {
    move |observation| observation.power.throttled = Ok(Some(Throttled(bits)))
}

const LOW: u32 = Throttled::UNDER_VOLTAGE;
const SINCE_BOOT: u32 = Throttled::SINCE_BOOT_SHIFT;

#[test]
fn under_voltage_shows_at_once_and_clears_after_a_minute() {
    let at = timeline(
        UnderVoltage,
        &[
            (100, &fine),
            (110, &bits(LOW)),
            (120, &fine),
            (179, &fine),
            (180, &fine),
        ],
    );
    assert_eq!(at, [FALSE, TRUE, TRUE, TRUE, FALSE]);
}

#[test]
fn a_dip_between_two_ticks_is_under_voltage() {
    let dipped = bits(LOW << SINCE_BOOT);
    let at = timeline(
        UnderVoltage,
        &[(100, &fine), (110, &dipped), (120, &dipped), (180, &dipped)],
    );
    assert_eq!(at, [FALSE, TRUE, TRUE, FALSE]);
    let at = timeline(
        HeldBack,
        &[
            (100, &fine),
            (110, &bits(Throttled::THROTTLED << SINCE_BOOT)),
        ],
    );
    assert_eq!(at, [FALSE, TRUE]);
}

#[test]
fn a_past_that_comes_and_goes_is_news_when_it_comes() {
    let dipped = bits(LOW << SINCE_BOOT);
    let at = timeline(
        UnderVoltage,
        &[
            (100, &dipped),
            (110, &fine),
            (120, &dipped),
            (130, &dipped),
            (189, &dipped),
            (190, &dipped),
        ],
    );
    assert_eq!(at, [FALSE, FALSE, TRUE, TRUE, TRUE, FALSE]);
}

#[test]
fn another_source_of_the_bits_has_a_past_of_its_own() {
    let told_by = |source, set: u32| {
        move |observation: &mut Observation| {
            observation.power.throttled = Ok(Some(Throttled(set)));
            observation.power.source = Some(source);
        }
    };
    let cleared = told_by(Source::Driver, 0);
    let all = told_by(Source::Firmware, LOW << SINCE_BOOT);
    let more = told_by(Source::Firmware, (LOW | Throttled::THROTTLED) << SINCE_BOOT);
    let steps: [Step<'_>; 4] = [(100, &cleared), (110, &all), (120, &all), (130, &more)];
    assert_eq!(timeline(UnderVoltage, &steps), [FALSE; 4]);
    assert_eq!(timeline(HeldBack, &steps), [FALSE, FALSE, FALSE, TRUE]);
}

#[test]
fn a_dip_before_the_agent_started_is_history_and_stays_among_the_vitals() {
    let dipped = bits(LOW << SINCE_BOOT);
    let forgotten = bits(0);
    let mut state = State::default();
    let assessed = assessments(&mut state, &[(100, &dipped), (110, &forgotten)]);
    for one in &assessed {
        assert_eq!(one.conditions.of(UnderVoltage), FALSE);
        let throttle = one.vitals.throttle.unwrap();
        assert_eq!(
            (throttle.now(), throttle.since_boot()),
            (0, Throttle::UNDER_VOLTAGE)
        );
    }
    // Just booted: a minute ago it would have been seen.
    assert_eq!(timeline(UnderVoltage, &[(50, &dipped)]), [TRUE]);
}

#[test]
fn the_kernels_alarm_counts_beside_the_firmwares_bits() {
    let alarm = |observation: &mut Observation| {
        observation.power.throttled = Ok(None);
        observation.power.is_under_voltage_alarm = Ok(Some(true));
    };
    assert_eq!(timeline(UnderVoltage, &[(100, &alarm)]), [TRUE]);
    let broken = |observation: &mut Observation| {
        observation.power.throttled = Err(failure());
        observation.power.is_under_voltage_alarm = Ok(Some(true));
    };
    assert_eq!(timeline(UnderVoltage, &[(100, &broken)]), [TRUE]);
    let silent = |observation: &mut Observation| {
        observation.power.throttled = Err(failure());
        observation.power.is_under_voltage_alarm = Ok(Some(false));
    };
    let at = timeline(
        UnderVoltage,
        &[(100, &fine), (110, &silent), (409, &silent), (410, &silent)],
    );
    assert_eq!(at, [FALSE, FALSE, FALSE, UNKNOWN]);
}

#[test]
fn a_board_that_cannot_tell_is_not_called_fine() {
    let zero = |set: u32| {
        move |observation: &mut Observation| {
            let power = &mut fixed(observation).profile.power;
            power.detects_under_voltage.as_mut().unwrap().value = false;
            observation.power.throttled = Ok(Some(Throttled(set)));
        }
    };
    assert_eq!(timeline(UnderVoltage, &[(100, &zero(0))]), [None]);
    assert_eq!(timeline(HeldBack, &[(100, &zero(0))]), [FALSE]);
    // Nobody described it: when it has said so once, it can tell.
    let unknown = |set: u32| {
        move |observation: &mut Observation| {
            fixed(observation).profile.power.detects_under_voltage = None;
            observation.power.throttled = Ok(Some(Throttled(set)));
        }
    };
    let at = timeline(
        UnderVoltage,
        &[
            (100, &unknown(0)),
            (110, &unknown(LOW)),
            (120, &unknown(0)),
            (180, &unknown(0)),
        ],
    );
    assert_eq!(at, [None, TRUE, TRUE, FALSE]);
    let none = |observation: &mut Observation| {
        observation.power.throttled = Ok(None);
        observation.power.is_under_voltage_alarm = Ok(None);
    };
    assert_eq!(timeline(UnderVoltage, &[(0, &none)]), [None]);
    assert_eq!(timeline(HeldBack, &[(0, &none)]), [None]);
}

fn zone(name: &str, kind: &str, milli_celsius: i32) -> Zone {
    Zone {
        name: name.into(),
        kind: kind.into(),
        temperature_milli_celsius: Ok(Some(milli_celsius)),
        passive_milli_celsius: None,
        critical_milli_celsius: None,
    }
}

fn zones(zones: Vec<Zone>) -> impl Fn(&mut Observation) {
    move |observation| observation.thermal = Ok(Some(zones.clone()))
}

fn cpu(milli_celsius: i32) -> Zone {
    zone("thermal_zone0", "cpu-thermal", milli_celsius)
}

#[test]
fn a_hot_board_must_cool_before_it_is_fine() {
    let at = timeline(
        ThermalPressure,
        &[
            (0, &zones(vec![cpu(79_999)])),
            (10, &zones(vec![cpu(80_000)])),
            (20, &zones(vec![cpu(76_000)])),
            (200, &zones(vec![cpu(75_000)])),
            (210, &zones(vec![cpu(74_999)])),
            (270, &zones(vec![cpu(74_999)])),
        ],
    );
    assert_eq!(at, [FALSE, TRUE, TRUE, TRUE, TRUE, FALSE]);
}

#[test]
fn any_zone_beyond_its_own_trip_point_counts_and_cools_for_itself() {
    let gpu = |milli_celsius| Zone {
        passive_milli_celsius: Some(70_000),
        critical_milli_celsius: Some(105_000),
        ..zone("thermal_zone1", "gpu-thermal", milli_celsius)
    };
    let at = timeline(
        ThermalPressure,
        &[
            (0, &zones(vec![cpu(50_000), gpu(69_999)])),
            (10, &zones(vec![cpu(50_000), gpu(70_000)])),
            // The processor is not hot, though it would not be cool if it had been.
            (20, &zones(vec![cpu(76_000), gpu(64_999)])),
            (80, &zones(vec![cpu(76_000), gpu(64_999)])),
        ],
    );
    assert_eq!(at, [FALSE, TRUE, TRUE, FALSE]);
}

#[test]
fn limits_come_from_the_profile_else_from_the_zone_else_from_nowhere() {
    let described = |soft: Option<i32>, hard: Option<i32>, zone: Zone| {
        move |observation: &mut Observation| {
            let thermal = &mut fixed(observation).profile.thermal;
            let source = thermal.soft_limit_milli_celsius.clone().unwrap();
            let fact = |value: Option<i32>| {
                value.map(|value| nodling_boards::Fact {
                    value,
                    ..source.clone()
                })
            };
            thermal.soft_limit_milli_celsius = fact(soft);
            thermal.hard_limit_milli_celsius = fact(hard);
            observation.thermal = Ok(Some(vec![zone.clone()]));
        }
    };
    let with_trips = |passive_milli_celsius, critical_milli_celsius, milli_celsius| Zone {
        passive_milli_celsius,
        critical_milli_celsius,
        ..cpu(milli_celsius)
    };
    for (soft, hard, zone, expected) in [
        (Some(60_000), Some(85_000), cpu(60_000), TRUE),
        (None, Some(85_000), cpu(79_999), FALSE),
        (None, Some(85_000), cpu(80_000), TRUE),
        (None, None, with_trips(Some(75_000), None, 75_000), TRUE),
        (None, None, with_trips(None, Some(110_000), 104_999), FALSE),
        (None, None, with_trips(None, Some(110_000), 105_000), TRUE),
        // A passive point above the critical one is a mistake of its author.
        (
            None,
            None,
            with_trips(Some(115_000), Some(95_000), 90_000),
            TRUE,
        ),
        (None, None, cpu(120_000), None),
    ] {
        let step = described(soft, hard, zone.clone());
        let at = timeline(ThermalPressure, &[(0, &step)]);
        assert_eq!(at, [expected], "{soft:?} {hard:?} {zone:?}");
    }
}

#[test]
fn a_zone_that_sleeps_is_no_news_and_one_that_fails_says_nothing() {
    let asleep = Zone {
        temperature_milli_celsius: Ok(None),
        ..cpu(0)
    };
    let at = timeline(
        ThermalPressure,
        &[
            (0, &zones(vec![cpu(82_000)])),
            (10, &zones(vec![asleep.clone()])),
            // It was hot, and this is not cool.
            (20, &zones(vec![cpu(76_000)])),
        ],
    );
    assert_eq!(at, [TRUE, TRUE, TRUE]);
    assert_eq!(
        timeline(ThermalPressure, &[(0, &zones(vec![asleep]))]),
        [None]
    );
    let broken = Zone {
        temperature_milli_celsius: Err(failure()),
        ..cpu(0)
    };
    let at = timeline(
        ThermalPressure,
        &[
            (0, &zones(vec![broken.clone()])),
            (10, &zones(vec![cpu(50_000)])),
        ],
    );
    assert_eq!(at, [UNKNOWN, FALSE]);
    // A radio that cannot be read does not put the processor in doubt.
    let radio = Zone {
        passive_milli_celsius: Some(70_000),
        ..Zone {
            name: "thermal_zone1".into(),
            ..broken
        }
    };
    let beside = zones(vec![cpu(50_000), radio]);
    assert_eq!(timeline(ThermalPressure, &[(0, &beside)]), [FALSE]);
}

/// Changes the root filesystem.
fn root(change: impl Fn(&mut Filesystem)) -> impl Fn(&mut Observation) {
    move |observation| {
        let filesystems = observation.filesystems.as_mut().unwrap().as_mut().unwrap();
        change(&mut filesystems[0]);
    }
}

fn turned(filesystem: &mut Filesystem) {
    filesystem.is_super_read_only = true;
}

fn asked(filesystem: &mut Filesystem) {
    filesystem.is_super_read_only = true;
    filesystem.is_mount_read_only = true;
}

fn in_sandbox(filesystem: &mut Filesystem) {
    filesystem.is_mount_read_only = true;
}

#[test]
fn a_filesystem_that_turns_read_only_is_a_fault_and_one_that_was_asked_to_is_not() {
    let judge = |steps: &[Step<'_>]| timeline(ReadOnlyFilesystem, steps);
    assert_eq!(judge(&[(0, &root(turned))]), [TRUE]);
    assert_eq!(judge(&[(0, &root(asked))]), [FALSE]);
    // Remounted by hand.
    assert_eq!(judge(&[(0, &fine), (10, &root(asked))]), [FALSE, FALSE]);
    // A sandbox shows every mount as read-only: then only the filesystem's word counts.
    let at = judge(&[(0, &root(in_sandbox)), (10, &root(asked))]);
    assert_eq!(at, [FALSE, TRUE]);
    let given_up = root(|filesystem| filesystem.is_given_up = true);
    let at = judge(&[(0, &given_up), (10, &fine), (69, &fine), (70, &fine)]);
    assert_eq!(at, [TRUE, TRUE, TRUE, FALSE]);
}

#[test]
fn fstab_says_what_was_meant() {
    let meant = |is_read_only, change: fn(&mut Filesystem)| {
        move |observation: &mut Observation| {
            fixed(observation).fstab = Ok(Some(vec![Entry {
                mount_point: "/".into(),
                is_read_only,
            }]));
            root(change)(observation);
        }
    };
    let judge = |is_read_only, change| {
        let step = meant(is_read_only, change);
        timeline(ReadOnlyFilesystem, &[(0, &step)])
    };
    // The root was left read-only by the boot: its flags alone look like a wish.
    assert_eq!(judge(false, asked), [TRUE]);
    assert_eq!(judge(true, asked), [FALSE]);
    assert_eq!(judge(true, turned), [FALSE]);
    assert_eq!(
        judge(true, |filesystem| filesystem.is_given_up = true),
        [TRUE]
    );
    let unreadable = |observation: &mut Observation| {
        fixed(observation).fstab = Err(failure());
        root(turned)(observation);
    };
    assert_eq!(timeline(ReadOnlyFilesystem, &[(0, &unreadable)]), [TRUE]);
}

#[test]
fn an_overlay_and_an_image_are_not_judged() {
    for kind in ["overlay", "tmpfs", "squashfs", "erofs"] {
        let only = |observation: &mut Observation| {
            root(|filesystem| {
                filesystem.kind = kind.into();
                asked(filesystem);
            })(observation);
            let filesystems = observation.filesystems.as_mut().unwrap().as_mut().unwrap();
            filesystems.truncate(1);
        };
        assert_eq!(
            timeline(ReadOnlyFilesystem, &[(0, &only)]),
            [None],
            "{kind}"
        );
    }
    // The lower half of an overlay, as raspi-config mounts it.
    let lower = |observation: &mut Observation| {
        root(|filesystem| {
            filesystem.mount_point = "/media/root-ro".into();
            asked(filesystem);
        })(observation);
    };
    assert_eq!(timeline(ReadOnlyFilesystem, &[(0, &lower)]), [FALSE]);
}

/// `count` errors on the root filesystem, the last one at this time of the wall clock.
fn errors(
    count: u64,
    last_unix_s: Option<i64>,
    change: fn(&mut Filesystem, &mut Errors),
) -> impl Fn(&mut Observation) {
    move |observation| {
        let mut errors = Errors {
            name: "mmcblk0p2".into(),
            device: Ok(Some(Device {
                major: 179,
                minor: 2,
            })),
            count: Ok(Some(count)),
            last_unix_s: Ok(last_unix_s),
            has_lost_journal: false,
        };
        let filesystems = observation.filesystems.as_mut().unwrap().as_mut().unwrap();
        change(&mut filesystems[0], &mut errors);
        storage(observation).ext4 = Ok(Some(vec![errors]));
    }
}

#[test]
fn errors_of_ext4_tell_where_the_kernel_hides_that_it_stopped_writing() {
    let stops = |filesystem: &mut Filesystem, _: &mut Errors| filesystem.stops_at_errors = true;
    let goes_on = |_: &mut Filesystem, _: &mut Errors| {};
    let lost_journal = |_: &mut Filesystem, errors: &mut Errors| errors.has_lost_journal = true;
    let judge = |steps: &[Step<'_>]| timeline(ReadOnlyFilesystem, steps);
    let rises = |change| {
        let (before, after) = (errors(3, Some(1), change), errors(4, Some(2), change));
        judge(&[(0, &before), (30, &after), (600, &after)])
    };
    assert_eq!(rises(stops), [FALSE, TRUE, TRUE]);
    assert_eq!(rises(lost_journal), [FALSE, TRUE, TRUE]);
    assert_eq!(rises(goes_on), [FALSE, FALSE, FALSE]);
    // Before the agent started: by the wall clock it was in this boot, or it was not.
    let now_unix_s = idle().clock.wall_unix_s;
    for (ago_s, expected) in [(50, TRUE), (100, TRUE), (101, FALSE), (-1, FALSE)] {
        let at_first_sight = errors(3, Some(now_unix_s - ago_s), stops);
        assert_eq!(judge(&[(100, &at_first_sight)]), [expected], "{ago_s}");
    }
    // This kernel told when it stopped, and somebody mounted it writable again.
    let told = |filesystem: &mut Filesystem, _: &mut Errors| {
        filesystem.stops_at_errors = true;
        turned(filesystem);
    };
    let at = judge(&[
        (0, &errors(3, Some(1), stops)),
        (30, &errors(4, Some(2), told)),
        (40, &errors(4, Some(2), stops)),
        (100, &errors(4, Some(2), stops)),
    ]);
    assert_eq!(at, [FALSE, TRUE, TRUE, FALSE]);
}

#[test]
fn errors_belong_to_the_filesystem_with_their_device() {
    let other = |filesystem: &mut Filesystem, errors: &mut Errors| {
        filesystem.stops_at_errors = true;
        errors.device = Ok(Some(Device { major: 8, minor: 1 }));
    };
    let unnumbered = |filesystem: &mut Filesystem, errors: &mut Errors| {
        filesystem.stops_at_errors = true;
        errors.device = Ok(None);
    };
    let rises = |change| {
        let (before, after) = (errors(0, None, change), errors(1, Some(1), change));
        timeline(ReadOnlyFilesystem, &[(0, &before), (30, &after)])
    };
    assert_eq!(rises(other), [FALSE, FALSE]);
    assert_eq!(rises(unnumbered), [FALSE, TRUE]);
}

#[test]
fn flash_is_worn_at_nine_tenths_of_its_life_or_four_fifths_of_its_spare() {
    let wear = |life: Option<u8>, spare: Option<Spare>| {
        move |observation: &mut Observation| {
            storage(observation).emmc = Ok(Some(vec![Wear {
                name: "mmcblk0".into(),
                life: Ok(life.map(Life)),
                spare: Ok(spare),
            }]));
        }
    };
    for (life, spare, expected) in [
        (Some(1), Some(Spare::Normal), FALSE),
        (Some(9), Some(Spare::Normal), FALSE),
        (Some(10), Some(Spare::Normal), TRUE),
        (Some(11), None, TRUE),
        (Some(1), Some(Spare::Warning), TRUE),
        (None, Some(Spare::Urgent), TRUE),
        (None, Some(Spare::Normal), FALSE),
        (None, None, None),
    ] {
        let at = timeline(StorageWorn, &[(0, &wear(life, spare))]);
        assert_eq!(at, [expected], "{life:?} {spare:?}");
    }
    // A card says nothing.
    assert_eq!(timeline(StorageWorn, &[(0, &fine)]), [None]);
    let broken = |observation: &mut Observation| storage(observation).emmc = Err(failure());
    let worn = wear(Some(10), None);
    let at = timeline(StorageWorn, &[(0, &worn), (10, &broken), (300, &broken)]);
    assert_eq!(at, [TRUE, TRUE, TRUE]);
}

#[test]
fn a_clock_may_lapse_for_two_minutes() {
    let alone = |observation: &mut Observation| {
        observation.clock.has_timesyncd_synchronized = false;
        observation.clock.timex = Ok(Some(Timex {
            is_unsynchronised: true,
            offset_us: 0,
            error_us_max: 16_000_000,
        }));
    };
    let at = timeline(
        ClockUnsynchronized,
        &[
            (0, &alone),
            (10, &fine),
            (20, &alone),
            (139, &alone),
            (140, &alone),
            (150, &fine),
        ],
    );
    assert_eq!(at, [TRUE, FALSE, FALSE, FALSE, TRUE, FALSE]);
}

#[test]
fn a_board_that_boots_in_1970_is_not_synchronised_whatever_the_kernel_says() {
    let in_1970 = |observation: &mut Observation| {
        observation.clock.wall_unix_s = 37;
        let timex = observation.clock.timex.as_ref().unwrap().unwrap();
        assert!(!timex.is_unsynchronised);
    };
    assert_eq!(timeline(ClockUnsynchronized, &[(37, &in_1970)]), [TRUE]);
}

/// Shares of the last minute: of the processor some, of disks all.
fn stalled(cpu_percent: u16, io_percent: u16) -> impl Fn(&mut Observation) {
    let stalls = |percent: u16| {
        let stall = Stall {
            avg60_hundredths: percent * 100,
            ..Stall::default()
        };
        Ok(Some(Stalls {
            some: stall,
            full: Some(stall),
        }))
    };
    move |observation| {
        observation.pressure.cpu = stalls(cpu_percent);
        observation.pressure.io = stalls(io_percent);
    }
}

#[test]
fn stalls_hold_between_two_shares() {
    let steps: &[Step<'_>] = &[
        (0, &stalled(60, 30)),
        (10, &stalled(61, 31)),
        (20, &stalled(41, 16)),
        (30, &stalled(40, 15)),
        (40, &stalled(39, 14)),
        (50, &stalled(59, 29)),
    ];
    let expected = [FALSE, TRUE, TRUE, TRUE, FALSE, FALSE];
    assert_eq!(timeline(CpuPressure, steps), expected);
    assert_eq!(timeline(IoPressure, steps), expected);
    let broken = |observation: &mut Observation| observation.pressure.cpu = Err(failure());
    let at = timeline(CpuPressure, &[(0, &stalled(90, 0)), (10, &broken)]);
    assert_eq!(at, [TRUE, TRUE]);
}

/// A board without pressure stalls, `busy` and `waiting` of whose four processors' time is used
/// up to `at_s`, in per cent, with as many runnable tasks.
fn counted(at_s: u64, busy: u64, waiting: u64, runnable: u32) -> impl Fn(&mut Observation) {
    move |observation| {
        observation.pressure.cpu = Ok(None);
        observation.pressure.io = Ok(None);
        let cpu = observation.cpu.as_mut().unwrap().as_mut().unwrap();
        assert_eq!(cpu.online, 4);
        let ticks = at_s * 400;
        cpu.total = nodling_agent::observe::cpu::CpuTime {
            user_ticks: ticks * busy / 100,
            iowait_ticks: ticks * waiting / 100,
            idle_ticks: ticks - ticks * busy / 100 - ticks * waiting / 100,
            ..nodling_agent::observe::cpu::CpuTime::default()
        };
        let load = observation.load.as_mut().unwrap().as_mut().unwrap();
        load.runnable = runnable;
        load.threads = load.threads.max(runnable);
    }
}

/// The statuses of a board that does the same all the time, each 10 s from the second on.
fn estimated(
    kind: ConditionKind,
    ticks: u64,
    busy: u64,
    waiting: u64,
    runnable: u32,
) -> Vec<Option<Status>> {
    let steps: Vec<_> = (1..=ticks)
        .map(|tick| (tick * 10, counted(tick * 10, busy, waiting, runnable)))
        .collect();
    let steps: Vec<Step<'_>> = steps
        .iter()
        .map(|(at_s, step)| (*at_s, step as &dyn Fn(&mut Observation)))
        .collect();
    timeline(kind, &steps)
}

#[test]
fn pressure_is_estimated_where_the_kernel_does_not_tell() {
    let crowded = estimated(CpuPressure, 12, 100, 0, 9);
    assert_eq!(crowded[..2], [None, FALSE], "one tick has no share yet");
    assert_eq!(crowded.last(), Some(&TRUE));
    let turns = crowded.iter().position(|status| *status == TRUE).unwrap();
    assert!(
        (6..=8).contains(&turns),
        "after a minute, not {turns} ticks"
    );
    // Busy with as many tasks as there are processors, or with many for an instant only.
    // The reader of the count is one of these five.
    assert_eq!(estimated(CpuPressure, 30, 100, 0, 5).last(), Some(&FALSE));
    assert_eq!(estimated(CpuPressure, 30, 100, 0, 6).last(), Some(&TRUE));
    assert_eq!(estimated(CpuPressure, 30, 50, 0, 9).last(), Some(&FALSE));
    // One task waits for a slow card, and nothing else happens.
    assert_eq!(estimated(IoPressure, 12, 5, 25, 1).last(), Some(&TRUE));
    assert_eq!(estimated(IoPressure, 30, 30, 25, 2).last(), Some(&FALSE));
    assert_eq!(estimated(IoPressure, 30, 2, 5, 1).last(), Some(&FALSE));
}

#[test]
fn an_estimate_needs_its_readings() {
    let off = |observation: &mut Observation| {
        observation.pressure.cpu = Ok(None);
        observation.pressure.io = Ok(None);
        observation.cpu = Ok(None);
    };
    assert_eq!(
        timeline(CpuPressure, &[(0, &off), (10, &off)]),
        [None, None]
    );
    assert_eq!(timeline(IoPressure, &[(0, &off), (10, &off)]), [None, None]);
    let broken = |observation: &mut Observation| {
        observation.pressure.cpu = Ok(None);
        observation.load = Err(failure());
    };
    assert_eq!(timeline(CpuPressure, &[(0, &broken)]), [UNKNOWN]);
    // A counter that ran backwards is no news.
    let at = timeline(
        CpuPressure,
        &[
            (10, &counted(10, 10, 0, 1)),
            (20, &counted(20, 10, 0, 1)),
            (30, &counted(1, 10, 0, 1)),
            (40, &counted(11, 10, 0, 1)),
        ],
    );
    assert_eq!(at, [None, FALSE, FALSE, FALSE]);
}

/// Changes how full the root filesystem is.
fn usage(change: impl Fn(&mut Usage)) -> impl Fn(&mut Observation) {
    move |observation| change(observation.root_usage.as_mut().unwrap().as_mut().unwrap())
}

#[test]
fn a_full_disk_is_out_of_disk_until_there_is_room_again() {
    let left = |bytes: u64| usage(move |usage| usage.available_bytes = bytes);
    let failed = |observation: &mut Observation| observation.root_usage = Err(failure());
    let at = timeline(
        OutOfDisk,
        &[
            (0, &left(0)),
            (10, &left(2 << 20)),
            (20, &left(9 << 20)),
            (30, &failed),
            (330, &failed),
        ],
    );
    assert_eq!(at, [TRUE, TRUE, FALSE, FALSE, UNKNOWN]);
    let image = root(|filesystem| filesystem.kind = "squashfs".into());
    for kind in [OutOfDisk, DiskPressure] {
        assert_eq!(timeline(kind, &[(0, &image)]), [None]);
    }
}

fn no_route(observation: &mut Observation) {
    links(observation).routes.v4 = Ok(Some(vec![]));
    links(observation).routes.v6 = Ok(Some(vec![]));
}

#[test]
fn a_route_may_be_gone_for_half_a_minute() {
    let gone = no_route;
    let at = timeline(
        NetworkUnavailable,
        &[
            (0, &fine),
            (10, &gone),
            (39, &gone),
            (40, &gone),
            (50, &fine),
        ],
    );
    assert_eq!(at, [FALSE, FALSE, FALSE, TRUE, FALSE]);
    let unknown = |observation: &mut Observation| {
        links(observation).routes.v4 = Ok(None);
        links(observation).routes.v6 = Ok(None);
    };
    assert_eq!(timeline(NetworkUnavailable, &[(0, &unknown)]), [None]);
}

#[test]
fn what_is_switched_off_is_absent() {
    let bad = |observation: &mut Observation| {
        no_route(observation);
        usage(|usage| usage.available_bytes = 0)(observation);
    };
    for (reports_out_of_disk, reports_network_unavailable) in [(true, false), (false, true)] {
        let config = Config {
            conditions: conditions::Config {
                reports_out_of_disk,
                reports_network_unavailable,
            },
            ..Config::default()
        };
        let assessed = assessments(&mut State::new(config), &[(0, &bad)]);
        let shown = |kind| assessed[0].conditions.of(kind).is_some();
        assert_eq!(shown(OutOfDisk), reports_out_of_disk);
        assert_eq!(shown(NetworkUnavailable), reports_network_unavailable);
    }
}

#[test]
fn a_reading_behind_a_condition_that_failed_is_shown_with_its_reason() {
    let copy = fixture("raspberry-pi-cm4/emmc-worn").copy();
    let life = "sys/block/mmcblk0/device/life_time";
    support::write(copy.path(), life, "0xff 0xff\n");
    let observation = observe(copy.path());
    let assessment = assess(&mut State::default(), &observation);
    // Its spare blocks tell still.
    assert_eq!(assessment.conditions.of(StorageWorn), TRUE);
    let described = describe(&observation, &assessment, &NO_WISHES);
    let readings = described["readings"].as_array().unwrap();
    let shown = readings
        .iter()
        .find(|reading| reading["name"] == "emmc/mmcblk0");
    assert_eq!(
        shown.unwrap()["error"],
        format!("{life}:1: expected two of 0x00 to 0x0b")
    );
    support::write(copy.path(), "sys/block/mmcblk0/device/pre_eol_info", "2\n");
    let assessment = assess(&mut State::default(), &observe(copy.path()));
    assert_eq!(assessment.conditions.of(StorageWorn), UNKNOWN);
}

#[test]
fn why_pressure_stalls_are_off_is_told_once_they_are() {
    let told = |argument, is_on: bool| {
        let mut observation = idle();
        fixed(&mut observation).psi_argument = argument;
        if is_on {
            stalled(0, 0)(&mut observation);
        }
        pressure_hint(&observation)
    };
    for (argument, expected) in [
        (Ok(None), "psi=1"),
        (Ok(Some(false)), "psi=1"),
        (Err(failure()), "psi=1"),
        (Ok(Some(true)), "CONFIG_PSI"),
    ] {
        let hint = told(argument.clone(), false).unwrap();
        assert!(hint.contains(expected), "{argument:?}: {hint}");
        assert_eq!(told(argument, true), None);
    }
}

/// The statuses of several observations, one after the other.
fn statuses(observations: &[Observation]) -> Vec<Statuses> {
    let mut state = State::default();
    let assessed = observations.iter();
    assessed
        .map(|observation| assess(&mut state, observation).conditions)
        .collect()
}

fn some_zone() -> impl Strategy<Value = Zone> {
    let limit = || prop::option::of(40_000_i32..120_000);
    let kind = prop_oneof![Just("cpu-thermal"), Just("gpu-thermal"), Just("")];
    (kind, 30_000_i32..110_000, limit(), limit()).prop_map(|(kind, milli, passive, critical)| {
        Zone {
            passive_milli_celsius: passive,
            critical_milli_celsius: critical,
            ..zone("", kind, milli)
        }
    })
}

fn some_filesystem() -> impl Strategy<Value = Filesystem> {
    let kind = prop_oneof![Just("ext4"), Just("vfat"), Just("overlay")];
    (kind, any::<[bool; 4]>()).prop_map(|(kind, [mount, superblock, given_up, stops])| Filesystem {
        source: "".into(),
        device: Device::default(),
        mount_point: "".into(),
        kind: kind.into(),
        is_mount_read_only: mount,
        is_super_read_only: superblock,
        is_given_up: given_up,
        stops_at_errors: stops,
        usage: Ok(None),
    })
}

proptest! {
    #[test]
    fn the_order_of_zones_and_filesystems_changes_nothing(
        ticks in prop::collection::vec(
            (prop::collection::vec(some_zone(), 3), prop::collection::vec(some_filesystem(), 3)),
            1..6
        ),
        order in Just([0_usize, 1, 2]).prop_shuffle(),
    ) {
        let mut straight = Vec::new();
        for (index, (mut zones, mut filesystems)) in ticks.into_iter().enumerate() {
            for (at, zone) in zones.iter_mut().enumerate() {
                zone.name = format!("thermal_zone{}", at * 7).into();
            }
            for (at, filesystem) in filesystems.iter_mut().enumerate() {
                filesystem.mount_point = format!("/mnt/{at}").into();
            }
            let mut observation = idle();
            observation.uptime_ms += u64::try_from(index).unwrap() * 10_000;
            observation.thermal = Ok(Some(zones));
            observation.filesystems = Ok(Some(filesystems));
            straight.push(observation);
        }
        let mut shuffled = straight.clone();
        for (shuffled, straight) in shuffled.iter_mut().zip(&straight) {
            let zones = straight.thermal.as_ref().unwrap().as_ref().unwrap();
            shuffled.thermal = Ok(Some(order.iter().map(|at| zones[*at].clone()).collect()));
            let all = straight.filesystems.as_ref().unwrap().as_ref().unwrap();
            shuffled.filesystems = Ok(Some(order.iter().map(|at| all[*at].clone()).collect()));
        }
        prop_assert_eq!(statuses(&straight), statuses(&shuffled));
    }

    #[test]
    fn readings_that_never_cross_never_set(
        ticks in prop::collection::vec(
            (20_000_i32..80_000, 0_u16..=60, 0_u16..=30, (1_u64 << 20)..(1 << 30), any::<bool>()),
            1..12
        ),
        apart_s in 1_u64..400,
    ) {
        let mut observations = Vec::new();
        for (index, (milli, cpu_percent, io_percent, available_bytes, fails)) in ticks.into_iter().enumerate() {
            let mut observation = idle();
            observation.uptime_ms += u64::try_from(index).unwrap() * apart_s * 1000;
            zones(vec![cpu(milli)])(&mut observation);
            stalled(cpu_percent, io_percent)(&mut observation);
            usage(|usage| usage.available_bytes = available_bytes)(&mut observation);
            if fails {
                observation.thermal = Err(failure());
                observation.power.throttled = Err(failure());
                observation.pressure.cpu = Err(failure());
            }
            observations.push(observation);
        }
        let judged = [
            ThermalPressure, UnderVoltage, HeldBack, OutOfDisk, CpuPressure, IoPressure,
            ReadOnlyFilesystem, ClockUnsynchronized, NetworkUnavailable, StorageWorn,
        ];
        for statuses in statuses(&observations) {
            for kind in judged {
                prop_assert_ne!(statuses.of(kind), TRUE, "{}", kind);
            }
        }
    }
}

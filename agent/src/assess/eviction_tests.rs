//! Timelines of the kubelet's own tests, and laws that hold for any.

use super::*;
use proptest::prelude::*;

const MEMORY: usize = 0;
const MINUTE_S: u64 = 60;

fn threshold(signal: Signal, limit: &str, grace_s: u64) -> Threshold {
    Threshold {
        signal,
        limit: Limit::parse(limit).unwrap(),
        grace: Duration::from_secs(grace_s),
    }
}

fn thresholds(hard: &[(Signal, &str)], soft: &[(Signal, &str, u64)]) -> Thresholds {
    let hard = hard
        .iter()
        .map(|(signal, limit)| threshold(*signal, limit, 0));
    let soft = soft.iter();
    Thresholds {
        hard: hard.collect(),
        soft: soft
            .map(|(signal, limit, grace_s)| threshold(*signal, limit, *grace_s))
            .collect(),
        ..Thresholds::default()
    }
}

fn bytes(text: &str) -> u64 {
    Quantity::parse(text).unwrap().to_whole().unwrap()
}

fn left(signal: Signal, available: &str, capacity: Option<&str>) -> Signals {
    let mut signals = Signals::default();
    signals[signal.index()] = Observed::Available {
        available: bytes(available),
        capacity: capacity.map(bytes),
    };
    signals
}

/// What memory pressure is at each time, and which thresholds are met.
fn memory(thresholds: &Thresholds, steps: &[(u64, &str)]) -> Vec<(bool, bool)> {
    let mut eviction = Eviction::new(thresholds);
    let step = |(at_s, available): &(u64, &str)| {
        let signals = left(Signal::MemoryAvailable, available, Some("8Gi"));
        let pressure = eviction.update(&signals, at_s * 1000)[MEMORY];
        assert_eq!(pressure.is_met, eviction.met().next().is_some());
        (pressure.is_met, pressure.is_reported)
    };
    steps.iter().map(step).collect()
}

const MET: (bool, bool) = (true, true);
const LASTING: (bool, bool) = (false, true);
const NONE: (bool, bool) = (false, false);

#[test]
fn a_soft_threshold_is_pressure_at_once_and_all_pressure_outlasts_its_cause() {
    let thresholds = thresholds(
        &[(Signal::MemoryAvailable, "1Gi")],
        &[(Signal::MemoryAvailable, "2Gi", 2 * MINUTE_S)],
    );
    let minutes = |minutes: u64| minutes * MINUTE_S;
    let at = memory(
        &thresholds,
        &[
            (0, "2Gi"),
            (minutes(1), "1500Mi"),
            (minutes(4), "1500Mi"),
            (minutes(24), "3Gi"),
            (minutes(25), "500Mi"),
            (minutes(26), "2Gi"),
            (minutes(30) - 1, "2Gi"),
            (minutes(30), "2Gi"),
            (minutes(31), "2Gi"),
        ],
    );
    assert_eq!(
        at,
        [NONE, MET, MET, NONE, MET, LASTING, LASTING, NONE, NONE]
    );
}

#[test]
fn a_threshold_is_met_below_its_limit_and_not_at_it() {
    let absolute = thresholds(&[(Signal::MemoryAvailable, "1Gi")], &[]);
    let at = memory(&absolute, &[(0, "1Gi"), (1, "1073741823")]);
    assert_eq!(at, [NONE, MET]);
    // 10 % of 8 GiB as a 32-bit float is some bytes more than as a decimal.
    let share = thresholds(&[(Signal::MemoryAvailable, "10%")], &[]);
    let at = memory(
        &share,
        &[(0, "858993472"), (1, "858993471"), (2, "858993459")],
    );
    assert_eq!(at, [NONE, MET, MET]);
    for never in ["0%", "100%"] {
        let never = thresholds(&[(Signal::MemoryAvailable, never)], &[]);
        assert_eq!(memory(&never, &[(0, "0"), (1, "1Gi")]), [NONE, NONE]);
    }
}

#[test]
fn a_met_threshold_stays_met_until_its_minimum_reclaim_is_available() {
    let mut thresholds = thresholds(&[(Signal::MemoryAvailable, "1Gi")], &[]);
    thresholds.minimum_reclaim = vec![(Signal::MemoryAvailable, Limit::parse("500Mi").unwrap())];
    let steps = [
        (0, "1200Mi"),
        (60, "500Mi"),
        (120, "1200Mi"),
        (180, "1523Mi"),
        (240, "1524Mi"),
        (300, "1200Mi"),
        (479, "1200Mi"),
        (480, "1200Mi"),
    ];
    let at = memory(&thresholds, &steps);
    assert_eq!(at, [NONE, MET, MET, MET, LASTING, LASTING, LASTING, NONE]);
    // As a share, of the same capacity.
    thresholds.minimum_reclaim = vec![(Signal::MemoryAvailable, Limit::Percent(50.0))];
    let at = memory(
        &thresholds,
        &[(0, "1Gi"), (60, "1023Mi"), (120, "5119Mi"), (180, "5Gi")],
    );
    assert_eq!(at, [NONE, MET, MET, LASTING]);
}

#[test]
fn minimum_reclaim_holds_a_soft_threshold_only_after_its_grace() {
    let mut thresholds = thresholds(&[], &[(Signal::MemoryAvailable, "1Gi", 90)]);
    thresholds.minimum_reclaim = vec![(Signal::MemoryAvailable, Limit::parse("1Gi").unwrap())];
    let at = memory(&thresholds, &[(0, "1Mi"), (60, "1Mi"), (89, "1500Mi")]);
    assert_eq!(at, [MET, MET, LASTING]);
    let at = memory(
        &thresholds,
        &[(0, "1Mi"), (90, "1Mi"), (100, "1500Mi"), (110, "2Gi")],
    );
    assert_eq!(at, [MET, MET, MET, LASTING]);
    // The grace begins anew when the threshold was not met in between.
    let at = memory(
        &thresholds,
        &[(0, "1Mi"), (60, "1Gi"), (90, "1Mi"), (120, "1500Mi")],
    );
    assert_eq!(at, [MET, LASTING, MET, LASTING]);
}

#[test]
fn a_signal_that_is_not_observed_meets_nothing_and_one_that_failed_forgets_nothing() {
    let thresholds = thresholds(&[], &[(Signal::MemoryAvailable, "1Gi", 60)]);
    let low = left(Signal::MemoryAvailable, "1Mi", None);
    let mut failed = Signals::default();
    failed[Signal::MemoryAvailable.index()] = Observed::Failed;
    for (between, is_due) in [(failed, true), (Signals::default(), false)] {
        let mut eviction = Eviction::new(&thresholds);
        assert!(eviction.update(&low, 0)[MEMORY].is_met);
        assert!(!eviction.update(&between, 30_000)[MEMORY].is_met);
        assert!(eviction.update(&low, 60_000)[MEMORY].is_met);
        assert_eq!(eviction.tracked[0].is_due, is_due, "{between:?}");
    }
}

#[test]
fn without_a_capacity_only_absolute_limits_are_judged() {
    let mut thresholds = thresholds(&[(Signal::NodefsInodesFree, "5%")], &[]);
    let low = left(Signal::NodefsInodesFree, "1", None);
    assert_eq!(
        Eviction::new(&thresholds).update(&low, 0),
        <[Pressure; 3]>::default()
    );
    thresholds
        .hard
        .push(threshold(Signal::PidAvailable, "1k", 0));
    let low = left(Signal::PidAvailable, "999", None);
    let mut eviction = Eviction::new(&thresholds);
    assert!(eviction.update(&low, 0)[2].is_met);
    assert!(eviction.met().eq([Signal::PidAvailable]));
}

#[test]
fn each_signal_sets_its_condition_and_is_named_once() {
    let all = Signal::ALL.map(|signal| (signal, "10%"));
    let soft = Signal::ALL.map(|signal| (signal, "50%", 30));
    let thresholds = thresholds(&all, &soft);
    for signal in Signal::ALL {
        let mut eviction = Eviction::new(&thresholds);
        let pressures = eviction.update(&left(signal, "5", Some("100")), 0);
        let held = PRESSURES
            .iter()
            .zip(pressures)
            .filter(|(_, pressure)| pressure.is_met);
        assert!(held.map(|(kind, _)| *kind).eq([signal.condition()]));
        assert!(eviction.met().eq([signal]), "{signal:?}");
    }
}

#[test]
fn the_kubelet_judges_containerfs_as_nodefs_and_pods_memory_as_memory() {
    let configured = thresholds(
        &[
            (Signal::ContainerfsAvailable, "50%"),
            (Signal::NodefsAvailable, "10%"),
            (Signal::MemoryAvailable, "100Mi"),
        ],
        &[(Signal::MemoryAvailable, "1Gi", 30)],
    );
    let is_met = |signal, available| {
        let mut eviction = Eviction::new(&configured);
        eviction.update(&left(signal, available, Some("1Gi")), 0);
        eviction.met().next().is_some()
    };
    assert!(!is_met(Signal::ContainerfsAvailable, "200Mi"));
    assert!(is_met(Signal::ContainerfsAvailable, "100Mi"));
    assert!(!is_met(Signal::AllocatableMemoryAvailable, "100Mi"));
    assert!(is_met(Signal::AllocatableMemoryAvailable, "99Mi"));
}

proptest! {
    #[test]
    fn a_signal_that_never_crosses_never_sets(
        available in prop::collection::vec(1_u64 << 30.., 1..50), step_ms in 1_u64..1_000_000
    ) {
        let mut thresholds = thresholds(&[(Signal::MemoryAvailable, "1Gi")], &[]);
        thresholds.minimum_reclaim = vec![(Signal::MemoryAvailable, Limit::Percent(90.0))];
        let mut eviction = Eviction::new(&thresholds);
        for (available, tick) in available.into_iter().zip(0..) {
            let mut signals = Signals::default();
            let capacity = Some(available);
            signals[0] = Observed::Available { available, capacity };
            let pressures = eviction.update(&signals, tick * step_ms);
            prop_assert_eq!(pressures, <[Pressure; 3]>::default());
        }
    }

    #[test]
    fn a_pressure_is_reported_while_it_was_met_within_the_period(
        steps in prop::collection::vec((0_u64..400, 0_u64..200), 1..80)
    ) {
        let thresholds = thresholds(&[(Signal::PidAvailable, "100")], &[]);
        let mut eviction = Eviction::new(&thresholds);
        let (mut now_s, mut met_s) = (0, None);
        for (after_s, available) in steps {
            now_s += after_s;
            let mut signals = Signals::default();
            signals[Signal::PidAvailable.index()] = Observed::Available { available, capacity: None };
            if available < 100 {
                met_s = Some(now_s);
            }
            let pressure = eviction.update(&signals, now_s * 1000)[2];
            prop_assert_eq!(pressure.is_met, available < 100);
            prop_assert_eq!(pressure.is_reported, met_s.is_some_and(|met_s| now_s - met_s < 300));
        }
    }

    #[test]
    fn the_order_of_thresholds_changes_nothing(
        order in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        ticks in prop::collection::vec(prop::collection::vec(0_u64..100, 9), 1..10)
    ) {
        let all: Vec<_> = Signal::ALL.into_iter().map(|signal| (signal, "20%")).collect();
        let soft: Vec<_> = Signal::ALL.into_iter().map(|signal| (signal, "30%", 20)).collect();
        let shuffled: Vec<_> = order.iter().map(|at| all[*at]).collect();
        let shuffled_soft: Vec<_> = order.iter().map(|at| soft[*at]).collect();
        let mut one = Eviction::new(&thresholds(&all, &soft));
        let mut other = Eviction::new(&thresholds(&shuffled, &shuffled_soft));
        for (tick, now_ms) in ticks.iter().zip((0..).step_by(10_000)) {
            let mut signals = Signals::default();
            for (observed, available) in signals.iter_mut().zip(tick) {
                *observed = Observed::Available { available: *available, capacity: Some(100) };
            }
            prop_assert_eq!(one.update(&signals, now_ms), other.update(&signals, now_ms));
            prop_assert!(one.met().eq(other.met()));
        }
    }
}

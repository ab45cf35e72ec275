//! Timelines of rules: what a condition says while its reading rises, wavers, fails and goes.

use std::time::Duration;

use nodling_protocol::Status;
use proptest::prelude::*;

use super::decimal::Decimal;
use super::readings::Value;
use super::rules::{Band, BandError, Comparison, Latches, Operator, Rule};
use crate::observe::ReadError;

const TRUE: Option<Status> = Some(Status::True);
const FALSE: Option<Status> = Some(Status::False);
const UNKNOWN: Option<Status> = Some(Status::Unknown);

fn comparison(reading: &str, operator: Operator, tenths: i64) -> Comparison {
    Comparison {
        reading: reading.into(),
        operator,
        number: Decimal::new(tenths, -1),
    }
}

fn rule(band: Band, lasting_s: u64) -> Rule {
    Rule {
        name: "Hot".into(),
        words: band.when().to_string().into(),
        band,
        lasting: Duration::from_secs(lasting_s),
    }
}

/// Hot above 45.0, cool below 40.0.
fn hot(lasting_s: u64) -> Rule {
    let when = comparison("attic.temperature", Operator::Greater, 450);
    let clear = comparison("attic.temperature", Operator::Less, 400);
    rule(Band::try_new(when, clear).unwrap(), lasting_s)
}

fn failed() -> ReadError {
    ReadError::Malformed {
        path: "sys/x".into(),
        line: 1,
        what: "no number",
    }
}

/// What the reading is at a second since boot.
#[derive(Clone, Copy, Debug)]
enum At {
    Absent(u64),
    Failed(u64),
    Pending(u64),
    Tenths(u64, i64),
}
use At::{Absent, Failed, Pending, Tenths};

fn timeline(rule: &Rule, steps: &[At]) -> Vec<Option<Status>> {
    let (mut latches, failed) = (Latches::default(), failed());
    let rules = std::slice::from_ref(rule);
    let step = |step: &At| {
        let (at_s, value) = match *step {
            Absent(at_s) => (at_s, Value::Absent),
            Failed(at_s) => (at_s, Value::Failed(&failed)),
            Pending(at_s) => (at_s, Value::Pending),
            Tenths(at_s, tenths) => (at_s, Value::Known(Decimal::new(tenths, -1))),
        };
        let of_name = |name: &str| {
            assert_eq!(name, "attic.temperature");
            value
        };
        latches.update(rules, of_name, at_s * 1000).get(0)
    };
    steps.iter().map(step).collect()
}

#[test]
fn without_a_time_the_condition_follows_at_once() {
    let steps = [Tenths(0, 450), Tenths(10, 451), Tenths(20, 399)];
    assert_eq!(timeline(&hot(0), &steps), [FALSE, TRUE, FALSE]);
    assert_eq!(timeline(&hot(0), &[Tenths(0, 451)]), [TRUE]);
}

#[test]
fn what_must_last_is_false_until_it_has_also_right_after_a_start() {
    let steps = [
        Tenths(0, 500),
        Tenths(59, 500),
        Tenths(60, 500),
        Tenths(70, 390),
        Tenths(129, 390),
        Tenths(130, 390),
    ];
    let expected = [FALSE, FALSE, TRUE, TRUE, TRUE, FALSE];
    assert_eq!(timeline(&hot(60), &steps), expected);
}

#[test]
fn one_value_on_the_other_side_begins_the_time_anew() {
    let steps = [
        Tenths(0, 500),
        Tenths(50, 440),
        Tenths(60, 500),
        Tenths(119, 500),
        Tenths(120, 500),
    ];
    assert_eq!(
        timeline(&hot(60), &steps),
        [FALSE, FALSE, FALSE, FALSE, TRUE]
    );
}

#[test]
fn between_the_two_limits_nothing_changes() {
    let mut steps = vec![Tenths(0, 400)];
    steps.extend((1..50).map(|at_s| Tenths(at_s, if at_s % 2 == 0 { 450 } else { 400 })));
    assert!(
        timeline(&hot(0), &steps)
            .iter()
            .all(|status| *status == FALSE)
    );
    steps[0] = Tenths(0, 451);
    assert!(
        timeline(&hot(0), &steps)
            .iter()
            .all(|status| *status == TRUE)
    );
}

#[test]
fn without_an_end_the_condition_ends_where_it_began() {
    let when = comparison("attic.temperature", Operator::LessOrEqual, 450);
    let steps = [
        Tenths(0, 450),
        Tenths(10, 451),
        Tenths(20, 450),
        Tenths(29, 451),
    ];
    let expected = [TRUE, FALSE, TRUE, FALSE];
    assert_eq!(
        timeline(&rule(Band::new(when.clone()), 0), &steps),
        expected
    );
    let steps = [
        Tenths(0, 450),
        Tenths(10, 450),
        Tenths(15, 451),
        Tenths(25, 451),
    ];
    let expected = [FALSE, TRUE, TRUE, FALSE];
    assert_eq!(timeline(&rule(Band::new(when), 10), &steps), expected);
}

#[test]
fn a_failed_reading_keeps_the_status_for_five_minutes_and_recovers_as_at_a_start() {
    let steps = [
        Failed(0),
        Tenths(10, 500),
        Failed(20),
        Failed(319),
        Failed(320),
        Tenths(330, 420),
        Tenths(340, 500),
    ];
    let expected = [UNKNOWN, TRUE, TRUE, TRUE, UNKNOWN, FALSE, TRUE];
    assert_eq!(timeline(&hot(0), &steps), expected);
    // After a failure what must last must last again.
    let steps = [Failed(0), Tenths(10, 500), Tenths(70, 500)];
    assert_eq!(timeline(&hot(60), &steps), [UNKNOWN, FALSE, TRUE]);
}

#[test]
fn a_reading_that_is_gone_for_a_minute_makes_the_condition_absent() {
    let steps = [
        Absent(0),
        Tenths(10, 500),
        Absent(20),
        Absent(79),
        Absent(80),
        Tenths(90, 420),
    ];
    let expected = [None, TRUE, TRUE, TRUE, None, FALSE];
    assert_eq!(timeline(&hot(0), &steps), expected);
}

#[test]
fn a_reading_that_is_gone_for_a_moment_leaves_what_has_lasted() {
    let steps = [Tenths(0, 500), Tenths(60, 500), Absent(70), Tenths(80, 500)];
    assert_eq!(timeline(&hot(60), &steps), [FALSE, TRUE, TRUE, TRUE]);
}

#[test]
fn a_reading_that_needs_one_more_observation_changes_nothing() {
    let steps = [
        Pending(0),
        Tenths(10, 500),
        Pending(20),
        Failed(30),
        Pending(400),
    ];
    assert_eq!(timeline(&hot(0), &steps), [FALSE, TRUE, TRUE, TRUE, TRUE]);
}

#[test]
fn an_end_must_leave_the_beginning_alone() {
    use Operator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let cases = [
        ((Greater, 450), (Less, 400), Ok(())),
        ((Greater, 450), (Less, 450), Ok(())),
        ((Greater, 450), (LessOrEqual, 450), Ok(())),
        ((GreaterOrEqual, 450), (Less, 450), Ok(())),
        (
            (GreaterOrEqual, 450),
            (LessOrEqual, 450),
            Err(BandError::Overlap),
        ),
        ((Greater, 450), (Less, 451), Err(BandError::Overlap)),
        ((Greater, 450), (Greater, 400), Err(BandError::Overlap)),
        ((Less, 50), (Greater, 100), Ok(())),
        ((Less, 50), (GreaterOrEqual, 50), Ok(())),
        (
            (LessOrEqual, 50),
            (GreaterOrEqual, 50),
            Err(BandError::Overlap),
        ),
        ((Less, 50), (Greater, 49), Err(BandError::Overlap)),
        ((Less, 50), (LessOrEqual, 20), Err(BandError::Overlap)),
    ];
    for ((when, from), (clear, to), expected) in cases {
        let (when, clear) = (comparison("a", when, from), comparison("a", clear, to));
        let band = Band::try_new(when.clone(), clear.clone());
        assert_eq!(band.map(|_| ()), expected, "{when}, {clear}");
    }
    let (a, b) = (comparison("a", Greater, 1), comparison("b", Less, 1));
    assert_eq!(Band::try_new(a, b), Err(BandError::OtherReading));
}

fn operator() -> impl Strategy<Value = Operator> {
    prop::sample::select(Operator::ALL.as_slice())
}

fn value() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![4 => (-50_i64..50).prop_map(Some), 1 => Just(None)]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let parts = (
        0_usize..3,
        operator(),
        -40_i64..40,
        prop::option::of(0_i64..20),
        0_u64..90,
    );
    parts.prop_map(|(reading, operator, limit, width, lasting_s)| {
        let when = comparison(["a", "b", "c"][reading], operator, limit);
        let clear = width.map(|width| {
            let mut clear = when.negated();
            let is_upward = matches!(operator, Operator::Greater | Operator::GreaterOrEqual);
            clear.number.digits += if is_upward { -width } else { width };
            clear
        });
        let band = match clear {
            Some(clear) => Band::try_new(when, clear).unwrap(),
            None => Band::new(when),
        };
        rule(band, lasting_s)
    })
}

/// Readings `a`, `b` and `c` at each tick; none stands for a failure.
type Ticks = Vec<[Option<i64>; 3]>;

fn judge(rules: &[Rule], ticks: &Ticks, step_ms: u64) -> Vec<Vec<Option<Status>>> {
    let (mut latches, failed) = (Latches::default(), failed());
    let mut now_ms = 0;
    let tick = |values: &[Option<i64>; 3]| {
        now_ms += step_ms;
        let of_name = |name: &str| {
            let at = ["a", "b", "c"]
                .iter()
                .position(|other| *other == name)
                .unwrap();
            values[at].map_or(Value::Failed(&failed), |tenths| {
                Value::Known(Decimal::new(tenths, -1))
            })
        };
        let statuses = latches.update(rules, of_name, now_ms);
        (0..rules.len()).map(|index| statuses.get(index)).collect()
    };
    ticks.iter().map(tick).collect()
}

fn ticks() -> impl Strategy<Value = Ticks> {
    prop::collection::vec([value(), value(), value()], 1..60)
}

proptest! {
    #[test]
    fn a_reading_that_never_crosses_never_sets(
        rule in any_rule(), ticks in ticks(), step_ms in 1_u64..60_000
    ) {
        let (operator, limit) = (rule.band.when().operator, rule.band.when().number.digits);
        let crosses = |tenths: i64| match operator {
            Operator::Less => tenths < limit,
            Operator::LessOrEqual => tenths <= limit,
            Operator::Greater => tenths > limit,
            Operator::GreaterOrEqual => tenths >= limit,
        };
        let calm: Ticks = ticks
            .into_iter()
            .map(|values| values.map(|value| value.filter(|tenths| !crosses(*tenths))))
            .collect();
        for statuses in judge(&[rule], &calm, step_ms) {
            prop_assert!(statuses[0] != TRUE);
        }
    }

    #[test]
    fn the_order_of_rules_does_not_matter_to_any_of_them(
        rules in prop::collection::vec(any_rule(), 1..16),
        ticks in ticks(),
        step_ms in 1_u64..60_000,
        seed: prop::sample::Index,
    ) {
        let mut shuffled: Vec<_> = rules.iter().cloned().enumerate().collect();
        shuffled.rotate_left(seed.index(rules.len()));
        shuffled.sort_by_key(|(at, _)| at.wrapping_mul(7) % 5);
        let (positions, others): (Vec<_>, Vec<_>) = shuffled.into_iter().unzip();
        let straight = judge(&rules, &ticks, step_ms);
        let crooked = judge(&others, &ticks, step_ms);
        for (straight, crooked) in straight.iter().zip(crooked) {
            for (to, from) in positions.iter().enumerate() {
                prop_assert_eq!(straight[*from], crooked[to]);
            }
        }
    }

    #[test]
    fn a_status_lasts_at_least_as_long_as_it_must(
        rule in any_rule(), ticks in ticks(), step_ms in 1_u64..60_000
    ) {
        // Every change between True and False has been announced for the whole of the time.
        let judged = judge(std::slice::from_ref(&rule), &ticks, step_ms);
        let lasting_ms = u64::try_from(rule.lasting.as_millis()).unwrap();
        let mut changes = judged.windows(2).enumerate().filter_map(|(at, pair)| {
            let is_change = matches!((pair[0][0], pair[1][0]), (TRUE, FALSE) | (FALSE, TRUE));
            is_change.then_some(u64::try_from(at).unwrap() * step_ms)
        });
        let mut last = changes.next();
        for change in changes {
            prop_assert!(change - last.unwrap() >= lasting_ms);
            last = Some(change);
        }
    }
}

//! Follows findings with hysteresis in time, so that a reading at its limit does not fill the
//! cluster with transitions.
//!
//! A reading that fails is no judgement: it leaves the condition as it was for a while. The only
//! clock is the caller's: the uptime of the observation.

use nodling_protocol::Status;

use super::finding::Finding;

/// A reading that fails for longer than the kubelet's transition period says nothing any more.
const UNKNOWN_AFTER_MS: u64 = 300_000;

/// How long a finding must last before the condition follows it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit stands last")]
pub(super) struct Hold {
    /// Until it is set.
    pub(super) set_ms: u64,
    /// Until it is cleared.
    pub(super) clear_ms: u64,
    /// Until it is forgotten, because the board shows the reading no more.
    pub(super) gone_ms: u64,
}

/// Follows findings with hysteresis in time; the first finding is followed at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latch {
    status: Option<Status>,
    /// Since when findings differ from the status.
    differs_ms: Option<u64>,
    /// Since when the reading fails: that says nothing, for or against.
    fails_ms: Option<u64>,
    /// Since when there is no reading; some sleep for a moment.
    gone_ms: Option<u64>,
}

impl Latch {
    /// The status after this tick.
    pub(super) fn update(&mut self, finding: Finding, now_ms: u64, hold: Hold) -> Option<Status> {
        let (found, patience_ms, since_ms) = match finding {
            Finding::Absent => return self.miss(now_ms, hold),
            Finding::Holds(true) => (Status::True, hold.set_ms, &mut self.differs_ms),
            Finding::Holds(false) => (Status::False, hold.clear_ms, &mut self.differs_ms),
            Finding::Failed => (Status::Unknown, UNKNOWN_AFTER_MS, &mut self.fails_ms),
        };
        let since_ms = *since_ms.get_or_insert(now_ms);
        self.gone_ms = None;
        if finding != Finding::Failed {
            self.fails_ms = None;
        }
        let is_due = now_ms.saturating_sub(since_ms) >= patience_ms;
        // From Unknown every finding is news at once.
        if is_due || matches!(self.status, None | Some(Status::Unknown)) {
            self.status = Some(found);
        }
        if self.status == Some(found) {
            self.differs_ms = None;
        }
        self.status
    }

    fn miss(&mut self, now_ms: u64, hold: Hold) -> Option<Status> {
        // What was not there spoke neither for the status nor against it.
        self.differs_ms = None;
        let since_ms = *self.gone_ms.get_or_insert(now_ms);
        let is_due = now_ms.saturating_sub(since_ms) >= hold.gone_ms;
        if is_due || matches!(self.status, None | Some(Status::Unknown)) {
            *self = Self::default();
        }
        self.status
    }

    /// The status after the last tick.
    pub(super) fn status(self) -> Option<Status> {
        self.status
    }

    /// Whether the condition holds.
    pub(super) fn is_set(self) -> bool {
        self.status == Some(Status::True)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLD: Hold = Hold {
        set_ms: 0,
        clear_ms: 60_000,
        gone_ms: 60_000,
    };

    fn finding() -> impl Strategy<Value = Finding> {
        prop_oneof![
            Just(Finding::Absent),
            Just(Finding::Failed),
            Just(Finding::Holds(true)),
            Just(Finding::Holds(false)),
        ]
    }

    #[test]
    fn a_fault_shows_at_once_and_clears_slowly() {
        let mut latch = Latch::default();
        let mut at = |now_s: u64, finding| latch.update(finding, now_s * 1000, HOLD);
        assert_eq!(at(0, Finding::Holds(false)), Some(Status::False));
        assert_eq!(at(10, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(20, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(70, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(80, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(139, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(140, Finding::Holds(false)), Some(Status::False));
    }

    #[test]
    fn a_failing_reading_keeps_the_status_for_five_minutes() {
        let mut latch = Latch::default();
        let mut at = |now_s: u64, finding| latch.update(finding, now_s * 1000, HOLD);
        assert_eq!(at(0, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(10, Finding::Failed), Some(Status::True));
        assert_eq!(at(309, Finding::Failed), Some(Status::True));
        assert_eq!(at(310, Finding::Failed), Some(Status::Unknown));
        assert_eq!(at(320, Finding::Holds(false)), Some(Status::False));
    }

    #[test]
    fn a_failing_reading_neither_hurries_nor_stops_what_is_pending() {
        let slow = Hold {
            set_ms: 600_000,
            clear_ms: 0,
            gone_ms: 0,
        };
        let mut latch = Latch::default();
        let mut at = |now_s: u64, finding| latch.update(finding, now_s * 1000, slow);
        assert_eq!(at(0, Finding::Holds(false)), Some(Status::False));
        assert_eq!(at(10, Finding::Holds(true)), Some(Status::False));
        assert_eq!(at(400, Finding::Failed), Some(Status::False));
        assert_eq!(at(410, Finding::Holds(true)), Some(Status::False));
        assert_eq!(at(600, Finding::Failed), Some(Status::False));
        assert_eq!(at(610, Finding::Holds(true)), Some(Status::True));
    }

    #[test]
    fn a_reading_that_sleeps_for_a_moment_does_not_take_the_condition_away() {
        let mut latch = Latch::default();
        let mut at = |now_s: u64, finding| latch.update(finding, now_s * 1000, HOLD);
        assert_eq!(at(0, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(10, Finding::Absent), Some(Status::True));
        assert_eq!(at(20, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(30, Finding::Absent), Some(Status::True));
        assert_eq!(at(89, Finding::Absent), Some(Status::True));
        assert_eq!(at(90, Finding::Absent), None);
        assert_eq!(at(100, Finding::Holds(false)), Some(Status::False));
    }

    #[test]
    fn the_time_without_a_reading_is_no_evidence() {
        let mut latch = Latch::default();
        let mut at = |now_s: u64, finding| latch.update(finding, now_s * 1000, HOLD);
        assert_eq!(at(0, Finding::Holds(true)), Some(Status::True));
        assert_eq!(at(10, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(20, Finding::Absent), Some(Status::True));
        assert_eq!(at(60, Finding::Absent), Some(Status::True));
        assert_eq!(at(70, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(129, Finding::Holds(false)), Some(Status::True));
        assert_eq!(at(130, Finding::Holds(false)), Some(Status::False));
    }

    #[test]
    fn a_reading_that_never_worked_is_unknown_and_one_that_is_not_there_absent() {
        assert_eq!(
            Latch::default().update(Finding::Failed, 0, HOLD),
            Some(Status::Unknown)
        );
        assert_eq!(Latch::default().update(Finding::Absent, 0, HOLD), None);
    }

    proptest! {
        #[test]
        fn what_never_crosses_never_sets(
            findings in prop::collection::vec(finding(), 1..60), step_ms in 1_u64..120_000
        ) {
            let mut latch = Latch::default();
            for (index, finding) in findings.iter().filter(|finding| **finding != Finding::Holds(true)).enumerate() {
                let now_ms = u64::try_from(index).unwrap() * step_ms;
                let status = latch.update(*finding, now_ms, HOLD);
                prop_assert_ne!(status, Some(Status::True));
            }
        }

        #[test]
        fn what_always_holds_is_never_called_fine(
            findings in prop::collection::vec(finding(), 1..60), step_ms in 1_u64..120_000
        ) {
            let mut latch = Latch::default();
            for (index, finding) in findings.iter().filter(|finding| **finding != Finding::Holds(false)).enumerate() {
                let now_ms = u64::try_from(index).unwrap() * step_ms;
                let status = latch.update(*finding, now_ms, HOLD);
                prop_assert_ne!(status, Some(Status::False));
            }
        }

        #[test]
        fn a_status_changes_at_most_once_per_hold(
            findings in prop::collection::vec(any::<bool>(), 1..200)
        ) {
            let mut latch = Latch::default();
            let (mut cleared_at, mut previous) = (None, None);
            for (index, holds) in findings.iter().enumerate() {
                let now_ms = u64::try_from(index).unwrap() * 10_000;
                let status = latch.update(Finding::Holds(*holds), now_ms, HOLD);
                if previous == Some(Status::True) && status == Some(Status::False) {
                    if let Some(cleared_at) = cleared_at {
                        prop_assert!(now_ms - cleared_at > HOLD.clear_ms);
                    }
                    cleared_at = Some(now_ms);
                }
                previous = status;
            }
        }
    }
}

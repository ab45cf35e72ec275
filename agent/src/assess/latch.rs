//! Hysteresis in time: a condition follows its findings, quickly or slowly.
//!
//! A condition is slow to clear, so that a supply at its limit does not fill the cluster with
//! transitions. A reading that fails is no judgement: it leaves the condition as it was for a
//! while. The first finding is followed at once.

use nodling_protocol::Status;

use super::finding::Finding;

/// A reading that fails for longer than the kubelet's transition period says nothing any more.
pub(super) const UNKNOWN_AFTER_MS: u64 = 300_000;

/// How long a finding must last before the condition follows it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit stands last")]
pub(super) struct Hold {
    /// Until it is set.
    pub(super) set_ms: u64,
    /// Until it is cleared.
    pub(super) clear_ms: u64,
    /// Until it is given up, because the board shows the reading no more.
    pub(super) gone_ms: u64,
}

/// Follows findings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latch {
    status: Option<Status>,
    /// What findings say otherwise, and since when without a break.
    differs: Option<(Option<Status>, u64)>,
}

impl Latch {
    /// Takes this tick's finding.
    pub(super) fn update(&mut self, finding: Finding, now_ms: u64, hold: Hold) -> Option<Status> {
        let (found, patience_ms) = match finding {
            Finding::Absent => (None, hold.gone_ms),
            Finding::Failed => (Some(Status::Unknown), UNKNOWN_AFTER_MS),
            Finding::Holds(true) => (Some(Status::True), hold.set_ms),
            Finding::Holds(false) => (Some(Status::False), hold.clear_ms),
        };
        if self.status == found {
            self.differs = None;
            return self.status;
        }
        let since_ms = match self.differs {
            Some((other, since_ms)) if other == found => since_ms,
            Some(_) | None => now_ms,
        };
        self.differs = Some((found, since_ms));
        let is_due = now_ms.saturating_sub(since_ms) >= patience_ms;
        // From Unknown every finding is news at once.
        if is_due || matches!(self.status, None | Some(Status::Unknown)) {
            self.status = found;
            self.differs = None;
        }
        self.status
    }

    /// Whether the condition is set; what holds between two limits asks.
    pub(super) fn is_set(self) -> bool {
        self.status == Some(Status::True)
    }

    /// Whether it was judged before.
    pub(super) fn is_judged(self) -> bool {
        self.status.is_some()
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

    /// The status after each finding at its second.
    fn timeline(steps: &[(u64, Finding)]) -> Vec<Option<Status>> {
        let mut latch = Latch::default();
        let status = |(at_s, finding): &(u64, Finding)| latch.update(*finding, at_s * 1000, HOLD);
        steps.iter().map(status).collect()
    }

    const TRUE: Option<Status> = Some(Status::True);
    const FALSE: Option<Status> = Some(Status::False);
    const UNKNOWN: Option<Status> = Some(Status::Unknown);

    #[test]
    fn a_fault_shows_at_once_and_clears_slowly() {
        let at = timeline(&[
            (0, Finding::Holds(false)),
            (10, Finding::Holds(true)),
            (20, Finding::Holds(false)),
            (70, Finding::Holds(true)),
            (80, Finding::Holds(false)),
            (139, Finding::Holds(false)),
            (140, Finding::Holds(false)),
        ]);
        assert_eq!(at, [FALSE, TRUE, TRUE, TRUE, TRUE, TRUE, FALSE]);
    }

    #[test]
    fn a_failing_reading_keeps_the_status_for_five_minutes() {
        let at = timeline(&[
            (0, Finding::Holds(true)),
            (10, Finding::Failed),
            (309, Finding::Failed),
            (310, Finding::Failed),
            (320, Finding::Holds(false)),
        ]);
        assert_eq!(at, [TRUE, TRUE, TRUE, UNKNOWN, FALSE]);
    }

    #[test]
    fn the_time_for_which_a_reading_failed_does_not_count_as_fine() {
        let at = timeline(&[
            (0, Finding::Holds(true)),
            (10, Finding::Failed),
            (200, Finding::Holds(false)),
            (259, Finding::Holds(false)),
            (260, Finding::Holds(false)),
        ]);
        assert_eq!(at, [TRUE, TRUE, TRUE, TRUE, FALSE]);
    }

    #[test]
    fn a_reading_that_sleeps_for_a_moment_does_not_take_the_condition_away() {
        let at = timeline(&[
            (0, Finding::Holds(true)),
            (10, Finding::Absent),
            (20, Finding::Holds(true)),
            (30, Finding::Absent),
            (89, Finding::Absent),
            (90, Finding::Absent),
            (100, Finding::Holds(false)),
        ]);
        assert_eq!(at, [TRUE, TRUE, TRUE, TRUE, TRUE, None, FALSE]);
    }

    #[test]
    fn a_reading_that_never_worked_is_unknown_and_one_that_is_not_there_absent() {
        assert_eq!(timeline(&[(0, Finding::Failed)]), [UNKNOWN]);
        assert_eq!(timeline(&[(0, Finding::Absent)]), [None]);
    }

    proptest! {
        #[test]
        fn what_never_crosses_never_sets(
            findings in prop::collection::vec(finding(), 1..60), step_ms in 1_u64..120_000
        ) {
            let mut latch = Latch::default();
            let harmless = findings.iter().filter(|finding| **finding != Finding::Holds(true));
            for (index, finding) in harmless.enumerate() {
                let now_ms = u64::try_from(index).unwrap() * step_ms;
                let status = latch.update(*finding, now_ms, HOLD);
                prop_assert_ne!(status, TRUE);
            }
        }

        #[test]
        fn what_always_holds_is_never_called_fine(
            findings in prop::collection::vec(finding(), 1..60), step_ms in 1_u64..120_000
        ) {
            let mut latch = Latch::default();
            let bad = findings.iter().filter(|finding| **finding != Finding::Holds(false));
            for (index, finding) in bad.enumerate() {
                let now_ms = u64::try_from(index).unwrap() * step_ms;
                prop_assert_ne!(latch.update(*finding, now_ms, HOLD), FALSE);
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
                if previous == TRUE && status == FALSE {
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

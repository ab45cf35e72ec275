//! What a stall that the kernel reports is worth: a beat, a look at the board, or nothing.
//!
//! While tasks stall, the kernel reports it once a second; a busy board may stall for hours. So:
//!
//! - **The onset is a beat.** The first report after a quiet minute sends the whole state at once.
//! - **While memory stalls, every report is a look.** The kernel stalls for memory shortly before
//!   and while `memory.available` crosses the kubelet's threshold, and the regular look may be ten
//!   seconds away; a beat goes only if a condition has changed. Waiting for processors and disks
//!   is judged by averages over a minute, which one look more does not move.
//! - **Looks out of turn, and the beats they send, are a second apart.**
//! - **The beat of an onset says so.** The kernel renews its ten-second averages every two
//!   seconds; until then a share is raised to what the report itself proves of those ten seconds.
//!
//! Nothing is sent at the end of a stall: the next regular beat has it.

use std::time::Duration;

use nodling_protocol::Vitals;
use nodling_protocol::units::Permille;
use tokio::time::Instant;

use crate::observe::trigger::Resource;

/// Looks out of turn are this far apart.
const APART: Duration = Duration::from_secs(1);
/// A stall after this much quiet is another one; a job that runs every minute is one for ever.
const QUIET: Duration = Duration::from_secs(65);
/// After this the kernel's averages know of a stall by themselves.
const AVERAGED_AFTER: Duration = Duration::from_secs(2);

/// What was reported, and what of it the gateway does not know yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stalls {
    /// The last report of each resource, in the order of [`Resource::ALL`].
    reported: [Option<Instant>; Resource::ALL.len()],
    has_onset: bool,
    is_out_of_turn: bool,
    /// The last look, or beat, out of turn.
    extra: Option<Instant>,
}

impl Stalls {
    /// Takes a report; returns when to look at the board, unless the regular look is soon enough.
    pub(crate) fn report(&mut self, resource: Resource, now: Instant) -> Option<Instant> {
        let slot = slot(&mut self.reported, resource)?;
        let is_onset = slot
            .replace(now)
            .is_none_or(|before| now.saturating_duration_since(before) >= QUIET);
        self.has_onset |= is_onset;
        let is_worth_a_look = match resource {
            Resource::Memory => true,
            Resource::Cpu | Resource::Io => is_onset,
        };
        if !is_worth_a_look {
            return None;
        }
        self.is_out_of_turn = true;
        Some(self.extra.map_or(now, |extra| now.max(extra + APART)))
    }

    /// Takes note of a look and what it leads to: a beat that is `due` anyway, one because a
    /// condition `has_changed`, or one that tells an onset. Returns whether there is a beat.
    pub(crate) fn look(&mut self, now: Instant, due: Due, change: Change) -> bool {
        let has_onset = std::mem::take(&mut self.has_onset);
        let is_out_of_turn = std::mem::take(&mut self.is_out_of_turn);
        let has_news = has_onset || change == Change::Some;
        match due {
            Due::Beat => true,
            Due::Look => {
                if is_out_of_turn || has_news {
                    self.extra = Some(now);
                }
                has_news
            }
        }
    }

    /// Raises shares of the last ten seconds to what fresh reports prove of them.
    pub(crate) fn raise(&self, now: Instant, vitals: &mut Vitals) {
        for (resource, reported) in Resource::ALL.into_iter().zip(self.reported) {
            let is_fresh =
                reported.is_some_and(|at| now.saturating_duration_since(at) < AVERAGED_AFTER);
            if !is_fresh {
                continue;
            }
            let share = match resource {
                Resource::Memory => &mut vitals.memory_pressure_some,
                Resource::Cpu => &mut vitals.cpu_pressure_some,
                Resource::Io => &mut vitals.io_pressure_some,
            };
            // The share of one second at least, of ten.
            let proven = Permille(resource.share().0 / 10);
            *share = share.map(|share| Permille(share.0.max(proven.0)));
        }
    }
}

/// What the agenda says of this look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A beat.
    Beat,
    /// A look alone.
    Look,
}

/// What conditions say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// All is as before.
    None,
    /// At least one is another.
    Some,
}

fn slot(reported: &mut [Option<Instant>; 3], resource: Resource) -> Option<&mut Option<Instant>> {
    let position = Resource::ALL.iter().position(|one| *one == resource)?;
    reported.get_mut(position)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn epoch() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_onset_is_a_beat_at_once_and_what_follows_is_none() {
        for resource in Resource::ALL {
            let (mut stalls, t0) = (Stalls::default(), epoch());
            assert_eq!(stalls.report(resource, t0), Some(t0));
            assert!(stalls.look(t0, Due::Look, Change::None));
            for second in 1..1000 {
                let now = t0 + ms(1000 * second);
                let wanted = (resource == Resource::Memory).then_some(now);
                assert_eq!(stalls.report(resource, now), wanted);
                assert!(!stalls.look(now, Due::Look, Change::None));
            }
            assert!(stalls.look(t0 + ms(1_000_000), Due::Look, Change::Some));
        }
    }

    #[test]
    fn a_stall_after_a_quiet_minute_is_another_one() {
        let (mut stalls, t0) = (Stalls::default(), epoch());
        assert!(stalls.report(Resource::Cpu, t0).is_some());
        stalls.look(t0, Due::Look, Change::None);
        let later = t0 + ms(60_000);
        assert_eq!(
            stalls.report(Resource::Cpu, later),
            None,
            "a job every minute"
        );
        let later = later + QUIET;
        assert_eq!(stalls.report(Resource::Cpu, later), Some(later));
        assert!(stalls.look(later, Due::Look, Change::None));
    }

    #[test]
    fn a_regular_beat_tells_the_onset_too() {
        let (mut stalls, t0) = (Stalls::default(), epoch());
        stalls.report(Resource::Io, t0);
        assert!(stalls.look(t0, Due::Beat, Change::None));
        assert!(!stalls.look(t0 + ms(1), Due::Look, Change::None));
    }

    #[test]
    fn a_fresh_report_raises_its_share_and_no_other() {
        let (mut stalls, t0) = (Stalls::default(), epoch());
        stalls.report(Resource::Memory, t0);
        let low = Vitals {
            cpu_pressure_some: Some(Permille(0)),
            memory_pressure_some: Some(Permille(3)),
            ..Vitals::default()
        };
        let told = |stalls: &Stalls, now, vitals: Vitals| {
            let mut vitals = vitals;
            stalls.raise(now, &mut vitals);
            vitals
        };
        let raised = Vitals {
            memory_pressure_some: Some(Permille(10)),
            ..low
        };
        assert_eq!(told(&stalls, t0 + ms(300), low), raised);
        assert_eq!(told(&stalls, t0 + AVERAGED_AFTER, low), low);
        let high = Vitals {
            memory_pressure_some: Some(Permille(900)),
            ..low
        };
        assert_eq!(told(&stalls, t0, high), high);
        let absent = Vitals::default();
        assert_eq!(told(&stalls, t0, absent), absent);
    }

    proptest! {
        /// Plays the loop: whatever is reported and changes, beats out of turn are a second apart.
        #[test]
        fn never_more_than_one_extra_beat_a_second(
            reports in prop::collection::vec((0_u64..3_000, 0_usize..3, any::<bool>()), 1..200),
        ) {
            let (mut stalls, t0) = (Stalls::default(), epoch());
            let (mut now, mut due, mut last) = (t0, None::<Instant>, None::<Instant>);
            let mut look = |stalls: &mut Stalls, at: Instant, has_changed: bool| {
                let change = if has_changed { Change::Some } else { Change::None };
                if !stalls.look(at, Due::Look, change) {
                    return true;
                }
                last.replace(at).is_none_or(|before| at - before >= APART)
            };
            for (pause_ms, resource, has_changed) in reports {
                now += ms(pause_ms);
                if let Some(at) = due.filter(|at| *at <= now) {
                    due = None;
                    prop_assert!(look(&mut stalls, at, has_changed));
                }
                if let Some(at) = stalls.report(Resource::ALL[resource], now) {
                    due = Some(due.map_or(at, |due| due.min(at)));
                }
            }
        }
    }
}

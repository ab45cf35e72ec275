//! What a stall that the kernel reports is worth: a beat, a look at the board, or nothing.
//!
//! While tasks stall, the kernel reports it once a second; a busy board may stall for hours. So:
//!
//! - **The onset is a beat.** The first report after a quiet minute sends the whole state at once.
//! - **While memory stalls, every report is a look.** The kernel stalls for memory shortly before
//!   and while `memory.available` crosses the kubelet's threshold, and the regular look may be ten
//!   seconds away; a beat goes only if a condition has changed. Waiting for processors and disks
//!   is judged by averages over a minute, which one look more does not move.
//! - **Looks out of turn are a second apart, and so are beats out of turn.** News that a look in
//!   turn finds sooner than that after such a beat wait for the rest of the second.
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
    /// Of an onset, or of a condition that changed.
    has_news: bool,
    /// When a look out of turn was asked for.
    asked: Option<Instant>,
    /// The last look, or beat, out of turn.
    extra: Option<Instant>,
    /// The last beat out of turn.
    extra_beat: Option<Instant>,
}

impl Stalls {
    /// Takes a report; returns when to look at the board, unless the regular look is soon enough.
    pub(crate) fn report(&mut self, resource: Resource, now: Instant) -> Option<Instant> {
        let slot = slot(&mut self.reported, resource)?;
        let is_onset = slot
            .replace(now)
            .is_none_or(|before| now.saturating_duration_since(before) >= QUIET);
        self.has_news |= is_onset;
        let is_worth_a_look = match resource {
            Resource::Memory => true,
            Resource::Cpu | Resource::Io => is_onset,
        };
        if !is_worth_a_look {
            return None;
        }
        let at = self.extra.map_or(now, |extra| now.max(extra + APART));
        self.asked = Some(self.asked.map_or(at, |asked| asked.min(at)));
        Some(at)
    }

    /// Takes note of a look and what it leads to: a beat that is `due` anyway, one because a
    /// condition has changed, or one that tells an onset.
    pub(crate) fn look(&mut self, now: Instant, due: Due, change: Change) -> Told {
        // One that was asked for later is answered by this look, which is in turn.
        if self.asked.take().is_some_and(|at| at <= now) {
            self.extra = Some(now);
        }
        self.has_news |= change == Change::Some;
        let free = self.extra_beat.map_or(now, |beat| now.max(beat + APART));
        match due {
            Due::Look if !self.has_news => Told::Nothing,
            Due::Look if now < free => {
                self.asked = Some(free);
                Told::Later(free)
            }
            Due::Look => {
                self.has_news = false;
                self.extra = Some(now);
                self.extra_beat = Some(now);
                Told::Beat
            }
            Due::Beat => {
                self.has_news = false;
                Told::Beat
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

/// What a look leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A beat at once.
    Beat,
    /// A look at this time, for what there is to tell may be told then.
    Later(Instant),
    /// There is nothing to tell.
    Nothing,
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
            assert_eq!(stalls.look(t0, Due::Look, Change::None), Told::Beat);
            for second in 1..1000 {
                let now = t0 + ms(1000 * second);
                let wanted = (resource == Resource::Memory).then_some(now);
                assert_eq!(stalls.report(resource, now), wanted);
                assert_eq!(stalls.look(now, Due::Look, Change::None), Told::Nothing);
            }
            assert_eq!(
                stalls.look(t0 + ms(1_000_000), Due::Look, Change::Some),
                Told::Beat
            );
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
        assert_eq!(stalls.look(later, Due::Look, Change::None), Told::Beat);
    }

    #[test]
    fn a_regular_beat_tells_the_onset_too() {
        let (mut stalls, t0) = (Stalls::default(), epoch());
        stalls.report(Resource::Io, t0);
        assert_eq!(stalls.look(t0, Due::Beat, Change::None), Told::Beat);
        assert_eq!(
            stalls.look(t0 + ms(1), Due::Look, Change::None),
            Told::Nothing
        );
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

    #[test]
    fn an_onset_right_before_a_regular_look_waits_for_the_rest_of_the_second() {
        let (mut stalls, t0) = (Stalls::default(), epoch());
        let later = t0 + APART;
        assert_eq!(stalls.report(Resource::Memory, t0), Some(t0));
        assert_eq!(stalls.look(t0, Due::Look, Change::None), Told::Beat);
        assert_eq!(stalls.report(Resource::Cpu, t0 + ms(20)), Some(later));
        let regular = stalls.look(t0 + ms(50), Due::Look, Change::None);
        assert_eq!(regular, Told::Later(later));
        let regular = stalls.look(t0 + ms(60), Due::Look, Change::Some);
        assert_eq!(regular, Told::Later(later));
        assert_eq!(stalls.look(later, Due::Look, Change::None), Told::Beat);
        let after = later + ms(1);
        assert_eq!(stalls.look(after, Due::Look, Change::None), Told::Nothing);
    }

    #[test]
    fn a_regular_beat_tells_what_waits() {
        let (mut stalls, t0) = (Stalls::default(), epoch());
        assert_eq!(stalls.look(t0, Due::Look, Change::Some), Told::Beat);
        let waits = stalls.look(t0 + ms(10), Due::Look, Change::Some);
        assert_eq!(waits, Told::Later(t0 + APART));
        assert_eq!(
            stalls.look(t0 + ms(20), Due::Beat, Change::None),
            Told::Beat
        );
        let after = stalls.look(t0 + APART, Due::Look, Change::None);
        assert_eq!(after, Told::Nothing);
    }

    /// What happens to the loop, a while after what happened before.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Report(Resource),
        Regular(Due, Change),
    }

    fn event() -> impl Strategy<Value = (u64, Event, Change)> {
        let change = || prop_oneof![Just(Change::None), Just(Change::Some)];
        let due = prop_oneof![Just(Due::Beat), Just(Due::Look), Just(Due::Look)];
        let event = prop_oneof![
            (0..Resource::ALL.len()).prop_map(|index| Event::Report(Resource::ALL[index])),
            (due, change()).prop_map(|(due, change)| Event::Regular(due, change)),
        ];
        (prop_oneof![0_u64..100, 0_u64..3_000], event, change())
    }

    /// The loop, as far as it concerns stalls.
    #[derive(Default)]
    struct Loop {
        stalls: Stalls,
        planned: Option<Instant>,
        extra_beats: Vec<Instant>,
        /// Since when there is something to tell.
        untold: Option<Instant>,
    }

    impl Loop {
        fn plan(&mut self, at: Instant) {
            self.planned = Some(self.planned.map_or(at, |planned| planned.min(at)));
        }

        fn look(&mut self, now: Instant, due: Due, change: Change) {
            if change == Change::Some {
                self.untold.get_or_insert(now);
            }
            self.planned = None;
            match self.stalls.look(now, due, change) {
                Told::Later(at) => self.plan(at),
                Told::Nothing => {}
                Told::Beat => {
                    self.untold = None;
                    if due == Due::Look {
                        self.extra_beats.push(now);
                    }
                }
            }
        }

        fn report(&mut self, resource: Resource, now: Instant) {
            let is_news_already = self.stalls.has_news;
            if let Some(at) = self.stalls.report(resource, now) {
                self.plan(at);
            }
            if self.stalls.has_news && !is_news_already {
                self.untold.get_or_insert(now);
            }
        }
    }

    proptest! {
        /// Plays the loop: whatever is reported and changes, and whenever it looks in turn.
        #[test]
        fn never_more_than_one_extra_beat_a_second_and_no_news_wait_longer(
            events in prop::collection::vec(event(), 1..200),
        ) {
            let (mut play, mut now) = (Loop::default(), epoch());
            for (pause_ms, event, change) in events {
                now += ms(pause_ms);
                if let Some(at) = play.planned.filter(|at| *at <= now) {
                    play.look(at, Due::Look, change);
                }
                match event {
                    Event::Report(resource) => play.report(resource, now),
                    Event::Regular(due, change) => play.look(now, due, change),
                }
                if let Some(since) = play.untold {
                    prop_assert!(play.planned.is_some_and(|at| at >= now && at <= since + APART));
                }
            }
            for pair in play.extra_beats.windows(2) {
                prop_assert!(pair[1] - pair[0] >= APART, "{:?}", pair[1] - pair[0]);
            }
        }
    }
}

//! How long to wait before trying again: doubling, capped, with full jitter.
//!
//! 0.2 s to 8 s, and up to 30 s once the trouble has lasted a minute, so that a fleet of
//! gateways and agents does not storm a broker that comes back. Pure: the time is an argument
//! and chance comes from a seed.

use std::time::Duration;

use crate::clock::Moment;

/// The first delay is below this.
const FIRST: Duration = Duration::from_millis(200);
/// No delay is longer within the first minute.
const CAP: Duration = Duration::from_secs(8);
/// No delay is longer after it.
const CAP_LATER: Duration = Duration::from_secs(30);
/// When the later cap begins.
const LATER: Duration = Duration::from_mins(1);
/// A success that lasted as long begins the count anew; a shorter one may be a door that slams.
const LASTING: Duration = Duration::from_secs(10);

/// The delays of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub struct Backoff {
    seed: u64,
    attempts: u32,
    failing_since: Option<Moment>,
    succeeded: Option<Moment>,
}

impl Backoff {
    /// Nothing has failed yet.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            attempts: 0,
            failing_since: None,
            succeeded: None,
        }
    }

    /// It worked; the delays start anew if it keeps working.
    pub const fn succeed(&mut self, now: Moment) {
        self.succeeded = Some(now);
    }

    /// It failed: how long to wait.
    pub fn fail(&mut self, now: Moment) -> Duration {
        let has_lasted = |since: Moment| now.since(since) >= LASTING;
        if self.succeeded.take().is_some_and(has_lasted) {
            self.attempts = 0;
            self.failing_since = None;
        }
        let since = *self.failing_since.get_or_insert(now);
        let cap = if now.since(since) >= LATER {
            CAP_LATER
        } else {
            CAP
        };
        let ceiling = FIRST
            .saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX))
            .min(cap);
        self.attempts = self.attempts.saturating_add(1);
        let ceiling_ms = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(next_random(&mut self.seed) % (ceiling_ms + 1))
    }
}

/// splitmix64: jitter needs no better.
pub fn next_random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut value = *seed;
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_stay_under_their_ceiling(seed: u64, gaps in prop::collection::vec(0_u64..20_000, 1..40)) {
            let mut backoff = Backoff::new(seed);
            let (mut now, start) = (Moment(1_000), Moment(1_000));
            for (attempt, gap) in gaps.into_iter().enumerate() {
                let delay = backoff.fail(now);
                let doubled = FIRST * 2_u32.saturating_pow(u32::try_from(attempt.min(20)).unwrap());
                let cap = if now.since(start) >= LATER { CAP_LATER } else { CAP };
                prop_assert!(delay <= doubled.min(cap), "{delay:?} after {attempt}");
                now = now + delay + Duration::from_millis(gap);
            }
        }
    }

    #[test]
    fn jitter_covers_the_whole_range() {
        let delays: Vec<_> = (0..200)
            .map(|seed| Backoff::new(seed).fail(Moment(0)))
            .collect();
        assert!(delays.iter().any(|delay| *delay < FIRST / 10));
        assert!(delays.iter().any(|delay| *delay > FIRST * 9 / 10));
    }

    #[test]
    fn only_a_lasting_success_begins_anew() {
        let mut backoff = Backoff::new(7);
        for _ in 0..10 {
            backoff.fail(Moment(0));
        }
        backoff.succeed(Moment(1_000));
        backoff.fail(Moment(2_000));
        assert_eq!(backoff.attempts, 11, "a door that slams is no success");
        backoff.succeed(Moment(10_000));
        backoff.fail(Moment(25_000));
        assert_eq!(backoff.attempts, 1);
    }
}

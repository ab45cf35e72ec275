//! How long to wait before the next attempt to connect.
//!
//! Full jitter, so that a fleet does not return in step after its broker restarts; never less
//! than [`WAIT_MIN`], so that a duel of two agents for one name stays cheap. Pure: time and
//! randomness are arguments.

use std::time::Duration;

/// No wait is shorter.
pub const WAIT_MIN: Duration = Duration::from_millis(200);
/// The longest wait within [`PATIENCE`].
pub const WAIT_MAX: Duration = Duration::from_secs(8);
/// The longest wait after that.
pub const WAIT_MAX_LATER: Duration = Duration::from_secs(30);
/// A broker that restarts is back within this time; one that is not may be gone for days.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// A connection that lived this long ends the series of failures.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A series of failed attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    waited: Duration,
}

impl Backoff {
    /// Ends the series, if the connection that now broke had lived long enough.
    pub fn connected_for(&mut self, lifetime: Duration) {
        if lifetime >= STABLE_AFTER {
            *self = Self::default();
        }
    }

    /// The wait before the next attempt; `random` is uniform over all of `u64`.
    pub fn next_wait(&mut self, random: u64) -> Duration {
        let wait_max = if self.waited < PATIENCE {
            WAIT_MAX
        } else {
            WAIT_MAX_LATER
        };
        let doubled =
            WAIT_MIN.saturating_mul(1_u32.checked_shl(self.failures + 1).unwrap_or(u32::MAX));
        let span_ms = millis(doubled.min(wait_max).saturating_sub(WAIT_MIN));
        let wait = WAIT_MIN + Duration::from_millis(random % (span_ms + 1));
        // More doublings than this change nothing, and the shift above stays in range.
        self.failures = (self.failures + 1).min(16);
        self.waited = self.waited.saturating_add(wait);
        wait
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(randoms in prop::collection::vec(any::<u64>(), 1..200)) {
            let mut backoff = Backoff::default();
            let mut waited = Duration::ZERO;
            for random in randoms {
                let wait_max = if waited < PATIENCE { WAIT_MAX } else { WAIT_MAX_LATER };
                let wait = backoff.next_wait(random);
                prop_assert!(wait >= WAIT_MIN && wait <= wait_max, "{wait:?} after {waited:?}");
                waited += wait;
            }
        }
    }

    #[test]
    fn the_first_retry_comes_soon_and_the_longest_is_reached() {
        let mut backoff = Backoff::default();
        let longest: Vec<_> = (0..20).map(|_| backoff.next_wait(0)).collect();
        assert!(longest.iter().all(|wait| *wait == WAIT_MIN));

        let mut backoff = Backoff::default();
        let spans = [200, 600, 1_400, 3_000, 6_200, 7_800];
        for span_ms in spans {
            let wait = backoff.next_wait(span_ms);
            assert_eq!(wait, WAIT_MIN + Duration::from_millis(span_ms));
        }
        while backoff.waited < PATIENCE {
            backoff.next_wait(7_800);
        }
        assert_eq!(backoff.next_wait(29_800), WAIT_MAX_LATER);
    }

    #[test]
    fn only_a_connection_that_lived_ends_the_series() {
        let mut backoff = Backoff::default();
        backoff.next_wait(0);
        let failed = backoff;
        backoff.connected_for(Duration::from_secs(9));
        assert_eq!(backoff, failed);
        backoff.connected_for(STABLE_AFTER);
        assert_eq!(backoff, Backoff::default());
    }
}

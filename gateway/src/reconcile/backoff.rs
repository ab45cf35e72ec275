//! Says when a node's failed write may be tried again: exponential, with jitter.
//!
//! Jitter comes from a seeded mixer, not from a clock or a global, so that the core stays a
//! function of its inputs.

use core::time::Duration;

use super::Failure;
use crate::clock::Moment;

/// `SplitMix64`: enough to spread retries, of no use for secrets.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The duration, half to one and a half times.
    pub(super) fn around(&mut self, duration: Duration) -> Duration {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2);
        let spread = self.next() % ms.saturating_add(1);
        Duration::from_millis(ms / 2 + spread)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// When one kind of write of one node may be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u8,
    until: Moment,
}

impl Backoff {
    /// Whether it may be made now.
    pub(super) fn is_open(&self, now: Moment) -> bool {
        now >= self.until
    }

    /// When it may be made, if not now.
    pub(super) fn until(&self, now: Moment) -> Option<Moment> {
        (self.until > now).then_some(self.until)
    }

    /// The write succeeded.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// The write failed.
    pub(super) fn fail(&mut self, now: Moment, failure: Failure, jitter: &mut Jitter) {
        let (first_ms, max_ms) = match failure {
            // The newest object comes by watch; until then the same answer would come.
            Failure::Conflict | Failure::NotFound | Failure::AlreadyExists => (100, 10_000),
            Failure::Unavailable | Failure::TooManyRequests { .. } => (500, 60_000),
            Failure::Forbidden => (10_000, 300_000),
            Failure::Invalid => (30_000, 600_000),
        };
        let doubled = first_ms << self.failures.min(16);
        let delay = jitter.around(Duration::from_millis(doubled.min(max_ms)));
        let delay = if let Failure::TooManyRequests {
            retry_after: Some(least),
        } = failure
        {
            delay.max(least)
        } else {
            delay
        };
        self.failures = self.failures.saturating_add(1);
        self.until = now + delay;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn retry_after_is_obeyed() {
        let mut backoff = Backoff::default();
        let retry_after = Some(Duration::from_secs(90));
        let failure = Failure::TooManyRequests { retry_after };
        backoff.fail(Moment(0), failure, &mut Jitter::new(1));
        assert!(!backoff.is_open(Moment(89_999)));
        backoff.succeed();
        assert!(backoff.is_open(Moment(0)));
    }

    proptest! {
        #[test]
        fn delays_grow_within_their_bounds(seed: u64, failures in 1_u32..40) {
            let mut jitter = Jitter::new(seed);
            let mut backoff = Backoff::default();
            for failure in 0..failures {
                backoff.fail(Moment(0), Failure::Unavailable, &mut jitter);
                let middle_ms = (500_u64 << failure.min(16)).min(60_000);
                prop_assert!(backoff.until.as_ms() >= middle_ms / 2);
                prop_assert!(backoff.until.as_ms() <= middle_ms / 2 + middle_ms);
            }
        }
    }
}

//! Judges how old a beat is, from the board's uptime and the gateway's boot-time clock.
//!
//! `arrival − uptime` is constant for a board but for the way through the network, so a beat is
//! as old as it exceeds the smallest value known for that boot. The smallest value follows the
//! board when its crystal is slow, by [`DRIFT_PPM`]; a beat that is hoarded and dripped
//! afterwards would have to wait half a day to profit from that.

use crate::clock::Moment;

/// An older beat proves nothing.
const AGE_MS_MAX: u64 = 20_000;

/// How fast the smallest offset is let rise: more than any crystal drifts (100 ppm) and as much
/// as the kernel slews a clock (500 ppm).
const DRIFT_PPM: u64 = 500;

/// This many answers in a row to our own requests prove that the board lives, whatever its clock
/// says: it was suspended below its kernel, as virtual machines are.
const VOUCHERS: u8 = 3;

/// The smallest `arrival − uptime` of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    ms: i64,
    at: Moment,
    vouchers: u8,
}

impl Offset {
    /// From the first frame of a boot, which is taken to be young.
    pub(super) fn new(now: Moment, uptime_ms: u64) -> Self {
        Self {
            ms: offset_ms(now, uptime_ms),
            at: now,
            vouchers: 0,
        }
    }

    /// Whether a frame that arrives now is fresh; learns from it.
    pub(super) fn judge(&mut self, now: Moment, uptime_ms: u64) -> bool {
        let offset = offset_ms(now, uptime_ms);
        let elapsed_ms = now.as_ms().saturating_sub(self.at.as_ms());
        let allowance = elapsed_ms.saturating_mul(DRIFT_PPM) / 1_000_000;
        let smallest = self.ms.saturating_add_unsigned(allowance);
        if offset <= smallest {
            *self = Self::new(now, uptime_ms);
            return true;
        }
        let is_fresh = offset.abs_diff(smallest) <= AGE_MS_MAX;
        if is_fresh {
            self.vouchers = 0;
        }
        is_fresh
    }

    /// Takes an answer to a request of ours that was judged too old; enough of them make it the
    /// measure. Returns whether they did.
    pub(super) fn vouch(&mut self, now: Moment, uptime_ms: u64) -> bool {
        self.vouchers += 1;
        let is_enough = self.vouchers >= VOUCHERS;
        if is_enough {
            *self = Self::new(now, uptime_ms);
        }
        is_enough
    }
}

fn offset_ms(now: Moment, uptime_ms: u64) -> i64 {
    let signed = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(now.as_ms()).saturating_sub(signed(uptime_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_beat_is_fresh_for_twenty_seconds() {
        let mut offset = Offset::new(Moment(1_000_000), 500_000);
        assert!(offset.judge(Moment(1_030_000), 510_000));
        assert!(!offset.judge(Moment(1_030_100), 510_000));
    }

    #[test]
    fn hoarded_beats_stay_old_however_slowly_they_drip() {
        let mut offset = Offset::new(Moment(DAY_MS), DAY_MS);
        for drip in 0..30 {
            let arrival = DAY_MS + 300_000 + drip * 10_000;
            assert!(
                !offset.judge(Moment(arrival), DAY_MS + drip * 10_000),
                "{drip}"
            );
        }
    }

    #[test]
    fn a_suspended_machine_is_fresh_again_after_three_answers() {
        let mut offset = Offset::new(Moment(DAY_MS), DAY_MS);
        assert!(!offset.judge(Moment(DAY_MS + 100_000), DAY_MS + 10_000));
        assert!(!offset.vouch(Moment(DAY_MS + 100_000), DAY_MS + 10_000));
        assert!(!offset.vouch(Moment(DAY_MS + 110_000), DAY_MS + 20_000));
        assert!(offset.vouch(Moment(DAY_MS + 120_000), DAY_MS + 30_000));
        assert!(offset.judge(Moment(DAY_MS + 130_000), DAY_MS + 40_000));
    }

    proptest! {
        /// Clocks apart by up to 500 ppm, any gaps up to days (restarts included), any delays up
        /// to 15 s: none of the beats is taken for old.
        #[test]
        fn an_honest_node_is_never_starved(
            ppm in -490_i64..=490,
            steps in prop::collection::vec((1_u64..2 * DAY_MS, 0_u64..15_000), 1..60),
        ) {
            let uptime_at = |true_ms: u64| {
                let drift = i64::try_from(true_ms).unwrap() * ppm / 1_000_000;
                true_ms.saturating_add_signed(-drift)
            };
            let mut sent = DAY_MS;
            let mut offset = Offset::new(Moment(sent), uptime_at(sent));
            for (gap, delay) in steps {
                sent += gap + 15_000;
                prop_assert!(offset.judge(Moment(sent + delay), uptime_at(sent)));
            }
        }
    }
}

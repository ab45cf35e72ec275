//! `UnderVoltage` and `Throttled`: what the firmware says of the supply and the clock.
//!
//! The firmware tells what holds now and what has held at some time before. A dip between two
//! ticks shows as a bit of the past that was not set a tick ago, and counts as a dip now; one that
//! stays set is no news, whoever clears it in between. A bit of the past at the first sight is
//! history, except just after the boot: when it came is not known, so it sets nothing and stands
//! among the vitals.

use nodling_protocol::units::Throttle;

use super::finding::Finding;
use crate::observe::power::{Source, Throttled};
use crate::observe::{Observation, Reading};

/// A board that has been up for less than a condition takes to clear would still show it.
const JUST_BOOTED_MS: u64 = 60_000;

/// What is known of the supply since the boot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Supply {
    /// The last reading, and who told it: another knows of another past.
    previous: Option<(Option<Source>, Throttled)>,
    /// Bits that hold now, or held since the last tick.
    fresh: u32,
    /// Bits that have held since the boot.
    ever: u32,
}

impl Supply {
    /// Takes this tick's readings.
    pub(super) fn update(&mut self, observation: &Observation) {
        let power = &observation.power;
        if let Ok(Some(throttled)) = power.throttled {
            self.take(power.source, throttled, observation.uptime_ms);
        }
        if power.is_under_voltage_alarm == Ok(Some(true)) {
            self.ever |= Throttled::UNDER_VOLTAGE;
        }
    }

    fn take(&mut self, source: Option<Source>, throttled: Throttled, uptime_ms: u64) {
        let past =
            |throttled: Throttled| (throttled.0 >> Throttled::SINCE_BOOT_SHIFT) & Throttled::ALL;
        let known = match self.previous {
            Some((told_by, previous)) if told_by == source => past(previous),
            _ if uptime_ms < JUST_BOOTED_MS => 0,
            _ => Throttled::ALL,
        };
        self.fresh = (throttled.0 & Throttled::ALL) | (past(throttled) & !known);
        self.ever |= throttled.ever();
        self.previous = Some((source, throttled));
    }

    /// Whether the supply is too low.
    pub(super) fn under_voltage(&self, observation: &Observation) -> Finding {
        let power = &observation.power;
        let finding = self.holds(&power.throttled, Throttled::UNDER_VOLTAGE);
        let finding = finding.worst(Finding::of(&power.is_under_voltage_alarm, |is_low| *is_low));
        let profile = &observation.fixed.profile.power.detects_under_voltage;
        let can_tell = match profile.as_ref().map(|fact| fact.value) {
            _ if self.ever & Throttled::UNDER_VOLTAGE != 0 => true,
            Some(can_tell) => can_tell,
            // Nobody described this board: it may never say so.
            None => finding != Finding::Holds(false),
        };
        if can_tell { finding } else { Finding::Absent }
    }

    /// Whether the firmware holds the cores back.
    pub(super) fn throttled(&self, observation: &Observation) -> Finding {
        const HELD_BACK: u32 = Throttled::CAPPED | Throttled::THROTTLED | Throttled::SOFT_LIMIT;
        self.holds(&observation.power.throttled, HELD_BACK)
    }

    fn holds(&self, reading: &Reading<Throttled>, bits: u32) -> Finding {
        Finding::of(reading, |_| self.fresh & bits != 0)
    }

    /// The vital: the bits of now, and all of the past that is known.
    pub(super) fn vital(&self, now: Throttled) -> Throttle {
        Throttle::from_firmware(now.0 | (self.ever << Throttled::SINCE_BOOT_SHIFT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOW: u32 = Throttled::UNDER_VOLTAGE;
    const LOW_ONCE: u32 = LOW << Throttled::SINCE_BOOT_SHIFT;

    /// Which bits are fresh after each reading, the first of them at `uptime_s`.
    fn fresh(uptime_s: u64, readings: &[u32]) -> Vec<u32> {
        let mut supply = Supply::default();
        let step = |(bits, at_s): (&u32, u64)| {
            supply.take(None, Throttled(*bits), at_s * 1000);
            supply.fresh
        };
        readings
            .iter()
            .zip((uptime_s..).step_by(10))
            .map(step)
            .collect()
    }

    #[test]
    fn a_dip_between_two_ticks_is_seen_once() {
        assert_eq!(fresh(300, &[0, LOW_ONCE, LOW_ONCE]), [0, LOW, 0]);
        assert_eq!(fresh(300, &[0, LOW | LOW_ONCE, LOW_ONCE]), [0, LOW, 0]);
    }

    #[test]
    fn history_at_the_first_sight_is_no_dip_unless_the_board_has_just_booted() {
        assert_eq!(fresh(300, &[LOW_ONCE, LOW_ONCE]), [0, 0]);
        assert_eq!(fresh(59, &[LOW_ONCE, LOW_ONCE]), [LOW, 0]);
        let mut supply = Supply::default();
        supply.take(None, Throttled(LOW_ONCE), 300_000);
        assert_eq!(
            supply.vital(Throttled(0)).since_boot(),
            Throttle::UNDER_VOLTAGE
        );
    }

    #[test]
    fn where_the_driver_clears_the_past_a_new_mark_is_news_and_nothing_is_forgotten() {
        let marks = [0, LOW_ONCE, 0, LOW_ONCE, LOW_ONCE, 0];
        assert_eq!(fresh(300, &marks), [0, LOW, 0, LOW, 0, 0]);
        let mut supply = Supply::default();
        for mark in marks {
            supply.take(None, Throttled(mark), 300_000);
        }
        assert_eq!(
            supply.vital(Throttled(0)).since_boot(),
            Throttle::UNDER_VOLTAGE
        );
        assert_eq!(supply.vital(Throttled(0)).now(), 0);
    }

    proptest! {
        #[test]
        fn what_holds_now_is_always_fresh_and_what_never_held_never(
            readings in prop::collection::vec(any::<u32>(), 1..20), uptime_s in 0_u64..600
        ) {
            for (reading, fresh) in readings.iter().zip(fresh(uptime_s, &readings)) {
                let ever = Throttled(*reading).ever();
                prop_assert_eq!(fresh & reading & Throttled::ALL, reading & Throttled::ALL);
                prop_assert_eq!(fresh & !ever, 0);
            }
        }
    }
}

//! What changed between two observations, per second or as a share.
//!
//! A counter that ran backwards was reset: then there is no rate until the next observation.

use nodling_protocol::units::Permille;

use crate::observe::cpu::CpuTime;

/// Two observations closer than this say nothing about a rate: the kernel counts in 10 ms.
const APART_MS_MIN: u64 = 500;

/// Shares of all processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// In which there was work.
    pub(super) busy: Permille,
    /// In which there was none because its task waited for a disk.
    pub(super) waiting: Permille,
}

/// What the processors did since the last observation.
#[derive(Clone, Debug, Default)]
pub(super) struct Processors {
    previous: Option<(u64, CpuTime)>,
    shares: Option<Shares>,
}

impl Processors {
    /// Takes the present counters; `None` until there are two that belong together.
    pub(super) fn update(&mut self, now_ms: u64, time: CpuTime) -> Option<Shares> {
        if let Some((before_ms, before)) = self.previous {
            if now_ms.saturating_sub(before_ms) < APART_MS_MIN {
                return self.shares;
            }
            self.shares = shares(before, time);
        }
        self.previous = Some((now_ms, time));
        self.shares
    }
}

fn shares(before: CpuTime, now: CpuTime) -> Option<Shares> {
    let total = sum(now)
        .checked_sub(sum(before))
        .filter(|total| *total != 0)?;
    // iowait is known to run backwards by a little; that is no reset.
    let waiting = now
        .iowait_ticks
        .saturating_sub(before.iowait_ticks)
        .min(total);
    let idle = now
        .idle_ticks
        .saturating_sub(before.idle_ticks)
        .saturating_add(waiting)
        .min(total);
    let permille = |ticks: u64| {
        let share = ticks.saturating_mul(1000) / total;
        u16::try_from(share).ok().map(Permille)
    };
    Some(Shares {
        busy: permille(total - idle)?,
        waiting: permille(waiting)?,
    })
}

fn sum(time: CpuTime) -> u64 {
    [
        time.user_ticks,
        time.nice_ticks,
        time.system_ticks,
        time.idle_ticks,
        time.iowait_ticks,
        time.irq_ticks,
        time.softirq_ticks,
        time.steal_ticks,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(user_ticks: u64, idle_ticks: u64, iowait_ticks: u64) -> CpuTime {
        CpuTime {
            user_ticks,
            idle_ticks,
            iowait_ticks,
            ..CpuTime::default()
        }
    }

    #[test]
    fn two_observations_make_a_share() {
        let mut processors = Processors::default();
        let mut at = |now_ms, time| {
            let shares = processors.update(now_ms, time)?;
            Some((shares.busy.0, shares.waiting.0))
        };
        assert_eq!(at(0, time(100, 900, 0)), None);
        assert_eq!(at(10_000, time(125, 970, 5)), Some((250, 50)));
        // Too close: the last one stands.
        assert_eq!(at(10_100, time(135, 970, 5)), Some((250, 50)));
        assert_eq!(at(20_000, time(225, 970, 5)), Some((1000, 0)));
    }

    #[test]
    fn a_reset_counter_makes_none() {
        let mut processors = Processors::default();
        processors.update(0, time(100, 900, 0));
        processors.update(10_000, time(200, 900, 0));
        assert_eq!(processors.update(20_000, time(1, 2, 0)), None);
        let shares = processors.update(30_000, time(2, 3, 0)).unwrap();
        assert_eq!(shares.busy, Permille(500));
    }

    proptest! {
        #[test]
        fn shares_are_never_more_than_the_whole(
            before in any::<[u32; 3]>(), now in any::<[u32; 3]>()
        ) {
            let [a, b] = [before, now].map(|[user, idle, iowait]| {
                time(u64::from(user), u64::from(idle), u64::from(iowait))
            });
            if let Some(Shares { busy, waiting }) = shares(a, b) {
                prop_assert!(busy.0 + waiting.0 <= 1000);
            }
        }
    }
}

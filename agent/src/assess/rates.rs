//! What changed between two observations, per second or as a share.
//!
//! A counter that ran backwards was reset: then there is no rate until the next observation.

use nodling_protocol::units::Permille;

use crate::observe::cpu::CpuTime;

/// Two observations closer than this say nothing about a rate: the kernel counts in 10 ms.
const APART_MS_MIN: u64 = 500;

/// The share of processor time that was not idle.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuBusy {
    previous: Option<(u64, CpuTime)>,
    share: Option<Permille>,
}

impl CpuBusy {
    /// Takes the present counters; `None` until there are two that belong together.
    pub(super) fn update(&mut self, now_ms: u64, time: CpuTime) -> Option<Permille> {
        if let Some((before_ms, before)) = self.previous {
            if now_ms.saturating_sub(before_ms) < APART_MS_MIN {
                return self.share;
            }
            self.share = share(before, time);
        }
        self.previous = Some((now_ms, time));
        self.share
    }
}

fn share(before: CpuTime, now: CpuTime) -> Option<Permille> {
    let total = sum(now)
        .checked_sub(sum(before))
        .filter(|total| *total != 0)?;
    // iowait is known to run backwards by a little; that is no reset.
    let idle = now
        .idle_ticks
        .saturating_sub(before.idle_ticks)
        .saturating_add(now.iowait_ticks.saturating_sub(before.iowait_ticks))
        .min(total);
    let busy = (total - idle).saturating_mul(1000) / total;
    u16::try_from(busy).ok().map(Permille)
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
        let mut busy = CpuBusy::default();
        assert_eq!(busy.update(0, time(100, 900, 0)), None);
        assert_eq!(busy.update(10_000, time(125, 970, 5)), Some(Permille(250)));
        // Too close: the last one stands.
        assert_eq!(busy.update(10_100, time(135, 970, 5)), Some(Permille(250)));
        assert_eq!(busy.update(20_000, time(225, 970, 5)), Some(Permille(1000)));
    }

    #[test]
    fn a_reset_counter_makes_none() {
        let mut busy = CpuBusy::default();
        busy.update(0, time(100, 900, 0));
        busy.update(10_000, time(200, 900, 0));
        assert_eq!(busy.update(20_000, time(1, 2, 0)), None);
        assert_eq!(busy.update(30_000, time(2, 3, 0)), Some(Permille(500)));
    }

    proptest! {
        #[test]
        fn a_share_is_never_more_than_the_whole(
            before in any::<[u32; 3]>(), now in any::<[u32; 3]>()
        ) {
            let [a, b] = [before, now].map(|[user, idle, iowait]| {
                time(u64::from(user), u64::from(idle), u64::from(iowait))
            });
            if let Some(Permille(share)) = share(a, b) {
                prop_assert!(share <= 1000);
            }
        }
    }
}

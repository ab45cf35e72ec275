//! `CPUPressure` and `IOPressure`: tasks wait for a processor, or for a disk.
//!
//! The kernel's own account is pressure stall information: the share of the last minute. Where it
//! is off, the same share is estimated from each tick and averaged over a minute:
//!
//! - a processor was waited for in a tick if more tasks were runnable at its end than there are
//!   processors, and these were busy for at least 90 % of it;
//! - a disk was waited for, and nothing done, at least for the share in which processors were idle
//!   for a disk's sake, less the share in which any of them worked.

use super::finding::Finding;
use super::latch::Latch;
use super::rates::Shares;
use crate::observe::pressure::Stalls;
use crate::observe::{Observation, Reading};

/// Shares in hundredths of a per cent: above the first it is set, below the second cleared.
#[derive(Clone, Copy, Debug)]
struct Limits {
    set: u16,
    clear: u16,
}

/// Some task waited for a processor for 60 % of a minute.
const CPU: Limits = Limits {
    set: 6_000,
    clear: 4_000,
};
/// All tasks waited for disks for 30 % of a minute.
const IO: Limits = Limits {
    set: 3_000,
    clear: 1_500,
};
/// Processors that are this busy leave no room.
const BUSY_PERMILLE: u16 = 900;

/// What must be remembered to estimate what the kernel does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimates {
    cpu: Average,
    io: Average,
}

impl Estimates {
    /// Judges `CPUPressure`.
    pub(super) fn cpu(
        &mut self,
        observation: &Observation,
        shares: Option<Shares>,
        latch: Latch,
    ) -> Finding {
        let some = |stalls: &Stalls| Some(stalls.some.avg60_hundredths);
        if let Some(finding) = told(&observation.pressure.cpu, some, CPU, latch) {
            return finding;
        }
        let estimate = match (&observation.cpu, &observation.load) {
            (Ok(Some(cpu)), Ok(Some(load))) => shares.map(|shares| {
                // The task that reads the count is one of those it counts.
                let others = load.runnable.saturating_sub(1);
                let is_crowded = others > cpu.online;
                u32::from(is_crowded && shares.busy.0 >= BUSY_PERMILLE) * MILLIONTHS
            }),
            (Err(_), _) | (_, Err(_)) => return Finding::Failed,
            (Ok(None), _) | (_, Ok(None)) => return Finding::Absent,
        };
        self.cpu.judge(observation.uptime_ms, estimate, CPU, latch)
    }

    /// Judges `IOPressure`.
    pub(super) fn io(
        &mut self,
        observation: &Observation,
        shares: Option<Shares>,
        latch: Latch,
    ) -> Finding {
        let full = |stalls: &Stalls| stalls.full.map(|full| full.avg60_hundredths);
        if let Some(finding) = told(&observation.pressure.io, full, IO, latch) {
            return finding;
        }
        let estimate = match &observation.cpu {
            Ok(Some(cpu)) => shares.map(|shares| stalled_millionths(shares, cpu.online)),
            Ok(None) => return Finding::Absent,
            Err(_) => return Finding::Failed,
        };
        self.io.judge(observation.uptime_ms, estimate, IO, latch)
    }
}

/// What the kernel says; `None` where it says nothing.
fn told(
    reading: &Reading<Stalls>,
    share: impl FnOnce(&Stalls) -> Option<u16>,
    limits: Limits,
    latch: Latch,
) -> Option<Finding> {
    match reading {
        Ok(Some(stalls)) => share(stalls).map(|share| judge(share, limits, latch)),
        Ok(None) => None,
        Err(_) => Some(Finding::Failed),
    }
}

fn judge(share_hundredths: u16, limits: Limits, latch: Latch) -> Finding {
    Finding::Holds(if latch.is_set() {
        share_hundredths >= limits.clear
    } else {
        share_hundredths > limits.set
    })
}

/// Time in which some processor idled for a disk, less time in which some processor worked: what
/// is left, nobody worked in.
fn stalled_millionths(shares: Shares, online: u32) -> u32 {
    const PER_PERMILLE: u32 = MILLIONTHS / 1000;
    let of_one = |permille: u16| {
        let millionths = u32::from(permille).saturating_mul(PER_PERMILLE);
        millionths.saturating_mul(online).min(MILLIONTHS)
    };
    of_one(shares.waiting.0).saturating_sub(of_one(shares.busy.0))
}

/// The whole.
const MILLIONTHS: u32 = 1_000_000;

/// A share's average over about a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    at_ms: Option<u64>,
    millionths: u32,
}

impl Average {
    /// Takes the share since the last tick, which the first one has not.
    fn judge(
        &mut self,
        now_ms: u64,
        share_millionths: Option<u32>,
        limits: Limits,
        latch: Latch,
    ) -> Finding {
        let Some(share_millionths) = share_millionths else {
            // A counter ran backwards: there is a share again at the next tick.
            return if latch.status().is_some() {
                Finding::Failed
            } else {
                Finding::Absent
            };
        };
        self.add(now_ms, share_millionths);
        let hundredths = u16::try_from(self.millionths / 100).unwrap_or(u16::MAX);
        judge(hundredths, limits, latch)
    }

    fn add(&mut self, now_ms: u64, share_millionths: u32) {
        const MINUTE_MS: u64 = 60_000;
        /// However long ago the last tick was, one alone decides nothing.
        const APART_MS_MAX: u64 = 30_000;
        /// What the first tick is taken to stand for.
        const FIRST_MS: u64 = 1_000;
        let since_ms = self
            .at_ms
            .map_or(FIRST_MS, |at_ms| now_ms.saturating_sub(at_ms));
        let since_ms = since_ms.min(APART_MS_MAX);
        let sum = u64::from(self.millionths) * MINUTE_MS + u64::from(share_millionths) * since_ms;
        self.millionths = u32::try_from(sum / (MINUTE_MS + since_ms)).unwrap_or(MILLIONTHS);
        self.at_ms = Some(now_ms);
    }
}

/// Why there is no pressure stall information, and what to do about it; `None` where there is,
/// or where reading it failed.
pub fn pressure_hint(observation: &Observation) -> Option<&'static str> {
    let pressure = &observation.pressure;
    let all = [&pressure.cpu, &pressure.memory, &pressure.io];
    if all.iter().any(|reading| !matches!(reading, Ok(None))) {
        return None;
    }
    Some(match observation.fixed.psi_argument {
        Ok(Some(true)) => "the kernel is built without pressure stall information (CONFIG_PSI)",
        Ok(_) | Err(_) => "pressure stall information is off: add psi=1 to the kernel command line",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nodling_protocol::units::Permille;
    use proptest::prelude::*;

    fn shares(busy: u16, waiting: u16) -> Shares {
        Shares {
            busy: Permille(busy),
            waiting: Permille(waiting),
        }
    }

    #[test]
    fn disks_stall_a_board_when_nothing_else_is_done() {
        for (busy, waiting, online, expected) in [
            (0, 0, 4, 0),
            // One task of four processors waits all the time, and nobody works.
            (0, 250, 4, 1_000_000),
            (0, 100, 4, 400_000),
            // Another works meanwhile.
            (250, 250, 4, 0),
            (50, 250, 4, 800_000),
            (20, 980, 1, 960_000),
            (1000, 0, 1, 0),
        ] {
            let stalled = stalled_millionths(shares(busy, waiting), online);
            assert_eq!(stalled, expected, "{busy} {waiting} {online}");
        }
    }

    #[test]
    fn an_average_follows_within_a_minute_or_two() {
        let mut average = Average::default();
        let mut at_s = 0;
        let mut run = |share, ticks| {
            for _ in 0..ticks {
                at_s += 10;
                average.add(at_s * 1000, share);
            }
            average.millionths / 10_000
        };
        let after_a_minute = run(MILLIONTHS, 6);
        assert!((50..65).contains(&after_a_minute), "{after_a_minute} %");
        let after_two_more = run(MILLIONTHS, 12);
        assert!(after_two_more > 90, "{after_two_more} %");
        let after_a_pause = run(0, 6);
        assert!(after_a_pause < 45, "{after_a_pause} %");
    }

    #[test]
    fn one_tick_alone_sets_nothing_however_long_it_took() {
        let mut average = Average::default();
        average.add(0, 0);
        average.add(86_400_000, MILLIONTHS);
        assert!(average.millionths / 100 < u32::from(CPU.set));
    }

    proptest! {
        #[test]
        fn an_average_stays_between_its_shares(
            steps in prop::collection::vec((1_u64..100_000, 0..=MILLIONTHS), 1..50)
        ) {
            let most = steps.iter().map(|(_, share)| *share).max().unwrap();
            let (mut average, mut now_ms) = (Average::default(), 0);
            for (apart_ms, share) in steps {
                now_ms += apart_ms;
                average.add(now_ms, share);
                prop_assert!(average.millionths <= most);
            }
        }
    }
}

//! When which work of the loop is due.

use std::time::Duration;

use tokio::time::Instant;

/// When what is due next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agenda {
    /// Judge the board.
    pub(crate) observe: Instant,
    /// Send a heartbeat.
    pub(crate) beat: Instant,
    /// Begin a new session.
    pub(crate) hello: Option<Instant>,
    /// Send Facts that were asked for.
    pub(crate) facts: Option<Instant>,
    /// Send detail that was asked for.
    pub(crate) detail: Option<Instant>,
    /// Tell systemd.
    pub(crate) alive: Option<Instant>,
}

impl Agenda {
    /// When anything is due.
    pub(crate) fn next(&self) -> Instant {
        [self.hello, self.facts, self.detail, self.alive]
            .into_iter()
            .flatten()
            .fold(self.observe.min(self.beat), Instant::min)
    }
}

/// The next time in step with the last one; what was missed is not made up for.
pub(crate) fn after(last: Instant, every: Duration, now: Instant) -> Instant {
    let next = last + every;
    if next > now { next } else { now + every }
}

/// Where in the interval a node beats: from half of it on, so that the second beat is no echo.
pub(crate) fn phase(node: &str, interval: Duration) -> Duration {
    // FNV-1a: the same on every machine, and neighbouring names lie apart.
    let hash = node.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(interval_ms / 2 + hash % (interval_ms / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_the_nodes_own_and_in_the_second_half_of_the_interval() {
        let interval = Duration::from_secs(10);
        let phases: Vec<_> = (0..100)
            .map(|n| phase(&format!("pi-{n}"), interval))
            .collect();
        assert!(
            phases
                .iter()
                .all(|phase| *phase >= interval / 2 && *phase <= interval)
        );
        let early = phases
            .iter()
            .filter(|phase| **phase < interval * 3 / 4)
            .count();
        assert!(
            (25..75).contains(&early),
            "{early} of 100 in the first half"
        );
        assert_eq!(phase("attic", interval), phase("attic", interval));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_is_not_made_up_for() {
        let (last, every) = (Instant::now(), Duration::from_secs(10));
        assert_eq!(after(last, every, last + every / 2), last + every);
        let late = last + every * 7;
        assert_eq!(after(last, every, late), late + every);
    }
}

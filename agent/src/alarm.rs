//! Wakes the loop at one instant: a timerfd(2), or the runtime's own timers.
//!
//! The runtime keeps far deadlines roughly and wakes up once or twice before each to look closer.
//! The kernel wakes a board up once. Paused time, in tests, is the runtime's.

use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// One alarm, set again and again.
#[derive(Debug, Default)]
pub struct Alarm {
    kernels: Option<Kernels>,
}

#[derive(Debug)]
struct Kernels {
    timer: AsyncFd<OwnedFd>,
    /// For when it is set.
    set_for: Option<Instant>,
}

impl Alarm {
    /// The kernel's; the runtime's if the kernel has none to give.
    pub fn new() -> Self {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
        #[expect(
            deprecated,
            reason = "unsound only for types whose descriptor changes, which an OwnedFd's does not"
        )]
        let timer = timer.and_then(|timer| AsyncFd::with_interest(timer, Interest::READABLE).ok());
        Self {
            kernels: timer.map(|timer| Kernels {
                timer,
                set_for: None,
            }),
        }
    }

    /// Waits; may be dropped and called again with the same or another instant.
    pub async fn until(&mut self, at: Instant) {
        if let Some(kernels) = &mut self.kernels {
            match kernels.until(at).await {
                Ok(()) => return,
                // What cannot happen must not silence the board.
                Err(_) => self.kernels = None,
            }
        }
        tokio::time::sleep_until(at).await;
    }
}

impl Kernels {
    async fn until(&mut self, at: Instant) -> std::io::Result<()> {
        if self.set_for != Some(at) {
            self.set_for = None;
            let wait = at.saturating_duration_since(Instant::now());
            // Zero would switch it off.
            let value = timespec(wait.max(Duration::from_nanos(1)));
            let timer = Itimerspec {
                it_interval: Timespec::default(),
                it_value: value,
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)?;
            self.set_for = Some(at);
        }
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(ready.get_inner(), &mut expirations) {
                Ok(_) => {
                    // It goes off once: there is nothing more to read.
                    ready.clear_ready();
                    self.set_for = None;
                    return Ok(());
                }
                // What went off before it was set again.
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(err) => return Err(err.into()),
            }
        }
    }
}

fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on(future: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(future);
    }

    #[test]
    fn it_goes_off_when_it_is_due_and_not_before() {
        block_on(async {
            let mut alarm = Alarm::new();
            assert!(alarm.kernels.is_some());
            for wait_ms in [5, 0, 1] {
                let at = Instant::now() + Duration::from_millis(wait_ms);
                alarm.until(at).await;
                assert!(Instant::now() >= at);
            }
        });
    }

    #[test]
    fn it_can_be_set_again_before_and_after_it_went_off() {
        block_on(async {
            let mut alarm = Alarm::new();
            let start = Instant::now();
            let far = start + Duration::from_hours(1);
            let near = start + Duration::from_millis(2);
            let poll_once = tokio::time::timeout(Duration::ZERO, alarm.until(far));
            assert!(poll_once.await.is_err());
            alarm.until(near).await;
            // It goes off unheard, and is then set for another instant.
            let next = Instant::now() + Duration::from_millis(1);
            let _unheard = tokio::time::timeout(Duration::ZERO, alarm.until(next)).await;
            tokio::time::sleep_until(next + Duration::from_millis(3)).await;
            let last = Instant::now() + Duration::from_millis(2);
            alarm.until(last).await;
            assert!(Instant::now() >= last);
        });
    }
}

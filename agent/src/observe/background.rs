//! A thread that reads what may take long; what it read last is there at once.
//!
//! A bus that is stuck in the kernel holds its thread, and nothing else: the heartbeat looks at
//! what was read before, and judges by its age. The thread ends when its owner is dropped, or
//! with the program, whichever it notices first; nobody waits for it.

use std::convert::Infallible;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Errno;

/// Drivers and parsers need a few kilobytes; what is not touched costs nothing.
const STACK_BYTES: usize = 128 * 1024;

/// What a thread shares with the heartbeat; held only to copy.
#[derive(Debug)]
pub(super) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        // A panic ends the program in release; a test that caught one may still look.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A thread that lives as long as this.
#[derive(Debug)]
pub(super) struct Background {
    /// Never sent on; its end is the thread's.
    _alive: Sender<Infallible>,
}

impl Background {
    /// Calls `turn` again and again, each time after the pause that the last call asked for.
    pub(super) fn start(
        name: &str,
        mut turn: impl FnMut() -> Duration + Send + 'static,
    ) -> Result<Self, Errno> {
        let (alive, ended) = channel();
        let work = move || {
            while ended.recv_timeout(turn()) == Err(RecvTimeoutError::Timeout) {}
        };
        let started = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(work);
        match started {
            Ok(_) => Ok(Self { _alive: alive }),
            Err(err) => Err(Errno(err.raw_os_error().unwrap_or(libc::EAGAIN))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_never_returns_holds_nobody_up() {
        let (release, stuck) = channel::<()>();
        let (teller, turns) = channel();
        let latest = Shared::new(21);
        let shared = latest.clone();
        let background = Background::start("test", move || {
            *shared.lock() += 1;
            let _ = teller.send(());
            // As a thread does that waits in the kernel for a bus.
            let _ = stuck.recv();
            Duration::ZERO
        });
        turns.recv().unwrap();
        assert_eq!(*latest.lock(), 22, "what was read last is there");
        drop(background.unwrap());
        assert_eq!(*latest.lock(), 22, "and its owner may go");
        drop(release);
        assert!(turns.recv().is_err(), "it ends when the kernel lets it go");
    }

    #[test]
    fn a_thread_reads_on_until_its_owner_is_gone() {
        let (told, tell) = (channel(), Shared::new(0_u32));
        let (teller, turns) = told;
        let count = tell.clone();
        let background = Background::start("test", move || {
            *count.lock() += 1;
            let _ = teller.send(());
            Duration::ZERO
        });
        for _ in 0..3 {
            turns.recv().unwrap();
        }
        assert!(*tell.lock() >= 3);
        drop(background.unwrap());
        // The sender lives in the closure: its end is the thread's.
        while turns.recv().is_ok() {}
    }
}

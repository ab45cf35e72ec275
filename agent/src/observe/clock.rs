//! Reads how far the wall clock can be trusted: adjtimex(2) without changing anything, and
//! whether `/run/systemd/timesync/synchronized` exists.
//!
//! A board without a clock chip starts in the past: nothing but this stage looks at the wall.

use super::root::Root;
use super::sys::Adjtimex;
use super::text::Flaw;
use super::{ReadError, Reading};

/// How far the wall clock can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The kernel's clock discipline.
    pub timex: Reading<Timex>,
    /// systemd-timesyncd has set the clock since boot; false also where another program does it.
    pub has_timesyncd_synchronized: bool,
    /// The wall clock, in seconds since 1970.
    pub wall_unix_s: i64,
}

/// What adjtimex(2) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timex {
    /// `STA_UNSYNC` is set or the state is `TIME_ERROR`: nobody disciplines the clock.
    pub is_unsynchronised: bool,
    /// How far the clock is off, as its discipline reckons; it is being slewed by this.
    pub offset_us: i64,
    /// The kernel's bound on the error; it grows while nobody disciplines the clock.
    pub error_us_max: i64,
}

/// Asks how far the wall clock can be trusted.
pub(super) fn read(root: &Root) -> Clock {
    Clock {
        timex: root
            .syscalls()
            .adjtimex()
            .and_then(|answer| answer.map(timex).transpose()),
        has_timesyncd_synchronized: root.exists("run/systemd/timesync/synchronized"),
        wall_unix_s: root.syscalls().wall_unix_s(),
    }
}

fn timex(answer: Adjtimex) -> Result<Timex, ReadError> {
    if answer.maxerror_us < 0 {
        return Err(Flaw::new(1, "a negative error bound").at("adjtimex"));
    }
    Ok(Timex {
        is_unsynchronised: answer.status & libc::STA_UNSYNC != 0
            || answer.state == libc::TIME_ERROR,
        offset_us: answer.offset_us,
        error_us_max: answer.maxerror_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_by_one_bit_that_nobody_sets_the_clock() {
        // STA_NANO beside it.
        let answer = |status, state, maxerror_us| {
            timex(Adjtimex {
                status,
                state,
                offset_us: 0,
                maxerror_us,
            })
        };
        let is_unsynchronised =
            |status, state| answer(status, state, 16_000_000).unwrap().is_unsynchronised;
        assert!(is_unsynchronised(0x2040, libc::TIME_ERROR));
        assert!(is_unsynchronised(0x2040, 0));
        // A pulse that is asked for and does not come, for example.
        assert!(is_unsynchronised(0x2003, libc::TIME_ERROR));
        assert!(!is_unsynchronised(0x2001, libc::TIME_OK));
        assert!(answer(0, 0, -1).is_err());
    }
}

//! `ClockUnsynchronized`: nobody sets the wall clock.
//!
//! The kernel knows who disciplines it. systemd-timesyncd's mark says only that the clock was set
//! at some time since boot; it counts where the kernel's flag is set for another reason (a clock
//! chip in local time), and as long as the kernel's bound on the error has not run out, which
//! takes nine hours without a server. A clock before this build is never right.

use super::finding::Finding;
use crate::observe::clock::{Clock, Timex};

/// The kernel's `NTP_PHASE_LIMIT`: its bound on the error grows to this, and then is none.
const ERROR_BOUND_US: i64 = 16_000_000;

/// When this was built, if the build says so as reproducible builds do, or else when it was
/// written.
const BUILT_UNIX_S: i64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(seconds) => match i64::from_str_radix(seconds, 10) {
        Ok(seconds) => seconds,
        Err(_) => panic!("SOURCE_DATE_EPOCH must be a number of seconds"),
    },
    None => 1_760_000_000,
};

/// Whether nobody sets the clock.
pub(super) fn unsynchronized(clock: &Clock) -> Finding {
    if clock.wall_unix_s < BUILT_UNIX_S {
        return Finding::Holds(true);
    }
    let has_mark = clock.has_timesyncd_synchronized;
    match &clock.timex {
        Ok(None) if has_mark => Finding::Holds(false),
        timex => Finding::of(timex, |timex| is_unsynchronized(timex, has_mark)),
    }
}

fn is_unsynchronized(timex: &Timex, has_mark: bool) -> bool {
    timex.is_unsynchronised && !(has_mark && timex.error_us_max < ERROR_BOUND_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Errno, ReadError};

    const TODAY: i64 = BUILT_UNIX_S + 86_400;

    fn clock(is_unsynchronised: bool, error_us_max: i64) -> Clock {
        Clock {
            timex: Ok(Some(Timex {
                is_unsynchronised,
                offset_us: 0,
                error_us_max,
            })),
            has_timesyncd_synchronized: false,
            wall_unix_s: TODAY,
        }
    }

    #[test]
    fn the_kernel_decides_and_the_mark_counts_until_the_error_has_no_bound() {
        for (is_unsynchronised, error_us_max, has_mark, expected) in [
            (false, 400_000, false, false),
            (false, 400_000, true, false),
            (true, 16_000_000, false, true),
            // A clock chip in local time: the flag is set on purpose.
            (true, 400_000, true, false),
            // A day without a server, or a mark that outlived its boot.
            (true, 16_000_000, true, true),
        ] {
            let clock = Clock {
                has_timesyncd_synchronized: has_mark,
                ..clock(is_unsynchronised, error_us_max)
            };
            assert_eq!(
                unsynchronized(&clock),
                Finding::Holds(expected),
                "{clock:?}"
            );
        }
    }

    #[test]
    fn a_clock_before_this_build_is_never_right() {
        for wall_unix_s in [i64::MIN, -1, 0, 37, BUILT_UNIX_S - 1] {
            let clock = Clock {
                has_timesyncd_synchronized: true,
                wall_unix_s,
                ..clock(false, 0)
            };
            assert_eq!(
                unsynchronized(&clock),
                Finding::Holds(true),
                "{wall_unix_s}"
            );
        }
    }

    #[test]
    fn a_kernel_that_does_not_answer_leaves_the_mark() {
        let silent = |timex, has_timesyncd_synchronized| Clock {
            timex,
            has_timesyncd_synchronized,
            wall_unix_s: TODAY,
        };
        let refused = ReadError::Refused {
            path: "adjtimex".into(),
            cause: Errno(libc::EPERM),
        };
        assert_eq!(
            unsynchronized(&silent(Ok(None), true)),
            Finding::Holds(false)
        );
        assert_eq!(unsynchronized(&silent(Ok(None), false)), Finding::Absent);
        assert_eq!(unsynchronized(&silent(Err(refused), true)), Finding::Failed);
    }
}

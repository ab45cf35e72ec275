//! Reads how far the wall clock can be trusted: adjtimex(2) without changing anything, and
//! whether `/run/systemd/timesync/synchronized` exists.
//!
//! A board without a clock chip starts in the past: nothing but this stage looks at the wall.

use super::Reading;
use super::root::Root;

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
    /// `STA_UNSYNC` is set: nobody disciplines the clock.
    pub is_unsynchronised: bool,
    /// The kernel's bound on the error; it grows while nobody disciplines the clock.
    pub error_us_max: i64,
}

/// Asks how far the wall clock can be trusted.
pub(super) fn read(root: &Root) -> Clock {
    Clock {
        timex: root.syscalls().adjtimex(),
        has_timesyncd_synchronized: root.exists("run/systemd/timesync/synchronized"),
        wall_unix_s: root.syscalls().wall_unix_s(),
    }
}

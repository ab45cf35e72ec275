//! Reads the gateway's clocks: the boot-time clock for everything that is decided, the wall
//! clock for what is written.
//!
//! The wall clock is believed when it is not before this build and nothing says that it is
//! still waiting to be set: a board without a clock chip starts with the time of its last
//! shutdown, and systemd-timesyncd tells when it has asked the network. A machine with a clock
//! chip, or without timesyncd, is believed when the time is plausible.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Moment, Now};

/// No wall clock is right that shows an earlier time: when this was built, if the build says
/// so as reproducible builds do, or else when it was written.
pub const BUILT: Timestamp = match option_env!("SOURCE_DATE_EPOCH") {
    Some(seconds) => Timestamp::constant(decimal(seconds), 0),
    None => Timestamp::constant(1_790_000_000, 0),
};
/// There when timesyncd has asked the network.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// There when timesyncd runs.
const TIMESYNC: &str = "/run/systemd/timesync";
/// There when the machine has a clock chip.
const CLOCK_CHIP: &str = "/sys/class/rtc/rtc0";

/// The gateway's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    /// The kernel's.
    System { must_be_synchronized: bool },
    /// A clock that showed `epoch` at `since`, for tests of boards without a clock chip.
    Played { epoch: Timestamp, since: Moment },
}

impl Clocks {
    /// The kernel's clocks.
    pub const fn system(must_be_synchronized: bool) -> Self {
        Self {
            wall: Wall::System {
                must_be_synchronized,
            },
        }
    }

    /// A wall clock that shows `epoch` now and goes on from there.
    pub fn played(epoch: Timestamp) -> Self {
        Self {
            wall: Wall::Played {
                epoch,
                since: moment(),
            },
        }
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        let wall = self.reading();
        Now {
            moment: moment(),
            wall: self.doubt(wall).is_none().then_some(wall),
        }
    }

    /// The boot-time clock.
    pub fn moment(&self) -> Moment {
        moment()
    }

    /// Why the wall clock is not believed.
    pub fn complaint(&self) -> Option<&'static str> {
        self.doubt(self.reading())
    }

    /// What the wall clock shows, believed or not: for stamps that must be something.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    pub fn reading(&self) -> Timestamp {
        match self.wall {
            Wall::System { .. } => Timestamp::now(),
            Wall::Played { epoch, since } => epoch
                .checked_add(moment().since(since))
                .unwrap_or(Timestamp::MAX),
        }
    }

    fn doubt(&self, wall: Timestamp) -> Option<&'static str> {
        if wall < BUILT {
            return Some("the wall clock shows a time before this program was built");
        }
        let Wall::System {
            must_be_synchronized,
        } = self.wall
        else {
            return None;
        };
        let exists = |path| Path::new(path).exists();
        let may_be_wrong = must_be_synchronized || (exists(TIMESYNC) && !exists(CLOCK_CHIP));
        (may_be_wrong && !exists(SYNCHRONIZED)).then_some("the wall clock is not synchronised yet")
    }
}

const fn decimal(text: &str) -> i64 {
    match i64::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("SOURCE_DATE_EPOCH must be a number of seconds"),
    }
}

/// `CLOCK_BOOTTIME`, which no time server moves and which goes on in suspend.
fn moment() -> Moment {
    let reading = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(reading.tv_nsec).unwrap_or(0);
    let since_boot = Duration::new(seconds, nanoseconds);
    Moment(u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_1970_is_not_believed_and_moments_still_pass() {
        let clocks = Clocks::played(Timestamp::UNIX_EPOCH);
        assert_eq!(clocks.now().wall, None);
        assert!(
            clocks
                .complaint()
                .unwrap()
                .contains("before this program was built")
        );
        assert!(clocks.moment() > Moment(0));
        assert!(clocks.now().moment >= clocks.moment() || clocks.now().moment > Moment(0));
    }

    #[test]
    fn a_plausible_clock_is_believed() {
        let clocks = Clocks::played(BUILT);
        assert!(clocks.now().wall.is_some_and(|wall| wall >= BUILT));
        assert_eq!(clocks.complaint(), None);
    }
}

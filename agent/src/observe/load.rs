//! Reads `/proc/loadavg` (Documentation/filesystems/proc.rst, section 1).
//!
//! The load counts tasks that wait for a disk too: above the number of cores it often means a
//! slow card, not a busy processor.

use procfs::{FromRead, LoadAverage};

use super::Reading;
use super::root::Root;
use super::text::{Flaw, lone_number};

/// Load averages and the number of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Over one minute, in hundredths.
    pub one_minute_hundredths: u32,
    /// Over five minutes, in hundredths.
    pub five_minutes_hundredths: u32,
    /// Over fifteen minutes, in hundredths.
    pub fifteen_minutes_hundredths: u32,
    /// Tasks that could run now.
    pub runnable: u32,
    /// Tasks that exist, threads counted; what the kubelet counts as pids in use.
    pub threads: u32,
}

/// Reads the load.
pub(super) fn read(root: &mut Root) -> Reading<Load> {
    root.parse("proc/loadavg", parse)
}

/// Reads a limit of the kernel on the number of tasks.
pub(super) fn read_limit(root: &mut Root, path: &str) -> Reading<u64> {
    root.parse(path, |text| match lone_number(text)? {
        0 => Err(Flaw::new(1, "a limit of nothing")),
        limit => Ok(limit),
    })
}

fn parse(text: &[u8]) -> Result<Load, Flaw> {
    let flaw = Flaw::new(1, "expected three averages and running/all tasks");
    let load = LoadAverage::from_read(text).map_err(|_| flaw)?;
    let (runnable, threads) = (load.cur, load.max);
    if threads == 0 || runnable > threads {
        return Err(Flaw::new(1, "more tasks run than there are"));
    }
    Ok(Load {
        one_minute_hundredths: hundredths_of(load.one).ok_or(flaw)?,
        five_minutes_hundredths: hundredths_of(load.five).ok_or(flaw)?,
        fifteen_minutes_hundredths: hundredths_of(load.fifteen).ok_or(flaw)?,
        runnable,
        threads,
    })
}

/// The kernel prints two decimals, which an `f32` holds exactly enough below this.
const LOAD_MAX: f32 = 100_000.0;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn hundredths_of(average: f32) -> Option<u32> {
    (0.0..LOAD_MAX)
        .contains(&average)
        .then(|| (average * 100.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_three_averages_and_two_counts() {
        let load = parse(b"0.61 1.06 12.69 1/386 14855\n").unwrap();
        assert_eq!(load.one_minute_hundredths, 61);
        assert_eq!(load.five_minutes_hundredths, 106);
        assert_eq!(load.fifteen_minutes_hundredths, 1269);
        assert_eq!((load.runnable, load.threads), (1, 386));
    }

    #[test]
    fn what_is_no_load_fails() {
        for text in [
            "",
            "0.61 1.06",
            "0.61 1.06 0.69 9/8 1",
            "-0.61 1.06 0.69 1/8 1",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}

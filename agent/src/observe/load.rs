//! Reads /proc/loadavg (Documentation/filesystems/proc.rst, section 1).
//!
//! The load counts tasks that wait for a disk too: above the number of cores it often means a
//! slow card, not a busy processor.

use super::Reading;

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

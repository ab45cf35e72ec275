//! Reads /sys/devices/system/cpu/cpufreq/policy*/{scaling_cur_freq,cpuinfo_min_freq,
//! cpuinfo_max_freq} in kHz (Documentation/admin-guide/pm/cpufreq.rst).
//!
//! At most four policies: a machine with one per core would pay for every core at every tick.

use super::Reading;

/// One frequency policy: cores that share a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For example `policy0`.
    pub name: Box<str>,
    /// What the governor asks for now.
    pub current_khz: Reading<u32>,
    /// The lowest that the hardware does.
    pub minimum_khz: Option<u32>,
    /// The highest that the hardware does.
    pub maximum_khz: Option<u32>,
}

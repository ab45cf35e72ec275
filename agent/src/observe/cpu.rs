//! Reads /proc/stat and /sys/devices/system/cpu/online
//! (Documentation/filesystems/proc.rst, section 1.7).
//!
//! Times are totals since boot; rates need two observations and are `assess`'s.

use super::Reading;

/// Processors that are online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors {
    /// How many; the Node's cpu capacity.
    pub online: u32,
}

/// Processor time since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// All processors.
    pub total: CpuTime,
    /// Processors that `/proc/stat` lists.
    pub online: u32,
    /// Each processor by its number; empty unless detail is asked for.
    pub cores: Vec<(u32, CpuTime)>,
    /// Interrupts served.
    pub interrupts: u64,
    /// Context switches.
    pub context_switches: u64,
    /// Processes and threads created.
    pub forks: u64,
    /// Tasks that wait for a disk.
    pub blocked: u32,
}

/// Processor time in hundredths of a second, which `USER_HZ` is on every target that is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names, each in ticks of 10 ms")]
pub struct CpuTime {
    pub user_ticks: u64,
    pub nice_ticks: u64,
    pub system_ticks: u64,
    pub idle_ticks: u64,
    pub iowait_ticks: u64,
    pub irq_ticks: u64,
    pub softirq_ticks: u64,
    pub steal_ticks: u64,
}

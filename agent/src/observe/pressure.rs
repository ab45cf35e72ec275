//! Reads /proc/pressure/{cpu,memory,io} (Documentation/accounting/psi.rst).
//!
//! A kernel started without psi=1 either has no such files or answers EOPNOTSUPP: both are absent.

use super::Reading;

/// Pressure stalls of the three resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Reading<Stalls>,
    /// Waiting for memory.
    pub memory: Reading<Stalls>,
    /// Waiting for storage.
    pub io: Reading<Stalls>,
}

/// One pressure file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// Some tasks waited.
    pub some: Stall,
    /// All tasks waited; a kernel before 5.13 does not write it for the processor.
    pub full: Option<Stall>,
}

/// One line of a pressure file; shares are hundredths of a per cent, 0 to 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Share of the last 10 s.
    pub avg10_hundredths: u16,
    /// Share of the last minute.
    pub avg60_hundredths: u16,
    /// Share of the last five minutes.
    pub avg300_hundredths: u16,
    /// Since boot.
    pub total_us: u64,
}

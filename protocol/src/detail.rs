//! Detail: the counters behind the vitals, for whoever watches one board closely.
//!
//! Sent every minute while the gateway asks. Enough to serve the usual metrics of
//! `node_exporter`: per processor, interface, disk and filesystem.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::units::{CentiLoad, Kibibytes, Uptime};
use crate::wire::{DecodeError, from_postcard};

/// Most processors.
pub const MAX_CPUS: usize = 64;
/// Most interfaces, disks, or filesystems.
pub const MAX_DEVICES: usize = 16;

/// Counters of one board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail<'a> {
    /// When it was observed.
    pub uptime: Uptime,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: Option<[CentiLoad; 3]>,
    /// Processors in the kernel's order.
    pub cpus: Vec<CpuTimes, MAX_CPUS>,
    /// Memory.
    pub memory: Option<MemoryDetail>,
    /// Interfaces.
    #[serde(borrow)]
    pub interfaces: Vec<InterfaceDetail<'a>, MAX_DEVICES>,
    /// Whole disks.
    pub disks: Vec<DiskDetail<'a>, MAX_DEVICES>,
    /// Filesystems.
    pub filesystems: Vec<FilesystemDetail<'a>, MAX_DEVICES>,
    /// The kernel's view of its clock.
    pub clock: Option<ClockDetail>,
}

/// Time a processor spent, in hundredths of a second since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the columns of /proc/stat, by their names there"
)]
pub struct CpuTimes {
    pub user: u64,
    pub nice: u64,
    pub system: u64,
    pub idle: u64,
    pub iowait: u64,
    pub irq: u64,
    pub softirq: u64,
    pub steal: u64,
}

/// Lines of `/proc/meminfo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the lines of /proc/meminfo, by their names there"
)]
pub struct MemoryDetail {
    pub total: Kibibytes,
    pub free: Kibibytes,
    pub available: Kibibytes,
    pub buffers: Kibibytes,
    pub cached: Kibibytes,
    pub swap_cached: Kibibytes,
    pub swap_total: Kibibytes,
    pub swap_free: Kibibytes,
}

/// Counters of one network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the columns of /proc/net/dev, by their names there"
)]
pub struct InterfaceDetail<'a> {
    pub name: &'a str,
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_errors: u64,
    pub received_dropped: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_errors: u64,
    pub sent_dropped: u64,
}

/// Counters of one whole disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskDetail<'a> {
    /// The kernel's name.
    pub name: &'a str,
    /// Reads completed.
    pub reads: u64,
    /// Sectors of 512 bytes read.
    pub sectors_read: u64,
    /// Writes completed.
    pub writes: u64,
    /// Sectors of 512 bytes written.
    pub sectors_written: u64,
    /// Milliseconds with requests under way.
    pub io_ms: u64,
    /// Milliseconds summed over requests.
    pub io_weighted_ms: u64,
}

/// Space on one filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemDetail<'a> {
    /// What is mounted.
    pub device: &'a str,
    /// Where.
    pub mount_point: &'a str,
    /// Type, as the kernel names it.
    pub fs_type: &'a str,
    /// Size.
    pub size_bytes: u64,
    /// Free, root's reserve included.
    pub free_bytes: u64,
    /// Free to everybody.
    pub available_bytes: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Mounted read-only, by option or by the kernel after an error.
    pub is_read_only: bool,
}

/// What `adjtimex` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockDetail {
    /// Whether the kernel believes its clock.
    pub is_synchronized: bool,
    /// Offset in microseconds.
    pub offset_us: i64,
    /// Largest error in microseconds.
    pub max_error_us: u64,
}

impl<'a> Detail<'a> {
    /// Decodes the message of a frame whose kind is [`crate::Kind::Detail`].
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        from_postcard(message)
    }
}

//! Reads /proc/self/mountinfo with statvfs(2), and /proc/diskstats with /sys/block
//! (Documentation/filesystems/proc.rst section 3.5, Documentation/admin-guide/iostats.rst).
//!
//! Never asks a network filesystem, nor what is mounted below one: a server that is gone would
//! stop the heartbeat.

use super::Reading;

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// For example `/dev/mmcblk0p2` or `overlay`.
    pub source: Box<str>,
    /// Where it is mounted.
    pub mount_point: Box<str>,
    /// For example `ext4`.
    pub kind: Box<str>,
    /// `ro` among the mount's own options; a sandboxed service sees this on a healthy disk.
    pub is_mount_read_only: bool,
    /// `ro` or `emergency_ro` among the filesystem's options: nobody can write to it.
    pub is_super_read_only: bool,
    /// How full it is.
    pub usage: Reading<Usage>,
}

/// How full a filesystem is, as the kubelet computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its size.
    pub capacity_bytes: u64,
    /// Not in use, root's reserve included.
    pub free_bytes: u64,
    /// Not in use and for everybody.
    pub available_bytes: u64,
    /// Inodes; 0 where they are made on demand (btrfs, vfat).
    pub inodes: u64,
    /// Inodes not in use.
    pub inodes_free: u64,
}

/// A whole disk's counters since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// For example `mmcblk0`.
    pub name: Box<str>,
    /// Whether other disks of the list are below it (dm, md): not to be added to them.
    pub is_stacked: bool,
    /// Reads completed.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Time spent reading.
    pub read_ms: u64,
    /// Writes completed.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Time spent writing.
    pub write_ms: u64,
    /// Requests in progress.
    pub in_progress: u64,
    /// Time during which a request was in progress.
    pub io_ms: u64,
    /// The same, each request counted.
    pub weighted_io_ms: u64,
}

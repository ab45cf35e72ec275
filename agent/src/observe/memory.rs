//! Reads /proc/meminfo, the root cgroup's memory.stat, /sys/kernel/mm/hugepages and /proc/vmstat
//! (Documentation/filesystems/proc.rst, Documentation/admin-guide/cgroup-v2.rst).
//!
//! On a Raspberry Pi the memory controller is off by default: then the cgroup reading is absent.

use super::Reading;

/// The part of `/proc/meminfo` that is used; what an old kernel does not write is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names in snake case")]
pub struct Memory {
    pub total_kib: u64,
    pub free_kib: u64,
    pub available_kib: Option<u64>,
    pub buffers_kib: u64,
    pub cached_kib: u64,
    pub swap_cached_kib: u64,
    pub active_file_kib: Option<u64>,
    pub inactive_file_kib: Option<u64>,
    pub anon_pages_kib: Option<u64>,
    pub dirty_kib: Option<u64>,
    pub shmem_kib: Option<u64>,
    pub slab_reclaimable_kib: Option<u64>,
    pub swap_total_kib: u64,
    pub swap_free_kib: u64,
}

/// The root cgroup's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryCgroup {
    /// cgroup v1.
    V1 {
        /// `memory.usage_in_bytes`.
        usage_bytes: u64,
        /// `total_inactive_file` of `memory.stat`.
        inactive_file_bytes: u64,
    },
    /// cgroup v2, whose root has no `memory.current`.
    V2 {
        /// `anon` of `memory.stat`.
        anon_bytes: u64,
        /// `file` of `memory.stat`.
        file_bytes: u64,
        /// `inactive_file` of `memory.stat`.
        inactive_file_bytes: u64,
    },
}

/// One pool of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Size of a page.
    pub page_kib: u64,
    /// Pages reserved.
    pub count: u64,
}

/// Paging since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vmstat {
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Page faults of any kind.
    pub faults: u64,
    /// Pages swapped in.
    pub swapped_in_pages: u64,
    /// Pages swapped out.
    pub swapped_out_pages: u64,
    /// Processes killed for want of memory; a kernel before 4.13 does not count them.
    pub oom_kills: Option<u64>,
}

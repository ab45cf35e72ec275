//! Stage 1: reads the board and returns an [`Observation`].
//!
//! Every reading is present, absent or failed on its own: one broken file never stops the others,
//! and nothing here can fail as a whole. Files are opened, and system calls made, only through
//! [`root::Root`]. Three rhythms: [`Fixed`] (what a boot does not change), [`Links`] (addresses
//! and routes) and the rest, which is read at every tick. Judging what was read is `assess`'s.

mod text;
pub mod root;
mod sys;
mod netlink;
pub mod host;
pub mod board;
pub mod cpu;
pub mod load;
pub mod memory;
pub mod disk;
mod mount;
pub mod network;
pub mod pressure;
pub mod thermal;
pub mod frequency;
pub mod power;
pub mod clock;
mod observer;

use std::sync::Arc;

pub use observer::{Detail, Observer};
use serde::Deserialize;

/// A value, its absence (which is no error), or why it could not be read.
pub type Reading<T> = Result<Option<T>, ReadError>;

/// Why a reading failed; its text is one line and names the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The kernel refused.
    #[error("reading {path}: {cause}")]
    Refused {
        /// The file or the system call.
        path: Box<str>,
        /// What the kernel answered.
        #[source]
        cause: Errno,
    },
    /// The text is not what the kernel writes there.
    #[error("{path}:{line}: {what}")]
    Malformed {
        /// The file or the system call.
        path: Box<str>,
        /// Counted from 1.
        line: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// The file is longer than any that a kernel writes there.
    #[error("{path}: longer than {bytes_max} bytes")]
    TooLong {
        /// The file.
        path: Box<str>,
        /// The cap.
        bytes_max: usize,
    },
}

/// An error number of the kernel, shown as its usual text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", std::io::Error::from_raw_os_error(*.0))]
pub struct Errno(pub i32);

/// The part of the configuration that says what is read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Mount points watched although no block device is behind them, for example `/data` on NFS;
    /// a server that does not answer then delays the heartbeat.
    pub filesystems: Vec<String>,
}

/// What one tick read.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Time since boot, suspend included.
    pub uptime_ms: u64,
    /// What a boot does not change.
    pub fixed: Arc<Fixed>,
    /// Addresses and routes.
    pub links: Arc<Links>,
    /// Processor time.
    pub cpu: Reading<cpu::Cpu>,
    /// Load averages and the number of threads.
    pub load: Reading<load::Load>,
    /// `/proc/meminfo`.
    pub memory: Reading<memory::Memory>,
    /// The root cgroup's memory, which the kubelet judges by.
    pub memory_cgroup: Reading<memory::MemoryCgroup>,
    /// Paging counters; absent unless detail is asked for.
    pub vmstat: Reading<memory::Vmstat>,
    /// How full the root filesystem is; known even when the table of mounts is not.
    pub root_usage: Reading<disk::Usage>,
    /// Filesystems on devices, the root filesystem first.
    pub filesystems: Reading<Vec<disk::Filesystem>>,
    /// Whole disks.
    pub disks: Reading<Vec<disk::Disk>>,
    /// Interface counters.
    pub interfaces: Reading<Vec<network::Interface>>,
    /// Pressure stalls.
    pub pressure: pressure::Pressure,
    /// Thermal zones; a zone's temperature is a reading of its own.
    pub thermal: Reading<Vec<thermal::Zone>>,
    /// Frequency policies.
    pub frequency: Reading<Vec<frequency::Policy>>,
    /// Supply and throttling.
    pub power: power::Power,
    /// How far the wall clock can be trusted.
    pub clock: clock::Clock,
}

/// What a boot does not change, or so rarely that five minutes are soon enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Who this host is.
    pub host: host::Host,
    /// Which board this is.
    pub board: board::Board,
    /// What is known about the board.
    pub profile: nodling_boards::Profile,
    /// Processors that are online.
    pub processors: Reading<cpu::Processors>,
    /// Pools of huge pages, smallest first.
    pub huge_pages: Reading<Vec<memory::HugePages>>,
    /// `/proc/sys/kernel/pid_max`.
    pub pid_max: Reading<u64>,
    /// `/proc/sys/kernel/threads-max`.
    pub threads_max: Reading<u64>,
    /// Bytes in a page.
    pub page_size_bytes: u64,
}

/// Addresses and routes: read at a session's start and every half minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// Interfaces in the order of their names.
    pub links: Reading<Vec<network::Link>>,
    /// Addresses in the kernel's order, every interface and family.
    pub addresses: Reading<Vec<network::Address>>,
    /// Interface of the best IPv4 default route.
    pub default_route_v4: Reading<Box<str>>,
    /// Interface of the best IPv6 default route.
    pub default_route_v6: Reading<Box<str>>,
}

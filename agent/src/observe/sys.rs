//! The system calls: made, or answered by a fixture's `syscalls.toml`.
//!
//! The one file with `unsafe`: rustix, which makes all the others, has no adjtimex(2). Its mode 0
//! changes nothing and needs no privilege.

#![expect(unsafe_code, reason = "adjtimex(2) has no safe wrapper")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustix::io::Errno as Os;
use serde::Deserialize;

use super::clock::Timex;
use super::disk::Usage;
use super::network::Address;
use super::root::{Root, errno, present};
use super::text::Flaw;
use super::{ReadError, Reading, netlink};

/// Who answers a system call.
#[derive(Debug)]
pub(super) enum Syscalls {
    Live,
    Recorded(Box<Recorded>),
}

/// A fixture's `syscalls.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    uptime_ms: u64,
    wall_unix_s: i64,
    page_size_bytes: u64,
    /// As Go writes it: what this program was built for.
    architecture: String,
    uname: Uname,
    adjtimex: Option<Adjtimex>,
    /// By mount point.
    #[serde(default)]
    statvfs: BTreeMap<String, Statvfs>,
    #[serde(default)]
    address: Vec<RecordedAddress>,
}

/// uname(2).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Uname {
    pub(super) nodename: String,
    pub(super) release: String,
    pub(super) machine: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjtimex {
    status: i32,
    maxerror_us: i64,
}

/// statvfs(3).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statvfs {
    fragment_bytes: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    inodes: u64,
    inodes_free: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedAddress {
    interface: String,
    address: IpAddr,
    prefix_len: u8,
    #[serde(default)]
    is_temporary: bool,
    #[serde(default)]
    is_deprecated: bool,
    #[serde(default)]
    is_tentative: bool,
}

impl Recorded {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Box<toml::de::Error>> {
        toml::from_slice(text).map_err(Box::new)
    }
}

impl Syscalls {
    /// Time since boot, suspend included: `CLOCK_BOOTTIME`.
    pub(super) fn uptime_ms(&self) -> u64 {
        match self {
            Self::Live => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let seconds_ms = u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1000);
                let rest_ms = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
                seconds_ms.saturating_add(rest_ms)
            }
            Self::Recorded(recorded) => recorded.uptime_ms,
        }
    }

    /// The wall clock.
    pub(super) fn wall_unix_s(&self) -> i64 {
        match self {
            Self::Live => rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec,
            Self::Recorded(recorded) => recorded.wall_unix_s,
        }
    }

    pub(super) fn page_size_bytes(&self) -> u64 {
        match self {
            Self::Live => u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX),
            Self::Recorded(recorded) => recorded.page_size_bytes,
        }
    }

    /// What this program was built for, as Go writes it.
    pub(super) fn architecture(&self) -> &str {
        let Self::Recorded(recorded) = self else {
            return match std::env::consts::ARCH {
                "aarch64" => "arm64",
                "x86_64" => "amd64",
                "x86" => "386",
                // arm, riscv64 and s390x are the same in both.
                other => other,
            };
        };
        &recorded.architecture
    }

    pub(super) fn uname(&self) -> Uname {
        match self {
            Self::Live => {
                let uname = rustix::system::uname();
                Uname {
                    nodename: uname.nodename().to_string_lossy().into_owned(),
                    release: uname.release().to_string_lossy().into_owned(),
                    machine: uname.machine().to_string_lossy().into_owned(),
                }
            }
            Self::Recorded(recorded) => recorded.uname.clone(),
        }
    }

    /// The kernel's clock discipline.
    pub(super) fn adjtimex(&self) -> Reading<Timex> {
        let answer = match self {
            Self::Live => live_adjtimex().map_err(|cause| ReadError::Refused {
                path: "adjtimex".into(),
                cause: errno(cause),
            })?,
            Self::Recorded(recorded) => match recorded.adjtimex {
                Some(answer) => answer,
                None => return Ok(None),
            },
        };
        if answer.maxerror_us < 0 {
            return Err(Flaw::new(1, "a negative error bound").at("adjtimex"));
        }
        Ok(Some(Timex {
            is_unsynchronised: answer.status & libc::STA_UNSYNC != 0,
            error_us_max: answer.maxerror_us,
        }))
    }

    /// Addresses in the kernel's order.
    pub(super) fn addresses(&self) -> Reading<Vec<Address>> {
        match self {
            Self::Live => present(netlink::addresses(), "netlink addresses"),
            Self::Recorded(recorded) => Ok(Some(
                recorded
                    .address
                    .iter()
                    .map(RecordedAddress::to_address)
                    .collect(),
            )),
        }
    }
}

/// How full the filesystem at a mount point is.
pub(super) fn usage(root: &Root, mount_point: &str) -> Reading<Usage> {
    let answer = match root.syscalls() {
        Syscalls::Live => {
            let answer = root
                .open_mount_point(mount_point)
                .and_then(rustix::fs::fstatvfs)
                .map(|answer| Statvfs {
                    fragment_bytes: answer.f_frsize,
                    blocks: answer.f_blocks,
                    blocks_free: answer.f_bfree,
                    blocks_available: answer.f_bavail,
                    inodes: answer.f_files,
                    inodes_free: answer.f_ffree,
                });
            present(answer, mount_point)?
        }
        Syscalls::Recorded(recorded) => recorded.statvfs.get(mount_point).copied(),
    };
    let Some(answer) = answer else {
        return Ok(None);
    };
    answer
        .usage()
        .map(Some)
        .map_err(|flaw| flaw.at(mount_point))
}

impl Statvfs {
    /// Refuses what cannot be: a size of nothing, or more free than there is.
    pub(super) fn usage(&self) -> Result<Usage, Flaw> {
        let bytes = |blocks: u64| {
            blocks
                .checked_mul(self.fragment_bytes)
                .filter(|bytes| i64::try_from(*bytes).is_ok())
                .ok_or(Flaw::new(1, "statvfs: a size beyond 2^63"))
        };
        let usage = Usage {
            capacity_bytes: bytes(self.blocks)?,
            free_bytes: bytes(self.blocks_free)?,
            available_bytes: bytes(self.blocks_available)?,
            inodes: self.inodes,
            inodes_free: self.inodes_free,
        };
        if usage.capacity_bytes == 0 {
            return Err(Flaw::new(1, "statvfs: a size of nothing"));
        }
        if usage.free_bytes.max(usage.available_bytes) > usage.capacity_bytes
            || usage.inodes_free > usage.inodes
        {
            return Err(Flaw::new(1, "statvfs: more free than there is"));
        }
        Ok(usage)
    }
}

impl RecordedAddress {
    fn to_address(&self) -> Address {
        Address {
            interface: self.interface.as_str().into(),
            address: self.address,
            prefix_len: self.prefix_len,
            is_temporary: self.is_temporary,
            is_deprecated: self.is_deprecated,
            is_tentative: self.is_tentative,
        }
    }
}

fn live_adjtimex() -> Result<Adjtimex, Os> {
    // SAFETY: timex is plain integers, for which zero is a value; modes 0 means "only read".
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live timex that nothing else refers to.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        let cause = std::io::Error::last_os_error();
        return Err(Os::from_io_error(&cause).unwrap_or(Os::INVAL));
    }
    Ok(Adjtimex {
        status: timex.status,
        maxerror_us: widened(timex.maxerror),
    })
}

/// `c_long` is 32 bits on some boards.
fn widened(value: impl Into<i64>) -> i64 {
    value.into()
}

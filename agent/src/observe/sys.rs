//! The system calls: made, or answered by a fixture's `syscalls.toml`.
//!
//! The one file with `unsafe`: rustix, which makes all the others, has no adjtimex(2), and no
//! ioctl(2) of a board's own. The first changes nothing in its mode 0 and needs no privilege; the
//! second asks the firmware a question.

#![expect(unsafe_code, reason = "adjtimex(2) and ioctl(2) have no safe wrapper")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustix::fd::OwnedFd;
use rustix::fs::StatVfs;
use rustix::io::Errno as Os;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use serde::Deserialize;

use super::address::{self, Address};
use super::host;
use super::mailbox::Message;
use super::{Errno, ReadError, Reading};

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
    /// Files, by path without a leading slash, that are there and answer a read with an error.
    #[serde(default)]
    refused: BTreeMap<String, Refusal>,
}

/// What a driver answers whose device sleeps, is off or is broken.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Refusal {
    Eacces,
    Eagain,
    Einval,
    Eio,
    Enodata,
    Eopnotsupp,
}

/// uname(2).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Uname {
    pub(super) nodename: String,
    pub(super) release: String,
    pub(super) machine: String,
}

/// adjtimex(2) that changes nothing.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adjtimex {
    pub(super) status: i32,
    /// What the call itself answers: `TIME_OK` to `TIME_ERROR`.
    #[serde(default)]
    pub(super) state: i32,
    #[serde(default)]
    pub(super) offset_us: i64,
    pub(super) maxerror_us: i64,
}

/// statvfs(3).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statvfs {
    pub(super) fragment_bytes: u64,
    pub(super) blocks: u64,
    pub(super) blocks_free: u64,
    pub(super) blocks_available: u64,
    pub(super) inodes: u64,
    pub(super) inodes_free: u64,
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
            return host::go_architecture(std::env::consts::ARCH, cfg!(target_endian = "little"));
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
    pub(super) fn adjtimex(&self) -> Reading<Adjtimex> {
        match self {
            Self::Live => present(live_adjtimex(), "adjtimex"),
            Self::Recorded(recorded) => Ok(recorded.adjtimex),
        }
    }

    /// How full the filesystem at a mount point is; `ask` is called on the machine only.
    pub(super) fn statvfs(
        &self,
        mount_point: &str,
        ask: impl FnOnce() -> Result<StatVfs, Os>,
    ) -> Reading<Statvfs> {
        match self {
            Self::Live => present(ask().map(Statvfs::from), mount_point),
            Self::Recorded(recorded) => Ok(recorded.statvfs.get(mount_point).copied()),
        }
    }

    /// Why a file of a fixture cannot be read, if it cannot.
    pub(super) fn refusal(&self, path: &str) -> Option<Os> {
        let Self::Recorded(recorded) = self else {
            return None;
        };
        recorded.refused.get(path).map(|refusal| match refusal {
            Refusal::Eacces => Os::ACCESS,
            Refusal::Eagain => Os::AGAIN,
            Refusal::Einval => Os::INVAL,
            Refusal::Eio => Os::IO,
            Refusal::Enodata => Os::NODATA,
            Refusal::Eopnotsupp => Os::OPNOTSUPP,
        })
    }

    /// Addresses in the kernel's order.
    pub(super) fn addresses(&self) -> Reading<Vec<Address>> {
        match self {
            Self::Live => present(address::dump(), "netlink addresses"),
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

impl From<StatVfs> for Statvfs {
    fn from(answer: StatVfs) -> Self {
        Self {
            fragment_bytes: answer.f_frsize,
            blocks: answer.f_blocks,
            blocks_free: answer.f_bfree,
            blocks_available: answer.f_bavail,
            inodes: answer.f_files,
            inodes_free: answer.f_ffree,
        }
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
        state,
        offset_us: match widened(timex.offset) {
            offset_ns if timex.status & libc::STA_NANO != 0 => offset_ns / 1000,
            offset_us => offset_us,
        },
        maxerror_us: widened(timex.maxerror),
    })
}

/// `c_long` is 32 bits on some boards.
fn widened(value: impl Into<i64>) -> i64 {
    value.into()
}

/// Has the firmware answer a message.
pub(super) fn ask_firmware(device: &OwnedFd, message: &mut Message) -> Result<(), Os> {
    /// `_IOWR(100, 0, char *)`: the pointer's size, not the message's.
    const PROPERTY: Opcode = opcode::read_write::<*mut libc::c_char>(100, 0);
    // SAFETY: the driver reads the message's size from its first word, which is the array's, and
    // writes no more; any words are a value of the array.
    unsafe { ioctl(device, Updater::<PROPERTY, Message>::new(message)) }
}

/// Turns "there is no such thing" into absence.
pub(super) fn present<T>(result: Result<T, Os>, path: &str) -> Reading<T> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Os::NOENT | Os::NODEV | Os::NXIO | Os::NOTDIR) => Ok(None),
        Err(err) => Err(ReadError::Refused {
            path: path.into(),
            cause: errno(err),
        }),
    }
}

pub(super) fn errno(err: Os) -> Errno {
    Errno(err.raw_os_error())
}

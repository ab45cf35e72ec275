//! Where `/proc`, `/sys`, `/etc` and `/run` are looked up: the machine, a prefix (a container's
//! view of its host), or a fixture.
//!
//! A directory that holds `syscalls.toml` is a fixture: system calls are answered from that file,
//! so that a fixture never shows the machine which runs the test. One buffer serves all reads.
//!
//! Files that the kernel makes up are kept open between ticks: reading one again from its start
//! costs about half of opening, reading and closing it. A file on a disk is opened each time, since
//! another may have taken its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::buffer::{SpareCapacity, spare_capacity};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FsWord, Mode, OFlags, ResolveFlags, StatVfs};
use rustix::io::Errno as Os;

use super::mailbox;
use super::sys::{Recorded, Statvfs, Syscalls, ask_firmware, errno, present};
use super::text::Flaw;
use super::{Errno, ReadError, Reading};

/// The file that makes a directory a fixture.
const SYSCALLS_FILE: &str = "syscalls.toml";

/// How the kernel hands a file out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All at once, if there is room for it.
    Record,
    /// As many lines at a time as fit its own buffer; only an empty answer is the end.
    Table,
}

impl Kind {
    const fn bytes_max(self) -> usize {
        match self {
            Self::Record => 64 * 1024,
            // Mounts, disks and interfaces of a machine full of containers.
            Self::Table => 512 * 1024,
        }
    }
}

/// More files than any board has to read each tick; the kernel holds a page or so for each.
const OPEN_MAX: usize = 48;

/// Whether what is read now will be read again at the next tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Rare,
    EveryTick,
}

/// A file of the kernel's that stays open.
#[derive(Debug)]
struct Open {
    path: Box<str>,
    file: OwnedFd,
}

/// Where kernel files are looked up and system calls are made.
#[derive(Debug)]
pub struct Root {
    directory: Arc<Directory>,
    prefix: PathBuf,
    syscalls: Syscalls,
    buffer: Vec<u8>,
    pace: Pace,
    open: Vec<Open>,
}

/// The directory at a root's top, which other threads may hold too.
#[derive(Debug)]
pub(super) struct Directory {
    file: OwnedFd,
    /// Whether it is the machine itself, as seen by everybody on it.
    is_whole_machine: bool,
}

/// Why a root cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// There is no such directory.
    #[error("opening {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        cause: Errno,
    },
    /// The fixture's `syscalls.toml` is wrong.
    #[error("reading {path}")]
    Syscalls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// The fixture's `syscalls.toml` cannot be read.
    #[error("reading the fixture's {SYSCALLS_FILE}")]
    Unreadable(#[source] ReadError),
}

impl Root {
    /// Opens a root: `/`, a prefix, or a fixture.
    pub fn open(prefix: impl Into<PathBuf>) -> Result<Self, RootError> {
        let prefix = prefix.into();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(CWD, &prefix, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(err) => {
                return Err(RootError::Open {
                    path: prefix,
                    cause: errno(err),
                });
            }
        };
        let mut root = Self {
            directory: Arc::new(Directory {
                file: directory,
                is_whole_machine: prefix == Path::new("/"),
            }),
            prefix,
            syscalls: Syscalls::Live,
            buffer: Vec::new(),
            pace: Pace::Rare,
            open: Vec::new(),
        };
        let recorded = match root.fill(SYSCALLS_FILE, Kind::Table) {
            Ok(None) => return Ok(root),
            Ok(Some(())) => Recorded::parse(&root.buffer),
            Err(err) => return Err(RootError::Unreadable(err)),
        };
        root.syscalls = match recorded {
            Ok(recorded) => Syscalls::Recorded(Box::new(recorded)),
            Err(cause) => {
                let path = root.prefix.join(SYSCALLS_FILE);
                return Err(RootError::Syscalls { path, cause });
            }
        };
        Ok(root)
    }

    /// Says whether the files read from now on are worth keeping open.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Whether this is the machine itself, as seen by everybody on it.
    pub(super) fn is_whole_machine(&self) -> bool {
        self.directory.is_whole_machine
    }

    /// The directory for a thread that asks by itself; a fixture has answers, not a directory.
    pub(super) fn live_directory(&self) -> Option<Arc<Directory>> {
        match self.syscalls {
            Syscalls::Live => Some(Arc::clone(&self.directory)),
            Syscalls::Recorded(_) => None,
        }
    }

    /// Whether system calls are answered from a recording.
    pub(super) fn is_fixture(&self) -> bool {
        matches!(self.syscalls, Syscalls::Recorded(_))
    }

    /// Where a file is for those who open it themselves, such as drivers of a bus.
    pub(super) fn absolute(&self, path: &str) -> PathBuf {
        self.prefix.join(path.trim_start_matches('/'))
    }

    /// Reads a file and parses it; `path` has no leading slash.
    pub(super) fn parse<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, Flaw>,
    ) -> Reading<T> {
        self.parse_kind(Kind::Record, path, parse)
    }

    /// Reads a file that has a line per mount, disk or interface, and parses it.
    pub(super) fn parse_table<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, Flaw>,
    ) -> Reading<T> {
        self.parse_kind(Kind::Table, path, parse)
    }

    fn parse_kind<T>(
        &mut self,
        kind: Kind,
        path: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, Flaw>,
    ) -> Reading<T> {
        match self.fill(path, kind)? {
            Some(()) => parse(&self.buffer).map(Some).map_err(|flaw| flaw.at(path)),
            None => Ok(None),
        }
    }

    /// Names in a directory, sorted; a directory that is not there is absent.
    pub(super) fn list(&self, path: &str) -> Reading<Vec<String>> {
        let names = self
            .open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .and_then(|directory| {
                let mut names = Vec::new();
                for entry in rustix::fs::Dir::read_from(&directory)? {
                    let entry = entry?;
                    match entry.file_name().to_str() {
                        Ok(name) if name != "." && name != ".." => names.push(name.to_owned()),
                        Ok(_) | Err(_) => {}
                    }
                }
                names.sort_unstable();
                Ok(names)
            });
        present(names, path)
    }

    /// Where a link leads, which need not be there; what is no link, as in a fixture whose links
    /// were followed, is absent.
    pub(super) fn link(&self, path: &str) -> Reading<String> {
        match rustix::fs::readlinkat(&self.directory.file, path, Vec::new()) {
            Ok(link) => Ok(Some(link.to_string_lossy().into_owned())),
            Err(Os::INVAL) => Ok(None),
            Err(err) => present(Err(err), path),
        }
    }

    /// Whether there is such a file or directory.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.open_at(path, OFlags::PATH).is_ok()
    }

    /// The system calls, which a fixture answers itself.
    pub(super) fn syscalls(&self) -> &Syscalls {
        &self.syscalls
    }

    /// Asks how full the filesystem at a mount point of the machine is.
    pub(super) fn statvfs(&self, mount_point: &str) -> Reading<Statvfs> {
        self.syscalls
            .statvfs(mount_point, || self.directory.statvfs(mount_point))
    }

    /// Asks the Raspberry Pi's firmware for its throttle bits; a fixture has none to ask.
    pub(super) fn ask_throttled(&self, device: &str) -> Reading<u32> {
        let Syscalls::Live = self.syscalls else {
            return Ok(None);
        };
        let mut message = mailbox::question();
        let asked = self
            .open_at(device, OFlags::RDONLY | OFlags::NONBLOCK)
            .and_then(|device| ask_firmware(&device, &mut message));
        present(asked, device)?
            .map(|()| mailbox::answer(&message))
            .transpose()
            .map_err(|flaw| flaw.at(device))
    }

    /// Finds a socket, for whoever connects to it; a fixture has none.
    pub(super) fn open_socket(&self, path: &str) -> Result<OwnedFd, Os> {
        match self.syscalls {
            Syscalls::Live => self.open_at(path, OFlags::PATH),
            Syscalls::Recorded(_) => Err(Os::NOENT),
        }
    }

    /// Whether a file that is open, and tells when it changes, has not changed since this was
    /// last asked: poll(2) of `/proc/*/mountinfo`, as `proc_mounts(5)` describes it.
    pub(super) fn is_unchanged(&self, path: &str) -> bool {
        let Some(open) = self.open.iter().find(|open| *open.path == *path) else {
            return false;
        };
        let mut asked = [PollFd::new(&open.file, PollFlags::PRI)];
        let at_once = Timespec::default();
        matches!(rustix::event::poll(&mut asked, Some(&at_once)), Ok(0))
    }

    fn fill(&mut self, path: &str, kind: Kind) -> Reading<()> {
        if self.fill_from_open(path, kind) {
            return Ok(Some(()));
        }
        self.buffer.clear();
        // NONBLOCK: whatever stands where a file should, even a pipe, answers at once.
        let result = match self.syscalls.refusal(path) {
            Some(refusal) => Err(refusal),
            None => self
                .open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)
                .and_then(|file| {
                    let is_whole = read_up_to(&file, &mut self.buffer, kind)?;
                    Ok(is_whole.then_some(file))
                }),
        };
        match result {
            Ok(Some(file)) => {
                self.keep(path, file);
                Ok(Some(()))
            }
            Ok(None) => {
                // Not kept: one absurd file must not cost its length for ever.
                self.buffer = Vec::new();
                Err(ReadError::TooLong {
                    path: path.into(),
                    bytes_max: kind.bytes_max(),
                })
            }
            Err(err) => present(Err(err), path),
        }
    }

    /// Reads a file that is open already. One that fails, or is empty, may be that of a device
    /// that is gone, and is closed: who reads it next opens what stands there then.
    fn fill_from_open(&mut self, path: &str, kind: Kind) -> bool {
        let Some(at) = self.open.iter().position(|open| *open.path == *path) else {
            return false;
        };
        self.buffer.clear();
        let is_read = self.open.get(at).is_some_and(|open| {
            matches!(read_again(&open.file, &mut self.buffer, kind), Ok(true))
                && !self.buffer.is_empty()
        });
        if !is_read {
            self.open.swap_remove(at);
        }
        is_read
    }

    fn keep(&mut self, path: &str, file: OwnedFd) {
        let is_wanted = self.pace == Pace::EveryTick
            && self.open.len() < OPEN_MAX
            && matches!(self.syscalls, Syscalls::Live);
        if is_wanted && is_made_up(&file) {
            self.open.push(Open {
                path: path.into(),
                file,
            });
        }
    }

    fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Os> {
        self.directory.open_at(path, flags)
    }
}

impl Directory {
    /// Asks the kernel, which may have to ask a server, how full a filesystem is.
    pub(super) fn statvfs(&self, mount_point: &str) -> Result<StatVfs, Os> {
        match mount_point.trim_start_matches('/') {
            "" => rustix::fs::fstatvfs(&self.file),
            path => rustix::fs::fstatvfs(self.open_at(path, OFlags::PATH)?),
        }
    }

    /// Opens a file to write to it, which only pressure triggers need.
    pub(super) fn open_to_write(&self, path: &str) -> Result<OwnedFd, Os> {
        self.open_at(path, OFlags::RDWR | OFlags::NONBLOCK)
    }

    fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Os> {
        let flags = flags | OFlags::CLOEXEC;
        if !self.is_whole_machine {
            // Keeps absolute links, such as /proc/device-tree, inside the root.
            let resolve = ResolveFlags::IN_ROOT;
            match rustix::fs::openat2(&self.file, path, flags, Mode::empty(), resolve) {
                // Before Linux 5.6, or under a filter that does not know the call.
                Err(Os::NOSYS | Os::PERM) => {}
                result => return result,
            }
        }
        rustix::fs::openat(&self.file, path, flags, Mode::empty())
    }
}

/// Whether no other file can take this one's name while its device is there.
fn is_made_up(file: &OwnedFd) -> bool {
    /// procfs, sysfs and the two control group filesystems (include/uapi/linux/magic.h).
    const KINDS: [FsWord; 4] = [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270];
    rustix::fs::fstatfs(file).is_ok_and(|answer| KINDS.contains(&answer.f_type))
}

/// Reads to the end, or returns `false` when that is too far.
fn read_up_to(file: impl AsFd, buffer: &mut Vec<u8>, kind: Kind) -> Result<bool, Os> {
    fill_by(buffer, kind, |spare, _| rustix::io::read(&file, spare))
}

/// Reads from the start to the end, whatever was read before.
fn read_again(file: impl AsFd, buffer: &mut Vec<u8>, kind: Kind) -> Result<bool, Os> {
    fill_by(buffer, kind, |spare, at| {
        rustix::io::pread(&file, spare, at)
    })
}

fn fill_by(
    buffer: &mut Vec<u8>,
    kind: Kind,
    mut read: impl FnMut(SpareCapacity<'_, u8>, u64) -> Result<usize, Os>,
) -> Result<bool, Os> {
    /// The unit in which the kernel hands out its tables.
    const PAGE_BYTES: usize = 4096;
    loop {
        buffer.reserve(PAGE_BYTES);
        let at = buffer.len() as u64;
        let count = match read(spare_capacity(buffer), at) {
            Err(Os::INTR) => continue,
            result => result?,
        };
        let is_end = match kind {
            Kind::Record => buffer.len() < buffer.capacity(),
            Kind::Table => count == 0,
        };
        if is_end {
            return Ok(buffer.len() <= kind.bytes_max());
        }
        if buffer.len() > kind.bytes_max() {
            return Ok(false);
        }
    }
}

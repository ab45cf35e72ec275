//! Where `/proc`, `/sys`, `/etc` and `/run` are looked up: the machine, a prefix (a container's
//! view of its host), or a fixture.
//!
//! A directory that holds `syscalls.toml` is a fixture: system calls are answered from that file,
//! so that a fixture never shows the machine which runs the test. One buffer serves all reads.

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno as Os;

use super::sys::{Recorded, Statvfs, Syscalls, errno, present};
use super::text::Flaw;
use super::{Errno, ReadError, Reading};

/// The file that makes a directory a fixture.
const SYSCALLS_FILE: &str = "syscalls.toml";

/// Nothing that is read is longer, except tables that grow with the machine.
const BYTES_MAX: usize = 64 * 1024;

/// Mounts, disks and interfaces of a machine full of containers.
const TABLE_BYTES_MAX: usize = 512 * 1024;

/// Where kernel files are looked up and system calls are made.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    prefix: PathBuf,
    syscalls: Syscalls,
    buffer: Vec<u8>,
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
            directory,
            prefix,
            syscalls: Syscalls::Live,
            buffer: Vec::new(),
        };
        let recorded = match root.fill(SYSCALLS_FILE, BYTES_MAX) {
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

    /// Whether this is the machine itself, as seen by everybody on it.
    pub(super) fn is_whole_machine(&self) -> bool {
        self.prefix == Path::new("/")
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
        self.parse_up_to(BYTES_MAX, path, parse)
    }

    /// Reads a file that has a line per mount, disk or interface, and parses it.
    pub(super) fn parse_table<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, Flaw>,
    ) -> Reading<T> {
        self.parse_up_to(TABLE_BYTES_MAX, path, parse)
    }

    fn parse_up_to<T>(
        &mut self,
        bytes_max: usize,
        path: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, Flaw>,
    ) -> Reading<T> {
        match self.fill(path, bytes_max)? {
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
        let path = match mount_point.trim_start_matches('/') {
            "" => ".",
            path => path,
        };
        self.syscalls
            .statvfs(mount_point, || self.open_at(path, OFlags::PATH))
    }

    fn fill(&mut self, path: &str, bytes_max: usize) -> Reading<()> {
        self.buffer.clear();
        // NONBLOCK: whatever stands where a file should, even a pipe, answers at once.
        let result = self
            .open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)
            .and_then(|file| read_up_to(&file, &mut self.buffer, bytes_max));
        match result {
            Ok(true) => Ok(Some(())),
            Ok(false) => {
                // Not kept: one absurd file must not cost its length for ever.
                self.buffer = Vec::new();
                Err(ReadError::TooLong {
                    path: path.into(),
                    bytes_max,
                })
            }
            Err(err) => present(Err(err), path),
        }
    }

    fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Os> {
        let flags = flags | OFlags::CLOEXEC;
        if !self.is_whole_machine() {
            // Keeps absolute links, such as /proc/device-tree, inside the root.
            let resolve = ResolveFlags::IN_ROOT;
            match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                // Before Linux 5.6, or under a filter that does not know the call.
                Err(Os::NOSYS | Os::PERM) => {}
                result => return result,
            }
        }
        rustix::fs::openat(&self.directory, path, flags, Mode::empty())
    }
}

/// Reads to the end, or returns `false` when that is beyond `bytes_max`.
fn read_up_to(file: impl AsFd, buffer: &mut Vec<u8>, bytes_max: usize) -> Result<bool, Os> {
    /// The unit in which the kernel hands out its tables.
    const PAGE_BYTES: usize = 4096;
    loop {
        buffer.reserve(PAGE_BYTES);
        let count = rustix::io::retry_on_intr(|| {
            rustix::io::read(&file, rustix::buffer::spare_capacity(buffer))
        })?;
        if count == 0 {
            return Ok(true);
        }
        if buffer.len() > bytes_max {
            return Ok(false);
        }
    }
}

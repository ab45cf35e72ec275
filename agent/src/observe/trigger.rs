//! Waits for stalls that the kernel reports by itself: triggers on
//! `/proc/pressure/{memory,cpu,io}` (Documentation/accounting/psi.rst, "Monitoring for pressure
//! thresholds").
//!
//! With `CAP_SYS_RESOURCE` the kernel watches a window of one second, for everybody else (since
//! Linux 6.5) one of two seconds. A resource that cannot be watched, because pressure is off, the
//! kernel is older or the file is not ours to write, goes without: its stalls are seen at the next
//! tick. No thread waits here; the runtime's own wait wakes.

use std::time::Duration;

use nodling_protocol::units::Permille;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::io::Errno as Os;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tracing::{debug, info};

use super::root::{Directory, Root};
use super::sys::errno;

/// What tasks can be kept waiting by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory: pages must be freed or read back first.
    Memory,
    /// Processors.
    Cpu,
    /// Disks.
    Io,
}

impl Resource {
    /// The one that matters most first.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Io];

    const fn path(self) -> &'static str {
        match self {
            Self::Memory => "proc/pressure/memory",
            Self::Cpu => "proc/pressure/cpu",
            Self::Io => "proc/pressure/io",
        }
    }

    /// From which share of the window on some task's waiting is reported.
    ///
    /// Memory that must be waited for is always news. Processors and SD cards are waited for in
    /// everyday work, so it takes more; but not more than half, which a window of two seconds,
    /// looked at every two seconds, could not report within three.
    pub const fn share(self) -> Permille {
        match self {
            Self::Memory => Permille(100),
            Self::Cpu => Permille(400),
            Self::Io => Permille(300),
        }
    }
}

/// With `CAP_SYS_RESOURCE`: the shortest that leaves the kernel's own work at ten looks a second.
const WINDOW_US: u32 = 1_000_000;
/// Without: the kernel allows multiples of the period in which it computes its averages.
const UNPRIVILEGED_WINDOW_US: u32 = 2_000_000;

/// Less than half of what makes a stall another one (`onset`).
const REST: Duration = Duration::from_secs(30);

/// Why a resource goes without a trigger.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// No such file, or one that is not ours to write.
    #[error("opening {path}: {cause}")]
    Open {
        /// The file.
        path: &'static str,
        /// What the kernel answered; part of the text, therefore no source.
        cause: super::Errno,
    },
    /// The kernel watches nothing for us.
    #[error("writing to {path}: {cause}")]
    Refused {
        /// The file.
        path: &'static str,
        /// What the kernel answered; part of the text, therefore no source.
        cause: super::Errno,
    },
    /// The runtime does not wait for it.
    #[error("waiting for {path}: {cause}")]
    Unwatched {
        /// The file.
        path: &'static str,
        /// What the kernel answered; part of the text, therefore no source.
        cause: std::io::Error,
    },
}

/// A file that tells when tasks stall.
#[derive(Debug)]
pub struct Trigger {
    resource: Resource,
    file: AsyncFd<OwnedFd>,
}

impl Trigger {
    /// What it watches.
    pub const fn resource(&self) -> Resource {
        self.resource
    }

    /// Waits for the next report, at most one per window; `None` when there will be no more.
    pub async fn stalled(&self) -> Option<()> {
        // Without ERROR a file that the kernel gives up on would never be heard of again.
        let wanted = Interest::PRIORITY | Interest::ERROR;
        let mut ready = match self.file.ready(wanted).await {
            Ok(ready) => ready,
            Err(error) => {
                debug!(%error, resource = ?self.resource, "stalls are not waited for any more");
                return None;
            }
        };
        if ready.ready().is_error() {
            debug!(resource = ?self.resource, "the kernel does not report stalls any more");
            return None;
        }
        // What follows is told anew: the kernel forgets a report once it was taken.
        ready.clear_ready_matching(Ready::PRIORITY);
        Some(())
    }

    /// Listens no more for a while where a second report is no news: a board may compute for
    /// hours, and would be woken up every second to hear so. `None` when there will be no more.
    pub async fn rest(self) -> Option<Self> {
        match self.resource {
            Resource::Memory => return Some(self),
            Resource::Cpu | Resource::Io => {}
        }
        // A file that is not waited for wakes nobody.
        let file = self.file.into_inner();
        tokio::time::sleep(REST).await;
        // It keeps one report until it is asked; that may be of half a minute ago.
        let mut asked = [PollFd::new(&file, PollFlags::PRI)];
        let _stale = rustix::event::poll(&mut asked, Some(&Timespec::default()));
        let listening = listen(self.resource, file);
        if let Err(error) = &listening {
            debug!(%error, "stalls are not waited for any more");
        }
        listening.ok()
    }
}

/// Asks the kernel to report stalls; called within a runtime. A fixture has none.
///
/// The privilege counts when a file is opened, so it is given back afterwards.
pub(super) fn arm(root: &Root) -> Vec<Trigger> {
    let Some(directory) = root.live_directory() else {
        return Vec::new();
    };
    let mut triggers = Vec::new();
    let mut refused = None;
    for resource in Resource::ALL {
        match arm_one(&directory, resource) {
            Ok(trigger) => triggers.push(trigger),
            Err(error) => {
                debug!(%error, "no early word of stalls");
                refused = Some(error);
            }
        }
    }
    if let Some(error) = refused.filter(|_| triggers.is_empty()) {
        info!(%error, "stalls are told with the next heartbeat, not at once");
    }
    drop_privilege();
    triggers
}

fn arm_one(directory: &Directory, resource: Resource) -> Result<Trigger, TriggerError> {
    let path = resource.path();
    let open = |err| TriggerError::Open {
        path,
        cause: errno(err),
    };
    let file = directory.open_to_write(path).map_err(open)?;
    let window_us = request(&file, resource).map_err(|err| TriggerError::Refused {
        path,
        cause: errno(err),
    })?;
    let trigger = listen(resource, file)?;
    debug!(path, window_us, "the kernel reports stalls");
    Ok(trigger)
}

fn listen(resource: Resource, file: OwnedFd) -> Result<Trigger, TriggerError> {
    #[expect(
        deprecated,
        reason = "unsound only for types whose descriptor changes, which an OwnedFd's does not"
    )]
    let file = AsyncFd::with_interest(file, Interest::PRIORITY);
    let path = resource.path();
    let file = file.map_err(|cause| TriggerError::Unwatched { path, cause })?;
    Ok(Trigger { resource, file })
}

/// Asks for the short window and, where that is not ours to ask, for the long one.
fn request(file: &OwnedFd, resource: Resource) -> Result<u32, Os> {
    let ask = |window_us| {
        let text = request_text(resource, window_us);
        rustix::io::retry_on_intr(|| rustix::io::write(file, text.as_bytes())).map(|_| window_us)
    };
    match ask(WINDOW_US) {
        Err(Os::INVAL | Os::PERM) => ask(UNPRIVILEGED_WINDOW_US),
        result => result,
    }
}

/// As the kernel parses it, the zero at the end included.
fn request_text(resource: Resource, window_us: u32) -> String {
    let stall_us = window_us / 1000 * u32::from(resource.share().0);
    format!("some {stall_us} {window_us}\0")
}

/// Gives `CAP_SYS_RESOURCE` back: nothing else here needs it, and it can fill a disk's reserve.
fn drop_privilege() {
    let dropped = capabilities(None).and_then(|mut sets| {
        if !sets.permitted.contains(CapabilitySet::SYS_RESOURCE) {
            return Ok(());
        }
        // From the ambient set it falls by itself with these.
        for set in [
            &mut sets.effective,
            &mut sets.permitted,
            &mut sets.inheritable,
        ] {
            set.remove(CapabilitySet::SYS_RESOURCE);
        }
        set_capabilities(None, sets)
    });
    if let Err(error) = dropped {
        debug!(%error, "CAP_SYS_RESOURCE is kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_the_kernel_parses_it() {
        for (resource, window_us, expected) in [
            (Resource::Memory, WINDOW_US, "some 100000 1000000\0"),
            (Resource::Cpu, WINDOW_US, "some 400000 1000000\0"),
            (
                Resource::Io,
                UNPRIVILEGED_WINDOW_US,
                "some 600000 2000000\0",
            ),
        ] {
            assert_eq!(request_text(resource, window_us), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_memory_is_listened_for_without_a_rest() {
        for resource in Resource::ALL {
            let file = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK);
            let trigger = listen(resource, file.unwrap()).unwrap();
            let began = tokio::time::Instant::now();
            assert!(trigger.rest().await.is_some());
            let is_memory = resource == Resource::Memory;
            let expected = if is_memory { Duration::ZERO } else { REST };
            assert_eq!(began.elapsed(), expected, "{resource:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_pressure_file_goes_without_a_trigger() {
        let directory = tempfile::tempdir().unwrap();
        // Absent, and one that takes the request and cannot be waited for.
        let root = Root::open(directory.path()).unwrap();
        assert!(arm(&root).is_empty());
        let pressure = directory.path().join("proc/pressure");
        rustix::fs::mkdir(directory.path().join("proc"), 0o700.into()).unwrap();
        rustix::fs::mkdir(&pressure, 0o700.into()).unwrap();
        for name in ["memory", "cpu", "io"] {
            let made = rustix::fs::open(
                pressure.join(name),
                rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
                0o600.into(),
            );
            drop(made.unwrap());
        }
        assert!(arm(&root).is_empty());
    }

    /// A pressure file or, where the kernel has none for us, nothing to show.
    #[tokio::test]
    async fn a_second_request_on_one_file_is_refused_and_the_first_stands() {
        let root = Root::open("/").unwrap();
        let triggers = arm(&root);
        for trigger in &triggers {
            let again = request(trigger.file.get_ref(), trigger.resource);
            assert_eq!(again, Err(Os::BUSY));
        }
        assert_eq!(arm(&root).len(), triggers.len(), "files are opened anew");
    }
}

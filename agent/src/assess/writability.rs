//! `ReadOnlyFilesystem`: a filesystem that should be writable is not.
//!
//! What it should be is fstab's to say. Where that is silent, a mount that was asked to be
//! writable on a filesystem that is not is a fault; so is what the filesystem itself gave up.
//! Kernels from autumn 2024 to 6.14 hide that they did: there an error that ext4 counted, on a
//! filesystem that stops at errors or has lost its journal, tells. Errors alone are history.

use super::finding::Finding;
use crate::observe::Observation;
use crate::observe::disk::Filesystem;
use crate::observe::ext4::Errors;

/// Containers mount without end; what is remembered of them has one.
const WATCHED_MAX: usize = 64;
/// Nothing that goes wrong makes these read-only: they are in memory, or lie upon others.
const NEVER_FAIL: [&str; 4] = ["overlay", "ramfs", "rootfs", "tmpfs"];

/// What is remembered of the filesystems.
#[derive(Clone, Debug, Default)]
pub(super) struct Writability {
    watched: Vec<Watched>,
}

#[derive(Clone, Debug)]
struct Watched {
    mount_point: Box<str>,
    /// Its mount said read-only while it was writable: a sandbox, whose word means nothing.
    is_masked: bool,
    /// Its options said that it is read-only: this kernel tells.
    has_told: bool,
    /// ext4's count when it was first seen.
    errors_at_first: Option<u64>,
}

impl Writability {
    /// Judges one tick.
    pub(super) fn update(&mut self, observation: &Observation) -> Finding {
        let filesystems = match &observation.filesystems {
            Ok(Some(filesystems)) => filesystems,
            Ok(None) => return Finding::Absent,
            Err(_) => return Finding::Failed,
        };
        // What comes back was mounted anew.
        self.watched.retain(|watched| {
            let mut present = filesystems.iter();
            present.any(|filesystem| filesystem.mount_point == watched.mount_point)
        });
        let is_judged = |filesystem: &&Filesystem| {
            !filesystem.is_image() && !NEVER_FAIL.contains(&&*filesystem.kind)
        };
        let mut finding = Finding::Absent;
        for filesystem in filesystems.iter().filter(is_judged) {
            let errors = errors_of(filesystem, observation);
            let watched = self.watch(filesystem, errors);
            let is_fault = is_fault(filesystem, watched, errors, observation);
            finding = finding.worst(Finding::Holds(is_fault));
        }
        finding
    }

    fn watch(&mut self, filesystem: &Filesystem, errors: Option<&Errors>) -> Option<&Watched> {
        let mut known = self.watched.iter();
        let at = known.position(|watched| watched.mount_point == filesystem.mount_point);
        if at.is_none() && self.watched.len() < WATCHED_MAX {
            self.watched.push(Watched {
                mount_point: filesystem.mount_point.clone(),
                is_masked: false,
                has_told: false,
                errors_at_first: None,
            });
        }
        let watched = match at {
            Some(at) => self.watched.get_mut(at)?,
            None => self.watched.last_mut()?,
        };
        if watched.mount_point != filesystem.mount_point {
            return None;
        }
        watched.is_masked |= filesystem.is_mount_read_only && !filesystem.is_super_read_only;
        watched.has_told |= filesystem.is_super_read_only || filesystem.is_given_up;
        let count = errors.and_then(|errors| errors.count.as_ref().ok().copied().flatten());
        watched.errors_at_first = watched.errors_at_first.or(count);
        Some(watched)
    }
}

fn is_fault(
    filesystem: &Filesystem,
    watched: Option<&Watched>,
    errors: Option<&Errors>,
    observation: &Observation,
) -> bool {
    if filesystem.is_given_up {
        return true;
    }
    if filesystem.is_super_read_only {
        let is_masked = watched.is_some_and(|watched| watched.is_masked);
        let was_asked_to = filesystem.is_mount_read_only && !is_masked;
        return is_meant_writable(filesystem, observation).unwrap_or(!was_asked_to);
    }
    let (Some(watched), Some(errors)) = (watched, errors) else {
        return false;
    };
    let would_stop = filesystem.stops_at_errors || errors.has_lost_journal;
    would_stop && !watched.has_told && is_of_this_boot(errors, watched, observation)
}

/// What fstab says of it, if anything.
fn is_meant_writable(filesystem: &Filesystem, observation: &Observation) -> Option<bool> {
    let entries = observation.fixed.fstab.as_ref().ok()?.as_ref()?;
    let mut of_mount = entries
        .iter()
        .filter(|entry| entry.mount_point == filesystem.mount_point)
        .peekable();
    of_mount.peek()?;
    Some(of_mount.all(|entry| !entry.is_read_only))
}

/// Whether ext4 counted while this program looked, or at a time after the boot.
fn is_of_this_boot(errors: &Errors, watched: &Watched, observation: &Observation) -> bool {
    let count = errors.count.as_ref().ok().copied().flatten();
    let has_risen = count.zip(watched.errors_at_first);
    if has_risen.is_some_and(|(count, first)| count > first) {
        return true;
    }
    let Ok(Some(last_unix_s)) = errors.last_unix_s else {
        return false;
    };
    let now_unix_s = observation.clock.wall_unix_s;
    let uptime_s = i64::try_from(observation.uptime_ms / 1000).unwrap_or(i64::MAX);
    // A clock that was not set yet knows of errors in its future.
    (now_unix_s.saturating_sub(uptime_s)..=now_unix_s).contains(&last_unix_s)
}

fn errors_of<'o>(filesystem: &Filesystem, observation: &'o Observation) -> Option<&'o Errors> {
    let all = observation.storage.ext4.as_ref().ok()?.as_ref()?;
    let name = filesystem.source.strip_prefix("/dev/");
    all.iter().find(|errors| match errors.device {
        Ok(Some(device)) => device == filesystem.device,
        Ok(None) | Err(_) => name == Some(&*errors.name),
    })
}

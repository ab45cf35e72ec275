//! `OutOfDisk` and `StorageWorn`: no room left, and flash at the end of its life.
//!
//! Full is full for every practical purpose, long after the kubelet's disk pressure began. An
//! image as root is full by nature and is not judged.

use super::finding::Finding;
use crate::observe::Observation;
use crate::observe::disk::{Filesystem, Usage};
use crate::observe::emmc::{Life, Spare, Wear};

/// Below this, or a 64th of a small filesystem, nothing of use can be written.
const FULL_BYTES: u64 = 1024 * 1024;
/// From here on, or a 16th, it can again.
const NOT_FULL_BYTES: u64 = 8 * 1024 * 1024;
/// From here on files can be made again.
const NOT_FULL_INODES: u64 = 64;
/// Nine tenths of its life are used.
const WORN: Life = Life(10);

/// Whether the root filesystem is full; `is_set` if it was.
pub(super) fn out_of_disk(observation: &Observation, is_set: bool) -> Finding {
    if is_root_an_image(observation) {
        return Finding::Absent;
    }
    Finding::of(&observation.root_usage, |usage| is_full(usage, is_set))
}

/// Whether the root filesystem is full by nature, and says nothing of the room for pods either.
pub(super) fn is_root_an_image(observation: &Observation) -> bool {
    let filesystems = observation.filesystems.as_ref().ok();
    let mut filesystems = filesystems.and_then(Option::as_ref).into_iter().flatten();
    let root = filesystems.find(|filesystem| *filesystem.mount_point == *"/");
    root.is_some_and(Filesystem::is_image)
}

fn is_full(usage: &Usage, is_set: bool) -> bool {
    let (bytes_min, inodes_min) = if is_set {
        (
            NOT_FULL_BYTES.min(usage.capacity_bytes / 16),
            NOT_FULL_INODES,
        )
    } else {
        (FULL_BYTES.min(usage.capacity_bytes / 64), 1)
    };
    // btrfs and vfat make inodes on demand.
    let inodes_min = inodes_min.min(usage.inodes);
    usage.available_bytes < bytes_min || usage.inodes_free < inodes_min
}

/// Whether any soldered flash says that it is worn; it never heals.
pub(super) fn storage_worn(observation: &Observation) -> Finding {
    let all = match &observation.storage.emmc {
        Ok(Some(all)) => all,
        Ok(None) => return Finding::Absent,
        Err(_) => return Finding::Failed,
    };
    all.iter().map(worn).fold(Finding::Absent, Finding::worst)
}

fn worn(wear: &Wear) -> Finding {
    let life = Finding::of(&wear.life, |life| *life >= WORN);
    let spare = Finding::of(&wear.spare, |spare| *spare >= Spare::Warning);
    life.worst(spare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_is_full_at_a_mebibyte_and_has_room_again_at_eight() {
        let usage = |available_bytes, inodes_free| Usage {
            capacity_bytes: 1 << 30,
            free_bytes: 1 << 29,
            available_bytes,
            inodes: 1000,
            inodes_free,
        };
        for (available_bytes, inodes_free, is_set, expected) in [
            (0, 500, false, true),
            ((1 << 20) - 1, 500, false, true),
            (1 << 20, 500, false, false),
            ((8 << 20) - 1, 500, true, true),
            (8 << 20, 500, true, false),
            (8 << 20, 0, false, true),
            (8 << 20, 1, false, false),
            (8 << 20, 63, true, true),
            (8 << 20, 64, true, false),
        ] {
            let usage = usage(available_bytes, inodes_free);
            assert_eq!(is_full(&usage, is_set), expected, "{usage:?} {is_set}");
        }
    }

    #[test]
    fn a_small_filesystem_can_have_room_and_one_without_inodes_is_not_short_of_them() {
        let small = Usage {
            capacity_bytes: 4 << 20,
            free_bytes: 3 << 20,
            available_bytes: 3 << 20,
            inodes: 0,
            inodes_free: 0,
        };
        assert!(!is_full(&small, false) && !is_full(&small, true));
        assert!(is_full(
            &Usage {
                available_bytes: 0,
                ..small
            },
            true
        ));
    }
}

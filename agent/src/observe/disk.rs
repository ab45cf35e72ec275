//! Reads `/proc/diskstats` (Documentation/admin-guide/iostats.rst), and says what a filesystem is;
//! the mounted ones are found by `mount`.
//!
//! Partitions are left out, and so is what is no disk: memory, images, empty drives.

use procfs::DiskStat;

use super::Reading;
use super::ext4::Device;
use super::root::Root;
use super::text::{Flaw, credible, fields, lines, number, printable};

/// Images that are full, and that nobody can write to, by nature.
pub(super) const IMAGE_KINDS: [&str; 6] =
    ["cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf"];

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent options of the kernel"
)]
pub struct Filesystem {
    /// For example `/dev/mmcblk0p2` or `overlay`.
    pub source: Box<str>,
    /// Its device, which is the kernel's own invention for what is on none.
    pub device: Device,
    /// Where it is mounted.
    pub mount_point: Box<str>,
    /// For example `ext4`.
    pub kind: Box<str>,
    /// `ro` among the mount's own options; a sandboxed service sees this on a healthy disk.
    pub is_mount_read_only: bool,
    /// `ro` among the filesystem's options: nobody can write to it.
    pub is_super_read_only: bool,
    /// `emergency_ro` or `shutdown` among them: nobody can, because of an error.
    pub is_given_up: bool,
    /// `errors=remount-ro` among them: the next error ends all writing.
    pub stops_at_errors: bool,
    /// How full it is.
    pub usage: Reading<Usage>,
}

impl Filesystem {
    /// Whether it is an image, such as squashfs.
    pub fn is_image(&self) -> bool {
        IMAGE_KINDS.contains(&&*self.kind)
    }
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

const DISKS_MAX: usize = 64;

/// Reads the disks' counters.
pub(super) fn read(root: &mut Root) -> Reading<Vec<Disk>> {
    root.parse_table("proc/diskstats", parse_disks)
}

fn parse_disks(text: &[u8]) -> Result<Vec<Disk>, Flaw> {
    let mut disks: Vec<Disk> = Vec::new();
    for (line_number, line) in lines(text) {
        let flaw = Flaw::new(line_number, "expected a disk and its counters");
        let name = fields(line).nth(2).and_then(printable).ok_or(flaw)?;
        let is_partition = disks
            .last()
            .is_some_and(|disk| is_partition(&disk.name, &name));
        if is_partition || has_no_disk(&name) || disks.len() >= DISKS_MAX {
            continue;
        }
        disks.push(parse_disk(name, line).ok_or(flaw)?);
    }
    Ok(disks)
}

fn parse_disk(name: Box<str>, line: &[u8]) -> Option<Disk> {
    /// The unit of diskstats, whatever the disk's own sectors are.
    const SECTOR_BYTES: u64 = 512;
    let stat = DiskStat::from_line(std::str::from_utf8(line).ok()?).ok()?;
    Some(Disk {
        is_stacked: is_numbered(&name, "dm-") || is_numbered(&name, "md"),
        name,
        reads: credible(stat.reads)?,
        read_bytes: credible(stat.sectors_read)?.checked_mul(SECTOR_BYTES)?,
        read_ms: credible(stat.time_reading)?,
        writes: credible(stat.writes)?,
        written_bytes: credible(stat.sectors_written)?.checked_mul(SECTOR_BYTES)?,
        write_ms: credible(stat.time_writing)?,
        in_progress: credible(stat.in_progress)?,
        io_ms: credible(stat.time_in_progress)?,
        weighted_io_ms: credible(stat.weighted_time_in_progress)?,
    })
}

/// The kernel lists partitions after their disk: `sda1`, or `mmcblk0p1` where the disk's own name
/// ends with a digit.
fn is_partition(disk: &str, name: &str) -> bool {
    let separator = if disk.ends_with(|last: char| last.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    name.strip_prefix(disk)
        .and_then(|rest| rest.strip_prefix(separator))
        .is_some_and(|rest| number(rest.as_bytes()).is_some())
}

/// Memory, images and drives for media that are mostly not there.
fn has_no_disk(name: &str) -> bool {
    ["ram", "zram", "loop", "fd", "sr", "nbd"]
        .iter()
        .any(|prefix| is_numbered(name, prefix))
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| {
        let rest = rest.trim_end_matches(|last: char| last.is_ascii_digit());
        rest.is_empty() || rest.ends_with('p')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_what_is_no_disk_are_left_out() {
        let names = [
            "ram0",
            "loop0",
            "loop0p1",
            "mmcblk0",
            "mmcblk0p1",
            "mmcblk0p2",
            "mmcblk0boot0",
            "sda",
            "sda1",
            "sda15",
            "sdaa",
            "nvme0n1",
            "nvme0n1p1",
            "dm-1",
            "dm-10",
            "md0",
            "md0p1",
            "zram0",
            "sr0",
        ];
        let lines = names.map(|name| format!(" 8 0 {name} 1 2 3 4 5 6 7 8 9 10 11 0 0\n"));
        let text = lines.concat();
        let disks = parse_disks(text.as_bytes()).unwrap();
        let found: Vec<_> = disks.iter().map(|disk| &*disk.name).collect();
        let expected = [
            "mmcblk0",
            "mmcblk0boot0",
            "sda",
            "sdaa",
            "nvme0n1",
            "dm-1",
            "dm-10",
            "md0",
        ];
        assert_eq!(found, expected);
        let stacked: Vec<_> = disks
            .iter()
            .filter(|disk| disk.is_stacked)
            .map(|disk| &*disk.name)
            .collect();
        assert_eq!(stacked, ["dm-1", "dm-10", "md0"]);
    }

    #[test]
    fn sectors_are_bytes_and_columns_are_not_mixed_up() {
        let disks = parse_disks(b" 179 0 mmcblk0 1 2 3 4 5 6 7 8 9 10 11\n").unwrap();
        assert_eq!(
            disks,
            [Disk {
                name: "mmcblk0".into(),
                is_stacked: false,
                reads: 1,
                read_bytes: 3 * 512,
                read_ms: 4,
                writes: 5,
                written_bytes: 7 * 512,
                write_ms: 8,
                in_progress: 9,
                io_ms: 10,
                weighted_io_ms: 11,
            }]
        );
    }

    #[test]
    fn what_is_no_table_of_disks_fails() {
        for text in [
            "x",
            " 179 0 mmcblk0 1 2 3",
            " 179 0 mmcblk0 1 2 9223372036854775807 4 5 6 7 8 9 10 11",
            " 179 0 mmcblk0 1 2 3 4 5 6 7 8 18446744073709551615 10 11",
        ] {
            assert!(parse_disks(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(parse_disks(b""), Ok(vec![]), "a container may have no disk");
    }
}

//! Reads `/etc/fstab` (fstab(5)): which filesystems are meant to be writable.
//!
//! Nothing else tells a root that was mounted read-only after a fault from one that is so on
//! purpose: the kernel's flags are the same.

use super::Reading;
use super::mount::{has_option, unescaped};
use super::root::Root;
use super::text::{Flaw, fields, lines};

/// A line of fstab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is to be mounted.
    pub mount_point: Box<str>,
    /// Whether nobody is meant to write to it.
    pub is_read_only: bool,
}

const ENTRIES_MAX: usize = 64;

/// Reads what is meant to be mounted.
pub(super) fn read(root: &mut Root) -> Reading<Vec<Entry>> {
    root.parse("etc/fstab", parse)
}

/// As mount(8) does, skips what it does not understand: people edit this file.
fn parse(text: &[u8]) -> Result<Vec<Entry>, Flaw> {
    if text.contains(&0) {
        return Err(Flaw::new(1, "expected a text"));
    }
    let entries = lines(text).filter_map(|(_, line)| parse_entry(line));
    Ok(entries.take(ENTRIES_MAX).collect())
}

fn parse_entry(line: &[u8]) -> Option<Entry> {
    let mut fields = fields(line);
    let source = fields.next()?;
    if source.starts_with(b"#") {
        return None;
    }
    let mount_point = unescaped(fields.next()?)?;
    if !mount_point.starts_with('/') {
        return None;
    }
    let _kind = fields.next()?;
    // Without options it is `defaults`, which are writable.
    let options = fields.next().unwrap_or_default();
    // Not meant to be mounted by itself: Buildroot's root is `rw,noauto`, writable or not.
    if has_option(options, b"noauto") {
        return None;
    }
    Some(Entry {
        mount_point,
        is_read_only: has_option(options, b"ro") && !has_option(options, b"rw"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_to_be_writable_is_told_from_what_is_not() {
        let text = b"# <file system> <mount point>\n\
            proc            /proc           proc    defaults          0       0\n\
            PARTUUID=1-01  /boot/firmware  vfat    defaults,ro       0       2\n\
            PARTUUID=1-02\t/\text4\tdefaults,noatime,errors=remount-ro  0       1\n\
            /dev/sda1 /mnt/my\\040disk ext4\n\
            /swapfile none swap sw 0 0\n\
            /dev/root /rootfs ext2 rw,noauto 0 1\n\
            \n   \nnonsense\n#/dev/sdb1 /x ext4 ro 0 0\n";
        let entries = parse(text).unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (&*entry.mount_point, entry.is_read_only))
            .collect();
        assert_eq!(
            found,
            [
                ("/proc", false),
                ("/boot/firmware", true),
                ("/", false),
                ("/mnt/my disk", false),
            ]
        );
    }

    #[test]
    fn an_empty_file_means_nothing_and_a_binary_one_fails() {
        assert_eq!(parse(b""), Ok(vec![]));
        assert!(parse(b"/dev/sda1 / ext4\0 ro").is_err());
    }
}

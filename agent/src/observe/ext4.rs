//! Reads `/sys/fs/ext4/*/{errors_count,last_error_time,last_error_func}` and
//! `/sys/class/block/*/dev` (Documentation/ABI/testing/sysfs-fs-ext4).
//!
//! The counts live in the filesystem: they outlast a boot, and only a check clears them. The rest
//! is read only where something was counted.

use super::Reading;
use super::root::Root;
use super::text::{Flaw, lone_integer, lone_number, lone_text, number_u32};

/// The errors that one ext4 filesystem found in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// The device below it, for example `mmcblk0p2`.
    pub name: Box<str>,
    /// The same as `/proc/self/mountinfo` numbers it.
    pub device: Reading<Device>,
    /// How many, since the filesystem was last checked.
    pub count: Reading<u64>,
    /// When the last one was found, by the wall clock of then.
    pub last_unix_s: Reading<i64>,
    /// Whether the last one was the end of its journal, after which nothing is written any more.
    pub has_lost_journal: bool,
}

/// The major and minor number of a block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names")]
pub struct Device {
    pub major: u32,
    pub minor: u32,
}

impl Device {
    /// As the kernel writes it: `179:2`.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let major = number_u32(parts.next()?)?;
        let minor = number_u32(parts.next()?)?;
        Some(Self { major, minor })
    }
}

const DIRECTORY: &str = "sys/fs/ext4";
/// As many as there are filesystems watched.
const FILESYSTEMS_MAX: usize = 16;
/// Where ext4 notices that its journal was given up.
const JOURNAL_CHECK: &str = "ext4_journal_check_start";

/// Reads the counts of every mounted ext4 filesystem.
pub(super) fn read(root: &mut Root) -> Reading<Vec<Errors>> {
    let Some(mut names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    // `features` says what the kernel can do.
    names.retain(|name| name != "features");
    let errors: Vec<_> = names
        .into_iter()
        .take(FILESYSTEMS_MAX)
        .map(|name| read_errors(root, name))
        .collect();
    Ok(Some(errors).filter(|errors| !errors.is_empty()))
}

fn read_errors(root: &mut Root, name: String) -> Errors {
    let path = |file: &str| format!("{DIRECTORY}/{name}/{file}");
    let count = root.parse(&path("errors_count"), lone_number);
    let has_any = matches!(count, Ok(Some(1..)));
    let (last_unix_s, function) = if has_any {
        (
            root.parse(&path("last_error_time"), lone_integer),
            root.parse(&path("last_error_func"), lone_text),
        )
    } else {
        (Ok(None), Ok(None))
    };
    Errors {
        device: root.parse(&format!("sys/class/block/{name}/dev"), |text| {
            let device = Device::parse(text.trim_ascii());
            device.ok_or(Flaw::new(1, "expected major:minor"))
        }),
        count,
        last_unix_s,
        has_lost_journal: matches!(function, Ok(Some(function)) if *function == *JOURNAL_CHECK),
        name: name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_two_numbers() {
        let device = Device {
            major: 179,
            minor: 2,
        };
        assert_eq!(Device::parse(b"179:2"), Some(device));
        for text in [
            "",
            ":",
            "179",
            "179:",
            ":2",
            "179:2:3",
            "-1:2",
            "4294967296:0",
            "a:b",
        ] {
            assert_eq!(Device::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}

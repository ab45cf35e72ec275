//! Reads `/proc/self/mountinfo`, and statvfs(2) of the filesystems on devices
//! (Documentation/filesystems/proc.rst, section 3.5).
//!
//! Asks no network filesystem, nor what is mounted below one, unless the configuration names it;
//! and then, as with every filesystem that a program serves, where no server can stop the
//! heartbeat (`ask`).

use super::ask::Readers;
use super::disk::{Filesystem, IMAGE_KINDS, Usage};
use super::ext4::Device;
use super::root::Root;
use super::sys::Statvfs;
use super::text::{Flaw, fields, lines, number};
use super::{Config, Reading};

const FILESYSTEMS_MAX: usize = 16;

/// A server elsewhere answers for these, or does not.
const NETWORK_KINDS: [&str; 10] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
];

/// Reads how full the root filesystem is; asked whatever kind it is, since nothing runs without.
pub(super) fn read_root(root: &Root) -> Reading<Usage> {
    usage(root, "/")
}

/// A filesystem that an error made read-only is no change of the table, and the kernel does not
/// tell of it.
const TABLE_EVERY_MS: u64 = 10_000;

/// The table of mounts as it was last read: the kernel takes longer to write it than all the
/// other files of a tick, and tells when it changes.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    read_ms: u64,
    /// Without their usage; `None` before the first reading and after one that failed.
    filesystems: Option<Vec<Filesystem>>,
    readers: Readers,
}

impl Mounts {
    /// Reads the filesystems on devices; `root_usage` is not asked for again.
    pub(super) fn read(
        &mut self,
        root: &mut Root,
        config: &Config,
        now_ms: u64,
        root_usage: &Reading<Usage>,
    ) -> Reading<Vec<Filesystem>> {
        // Of a prefix, the first process's mounts are the host's; ours are the container's.
        let paths: &[&str] = if root.is_whole_machine() {
            &["proc/self/mountinfo"]
        } else {
            &["proc/1/mountinfo", "proc/self/mountinfo"]
        };
        let is_recent = now_ms.saturating_sub(self.read_ms) < TABLE_EVERY_MS;
        if !is_recent || !paths.iter().any(|path| root.is_unchanged(path)) {
            self.filesystems = None;
        }
        if self.filesystems.is_none() {
            self.filesystems = read_table(root, config, paths)?;
            self.read_ms = now_ms;
        }
        let mut filesystems = self.filesystems.clone();
        if let Some(filesystems) = &mut filesystems {
            fill_in(filesystems, root, config, root_usage, &mut self.readers);
        }
        Ok(filesystems)
    }
}

/// Of the first table that can be read; why not is the last one's.
fn read_table(root: &mut Root, config: &Config, paths: &[&str]) -> Reading<Vec<Filesystem>> {
    let mut table = Ok(None);
    for path in paths {
        table = root.parse_table(path, |text| parse_mounts(text, config));
        if matches!(table, Ok(Some(_))) {
            break;
        }
    }
    table
}

fn fill_in(
    filesystems: &mut [Filesystem],
    root: &Root,
    config: &Config,
    root_usage: &Reading<Usage>,
    readers: &mut Readers,
) {
    // A fixture answers by itself, and at once.
    let is_live = root.live_directory().is_some();
    let is_asked = |filesystem: &Filesystem| is_live && may_hang(filesystem, config);
    let asked = filesystems.iter().filter(|one| is_asked(one));
    readers.ask(root, asked.map(|filesystem| &*filesystem.mount_point));
    for filesystem in filesystems {
        let mount_point = &*filesystem.mount_point;
        filesystem.usage = if mount_point == "/" {
            root_usage.clone()
        } else if is_asked(filesystem) {
            checked(readers.answer(root, mount_point), mount_point)
        } else {
            usage(root, mount_point)
        };
    }
}

/// Whether a server or a program answers, or may: what is asked for can be anything. A filesystem
/// on a device answers from memory; nothing runs on without the root's, which is asked all the same.
fn may_hang(filesystem: &Filesystem, config: &Config) -> bool {
    let is_named = |mount_point: &str| config.filesystems.iter().any(|name| name == mount_point);
    let mount_point = &*filesystem.mount_point;
    mount_point != "/" && (is_named(mount_point) || is_served_by_program(&filesystem.kind))
}

/// `fuse`, `fuse.sshfs`, and `fuseblk` with a disk behind the program.
fn is_served_by_program(kind: &str) -> bool {
    kind.starts_with("fuse")
}

fn usage(root: &Root, mount_point: &str) -> Reading<Usage> {
    checked(root.statvfs(mount_point), mount_point)
}

fn checked(answer: Reading<Statvfs>, mount_point: &str) -> Reading<Usage> {
    let usage = answer?.map(|answer| in_bytes(&answer)).transpose();
    usage.map_err(|flaw| flaw.at(mount_point))
}

/// Refuses what cannot be: a size of nothing, or more free than there is. Inodes that cannot be are
/// taken for none.
fn in_bytes(answer: &Statvfs) -> Result<Usage, Flaw> {
    let bytes = |blocks: u64| {
        blocks
            .checked_mul(answer.fragment_bytes)
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .ok_or(Flaw::new(1, "statvfs: a size beyond 2^63"))
    };
    // A driver that cannot count its inodes can still count its blocks.
    let has_inodes = answer.inodes_free <= answer.inodes;
    let (inodes, inodes_free) = if has_inodes {
        (answer.inodes, answer.inodes_free)
    } else {
        (0, 0)
    };
    let usage = Usage {
        capacity_bytes: bytes(answer.blocks)?,
        free_bytes: bytes(answer.blocks_free)?,
        available_bytes: bytes(answer.blocks_available)?,
        inodes,
        inodes_free,
    };
    if usage.capacity_bytes == 0 {
        return Err(Flaw::new(1, "statvfs: a size of nothing"));
    }
    if usage.free_bytes.max(usage.available_bytes) > usage.capacity_bytes {
        return Err(Flaw::new(1, "statvfs: more free than there is"));
    }
    Ok(usage)
}

/// One line of mountinfo, as it stands there.
#[derive(Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "proc.rst calls it the mount point"
)]
struct Mount<'a> {
    device: Device,
    subtree: &'a [u8],
    mount_point: Box<str>,
    options: &'a [u8],
    kind: &'a str,
    source: Box<str>,
    super_options: &'a [u8],
}

fn parse_mounts(text: &[u8], config: &Config) -> Result<Vec<Filesystem>, Flaw> {
    let mut mounts = Vec::new();
    for (line_number, line) in lines(text) {
        let mount = parse_mount(line).ok_or(Flaw::new(line_number, "expected a mount"))?;
        mounts.push(mount);
    }
    if mounts.is_empty() {
        return Err(Flaw::new(1, "expected a mount"));
    }
    let hanging_points: Vec<_> = mounts
        .iter()
        .filter(|mount| mount.may_hang())
        .map(|mount| mount.mount_point.clone())
        .collect();
    let mut chosen: Vec<&Mount<'_>> = Vec::new();
    // Of mounts one above the other, the last is the one that is seen.
    for mount in mounts.iter().rev() {
        let is_shadowed = mounts_at(&chosen, &mount.mount_point);
        if !is_shadowed && mount.is_wanted(config, &hanging_points) {
            chosen.push(mount);
        }
    }
    chosen.reverse();
    Ok(kept(&chosen, config)
        .into_iter()
        .map(Mount::to_filesystem)
        .collect())
}

/// Each device once and no more than there is room for: the root first, and then in the order of
/// the table.
fn kept<'m, 'a>(chosen: &[&'m Mount<'a>], config: &Config) -> Vec<&'m Mount<'a>> {
    let mut ranked: Vec<_> = chosen.iter().copied().enumerate().collect();
    // The root, and then what is asked for, so that no other mount takes its room, nor a second
    // one of its device its place.
    ranked.sort_by_key(|(_, mount)| (!mount.is_root(), !mount.is_asked_for(config)));
    let mut kept: Vec<(usize, &Mount<'_>)> = Vec::new();
    for (position, mount) in ranked {
        let is_again =
            mount.is_on_device() && kept.iter().any(|(_, other)| other.source == mount.source);
        if !is_again && kept.len() < FILESYSTEMS_MAX {
            kept.push((position, mount));
        }
    }
    kept.sort_by_key(|(position, mount)| (!mount.is_root(), *position));
    kept.into_iter().map(|(_, mount)| mount).collect()
}

fn mounts_at(mounts: &[&Mount<'_>], mount_point: &str) -> bool {
    mounts
        .iter()
        .any(|mount| *mount.mount_point == *mount_point)
}

impl Mount<'_> {
    /// Whether a server, or a program that is likely one's client, answers for it.
    fn is_network(&self) -> bool {
        NETWORK_KINDS.contains(&self.kind) || self.kind.starts_with("fuse.")
    }

    /// Whether what is mounted beneath it is out of reach while somebody does not answer.
    fn may_hang(&self) -> bool {
        self.is_network() || is_served_by_program(self.kind)
    }

    fn is_root(&self) -> bool {
        *self.mount_point == *"/"
    }

    fn is_asked_for(&self, config: &Config) -> bool {
        let mut names = config.filesystems.iter();
        names.any(|name| **name == *self.mount_point)
    }

    fn is_on_device(&self) -> bool {
        self.source.starts_with("/dev/") || self.kind == "zfs" || self.source.starts_with("ubi")
    }

    /// Whether it is a filesystem of its own on a device, or asked for.
    fn is_wanted(&self, config: &Config, hanging_points: &[Box<str>]) -> bool {
        if self.is_root() {
            return true;
        }
        if self.is_asked_for(config) {
            // A place where something will be mounted has no size.
            return self.kind != "autofs";
        }
        // Looking one up beneath a server that is gone, or a program, would wait for it.
        let is_beneath_hanging = hanging_points.iter().any(|point| {
            self.mount_point
                .strip_prefix(&**point)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        // Part of a filesystem is a bind mount, except that btrfs mounts subvolumes.
        let is_whole = self.subtree == b"/" || self.kind == "btrfs";
        self.is_on_device()
            && is_whole
            && !is_beneath_hanging
            && !self.is_network()
            && !IMAGE_KINDS.contains(&self.kind)
    }

    fn to_filesystem(&self) -> Filesystem {
        Filesystem {
            source: self.source.clone(),
            device: self.device,
            mount_point: self.mount_point.clone(),
            kind: self.kind.into(),
            is_mount_read_only: has_option(self.options, b"ro"),
            is_super_read_only: has_option(self.super_options, b"ro"),
            // ext4 says `shutdown` when it does not even read any more.
            is_given_up: has_option(self.super_options, b"emergency_ro")
                || has_option(self.super_options, b"shutdown"),
            stops_at_errors: has_option(self.super_options, b"errors=remount-ro"),
            usage: Ok(None),
        }
    }
}

/// `id parent major:minor subtree mount_point options [optional…] - kind source super_options`.
fn parse_mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = fields(line);
    number(fields.next()?)?;
    number(fields.next()?)?;
    let device = Device::parse(fields.next()?)?;
    let (subtree, mount_point, options) = (fields.next()?, fields.next()?, fields.next()?);
    fields.find(|field| *field == b"-")?;
    let kind = std::str::from_utf8(fields.next()?).ok()?;
    // The source may be empty, and then only two fields are left.
    let (source, super_options) = match (fields.next()?, fields.next()) {
        (source, Some(super_options)) => (unescaped(source)?, super_options),
        (super_options, None) => ("none".into(), super_options),
    };
    let mount_point = unescaped(mount_point).filter(|path| path.starts_with('/'))?;
    Some(Mount {
        device,
        subtree,
        mount_point,
        options,
        kind,
        source,
        super_options,
    })
}

/// Blanks and backslashes stand as three octal digits. A name that is no text stays lossy: it
/// names a mount that is not looked up.
pub(super) fn unescaped(text: &[u8]) -> Option<Box<str>> {
    /// `PATH_MAX`.
    const BYTES_MAX: usize = 4096;
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escape = after.get(..3).filter(|_| *first == b'\\').and_then(octal);
        plain.push(escape.unwrap_or(*first));
        rest = if escape.is_some() {
            after.get(3..).unwrap_or_default()
        } else {
            after
        };
    }
    let is_fit = (1..BYTES_MAX).contains(&plain.len()) && !plain.contains(&0);
    is_fit.then(|| String::from_utf8_lossy(&plain).into())
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|text| !text.starts_with('+'))?;
    u8::from_str_radix(text, 8).ok()
}

pub(super) fn has_option(options: &[u8], wanted: &[u8]) -> bool {
    options
        .split(|byte| *byte == b',')
        .any(|option| option == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount_points(text: &str, config: &Config) -> Vec<String> {
        let mounts = parse_mounts(text.as_bytes(), config).unwrap();
        mounts
            .iter()
            .map(|filesystem| filesystem.mount_point.to_string())
            .collect()
    }

    const PI: &str = "\
        22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n\
        23 22 0:6 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw,size=1,mode=755\n\
        30 22 0:30 / /boot/firmware rw shared:9 - autofs systemd-1 rw,fd=40\n\
        31 30 179:1 / /boot/firmware rw,relatime shared:10 - vfat /dev/mmcblk0p1 rw,errors=remount-ro\n\
        40 22 0:40 / /mnt/nas rw shared:11 - nfs4 nas:/export rw,hard\n\
        41 40 8:1 / /mnt/nas/disk rw shared:12 - ext4 /dev/sda1 rw\n\
        42 22 8:17 / /mnt/my\\040disk ro shared:13 - ext4 /dev/sdb1 rw,emergency_ro\n\
        43 22 179:2 /srv /srv/again rw shared:1 - ext4 /dev/mmcblk0p2 rw\n\
        44 22 7:1 / /snap/core/1 ro shared:14 - squashfs /dev/loop1 ro\n";

    #[test]
    fn filesystems_on_devices_are_chosen_and_those_below_a_server_are_not() {
        let found = mount_points(PI, &Config::default());
        assert_eq!(found, ["/", "/boot/firmware", "/mnt/my disk"]);
    }

    #[test]
    fn a_filesystem_that_is_asked_for_is_chosen_whatever_it_is() {
        let config = Config {
            filesystems: vec!["/mnt/nas".into()],
            ..Config::default()
        };
        assert_eq!(
            mount_points(PI, &config),
            ["/", "/boot/firmware", "/mnt/nas", "/mnt/my disk"]
        );
    }

    #[test]
    fn what_a_server_or_a_program_answers_for_is_asked_on_a_thread() {
        let text = "22 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n\
            30 22 0:30 / /mnt/auto rw - autofs systemd-1 rw,fd=40\n\
            31 22 179:1 / /boot rw - vfat /dev/mmcblk0p1 rw\n\
            32 22 8:1 / /mnt/ntfs rw - fuseblk /dev/sda1 rw\n\
            33 22 0:40 / /mnt/nas rw - nfs4 nas:/export rw,hard\n\
            34 22 0:41 / /mnt/far rw - fuse.sshfs far:/ rw\n";
        let config = Config {
            filesystems: ["/", "/mnt/auto", "/mnt/nas"].map(str::to_owned).to_vec(),
            ..Config::default()
        };
        let found = parse_mounts(text.as_bytes(), &config).unwrap();
        let hanging = |filesystem: &Filesystem| may_hang(filesystem, &config);
        let found: Vec<_> = found
            .iter()
            .map(|filesystem| (&*filesystem.mount_point, hanging(filesystem)))
            .collect();
        let expected = [
            ("/", false),
            ("/boot", false),
            ("/mnt/ntfs", true),
            ("/mnt/nas", true),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_mounted_beneath_a_program_is_not_looked_up() {
        for kind in ["fuse", "fuseblk", "fuse.sshfs"] {
            let text = format!(
                "22 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n\
                32 22 8:1 / /mnt/far rw - {kind} far rw\n\
                33 32 8:2 / /mnt/far/disk rw - ext4 /dev/sda2 rw\n\
                34 22 8:3 / /mnt/farther rw - ext4 /dev/sda3 rw\n"
            );
            let found = mount_points(&text, &Config::default());
            assert_eq!(found, ["/", "/mnt/farther"], "{kind}");
        }
    }

    #[test]
    fn of_more_filesystems_than_there_is_room_for_those_asked_for_are_kept() {
        let disk =
            |disk: u32| format!("{disk} 1 8:{disk} / /mnt/{disk} rw - ext4 /dev/sd{disk} rw\n");
        let disks: Vec<_> = (1..=20_u32).map(disk).collect();
        let text = format!(
            "30 0 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n{}\
            31 30 0:40 / /mnt/nas rw - nfs4 nas:/export rw,hard\n",
            disks.concat()
        );
        let config = Config {
            filesystems: ["/mnt/nas", "/mnt/18"].map(str::to_owned).to_vec(),
            ..Config::default()
        };
        let mut expected = vec!["/".to_owned()];
        expected.extend((1..=13).map(|disk| format!("/mnt/{disk}")));
        expected.extend(["/mnt/18", "/mnt/nas"].map(str::to_owned));
        assert_eq!(mount_points(&text, &config), expected);
    }

    #[test]
    fn of_two_mounts_of_a_device_the_one_asked_for_is_kept() {
        let text = "1 0 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n\
            2 1 8:1 / /mnt/a rw - ext4 /dev/sda1 rw\n\
            3 1 8:1 / /mnt/b rw - ext4 /dev/sda1 rw\n";
        let config = Config {
            filesystems: vec!["/mnt/b".into()],
            ..Config::default()
        };
        assert_eq!(mount_points(text, &config), ["/", "/mnt/b"]);
    }

    #[test]
    fn the_kinds_of_read_only_are_told_apart() {
        let found = parse_mounts(PI.as_bytes(), &Config::default()).unwrap();
        let flags = |filesystem: &Filesystem| {
            (
                filesystem.is_mount_read_only,
                filesystem.is_super_read_only,
                filesystem.is_given_up,
                filesystem.stops_at_errors,
            )
        };
        assert_eq!(
            found.iter().map(flags).collect::<Vec<_>>(),
            [
                (false, false, false, false),
                // `errors=remount-ro` is no `ro`.
                (false, false, false, true),
                (true, false, true, false),
            ]
        );
        assert_eq!((found[0].device.major, found[0].device.minor), (179, 2));
    }

    #[test]
    fn of_two_roots_the_upper_one_is_seen() {
        let text = "1 1 0:2 / / rw - rootfs rootfs rw\n\
            20 1 0:21 / / rw - overlay overlayroot rw,lowerdir=/lower,upperdir=/upper\n";
        let found = parse_mounts(text.as_bytes(), &Config::default()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&*found[0].kind, &*found[0].source),
            ("overlay", "overlayroot")
        );
    }

    #[test]
    fn subvolumes_of_btrfs_are_one_filesystem() {
        let text = "20 1 0:21 /@ / rw - btrfs /dev/sda2 rw,subvol=/@\n\
            21 20 0:21 /@home /home rw - btrfs /dev/sda2 rw,subvol=/@home\n\
            22 20 0:33 /@data /data rw - btrfs /dev/sdb rw,subvol=/@data\n";
        assert_eq!(mount_points(text, &Config::default()), ["/", "/data"]);
    }

    #[test]
    fn what_is_no_table_of_mounts_fails() {
        for text in [
            "",
            "\n",
            "1 2 3",
            "1 1 0:2 / relative rw - ext4 /dev/sda rw",
            "x",
        ] {
            assert!(
                parse_mounts(text.as_bytes(), &Config::default()).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_filesystem_that_cannot_be_fails() {
        let sound = Statvfs {
            fragment_bytes: 4096,
            blocks: 1000,
            blocks_free: 300,
            blocks_available: 250,
            inodes: 0,
            inodes_free: 0,
        };
        assert_eq!(in_bytes(&sound).unwrap().available_bytes, 250 * 4096);
        for broken in [
            Statvfs {
                blocks: 0,
                blocks_free: 0,
                blocks_available: 0,
                ..sound
            },
            Statvfs {
                fragment_bytes: 0,
                ..sound
            },
            Statvfs {
                blocks: u64::MAX,
                ..sound
            },
            Statvfs {
                blocks: u64::MAX,
                fragment_bytes: 1,
                ..sound
            },
            Statvfs {
                blocks_available: u64::MAX - 5,
                ..sound
            },
            Statvfs {
                blocks_free: 1001,
                ..sound
            },
        ] {
            assert!(in_bytes(&broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn inodes_that_cannot_be_leave_the_space() {
        let answer = Statvfs {
            fragment_bytes: 4096,
            blocks: 1000,
            blocks_free: 300,
            blocks_available: 250,
            inodes: 10,
            inodes_free: 10,
        };
        let usage = in_bytes(&answer).unwrap();
        assert_eq!((usage.inodes, usage.inodes_free), (10, 10));
        for (inodes, inodes_free) in [(0, 1), (10, 11), (10, u64::MAX)] {
            let broken = Statvfs {
                inodes,
                inodes_free,
                ..answer
            };
            let expected = Usage {
                inodes: 0,
                inodes_free: 0,
                ..usage
            };
            assert_eq!(in_bytes(&broken), Ok(expected), "{broken:?}");
        }
    }

    #[test]
    fn octal_escapes_are_undone_and_others_left() {
        for (text, expected) in [
            (r"/a\040b", "/a b"),
            (r"/a\134040b", r"/a\040b"),
            (r"/a\04", r"/a\04"),
            (r"/a\999", r"/a\999"),
            (r"/a\777", r"/a\777"),
        ] {
            assert_eq!(
                unescaped(text.as_bytes()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        assert_eq!(unescaped(br"/a\000"), None);
    }
}

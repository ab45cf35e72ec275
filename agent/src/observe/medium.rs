//! Reads what each block device is stored on: its name, `/sys/class/block/*/{dev,slaves}`,
//! `/sys/block/mmcblk*/device/type`, and where the link `/sys/class/block/sd*` leads
//! (Documentation/driver-api/mmc/mmc-dev-attrs.rst, Documentation/admin-guide/devices.txt).
//!
//! A disk behind a bridge is what it is plugged into. What is mapped onto others (LVM, dm-crypt,
//! RAID) is what the first of them is.

use super::Reading;
use super::ext4::Device;
use super::root::Root;
use super::text::{Flaw, lone_text};

/// A block device or a partition of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Medium {
    /// For example `mmcblk0p2`.
    pub name: Box<str>,
    /// The same as `/proc/self/mountinfo` numbers it.
    pub device: Reading<Device>,
    /// What it is stored on, if the kernel tells.
    pub kind: Reading<Kind>,
}

/// What a board can be started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Soldered flash behind an MMC controller.
    Emmc,
    /// A solid-state disk on `PCIe`.
    Nvme,
    /// A disk on SATA, or on what came before it.
    Sata,
    /// A memory card.
    Sd,
    /// Whatever is plugged into USB.
    Usb,
    /// What a hypervisor offers.
    Virtual,
}

impl Kind {
    /// As boards' profiles, and the label, spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Emmc => "emmc",
            Self::Nvme => "nvme",
            Self::Sata => "sata",
            Self::Sd => "sd",
            Self::Usb => "usb",
            Self::Virtual => "virtual",
        }
    }
}

const DIRECTORY: &str = "sys/class/block";
/// A machine full of images has hundreds of loop devices, which are left out before.
const MEDIA_MAX: usize = 64;
/// LVM on dm-crypt on RAID is three.
const LAYERS_MAX: usize = 4;
/// In memory, or an image of something else.
const NO_MEDIA: [&str; 5] = ["fd", "loop", "ram", "sr", "zram"];

/// Asks what every block device is stored on.
pub(super) fn read(root: &mut Root) -> Reading<Vec<Medium>> {
    let Some(mut names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    names.retain(|name| !NO_MEDIA.contains(&stem(name)));
    let media = names.into_iter().take(MEDIA_MAX).map(|name| Medium {
        device: root.parse(&format!("{DIRECTORY}/{name}/dev"), device),
        kind: kind(root, &name, LAYERS_MAX),
        name: name.into(),
    });
    Ok(Some(media.collect()))
}

fn device(text: &[u8]) -> Result<Device, Flaw> {
    Device::parse(text.trim_ascii()).ok_or(Flaw::new(1, "expected a device number"))
}

/// A device's name up to its number: `sd` is followed by a letter.
fn stem(name: &str) -> &str {
    let end = name.find(|c: char| c.is_ascii_digit());
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}

fn kind(root: &mut Root, name: &str, layers: usize) -> Reading<Kind> {
    match stem(name) {
        "nvme" => Ok(Some(Kind::Nvme)),
        "mmcblk" => root
            .parse(&format!("sys/block/{}/device/type", whole(name)), card)
            .map(Option::flatten),
        "dm-" | "md" => below(root, name, layers),
        stem if stem.starts_with("vd") || stem.starts_with("xvd") => Ok(Some(Kind::Virtual)),
        stem if stem.starts_with("sd") => {
            let link = root.link(&format!("{DIRECTORY}/{name}"))?;
            Ok(link.as_deref().and_then(attachment))
        }
        _ => Ok(None),
    }
}

/// `mmcblk0` of `mmcblk0p2` and `mmcblk0boot0`.
fn whole(name: &str) -> &str {
    let digits = name.trim_start_matches("mmcblk");
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let rest_len = end.map_or(0, |end| digits.len() - end);
    name.get(..name.len() - rest_len).unwrap_or(name)
}

fn card(text: &[u8]) -> Result<Option<Kind>, Flaw> {
    Ok(match &*lone_text(text)? {
        "SD" => Some(Kind::Sd),
        "MMC" => Some(Kind::Emmc),
        _ => None,
    })
}

/// Of a device that is mapped onto others, the first of which decides.
fn below(root: &mut Root, name: &str, layers: usize) -> Reading<Kind> {
    let Some(layers) = layers.checked_sub(1) else {
        return Ok(None);
    };
    let slaves = root.list(&format!("{DIRECTORY}/{name}/slaves"))?;
    let first = slaves.and_then(|slaves| slaves.into_iter().next());
    first.map_or(Ok(None), |slave| kind(root, &slave, layers))
}

/// What a SCSI disk hangs on, by the way to it: `usb2`, `ata1`, `virtio2`.
fn attachment(link: &str) -> Option<Kind> {
    let mut parts = link.split('/');
    parts.find_map(|part| {
        let is_numbered = |stem: &str| {
            let number = part.strip_prefix(stem).unwrap_or_default();
            number.starts_with(|c: char| c.is_ascii_digit())
        };
        if is_numbered("usb") {
            Some(Kind::Usb)
        } else if is_numbered("ata") {
            Some(Kind::Sata)
        } else if is_numbered("virtio") || is_numbered("vmbus_") {
            Some(Kind::Virtual)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_what_it_is_plugged_into() {
        let xhci = "../../devices/platform/scb/fd500000.pcie/pci0000:00/0000:00:00.0/0000:01:00.0";
        for (link, expected) in [
            (
                format!("{xhci}/usb2/2-1/2-1:1.0/host0/target0:0:0/0:0:0:0/block/sda/sda2"),
                Some(Kind::Usb),
            ),
            (
                "../../devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda"
                    .to_owned(),
                Some(Kind::Sata),
            ),
            (
                "../../devices/pci0000:00/0000:00:05.0/virtio2/host2/target2:0:1/2:0:1:0/block/sda"
                    .to_owned(),
                Some(Kind::Virtual),
            ),
            (
                "../../devices/platform/usbstuff/host0/target0:0:0/0:0:0:0/block/sda".to_owned(),
                None,
            ),
        ] {
            assert_eq!(attachment(&link), expected, "{link}");
        }
    }

    #[test]
    fn a_partition_belongs_to_its_card() {
        for (name, expected) in [
            ("mmcblk0", "mmcblk0"),
            ("mmcblk12p3", "mmcblk12"),
            ("mmcblk1boot0", "mmcblk1"),
        ] {
            assert_eq!((whole(name), stem(name)), (expected, "mmcblk"));
        }
    }

    #[test]
    fn a_card_is_told_from_soldered_flash() {
        assert_eq!(card(b"SD\n"), Ok(Some(Kind::Sd)));
        assert_eq!(card(b"MMC\n"), Ok(Some(Kind::Emmc)));
        assert_eq!(card(b"SDIO\n"), Ok(None));
        assert!(card(b"\xff").is_err());
    }
}

//! Reads which board this is: `/proc/device-tree/{model,compatible,serial-number}`, on other
//! machines `/sys/class/dmi/id/{sys_vendor,product_name}`.
//!
//! Device tree strings end with NUL; `compatible` is a list of them, most specific first.

use super::Reading;
use super::root::Root;
use super::text::{Flaw, first_present, lone_text, printable};

/// Which board this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// For example `Raspberry Pi 4 Model B Rev 1.4`.
    pub model: Reading<Box<str>>,
    /// For example `raspberrypi,4-model-b` and `brcm,bcm2711`; empty without a device tree.
    pub compatible: Reading<Vec<Box<str>>>,
    /// In lower case.
    pub serial: Reading<Box<str>>,
}

/// Asks which board this is.
pub(super) fn read(root: &mut Root) -> Board {
    let model = first_present([
        root.parse("proc/device-tree/model", lone_text),
        dmi_model(root),
    ]);
    let serial = first_present(
        [
            "proc/device-tree/serial-number",
            "sys/devices/soc0/serial_number",
        ]
        .map(|path| root.parse(path, lone_text)),
    );
    Board {
        model,
        compatible: root.parse("proc/device-tree/compatible", compatible),
        // One vendor's firmware writes it in upper case, its kernel in lower.
        serial: serial.map(|serial| serial.map(|serial| serial.to_ascii_lowercase().into())),
    }
}

/// What a machine without a device tree is called, if its firmware knows.
fn dmi_model(root: &mut Root) -> Reading<Box<str>> {
    let product = root.parse("sys/class/dmi/id/product_name", lone_text)?;
    let vendor = root.parse("sys/class/dmi/id/sys_vendor", lone_text)?;
    Ok(match (vendor, product) {
        (Some(vendor), Some(product)) => Some(format!("{vendor} {product}").into()),
        (vendor, product) => product.or(vendor),
    })
}

/// Texts, each ended by NUL.
fn compatible(text: &[u8]) -> Result<Vec<Box<str>>, Flaw> {
    /// A device tree's root has two or three.
    const ENTRIES_MAX: usize = 16;
    let flaw = Flaw::new(1, "expected texts ended by NUL");
    let text = text.strip_suffix(b"\0").ok_or(flaw)?;
    text.split(|byte| *byte == 0)
        .take(ENTRIES_MAX)
        .map(|entry| printable(entry).ok_or(flaw))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatible_is_a_list_ended_by_nul() {
        let text = b"raspberrypi,4-model-b\0brcm,bcm2711\0";
        let entries = compatible(text).unwrap();
        assert_eq!(
            entries,
            [
                Box::from("raspberrypi,4-model-b"),
                Box::from("brcm,bcm2711")
            ]
        );
        for text in [b"".as_slice(), b"a,b", b"\0\0", b"\xff\0"] {
            assert!(compatible(text).is_err(), "{text:?}");
        }
    }
}

//! Reads which board this is: /proc/device-tree/{model,compatible,serial-number}, on other
//! machines /sys/class/dmi/id/{sys_vendor,product_name}.
//!
//! Device tree strings end with NUL; `compatible` is a list of them, most specific first.

use super::Reading;

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

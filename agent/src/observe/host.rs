//! Reads who the host is: /etc/machine-id, /sys/class/dmi/id/product_uuid or the device tree's,
//! /proc/sys/kernel/random/boot_id, /etc/os-release, uname(2).
//!
//! The sources and their order are the kubelet's. Whether the system is shutting down is asked on
//! demand only, at a goodbye.

use super::Reading;

/// Who a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// 32 hexadecimal digits; cloned images share it.
    pub machine_id: Reading<Box<str>>,
    /// The firmware's, else the device tree's, else the machine id.
    pub system_uuid: Reading<Box<str>>,
    /// Differs at every boot.
    pub boot_id: Reading<Box<str>>,
    /// `PRETTY_NAME` of os-release.
    pub os_image: Reading<Box<str>>,
    /// uname's release.
    pub kernel_release: Box<str>,
    /// uname's machine, the kernel's architecture, for example `aarch64`.
    pub kernel_machine: Box<str>,
    /// uname's node name.
    pub hostname: Box<str>,
    /// This program's architecture as Go writes it, for example `arm64`.
    pub architecture: Box<str>,
    /// Always `linux`.
    pub operating_system: &'static str,
}

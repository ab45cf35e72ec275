//! Reads who the host is: `/etc/machine-id`, `/sys/class/dmi/id/product_uuid` or the device tree's,
//! `/proc/sys/kernel/random/boot_id`, `/etc/os-release`, uname(2).
//!
//! The sources and their order are the kubelet's. Whether the system is shutting down is asked on
//! demand only, at a goodbye.

use super::Reading;
use super::root::Root;
use super::text::{Flaw, first_present, lines, lone_text, printable};

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
    /// uname's node name, in lower case as the kubelet takes it.
    pub hostname: Box<str>,
    /// This program's architecture as Go writes it, for example `arm64`.
    pub architecture: Box<str>,
    /// Always `linux`.
    pub operating_system: &'static str,
}

/// Asks who the host is.
pub(super) fn read(root: &mut Root) -> Host {
    let uname = root.syscalls().uname();
    let architecture = root.syscalls().architecture().into();
    let machine_id = first_present(
        ["etc/machine-id", "var/lib/dbus/machine-id"]
            .map(|path| root.parse(path, |text| hexadecimal_digits(text, 32))),
    );
    let system_uuid = first_present(
        [
            "sys/class/dmi/id/product_uuid",
            "proc/device-tree/system-id",
            "proc/device-tree/vm,uuid",
        ]
        .map(|path| root.parse(path, lone_text)),
    );
    Host {
        // The kubelet's last resort; product_uuid is for root's eyes only.
        system_uuid: first_present([system_uuid, machine_id.clone()]),
        machine_id,
        boot_id: root.parse("proc/sys/kernel/random/boot_id", |text| {
            hexadecimal_digits(text, 36)
        }),
        os_image: first_present(
            ["etc/os-release", "usr/lib/os-release"]
                .map(|path| root.parse(path, pretty_name).map(Option::flatten)),
        ),
        kernel_release: uname.release.into(),
        kernel_machine: uname.machine.into(),
        hostname: hostname(&uname.nodename),
        architecture,
        operating_system: "linux",
    }
}

/// As the kubelet writes it, on the Node and in its label.
fn hostname(nodename: &str) -> Box<str> {
    nodename.trim().to_lowercase().into()
}

/// Whether the system is going down: systemd has scheduled it, or has locked out new logins for it.
pub(super) fn is_shutting_down(root: &mut Root) -> bool {
    // At boot the same file says "System is booting up".
    let is_going_down = |text: &[u8]| Ok(text.windows(10).any(|window| window == b"going down"));
    root.exists("run/systemd/shutdown/scheduled")
        || matches!(root.parse("run/nologin", is_going_down), Ok(Some(true)))
}

/// An identifier of so many digits, dashes counted.
fn hexadecimal_digits(text: &[u8], len: usize) -> Result<Box<str>, Flaw> {
    let text = text.trim_ascii();
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    if text.len() != len || !text.iter().all(is_digit) {
        return Err(Flaw::new(1, "expected an identifier in hexadecimal digits"));
    }
    lone_text(text)
}

/// `PRETTY_NAME` of os-release(5), without its quotes.
fn pretty_name(text: &[u8]) -> Result<Option<Box<str>>, Flaw> {
    let mut last = 0;
    for (number, line) in lines(text) {
        last = number;
        if let Some(value) = line.strip_prefix(b"PRETTY_NAME=") {
            let value = value.trim_ascii();
            let value = [b"\"", b"'"]
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
                .unwrap_or(value);
            let name = printable(value).ok_or(Flaw::new(number, "expected a printable name"))?;
            return Ok(Some(name));
        }
        if std::str::from_utf8(line).is_err() {
            return Err(Flaw::new(number, "expected text"));
        }
    }
    if last == 0 {
        return Err(Flaw::new(1, "empty"));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_in_lower_case() {
        assert_eq!(&*hostname(" Attic.LAN\n"), "attic.lan");
    }

    #[test]
    fn a_pretty_name_is_unquoted() {
        for (text, expected) in [
            (
                "ID=x\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n",
                "Debian GNU/Linux 13 (trixie)",
            ),
            ("PRETTY_NAME='Alpine Linux v3.22'", "Alpine Linux v3.22"),
            ("PRETTY_NAME=Buildroot", "Buildroot"),
        ] {
            assert_eq!(
                pretty_name(text.as_bytes()).unwrap().as_deref(),
                Some(expected)
            );
        }
        assert_eq!(pretty_name(b"ID=x\n"), Ok(None));
        assert!(pretty_name(b"").is_err());
        assert!(pretty_name(b"PRETTY_NAME=\"\x1b[2J\"").is_err());
    }

    #[test]
    fn a_machine_id_is_32_digits() {
        assert!(hexadecimal_digits(b"0123456789abcdef0123456789abcdef\n", 32).is_ok());
        assert!(hexadecimal_digits(b"uninitialized\n", 32).is_err());
        assert!(hexadecimal_digits(b"", 32).is_err());
    }
}

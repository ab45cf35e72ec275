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
            ["etc/os-release", "usr/lib/os-release"].map(|path| root.parse(path, pretty_name)),
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

/// An architecture of Rust's as Go, and therefore Kubernetes, calls it.
pub(super) fn go_architecture(rust: &str, is_little_endian: bool) -> &str {
    match (rust, is_little_endian) {
        ("aarch64", _) => "arm64",
        ("loongarch64", _) => "loong64",
        ("mips", true) => "mipsle",
        ("mips64", true) => "mips64le",
        ("powerpc", _) => "ppc",
        ("powerpc64", false) => "ppc64",
        ("powerpc64", true) => "ppc64le",
        ("x86", _) => "386",
        ("x86_64", _) => "amd64",
        // arm (of every version), riscv64, s390x and the rest are the same in both.
        (other, _) => other,
    }
}

/// `PRETTY_NAME` of os-release(5), without its quotes; kubelet's word for a file without one.
fn pretty_name(text: &[u8]) -> Result<Box<str>, Flaw> {
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
            return Ok(name);
        }
        if std::str::from_utf8(line).is_err() {
            return Err(Flaw::new(number, "expected text"));
        }
    }
    if last == 0 {
        return Err(Flaw::new(1, "empty"));
    }
    Ok("Linux".into())
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
            ("PRETTY_NAME=\"a = b\"\nPRETTY_NAME=c", "a = b"),
            ("ID=x\n# no PRETTY_NAME=y\n", "Linux"),
        ] {
            assert_eq!(&*pretty_name(text.as_bytes()).unwrap(), expected, "{text}");
        }
        let long = "x".repeat(300);
        for text in [
            b"".as_slice(),
            b"PRETTY_NAME=\"\x1b[2J\"",
            b"PRETTY_NAME=",
            b"PRETTY_NAME=\"\"",
            b"\xFF\xFE\x00\nID=x",
            format!("PRETTY_NAME={long}").as_bytes(),
        ] {
            assert!(pretty_name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn architectures_are_gos() {
        for (rust, is_little_endian, go) in [
            ("aarch64", true, "arm64"),
            ("arm", true, "arm"),
            ("loongarch64", true, "loong64"),
            ("mips", false, "mips"),
            ("mips", true, "mipsle"),
            ("powerpc64", false, "ppc64"),
            ("powerpc64", true, "ppc64le"),
            ("riscv64", true, "riscv64"),
            ("s390x", false, "s390x"),
            ("x86", true, "386"),
            ("x86_64", true, "amd64"),
        ] {
            assert_eq!(go_architecture(rust, is_little_endian), go);
        }
    }

    #[test]
    fn a_machine_id_is_32_digits() {
        assert!(hexadecimal_digits(b"0123456789abcdef0123456789abcdef\n", 32).is_ok());
        assert!(hexadecimal_digits(b"uninitialized\n", 32).is_err());
        assert!(hexadecimal_digits(b"", 32).is_err());
        assert!(hexadecimal_digits(&[0xFF; 32], 32).is_err());
    }
}

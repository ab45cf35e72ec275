//! Counts what programs can open below `/dev`, by the kernel's own lists of it:
//! `/sys/class/{i2c-dev,spidev,video4linux,tty}` and `/sys/bus/gpio/devices`.
//!
//! Not `/dev` itself, which in a container or a sandbox is another's. A serial port counts if
//! hardware is behind it: `/sys/class/tty/*/type` is 0 where a driver only reserved the name
//! (Documentation/ABI/testing/sysfs-tty). What is plugged in later is counted within minutes.

use super::Reading;
use super::root::Root;
use super::text::{lone_number, number};

/// How many there are of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// `/dev/gpiochip*`.
    pub gpio_chips: Reading<u64>,
    /// `/dev/i2c-*`: buses.
    pub i2c: Reading<u64>,
    /// `/dev/ttyAMA*`, `ttyS*`, `ttyUSB*`, `ttyACM*` and the like.
    pub serial: Reading<u64>,
    /// `/dev/spidev*`: a chip select each.
    pub spi: Reading<u64>,
    /// `/dev/video*`: cameras, and the codecs that are spoken to in the same way.
    pub video: Reading<u64>,
}

impl Devices {
    /// Each by the name of its resource, in the order of the names.
    pub fn by_resource(&self) -> [(&'static str, &Reading<u64>); 5] {
        [
            ("nodling.dev/gpiochip", &self.gpio_chips),
            ("nodling.dev/i2c", &self.i2c),
            ("nodling.dev/serial", &self.serial),
            ("nodling.dev/spi", &self.spi),
            ("nodling.dev/video", &self.video),
        ]
    }
}

const TTYS: &str = "sys/class/tty";

/// Counts them.
pub(super) fn read(root: &mut Root) -> Devices {
    Devices {
        gpio_chips: count(root, "sys/bus/gpio/devices", "gpiochip"),
        i2c: count(root, "sys/class/i2c-dev", "i2c-"),
        serial: count_serial(root),
        spi: count(root, "sys/class/spidev", "spidev"),
        video: count(root, "sys/class/video4linux", "video"),
    }
}

fn count(root: &Root, directory: &str, stem: &str) -> Reading<u64> {
    let names = root.list(directory)?;
    let is_one = |name: &&String| name.starts_with(stem);
    Ok(names.map(|names| names.iter().filter(is_one).count() as u64))
}

fn count_serial(root: &mut Root) -> Reading<u64> {
    let Some(names) = root.list(TTYS)? else {
        return Ok(None);
    };
    let mut ports = 0;
    for name in names.iter().filter(|name| !is_console(name)) {
        let is_port = match root.parse(&format!("{TTYS}/{name}/type"), lone_number)? {
            Some(kind) => kind != 0,
            // Only drivers of the serial core say; one on USB has at least a device.
            None => root.exists(&format!("{TTYS}/{name}/device")),
        };
        ports += u64::from(is_port);
    }
    Ok(Some(ports))
}

/// `tty0` to `tty63` are screens; to ask each would cost more than all the others.
fn is_console(name: &str) -> bool {
    name.strip_prefix("tty")
        .is_some_and(|digits| number(digits.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_are_no_serial_ports() {
        for (name, expected) in [
            ("tty1", true),
            ("tty63", true),
            ("tty", false),
            ("ttyS0", false),
            ("ttyAMA10", false),
        ] {
            assert_eq!(is_console(name), expected, "{name}");
        }
    }
}

//! Asks the firmware for its throttle bits by `/dev/vcio_gencmd` or `/dev/vcio` where this program
//! may; else reads them from the path that the profile names, or wherever their driver shows them;
//! and `in0_lcrit_alarm` of the hwmon chip that the profile names
//! (Documentation/hwmon/raspberrypi-hwmon.rst).
//!
//! That driver asks every two seconds and clears its bits of the past with it: by it, what has
//! been since boot is known only by adding up. A board that cannot tell is absent, not healthy.

use super::Reading;
use super::root::Root;
use super::text::{Flaw, hexadecimal, lone_text};

/// Supply and throttling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Power {
    /// The firmware's account of it.
    pub throttled: Reading<Throttled>,
    /// Who gives that account here.
    pub source: Option<Source>,
    /// The kernel's alarm: the supply was too low within the last two seconds.
    pub is_under_voltage_alarm: Reading<bool>,
}

/// Who tells the throttle bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The firmware, which keeps the past until the next boot.
    Firmware,
    /// The kernel's driver, which clears the past whenever it asks.
    Driver,
}

/// The bits of `get_throttled`, as the firmware numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled(pub u32);

impl Throttled {
    /// The supply is too low now.
    pub const UNDER_VOLTAGE: u32 = 1 << 0;
    /// The frequency is capped now.
    pub const CAPPED: u32 = 1 << 1;
    /// The processor is throttled now.
    pub const THROTTLED: u32 = 1 << 2;
    /// The soft temperature limit is active now.
    pub const SOFT_LIMIT: u32 = 1 << 3;
    /// All of them.
    pub const ALL: u32 = 0xF;
    /// How far the "has occurred since boot" bits lie above those of now.
    pub const SINCE_BOOT_SHIFT: u32 = 16;

    /// Whether any of `bits` holds now.
    pub fn is_now(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Whether any of `bits` has held since boot.
    pub fn is_since_boot(self, bits: u32) -> bool {
        self.0 & (bits << Self::SINCE_BOOT_SHIFT) != 0
    }

    /// What holds now or has held since boot, as bits of now.
    pub fn ever(self) -> u32 {
        (self.0 | (self.0 >> Self::SINCE_BOOT_SHIFT)) & Self::ALL
    }
}

/// Where this board's supply is read; found once, since hwmon numbers change at a boot only.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    mailbox: Option<&'static str>,
    throttled: Option<String>,
    alarm: Option<String>,
}

/// The second passes everything on, and therefore few may open it.
const MAILBOXES: [&str; 2] = ["dev/vcio_gencmd", "dev/vcio"];

/// Finds the files that the profile names.
pub(super) fn find(root: &mut Root, profile: &nodling_boards::Power) -> Paths {
    let can_ask = |device: &&str| matches!(root.ask_throttled(device), Ok(Some(_)));
    let mailbox = MAILBOXES.into_iter().find(can_ask);
    let throttled = profile
        .throttled_paths
        .as_ref()
        .and_then(|paths| paths.value.iter().find(|path| root.exists(path)).cloned())
        .or_else(|| find_throttled(root));
    let alarm = profile
        .voltage_chip
        .as_ref()
        .and_then(|chip| find_chip(root, &chip.value));
    Paths {
        mailbox,
        throttled,
        alarm: alarm.map(|chip| format!("{chip}/in0_lcrit_alarm")),
    }
}

/// The device is called after its address, which differs by model; its driver is not.
fn find_throttled(root: &Root) -> Option<String> {
    const DRIVER: &str = "sys/bus/platform/drivers/raspberrypi-firmware";
    let devices = root.list(DRIVER).ok()??;
    devices
        .into_iter()
        .map(|device| format!("{DRIVER}/{device}/get_throttled"))
        .find(|path| root.exists(path))
}

/// The directory of the hwmon chip called `name`.
fn find_chip(root: &mut Root, name: &str) -> Option<String> {
    const DIRECTORY: &str = "sys/class/hwmon";
    let chips = root.list(DIRECTORY).ok()??;
    chips
        .into_iter()
        .map(|chip| format!("{DIRECTORY}/{chip}"))
        .find(|chip| {
            let found = root.parse(&format!("{chip}/name"), lone_text);
            matches!(found, Ok(Some(found)) if *found == *name)
        })
}

/// Reads the supply.
pub(super) fn read(root: &mut Root, paths: &Paths) -> Power {
    let (source, throttled) = match (paths.mailbox, &paths.throttled) {
        (Some(device), _) => {
            let bits = root.ask_throttled(device);
            (Some(Source::Firmware), bits.map(|bits| bits.map(Throttled)))
        }
        (None, Some(path)) => (Some(Source::Driver), root.parse(path, parse_throttled)),
        (None, None) => (None, Ok(None)),
    };
    let is_under_voltage_alarm = match &paths.alarm {
        Some(path) => root.parse(path, parse_alarm),
        None => Ok(None),
    };
    Power {
        throttled,
        source,
        is_under_voltage_alarm,
    }
}

fn parse_throttled(text: &[u8]) -> Result<Throttled, Flaw> {
    /// What a firmware answers that does not know the question.
    const NO_ANSWER: u32 = u32::MAX;
    let bits = hexadecimal(text.trim_ascii()).filter(|bits| *bits != NO_ANSWER);
    bits.map(Throttled)
        .ok_or(Flaw::new(1, "expected the throttle bits, hexadecimal"))
}

fn parse_alarm(text: &[u8]) -> Result<bool, Flaw> {
    match text.trim_ascii() {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(Flaw::new(1, "expected 0 or 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_bits_are_hexadecimal_without_a_prefix() {
        let throttled = parse_throttled(b"50005\n").unwrap();
        assert!(throttled.is_now(Throttled::UNDER_VOLTAGE));
        assert!(throttled.is_now(Throttled::THROTTLED));
        assert!(!throttled.is_now(Throttled::CAPPED | Throttled::SOFT_LIMIT));
        assert!(throttled.is_since_boot(Throttled::UNDER_VOLTAGE));
        assert!(!throttled.is_since_boot(Throttled::SOFT_LIMIT));
        assert_eq!(parse_throttled(b"80002").unwrap().ever(), 0xA);
        for text in [
            "",
            "0x50005",
            "-1",
            "+1",
            "100000000",
            "g",
            "ffffffff",
            "5 5",
        ] {
            assert!(parse_throttled(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "arranges what is then read")]
    fn a_firmware_that_cannot_be_asked_leaves_the_kernels_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = directory.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        // No device: it answers ENOTTY.
        write("dev/vcio", "");
        let shown = "sys/bus/platform/drivers/raspberrypi-firmware/soc@107c000000:firmware";
        write(&format!("{shown}/get_throttled"), "10000\n");
        let mut root = Root::open(directory.path()).unwrap();
        assert!(root.ask_throttled("dev/vcio").is_err());
        let paths = find(&mut root, &nodling_boards::Power::default());
        let power = read(&mut root, &paths);
        assert_eq!(power.throttled, Ok(Some(Throttled(0x10000))));
        assert_eq!(power.source, Some(Source::Driver));
        assert_eq!(power.is_under_voltage_alarm, Ok(None));
    }
}

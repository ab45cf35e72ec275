//! Reads the firmware's throttle bits from the path that the profile names, and in0_lcrit_alarm
//! of the hwmon chip that it names (Documentation/hwmon/raspberrypi-hwmon.rst).
//!
//! A board that cannot tell is absent here, not healthy.

use super::Reading;

/// Supply and throttling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Power {
    /// The firmware's account of it.
    pub throttled: Reading<Throttled>,
    /// The kernel's alarm: the supply was too low within the last two seconds.
    pub is_under_voltage_alarm: Reading<bool>,
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
}

//! Quantities as types, so that a temperature cannot be added to a load.
//!
//! Each wraps the integer that goes on the wire; the scale is in the name or the doc. Floating
//! point stays out of the wire and of the core.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::wire::{unzigzag, zigzag};

/// A quantity that travels as one varint.
pub(crate) trait Scalar: Copy {
    fn to_wire(self) -> u64;
    fn from_wire(wire: u64) -> Option<Self>;
}

macro_rules! unsigned {
    ($($(#[$doc:meta])* $name:ident($int:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl Scalar for $name {
            fn to_wire(self) -> u64 {
                u64::from(self.0)
            }

            fn from_wire(wire: u64) -> Option<Self> {
                <$int>::try_from(wire).ok().map(Self)
            }
        }
    )*};
}

unsigned! {
    /// Time since boot, suspended time included, in hundredths of a second, as `/proc/uptime`
    /// prints it.
    Uptime(u64);
    /// Thousandths of a whole.
    Permille(u16);
    /// A load average in hundredths, as `/proc/loadavg` prints it.
    CentiLoad(u32);
    /// 1,024 bytes.
    Kibibytes(u64);
    /// 1,000,000 cycles a second.
    Megahertz(u32);
}

/// A temperature in tenths of a degree Celsius.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct DeciCelsius(pub i16);

impl Scalar for DeciCelsius {
    fn to_wire(self) -> u64 {
        zigzag(i32::from(self.0))
    }

    fn from_wire(wire: u64) -> Option<Self> {
        i16::try_from(unzigzag(wire)?).ok().map(Self)
    }
}

impl Uptime {
    /// From milliseconds, rounded down.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms / 10)
    }

    /// In milliseconds, saturating.
    pub const fn as_ms(self) -> u64 {
        self.0.saturating_mul(10)
    }
}

/// What the firmware of a Raspberry Pi says about power and heat: the low four bits now, the
/// high four since boot, each in the order of `get_throttled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Throttle(pub u8);

impl Throttle {
    /// Under-voltage.
    pub const UNDER_VOLTAGE: u8 = 1;
    /// The ARM cores' frequency is capped.
    pub const FREQUENCY_CAPPED: u8 = 1 << 1;
    /// The cores are throttled.
    pub const THROTTLED: u8 = 1 << 2;
    /// The soft temperature limit is active.
    pub const SOFT_TEMPERATURE_LIMIT: u8 = 1 << 3;

    /// From the value of `get_throttled`: bits 0-3 now, bits 16-19 since boot.
    pub const fn from_firmware(bits: u32) -> Self {
        let [_, since_boot, _, now] = bits.to_be_bytes();
        Self((now & 0xF) | (since_boot << 4))
    }

    /// The bits that hold now.
    pub const fn now(self) -> u8 {
        self.0 & 0xF
    }

    /// The bits that have held since boot.
    pub const fn since_boot(self) -> u8 {
        self.0 >> 4
    }
}

impl Scalar for Throttle {
    fn to_wire(self) -> u64 {
        u64::from(self.0)
    }

    fn from_wire(wire: u64) -> Option<Self> {
        u8::try_from(wire).ok().map(Self)
    }
}

/// What a sensor's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// Degrees Celsius.
    Celsius,
    /// Hundredths of a whole.
    Percent,
    /// Newtons per square metre.
    Pascal,
    /// Electric tension.
    Volt,
    /// Electric current.
    Ampere,
    /// Power.
    Watt,
    /// Illuminance.
    Lux,
    /// Concentration.
    PartsPerMillion,
    /// Rotation.
    RevolutionsPerMinute,
    /// Radio power.
    DecibelMilliwatt,
    /// A bare number.
    None,
}

impl Unit {
    /// The symbol as dashboards print it; empty for a bare number.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Celsius => "°C",
            Self::Percent => "%",
            Self::Pascal => "Pa",
            Self::Volt => "V",
            Self::Ampere => "A",
            Self::Watt => "W",
            Self::Lux => "lx",
            Self::PartsPerMillion => "ppm",
            Self::RevolutionsPerMinute => "rpm",
            Self::DecibelMilliwatt => "dBm",
            Self::None => "",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_bits_fold_into_one_byte() {
        let throttle = Throttle::from_firmware(0x0005_0005);
        assert_eq!(
            throttle.now(),
            Throttle::UNDER_VOLTAGE | Throttle::THROTTLED
        );
        assert_eq!(throttle.since_boot(), 5);
        assert_eq!(Throttle::from_firmware(0x000F_0000), Throttle(0xF0));
    }

    #[test]
    fn out_of_range_scalars_are_refused() {
        assert_eq!(Permille::from_wire(70_000), None);
        assert_eq!(DeciCelsius::from_wire(zigzag(40_000)), None);
        assert_eq!(
            DeciCelsius::from_wire(zigzag(-400)),
            Some(DeciCelsius(-400))
        );
    }
}

//! The chips that are known: their names in the configuration, addresses and quantities.

use super::quantity::{self, Quantity};

/// A kind of sensor, by chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Four voltages, 16 bits.
    Ads1115,
    /// Temperature, humidity and pressure.
    Bme280,
    /// Temperature and pressure.
    Bmp280,
    /// Voltage, current and power, 12 bits.
    Ina219,
    /// Voltage, current and power, 16 bits.
    Ina226,
    /// Voltage and charge of a lithium cell.
    Max17048,
    /// Temperature.
    Mcp9808,
    /// Carbon dioxide, temperature and humidity: SCD40, SCD41 and SCD43.
    Scd4x,
    /// Temperature and humidity: SHT30, SHT31 and SHT35.
    Sht3x,
    /// Temperature and humidity: SHT40, SHT41, SHT43 and SHT45.
    Sht4x,
    /// Temperature.
    Tmp102,
    /// Temperature; TMP75 and TMP175 understand the same.
    Tmp105,
    /// Temperature.
    Tmp112,
    /// Temperature, to a tenth of a degree.
    Tmp117,
}

impl Kind {
    /// Every kind, by name.
    pub const ALL: [Self; 14] = [
        Self::Ads1115,
        Self::Bme280,
        Self::Bmp280,
        Self::Ina219,
        Self::Ina226,
        Self::Max17048,
        Self::Mcp9808,
        Self::Scd4x,
        Self::Sht3x,
        Self::Sht4x,
        Self::Tmp102,
        Self::Tmp105,
        Self::Tmp112,
        Self::Tmp117,
    ];

    /// Finds a kind by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ads1115 => "ads1115",
            Self::Bme280 => "bme280",
            Self::Bmp280 => "bmp280",
            Self::Ina219 => "ina219",
            Self::Ina226 => "ina226",
            Self::Max17048 => "max17048",
            Self::Mcp9808 => "mcp9808",
            Self::Scd4x => "scd4x",
            Self::Sht3x => "sht3x",
            Self::Sht4x => "sht4x",
            Self::Tmp102 => "tmp102",
            Self::Tmp105 => "tmp105",
            Self::Tmp112 => "tmp112",
            Self::Tmp117 => "tmp117",
        }
    }

    /// The address that a board with this chip usually has.
    pub const fn address(self) -> u8 {
        match self {
            Self::Ads1115 | Self::Tmp102 | Self::Tmp105 | Self::Tmp112 | Self::Tmp117 => 0x48,
            Self::Bme280 | Self::Bmp280 => 0x76,
            Self::Ina219 | Self::Ina226 => 0x40,
            Self::Max17048 => 0x36,
            Self::Mcp9808 => 0x18,
            Self::Scd4x => 0x62,
            Self::Sht3x | Self::Sht4x => 0x44,
        }
    }

    /// The highest of the addresses that its pins, or its variants, can choose.
    pub const fn address_last(self) -> u8 {
        match self {
            Self::Ads1115 | Self::Tmp102 | Self::Tmp112 | Self::Tmp117 => 0x4B,
            Self::Bme280 | Self::Bmp280 => 0x77,
            Self::Ina219 | Self::Ina226 | Self::Tmp105 => 0x4F,
            Self::Max17048 => 0x36,
            Self::Mcp9808 => 0x1F,
            Self::Scd4x => 0x62,
            Self::Sht3x => 0x45,
            Self::Sht4x => 0x46,
        }
    }

    /// What it measures, in the order of its readings.
    pub const fn quantities(self) -> &'static [Quantity] {
        match self {
            Self::Ads1115 => quantity::ADS1115,
            Self::Bme280 => quantity::BME280,
            Self::Bmp280 => quantity::BMP280,
            Self::Ina219 => quantity::INA219,
            Self::Ina226 => quantity::INA226,
            Self::Max17048 => quantity::MAX17048,
            Self::Mcp9808 => quantity::MCP9808,
            Self::Scd4x => quantity::SCD4X,
            Self::Sht3x | Self::Sht4x => quantity::SHT,
            Self::Tmp102 | Self::Tmp105 | Self::Tmp112 | Self::Tmp117 => quantity::TMP,
        }
    }

    /// How often there is something new to read, if the chip sets the pace.
    pub const fn period_ms(self) -> Option<u32> {
        match self {
            Self::Scd4x => Some(5_000),
            Self::Ads1115
            | Self::Bme280
            | Self::Bmp280
            | Self::Ina219
            | Self::Ina226
            | Self::Max17048
            | Self::Mcp9808
            | Self::Sht3x
            | Self::Sht4x
            | Self::Tmp102
            | Self::Tmp105
            | Self::Tmp112
            | Self::Tmp117 => None,
        }
    }

    /// Whether it measures the voltage across a shunt.
    pub const fn has_shunt(self) -> bool {
        matches!(self, Self::Ina219 | Self::Ina226)
    }

    /// Whether its range is the user's choice.
    pub const fn has_full_scale(self) -> bool {
        matches!(self, Self::Ads1115)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::QUANTITIES_MAX;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
        for name in ["", "BME280", "bme", "bme280 "] {
            assert_eq!(Kind::parse(name), None, "{name}");
        }
        assert!(Kind::ALL.is_sorted_by_key(|kind| kind.name()));
    }

    #[test]
    fn every_kind_has_quantities_with_names_of_their_own() {
        for kind in Kind::ALL {
            let quantities = kind.quantities();
            assert!((1..=QUANTITIES_MAX).contains(&quantities.len()));
            for quantity in quantities {
                let same = quantities
                    .iter()
                    .filter(|other| other.name == quantity.name);
                assert_eq!(same.count(), 1, "{kind:?} {}", quantity.name);
                assert!(quantity.min < quantity.max, "{kind:?} {}", quantity.name);
            }
        }
    }

    #[test]
    fn every_address_is_one_that_a_device_may_have() {
        for kind in Kind::ALL {
            assert!(
                kind.address() >= 0x08 && kind.address_last() <= 0x77,
                "{kind:?}"
            );
            assert!(kind.address() <= kind.address_last(), "{kind:?}");
        }
    }
}

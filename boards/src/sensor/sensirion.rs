//! What Sensirion's chips share: 16-bit commands, and words that are each followed by a CRC-8.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::SensorError;
use super::device::{Device, round_div};

/// Checks and strips the CRC of each word of an answer.
pub(super) fn words<const N: usize>(answer: &[u8]) -> Result<[u16; N], SensorError> {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(answer.chunks_exact(3)) {
        let &[high, low, crc] = bytes else {
            return Err(SensorError::Checksum);
        };
        if crc8([high, low]) != crc {
            return Err(SensorError::Checksum);
        }
        *word = u16::from_be_bytes([high, low]);
    }
    Ok(words)
}

/// Sends a 16-bit command.
pub(super) fn command<I: I2c, D: DelayNs>(
    device: &mut Device<'_, I, D>,
    command: u16,
) -> Result<(), SensorError> {
    device.write(&command.to_be_bytes())
}

/// Polynomial 0x31, initially 0xFF, as the datasheets say.
fn crc8(word: [u8; 2]) -> u8 {
    word.into_iter().fold(0xFF, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| {
            if crc & 0x80 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x31
            }
        })
    })
}

/// −45 °C + 175 °C × raw / (2^16 − 1), in hundredths.
pub(super) fn centi_celsius(raw: u16) -> i64 {
    -4_500 + round_div(17_500 * i64::from(raw), 65_535)
}

/// 100 % × raw / (2^16 − 1), in tenths.
pub(super) fn permille(raw: u16) -> i64 {
    round_div(1_000 * i64::from(raw), 65_535)
}

#[cfg(test)]
pub(super) mod testing {
    /// The bytes of an answer that says these words.
    pub(in crate::sensor) fn answer(words: &[u16]) -> Vec<u8> {
        let bytes = words.iter().map(|word| word.to_be_bytes());
        bytes
            .flat_map(|[high, low]| [high, low, super::crc8([high, low])])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_datasheets() {
        assert_eq!(crc8([0xBE, 0xEF]), 0x92);
        assert_eq!(words(&[0xBE, 0xEF, 0x92]), Ok([0xBEEF]));
        assert_eq!(words::<1>(&[0xBE, 0xEF, 0x93]), Err(SensorError::Checksum));
        assert_eq!(
            words::<2>(&[0xBE, 0xEF, 0x92, 0, 0, 0]),
            Err(SensorError::Checksum)
        );
    }

    #[test]
    fn a_bus_that_is_pulled_to_one_level_fails_the_checksum() {
        // 0xFFFF sums to 0xAC and 0x0000 to 0x81.
        assert_eq!(words::<2>(&[0xFF; 6]), Err(SensorError::Checksum));
        assert_eq!(words::<2>(&[0; 6]), Err(SensorError::Checksum));
    }

    #[test]
    fn the_ends_of_the_scale_are_the_datasheets() {
        for (raw, centi, tenths) in [
            (0, -4_500, 0),
            (0xFFFF, 13_000, 1_000),
            (0x6666, 2_500, 400),
            (0x8000, 4_250, 500),
        ] {
            assert_eq!(
                (centi_celsius(raw), permille(raw)),
                (centi, tenths),
                "{raw:#x}"
            );
        }
    }
}

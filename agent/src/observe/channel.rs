//! One reading that a kernel driver offers: which file, and how its number becomes one with a unit.
//!
//! Files hold integers or decimals in units of the subsystem's choice; readings are integers with
//! a power of ten. Arithmetic is exact, in billionths.

use nodling_protocol::units::Unit;

use super::text::{Flaw, number};

/// One reading that a driver offers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// The reading is multiplied by ten to this power.
    pub(super) exponent: i8,
    pub(super) path: String,
    pub(super) source: Source,
}

/// How the file is to be understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// A number; times ten to this power it is in the unit.
    Number { scale: i8 },
    /// A count of an analogue converter: (count + offset) × factor. Both stand in files, which a
    /// driver may lock while it asks its chip: whoever reads the count reads them.
    Raw {
        offset: Option<String>,
        factor: String,
        scale: i8,
    },
    /// A 1-wire thermometer's own file.
    OneWire,
    /// The same from older kernels, with a checksum.
    OneWireSlave,
    /// One interface's line in a table.
    Wireless(String),
}

impl Known {
    /// From billionths, times ten to the power `scale`, to the reading's own power of ten.
    pub(super) fn scaled(&self, billionths: i128, scale: i8) -> Result<i32, Flaw> {
        const ABSURD: &str = "a value that nothing measures";
        let power = i32::from(scale) - i32::from(self.exponent) - 9;
        let ten = 10_i128.checked_pow(power.unsigned_abs());
        let scaled = ten.and_then(|ten| {
            if power < 0 {
                let half = ten / 2 * billionths.signum();
                Some((billionths + half) / ten)
            } else {
                billionths.checked_mul(ten)
            }
        });
        let value = scaled.and_then(|value| i32::try_from(value).ok());
        value
            .filter(|value| self.unit != Unit::Celsius || is_survived(*value, self.exponent))
            .ok_or(Flaw::new(1, ABSURD))
    }
}

/// Whether a temperature is one that something survives; −274 and 255 are drivers' "unknown".
fn is_survived(value: i32, exponent: i8) -> bool {
    let degree = 10_i32.pow(exponent.unsigned_abs().into());
    (-60 * degree..=200 * degree).contains(&value)
}

/// Of them make one.
pub(super) const BILLION: i128 = 1_000_000_000;

/// A decimal number, in billionths; digits beyond are dropped.
pub(super) fn decimal(text: &[u8]) -> Result<i64, Flaw> {
    parse_decimal(text.trim_ascii()).ok_or(Flaw::new(1, "expected a decimal number"))
}

fn parse_decimal(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text.strip_prefix(b"-") {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let whole = halves.next()?;
    let digits = halves.next().unwrap_or(b"0");
    if whole.is_empty() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i64::try_from(number(whole)?).ok()?;
    let mut fraction = 0;
    let mut place = 100_000_000;
    for digit in digits.iter().take(9) {
        fraction += i64::from(digit - b'0') * place;
        place /= 10;
    }
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(fraction)?
        .checked_mul(sign)
}

/// A name of a driver, in the letters that names of readings have.
pub(super) fn word(text: &str) -> String {
    let allowed = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        '_' | '-' => c,
        _ => '_',
    };
    let word: String = text.chars().map(allowed).collect();
    word.trim_matches(['_', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(unit: Unit, exponent: i8) -> Known {
        Known {
            name: "x".into(),
            unit,
            exponent,
            path: "x".into(),
            source: Source::Number { scale: 0 },
        }
    }

    #[test]
    fn a_decimal_is_exact_to_a_billionth() {
        for (text, expected) in [
            ("0", 0),
            ("42\n", 42_000_000_000),
            ("-0.5", -500_000_000),
            ("101.325000000", 101_325_000_000),
            ("0.0000000019", 1),
            ("1.000000000000000000001", 1_000_000_000),
        ] {
            assert_eq!(decimal(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in [
            "",
            "-",
            ".5",
            "5.",
            "1.-5",
            "1e3",
            "9999999999",
            "1 2",
            "0x5",
        ] {
            assert!(decimal(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_scale_moves_the_point_and_rounds() {
        let milli = |text: &str, unit, exponent| {
            let known = known(unit, exponent);
            known.scaled(decimal(text.as_bytes()).unwrap().into(), -3)
        };
        assert_eq!(milli("48312", Unit::Celsius, -1), Ok(483));
        assert_eq!(milli("-48350", Unit::Celsius, -1), Ok(-484));
        assert_eq!(milli("5013", Unit::Volt, -3), Ok(5_013));
        assert_eq!(milli("2.5", Unit::Volt, -6), Ok(2_500));
        assert!(milli("-274000", Unit::Celsius, -1).is_err());
        assert!(milli("255000", Unit::Celsius, -1).is_err());
        assert!(milli("9000000000", Unit::Volt, -3).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_refused(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decimal(&text);
        }

        #[test]
        fn any_number_is_scaled_or_refused(
            number in any::<i128>(),
            scale in -12_i8..12,
            exponent in -6_i8..6,
        ) {
            let _ = known(Unit::Celsius, exponent).scaled(number / 4, scale);
            let _ = known(Unit::Volt, exponent).scaled(number / 4, scale);
        }

        #[test]
        fn a_decimal_that_is_written_is_read(number in any::<i32>(), places in 0..9_u32) {
            let (sign, ten) = (if number < 0 { "-" } else { "" }, 10_u32.pow(places));
            let number = number.unsigned_abs();
            let width = usize::try_from(places).unwrap().max(1);
            let text = format!("{sign}{}.{:0width$}", number / ten, number % ten);
            let billionths = i128::from(decimal(text.as_bytes()).unwrap());
            let expected = i128::from(number) * BILLION / i128::from(ten);
            prop_assert_eq!(billionths.unsigned_abs(), expected.unsigned_abs());
        }
    }

    #[test]
    fn names_are_words() {
        assert_eq!(word("Package id 0"), "package_id_0");
        assert_eq!(word("VDD_IN (5V)"), "vdd_in__5v");
        assert_eq!(word("  "), "");
    }
}

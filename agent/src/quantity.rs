//! Kubernetes quantities (`100Mi`, `1500m`, `12e6`), read and written as apimachinery does
//! (k8s.io/apimachinery/pkg/api/resource).
//!
//! Kept in billionths, the finest that Kubernetes keeps; what is finer is rounded up, away from
//! zero. Written in the canonical form: no fraction, and the largest suffix that leaves none. Two
//! things differ: a number without digits (`Mi`) is refused, which Kubernetes reads as zero, and
//! so is a decimal number beyond 1.7e29.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Add;

/// One, in billionths.
const ONE: i128 = 1_000_000_000;
/// Decimal digits below one.
const DECIMALS: i64 = 9;
/// Larger binary quantities are capped, as Kubernetes caps them.
const BINARY_MAX: i128 = i64::MAX as i128 * ONE;
/// Powers of 1024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Powers of 1000 from a billionth on.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// How a quantity was written, and is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `12Mi`.
    BinarySi,
    /// `12e6`.
    DecimalExponent,
    /// `12M`.
    DecimalSi,
}

/// An exact amount; equal and ordered by its value, however it is written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    billionths: i128,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a suffix that Kubernetes knows.
    #[error("not a quantity")]
    Malformed,
    /// Beyond what is kept.
    #[error("larger than any quantity")]
    TooLarge,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self {
        billionths: 0,
        format: Format::DecimalSi,
    };

    /// Bytes, written in powers of 1024 where that leaves no fraction.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self {
            billionths: bytes as i128 * ONE,
            format: Format::BinarySi,
        }
    }

    /// Pieces, written in powers of 1000.
    pub const fn from_pieces(pieces: u64) -> Self {
        Self {
            billionths: pieces as i128 * ONE,
            format: Format::DecimalSi,
        }
    }

    /// Thousandths, as of a processor.
    pub const fn from_milli(milli: u64) -> Self {
        Self {
            billionths: milli as i128 * (ONE / 1000),
            format: Format::DecimalSi,
        }
    }

    /// Reads a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (is_negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = match rest {
            [b'.', rest @ ..] => split_digits(rest),
            rest => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Malformed);
        }
        let (amount, format) = match Scale::parse(suffix).ok_or(QuantityError::Malformed)? {
            Scale::Binary(bits) => {
                let amount = binary(whole, fraction, bits);
                // Less than one cannot be written in powers of 1024.
                let is_small = (1..ONE).contains(&amount);
                let format = if is_small {
                    Format::DecimalSi
                } else {
                    Format::BinarySi
                };
                (amount, format)
            }
            Scale::Decimal(exponent, format) => {
                let amount = decimal(whole, fraction, exponent).ok_or(QuantityError::TooLarge)?;
                (amount, format)
            }
        };
        Ok(Self {
            billionths: if is_negative { -amount } else { amount },
            format,
        })
    }

    /// Less than nothing.
    pub const fn is_negative(self) -> bool {
        self.billionths < 0
    }

    /// Nothing.
    pub const fn is_zero(self) -> bool {
        self.billionths == 0
    }

    /// In whole units, rounded up; `None` for what is negative or does not fit.
    pub fn to_whole(self) -> Option<u64> {
        self.to_units(ONE)
    }

    /// In thousandths, rounded up; `None` for what is negative or does not fit.
    pub fn to_milli(self) -> Option<u64> {
        self.to_units(ONE / 1000)
    }

    fn to_units(self, unit: i128) -> Option<u64> {
        let billionths = u128::try_from(self.billionths).ok()?;
        let unit = u128::try_from(unit).ok()?;
        u64::try_from(billionths.div_ceil(unit)).ok()
    }
}

/// The suffix's factor.
enum Scale {
    /// Two to this power.
    Binary(u32),
    /// Ten to this power.
    Decimal(i64, Format),
}

impl Scale {
    fn parse(suffix: &[u8]) -> Option<Self> {
        let suffix = std::str::from_utf8(suffix).ok()?;
        if let Some(thousands) = (-3_i64..).zip(DECIMAL).find(|(_, known)| *known == suffix) {
            return Some(Self::Decimal(thousands.0 * 3, Format::DecimalSi));
        }
        if let Some(bits) = (0..)
            .step_by(10)
            .zip(BINARY)
            .find(|(_, known)| *known == suffix)
        {
            return Some(Self::Binary(bits.0));
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        Some(Self::Decimal(exponent, Format::DecimalExponent))
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at_checked(digits).unwrap_or((text, &[]))
}

fn value(digit: u8) -> i128 {
    i128::from(digit.wrapping_sub(b'0'))
}

/// Billionths of a decimal number, rounded up; `None` if that is too many.
fn decimal(whole: &[u8], fraction: &[u8], exponent: i64) -> Option<i128> {
    let mut digits = whole.iter().chain(fraction).copied();
    let leading_zeros = whole
        .iter()
        .chain(fraction)
        .take_while(|digit| **digit == b'0');
    let leading_zeros = leading_zeros.count();
    if leading_zeros == whole.len() + fraction.len() {
        return Some(0);
    }
    // Digits before the point, once it is moved to the billionths.
    let point = i64::try_from(whole.len()).ok()?;
    let point = point.checked_add(exponent)?.checked_add(DECIMALS);
    let kept = point?.checked_sub(i64::try_from(leading_zeros).ok()?)?;
    let mut digits = digits.by_ref().skip(leading_zeros);
    let mut amount: i128 = 0;
    // More than this overflows anyway.
    for _ in 0..kept.clamp(0, 40) {
        let digit = digits.next().unwrap_or(b'0');
        amount = amount.checked_mul(10)?.checked_add(value(digit))?;
    }
    let has_more = digits.any(|digit| digit != b'0');
    amount.checked_add(i128::from(has_more))
}

/// Billionths of a number times two to a power, rounded up and capped.
fn binary(whole: &[u8], fraction: &[u8], bits: u32) -> i128 {
    let factor = ONE << bits;
    let whole = whole.iter().fold(0_i128, |sum, digit| {
        sum.saturating_mul(10).saturating_add(value(*digit))
    });
    let (mut part, mut has_rest) = (0_i128, false);
    for digit in fraction.iter().rev() {
        let tenfold = part + value(*digit) * factor;
        part = tenfold / 10;
        has_rest |= tenfold % 10 != 0;
    }
    let amount = whole.saturating_mul(factor);
    let amount = amount.saturating_add(part + i128::from(has_rest));
    amount.min(BINARY_MAX)
}

/// The canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let is_whole = self.billionths % ONE == 0;
        let is_small = (-1023 * ONE..=1023 * ONE).contains(&self.billionths);
        match self.format {
            Format::BinarySi if is_whole && !is_small => {
                let (mantissa, power) = reduce(self.billionths / ONE, 1024, BINARY.len());
                write!(f, "{mantissa}{}", BINARY.get(power).unwrap_or(&""))
            }
            // What powers of 1024 cannot say exactly is said in powers of 1000.
            Format::BinarySi | Format::DecimalSi => {
                let (mantissa, power) = reduce(self.billionths, 1000, DECIMAL.len());
                write!(f, "{mantissa}{}", DECIMAL.get(power).unwrap_or(&""))
            }
            Format::DecimalExponent => {
                // A billionth times 1000^13 is beyond the largest.
                let (mantissa, power) = reduce(self.billionths, 1000, 13);
                match i64::try_from(power).unwrap_or_default() * 3 - DECIMALS {
                    0 => write!(f, "{mantissa}"),
                    exponent => write!(f, "{mantissa}e{exponent}"),
                }
            }
        }
    }
}

/// Divides by the base while that leaves no rest, less than `powers` times.
fn reduce(mut mantissa: i128, base: i128, powers: usize) -> (i128, usize) {
    let mut power = 0;
    while mantissa % base == 0 && power + 1 < powers {
        mantissa /= base;
        power += 1;
    }
    (mantissa, power)
}

/// Of no more than can be kept; written as the first is, unless that is nothing.
impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            billionths: self.billionths.saturating_add(other.billionths),
            format: if self.is_zero() {
                other.format
            } else {
                self.format
            },
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.billionths == other.billionths
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.billionths.cmp(&other.billionths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Quantity {
        Quantity::parse(text).expect(text)
    }

    #[test]
    fn a_quantity_is_written_in_its_canonical_form() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Ki", "0"),
            ("-0.000", "0"),
            ("0e99", "0"),
            ("1", "1"),
            ("+1", "1"),
            ("-1", "-1"),
            ("007", "7"),
            ("1.", "1"),
            (".5", "500m"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1000m", "1"),
            ("1999m", "1999m"),
            ("0.0005k", "500m"),
            ("100.035k", "100035"),
            ("1000", "1k"),
            ("1000000", "1M"),
            ("1500000", "1500k"),
            ("12E", "12E"),
            ("1000E", "1000E"),
            ("5n", "5n"),
            ("4u", "4u"),
            ("1000u", "1m"),
            // Powers of 1024.
            ("1Ki", "1Ki"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("4Gi", "4Gi"),
            ("61255492Ki", "61255492Ki"),
            ("0.5Mi", "512Ki"),
            ("1.5Ki", "1536"),
            ("0.5Ki", "512"),
            ("1.1Ki", "1126400m"),
            ("0.1Mi", "104857600m"),
            ("0.0001Ki", "102400u"),
            ("0.0000000001Ki", "103n"),
            ("-2Mi", "-2Mi"),
            ("7Ei", "7Ei"),
            // Capped.
            ("8Ei", "9223372036854775807"),
            ("-9Ei", "-9223372036854775807"),
            ("9223372036854775807Ki", "9223372036854775807"),
            (
                "99999999999999999999999999999999999999999999Ei",
                "9223372036854775807",
            ),
            // Exponents.
            ("12e6", "12e6"),
            ("12E6", "12e6"),
            ("1e3", "1e3"),
            ("1e2", "100"),
            ("1e0", "1"),
            ("1E-3", "1e-3"),
            ("1e-1", "100e-3"),
            ("100e1", "1e3"),
            ("2e+3", "2e3"),
            ("1e21", "1e21"),
            ("1.25e2", "125"),
            ("000000000000000000000000000000000000000000001e3", "1e3"),
            // Finer than a billionth.
            ("1.1n", "2n"),
            ("0.0000000001", "1n"),
            ("-0.1n", "-1n"),
            ("1e-12", "1e-9"),
            ("1e-99999", "1e-9"),
        ] {
            assert_eq!(parse(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            " ",
            ".",
            "+",
            "-",
            "Mi",
            "k",
            "e3",
            " 1",
            "1 ",
            "1 Gi",
            "--1",
            "+-1",
            "1-",
            "1.1.M",
            "1+1.0M",
            "0.1mi",
            "0.1am",
            "aoeu",
            ".5i",
            "1i",
            "-3.01i",
            "-3.01e-",
            "1e",
            "1e1.5",
            "1ee3",
            "1K",
            "1ki",
            "1KI",
            "1g",
            "1GiB",
            "1kB",
            "1B",
            "0x10",
            "1_000",
            "1,5",
            "５",
            "1µ",
            "inf",
            "NaN",
            "10%",
            "1e99999999999999999999",
        ] {
            assert_eq!(
                Quantity::parse(text),
                Err(QuantityError::Malformed),
                "{text:?}"
            );
        }
        for text in ["1e30", "999999999999E", "1e9223372036854775807", "1e999999"] {
            assert_eq!(
                Quantity::parse(text),
                Err(QuantityError::TooLarge),
                "{text:?}"
            );
        }
    }

    #[test]
    fn amounts_are_written_as_the_kubelet_writes_them() {
        for (quantity, text) in [
            (Quantity::from_milli(4000), "4"),
            (Quantity::from_milli(3920), "3920m"),
            (Quantity::from_milli(1_000_000), "1k"),
            (Quantity::from_bytes(3_884_500 * 1024), "3884500Ki"),
            (Quantity::from_bytes(4 << 30), "4Gi"),
            (Quantity::from_bytes(1000), "1k"),
            (Quantity::from_bytes(1001), "1001"),
            (Quantity::from_bytes(1_000_000), "1000000"),
            (Quantity::from_bytes(56_453_061_334), "56453061334"),
            (Quantity::from_bytes(u64::MAX), "18446744073709551615"),
            (Quantity::from_pieces(110), "110"),
            (Quantity::from_pieces(2000), "2k"),
        ] {
            assert_eq!(quantity.to_string(), text);
        }
    }

    #[test]
    fn whole_units_are_rounded_up() {
        for (text, whole, milli) in [
            ("1", Some(1), Some(1000)),
            ("1.0001", Some(2), Some(1001)),
            ("1n", Some(1), Some(1)),
            ("0", Some(0), Some(0)),
            ("18446744073709551615", Some(u64::MAX), None),
            ("18446744073709551615.1", None, None),
            ("-1n", None, None),
        ] {
            assert_eq!(
                (parse(text).to_whole(), parse(text).to_milli()),
                (whole, milli),
                "{text}"
            );
        }
    }

    #[test]
    fn a_sum_is_written_as_what_was_there_first() {
        let sum = |a, b| (parse(a) + parse(b)).to_string();
        assert_eq!(sum("1Mi", "1048576"), "2Mi");
        assert_eq!(sum("1000000", "1Mi"), "2048576");
        assert_eq!(sum("0", "1Mi"), "1Mi");
        assert_eq!(sum("1Ki", "1m"), "1024001m");
    }

    fn format() -> impl Strategy<Value = Format> {
        prop_oneof![
            Just(Format::BinarySi),
            Just(Format::DecimalExponent),
            Just(Format::DecimalSi),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            mantissa in any::<i64>(), zeros in 0_u32..19, shift in 0_u32..40, format in format()
        ) {
            let billionths = (i128::from(mantissa) * 10_i128.pow(zeros)) << shift;
            // A larger binary quantity is capped when it is read.
            prop_assume!(format != Format::BinarySi || billionths.abs() <= BINARY_MAX);
            let quantity = Quantity { billionths, format };
            let text = quantity.to_string();
            prop_assert_eq!(Quantity::parse(&text), Ok(quantity), "{}", text);
            // Bytes that no power of 1024 divides have no suffix, and are read as pieces.
            if format != Format::BinarySi || text.ends_with('i') {
                prop_assert_eq!(parse(&text).to_string(), text);
            }
        }

        #[test]
        fn any_text_is_a_quantity_or_refused(text in "[-+]?[0-9.]{0,50}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,20}") {
            if let Ok(quantity) = Quantity::parse(&text) {
                prop_assert_eq!(Quantity::parse(&quantity.to_string()), Ok(quantity));
            }
        }

        #[test]
        fn a_number_is_itself(number: u64) {
            prop_assert_eq!(parse(&number.to_string()), Quantity::from_bytes(number));
            prop_assert_eq!(parse(&format!("{number}m")), Quantity::from_milli(number));
        }
    }
}

//! Decimal numbers, exactly as they are written.
//!
//! Compared without floating point: 0.1 is one tenth, on the board as in the file.

use std::cmp::Ordering;
use std::fmt;

/// A number, `digits` × 10 to the power of `exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Without the point.
    pub digits: i64,
    /// Where the point is: -1 stands for tenths.
    pub exponent: i8,
}

impl Decimal {
    /// From digits and a power of ten.
    pub const fn new(digits: i64, exponent: i8) -> Self {
        Self { digits, exponent }
    }

    /// Which is larger; `1.0` is as large as `1`, although it is written otherwise.
    pub fn compare(self, other: Self) -> Ordering {
        let apart = u32::from(self.exponent.abs_diff(other.exponent));
        if self.exponent >= other.exponent {
            compare(self.digits, apart, other.digits)
        } else {
            compare(other.digits, apart, self.digits).reverse()
        }
    }
}

/// Compares `left` × 10 to the power of `power` with `right`.
fn compare(left: i64, power: u32, right: i64) -> Ordering {
    let scaled = 10_i128
        .checked_pow(power)
        .and_then(|factor| i128::from(left).checked_mul(factor));
    match scaled {
        Some(scaled) => scaled.cmp(&right.into()),
        // Beyond every i64, unless it is nothing.
        None if left == 0 => 0.cmp(&right),
        None => left.cmp(&0),
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.digits < 0 { "-" } else { "" };
        let digits = self.digits.unsigned_abs();
        let power = usize::from(self.exponent.unsigned_abs());
        if self.exponent >= 0 {
            let zeros = if digits == 0 { 0 } else { power };
            return write!(f, "{sign}{digits}{:0<zeros$}", "");
        }
        // At least one digit stands before the point.
        let digits = format!("{digits:0>width$}", width = power + 1);
        let (whole, fraction) = digits.split_at(digits.len() - power);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_shown_as_they_are_written() {
        for (digits, exponent, expected) in [
            (45, 0, "45"),
            (450, -1, "45.0"),
            (-5, -1, "-0.5"),
            (7, -3, "0.007"),
            (0, 0, "0"),
            (0, -2, "0.00"),
            (0, 5, "0"),
            (12, 2, "1200"),
            (-3, 1, "-30"),
            (i64::MIN, -18, "-9.223372036854775808"),
        ] {
            assert_eq!(Decimal::new(digits, exponent).to_string(), expected);
        }
    }

    #[test]
    fn comparing_is_exact() {
        for (left, right, expected) in [
            ((1, -1), (10, -2), Ordering::Equal),
            ((3, -1), (299_999_999_999_999_999, -18), Ordering::Greater),
            // As floats these two are the same.
            (
                (9_007_199_254_740_993, 0),
                (9_007_199_254_740_992, 0),
                Ordering::Greater,
            ),
            ((-1, 0), (1, -128), Ordering::Less),
            ((1, 127), (i64::MAX, -128), Ordering::Greater),
            ((-1, 127), (i64::MAX, -128), Ordering::Less),
            ((0, 127), (0, -128), Ordering::Equal),
            ((0, 127), (1, -128), Ordering::Less),
        ] {
            let [left, right] =
                [left, right].map(|(digits, exponent)| Decimal::new(digits, exponent));
            assert_eq!(left.compare(right), expected, "{left} {right}");
            assert_eq!(right.compare(left), expected.reverse(), "{right} {left}");
        }
    }

    proptest! {
        #[test]
        fn the_scale_does_not_matter(digits in -1_000_000_i64..1_000_000, other in -1_000_000_i64..1_000_000, zeros in 0_i8..12) {
            let scaled = Decimal::new(digits * 10_i64.pow(u32::try_from(zeros).unwrap()), -zeros);
            prop_assert_eq!(scaled.compare(Decimal::new(other, 0)), digits.cmp(&other));
        }
    }
}

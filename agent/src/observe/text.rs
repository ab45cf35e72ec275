//! Pieces that the parsers of kernel text share: lines, fields and bounded numbers.
//!
//! All work on bytes, since a broken driver writes what it likes. A number above 2^63 is refused
//! wherever it stands: no counter has come that far, an underflow has.

use super::{ReadError, Reading};

/// What is wrong with a text, and in which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    line: u32,
    what: &'static str,
}

impl Flaw {
    pub(super) fn new(line: usize, what: &'static str) -> Self {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        Self { line, what }
    }

    pub(super) fn at(self, path: &str) -> ReadError {
        let Self { line, what } = self;
        ReadError::Malformed {
            path: path.into(),
            line,
            what,
        }
    }
}

/// The lines of a text with their numbers, from 1; empty ones are left out.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index.saturating_add(1), line))
        .filter(|(_, line)| !line.is_empty())
}

/// What stands between blanks.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
}

/// A decimal number that fits an `i64`.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    credible(value)
}

/// A number that somebody else parsed, by the same rule.
pub(super) fn credible(value: u64) -> Option<u64> {
    i64::try_from(value).is_ok().then_some(value)
}

/// A decimal number that fits a `u32`.
pub(super) fn number_u32(digits: &[u8]) -> Option<u32> {
    u32::try_from(number(digits)?).ok()
}

/// A hexadecimal number without `0x`.
pub(super) fn hexadecimal(digits: &[u8]) -> Option<u32> {
    // from_str_radix would accept a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A number with two decimals, in hundredths.
pub(super) fn hundredths(text: &[u8]) -> Option<u32> {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = number_u32(parts.next()?)?;
    let decimals = parts.next()?;
    if decimals.len() != 2 {
        return None;
    }
    whole.checked_mul(100)?.checked_add(number_u32(decimals)?)
}

/// A whole file that is one decimal number, perhaps negative.
pub(super) fn lone_integer(text: &[u8]) -> Result<i64, Flaw> {
    let text = text.trim_ascii();
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    number(digits)
        .and_then(|value| i64::try_from(value).ok())
        .and_then(|value| value.checked_mul(sign))
        .ok_or(Flaw::new(1, "expected one integer"))
}

/// A whole file that is one number, not negative.
pub(super) fn lone_number(text: &[u8]) -> Result<u64, Flaw> {
    number(text.trim_ascii()).ok_or(Flaw::new(1, "expected one number"))
}

/// A whole file that is one short printable text; the device tree ends it with NUL.
pub(super) fn lone_text(text: &[u8]) -> Result<Box<str>, Flaw> {
    let text = text.strip_suffix(b"\0").unwrap_or(text).trim_ascii();
    printable(text).ok_or(Flaw::new(1, "expected a short printable text"))
}

/// A text of 1 to 256 bytes without control characters.
pub(super) fn printable(text: &[u8]) -> Option<Box<str>> {
    /// A page holds a longer one; no name or title needs it.
    const BYTES_MAX: usize = 256;
    let text = std::str::from_utf8(text).ok()?;
    let is_fit = (1..=BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
    is_fit.then(|| text.into())
}

/// The first of several readings that is present; else the first that failed; else absent.
pub(super) fn first_present<T>(readings: impl IntoIterator<Item = Reading<T>>) -> Reading<T> {
    let mut failure = None;
    for reading in readings {
        match reading {
            Ok(Some(value)) => return Ok(Some(value)),
            Ok(None) => {}
            Err(err) => failure = failure.or(Some(err)),
        }
    }
    failure.map_or(Ok(None), Err)
}

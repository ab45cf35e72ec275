//! Durations as Go writes them (`time.ParseDuration`), because the kubelet's configuration has
//! them: `1h30m`, `1.5s`, `5m0s`, `250us`. Our own keys take blanks, too: `1m 30s`.

use std::fmt::Write as _;
use std::time::Duration;

/// Nanoseconds in each unit; the micro sign and the Greek letter look the same.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is no duration that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DurationError {
    /// Not numbers, each with a unit.
    #[error("not a duration")]
    Malformed,
    /// Before nothing.
    #[error("less than nothing")]
    Negative,
}

/// Reads a duration that is not negative, as the kubelet does.
pub(super) fn parse(text: &str) -> Result<Duration, DurationError> {
    read(text, |unit| unit)
}

/// The same with blanks around numbers and units, as people write it.
pub(super) fn parse_spaced(text: &str) -> Result<Duration, DurationError> {
    read(text.trim(), str::trim)
}

fn read(text: &str, plain_unit: fn(&str) -> &str) -> Result<Duration, DurationError> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let nanos = match unsigned {
        "0" => Some(0),
        unsigned => nanos(unsigned, plain_unit),
    };
    match nanos {
        None => Err(DurationError::Malformed),
        Some(nanos) if is_negative && nanos != 0 => Err(DurationError::Negative),
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
    }
}

fn nanos(mut rest: &str, plain_unit: fn(&str) -> &str) -> Option<u64> {
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let is_next = |c: char| c == '.' || c.is_ascii_digit();
        let (unit, after) = after.split_at_checked(after.find(is_next).unwrap_or(after.len()))?;
        let (_, each) = UNITS.iter().find(|(name, _)| *name == plain_unit(unit))?;
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        let part = whole
            .checked_mul(*each)?
            .checked_add(part_of(fraction, *each))?;
        total = total.checked_add(part)?;
        rest = after;
    }
    // Go counts in 63 bits.
    i64::try_from(total).is_ok().then_some(total)
}

/// A decimal fraction of a unit; what is less than a nanosecond is dropped.
fn part_of(fraction: &str, each: u64) -> u64 {
    let digits = fraction.bytes().rev();
    digits.fold(0, |part, digit| {
        (part + u64::from(digit.wrapping_sub(b'0')) * each) / 10
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    text.split_at_checked(digits.unwrap_or(text.len()))
        .unwrap_or((text, ""))
}

/// Writes a duration so that [`parse`] reads it.
pub(super) fn show(duration: Duration) -> String {
    if duration.subsec_nanos().is_multiple_of(1_000_000) {
        show_parts(duration)
    } else {
        format!("{}ns", duration.as_nanos())
    }
}

/// In whole milliseconds.
fn show_parts(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.subsec_millis());
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(ms), "ms"),
    ];
    let mut text = String::new();
    for (number, unit) in parts.into_iter().filter(|(number, _)| *number != 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{number}{unit}");
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("5m0s", 300_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1.s", 1_000_000_000),
            (".5s", 500_000_000),
            ("1.5h1.5m", 5_490_000_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("250us", 250_000),
            ("250\u{b5}s", 250_000),
            ("250\u{3bc}s", 250_000),
            ("7ns", 7),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn our_own_keys_take_blanks_between_and_around() {
        for (text, ms) in [
            ("10s", 10_000),
            (" 1m 30s ", 90_000),
            ("1 m 30 s", 90_000),
            ("1.5 s", 1_500),
            ("500ms", 500),
            ("0", 0),
        ] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_spaced(text), Ok(duration), "{text}");
        }
        for text in ["", " ", "10", "s", "10 parsecs", "1 0s", "1. 5s", "- 1s"] {
            let refused = Err(DurationError::Malformed);
            assert_eq!(parse_spaced(text), refused, "{text:?}");
        }
        assert_eq!(parse_spaced(" -1s"), Err(DurationError::Negative));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "1m30",
            "1 s",
            " 1s",
            "1s ",
            "1S",
            "1e3s",
            "--1s",
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999s",
            "１s",
        ] {
            assert_eq!(parse(text), Err(DurationError::Malformed), "{text:?}");
        }
        assert_eq!(parse("-30s"), Err(DurationError::Negative));
        assert_eq!(parse("-1ns"), Err(DurationError::Negative));
    }

    proptest! {
        #[test]
        fn a_shown_duration_is_read_again(nanos in 0..i64::MAX.cast_unsigned(), is_whole: bool) {
            let nanos = if is_whole { nanos / 1_000_000 * 1_000_000 } else { nanos };
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_a_duration_or_refused(text in "[-+]?([0-9.]{0,5}[a-zµ]{0,2}){0,3}|\\PC{0,20}") {
            if let Ok(duration) = parse(&text) {
                prop_assert_eq!(parse_spaced(&text), Ok(duration));
                prop_assert_eq!(parse(&show(duration)), Ok(duration));
            }
        }
    }
}

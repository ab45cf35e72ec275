//! Parses `reading operator number`, as in `attic.temperature > 45`, and nothing more.
//!
//! A reading's name is what sensors and thermal zones are called: letters and digits with `.`,
//! `_`, `-`, `/` and `:` among them, and single spaces within. The number is a decimal with an
//! optional sign and fraction, kept exactly. Errors point at the column.

use crate::assess::decimal::Decimal;
use crate::assess::rules::{Comparison, Operator};
use crate::keys::Refusal;

/// No reading has a longer name.
const NAME_LEN_MAX: usize = 64;
/// As many as an i64 always holds; no sensor has half as many.
const DIGITS_MAX: usize = 18;
/// What is shown of a word that is wrong.
const SHOWN_LEN_MAX: usize = 20;

const EXPECTED: &str =
    "a reading, one of < <= > >=, and a number, such as \"attic.temperature > 45\"";

/// Parses a comparison.
pub(super) fn comparison(text: &str) -> Result<Comparison, Refusal> {
    parse(text).map_err(|Flaw { at, why }| {
        let before = text.get(..at).unwrap_or(text);
        let column = before.chars().count() + 1;
        Refusal {
            got: format!("{text:?} (column {column}: {why})"),
            expected: EXPECTED.into(),
        }
    })
}

/// What is wrong, and at which byte.
#[derive(Debug)]
struct Flaw {
    at: usize,
    why: String,
}

impl Flaw {
    fn new(at: usize, why: impl Into<String>) -> Self {
        Self {
            at,
            why: why.into(),
        }
    }
}

fn parse(text: &str) -> Result<Comparison, Flaw> {
    let start = skip_blanks(text, 0);
    let operator_at = text.find(is_operator).unwrap_or(text.len());
    let reading = text.get(start..operator_at).unwrap_or_default();
    let reading = reading.trim_end_matches(BLANKS);
    check_name(reading, start)?;
    let rest = text.get(operator_at..).unwrap_or_default();
    let (operator, len) = operator(rest, operator_at)?;
    let number_at = skip_blanks(text, operator_at + len);
    let number = text.get(number_at..).unwrap_or_default();
    Ok(Comparison {
        reading: reading.into(),
        operator,
        number: decimal(number.trim_end_matches(BLANKS), number_at)?,
    })
}

const BLANKS: [char; 2] = [' ', '\t'];

fn is_operator(c: char) -> bool {
    matches!(c, '<' | '>' | '=' | '!')
}

fn skip_blanks(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    text.len() - rest.trim_start_matches(BLANKS).len()
}

fn check_name(name: &str, start: usize) -> Result<(), Flaw> {
    if name.is_empty() {
        return Err(Flaw::new(start, "the reading is missing"));
    }
    if name.len() > NAME_LEN_MAX {
        let why = format!("the reading's name is longer than {NAME_LEN_MAX} bytes");
        return Err(Flaw::new(start, why));
    }
    let mut before = None;
    for (at, c) in name.char_indices() {
        let next = name.get(at..).and_then(|rest| rest.chars().nth(1));
        let is_within = |next: Option<char>| {
            before.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric)
        };
        let is_allowed = match c {
            '.' | '_' | '-' | '/' | ':' => before.is_some(),
            ' ' => is_within(next),
            c => c.is_alphanumeric(),
        };
        if !is_allowed {
            let why = format!("{c:?} cannot stand here in a reading's name");
            return Err(Flaw::new(start + at, why));
        }
        before = Some(c);
    }
    Ok(())
}

/// The operator and its length.
fn operator(rest: &str, at: usize) -> Result<(Operator, usize), Flaw> {
    let mut longest_first = [
        Operator::LessOrEqual,
        Operator::GreaterOrEqual,
        Operator::Less,
        Operator::Greater,
    ]
    .into_iter();
    if let Some(operator) = longest_first.find(|operator| rest.starts_with(operator.as_str())) {
        return Ok((operator, operator.as_str().len()));
    }
    let symbols = rest.find(|c| !is_operator(c)).unwrap_or(rest.len());
    let symbols = rest.get(..symbols).unwrap_or_default();
    Err(if symbols.is_empty() {
        Flaw::new(at, "the operator is missing")
    } else {
        Flaw::new(at, format!("{:?} is no operator here", short(symbols)))
    })
}

fn decimal(text: &str, at: usize) -> Result<Decimal, Flaw> {
    if text.is_empty() {
        return Err(Flaw::new(at, "the number is missing"));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, rest) = split_digits(unsigned);
    if whole.is_empty() {
        return Err(Flaw::new(at, format!("{:?} is no number", word(text))));
    }
    let at_of = |rest: &str| at + text.len() - rest.len();
    let (fraction, rest) = match rest.strip_prefix('.').map(split_digits) {
        Some(("", rest)) => {
            return Err(Flaw::new(at_of(rest), "digits are missing after the point"));
        }
        Some(parts) => parts,
        None => ("", rest),
    };
    let rest = rest.trim_start_matches(BLANKS);
    if !rest.is_empty() {
        let why = format!("{:?} follows the number", word(rest));
        return Err(Flaw::new(at_of(rest), why));
    }
    if whole.len() + fraction.len() > DIGITS_MAX {
        let why = format!("the number has more than {DIGITS_MAX} digits");
        return Err(Flaw::new(at, why));
    }
    let digits = whole.bytes().chain(fraction.bytes());
    let digits = digits.fold(0, |all, digit| all * 10 + i64::from(digit - b'0'));
    let signed = if text.starts_with('-') {
        -digits
    } else {
        digits
    };
    let decimals = i8::try_from(fraction.len()).unwrap_or_default();
    Ok(Decimal::new(signed, -decimals))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// The word that a text begins with.
fn word(text: &str) -> &str {
    short(text.split(BLANKS).next().unwrap_or(text))
}

fn short(text: &str) -> &str {
    let end = text.char_indices().nth(SHOWN_LEN_MAX).map(|(at, _)| at);
    text.get(..end.unwrap_or(text.len())).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_comparison_is_a_reading_an_operator_and_a_number() {
        for (text, shown) in [
            ("attic.temperature > 45", "attic.temperature > 45"),
            ("load1>=0", "load1 >= 0"),
            ("  load1\t<  0.10 ", "load1 < 0.10"),
            ("a<=-0.5", "a <= -0.5"),
            ("a > +5", "a > 5"),
            ("a > -0", "a > 0"),
            (
                "gpu-thermal/thermal_zone1 > 007",
                "gpu-thermal/thermal_zone1 > 7",
            ),
            ("28-00000a:b > 1", "28-00000a:b > 1"),
            ("INT3400 Thermal > 50", "INT3400 Thermal > 50"),
            (
                "gew\u{e4}chshaus.feuchte < 30",
                "gew\u{e4}chshaus.feuchte < 30",
            ),
            ("a < 999999999999999999", "a < 999999999999999999"),
            ("a < 0.99999999999999999", "a < 0.99999999999999999"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn errors_point_at_the_column() {
        let long = format!("{} > 1", "n".repeat(65));
        for (text, column, why) in [
            ("", 1, "the reading is missing"),
            ("   ", 4, "the reading is missing"),
            ("> 45", 1, "the reading is missing"),
            (" < 45", 2, "the reading is missing"),
            ("45", 3, "the operator is missing"),
            ("attic.temperature 45", 21, "the operator is missing"),
            ("attic.temperature", 18, "the operator is missing"),
            ("attic.temperature >> 45", 20, "\">\" is no number"),
            ("a > > 45", 5, "\">\" is no number"),
            ("a > = 45", 5, "\"=\" is no number"),
            ("a == 45", 3, "\"==\" is no operator here"),
            ("a != 45", 3, "\"!=\" is no operator here"),
            ("a = 45", 3, "\"=\" is no operator here"),
            ("a => 45", 3, "\"=>\" is no operator here"),
            ("!a > 45", 1, "the reading is missing"),
            ("a >", 4, "the number is missing"),
            ("a >=  ", 7, "the number is missing"),
            ("a > hot", 5, "\"hot\" is no number"),
            ("a > -", 5, "\"-\" is no number"),
            ("a > .5", 5, "\".5\" is no number"),
            ("a > \u{2212}5", 5, "\"\u{2212}5\" is no number"),
            ("a > 5.", 7, "digits are missing after the point"),
            ("a > 5. 5", 7, "digits are missing after the point"),
            ("a > 1e5", 6, "\"e5\" follows the number"),
            ("a > 45 \u{b0}C", 8, "\"\u{b0}C\" follows the number"),
            ("a > 1.2.3", 8, "\".3\" follows the number"),
            ("a > 1 and b < 2", 7, "\"and\" follows the number"),
            ("45 < a", 6, "\"a\" is no number"),
            ("a > 1 2", 7, "\"2\" follows the number"),
            ("a > 1\n", 6, "\"\\n\" follows the number"),
            (
                "gr\u{f6}\u{df}e > gro\u{df}",
                9,
                "\"gro\u{df}\" is no number",
            ),
            ("max(a) > 1", 4, "'(' cannot stand here in a reading's name"),
            ("a * 2 > 1", 2, "' ' cannot stand here in a reading's name"),
            ("a - 1 > 1", 2, "' ' cannot stand here in a reading's name"),
            ("a  b > 1", 2, "' ' cannot stand here in a reading's name"),
            ("-a > 1", 1, "'-' cannot stand here in a reading's name"),
            (
                "a\u{0}b > 1",
                2,
                "'\\0' cannot stand here in a reading's name",
            ),
            (&long, 1, "the reading's name is longer than 64 bytes"),
            (
                "a > 1234567890123456789",
                5,
                "the number has more than 18 digits",
            ),
            (
                "a > 0.123456789012345678",
                5,
                "the number has more than 18 digits",
            ),
        ] {
            let expected = Refusal {
                got: format!("{text:?} (column {column}: {why})"),
                expected: EXPECTED.into(),
            };
            assert_eq!(comparison(text), Err(expected));
        }
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9\u{e4}][a-z0-9._/:-]{0,30}( [a-z0-9][a-z0-9._/:-]{0,8})?".prop_filter(
            "a space stands between letters",
            |name| {
                name.split(' ')
                    .rev()
                    .skip(1)
                    .all(|word| word.ends_with(char::is_alphanumeric))
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_shown_is_parsed_again(
            reading in name(),
            operator in prop::sample::select(Operator::ALL.as_slice()),
            digits in -999_999_999_999_999_999_i64..1_000_000_000_000_000_000,
            decimals in 0_i8..18,
        ) {
            let number = Decimal::new(digits, -decimals);
            let comparison = Comparison { reading: reading.into(), operator, number };
            prop_assert_eq!(parse(&comparison.to_string()).unwrap(), comparison);
        }

        #[test]
        fn any_text_is_parsed_or_refused_within_it(text in any::<String>()) {
            if let Err(flaw) = parse(&text) {
                prop_assert!(text.is_char_boundary(flaw.at), "{} in {text:?}", flaw.at);
            }
        }

        #[test]
        fn texts_that_are_nearly_right_are_parsed_or_refused(
            text in "[ab.\u{e4} /-]{0,4}[<>=! ]{0,3}[0-9.+ \u{b0}-]{0,22}"
        ) {
            match parse(&text) {
                Ok(comparison) => {
                    prop_assert_eq!(parse(&comparison.to_string()).unwrap(), comparison);
                }
                Err(flaw) => prop_assert!(text.is_char_boundary(flaw.at)),
            }
        }
    }
}

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

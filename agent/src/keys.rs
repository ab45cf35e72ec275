//! Takes keys out of a TOML file, one by one.
//!
//! What is wrong names the file, the line, the key, what stands there and what should. A key that
//! nobody knows is an error, since a misspelt key would otherwise silently be a default.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Why a configuration was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A value that is not what its key wants.
    #[error("{place}: got {got}, expected {expected}")]
    Value {
        /// File, line and key, or the flag.
        place: String,
        /// As it stands there.
        got: String,
        /// In words, with an example.
        expected: String,
    },
    /// No such key.
    #[error("{place}: unknown key; {hint}")]
    Unknown {
        /// File, line and key.
        place: String,
        /// The nearest key, or all of them.
        hint: String,
    },
    /// Not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// File and line.
        place: String,
        /// The parser's.
        message: String,
    },
}

/// A TOML file that was parsed.
#[derive(Debug)]
pub struct Document<'t> {
    file: &'t str,
    text: &'t str,
    table: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// Parses a text; `file` is what errors call it.
    pub fn parse(file: &'t str, text: &'t str) -> Result<Self, KeyError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self {
                file,
                text,
                table: table.into_inner(),
            }),
            Err(err) => Err(KeyError::Syntax {
                place: format!("{file}:{}", line(text, err.span())),
                message: syntax(text, &err),
            }),
        }
    }

    /// The keys that stand before the first table.
    pub fn top(&self) -> Keys<'_> {
        Keys {
            file: self.file,
            text: self.text,
            table: Some(&self.table),
            prefix: String::new(),
            span: 0..0,
        }
    }
}

/// The keys of one table.
#[derive(Debug)]
pub struct Keys<'d> {
    file: &'d str,
    text: &'d str,
    table: Option<&'d DeTable<'d>>,
    prefix: String,
    span: Range<usize>,
}

impl<'d> Keys<'d> {
    /// Refuses every key but these.
    pub fn only(&self, known: &[&str]) -> Result<(), KeyError> {
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                return Err(KeyError::Unknown {
                    place: self.place(name, key.span()),
                    hint: hint(name, known),
                });
            }
        }
        Ok(())
    }

    /// The keys of a table within; of none if it is not there.
    pub fn table(&self, name: &str) -> Result<Keys<'d>, KeyError> {
        let value = self.find(name);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            let expected = format!("a table: [{}{name}]", self.prefix);
            let got = shown(value.get_ref());
            return Err(self.refuse(name, value.span(), got, &expected));
        }
        Ok(Keys {
            file: self.file,
            text: self.text,
            table,
            prefix: format!("{}{name}.", self.prefix),
            span: value.map_or(0..0, Spanned::span),
        })
    }

    /// The keys of each table of a list; of none if it is not there.
    pub fn tables(&self, name: &str) -> Result<Vec<Keys<'d>>, KeyError> {
        let Some(value) = self.find(name) else {
            return Ok(Vec::new());
        };
        let refuse = |item: &Spanned<DeValue<'d>>| {
            let expected = format!("tables: [[{}{name}]]", self.prefix);
            self.refuse(name, item.span(), shown(item.get_ref()), &expected)
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(refuse(value));
        };
        let keys = |item: &'d Spanned<DeValue<'d>>| {
            let table = item.get_ref().as_table().ok_or_else(|| refuse(item))?;
            Ok(Keys {
                file: self.file,
                text: self.text,
                table: Some(table),
                prefix: format!("{}{name}.", self.prefix),
                span: item.span(),
            })
        };
        items.iter().map(keys).collect()
    }

    /// A value made of a string.
    pub fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Result<Option<T>, KeyError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        let result = match value.get_ref().as_str() {
            Some(text) => parse(text),
            // What is expected is said by the refusal of nothing.
            None => Err(Refusal {
                got: shown(value.get_ref()),
                ..parse("")
                    .err()
                    .unwrap_or_else(|| Refusal::new("", "a string"))
            }),
        };
        let refused =
            |refusal: Refusal| self.refuse(name, value.span(), refusal.got, &refusal.expected);
        result.map(Some).map_err(refused)
    }

    /// A value made of a string that must be there.
    pub fn required<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<T, KeyError> {
        let missing = || {
            let expected = parse("").err().map(|refusal| refusal.expected);
            let expected = expected.unwrap_or_else(|| "a string".into());
            self.refuse(name, self.span.clone(), "nothing".into(), &expected)
        };
        self.parse(name, &parse)?.ok_or_else(missing)
    }

    /// Refuses the table itself.
    pub fn refusal(&self, Refusal { got, expected }: Refusal) -> KeyError {
        let place = format!(
            "{}:{}: {}",
            self.file,
            line(self.text, Some(self.span.clone())),
            self.prefix.trim_end_matches('.')
        );
        KeyError::Value {
            place,
            got,
            expected,
        }
    }

    /// The names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &'d str> {
        let keys = self.table.into_iter().flat_map(DeTable::keys);
        keys.map(|key| key.get_ref().as_ref())
    }

    /// A value made of a whole number; `expected` says which ones, with an example.
    pub fn number<T>(
        &self,
        name: &str,
        parse: impl FnOnce(u32) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, KeyError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        let number = value.get_ref().as_integer();
        let number =
            number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        let refused = || self.refuse(name, value.span(), shown(value.get_ref()), expected);
        number.and_then(parse).map(Some).ok_or_else(refused)
    }

    /// A list of values made of strings; what refuses one names its own line.
    pub fn parse_all<T>(
        &self,
        name: &str,
        mut parse: impl FnMut(&str) -> Result<T, Refusal>,
    ) -> Result<Option<Vec<T>>, KeyError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        let expected = "a list of strings such as [\"/data\"]";
        let refuse = |item: &Spanned<DeValue<'d>>| {
            self.refuse(name, item.span(), shown(item.get_ref()), expected)
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(refuse(value));
        };
        let parse = |item: &Spanned<DeValue<'d>>| {
            let text = item.get_ref().as_str().ok_or_else(|| refuse(item))?;
            let refused =
                |refusal: Refusal| self.refuse(name, item.span(), refusal.got, &refusal.expected);
            parse(text).map_err(refused)
        };
        items.iter().map(parse).collect::<Result<_, _>>().map(Some)
    }

    /// True or false.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, KeyError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        let got = || shown(value.get_ref());
        let refused = || self.refuse(name, value.span(), got(), "true or false");
        value.get_ref().as_bool().map(Some).ok_or_else(refused)
    }

    /// A whole number that is not negative and fits in 31 bits, as Kubernetes has them.
    pub fn count(&self, name: &str) -> Result<Option<u32>, KeyError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| {
            let number = i32::from_str_radix(number.as_str(), number.radix()).ok()?;
            u32::try_from(number).ok()
        });
        let expected = "a whole number from 0 to 2147483647";
        let refused = || self.refuse(name, value.span(), shown(value.get_ref()), expected);
        number.map(Some).ok_or_else(refused)
    }

    /// Whether the key is there, whatever its value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.table?.get(name)
    }

    fn place(&self, name: &str, span: Range<usize>) -> String {
        format!(
            "{}:{}: {}{name}",
            self.file,
            line(self.text, Some(span)),
            self.prefix
        )
    }

    fn refuse(&self, name: &str, span: Range<usize>, got: String, expected: &str) -> KeyError {
        KeyError::Value {
            place: self.place(name, span),
            got,
            expected: expected.to_owned(),
        }
    }
}

/// What a parser of one value says against it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The value as it is shown.
    pub got: String,
    /// What is wanted, with an example.
    pub expected: String,
}

impl Refusal {
    /// Refuses a string.
    pub fn new(got: &str, expected: impl Into<String>) -> Self {
        Self {
            got: format!("{got:?}"),
            expected: expected.into(),
        }
    }
}

/// The parser's words, with the key that stands twice.
fn syntax(text: &str, err: &toml::de::Error) -> String {
    let message = err.message().replace('\n', " ");
    match err.span().and_then(|span| text.get(span)) {
        Some(key) if message == "duplicate key" => format!("{message} {key}"),
        Some(_) | None => message,
    }
}

/// What is wrong with a line of JSON, and where in it.
pub(crate) fn syntax_of_line(err: &serde_json::Error) -> String {
    let message = err.to_string();
    // The parser counts the lines of what it is given, which is one.
    let said = message
        .rsplit_once(" at line ")
        .map_or(&*message, |(said, _)| said);
    match err.column() {
        0 => said.to_owned(),
        column => format!("column {column}: {said}"),
    }
}

fn line(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    before.bytes().filter(|byte| *byte == b'\n').count() + 1
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// The nearest key, or all of them.
pub(crate) fn hint(name: &str, known: &[&str]) -> String {
    /// Two slips of the finger.
    const NEAR: usize = 2;
    let nearest = known.iter().map(|key| (distance(name, key), *key)).min();
    match nearest {
        Some((steps, key)) if steps <= NEAR && steps < name.chars().count().div_ceil(2) => {
            format!("did you mean {}?", written(key))
        }
        _ => {
            let known: Vec<_> = known.iter().map(|key| written(key)).collect();
            format!("known here: {}", known.join(", "))
        }
    }
}

/// A key as TOML wants it written.
fn written(key: &str) -> Cow<'_, str> {
    if key.contains('.') {
        format!("{key:?}").into()
    } else {
        key.into()
    }
}

/// How many slips of the finger lie between two words: Levenshtein's.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let steps = (diagonal + usize::from(from != to))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = *cell;
            *cell = steps;
            left = steps;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distance_counts_slips() {
        assert_eq!(distance("intervall", "interval"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_a_document_or_refused(text in "\\PC{0,80}") {
            let _ = Document::parse("agent.toml", &text);
        }
    }
}

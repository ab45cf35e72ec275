//! Turns what the TOML reader says into what a person needs: file, line, key, what stands
//! there and what was expected.
//!
//! The agent has one of the same shape. The two share only `protocol`, which knows neither TOML
//! nor files; a crate for forty lines would cost more than saying them twice.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("reading {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key or a value is wrong.
    #[error(transparent)]
    Wrong(Box<Wrong>),
    /// Settings that are each right and cannot stand together, or one that is missing.
    #[error("{0}")]
    Unusable(&'static str),
}

/// One wrong place in a configuration file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Wrong {
    /// Which file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// With its tables, dotted; `None` where the text is not TOML.
    pub key: Option<String>,
    /// What stands there.
    pub got: String,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.path.display(), self.line)?;
        if let Some(key) = &self.key {
            write!(f, "key \"{key}\": ")?;
        }
        write!(f, "got {}, expected {}", self.got, self.expected)
    }
}

impl Wrong {
    /// Locates an error of the TOML reader in the text that it read.
    pub(super) fn locate(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        let before = text.get(..span.start).unwrap_or(text);
        let message = error.message();
        let (said, expected) = message
            .split_once(", expected ")
            .unwrap_or((message, "something else"));
        let slice = text.get(span.clone()).unwrap_or_default();
        let key = DeTable::parse(text)
            .ok()
            .and_then(|table| key_at(table.get_ref(), &span));
        let is_unknown_key = said.starts_with("unknown field");
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            got: match (is_unknown_key, slice.lines().next()) {
                (true, _) => "a key that does not exist".to_owned(),
                (false, Some(line)) if key.is_some() => line.to_owned(),
                _ => said.to_owned(),
            },
            key,
            expected: expected.replace('`', "\""),
        }
    }
}

/// The innermost key whose name or value holds the span.
fn key_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if holds(key.span()) {
            return Some(name.to_owned());
        }
        if let DeValue::Table(inner) = value.get_ref()
            && let Some(key) = key_at(inner, span)
        {
            return Some(format!("{name}.{key}"));
        }
        if holds(value.span()) {
            return Some(name.to_owned());
        }
    }
    None
}

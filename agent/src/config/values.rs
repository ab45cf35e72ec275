//! What a string in the file, or of a flag, may be, and what is said of one that may not.

use std::path::PathBuf;
use std::time::Duration;

use nodling_protocol::{Fleet, NodeName};
use tracing::level_filters::LevelFilter;

use super::duration::{self, DurationError};
use crate::keys::{KeyError, Refusal};
use crate::publish::broker::Broker;

pub(super) fn flag<T>(name: &str, parsed: Result<T, Refusal>) -> Result<T, KeyError> {
    parsed.map_err(|Refusal { got, expected }| KeyError::Value {
        place: name.into(),
        got,
        expected,
    })
}

pub(super) fn node_name(text: &str) -> Result<String, Refusal> {
    let refused = |_| {
        Refusal::new(
            text,
            "a name of at most 253 lower-case letters, digits, '-' and '.', such as \"attic\"",
        )
    };
    NodeName::parse(text)
        .map(|name| name.as_str().into())
        .map_err(refused)
}

pub(super) fn fleet(text: &str) -> Result<String, Refusal> {
    let refused = |_| {
        Refusal::new(
            text,
            "a name of at most 63 lower-case letters, digits and '-', such as \"home\"",
        )
    };
    Fleet::parse(text)
        .map(|fleet| fleet.as_str().into())
        .map_err(refused)
}

pub(super) fn broker(text: &str) -> Result<Broker, Refusal> {
    let refused = |err| Refusal {
        got: format!("{:?} ({err})", without_password(text)),
        expected: "an address such as \"mqtt://user:password@host:1883\"".into(),
    };
    Broker::parse(text).map_err(refused)
}

/// A wrong address may hold a right password.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let scheme = url.get(..scheme + 3).unwrap_or_default();
            format!("{scheme}***{}", url.get(at..).unwrap_or_default())
        }
        (None, Some(at)) => format!("***{}", url.get(at..).unwrap_or_default()),
        _ => url.into(),
    }
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Refusal::new(text, "a path that begins with /"))
    }
}

/// As the kernel writes it: no part is empty, or leads back.
pub(super) fn mount_point(text: &str) -> Result<String, Refusal> {
    let refused = || Err(Refusal::new(text, "a mount point such as \"/data\""));
    let Some(rest) = text.strip_prefix('/') else {
        return refused();
    };
    let path = rest.strip_suffix('/').unwrap_or(rest);
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    if !rest.is_empty() && path.split('/').any(is_odd) {
        return refused();
    }
    Ok(format!("/{path}"))
}

pub(super) fn interval(text: &str) -> Result<Duration, Refusal> {
    let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
    match duration::parse_spaced(text) {
        Ok(interval) if bounds.contains(&interval) => Ok(interval),
        Ok(_) | Err(DurationError::Negative) => {
            Err(Refusal::new(text, "a duration from \"1s\" to \"1h\""))
        }
        Err(DurationError::Malformed) => Err(Refusal::new(text, "a duration such as \"10s\"")),
    }
}

pub(super) fn level(text: &str) -> Result<LevelFilter, Refusal> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(Refusal::new(
            text,
            "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        )),
    }
}

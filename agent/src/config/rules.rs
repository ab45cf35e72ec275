//! The `[[condition]]` tables: conditions that the board's owner defines.
//!
//! Each becomes a rule; a type that Kubernetes or this agent has already, and an end that
//! overlaps the beginning, are refused here and cannot be expressed further on.

use std::sync::Arc;
use std::time::Duration;

use nodling_protocol::facts::{CustomCondition, MAX_CUSTOM_CONDITIONS};

use super::comparison::comparison;
use super::duration;
use crate::assess::rules::{Band, Comparison, Rule};
use crate::keys::{KeyError, Keys, Refusal};

/// No duration needs more words, and words go into Facts.
const LASTING_LEN_MAX: usize = 20;
/// What must last longer is no condition but history.
const LASTING_MAX: Duration = Duration::from_hours(24);

pub(super) fn rules(tables: &[Keys<'_>]) -> Result<Arc<[Rule]>, KeyError> {
    if let Some(excess) = tables.get(MAX_CUSTOM_CONDITIONS) {
        return Err(excess.refusal(Refusal {
            got: format!("{} tables", tables.len()),
            expected: format!("at most {MAX_CUSTOM_CONDITIONS}"),
        }));
    }
    let mut rules = Vec::with_capacity(tables.len());
    for keys in tables {
        rules.push(rule(keys, &rules)?);
    }
    Ok(rules.into())
}

fn rule(keys: &Keys<'_>, earlier: &[Rule]) -> Result<Rule, KeyError> {
    keys.only(&["type", "when", "for", "clear"])?;
    let name = keys.required("type", |text| name(text, earlier))?;
    let when = keys.required("when", comparison)?;
    let (lasting, lasting_words) = keys.parse("for", lasting)?.unwrap_or_default();
    let band = keys.parse("clear", |text| band(&when, text))?;
    let band = band.unwrap_or_else(|| Band::new(when));
    let words = words(&band, &lasting_words);
    Ok(Rule {
        name,
        band,
        lasting,
        words,
    })
}

fn name(text: &str, earlier: &[Rule]) -> Result<Box<str>, Refusal> {
    let is_taken = earlier.iter().any(|rule| &*rule.name == text);
    if CustomCondition::is_name(text) && !is_taken {
        return Ok(text.into());
    }
    Err(Refusal::new(
        text,
        format!(
            "a name of at most {} letters and digits that begins with a capital and that no \
             other condition has, such as \"EnclosureHot\"",
            CustomCondition::NAME_LEN_MAX
        ),
    ))
}

/// A duration, and how its owner wrote it: `60s` stays `60s`.
fn lasting(text: &str) -> Result<(Duration, String), Refusal> {
    let lasting = duration::parse_spaced(text).ok();
    match lasting.filter(|_| text.len() <= LASTING_LEN_MAX) {
        Some(Duration::ZERO) => Ok((Duration::ZERO, String::new())),
        Some(lasting) if lasting <= LASTING_MAX => Ok((lasting, text.trim().into())),
        Some(_) => Err(Refusal::new(text, "a duration of at most \"24h\"")),
        None => Err(Refusal::new(text, "a duration such as \"60s\"")),
    }
}

fn band(when: &Comparison, text: &str) -> Result<Band, Refusal> {
    let clear = comparison(text)?;
    Band::try_new(when.clone(), clear).map_err(|err| Refusal {
        got: format!("{text:?} ({err})"),
        expected: format!(
            "a comparison that cannot hold together with when, such as \"{}\"",
            when.negated()
        ),
    })
}

/// The rule as its owner wrote it, in one line.
fn words(band: &Band, lasting: &str) -> Box<str> {
    let mut words = band.when().to_string();
    if !lasting.is_empty() {
        words = format!("{words} for {lasting}");
    }
    if let Some(clear) = band.clear() {
        words = format!("{words}, clear {clear}");
    }
    words.into()
}

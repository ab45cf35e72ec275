//! Finds the rules that this board cannot judge, and says why: its owner misspelt a name, or the
//! sensor is not there.
//!
//! The configuration alone cannot tell: which readings a board has shows only on the board.

use std::fmt;

use tracing::warn;

use crate::assess::Assessment;
use crate::assess::readings::{Value, readings};
use crate::assess::rules::Rule;
use crate::keys::distance;
use crate::observe::Observation;

/// So many names are offered for one that is not there.
const NEAREST: usize = 3;

/// A rule whose reading the board has not; shown as the reason.
#[derive(Clone, Debug)]
pub struct Unjudged<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// What it could have meant, nearest first; none if the name is right and has no value.
    nearest: Vec<&'a str>,
}

/// The rules that this board cannot judge.
pub fn unjudged<'a>(
    observation: &'a Observation,
    assessment: &'a Assessment,
) -> impl Iterator<Item = Unjudged<'a>> {
    assessment.rules.iter().filter_map(|rule| {
        let name = &*rule.band.when().reading;
        match readings(observation, assessment).find(|reading| reading.name == name) {
            Some(reading) if reading.value == Value::Absent => Some(Unjudged {
                rule,
                nearest: Vec::new(),
            }),
            Some(_) => None,
            None => {
                let mut nearest: Vec<_> = readings(observation, assessment)
                    .map(|reading| reading.name)
                    .collect();
                nearest.sort_by_cached_key(|other| distance(name, other));
                nearest.truncate(NEAREST);
                Some(Unjudged { rule, nearest })
            }
        }
    })
}

/// Warns of each rule that this board cannot judge.
pub fn warn_unjudged(observation: &Observation, assessment: &Assessment) {
    for unjudged in unjudged(observation, assessment) {
        let rule = unjudged.rule;
        warn!(condition = %rule.name, rule = %rule.words, "{unjudged}");
    }
}

impl fmt::Display for Unjudged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.rule.band.when().reading;
        if self.nearest.is_empty() {
            write!(f, "the reading {name} has no value on this board")
        } else {
            let nearest = self.nearest.join(", ");
            write!(
                f,
                "this board has no reading {name}; the nearest are {nearest}"
            )
        }
    }
}

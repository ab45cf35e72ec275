//! Finds the rules that this board cannot judge, and says why: its owner misspelt a name, or the
//! sensor is not there.
//!
//! The configuration alone cannot tell: which readings a board has shows only on the board.

use std::fmt;

use tracing::warn;

use crate::assess::Assessment;
use crate::assess::readings::{Named, Value, readings};
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
                let nearest = nearest(name, readings(observation, assessment));
                Some(Unjudged { rule, nearest })
            }
        }
    })
}

/// The names that are half the same at least, or else the one that is least different.
fn nearest<'a>(name: &str, all: impl Iterator<Item = Named<'a>>) -> Vec<&'a str> {
    let mut near: Vec<_> = all
        .map(|other| (distance(name, other.name), other.name))
        .collect();
    near.sort_unstable();
    let is_near = |(steps, other): &(usize, &str)| steps * 2 <= name.len().max(other.len());
    let count = near.iter().take_while(|other| is_near(other)).count();
    near.truncate(count.clamp(1, NEAREST));
    near.into_iter().map(|(_, name)| name).collect()
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
            let nearest = self.nearest.join(" or ");
            write!(
                f,
                "this board has no reading {name}: did you mean {nearest}?"
            )
        }
    }
}

//! Judges what the board's owner wants to know: conditions that compare one reading with a number.
//!
//! A rule's condition is True once `when` has held for as long as it must, and False again once
//! `clear` has; between the two nothing changes. What has not lasted long enough is False, also
//! right after a start. A reading that the board has not makes the condition absent.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use nodling_protocol::facts::CustomCondition;
use nodling_protocol::{Status, Statuses};

use super::conditions::CLEAR_AFTER_MS;
use super::decimal::Decimal;
use super::finding::Finding;
use super::latch::{Hold, Latch};
use super::readings::Value;

/// How a reading is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Operator {
    /// Every operator. Equality is none: measured values are equal by chance.
    pub const ALL: [Self; 4] = [
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    const fn negated(self) -> Self {
        match self {
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    const fn is_upward(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }
}

/// A reading compared with a number; shown as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The reading's name.
    pub reading: Box<str>,
    /// How it is compared.
    pub operator: Operator,
    /// In the reading's unit.
    pub number: Decimal,
}

impl Comparison {
    /// The one that holds whenever this one does not.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self {
            operator: self.operator.negated(),
            ..self.clone()
        }
    }

    fn holds(&self, value: Decimal) -> bool {
        self.operator.holds(value.compare(self.number))
    }

    /// Whether there is a value for which both hold.
    fn overlaps(&self, other: &Self) -> bool {
        let (upper, lower) = match (self.operator.is_upward(), other.operator.is_upward()) {
            (true, false) => (other, self),
            (false, true) => (self, other),
            (true, true) | (false, false) => return true,
        };
        match upper.number.compare(lower.number) {
            Ordering::Less => false,
            Ordering::Equal => upper.holds(lower.number) && lower.holds(lower.number),
            Ordering::Greater => true,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reading,
            operator,
            number,
        } = self;
        write!(f, "{reading} {} {number}", operator.as_str())
    }
}

/// Why two comparisons make no band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BandError {
    /// They compare two readings.
    #[error("another reading than in when")]
    OtherReading,
    /// Both can hold at once.
    #[error("both can hold at once")]
    Overlap,
}

/// Where a condition begins and where it ends: never both at the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    when: Comparison,
    clear: Option<Comparison>,
}

impl Band {
    /// One that ends where it begins.
    pub const fn new(when: Comparison) -> Self {
        Self { when, clear: None }
    }

    /// One with a beginning and an end.
    pub fn try_new(when: Comparison, clear: Comparison) -> Result<Self, BandError> {
        if when.reading != clear.reading {
            Err(BandError::OtherReading)
        } else if when.overlaps(&clear) {
            Err(BandError::Overlap)
        } else {
            let clear = Some(clear);
            Ok(Self { when, clear })
        }
    }

    /// Where it begins.
    pub const fn when(&self) -> &Comparison {
        &self.when
    }

    /// Where it ends, if that is elsewhere.
    pub const fn clear(&self) -> Option<&Comparison> {
        self.clear.as_ref()
    }

    /// Whether a value speaks for the condition, which depends on whether it is set.
    fn holds(&self, value: Decimal, is_set: bool) -> bool {
        match &self.clear {
            Some(clear) if is_set => !clear.holds(value),
            Some(_) | None => self.when.holds(value),
        }
    }
}

/// A condition that the board's owner defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The condition's type.
    pub name: Box<str>,
    /// Where it begins and ends.
    pub band: Band,
    /// How long that must last, either way.
    pub lasting: Duration,
    /// All of it in the owner's words: the condition's message.
    pub words: Box<str>,
}

impl Rule {
    /// As Facts name it.
    pub fn as_custom(&self) -> CustomCondition<'_> {
        CustomCondition {
            name: &self.name,
            rule: &self.words,
        }
    }
}

/// What must be remembered of each rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Latches(Vec<Latch>);

impl Latches {
    /// Judges one tick; `value` tells a reading by its name.
    pub(super) fn update<'r>(
        &mut self,
        rules: &[Rule],
        value: impl Fn(&str) -> Value<'r>,
        now_ms: u64,
    ) -> Statuses {
        self.0.resize(rules.len(), Latch::default());
        let mut statuses = Statuses::default();
        for (index, (rule, latch)) in rules.iter().zip(&mut self.0).enumerate() {
            let value = value(&rule.band.when.reading);
            statuses.set(index, judge(rule, latch, value, now_ms));
        }
        statuses
    }
}

fn judge(rule: &Rule, latch: &mut Latch, value: Value<'_>, now_ms: u64) -> Option<Status> {
    let lasting_ms = u64::try_from(rule.lasting.as_millis()).unwrap_or(u64::MAX);
    let hold = Hold {
        set_ms: lasting_ms,
        clear_ms: lasting_ms,
        // As the built-in ones': a sensor that is lost for a moment did not go.
        gone_ms: CLEAR_AFTER_MS,
    };
    let finding = match value {
        Value::Absent => Finding::Absent,
        Value::Failed(_) => Finding::Failed,
        Value::Pending if latch.status().is_some() => return latch.status(),
        Value::Pending => Finding::Holds(false),
        Value::Known(number) => {
            // A latch takes its first finding at once; a rule's must last like any other.
            if matches!(latch.status(), None | Some(Status::Unknown)) {
                latch.update(Finding::Holds(false), now_ms, hold);
            }
            Finding::Holds(rule.band.holds(number, latch.is_set()))
        }
    };
    latch.update(finding, now_ms, hold)
}

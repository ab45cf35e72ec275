//! What one tick says about one condition, before hysteresis.

use crate::observe::Reading;

/// What one tick says about a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The board has no such reading.
    Absent,
    /// The reading failed.
    Failed,
    /// Whether it holds.
    Holds(bool),
}

impl Finding {
    /// Of a reading.
    pub(super) fn of<T>(reading: &Reading<T>, holds: impl FnOnce(&T) -> bool) -> Self {
        match reading {
            Ok(Some(value)) => Self::Holds(holds(value)),
            Ok(None) => Self::Absent,
            Err(_) => Self::Failed,
        }
    }

    /// Of two sources of one condition: what holds beats what failed, that beats what does not.
    pub(super) fn worst(self, other: Self) -> Self {
        let rank = |finding| match finding {
            Self::Absent => 0,
            Self::Holds(false) => 1,
            Self::Failed => 2,
            Self::Holds(true) => 3,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}

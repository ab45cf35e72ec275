//! What folding a report did: whether it was taken, and what there is to say about it.

use nodling_protocol::Instance;
use nodling_protocol::frame::Position;

use crate::clock::Moment;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Folded {
    /// Taken.
    Accepted {
        /// Whether the wanted Node may differ now: something other than numbers changed.
        is_changed: bool,
        /// Whether it proves that the node lives now.
        is_fresh: bool,
    },
    /// Not taken.
    Ignored(Ignored),
}

/// Why a decoded report was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Ignored {
    /// The same instance under two names, or two boots in turn: a copied card.
    #[error("instance is in use elsewhere: a cloned card")]
    ClonedCard,
    /// Another instance holds the name.
    #[error("another instance holds the name")]
    DuplicateNode,
    /// As many nodes as are allowed are there already.
    #[error("roster is full")]
    RosterFull,
    /// Not newer than what was taken before.
    #[error("not newer than what is known")]
    StaleSequence,
    /// A session whose Facts were never seen; they were asked for.
    #[error("session is not known")]
    UnknownSession,
    /// A will that is not the present connection's.
    #[error("will is not the present connection's")]
    WillMismatch,
}

/// Something to tell people about a claim, beyond what became of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Two boards share an instance.
    Cloned {
        /// The instance.
        instance: Instance,
        /// The other name it was heard under; the node's own for two boots under one name.
        other: Box<str>,
    },
    /// Another instance claims the name.
    Duplicate {
        /// Who holds it.
        holder: Instance,
        /// Since when that is heard, and when last; `None` if only its Node is known.
        heard: Option<(Moment, Moment)>,
        /// Who claims it.
        claimant: Instance,
    },
    /// An agent began: a new board, a new boot, or back after a goodbye.
    Started,
}

/// What folding a report did.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) folded: Folded,
    /// The member it touched.
    pub(crate) index: Option<usize>,
    /// The session that is to be asked for Facts.
    pub(crate) ask: Option<Position>,
    pub(crate) note: Option<Note>,
}

impl Fold {
    pub(super) fn ignored(why: Ignored) -> Self {
        Self {
            folded: Folded::Ignored(why),
            index: None,
            ask: None,
            note: None,
        }
    }

    pub(super) fn accepted(index: usize, is_changed: bool, is_fresh: bool) -> Self {
        Self {
            folded: Folded::Accepted {
                is_changed,
                is_fresh,
            },
            index: Some(index),
            ask: None,
            note: None,
        }
    }

    pub(super) fn cloned(index: usize, instance: Instance, other: &str) -> Self {
        let mut fold = Self::ignored(Ignored::ClonedCard);
        fold.index = Some(index);
        fold.note = Some(Note::Cloned {
            instance,
            other: other.into(),
        });
        fold
    }
}

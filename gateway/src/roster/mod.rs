//! The roster: the last known state of every node.
//!
//! Folding a report is the gateway's hot path: one hash lookup, no allocation for a heartbeat.
//! Reports come in any order, twice or never, and from more than one claimant of a name; what
//! the roster wants is the same for the same set of accepted reports.

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Folded {
    /// Taken; `is_changed` when something other than numbers changed.
    Accepted {
        /// Whether the wanted Node may differ now.
        is_changed: bool,
        /// Whether it proves that the node lives now.
        is_fresh: bool,
    },
    /// Not taken.
    Ignored(Ignored),
}

/// Why a decoded report was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The same instance under two names, or two boots in turn: a copied card.
    ClonedCard,
    /// Another instance holds the name.
    DuplicateNode,
    /// As many nodes as are allowed are there already.
    RosterFull,
    /// Not newer than what was taken before.
    StaleSequence,
    /// A session whose Facts were never seen; they were asked for.
    UnknownSession,
    /// A will that is not the present connection's.
    WillMismatch,
}

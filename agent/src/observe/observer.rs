//! Keeps what is read rarely, and reads the rest at every tick.

use std::sync::Arc;

use super::root::Root;
use super::{Config, Fixed, Links, Observation};

/// Whether each core, interface and disk is wanted, or only what a heartbeat carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What a heartbeat carries.
    Dropped,
    /// Every core too, and the paging counters.
    Kept,
}

/// Reads one board again and again.
#[derive(Debug)]
pub struct Observer {
    root: Root,
    config: Config,
    fixed: Option<(u64, Arc<Fixed>)>,
    links: Option<(u64, Arc<Links>)>,
}

impl Observer {
    /// Reads nothing yet.
    pub fn new(root: Root, config: Config) -> Self {
        Self {
            root,
            config,
            fixed: None,
            links: None,
        }
    }

    /// Reads the board; a broken reading is a failed one in the result.
    pub fn observe(&mut self, detail: Detail) -> Observation {
        todo!("{detail:?}{:?}{:?}{:?}", self.root, self.config, self.fixed)
    }

    /// Reads at the next tick again what is read rarely; called at a session's start.
    pub fn refresh(&mut self) {
        self.fixed = None;
        self.links = None;
    }

    /// Whether the system is going down, to tell a shutdown from a restart of this program.
    pub fn is_shutting_down(&mut self) -> bool {
        false
    }
}

//! What an agent is made of, and what it is plugged into.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::alarm::Alarm;
use crate::assess::State;
use crate::encode::Encoder;
use crate::observe::Observer;
use crate::observe::trigger::Resource;
use crate::publish::{Notice, Outbox};
use crate::registration::Registration;

/// What an agent is made of.
#[derive(Debug)]
pub struct Parts {
    /// Reads the board.
    pub observer: Observer,
    /// Judges it.
    pub state: State,
    /// Writes frames.
    pub encoder: Encoder,
    /// The node's name.
    pub node: String,
    /// What is asked of the Node.
    pub registration: Registration,
    /// The broker's address, for people.
    pub broker: String,
    /// How often the configuration wants beats.
    pub interval: Duration,
    /// Uniform over all of `u64`.
    pub random: fn() -> u64,
}

/// The loop's ends of its channels.
#[derive(Debug)]
pub struct Ports {
    /// Wakes the loop when something is due.
    pub alarm: Alarm,
    /// State for the session.
    pub outbox: watch::Sender<Outbox>,
    /// What the session tells.
    pub notices: mpsc::Receiver<Notice>,
    /// What the kernel reports tasks to wait for.
    pub stalls: mpsc::Receiver<Resource>,
    /// What the system tells.
    pub signals: mpsc::Receiver<Signal>,
}

/// What the loop is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Say goodbye and end.
    Stop,
    /// Read again what is read rarely.
    Refresh,
}

//! What the configuration asks of the Node's registration: kubelet's `--register-node`,
//! `--node-labels` and `registerWithTaints`.
//!
//! Sent in Facts as wishes: the gateway judges them again. Pure.

use std::collections::BTreeMap;

use nodling_protocol::facts::TaintEffect;

/// What is asked of a Node's registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Whether the gateway may make the Node, or only keep up one that is there.
    pub register_node: bool,
    /// Labels by key.
    pub node_labels: BTreeMap<Box<str>, Box<str>>,
    /// Set when the Node is made, and never again.
    pub taints: Vec<Taint>,
}

/// A taint that a Node is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: Box<str>,
    /// Value, may be empty.
    pub value: Box<str>,
    /// Effect.
    pub effect: TaintEffect,
}

impl Registration {
    /// A Node without wishes.
    pub const fn new() -> Self {
        Self {
            register_node: true,
            node_labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self::new()
    }
}

//! The gateway: heartbeats in, Kubernetes Nodes and Leases out.

pub mod clock;
pub mod seen;
pub mod decode;
pub mod roster;
pub mod reconcile;

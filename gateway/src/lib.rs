//! The gateway.

pub mod apiserver;

//! The agent.
pub mod observe;

//! The agent's integration tests: one program, so that it links once.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed; clippy knows only functions marked as tests"
)]

mod support;
mod observe;
mod assess;
mod rules;
mod conditions;
mod run;
mod config;
mod node;
mod pressure;
mod kubelet;
mod replay;
mod cli;

//! End to end with the real parts: Mosquitto, kubectl, our programs as users start them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; a panic is a failed test"
)]

mod user;
mod silence;
mod restarts;
mod writers;
mod names;
mod broker;
mod input;
mod failures;
mod agent;

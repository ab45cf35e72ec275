//! The harness of the end-to-end tests: a home in a temporary directory.
//!
//! A [`lab::Lab`] holds a real Mosquitto, the real gateway and agents as child processes, and a
//! real `kubectl`. Every wait has a deadline and asks again; nothing sleeps for a fixed time.
//! When a test panics, the logs of its processes are printed.

pub mod wait;
pub mod process;
pub mod stall;
pub mod broker;
pub mod containerd;
pub mod kubectl;
pub mod mqtt;
pub mod board;
pub mod proxy;
pub mod lab;
pub mod fleet;
pub mod bench;

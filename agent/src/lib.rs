//! The agent on a board, as a library: the program is `main.rs`, and whoever plays agents, as
//! tests and benches do, uses the same stages.
//!
//! ```text
//! board ─ observe ─▶ Observation ─ assess ─▶ Assessment ─ encode ─▶ frame ─ publish ─▶ MQTT
//!            IO                     pure                   pure               IO
//! ```
//!
//! Modules stand in the order in which data flows; `run` turns the wheel. The agent starts no
//! other program, and writes one file once.

pub mod quantity;
pub mod observe;
pub mod assess;
pub mod registration;
pub mod encode;
pub mod publish;
pub mod keys;
pub mod telemetry;
pub mod config;
pub mod cli;
pub mod unjudged;
pub mod describe;
pub mod inventory;
mod distinct;
pub mod replay;
pub mod instance;
pub mod alarm;
pub mod parts;
mod agenda;
mod onset;
pub mod goodbye;
pub mod run;

//! The gateway: heartbeats in, Kubernetes Nodes and Leases out.
//!
//! ```text
//! broker ─ receive ─▶ decode ─▶ roster ─▶ reconcile ─▶ apply ─▶ Kubernetes
//!                                            ▲                      │
//!                                            └──── seen ◀── watch ──┘
//! ```
//!
//! `clock` to `reconcile` are pure; the rest is shell. `run` drives it all from one loop. The
//! modules stand in the order of the data: each uses only those above it.

pub mod config;
pub mod telemetry;
pub mod clock;
pub mod time;
pub mod backoff;
pub mod seen;
pub mod broker;
pub mod advertise;
pub mod receive;
pub mod decode;
pub mod roster;
pub mod reconcile;
pub mod apply;
pub mod watch;
pub mod apiserver;
pub mod names;
pub mod target;
pub mod admin;
pub mod metrics;
pub mod serve;
pub mod drive;
pub mod run;

//! End to end with the real parts: Mosquitto, kubectl, our programs as users start them.

mod user;
mod silence;
mod restarts;
mod writers;
mod names;
mod node;
mod broker;
mod input;
mod failures;
mod agent;
mod rules;
mod tls;
mod pressure;

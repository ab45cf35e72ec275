//! The wire: golden bytes per version, and laws that hold for any bytes.

mod laws;
mod v1;

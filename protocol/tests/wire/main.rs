//! The wire: golden bytes per version, and laws that hold for any bytes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "helpers of tests; a panic is a failed test"
)]

mod laws;
mod v1;

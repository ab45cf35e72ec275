//! The whole gateway in process.

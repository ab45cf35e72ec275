//! Helpers of this module's tests.

//! Tests of the API as a client sees it.

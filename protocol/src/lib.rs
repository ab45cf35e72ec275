//! What agent and gateway share.
#![no_std]

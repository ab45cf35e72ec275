//! What is known about each board, as data.
//!
//! ```text
//! <board>/board.toml ──include_str──▶ ALL ── detect(model, compatible) ──▶ Profile
//! ```
//!
//! A profile names limits and paths that the kernel does not show; everything that the kernel
//! shows is read from the kernel. Every fact carries its source. An unknown board gets the
//! `generic` profile and works with what the kernel shows.

mod profile;

pub use profile::{
    Fact, Identity, Power, Profile, ProfileError, Storage, StorageKind, Thermal, Watchdog,
};

/// A board's name and its `board.toml`, most specific boards first, `generic` last.
pub const ALL: &[(&str, &str)] = &[
    (
        "raspberry-pi-4b",
        include_str!("../raspberry-pi-4b/board.toml"),
    ),
    (GENERIC, include_str!("../generic/board.toml")),
];

/// The profile of a board that nobody described.
pub const GENERIC: &str = "generic";

/// Returns the profile that matches the device tree, or `generic`.
///
/// The entries of `compatible` are compared first: unlike the model string they carry no revision.
pub fn detect<S: AsRef<str>>(model: Option<&str>, compatible: &[S]) -> Profile {
    ALL.iter()
        .filter_map(|(_, text)| Profile::parse(text).ok())
        .find(|profile| profile.matches(model, compatible))
        .or_else(|| by_name(GENERIC))
        .unwrap_or_default()
}

/// Returns the profile of the board called `name`.
pub fn by_name(name: &str) -> Option<Profile> {
    let (_, text) = ALL.iter().find(|(known, _)| *known == name)?;
    Profile::parse(text).ok()
}

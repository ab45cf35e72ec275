//! What is known about each board, as data.
//!
//! ```text
//! <board>/board.toml ──include_str──▶ ALL ── detect(model, compatible, architecture) ──▶ Profile
//! ```
//!
//! A profile names limits and paths that the kernel does not show; what the kernel shows is read
//! from the kernel, and what is alarming is the agent's configuration. Facts that a reader could
//! doubt are `{ value = …, source = "…" }`, and unknown keys are refused, so that a misspelt limit
//! cannot silently be no limit. An unknown board gets the generic profile of its architecture.

pub mod sensor;

use serde::Deserialize;

/// A board's name and its `board.toml`, the profiles of last resort at the end.
pub const ALL: &[(&str, &str)] = &[
    (
        "raspberry-pi-zero-w",
        include_str!("../raspberry-pi-zero-w/board.toml"),
    ),
    (
        "raspberry-pi-zero-2w",
        include_str!("../raspberry-pi-zero-2w/board.toml"),
    ),
    (
        "raspberry-pi-3b",
        include_str!("../raspberry-pi-3b/board.toml"),
    ),
    (
        "raspberry-pi-3b-plus",
        include_str!("../raspberry-pi-3b-plus/board.toml"),
    ),
    (
        "raspberry-pi-4b",
        include_str!("../raspberry-pi-4b/board.toml"),
    ),
    (
        "raspberry-pi-cm4",
        include_str!("../raspberry-pi-cm4/board.toml"),
    ),
    (
        "raspberry-pi-5",
        include_str!("../raspberry-pi-5/board.toml"),
    ),
    ("orange-pi-5", include_str!("../orange-pi-5/board.toml")),
    ("rock-5b", include_str!("../rock-5b/board.toml")),
    ("rock64", include_str!("../rock64/board.toml")),
    (
        "beaglebone-black",
        include_str!("../beaglebone-black/board.toml"),
    ),
    ("jetson-nano", include_str!("../jetson-nano/board.toml")),
    ("visionfive-2", include_str!("../visionfive-2/board.toml")),
    ("generic-arm", include_str!("../generic-arm/board.toml")),
    ("generic-x86", include_str!("../generic-x86/board.toml")),
    (GENERIC, include_str!("../generic/board.toml")),
];

/// The profile of a board that nobody described, on an architecture that nobody described.
pub const GENERIC: &str = "generic";

/// Returns the profile that the device tree names, else the generic one of the architecture.
///
/// `model` or `compatible` is enough: some systems show only one of the two. Where they disagree
/// the model wins, since a board's `compatible` may list the older boards that it can pass for;
/// of these the first, most specific one counts.
pub fn detect<S: AsRef<str>>(model: Option<&str>, compatible: &[S], architecture: &str) -> Profile {
    let texts = ALL.iter().map(|(_, text)| *text);
    detect_among(texts, model, compatible, architecture)
}

/// The same among the texts at hand, so that a folder can be tried before it is listed.
fn detect_among<'a, S: AsRef<str>>(
    texts: impl Iterator<Item = &'a str>,
    model: Option<&str>,
    compatible: &[S],
    architecture: &str,
) -> Profile {
    let entries = compatible.iter().map(AsRef::as_ref);
    let model_name = model.map(without_revision);
    let quoted: Vec<_> = entries
        .chain(model_name)
        .chain([architecture, GENERIC])
        .map(|name| format!("\"{name}\""))
        .collect();
    // A board has no time to parse what names neither it nor its architecture.
    let worth = texts.filter(|text| quoted.iter().any(|name| text.contains(name)));
    let ranked = worth.filter_map(|text| {
        let profile = Profile::parse(text).ok()?;
        let rank = profile.rank(model, compatible, architecture)?;
        Some((rank, profile))
    });
    ranked
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, profile)| profile)
        .unwrap_or_default()
}

/// `Raspberry Pi 3 Model B` of `Raspberry Pi 3 Model B Rev 1.2`.
fn without_revision(model: &str) -> &str {
    model.rsplit_once(" Rev ").map_or(model, |(model, _)| model)
}

/// Returns the profile of the board called `name`.
pub fn by_name(name: &str) -> Option<Profile> {
    let (_, text) = ALL.iter().find(|(known, _)| *known == name)?;
    Profile::parse(text).ok()
}

/// One value with where it was learnt.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Fact<T> {
    /// What is so.
    pub value: T,
    /// A document, a driver or a captured file that says so.
    pub source: String,
}

/// What is known about one board model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The folder's name, for example `raspberry-pi-4b`.
    pub name: String,
    /// The name that people use.
    pub title: String,
    /// Rust targets that run on it, preferred first.
    #[serde(default)]
    pub targets: Vec<String>,
    /// How the device tree names it.
    #[serde(default)]
    pub identity: Identity,
    /// Sizes of a page under its kernels, the usual one first.
    pub page_sizes_bytes: Option<Fact<Vec<u32>>>,
    /// What its silicon does when it is hot.
    #[serde(default)]
    pub thermal: Thermal,
    /// How it reports its supply.
    #[serde(default)]
    pub power: Power,
    /// What it boots from.
    #[serde(default)]
    pub storage: Storage,
    /// Numbers N of the `/dev/i2c-N` on its header.
    pub i2c_buses: Option<Fact<Vec<u8>>>,
    /// Its hardware watchdog.
    pub watchdog: Option<Watchdog>,
    /// Whether it has a clock that can keep time without power, its battery fitted or not.
    pub has_rtc: Option<Fact<bool>>,
    /// What surprises people, one sentence each.
    #[serde(default)]
    pub quirks: Vec<Fact<String>>,
}

/// How the device tree names a board.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `/proc/device-tree/model`, without the ` Rev 1.2` that may follow.
    #[serde(default)]
    pub models: Vec<String>,
    /// Entries of `/proc/device-tree/compatible` that are this board's and not its chip's.
    #[serde(default)]
    pub compatible: Vec<String>,
    /// The system on chip, as its vendor writes it.
    pub soc: Option<String>,
    /// Architectures, as Go names them, whose boards get this profile where no other fits.
    #[serde(default)]
    pub architectures: Vec<String>,
}

/// What the silicon does when it is hot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Thermal {
    /// `type` of the thermal zone that is the processor's.
    pub zone: Option<Fact<String>>,
    /// Where it begins to slow down.
    pub soft_limit_milli_celsius: Option<Fact<i32>>,
    /// Where it slows down as far as it can.
    pub hard_limit_milli_celsius: Option<Fact<i32>>,
}

/// How a board reports its supply.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Whether it can tell; where not, under-voltage is unknown, never "fine".
    pub detects_under_voltage: Option<Fact<bool>>,
    /// Files, relative to the root, that hold the firmware's throttle bits; the first one counts.
    pub throttled_paths: Option<Fact<Vec<String>>>,
    /// `name` of the hwmon chip with an `in0_lcrit_alarm`.
    pub voltage_chip: Option<Fact<String>>,
}

/// What a board boots from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Kinds of boot device, usual one first.
    pub kinds: Option<Fact<Vec<StorageKind>>>,
}

/// A kind of boot device.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// Soldered flash that reports its wear.
    Emmc,
    /// A solid state disk on `PCIe`.
    Nvme,
    /// A disk on SATA.
    Sata,
    /// A card, which does not report its wear.
    Sd,
    /// A disk on USB.
    Usb,
}

/// A hardware watchdog.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// The longest time-out that its counter can hold.
    pub timeout_s_max: Fact<u32>,
}

/// Why a `board.toml` is no profile.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProfileError(toml::de::Error);

impl Profile {
    /// Reads a `board.toml`.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        toml::from_str(text).map_err(ProfileError)
    }

    /// How well a board fits, best first; `None` if it is another one.
    fn rank<S: AsRef<str>>(
        &self,
        model: Option<&str>,
        compatible: &[S],
        architecture: &str,
    ) -> Option<Rank> {
        let identity = &self.identity;
        let mut entries = compatible.iter();
        if model.is_some_and(|model| identity.has_model(model)) {
            Some(Rank::Model)
        } else if let Some(at) = entries.position(|entry| identity.has_entry(entry.as_ref())) {
            Some(Rank::Compatible(at))
        } else if identity.is_last_resort_of(architecture) {
            Some(Rank::Architecture)
        } else {
            (self.name == GENERIC).then_some(Rank::Generic)
        }
    }
}

/// Why a profile was chosen, best reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Model,
    /// The position of the entry, of which the first is the most specific.
    Compatible(usize),
    Architecture,
    Generic,
}

impl Identity {
    /// Whether a device tree's model is this board's, whatever its revision. `Raspberry Pi 3 Model
    /// B` is another board than `Raspberry Pi 3 Model B Plus`.
    fn has_model(&self, model: &str) -> bool {
        self.models
            .iter()
            .any(|known| known == without_revision(model))
    }

    fn has_entry(&self, compatible: &str) -> bool {
        self.compatible.iter().any(|known| known == compatible)
    }

    fn is_last_resort_of(&self, architecture: &str) -> bool {
        self.architectures.iter().any(|known| known == architecture)
    }
}

#[cfg(test)]
mod tests;

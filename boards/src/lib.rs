//! What is known about each board, as data.
//!
//! ```text
//! <board>/board.toml ──include_str──▶ ALL ── detect(model, compatible) ──▶ Profile
//! ```
//!
//! A profile names limits and paths that the kernel does not show; what the kernel shows is read
//! from the kernel, and what is alarming is the agent's configuration. Facts that a reader could
//! doubt are `{ value = …, source = "…" }`, and unknown keys are refused, so that a misspelt limit
//! cannot silently be no limit. An unknown board gets the `generic` profile.

pub mod sensor;

use serde::Deserialize;

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
/// Either is enough: some systems show only one of the two.
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
    /// Whether it keeps time without power.
    pub has_rtc: Option<Fact<bool>>,
    /// What surprises people, one sentence each.
    #[serde(default)]
    pub quirks: Vec<Fact<String>>,
}

/// How the device tree names a board.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Beginnings of `/proc/device-tree/model`, compared without the revision that follows.
    #[serde(default)]
    pub models: Vec<String>,
    /// Entries of `/proc/device-tree/compatible` that only this board has.
    #[serde(default)]
    pub compatible: Vec<String>,
    /// The system on chip, as its vendor writes it.
    pub soc: Option<String>,
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

    /// Whether the device tree is this board's; the empty identity is nobody's.
    pub fn matches<S: AsRef<str>>(&self, model: Option<&str>, compatible: &[S]) -> bool {
        let identity = &self.identity;
        let is_compatible = compatible.iter().any(|entry| {
            identity
                .compatible
                .iter()
                .any(|known| known == entry.as_ref())
        });
        let is_named = |model: &str| {
            identity.models.iter().any(|known| {
                model
                    .strip_prefix(known.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
        };
        is_compatible || model.is_some_and(is_named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    #[test]
    fn every_profile_is_valid_and_named_as_its_folder() {
        for (name, text) in ALL {
            let profile = Profile::parse(text).unwrap_or_else(|err| panic!("{name}: {err}"));
            assert_eq!(profile.name, *name);
            assert!(
                !profile.title.is_empty() && !profile.targets.is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn every_folder_is_listed() {
        let folders = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut folders: Vec<_> = folders
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("board.toml").exists() || path.join("fixtures").exists())
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        folders.sort();
        let mut listed: Vec<_> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
        listed.sort();
        assert_eq!(folders, listed);
        assert_eq!(
            ALL.last().map(|(name, _)| *name),
            Some(GENERIC),
            "it matches when none does"
        );
    }

    #[test]
    fn every_fact_has_a_source() {
        fn check(name: &str, value: &toml::Value) {
            if let Some(table) = value.as_table() {
                let source = table.get("source").and_then(toml::Value::as_str);
                let is_fact = table.contains_key("value");
                assert!(
                    !is_fact || source.is_some_and(|source| source.len() > 10),
                    "{name}"
                );
                table
                    .iter()
                    .for_each(|(key, value)| check(&format!("{name}.{key}"), value));
            }
            for value in value.as_array().into_iter().flatten() {
                check(name, value);
            }
        }
        for (name, text) in ALL {
            check(name, &toml::from_str(text).unwrap());
        }
    }

    #[test]
    fn a_board_is_known_by_its_model_whatever_the_revision() {
        for model in ["Raspberry Pi 4 Model B", "Raspberry Pi 4 Model B Rev 1.5"] {
            assert_eq!(detect(Some(model), &NONE).name, "raspberry-pi-4b");
        }
        for model in ["Raspberry Pi 4 Model Basic", "Raspberry Pi 400 Rev 1.0", ""] {
            assert_eq!(detect(Some(model), &NONE).name, GENERIC, "{model}");
        }
    }

    #[test]
    fn a_board_is_known_by_its_device_tree() {
        let compatible = ["raspberrypi,4-model-b", "brcm,bcm2711"];
        assert_eq!(detect(None, &compatible).name, "raspberry-pi-4b");
        assert_eq!(
            detect(None, &["brcm,bcm2711"]).name,
            GENERIC,
            "the chip is on other boards"
        );
        assert_eq!(detect(None, &NONE).name, GENERIC);
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let text = "name = \"x\"\ntitle = \"X\"\n[thermal]\nhard_limit = 85_000\n";
        let err = Profile::parse(text).unwrap_err().to_string();
        assert!(err.contains("hard_limit"), "{err}");
        assert!(by_name("no-such-board").is_none());
    }
}

//! That every board is described soundly and told from every other, and that a new one needs a
//! folder and a line, nothing else.

#![expect(
    clippy::disallowed_methods,
    reason = "the folders on disk are compared with what is compiled in"
)]

use std::path::Path;

use super::*;

const NONE: [&str; 0] = [];

/// Each board on disk with the text of its `board.toml`, sorted.
fn folders() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(path.join("board.toml"));
        if text.is_ok() || path.join("fixtures").exists() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            folders.push((name, text.unwrap_or_default()));
        }
    }
    folders.sort();
    folders
}

fn profiles() -> Vec<Profile> {
    let parse = |(name, text): &(&str, &str)| {
        Profile::parse(text).unwrap_or_else(|err| panic!("{name}: {err}"))
    };
    ALL.iter().map(parse).collect()
}

fn name_of(model: Option<&str>, compatible: &[&str]) -> String {
    detect(model, compatible, "arm64").name
}

#[test]
fn every_profile_is_valid_and_named_as_its_folder() {
    for (profile, (name, _)) in profiles().iter().zip(ALL) {
        assert_eq!(profile.name, *name);
        let is_sound = !profile.title.is_empty() && !profile.targets.is_empty();
        assert!(is_sound, "{name}");
        let Thermal {
            soft_limit_milli_celsius: soft,
            hard_limit_milli_celsius: hard,
            ..
        } = &profile.thermal;
        if let (Some(soft), Some(hard)) = (soft, hard) {
            assert!(soft.value < hard.value, "{name}");
        }
    }
}

#[test]
fn every_folder_is_listed_as_it_stands_on_disk() {
    let mut listed: Vec<_> = ALL
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    listed.sort();
    assert_eq!(folders(), listed);
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
fn every_name_of_a_board_is_its_own_and_no_others() {
    let profiles = profiles();
    for profile in &profiles {
        let Identity {
            models,
            compatible,
            architectures,
            ..
        } = &profile.identity;
        for model in models
            .iter()
            .flat_map(|model| [model.clone(), format!("{model} Rev 1.2")])
        {
            let claimants = profiles
                .iter()
                .filter(|other| other.identity.has_model(&model));
            assert_eq!(claimants.count(), 1, "{model}");
            assert_eq!(name_of(Some(&model), &NONE), profile.name, "{model}");
        }
        for entry in compatible {
            let claimants = profiles
                .iter()
                .filter(|other| other.identity.has_entry(entry));
            assert_eq!(claimants.count(), 1, "{entry}");
            assert_eq!(name_of(None, &[entry]), profile.name, "{entry}");
        }
        for architecture in architectures {
            let found = detect(None, &NONE, architecture);
            assert_eq!(found.name, profile.name, "{architecture}");
        }
    }
}

#[test]
fn boards_with_like_names_are_told_apart() {
    for (model, board) in [
        ("Raspberry Pi 3 Model B Rev 1.2", "raspberry-pi-3b"),
        (
            "Raspberry Pi 3 Model B Plus Rev 1.3",
            "raspberry-pi-3b-plus",
        ),
        ("Raspberry Pi 4 Model B Rev 1.5", "raspberry-pi-4b"),
        ("Raspberry Pi Compute Module 4 Rev 1.0", "raspberry-pi-cm4"),
        ("Raspberry Pi Zero W Rev 1.1", "raspberry-pi-zero-w"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "raspberry-pi-zero-2w"),
        ("Xunlong Orange Pi 5", "orange-pi-5"),
        // Nobody described these.
        ("Raspberry Pi 4 Model Basic", "generic-arm"),
        ("Raspberry Pi 400 Rev 1.0", "generic-arm"),
        ("Raspberry Pi Compute Module 4S Rev 1.0", "generic-arm"),
        ("Xunlong Orange Pi 5 Plus", "generic-arm"),
        ("Radxa ROCK 5B+", "generic-arm"),
        ("", "generic-arm"),
    ] {
        assert_eq!(name_of(Some(model), &NONE), board, "{model}");
    }
}

#[test]
fn the_most_specific_entry_of_the_device_tree_counts_and_the_chip_is_nobodys() {
    for (compatible, board) in [
        (
            ["raspberrypi,4-model-b", "brcm,bcm2711"].as_slice(),
            "raspberry-pi-4b",
        ),
        (&["brcm,bcm2711"], "generic-arm"),
        // A newer board that can pass for the older one.
        (
            &["nvidia,p3541-0000", "nvidia,p3450-0000", "nvidia,tegra210"],
            "jetson-nano",
        ),
        (&["pine64,rock64", "radxa,rock-5b"], "rock64"),
        (&["radxa,rock-5b", "pine64,rock64"], "rock-5b"),
    ] {
        assert_eq!(name_of(None, compatible), board, "{compatible:?}");
    }
    let disagree = name_of(Some("Radxa ROCK 5B"), &["pine64,rock64"]);
    assert_eq!(disagree, "rock-5b", "the model wins");
}

#[test]
fn an_unknown_board_gets_the_profile_of_its_architecture() {
    for (architecture, board) in [
        ("arm64", "generic-arm"),
        ("arm", "generic-arm"),
        ("amd64", "generic-x86"),
        ("386", "generic-x86"),
        ("riscv64", GENERIC),
        ("", GENERIC),
    ] {
        let found = detect(Some("Toaster"), &["acme,toaster"], architecture);
        assert_eq!(found.name, board, "{architecture}");
    }
}

#[test]
fn a_new_board_needs_a_folder_and_its_line_may_stand_anywhere() {
    let text = "name = \"toaster\"\ntitle = \"Toaster\"\ntargets = [\"x\"]\n\
        [identity]\nmodels = [\"Acme Toaster\"]\ncompatible = [\"acme,toaster\"]\n";
    let on_disk = folders();
    let mut texts: Vec<_> = on_disk.iter().map(|(_, text)| text.as_str()).collect();
    for at in 0..=texts.len() {
        texts.insert(at, text);
        let find = |model: Option<&str>, compatible: &[&str]| {
            detect_among(texts.iter().copied(), model, compatible, "arm64").name
        };
        assert_eq!(find(Some("Acme Toaster Rev 2.0"), &NONE), "toaster");
        assert_eq!(find(None, &["acme,toaster", "brcm,bcm2711"]), "toaster");
        assert_eq!(
            find(Some("Raspberry Pi 4 Model B Rev 1.5"), &NONE),
            "raspberry-pi-4b"
        );
        assert_eq!(find(None, &["brcm,bcm2711"]), "generic-arm");
        texts.remove(at);
    }
}

#[test]
fn a_misspelt_key_is_refused() {
    let text = "name = \"x\"\ntitle = \"X\"\n[thermal]\nhard_limit = 85_000\n";
    let err = Profile::parse(text).unwrap_err().to_string();
    assert!(err.contains("hard_limit"), "{err}");
    assert!(by_name("no-such-board").is_none());
}

/// What `README.md` says of a board.
fn row(profile: &Profile) -> String {
    let degrees = |fact: &Option<Fact<i32>>| {
        let celsius = |fact: &Fact<i32>| f64::from(fact.value) / 1000.0;
        fact.as_ref()
            .map_or("–".into(), |fact| celsius(fact).to_string())
    };
    let list = |items: Vec<String>| match items.as_slice() {
        [] => "–".to_owned(),
        items => items.join(", "),
    };
    let numbers = |fact: &Option<Fact<Vec<u8>>>| {
        let numbers = fact.iter().flat_map(|fact| &fact.value);
        list(numbers.map(u8::to_string).collect())
    };
    let yes_or_no = |fact: &Option<Fact<bool>>| match fact {
        Some(Fact { value: true, .. }) => "yes",
        Some(Fact { value: false, .. }) => "no",
        None => "–",
    };
    let pages = profile.page_sizes_bytes.iter().flat_map(|fact| &fact.value);
    let pages = pages.map(|bytes| format!("{}", bytes / 1024)).collect();
    let kinds = profile.storage.kinds.iter().flat_map(|fact| &fact.value);
    let kinds = kinds
        .map(|kind| format!("{kind:?}").to_lowercase())
        .collect();
    format!(
        "| `{}` | {} | {} | {} | {} / {} | {} | {} | {} | {} | {} |",
        profile.name,
        profile.title,
        profile.identity.soc.as_deref().unwrap_or("–"),
        list(pages),
        degrees(&profile.thermal.soft_limit_milli_celsius),
        degrees(&profile.thermal.hard_limit_milli_celsius),
        yes_or_no(&profile.power.detects_under_voltage),
        list(kinds),
        numbers(&profile.i2c_buses),
        profile
            .watchdog
            .as_ref()
            .map_or("–".into(), |watchdog| watchdog
                .timeout_s_max
                .value
                .to_string()),
        yes_or_no(&profile.has_rtc),
    )
}

/// Rows of the tables of `README.md`, each with its name.
fn readme_rows() -> Vec<(String, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| (row.split('`').nth(1).unwrap().to_owned(), row.to_owned()))
        .collect()
}

#[test]
fn the_readme_lists_every_board_with_what_is_known_of_it() {
    let expected: Vec<_> = profiles().iter().map(row).collect();
    let found: Vec<_> = readme_rows()
        .into_iter()
        .filter(|(name, _)| !name.contains('/'))
        .map(|(_, row)| row)
        .collect();
    assert_eq!(found, expected, "{}", expected.join("\n"));
}

#[test]
fn the_readme_says_what_goes_wrong_in_every_scenario_that_is_not_idle() {
    let mut listed: Vec<_> = readme_rows().into_iter().map(|(name, _)| name).collect();
    listed.retain(|name| name.contains('/'));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in &listed {
        let (board, scenario) = name.split_once('/').unwrap();
        let folder = root.join(board).join("fixtures").join(scenario);
        assert!(folder.is_dir(), "{name} is listed and not there");
    }
    for (board, _) in ALL {
        for entry in std::fs::read_dir(root.join(board).join("fixtures")).unwrap() {
            let scenario = entry.unwrap().file_name().into_string().unwrap();
            let name = format!("{board}/{scenario}");
            // The only scenario of a board may well be an idle one by another name.
            let is_plain = ["idle", "riscv-virt"].contains(&scenario.as_str());
            assert!(is_plain || listed.contains(&name), "{name} is not listed");
        }
    }
}

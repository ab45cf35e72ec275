//! A board is a folder with `board.toml`, a line in `ALL` and at least one scenario; a scenario
//! says where its files come from and answers the system calls.

use std::collections::BTreeSet;

use super::{Finding, Tree};

/// What a `SOURCE` may begin with.
const ORIGINS: &[&str] = &["captured", "emulated", "reconstructed"];

/// Every folder below `boards/` that holds a profile.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let inside = |file: &super::Source| file.path.strip_prefix("boards/").map(str::to_owned);
    let paths: Vec<String> = tree.files.iter().filter_map(inside).collect();
    let boards: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.split_once('/'))
        .map(|(board, _)| board)
        .filter(|board| *board != "src")
        .collect();
    boards
        .into_iter()
        .flat_map(|board| check_board(tree, board, &paths))
        .collect()
}

fn check_board(tree: &Tree, board: &str, paths: &[String]) -> Vec<Finding> {
    let profile = format!("boards/{board}/board.toml");
    let Some(manifest) = tree.file(&profile) else {
        return vec![Finding::new(
            &profile,
            0,
            "a board's folder holds a board.toml",
        )];
    };
    let mut findings = Vec::new();
    let named = format!("{board}/board.toml");
    let is_listed = tree
        .rust()
        .any(|file| file.path.starts_with("boards/src/") && file.text.contains(&named));
    if !is_listed {
        findings.push(Finding::new(
            &manifest.path,
            0,
            "the board is not in ALL (boards/src/lib.rs)",
        ));
    }
    let fixtures = format!("{board}/fixtures/");
    let scenarios: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.strip_prefix(&fixtures)?.split_once('/'))
        .map(|(scenario, _)| scenario)
        .collect();
    if scenarios.is_empty() {
        findings.push(Finding::new(
            &manifest.path,
            0,
            "the board has no scenario under fixtures/",
        ));
    }
    for scenario in scenarios {
        findings.extend(check_scenario(
            tree,
            &format!("boards/{fixtures}{scenario}"),
        ));
    }
    findings
}

fn check_scenario(tree: &Tree, folder: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let source = format!("{folder}/SOURCE");
    let origin = tree.file(&source).map(|file| file.text.as_str());
    let is_known = origin.is_some_and(|text| ORIGINS.iter().any(|origin| text.starts_with(origin)));
    if !is_known {
        let text = format!(
            "a scenario's SOURCE begins with one of {}",
            ORIGINS.join(", ")
        );
        findings.push(Finding::new(&source, 0, text));
    }
    let calls = format!("{folder}/syscalls.toml");
    if tree.file(&calls).is_none() {
        findings.push(Finding::new(
            &calls,
            0,
            "a scenario answers the system calls",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 4] = [
        ("boards/src/lib.rs", "include_str!(\"../pi/board.toml\")"),
        ("boards/pi/board.toml", ""),
        ("boards/pi/fixtures/idle/SOURCE", "captured on a Pi\n"),
        ("boards/pi/fixtures/idle/syscalls.toml", ""),
    ];

    #[test]
    fn a_whole_board_is_in_order() {
        assert_eq!(check(&Tree::of(&WHOLE)), []);
    }

    #[test]
    fn each_missing_part_is_found() {
        for (missing, (path, _)) in WHOLE.iter().enumerate() {
            let mut files = WHOLE.to_vec();
            files.remove(missing);
            assert_eq!(check(&Tree::of(&files)).len(), 1, "without {path}");
        }
    }

    #[test]
    fn a_board_without_scenarios_and_an_unknown_origin_are_found() {
        assert_eq!(check(&Tree::of(&WHOLE[..2])).len(), 1);
        let mut files = WHOLE.to_vec();
        files[2].1 = "from memory";
        assert_eq!(check(&Tree::of(&files)).len(), 1);
    }
}

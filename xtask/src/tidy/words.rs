//! Words that must not stand in the tree: machine paths, open ends without an issue, unfounded
//! exceptions, and sleeps in tests.
//!
//! This file names them all and is therefore the one that is not searched.

use super::source::{Source, is_word, line_of, numbered, words};
use super::{Finding, Tree};

const THIS_FILE: &str = "xtask/src/tidy/words.rs";

/// Directories of somebody's machine; relative paths and `~` are for everybody.
const PATHS: &[&str] = &["/root/", "/Users/"];

/// Every text file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let searched = tree.files.iter().filter(|file| file.path != THIS_FILE);
    searched
        .flat_map(|file| {
            numbered(&file.text).filter_map(|(line, text)| {
                let found = offence(text)?;
                Some(Finding::new(&file.path, line, found))
            })
        })
        .collect()
}

fn offence(line: &str) -> Option<String> {
    if let Some(path) = PATHS
        .iter()
        .find(|path| after_path(line, path).next().is_some())
    {
        return Some(format!("`{path}` is a path of one machine"));
    }
    // The user that every Raspberry Pi guide assumes is nobody in particular.
    let is_somebody = |rest: &str| rest.starts_with(is_word) && !rest.starts_with("pi/");
    if after_path(line, "/home/").any(is_somebody) {
        return Some("`/home/…` is a path of one machine".to_owned());
    }
    if line.contains("```ignore") {
        return Some("an example that is not compiled is not an example".to_owned());
    }
    is_open_end(line).then(|| "a TODO names its issue: TODO(#12)".to_owned())
}

/// What follows each `path` that begins a path instead of continuing one.
fn after_path<'a>(line: &'a str, path: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(path).filter_map(|(at, _)| {
        let before = line.get(..at)?;
        let continues =
            before.ends_with(|c| is_word(c) || matches!(c, '/' | '.' | '~' | '}' | '*' | '-'));
        if continues {
            None
        } else {
            line.get(at + path.len()..)
        }
    })
}

fn is_open_end(line: &str) -> bool {
    ["TODO", "FIXME"].iter().any(|mark| {
        words(line, mark).any(|at| {
            let after = line.get(at + mark.len()..).unwrap_or_default();
            let number = after
                .strip_prefix("(#")
                .and_then(|after| after.chars().next());
            !number.is_some_and(|c| c.is_ascii_digit())
        })
    })
}

/// `allow` says why, everywhere; `expect` is better, because it tells when it is not needed.
pub(crate) fn check_attributes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for start in ["#[allow(", "#![allow("] {
            for (at, _) in file.code.match_indices(start) {
                let attribute = file.code.get(at..).and_then(|rest| rest.split(']').next());
                if !attribute.is_some_and(|attribute| attribute.contains("reason")) {
                    let text = "`#[expect(lint, reason = \"…\")]` instead of a bare allow";
                    findings.push(Finding::new(&file.path, line_of(&file.code, at), text));
                }
            }
        }
    }
    findings
}

/// A test waits for what it wants to see, never for a time. The end-to-end harness has the one
/// helper that polls.
pub(crate) fn check_sleeps(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for at in words(&file.code, "sleep") {
            let calls = file
                .code
                .get(at..)
                .is_some_and(|rest| rest.starts_with("sleep("));
            let line = line_of(&file.code, at);
            let is_product = !file.is_test() && line_of_product(file, line).contains("sleep");
            if calls && !is_product {
                findings.push(Finding::new(&file.path, line, "a test does not sleep"));
            }
        }
    }
    findings
}

fn line_of_product(file: &Source, line: usize) -> &str {
    numbered(&file.product)
        .find(|(number, _)| *number == line)
        .map_or("", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Tree::of(&[("docs/a.md", text)])).len()
    }

    #[test]
    fn each_kind_of_word_is_found() {
        for text in [
            "see /Users/u/x",
            "cd /root/x",
            "in /home/ann/src",
            "```ignore",
            "TODO: later",
            "FIXME",
            "// TODO(ann): x",
        ] {
            assert_eq!(findings(text), 1, "{text}");
        }
    }

    #[test]
    fn innocent_words_are_not_found() {
        for text in [
            "src/observe/root.rs",
            "/home/pi/x",
            "--root DIR",
            "/proc/1/root/x",
            "TODO(#12): x",
            "TODOs",
            "$HOME/Users/x",
            "nodling/home/up/pi",
            "nodling://home/pi",
        ] {
            assert_eq!(findings(text), 0, "{text}");
        }
    }

    #[test]
    fn a_bare_allow_is_found_and_one_with_a_reason_is_not() {
        let bare = Tree::of(&[("a.rs", "#[allow(dead_code)]\n#![allow(x)]")]);
        assert_eq!(check_attributes(&bare).len(), 2);
        let founded = Tree::of(&[("a.rs", "#[allow(\n dead_code,\n reason = \"x\"\n)]")]);
        assert!(check_attributes(&founded).is_empty());
    }

    #[test]
    fn a_sleep_in_a_test_is_found() {
        let test =
            "fn a() { sleep(x) }\n#[cfg(test)]\nmod tests { fn b() { tokio::time::sleep(x); } }";
        let found = check_sleeps(&Tree::of(&[("a/src/a.rs", test)]));
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [3]
        );
        assert_eq!(
            check_sleeps(&Tree::of(&[("a/tests/a.rs", "fn a() { sleep(x) }")])).len(),
            1
        );
        assert!(
            check_sleeps(&Tree::of(&[("a/tests/a.rs", "fn a() { sleep_until(x) }")])).is_empty()
        );
    }
}

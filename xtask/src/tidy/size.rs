//! Files stay small and say what they are: at most 500 lines without tests, `//!` first.
//!
//! The length of functions is clippy's to judge.

use super::source::{Source, numbered};
use super::{Finding, Tree};

/// Lines of code, comments included and tests left out.
const FILE_LINES_MAX: usize = 500;

/// Every Rust file that is not a test.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .flat_map(|file| [opening(file), length(file)])
        .flatten()
        .collect()
}

fn opening(file: &Source) -> Option<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    (!first.starts_with("//!")).then(|| Finding::new(&file.path, 1, "a file opens with `//!`"))
}

fn length(file: &Source) -> Option<Finding> {
    if file.is_test() {
        return None;
    }
    // A blanked test module leaves its line breaks; what follows the last line of product code
    // does not count.
    let last = numbered(&file.product)
        .filter(|(_, line)| !line.trim().is_empty())
        .last();
    let lines = last.map_or(0, |(line, _)| line);
    (lines > FILE_LINES_MAX).then(|| {
        Finding::new(
            &file.path,
            0,
            format!("{lines} lines without tests; the limit is {FILE_LINES_MAX}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_opening_is_found() {
        assert_eq!(check(&Tree::of(&[("a.rs", "fn a() {}")])).len(), 1);
        assert!(check(&Tree::of(&[("a.rs", "//! Says.\nfn a() {}")])).is_empty());
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = format!("//! Says.\n{}", "fn a() {}\n".repeat(FILE_LINES_MAX));
        assert_eq!(check(&Tree::of(&[("a/src/a.rs", &long)])).len(), 1);
        assert!(check(&Tree::of(&[("a/tests/a.rs", &long)])).is_empty());
        let tests = "fn b() {}\n".repeat(FILE_LINES_MAX);
        let tested = format!("//! Says.\nfn a() {{}}\n#[cfg(test)]\nmod tests {{\n{tests}}}\n");
        assert!(check(&Tree::of(&[("a/src/a.rs", &tested)])).is_empty());
    }
}

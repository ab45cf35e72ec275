//! What the documents say is true: commands exist, decisions are numbered once and short, and
//! `cross` reads our file.

use std::collections::BTreeMap;

use clap::CommandFactory as _;

use super::source::{Source, numbered};
use super::{Finding, Tree};
use crate::Cli;

/// A decision that needs more is two decisions.
const DECISION_LINES_MAX: usize = 60;

/// `docs/decisions/NNNN-verb-object.md`.
pub(crate) fn check_decisions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for file in &tree.files {
        let Some(name) = file.path.strip_prefix("docs/decisions/") else {
            continue;
        };
        let number = name.split('-').next().unwrap_or_default();
        let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number
            || name
                .strip_suffix(".md")
                .is_none_or(|stem| stem.split('-').count() < 3)
        {
            findings.push(Finding::new(
                &file.path,
                0,
                "a decision is named NNNN-verb-object.md",
            ));
            continue;
        }
        if let Some(other) = taken.insert(number, &file.path) {
            findings.push(Finding::new(
                &file.path,
                0,
                format!("its number is taken by {other}"),
            ));
        }
        let lines = file.text.lines().count();
        if lines > DECISION_LINES_MAX {
            let text = format!("{lines} lines; a decision has at most {DECISION_LINES_MAX}");
            findings.push(Finding::new(&file.path, 0, text));
        }
        if !file.text.starts_with("# ") {
            findings.push(Finding::new(
                &file.path,
                1,
                "a decision opens with its title",
            ));
        }
    }
    findings
}

/// What cargo can do by itself, as far as our documents use it.
const BUILT_IN: &[&str] = &[
    "bench", "build", "check", "clippy", "doc", "fmt", "install", "run", "test", "update",
];

/// Cargo's own subcommands that people install, as the documents tell them to.
const INSTALLED: &[&str] = &[
    "cross", "deny", "fuzz", "insta", "machete", "nextest", "zigbuild",
];

/// Each `cargo …` in code, in any document, is a command that exists.
pub(crate) fn check_commands(tree: &Tree) -> Vec<Finding> {
    let aliases = tree
        .file(".cargo/config.toml")
        .map(|file| aliases(&file.text))
        .unwrap_or_default();
    let documents = tree.files.iter().filter(|file| is_document(file));
    let mut findings = Vec::new();
    for file in documents {
        for (line, command) in commands(file) {
            if let Err(why) = parse(&command, &aliases) {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("`{command}`: {why}"),
                ));
            }
        }
    }
    findings
}

fn aliases(config: &str) -> Vec<String> {
    let section = config
        .lines()
        .skip_while(|line| line.trim() != "[alias]")
        .skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()))
        .collect()
}

/// Every piece of code, inline or in a block, that begins with `cargo `.
fn commands(file: &Source) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let mut is_fenced = false;
    for (number, line) in numbered(&file.text) {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            let command = line.trim().trim_start_matches("$ ");
            commands.extend(
                command
                    .starts_with("cargo ")
                    .then(|| (number, command.to_owned())),
            );
        } else {
            let inline = line
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|code| code.starts_with("cargo "));
            commands.extend(inline.map(|code| (number, code.to_owned())));
        }
    }
    commands
}

fn parse(command: &str, aliases: &[String]) -> Result<(), String> {
    let code = command.split(" #").next().unwrap_or_default();
    let words: Vec<&str> = code
        .split_whitespace()
        .skip(1)
        .filter(|word| !word.starts_with('+'))
        .collect();
    let Some((first, rest)) = words.split_first() else {
        return Ok(());
    };
    if *first == "xtask" {
        let is_shown_whole = !rest.iter().any(|word| word.contains(['[', '…', '<']));
        return if is_shown_whole {
            parse_xtask(rest)
        } else {
            parse_subcommand(rest)
        };
    }
    let is_known = BUILT_IN.contains(first)
        || INSTALLED.contains(first)
        || aliases.iter().any(|alias| alias == first);
    if is_known {
        Ok(())
    } else {
        Err("cargo has no such command, nor has .cargo/config.toml".to_owned())
    }
}

fn parse_xtask(arguments: &[&str]) -> Result<(), String> {
    let words = std::iter::once("xtask").chain(arguments.iter().copied());
    if arguments.is_empty() {
        return Ok(());
    }
    match Cli::command().try_get_matches_from(words) {
        Err(err) if err.use_stderr() => Err("xtask does not understand it".to_owned()),
        // `--help` comes as an error too.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A command shown with placeholders: at least its name is known.
fn parse_subcommand(arguments: &[&str]) -> Result<(), String> {
    let name = arguments.first().copied().unwrap_or_default();
    let is_placeholder = name.starts_with(['<', '…', '[']);
    if is_placeholder || Cli::command().find_subcommand(name).is_some() {
        Ok(())
    } else {
        Err("xtask has no such command".to_owned())
    }
}

/// Each link to a file of ours leads somewhere.
pub(crate) fn check_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_document(file)) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, text) in numbered(&file.text) {
            for target in text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split([')', '#']).next())
            {
                let path = join(folder, target);
                if !target.is_empty() && !target.contains("://") && !exists(tree, &path) {
                    findings.push(Finding::new(
                        &file.path,
                        line,
                        format!("there is no {path}"),
                    ));
                }
            }
        }
    }
    findings
}

fn is_document(file: &Source) -> bool {
    file.path.to_lowercase().ends_with(".md")
}

/// A file, or a folder with one.
fn exists(tree: &Tree, path: &str) -> bool {
    tree.files.iter().any(|file| {
        file.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn join<'a>(folder: &'a str, target: &'a str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// `cross` reads `Cross.toml` unless the environment names another file.
pub(crate) fn check_cross(tree: &Tree) -> Vec<Finding> {
    let config = ".cargo/config.toml";
    let is_set = tree
        .file(config)
        .is_some_and(|file| file.text.contains("CROSS_CONFIG"));
    if tree.file("cross.toml").is_some() && !is_set {
        return vec![Finding::new(
            config,
            0,
            "without CROSS_CONFIG nobody reads cross.toml",
        )];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_with_a_taken_number_or_too_many_lines_is_found() {
        let long = format!("# Long\n{}", "x\n".repeat(DECISION_LINES_MAX));
        let tree = Tree::of(&[
            ("docs/decisions/0001-use-this.md", "# Use this\n"),
            ("docs/decisions/0001-use-that.md", "# Use that\n"),
            ("docs/decisions/0002-say-much.md", &long),
            ("docs/decisions/notes.md", "# Notes\n"),
            ("docs/decisions/0003-open-badly.md", "Notes\n"),
        ]);
        assert_eq!(check_decisions(&tree).len(), 4);
    }

    #[test]
    fn a_command_that_does_not_exist_is_found() {
        let config = (
            ".cargo/config.toml",
            "[alias]\nxtask = \"run\"\ndemo = \"run\"\n\n[env]\nX = 1\n",
        );
        let good = "`cargo demo`, `cargo xtask test --quick`\n```sh\ncargo xtask tidy # all\n$ cargo build\n```\n`cargo xtask bench [NAME…]`";
        assert_eq!(
            check_commands(&Tree::of(&[config, ("README.md", good)])),
            []
        );
        let bad = "`cargo demos`\n```\ncargo xtask tide\n```\n`cargo xtask test --quik`";
        let found = check_commands(&Tree::of(&[config, ("README.md", bad)]));
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [1, 3, 5]
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let good = (
            "docs/a.md",
            "[a](../README.md#top), [b](decisions), [c](#here), [d](https://x.example)",
        );
        let files = [("README.md", ""), ("docs/decisions/0001-a-b.md", ""), good];
        assert_eq!(check_links(&Tree::of(&files)), []);
        let bad = (
            "docs/a.md",
            "[a](README.md) and [b](../docs)\n[c](decision)",
        );
        let found = check_links(&Tree::of(&[files[0], files[1], bad]));
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[test]
    fn a_cross_file_that_nobody_reads_is_found() {
        let file = ("cross.toml", "");
        assert_eq!(check_cross(&Tree::of(&[file])).len(), 1);
        assert!(
            check_cross(&Tree::of(&[
                file,
                (".cargo/config.toml", "CROSS_CONFIG = 1")
            ]))
            .is_empty()
        );
    }
}

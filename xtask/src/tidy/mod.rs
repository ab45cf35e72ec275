//! `cargo xtask tidy`: the rules of this repository that neither the compiler nor another tool
//! knows, each a pure function from the tree's text to findings.
//!
//! A rule that a finding breaks stands in ARCHITECTURE.md or CONTRIBUTING.md; a false finding
//! is a defect of the rule and mended here, never worked around in the code.

mod source;
mod size;
mod layers;
mod boards;
mod words;
mod docs;

use anyhow::{Context as _, bail};

use crate::repo::Repo;
use source::Source;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 where the file as a whole is meant.
    line: usize,
    text: String,
}

impl Finding {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            text: text.into(),
        }
    }
}

/// The tracked text files.
pub(crate) struct Tree {
    files: Vec<Source>,
}

impl Tree {
    fn read(repo: &Repo) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in repo.files()? {
            let bytes =
                std::fs::read(repo.root.join(&path)).with_context(|| format!("reading {path}"))?;
            // What is not text (a fixture's binary pseudo-file) still counts by its name.
            files.push(Source::new(
                &path,
                String::from_utf8(bytes).unwrap_or_default(),
            ));
        }
        Ok(Self { files })
    }

    /// A tree in memory, for tests of the rules.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let sources = files
            .iter()
            .map(|(path, text)| Source::new(path, (*text).to_owned()));
        Self {
            files: sources.collect(),
        }
    }

    fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.is_rust())
    }

    fn file(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    size::check,
    layers::check_module_order,
    layers::check_names,
    layers::check_dependencies,
    boards::check,
    words::check,
    words::check_attributes,
    words::check_sleeps,
    docs::check_decisions,
    docs::check_commands,
    docs::check_links,
    docs::check_cross,
];

/// Applies every rule to the checkout; an error if any is broken.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let tree = Tree::read(repo)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for Finding { path, line, text } in &findings {
        println!("{path}:{line}: {text}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!(
        "tidy: {} files, {} rules, no finding",
        tree.files.len(),
        RULES.len()
    );
    Ok(())
}

//! The order of the stages, as code: a module uses only what stands above it in `lib.rs`, pure
//! stages name no runtime, and each foreign library is named in one place.

use super::source::{Source, is_word, line_of, words};
use super::{Finding, Tree};

/// Crates whose `lib.rs` states the order of their modules.
const CRATES: &[&str] = &["protocol", "boards", "agent", "gateway", "e2e"];

/// `mod` lines stand in the order in which data flows, and nothing looks downstream.
pub(crate) fn check_module_order(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for krate in CRATES {
        let Some(lib) = tree.file(&format!("{krate}/src/lib.rs")) else {
            continue;
        };
        let modules = modules(&lib.product);
        let src = format!("{krate}/src/");
        for file in tree.rust().filter(|file| file.path.starts_with(&src)) {
            let Some(own) = module_of(&file.path, &src) else {
                continue;
            };
            let Some(rank) = modules.iter().position(|module| *module == own) else {
                continue;
            };
            for (at, used) in used_modules(&file.product, is_root_module(&file.path, &src)) {
                if modules.iter().skip(rank + 1).any(|later| *later == used) {
                    let text = format!("`{own}` uses `{used}`, which stands below it in lib.rs");
                    findings.push(Finding::new(&file.path, line_of(&file.product, at), text));
                }
            }
        }
    }
    findings
}

/// The names in `mod name;` lines, in order.
fn modules(code: &str) -> Vec<&str> {
    let declared = code.lines().filter_map(|line| {
        let (_, name) = line.trim().strip_suffix(';')?.split_once("mod ")?;
        name.chars().all(is_word).then_some(name)
    });
    declared.collect()
}

fn module_of<'a>(path: &'a str, src: &str) -> Option<&'a str> {
    let inside = path.strip_prefix(src)?;
    let first = inside.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main" | "bin")).then_some(name)
}

/// Whether `super` in this file is the crate.
fn is_root_module(path: &str, src: &str) -> bool {
    let inside = path.strip_prefix(src).unwrap_or(path);
    !inside.contains('/')
        || inside
            .strip_suffix("/mod.rs")
            .is_some_and(|stem| !stem.contains('/'))
}

/// The first segments of every path into the crate, with where they stand.
fn used_modules(code: &str, super_is_crate: bool) -> Vec<(usize, &str)> {
    let mut used = Vec::new();
    let prefix = if super_is_crate {
        "super"
    } else {
        "super::super"
    };
    for start in ["crate", prefix] {
        for at in words(code, start) {
            let after = code.get(at + start.len()..).unwrap_or_default();
            let Some(path) = after.strip_prefix("::") else {
                continue;
            };
            used.extend(first_segments(path).into_iter().map(|name| (at, name)));
        }
    }
    used
}

/// `a::B` begins with `a`; `{a::B, c::{D, E}}` with `a` and `c`.
fn first_segments(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![identifier(path)];
    };
    let mut depth = 0_usize;
    let mut segments = vec![identifier(group.trim_start())];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                segments.push(identifier(
                    group.get(at + 1..).unwrap_or_default().trim_start(),
                ));
            }
            _ => {}
        }
    }
    segments
}

fn identifier(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// A name, the part of the tree where it is watched, and the paths that may use it.
struct Confined {
    name: &'static str,
    within: &'static [&'static str],
    except: &'static [&'static str],
    why: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        name: "tokio",
        within: &[
            "agent/src/assess",
            "agent/src/encode",
            "gateway/src/decode",
            "gateway/src/roster",
            "gateway/src/reconcile",
            "protocol/src",
            "boards/src",
        ],
        except: &[],
        why: "pure stages take `now` and do no IO",
    },
    Confined {
        name: "rumqttc",
        within: &["agent/src", "gateway/src", "boards/src", "protocol/src"],
        except: &["agent/src/publish/mqtt", "gateway/src/receive"],
        why: "the MQTT client is named in agent/src/publish/mqtt.rs and gateway/src/receive.rs",
    },
];

/// Where Kubernetes may be spoken to.
const KUBE_CLIENT: &[&str] = &[
    "gateway/src/apply",
    "gateway/src/watch",
    "gateway/src/apiserver",
    "gateway/src/run",
    // They open the client and use it for the command line.
    "gateway/src/target",
    "gateway/src/admin",
];

/// Foreign libraries stay behind the files that are theirs. Tests may use what they need.
pub(crate) fn check_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.is_test()) {
        for rule in CONFINED
            .iter()
            .filter(|rule| applies(rule.within, rule.except, &file.path))
        {
            findings.extend(words(&file.product, rule.name).map(|at| {
                let text = format!("{} is named here; {}", rule.name, rule.why);
                Finding::new(&file.path, line_of(&file.product, at), text)
            }));
        }
        if applies(&["gateway/src", "agent/src"], KUBE_CLIENT, &file.path) {
            findings.extend(kube_clients(file));
        }
    }
    findings
}

fn applies(within: &[&str], except: &[&str], path: &str) -> bool {
    let lies_in = |folders: &[&str]| {
        folders.iter().any(|folder| {
            path.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with(['/', '.']))
        })
    };
    lies_in(within) && !lies_in(except)
}

/// `kube::Client`, `kube::{Api, …}`: the client, not the types of the API.
fn kube_clients(file: &Source) -> Vec<Finding> {
    let code = &file.product;
    let paths = words(code, "kube").filter_map(|at| {
        let before = code.get(..at).unwrap_or_default();
        let path = code.get(at..)?.strip_prefix("kube::")?;
        let path = path.split([';', '(', ')', '=']).next()?;
        let names_client = path
            .split(|c| !is_word(c))
            .any(|name| matches!(name, "Client" | "Api"));
        (!before.ends_with("::") && names_client).then_some(at)
    });
    let text = "the Kubernetes client is for apply, watch, admin, apiserver, target.rs and run.rs";
    paths
        .map(|at| Finding::new(&file.path, line_of(code, at), text))
        .collect()
}

/// Which of our crates each may depend on; anything else crosses a wall.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("boards", &[]),
    ("agent", &["nodling-protocol", "nodling-boards"]),
    ("gateway", &["nodling-protocol"]),
    ("xtask", &[]),
];

/// The dependency law, from the manifests.
pub(crate) fn check_dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (krate, allowed) in DEPENDENCIES {
        let Some(manifest) = tree.file(&format!("{krate}/Cargo.toml")) else {
            continue;
        };
        for (line, text) in super::source::numbered(&manifest.text) {
            let name = text.split(['.', ' ', '=']).next().unwrap_or_default();
            if name.starts_with("nodling-") && !allowed.contains(&name) {
                let text = format!("{krate} must not depend on {name}");
                findings.push(Finding::new(&manifest.path, line, text));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: (&str, &str) = (
        "agent/src/lib.rs",
        "pub mod observe;\nmod assess;\n#[cfg(test)]\nmod testing;\n",
    );

    #[test]
    fn a_module_that_looks_downstream_is_found() {
        let up = (
            "agent/src/assess/rates.rs",
            "use crate::{observe::Root, assess::x};",
        );
        assert!(check_module_order(&Tree::of(&[LIB, up])).is_empty());
        for down in [
            "use crate::assess::A;",
            "use crate::{\n observe::{a, b},\n assess::A};",
            "use super::assess;",
        ] {
            let tree = Tree::of(&[LIB, ("agent/src/observe/mod.rs", down)]);
            assert_eq!(check_module_order(&tree).len(), 1, "{down}");
        }
    }

    #[test]
    fn a_test_may_look_downstream() {
        let file = (
            "agent/src/observe/a.rs",
            "#[cfg(test)]\nmod tests { use crate::assess::A; }",
        );
        assert!(check_module_order(&Tree::of(&[LIB, file])).is_empty());
    }

    #[test]
    fn super_in_a_subject_file_is_its_stage() {
        let lib = ("agent/src/lib.rs", "mod observe;\nmod cpu;\n");
        let file = ("agent/src/observe/load.rs", "use super::cpu::Cpu;");
        assert!(check_module_order(&Tree::of(&[lib, file])).is_empty());
        let file = ("agent/src/observe/load.rs", "use super::super::cpu::Cpu;");
        assert_eq!(check_module_order(&Tree::of(&[lib, file])).len(), 1);
    }

    #[test]
    fn a_runtime_in_a_pure_stage_is_found() {
        let pure = (
            "gateway/src/decode.rs",
            "use tokio::time::Instant; // tokio",
        );
        assert_eq!(check_names(&Tree::of(&[pure])).len(), 1);
        let pure = ("gateway/src/reconcile/node.rs", "use std::time::Instant;");
        assert!(check_names(&Tree::of(&[pure])).is_empty());
    }

    #[test]
    fn the_mqtt_client_outside_its_file_is_found() {
        let wrong = ("agent/src/run.rs", "use rumqttc::v5::AsyncClient;");
        let right = ("agent/src/publish/mqtt.rs", "use rumqttc::v5::AsyncClient;");
        assert_eq!(check_names(&Tree::of(&[wrong, right])).len(), 1);
    }

    #[test]
    fn the_kubernetes_client_outside_its_files_is_found() {
        for wrong in [
            "use kube::Client;",
            "use kube::{Api, Error};",
            "fn f(c: &kube::Client) {}",
        ] {
            assert_eq!(
                check_names(&Tree::of(&[("gateway/src/roster.rs", wrong)])).len(),
                1,
                "{wrong}"
            );
            assert!(check_names(&Tree::of(&[("gateway/src/apply/kube.rs", wrong)])).is_empty());
        }
        for right in [
            "use crate::apply::kube::Api;",
            "use kube::core::ObjectMeta;",
        ] {
            assert!(
                check_names(&Tree::of(&[("gateway/src/roster.rs", right)])).is_empty(),
                "{right}"
            );
        }
    }

    #[test]
    fn a_crate_that_crosses_a_wall_is_found() {
        let manifest = (
            "gateway/Cargo.toml",
            "[dependencies]\nnodling-protocol = { workspace = true }\nnodling-agent.workspace = true\n",
        );
        let findings = check_dependencies(&Tree::of(&[manifest]));
        assert_eq!(
            findings
                .iter()
                .map(|finding| finding.line)
                .collect::<Vec<_>>(),
            [3]
        );
    }
}

//! What the configuration asks of the Node's registration: kubelet's `--register-node`,
//! `--node-labels` and `registerWithTaints`, and Kubernetes' rules for keys and values.
//!
//! Sent in Facts as wishes: the gateway judges them again. Pure.

use std::collections::BTreeMap;

use nodling_protocol::NodeName;
use nodling_protocol::facts::TaintEffect;

/// What is asked of a Node's registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Whether the gateway may make the Node, or only keep up one that is there.
    pub register_node: bool,
    /// Labels by key.
    pub node_labels: BTreeMap<Box<str>, Box<str>>,
    /// Set when the Node is made, and never again.
    pub taints: Vec<Taint>,
}

/// A taint that a Node is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: Box<str>,
    /// Value, may be empty.
    pub value: Box<str>,
    /// Effect.
    pub effect: TaintEffect,
}

impl Registration {
    /// A Node without wishes.
    pub const fn new() -> Self {
        Self {
            register_node: true,
            node_labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self::new()
    }
}

/// Labels in Kubernetes' own domains that a kubelet may set.
const KUBELETS_LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// Whether a kubelet may set a label of this key.
pub fn is_kubelets_to_set(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return true;
    };
    let is_kubernetes = within(domain, "kubernetes.io") || within(domain, "k8s.io");
    !is_kubernetes
        || KUBELETS_LABELS.contains(&key)
        || within(domain, "kubelet.kubernetes.io")
        || within(domain, "node.kubernetes.io")
}

fn within(domain: &str, parent: &str) -> bool {
    domain
        .strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `[prefix/]name`, which Kubernetes calls a qualified name: the key of a label or a taint.
pub fn is_qualified_name(text: &str) -> bool {
    let name = match text.split_once('/') {
        Some((prefix, name)) if NodeName::parse(prefix).is_ok() => name,
        Some(_) => return false,
        None => text,
    };
    !name.is_empty() && is_label_value(name)
}

/// Whether Kubernetes takes this as a label's or a taint's value.
pub fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kubernetes_qualified_names() {
        let (name, prefix) = ("n".repeat(63), "p".repeat(253));
        for key in [
            "a",
            "A_b-c.9",
            "example.com/a",
            &name,
            &format!("{prefix}/{name}"),
        ] {
            assert!(is_qualified_name(key), "{key}");
        }
        let (long_name, long_prefix) = ("n".repeat(64), format!("{}/a", "p".repeat(254)));
        for key in [
            "",
            "/a",
            "a/",
            "-a",
            "a-",
            "a/b/c",
            "Example.com/a",
            "a b",
            "ä",
            &long_name,
            &long_prefix,
        ] {
            assert!(!is_qualified_name(key), "{key}");
        }
    }

    #[test]
    fn values_may_be_empty_and_have_63_characters() {
        for value in ["", "a", "Attic.2_b-3", &"v".repeat(63)] {
            assert!(is_label_value(value), "{value}");
        }
        for value in ["-", "a-", ".a", "a b", "a/b", "ä", &"v".repeat(64)] {
            assert!(!is_label_value(value), "{value}");
        }
    }

    #[test]
    fn of_kubernetes_own_labels_only_kubelets_may_be_set() {
        for key in [
            "zone",
            "example.com/zone",
            "notkubernetes.io/zone",
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
            "node.kubernetes.io/anything",
            "sub.kubelet.kubernetes.io/anything",
        ] {
            assert!(is_kubelets_to_set(key), "{key}");
        }
        for key in [
            "kubernetes.io/role",
            "node-role.kubernetes.io/control-plane",
            "node-restriction.kubernetes.io/secret",
            "k8s.io/a",
            "x.k8s.io/a",
            "notnode.kubernetes.io/a",
        ] {
            assert!(!is_kubelets_to_set(key), "{key}");
        }
    }
}

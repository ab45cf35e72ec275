//! Kubernetes' rules for the keys and values of labels and taints, and which of them a board may
//! ask for.
//!
//! The agent refuses by them what its configuration asks; the gateway judges again by the same
//! ones, since a frame may say anything.

use crate::topic::NodeName;

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
    !is_kubernetes(domain)
        || KUBELETS_LABELS.contains(&key)
        || within(domain, "kubelet.kubernetes.io")
        || within(domain, "node.kubernetes.io")
}

/// Whether a key's prefix belongs to Kubernetes itself.
pub fn is_kubernetes(domain: &str) -> bool {
    within(domain, "kubernetes.io") || within(domain, "k8s.io")
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
    use std::format;

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

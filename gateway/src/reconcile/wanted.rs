//! Turns Facts into the parts of a Node that they decide: labels, taints, addresses, amounts.
//!
//! A board may ask for what `NodeRestriction` allows a kubelet. What Kubernetes would refuse is
//! left out here, because one bad address would otherwise hold the whole status back.

use core::net::IpAddr;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    DaemonEndpoint, NodeAddress, NodeDaemonEndpoints, NodeStatus, NodeSwapStatus, NodeSystemInfo,
    Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nodling_protocol::facts::{Address, AddressKind, MAX_RESOURCES, Resource};
use nodling_protocol::{Facts, NodeName};

use super::quantity::quantity;

/// Label and taint of every node that only reports.
pub(super) const AGENT_ONLY: &str = "nodling.dev/agent-only";
/// Ends every version that we write.
pub(super) const VERSION_SUFFIX: &str = "+nodling";

/// Labels a kubelet may set in Kubernetes' own domains.
const ALLOWED_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// Labels that a kubelet sets by itself and then lets its owner overwrite. It puts `os` and
/// `arch` right again at once, so these are not among them.
const OVERWRITABLE_LABELS: [&str; 3] = [
    "kubernetes.io/hostname",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// What the gateway makes of Facts in labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Labels {
    /// Ours whatever anybody wrote: the board, and what marks it.
    pub(super) own: BTreeMap<String, String>,
    /// Asked for by the board: kept only where nobody else set the key.
    pub(super) asked: BTreeMap<String, String>,
    /// Keys that were refused.
    pub(super) refused: Vec<String>,
}

/// The labels of a node.
pub(super) fn labels(node: &str, facts: &Facts<'_>) -> Labels {
    let mut labels = Labels::default();
    let hostname = facts
        .addresses
        .iter()
        .find(|address| address.kind == AddressKind::Hostname)
        .map(|address| address.address)
        .filter(|hostname| !hostname.is_empty() && is_label_value(hostname));
    let (os, arch) = (facts.system.operating_system, facts.system.architecture);
    let board = facts.board.as_ref();
    for (key, value) in [
        ("kubernetes.io/hostname", hostname.unwrap_or(node)),
        ("kubernetes.io/os", os),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", os),
        ("beta.kubernetes.io/arch", arch),
        (AGENT_ONLY, "true"),
        (
            "node.kubernetes.io/exclude-from-external-load-balancers",
            "true",
        ),
        ("nodling.dev/board", board.map_or("", |board| board.name)),
        ("nodling.dev/soc", board.map_or("", |board| board.soc)),
    ] {
        let value = label_value(value);
        if !value.is_empty() {
            labels.own.insert(key.to_owned(), value);
        }
    }
    for label in &facts.labels {
        match labels.own.get(label.key) {
            // Said twice is no disagreement: agents name what kubelet names.
            Some(own) if own == label.value => {}
            Some(_)
                if OVERWRITABLE_LABELS.contains(&label.key)
                    && is_allowed(label.key, label.value) =>
            {
                let (key, value) = (label.key.to_owned(), label.value.to_owned());
                labels.own.insert(key, value);
            }
            None if is_allowed(label.key, label.value) => {
                let (key, value) = (label.key.to_owned(), label.value.to_owned());
                labels.asked.insert(key, value);
            }
            Some(_) | None => labels.refused.push(label.key.chars().take(128).collect()),
        }
    }
    labels.refused.sort_unstable();
    labels
}

/// The taints of a Node at its creation.
pub(super) fn taints(facts: &Facts<'_>) -> Vec<Taint> {
    let agent_only = Taint {
        effect: "NoSchedule".to_owned(),
        key: AGENT_ONLY.to_owned(),
        time_added: None,
        value: None,
    };
    let mut taints = vec![agent_only];
    for asked in &facts.taints {
        let is_new = !taints
            .iter()
            .any(|taint| taint.key == asked.key && taint.effect == asked.effect.as_str());
        if is_new && is_taint(asked) {
            taints.push(Taint {
                effect: asked.effect.as_str().to_owned(),
                key: asked.key.to_owned(),
                time_added: None,
                value: (!asked.value.is_empty()).then(|| asked.value.to_owned()),
            });
        }
    }
    taints
}

/// Keys of the taints that Kubernetes would refuse.
pub(super) fn refused_taints(facts: &Facts<'_>) -> Vec<String> {
    let refused = facts.taints.iter().filter(|asked| !is_taint(asked));
    refused
        .map(|asked| asked.key.chars().take(128).collect())
        .collect()
}

fn is_taint(asked: &nodling_protocol::facts::Taint<'_>) -> bool {
    is_qualified_name(asked.key) && is_label_value(asked.value)
}

/// The status of a node but for its conditions and phase.
pub(super) fn status(facts: &Facts<'_>) -> NodeStatus {
    let system = &facts.system;
    NodeStatus {
        addresses: Some(addresses(&facts.addresses)),
        allocatable: Some(amounts(&facts.allocatable)),
        capacity: Some(amounts(&facts.capacity)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            // Nothing listens on a board.
            kubelet_endpoint: Some(DaemonEndpoint { port: 0 }),
        }),
        node_info: Some(NodeSystemInfo {
            architecture: system.architecture.to_owned(),
            boot_id: facts.boot_id.to_string(),
            container_runtime_version: system.container_runtime_version.to_owned(),
            kernel_version: system.kernel_version.to_owned(),
            kube_proxy_version: String::new(),
            kubelet_version: format!(
                "v{}{VERSION_SUFFIX}",
                system.agent_version.trim_start_matches('v')
            ),
            machine_id: system.machine_id.to_owned(),
            operating_system: system.operating_system.to_owned(),
            os_image: system.os_image.to_owned(),
            swap: system
                .swap_capacity_bytes
                .filter(|&bytes| bytes > 0)
                .map(|bytes| NodeSwapStatus {
                    capacity: i64::try_from(bytes).ok(),
                }),
            system_uuid: system.system_uuid.to_owned(),
        }),
        ..NodeStatus::default()
    }
}

fn addresses(asked: &[Address<'_>]) -> Vec<NodeAddress> {
    let mut addresses: Vec<NodeAddress> = Vec::new();
    for address in asked {
        let is_valid = match address.kind {
            AddressKind::InternalIp => address.address.parse::<IpAddr>().is_ok(),
            // Only the gateway's owner knows what is reachable from outside.
            AddressKind::ExternalIp => false,
            AddressKind::Hostname | AddressKind::InternalDns | AddressKind::ExternalDns => {
                NodeName::parse(address.address).is_ok()
            }
        };
        let address = NodeAddress {
            address: address.address.to_owned(),
            type_: address.kind.as_str().to_owned(),
        };
        if is_valid && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn amounts(resources: &heapless::Vec<Resource<'_>, MAX_RESOURCES>) -> BTreeMap<String, Quantity> {
    let mut amounts: BTreeMap<_, _> = resources
        .iter()
        .filter(|resource| is_resource(resource.name))
        .map(|resource| (resource.name.to_owned(), quantity(resource)))
        .collect();
    // Nothing can run here; a board's owner may still ask to show a number (decision 0013).
    let none = || Quantity("0".to_owned());
    amounts.entry("pods".to_owned()).or_insert_with(none);
    amounts
}

/// Whether a resource can stand in a status.
pub(super) fn is_resource(name: &str) -> bool {
    match name.split_once('/') {
        None => {
            matches!(name, "cpu" | "memory" | "ephemeral-storage" | "pods")
                || name
                    .strip_prefix("hugepages-")
                    .is_some_and(|size| !size.is_empty() && is_qualified_name(name))
        }
        Some((domain, _)) => !is_kubernetes(domain) && is_qualified_name(name),
    }
}

fn is_allowed(key: &str, value: &str) -> bool {
    let is_free = match key.split_once('/') {
        None => true,
        Some((domain, _)) => {
            !is_kubernetes(domain)
                || ALLOWED_LABELS.contains(&key)
                || within(domain, "kubelet.kubernetes.io")
                || within(domain, "node.kubernetes.io")
        }
    };
    is_free && is_qualified_name(key) && is_label_value(value)
}

fn is_kubernetes(domain: &str) -> bool {
    within(domain, "kubernetes.io") || within(domain, "k8s.io")
}

fn within(domain: &str, parent: &str) -> bool {
    domain
        .strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `[prefix/]name` as Kubernetes checks keys.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let name = match text.split_once('/') {
        Some((prefix, name)) if NodeName::parse(prefix).is_ok() => name,
        Some(_) => return false,
        None => text,
    };
    !name.is_empty() && is_label_value(name)
}

fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// The nearest text that can be a label's value.
fn label_value(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

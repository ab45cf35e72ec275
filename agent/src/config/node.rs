//! The keys about the Node itself, with kubelet's names and rules: its host name, addresses,
//! labels, taints, registration and container runtime.

use std::collections::BTreeMap;
use std::fmt;

use nodling_protocol::NodeName;
use nodling_protocol::facts::{MAX_LABELS, MAX_TAINTS, TaintEffect};
use nodling_protocol::label::{is_kubelets_to_set, is_label_value, is_qualified_name};

use crate::assess::addresses;
use crate::assess::node_ip::NodeIp;
use crate::keys::{KeyError, Keys, Refusal};
use crate::observe::runtime::Endpoint;
use crate::registration::{Registration, Taint};

/// Keys that this file parses.
pub(super) const KEYS: [&str; 6] = [
    "hostname_override",
    "node_ip",
    "node_labels",
    "register_with_taints",
    "register_node",
    "container_runtime_endpoint",
];

/// Facts have 8 KiB for everything, and shed labels when it is not enough.
const LABELS_BYTES_MAX: usize = 3072;
/// The same for taints, which are never shed.
const TAINTS_BYTES_MAX: usize = 1024;

pub(super) fn addresses(keys: &Keys<'_>) -> Result<addresses::Config, KeyError> {
    Ok(addresses::Config {
        node_ip: keys.parse("node_ip", node_ip)?.unwrap_or_default(),
        hostname_override: keys.parse("hostname_override", hostname)?,
    })
}

pub(super) fn registration(keys: &Keys<'_>) -> Result<Registration, KeyError> {
    Ok(Registration {
        register_node: keys.boolean("register_node")?.unwrap_or(true),
        node_labels: labels(&keys.table("node_labels")?)?,
        taints: taints(&keys.tables("register_with_taints")?)?,
    })
}

pub(super) fn endpoint(keys: &Keys<'_>) -> Result<Option<Endpoint>, KeyError> {
    keys.parse("container_runtime_endpoint", |text| {
        Endpoint::parse(text).ok_or_else(|| {
            let expected = "a socket such as \"unix:///run/containerd/containerd.sock\"";
            Refusal::new(text, expected)
        })
    })
}

fn node_ip(text: &str) -> Result<NodeIp, Refusal> {
    NodeIp::parse(text).map_err(|err| Refusal {
        got: format!("{text:?} ({err})"),
        expected: "an address of this host such as \"192.168.1.7\", one of each family such as \
                   \"192.168.1.7,fd00::7\", or \"0.0.0.0\" or \"::\" for whichever is found"
            .into(),
    })
}

/// As kubelet takes a host name; one that cannot be a label's value would keep a Node from being
/// made.
fn hostname(text: &str) -> Result<Box<str>, Refusal> {
    let expected = "a host name of at most 63 letters, digits, '-' and '.', such as \"attic\"";
    let name = text.trim().to_lowercase();
    if name.is_empty() {
        return Err(Refusal {
            got: format!("{text:?} (empty hostname is invalid)"),
            expected: expected.into(),
        });
    }
    match NodeName::parse(&name) {
        Ok(_) if is_label_value(&name) => Ok(name.into()),
        Ok(_) | Err(_) => Err(Refusal::new(text, expected)),
    }
}

fn labels(keys: &Keys<'_>) -> Result<BTreeMap<Box<str>, Box<str>>, KeyError> {
    let mut labels: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
    let mut len = 0;
    for key in keys.names() {
        let value = keys.parse(key, |value| label(key, value))?;
        let value = value.unwrap_or_default();
        len += key.len() + value.len();
        labels.insert(key.into(), value);
    }
    check_room(
        keys,
        "labels",
        (labels.len(), MAX_LABELS),
        (len, LABELS_BYTES_MAX),
    )?;
    Ok(labels)
}

/// The value, if a kubelet would take the label.
fn label(key: &str, value: &str) -> Result<Box<str>, Refusal> {
    if !is_kubelets_to_set(key) {
        return Err(Refusal {
            got: format!("{value:?}"),
            expected: "no unknown 'kubernetes.io' or 'k8s.io' label: what a kubelet may set \
                       there begins with kubelet.kubernetes.io/ or node.kubernetes.io/, or is \
                       hostname, os, arch, instance-type, or topology.kubernetes.io/zone or \
                       region"
                .into(),
        });
    }
    if !is_qualified_name(key) {
        let expected = "a key of at most 63 letters, digits, '-', '_' and '.', perhaps behind a \
                        domain, such as \"example.com/floor\"";
        return Err(Refusal::new(key, expected));
    }
    if !is_label_value(value) {
        let expected = "at most 63 letters, digits, '-', '_' and '.', a letter or digit first \
                        and last";
        return Err(Refusal::new(value, expected));
    }
    Ok(value.into())
}

fn taints(tables: &[Keys<'_>]) -> Result<Vec<Taint>, KeyError> {
    let mut taints: Vec<Taint> = Vec::new();
    let mut len = 0;
    for keys in tables {
        keys.only(&["key", "value", "effect"])?;
        let taint = Taint {
            key: keys.required("key", taint_key)?,
            value: keys.parse("value", taint_value)?.unwrap_or_default(),
            effect: keys.required("effect", effect)?,
        };
        let is_same = |other: &Taint| other.key == taint.key && other.effect == taint.effect;
        if taints.iter().any(is_same) {
            return Err(keys.refusal(Refusal {
                got: format!("{}:{} again", taint.key, taint.effect.as_str()),
                expected: "taints that are unique by key and effect".into(),
            }));
        }
        len += taint.key.len() + taint.value.len();
        taints.push(taint);
        check_room(
            keys,
            "taints",
            (taints.len(), MAX_TAINTS),
            (len, TAINTS_BYTES_MAX),
        )?;
    }
    Ok(taints)
}

fn taint_key(key: &str) -> Result<Box<str>, Refusal> {
    let expected = "a taint's key such as \"example.com/slow\"";
    let is_fit = is_qualified_name(key);
    is_fit
        .then(|| key.into())
        .ok_or_else(|| Refusal::new(key, expected))
}

fn taint_value(value: &str) -> Result<Box<str>, Refusal> {
    let expected = "at most 63 letters, digits, '-', '_' and '.'";
    let is_fit = is_label_value(value);
    is_fit
        .then(|| value.into())
        .ok_or_else(|| Refusal::new(value, expected))
}

fn effect(text: &str) -> Result<TaintEffect, Refusal> {
    [
        TaintEffect::NoSchedule,
        TaintEffect::PreferNoSchedule,
        TaintEffect::NoExecute,
    ]
    .into_iter()
    .find(|effect| effect.as_str() == text)
    .ok_or_else(|| {
        let expected = "one of \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"";
        Refusal::new(text, expected)
    })
}

/// Refuses more than a frame has room for.
fn check_room(
    keys: &Keys<'_>,
    what: &str,
    (count, count_max): (usize, usize),
    (len, bytes_max): (usize, usize),
) -> Result<(), KeyError> {
    if count > count_max {
        return Err(keys.refusal(Refusal {
            got: format!("{count} {what}"),
            expected: format!("at most {count_max}"),
        }));
    }
    if len > bytes_max {
        return Err(keys.refusal(Refusal {
            got: format!("{what} of {len} bytes"),
            expected: format!("at most {bytes_max} bytes together"),
        }));
    }
    Ok(())
}

/// Shows these keys as TOML.
pub(super) fn show(f: &mut fmt::Formatter<'_>, config: &super::Config) -> fmt::Result {
    let addresses::Config {
        node_ip,
        hostname_override,
    } = &config.assess.addresses;
    match hostname_override {
        Some(name) => writeln!(f, "hostname_override = {name:?}")?,
        None => writeln!(f, "# hostname_override is not set: the host's name")?,
    }
    writeln!(f, "node_ip = \"{node_ip}\"")?;
    let Registration {
        register_node,
        node_labels,
        taints,
    } = &config.registration;
    writeln!(f, "register_node = {register_node}")?;
    let labels = node_labels.iter();
    let labels = labels.map(|(key, value)| format!("{key:?} = {value:?}"));
    match labels.collect::<Vec<_>>().join(", ").as_str() {
        "" => writeln!(f, "node_labels = {{}}")?,
        labels => writeln!(f, "node_labels = {{ {labels} }}")?,
    }
    let taints = taints.iter().map(|taint| {
        let Taint { key, value, effect } = taint;
        format!(
            "{{ key = {key:?}, value = {value:?}, effect = {:?} }}",
            effect.as_str()
        )
    });
    let taints = taints.collect::<Vec<_>>().join(", ");
    writeln!(f, "register_with_taints = [{taints}]")?;
    match &config.observe.container_runtime_endpoint {
        Some(endpoint) => writeln!(f, "container_runtime_endpoint = \"{endpoint}\""),
        None => writeln!(
            f,
            "# container_runtime_endpoint is not set: the usual sockets"
        ),
    }
}

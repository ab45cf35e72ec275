//! What `kubectl get` prints: columns and cells of each resource, computed here because kubectl
//! only prints what the server tells it. Cells follow kube-apiserver's printers; ages are by the
//! clock that is passed in.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{object::text, resources::Resource};

/// Name, type, format, priority (0: always shown, 1: `-o wide`), description.
type Column = (&'static str, &'static str, &'static str, u8, &'static str);

const NAME: Column = (
    "Name",
    "string",
    "name",
    0,
    "Name must be unique within a namespace.",
);
const AGE: Column = ("Age", "string", "", 0, "Time since the object was created.");

const NODES: &[Column] = &[
    NAME,
    ("Status", "string", "", 0, "The status of the node"),
    ("Roles", "string", "", 0, "The roles of the node"),
    AGE,
    (
        "Version",
        "string",
        "",
        0,
        "Kubelet Version reported by the node.",
    ),
    (
        "Internal-IP",
        "string",
        "",
        1,
        "The first address of type InternalIP.",
    ),
    (
        "External-IP",
        "string",
        "",
        1,
        "The first address of type ExternalIP.",
    ),
    (
        "OS-Image",
        "string",
        "",
        1,
        "OS Image reported by the node from /etc/os-release.",
    ),
    (
        "Kernel-Version",
        "string",
        "",
        1,
        "Kernel Version reported by the node.",
    ),
    (
        "Container-Runtime",
        "string",
        "",
        1,
        "Container runtime reported by the node.",
    ),
];
const NAMESPACES: &[Column] = &[
    NAME,
    ("Status", "string", "", 0, "The status of the namespace"),
    AGE,
];
const LEASES: &[Column] = &[
    NAME,
    (
        "Holder",
        "string",
        "",
        0,
        "The identity of the holder of the lease",
    ),
    AGE,
];
const EVENTS: &[Column] = &[
    (
        "Last Seen",
        "string",
        "",
        0,
        "The time of the most recent occurrence.",
    ),
    ("Type", "string", "", 0, "Normal or Warning."),
    (
        "Reason",
        "string",
        "",
        0,
        "A short, machine understandable reason.",
    ),
    (
        "Object",
        "string",
        "",
        0,
        "The object that this event is about.",
    ),
    ("Subobject", "string", "", 1, "The part of the object."),
    (
        "Source",
        "string",
        "",
        1,
        "The component reporting this event.",
    ),
    ("Message", "string", "", 0, "A human-readable description."),
    (
        "First Seen",
        "string",
        "",
        1,
        "The time of the first occurrence.",
    ),
    (
        "Count",
        "string",
        "",
        1,
        "The number of times this event has occurred.",
    ),
    (
        "Name",
        "string",
        "name",
        1,
        "Name must be unique within a namespace.",
    ),
];
const PODS: &[Column] = &[
    NAME,
    (
        "Ready",
        "string",
        "",
        0,
        "The aggregate readiness state of the containers.",
    ),
    (
        "Status",
        "string",
        "",
        0,
        "The aggregate status of the containers in this pod.",
    ),
    (
        "Restarts",
        "string",
        "",
        0,
        "The number of restarts of the containers.",
    ),
    AGE,
    ("IP", "string", "", 1, "The address of the pod."),
    (
        "Node",
        "string",
        "",
        1,
        "The node that the pod is scheduled to.",
    ),
    (
        "Nominated Node",
        "string",
        "",
        1,
        "The node that the pod may be scheduled to.",
    ),
    (
        "Readiness Gates",
        "string",
        "",
        1,
        "The readiness gates of the pod.",
    ),
];

/// The `columnDefinitions` of a resource.
pub(crate) fn columns(resource: Resource) -> Value {
    let columns = match resource {
        Resource::Nodes => NODES,
        Resource::Namespaces => NAMESPACES,
        Resource::Events => EVENTS,
        Resource::Leases => LEASES,
        Resource::Pods => PODS,
    };
    let define = |(name, kind, format, priority, description): &Column| {
        json!({
            "name": name,
            "type": kind,
            "format": format,
            "description": description,
            "priority": priority,
        })
    };
    Value::Array(columns.iter().map(define).collect())
}

/// The cells of one object, in the order of the columns.
pub(crate) fn cells(resource: Resource, body: &Value, now: Timestamp) -> Vec<Value> {
    let name = text(body, "/metadata/name");
    let age = age(text(body, "/metadata/creationTimestamp"), now);
    match resource {
        Resource::Nodes => node(body, &age),
        Resource::Namespaces => vec![name.into(), text(body, "/status/phase").into(), age.into()],
        Resource::Leases => {
            vec![
                name.into(),
                text(body, "/spec/holderIdentity").into(),
                age.into(),
            ]
        }
        Resource::Events => event(body, now),
        Resource::Pods => vec![name.into()],
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn node(body: &Value, age: &str) -> Vec<Value> {
    let info = |field: &str| text(body, &format!("/status/nodeInfo/{field}"));
    let unknown = "<unknown>";
    let kernel = match (info("kernelVersion"), info("architecture")) {
        ("", _) => unknown.to_owned(),
        (kernel, "") => kernel.to_owned(),
        (kernel, architecture) => format!("{kernel} ({architecture})"),
    };
    let cells = [
        text(body, "/metadata/name"),
        &node_status(body),
        &roles(body),
        age,
        info("kubeletVersion"),
        address(body, "InternalIP"),
        address(body, "ExternalIP"),
        or(info("osImage"), unknown),
        &kernel,
        or(info("containerRuntimeVersion"), unknown),
    ];
    cells.into_iter().map(Value::from).collect()
}

fn node_status(body: &Value) -> String {
    let conditions = body.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if body.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(body: &Value) -> String {
    let labels = body.pointer("/metadata/labels").and_then(Value::as_object);
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None if key == "kubernetes.io/role" => value.as_str(),
                None => None,
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    let roles: Vec<&str> = roles.into_iter().collect();
    or(&roles.join(","), "<none>").to_owned()
}

fn address<'a>(body: &'a Value, kind: &str) -> &'a str {
    let addresses = body.pointer("/status/addresses").and_then(Value::as_array);
    let found = addresses
        .into_iter()
        .flatten()
        .find(|address| text(address, "/type") == kind);
    found.map_or("<none>", |address| text(address, "/address"))
}

fn event(body: &Value, now: Timestamp) -> Vec<Value> {
    let since = |field: &str| age(text(body, field), now);
    let is_set = |field: &str| !text(body, field).is_empty();
    let first = since(if is_set("/firstTimestamp") {
        "/firstTimestamp"
    } else {
        "/eventTime"
    });
    let mut last = if is_set("/lastTimestamp") {
        since("/lastTimestamp")
    } else {
        first.clone()
    };
    let mut count = body
        .get("count")
        .and_then(Value::as_i64)
        .filter(|count| *count != 0);
    if let Some(series) = body.get("series").filter(|series| series.is_object()) {
        last = since("/series/lastObservedTime");
        count = series.get("count").and_then(Value::as_i64);
    }
    let kind = text(body, "/involvedObject/kind").to_lowercase();
    let object = match text(body, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = or(
        text(body, "/source/component"),
        text(body, "/reportingComponent"),
    );
    let instance = or(text(body, "/source/host"), text(body, "/reportingInstance"));
    let source = match instance {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    };
    vec![
        last.into(),
        text(body, "/type").into(),
        text(body, "/reason").into(),
        object.into(),
        text(body, "/involvedObject/fieldPath").into(),
        source.into(),
        text(body, "/message").trim().into(),
        first.into(),
        count.unwrap_or(1).into(),
        text(body, "/metadata/name").into(),
    ]
}

/// How long ago `time` was, as kubectl prints it.
fn age(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => duration(now.as_second() - time.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Go's `duration.HumanDuration`: two units at most, coarser as it grows.
fn duration(seconds: i64) -> String {
    let two = |large: i64, large_unit: char, small: i64, small_unit: char| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(days, 'd', hours % 24, 'h'),
        () if days < 2 * 365 => format!("{days}d"),
        () if days < 8 * 365 => two(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_kubectl_prints_them() {
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (691_200, "8d"),
            (63_071_999, "729d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected, "{seconds} s");
        }
    }
}

//! Turns a request body into an object of the right type: checked against the schema of
//! k8s-openapi, unknown fields dropped (and named, if asked for), times in UTC in the format
//! that kube-apiserver writes. What is stored has passed here.

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event, Namespace, Node, Pod},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    object::{object_mut, text},
    request::FieldValidation,
    resources::Resource,
    status::ApiError,
};

/// Parses any JSON body.
pub(crate) fn parse(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body)
        .map_err(|err| ApiError::bad_request(format!("the object provided is unrecognized: {err}")))
}

/// Parses a body as an object of `resource`; see [`normalise`].
pub(crate) fn decode(
    resource: Resource,
    body: &[u8],
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    // Most requests renew Leases: those skip the detour by a tree, unless they are wrong.
    if resource == Resource::Leases
        && validation == FieldValidation::Ignore
        && let Ok(lease) = serde_json::from_slice::<Lease>(body)
        && let Ok(mut value) = serde_json::to_value(lease)
    {
        prune(&mut value);
        return Ok((value, Vec::new()));
    }
    normalise(resource, parse(body)?, validation)
}

/// Checks `value` against the schema of `resource` and returns it in canonical form, with a
/// sentence for each unknown field if those were to be found.
pub(crate) fn normalise(
    resource: Resource,
    mut value: Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    let facts = resource.facts();
    let (kind, version) = (text(&value, "/kind"), text(&value, "/apiVersion"));
    let is_foreign = (!kind.is_empty() && kind != facts.kind)
        || (!version.is_empty() && version != resource.api_version());
    if is_foreign {
        let kind_wanted = facts.kind;
        return Err(ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind_wanted}"
        )));
    }
    if resource == Resource::Nodes {
        quantities(&mut value)?;
    }
    let typed = match resource {
        Resource::Nodes => typed::<Node>(&value),
        Resource::Namespaces => typed::<Namespace>(&value),
        Resource::Events => typed::<Event>(&value),
        Resource::Leases => typed::<Lease>(&value),
        Resource::Pods => typed::<Pod>(&value),
    };
    let mut typed = typed.map_err(|err| {
        let (kind, version) = (facts.kind, facts.version);
        ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {err}"
        ))
    })?;
    let mut unknown = Vec::new();
    if validation != FieldValidation::Ignore {
        find_unknown(&value, &typed, "", &mut unknown);
    }
    if validation == FieldValidation::Strict && !unknown.is_empty() {
        let kind = facts.kind;
        return Err(ApiError::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: strict decoding error: {}",
            facts.version,
            unknown.join(", ")
        )));
    }
    prune(&mut typed);
    Ok((typed, unknown))
}

fn typed<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(value)?)
}

/// Go accepts numbers for quantities, which people write in YAML (`cpu: 4`).
fn quantities(value: &mut Value) -> Result<(), ApiError> {
    for pointer in ["/status/capacity", "/status/allocatable"] {
        let Some(map) = value.pointer_mut(pointer).and_then(Value::as_object_mut) else {
            continue;
        };
        for quantity in map.values_mut() {
            if quantity.is_number() {
                *quantity = Value::String(quantity.to_string());
            }
            if quantity.as_str().is_some_and(|text| !is_quantity(text)) {
                return Err(ApiError::bad_request(
                    "Node in version \"v1\" cannot be handled as a Node: quantities must match \
                     the regular expression \
                     '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                ));
            }
        }
    }
    Ok(())
}

fn is_quantity(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let suffix = digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &digits
        .get(..digits.len() - suffix.len())
        .unwrap_or_default();
    let has_digit = number.bytes().any(|byte| byte.is_ascii_digit());
    let is_exponent = suffix
        .strip_prefix(['e', 'E'])
        .map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest))
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    let suffixes = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let is_suffix = is_exponent || suffixes.contains(&suffix);
    has_digit && number.matches('.').count() <= 1 && is_suffix
}

fn find_unknown(given: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                let field = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                match known.get(name) {
                    Some(inner) => find_unknown(value, inner, &field, unknown),
                    None => unknown.push(format!("unknown field {field:?}")),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (index, (value, inner)) in given.iter().zip(known).enumerate() {
                find_unknown(value, inner, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Drops what Go's `omitempty` would, so that equal objects have equal bytes.
fn prune(value: &mut Value) {
    prune_arrays(value);
    for (parent, names) in [
        ("/metadata", ["labels", "annotations"].as_slice()),
        ("/status", &["capacity", "allocatable"]),
    ] {
        let Some(map) = value.pointer_mut(parent).and_then(Value::as_object_mut) else {
            continue;
        };
        for name in names {
            if map
                .get(*name)
                .and_then(Value::as_object)
                .is_some_and(serde_json::Map::is_empty)
            {
                map.remove(*name);
            }
        }
    }
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        let is_empty = |value: &mut Value| *value == Value::Bool(false) || *value == "";
        for name in ["unschedulable", "providerID", "podCIDR"] {
            if spec.get_mut(name).is_some_and(is_empty) {
                spec.remove(name);
            }
        }
    }
}

fn prune_arrays(value: &mut Value) {
    let is_empty_array = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !is_empty_array(inner));
            map.values_mut().for_each(prune_arrays);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_arrays),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Drops metadata that only a server writes.
pub(crate) fn drop_server_fields(value: &mut Value) {
    let metadata = object_mut(object_mut(value).entry("metadata").or_insert(Value::Null));
    for name in ["managedFields", "selfLink", "generation"] {
        metadata.remove(name);
    }
}

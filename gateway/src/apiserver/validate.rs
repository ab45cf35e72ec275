//! Judges objects field by field, in the words of kube-apiserver, so that a bad name or label
//! fails here exactly as it would in a cluster. Judging only; nothing is changed.

use serde_json::Value;

use super::{object::text, resources::Resource, status::FieldError};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
    or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
    regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
const TAINT_EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

type Errors = Vec<FieldError>;

/// Judges an object as a whole; `old` is what it replaces, if anything.
pub(crate) fn validate(resource: Resource, old: Option<&Value>, new: &Value) -> Errors {
    let mut errors = Errors::new();
    metadata(resource, new, &mut errors);
    match resource {
        Resource::Nodes => node(old, new, &mut errors),
        Resource::Leases => lease(new, &mut errors),
        Resource::Events => event(new, &mut errors),
        Resource::Namespaces | Resource::Pods => {}
    }
    errors
}

fn metadata(resource: Resource, new: &Value, errors: &mut Errors) {
    let name = text(new, "/metadata/name");
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if let Some(detail) = name_fault(resource, name) {
        errors.push(FieldError::invalid("metadata.name", name, &detail));
    }
    let map = |pointer| {
        new.pointer(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    for (key, value) in map("/metadata/labels") {
        errors.extend(key_faults("metadata.labels", key));
        errors.extend(label_value_faults(
            "metadata.labels",
            value.as_str().unwrap_or_default(),
        ));
    }
    let mut size_bytes = 0;
    for (key, value) in map("/metadata/annotations") {
        size_bytes += key.len() + value.as_str().map_or(0, str::len);
        errors.extend(key_faults("metadata.annotations", &key.to_lowercase()));
    }
    if size_bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(
            "metadata.annotations",
            ANNOTATIONS_BYTES_MAX,
        ));
    }
}

fn name_fault(resource: Resource, name: &str) -> Option<String> {
    let (is_valid, limit, detail) = match resource {
        Resource::Namespaces => (is_dns_label(name), 63, LABEL),
        Resource::Nodes | Resource::Events | Resource::Leases | Resource::Pods => {
            (is_subdomain(name), 253, SUBDOMAIN)
        }
    };
    if name.len() > limit {
        return Some(format!("must be no more than {limit} bytes"));
    }
    (!is_valid).then(|| detail.to_owned())
}

fn is_dns_label(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(&first), Some(&last)) = (text.as_bytes().first(), text.as_bytes().last()) else {
        return false;
    };
    is_alphanumeric(first)
        && is_alphanumeric(last)
        && text
            .bytes()
            .all(|byte| is_alphanumeric(byte) || byte == b'-')
}

pub(crate) fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns_label)
}

/// What label values and the name part of keys are made of, both ends alphanumeric.
fn is_label_text(text: &str) -> bool {
    let (Some(first), Some(last)) = (text.as_bytes().first(), text.as_bytes().last()) else {
        return false;
    };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Faults of a label, annotation or taint key.
fn key_faults(field: &str, key: &str) -> Errors {
    let invalid = |detail: &str| FieldError::invalid(field, key, detail);
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((_, rest)) if rest.contains('/') => {
            let detail = format!(
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', with \
                 an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName'): {NAME_PART}"
            );
            return vec![invalid(&detail)];
        }
        Some((prefix, name)) => (Some(prefix), name),
    };
    let mut errors = Errors::new();
    match prefix {
        Some("") => errors.push(invalid("prefix part must be non-empty")),
        Some(prefix) if !is_subdomain(prefix) => {
            errors.push(invalid(&format!("prefix part {SUBDOMAIN}")));
        }
        _ => {}
    }
    if name.is_empty() {
        errors.push(invalid("name part must be non-empty"));
    } else if name.len() > 63 {
        errors.push(invalid("name part must be no more than 63 bytes"));
    }
    if !is_label_text(name) {
        errors.push(invalid(NAME_PART));
    }
    errors
}

fn label_value_faults(field: &str, value: &str) -> Errors {
    let mut errors = Errors::new();
    if value.len() > 63 {
        errors.push(FieldError::invalid(
            field,
            value,
            "must be no more than 63 bytes",
        ));
    }
    if !value.is_empty() && !is_label_text(value) {
        errors.push(FieldError::invalid(field, value, LABEL_VALUE));
    }
    errors
}

fn node(old: Option<&Value>, new: &Value, errors: &mut Errors) {
    taints(new, errors);
    addresses(new, errors);
    let Some(old) = old else { return };
    let changed = |pointer| {
        let before = old.pointer(pointer).filter(|before| !before.is_null());
        before.is_some_and(|before| new.pointer(pointer) != Some(before))
    };
    if changed("/spec/podCIDRs") {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.podCIDRs", detail));
    }
    if changed("/spec/providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.providerID", detail));
    }
}

fn taints(new: &Value, errors: &mut Errors) {
    let taints = new.pointer("/spec/taints").and_then(Value::as_array);
    let mut seen = Vec::new();
    for (index, taint) in taints.into_iter().flatten().enumerate() {
        let field = |name: &str| format!("spec.taints[{index}]{name}");
        let (key, effect) = (text(taint, "/key"), text(taint, "/effect"));
        errors.extend(key_faults(&field(".key"), key));
        errors.extend(label_value_faults(&field(".value"), text(taint, "/value")));
        if effect.is_empty() {
            errors.push(FieldError::required(field(".effect"), ""));
        } else if !TAINT_EFFECTS.contains(&effect) {
            errors.push(FieldError::unsupported(
                field(".effect"),
                effect,
                &TAINT_EFFECTS,
            ));
        }
        if seen.contains(&(key, effect)) {
            errors.push(FieldError::duplicate(field(""), &taint.to_string()));
        }
        seen.push((key, effect));
    }
}

fn addresses(new: &Value, errors: &mut Errors) {
    let addresses = new.pointer("/status/addresses").and_then(Value::as_array);
    let mut seen = Vec::new();
    for (index, address) in addresses.into_iter().flatten().enumerate() {
        if seen.contains(&address) {
            let field = format!("status.addresses[{index}]");
            errors.push(FieldError::duplicate(field, &address.to_string()));
        }
        seen.push(address);
    }
}

fn lease(new: &Value, errors: &mut Errors) {
    let number = |pointer| new.pointer(pointer).and_then(Value::as_i64);
    if let Some(duration_s) = number("/spec/leaseDurationSeconds").filter(|number| *number <= 0) {
        errors.push(FieldError::invalid_bare(
            "spec.leaseDurationSeconds",
            &duration_s.to_string(),
            "must be greater than 0",
        ));
    }
    if let Some(count) = number("/spec/leaseTransitions").filter(|number| *number < 0) {
        errors.push(FieldError::invalid_bare(
            "spec.leaseTransitions",
            &count.to_string(),
            "must be greater than or equal to 0",
        ));
    }
    if new.pointer("/spec/holderIdentity").and_then(Value::as_str) == Some("") {
        errors.push(FieldError::invalid(
            "spec.holderIdentity",
            "",
            "must not be empty",
        ));
    }
}

fn event(new: &Value, errors: &mut Errors) {
    let involved = text(new, "/involvedObject/namespace");
    let namespace = text(new, "/metadata/namespace");
    let is_placed = match involved {
        "" => matches!(namespace, "default" | "kube-system"),
        involved => involved == namespace,
    };
    if !is_placed {
        let detail = "does not match event.namespace";
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            involved,
            detail,
        ));
    }
}

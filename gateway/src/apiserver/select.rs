//! Parses label and field selectors and matches objects against them. A list or a watch may
//! carry both; an object must satisfy every term. Unknown field labels are refused, as
//! kube-apiserver does, because silently matching everything would be dangerous for deletions.

use super::{
    object::{Object, Peek},
    resources::Resource,
    status::ApiError,
};

/// Both selectors of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelTerm {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Greater(i64),
    In(Vec<String>),
    Less(i64),
    Missing,
    NotIn(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerm {
    field: String,
    value: String,
    is_equal: bool,
}

impl Selector {
    pub(crate) fn parse(resource: Resource, labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = parse_labels(labels).map_err(|reason| {
            ApiError::bad_request(format!("unable to parse requirement: {reason}"))
        })?;
        let fields = parse_fields(fields)?;
        for term in &fields {
            if !known_fields(resource).contains(&term.field.as_str()) {
                return Err(ApiError::bad_request(format!(
                    "field label not supported: {}",
                    term.field
                )));
            }
        }
        Ok(Self { labels, fields })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        if self.is_everything() {
            return true;
        }
        let peek = object.peek();
        self.labels.iter().all(|term| term.matches(&peek))
            && self
                .fields
                .iter()
                .all(|term| (field(&peek, &term.field) == term.value) == term.is_equal)
    }
}

fn known_fields(resource: Resource) -> &'static [&'static str] {
    match resource {
        Resource::Nodes => &["metadata.name", "spec.unschedulable"],
        Resource::Namespaces => &["metadata.name", "status.phase"],
        Resource::Leases => &["metadata.name", "metadata.namespace"],
        Resource::Events => &[
            "metadata.name",
            "metadata.namespace",
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        Resource::Pods => &[
            "metadata.name",
            "metadata.namespace",
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
            "status.podIPs",
        ],
    }
}

fn field<'a>(peek: &'a Peek<'_>, name: &str) -> &'a str {
    let involved = peek.involved_object.as_ref();
    let spec = peek.spec.as_ref();
    let text = match name {
        "metadata.name" => return &peek.metadata.name,
        "metadata.namespace" => return &peek.metadata.namespace,
        "spec.unschedulable" => {
            let is_cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or_default();
            return if is_cordoned { "true" } else { "false" };
        }
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.as_deref()),
        "status.phase" => peek
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref()),
        "involvedObject.apiVersion" => involved.and_then(|i| i.api_version.as_deref()),
        "involvedObject.fieldPath" => involved.and_then(|i| i.field_path.as_deref()),
        "involvedObject.kind" => involved.and_then(|i| i.kind.as_deref()),
        "involvedObject.name" => involved.and_then(|i| i.name.as_deref()),
        "involvedObject.namespace" => involved.and_then(|i| i.namespace.as_deref()),
        "involvedObject.resourceVersion" => involved.and_then(|i| i.resource_version.as_deref()),
        "involvedObject.uid" => involved.and_then(|i| i.uid.as_deref()),
        "reason" => peek.reason.as_deref(),
        "type" => peek.type_.as_deref(),
        "source" => peek
            .source
            .as_ref()
            .and_then(|source| source.component.as_deref()),
        "reportingComponent" => peek.reporting_component.as_deref(),
        _ => None,
    };
    text.unwrap_or_default()
}

impl LabelTerm {
    fn matches(&self, peek: &Peek<'_>) -> bool {
        let labels = peek.metadata.labels.as_ref();
        let found = labels
            .and_then(|labels| labels.get(self.key.as_str()))
            .map(AsRef::as_ref);
        let number = || found.and_then(|text: &str| text.parse::<i64>().ok());
        match &self.test {
            Test::Exists => found.is_some(),
            Test::Missing => found.is_none(),
            Test::In(values) => found.is_some_and(|found| values.iter().any(|v| v == found)),
            Test::NotIn(values) => found.is_none_or(|found| values.iter().all(|v| v != found)),
            Test::Greater(limit) => number().is_some_and(|number| number > *limit),
            Test::Less(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

fn parse_labels(text: &str) -> Result<Vec<LabelTerm>, String> {
    split_outside_parentheses(text)
        .into_iter()
        .map(|term| parse_label(term.trim()))
        .collect()
}

/// Splits at commas, except in the value lists of `in (…)`.
fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .filter(|term| !term.trim().is_empty())
    .collect()
}

fn parse_label(term: &str) -> Result<LabelTerm, String> {
    let make = |key: &str, test: Test| {
        let key = key.trim();
        let is_key = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        let fault = || format!("invalid label selector {term:?}");
        if is_key {
            Ok(LabelTerm {
                key: key.to_owned(),
                test,
            })
        } else {
            Err(fault())
        }
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    let number = |value: &str| {
        value
            .trim()
            .parse::<i64>()
            .map_err(|_| format!("{value:?} is not an integer in {term:?}"))
    };
    if let Some(key) = term.strip_prefix('!') {
        return make(key, Test::Missing);
    }
    if let Some((head, list)) = term.split_once('(') {
        let list = list
            .trim()
            .strip_suffix(')')
            .ok_or(format!("found {term:?}, expected: ')'"))?;
        let values = list
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        return match head.split_whitespace().collect::<Vec<_>>().as_slice() {
            [key, "in"] => make(key, Test::In(values)),
            [key, "notin"] => make(key, Test::NotIn(values)),
            _ => Err(format!("invalid label selector {term:?}")),
        };
    }
    for (operator, is_equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = term.split_once(operator) {
            let values = one(value);
            return make(
                key,
                if is_equal {
                    Test::In(values)
                } else {
                    Test::NotIn(values)
                },
            );
        }
    }
    match (term.split_once('>'), term.split_once('<')) {
        (Some((key, value)), _) => make(key, Test::Greater(number(value)?)),
        (_, Some((key, value))) => make(key, Test::Less(number(value)?)),
        _ => make(term, Test::Exists),
    }
}

fn parse_fields(text: &str) -> Result<Vec<FieldTerm>, ApiError> {
    let mut terms = Vec::new();
    for term in split_unescaped(text) {
        let found = [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .find_map(|(operator, is_equal)| {
                term.split_once(operator)
                    .map(|(field, value)| (field, value, is_equal))
            });
        let Some((field, value, is_equal)) = found else {
            return Err(ApiError::bad_request(format!(
                "invalid selector: '{text}'; can't understand '{term}'"
            )));
        };
        terms.push(FieldTerm {
            field: field.to_owned(),
            value: unescape(value),
            is_equal,
        });
    }
    Ok(terms)
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut is_escaped = false;
    text.split(|c| {
        let is_split = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_split
    })
    .filter(|term| !term.is_empty())
    .collect()
}

fn unescape(text: &str) -> String {
    let mut is_escaped = false;
    text.chars()
        .filter(|&c| {
            is_escaped = c == '\\' && !is_escaped;
            !is_escaped
        })
        .collect()
}

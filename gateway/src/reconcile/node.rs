//! Builds the Node that is created, and the patch of its metadata and spec.
//!
//! Taints that a board asks for are set at creation only; labels are kept up, and the keys that
//! we set are recorded in an annotation so that a key that is dropped can be removed. Keys that
//! somebody else set first are theirs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nodling_protocol::{Facts, Instance};
use serde_json::{Map, Value, json};

use super::wanted::{self, Labels};
use super::{Settings, status};
use crate::roster::Claim;
use crate::seen::{LABELS_ANNOTATION, OWNER_ANNOTATION, SeenNode};

/// Whether a Node may be made: both the gateway's owner and the board's must want it.
pub(super) fn may_register(settings: &Settings, facts: &Facts<'_>) -> bool {
    settings.register_node && facts.register_node
}

/// A Node that is not there yet, with its full status. Not annotated as one whose volumes a
/// controller attaches: nothing is mounted on a board, and without it the controller stays away.
pub(super) fn create(
    settings: &Settings,
    name: &str,
    claim: &Claim,
    wall: Timestamp,
) -> Option<Node> {
    let facts = claim.facts()?;
    let Labels { own, asked, .. } = wanted::labels(name, &facts);
    let labels: BTreeMap<_, _> = own.into_iter().chain(asked).collect();
    let recorded = labels.keys().cloned().collect::<Vec<_>>().join(",");
    let conditions = status::conditions(settings, claim, &facts, false);
    let mut status = wanted::status(&facts);
    status.conditions = Some(status::new_conditions(&conditions, wall));
    status.phase = Some(status::phase(claim).as_str().to_owned());
    Some(Node {
        metadata: ObjectMeta {
            annotations: Some(BTreeMap::from([
                (OWNER_ANNOTATION.to_owned(), owner(settings, claim.instance)),
                (LABELS_ANNOTATION.to_owned(), recorded),
            ])),
            labels: Some(labels),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: Some(provider_id(settings, name)),
            taints: Some(wanted::taints(&facts)),
            ..NodeSpec::default()
        }),
        status: Some(status),
    })
}

/// What metadata and spec lack; `taints` is the whole list, if that is to change.
pub(super) fn patch(
    settings: &Settings,
    claim: Option<&Claim>,
    (seen, is_kubelets): (&SeenNode, bool),
    taints: Option<Vec<Taint>>,
) -> Option<Value> {
    let mut metadata = Map::new();
    let mut spec = Map::new();
    if let Some(claim) = claim
        && let Some(facts) = claim.facts()
    {
        add_labels(&mut metadata, &facts, (seen, is_kubelets));
        let owner = owner(settings, claim.instance);
        if seen.owner.as_deref() != Some(&*owner) {
            annotate(&mut metadata, OWNER_ANNOTATION, &owner);
        }
        if !seen.has_provider_id && !is_kubelets {
            spec.insert(
                "providerID".to_owned(),
                provider_id(settings, &seen.name).into(),
            );
        }
    }
    if let Some(taints) = taints {
        let list = if taints.is_empty() {
            Value::Null
        } else {
            serde_json::to_value(taints).unwrap_or_default()
        };
        spec.insert("taints".to_owned(), list);
    }
    if metadata.is_empty() && spec.is_empty() {
        return None;
    }
    metadata.insert("resourceVersion".to_owned(), json!(seen.resource_version));
    let mut patch = json!({ "metadata": metadata });
    if let (Some(patch), false) = (patch.as_object_mut(), spec.is_empty()) {
        patch.insert("spec".to_owned(), Value::Object(spec));
    }
    Some(patch)
}

fn add_labels(
    metadata: &mut Map<String, Value>,
    facts: &Facts<'_>,
    (seen, is_kubelets): (&SeenNode, bool),
) {
    let Labels { own, asked, .. } = wanted::labels(&seen.name, facts);
    let recorded: BTreeSet<&str> = seen
        .recorded_labels
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .filter(|key| !key.is_empty())
        .collect();
    let is_wanted = |key: &str| !is_kubelets || key.starts_with("nodling.dev/");
    let asked = asked
        .into_iter()
        .filter(|(key, _)| recorded.contains(key.as_str()) || !seen.labels.has_key(key));
    let wanted: BTreeMap<String, String> = own
        .into_iter()
        .chain(asked)
        .filter(|(key, _)| is_wanted(key))
        .collect();
    let mut labels: Map<String, Value> = wanted
        .iter()
        .filter(|(key, value)| !seen.labels.has(key, value))
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    for key in recorded.iter().filter(|key| is_wanted(key)) {
        if !wanted.contains_key(*key) && seen.labels.has_key(key) {
            labels.insert((*key).to_owned(), Value::Null);
        }
    }
    if !labels.is_empty() {
        metadata.insert("labels".to_owned(), Value::Object(labels));
    }
    let record = wanted.keys().cloned().collect::<Vec<_>>().join(",");
    if seen.recorded_labels.as_deref() != Some(&*record) {
        annotate(metadata, LABELS_ANNOTATION, &record);
    }
}

fn annotate(metadata: &mut Map<String, Value>, key: &str, value: &str) {
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(key.to_owned(), value.into());
    }
}

fn owner(settings: &Settings, instance: Instance) -> String {
    format!("{}/{instance}", settings.fleet)
}

/// The instance that an owner annotation of our fleet names.
pub(super) fn owner_instance(settings: &Settings, owner: &str) -> Option<Instance> {
    let (fleet, instance) = owner.split_once('/')?;
    (fleet == &*settings.fleet)
        .then(|| Instance::parse(instance))
        .flatten()
}

/// The fleet that an owner annotation names, if it is not ours.
pub(super) fn owner_fleet<'o>(settings: &Settings, owner: &'o str) -> Option<&'o str> {
    let (fleet, _) = owner.split_once('/')?;
    (fleet != &*settings.fleet).then_some(fleet)
}

fn provider_id(settings: &Settings, name: &str) -> String {
    format!("nodling://{}/{name}", settings.fleet)
}

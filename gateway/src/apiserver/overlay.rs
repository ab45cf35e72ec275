//! Decides which writes may reach the disk late, and writes those compactly: for a Lease its
//! renewTime, for a Node the conditions' heartbeat times, each with the resourceVersion.
//! Everything else about such an object equals the disk's copy, by the classification here.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    memory::{Durability, Key},
    object::{Object, set_version},
    resources::Resource,
};

/// Says how a change from `old` to `new` reaches the disk; neither carries a resourceVersion.
pub(crate) fn classify(resource: Resource, old: &Value, new: &Value) -> Durability {
    let is_beat = match resource {
        Resource::Events => return Durability::Whole,
        Resource::Leases => equal_but(old, new, "spec", &|a, b| {
            equal_but(a, b, "renewTime", &|_, _| true)
        }),
        Resource::Nodes => equal_but(old, new, "status", &|a, b| {
            equal_but(a, b, "conditions", &equal_conditions)
        }),
        Resource::Namespaces | Resource::Pods => false,
    };
    if is_beat {
        Durability::Beat
    } else {
        Durability::Immediate
    }
}

/// Compares two maps, one member of which, in both, is judged by `judge`.
fn equal_but(a: &Value, b: &Value, member: &str, judge: &dyn Fn(&Value, &Value) -> bool) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return false;
    };
    a.len() == b.len()
        && a.iter().all(|(name, left)| {
            b.get(name).is_some_and(|right| {
                if name == member {
                    judge(left, right)
                } else {
                    left == right
                }
            })
        })
}

fn equal_conditions(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_array(), b.as_array()) else {
        return false;
    };
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(left, right)| equal_but(left, right, "lastHeartbeatTime", &|_, _| true))
}

/// The lazily written fields of one object.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beat {
    #[serde(rename = "v")]
    version: u64,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    /// The heartbeat time of all conditions but those in `others`.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    heartbeat_time: Option<String>,
    /// Condition types by another heartbeat time that they share.
    #[serde(rename = "o", default, skip_serializing_if = "BTreeMap::is_empty")]
    others: BTreeMap<String, Vec<String>>,
}

/// The overlay of the whole store: resource, key, fields.
pub(crate) type Overlay = BTreeMap<String, BTreeMap<String, Beat>>;

/// Collects the lazy fields of every object that is newer than the disk's copy.
pub(crate) fn collect<'a>(
    objects: impl Iterator<Item = (Resource, &'a Key, &'a Arc<Object>)>,
) -> Overlay {
    let mut overlay = Overlay::new();
    for (resource, key, object) in objects {
        let resource = resource.facts().plural.to_owned();
        overlay
            .entry(resource)
            .or_default()
            .insert(key.to_string(), beat(object));
    }
    overlay
}

fn beat(object: &Object) -> Beat {
    let body = object.to_value();
    let renew_time = body
        .pointer("/spec/renewTime")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let conditions = body.pointer("/status/conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let field = |name| {
            condition
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        if let (Some(kind), Some(time)) = (field("type"), field("lastHeartbeatTime")) {
            others.entry(time).or_default().push(kind);
        }
    }
    // One writer stamps nearly all conditions at once; naming them all would double the bytes
    // that a flush writes.
    let most = others.iter().max_by_key(|(_, kinds)| kinds.len());
    let heartbeat_time = most.map(|(time, _)| time.clone());
    if let Some(time) = &heartbeat_time {
        others.remove(time);
    }
    Beat {
        version: object.version,
        renew_time,
        heartbeat_time,
        others,
    }
}

impl Beat {
    /// Brings the disk's copy of an object up to date; an older beat changes nothing.
    pub(crate) fn apply(&self, object: &Object) -> Option<Object> {
        if self.version <= object.version {
            return None;
        }
        let mut body = object.to_value();
        if let Some(time) = &self.renew_time
            && let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.insert("renewTime".into(), time.clone().into());
        }
        let conditions = body
            .pointer_mut("/status/conditions")
            .and_then(Value::as_array_mut);
        for condition in conditions
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            if !condition.contains_key("lastHeartbeatTime") {
                continue;
            }
            let kind = condition
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let is_listed = |kinds: &Vec<String>| kinds.iter().any(|known| known == kind);
            let other = self.others.iter().find(|(_, kinds)| is_listed(kinds));
            let time = other
                .map(|(time, _)| time)
                .or(self.heartbeat_time.as_ref())
                .cloned();
            if let Some(time) = time {
                condition.insert("lastHeartbeatTime".into(), time.into());
            }
        }
        set_version(&mut body, self.version);
        Some(Object::new(self.version, object.version, &mut body))
    }
}

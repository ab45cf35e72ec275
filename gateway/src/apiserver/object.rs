//! One stored object: its complete JSON, ready to be sent, and the two versions that matter.
//! A parsed tree would cost six times the memory, so readers parse what they need, when they do.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// An object as it is sent to clients.
#[derive(Debug)]
pub(crate) struct Object {
    /// The resourceVersion inside `json`.
    pub(crate) version: u64,
    /// The version that the disk's copy is based on; 0 when the disk has none.
    disk_version: AtomicU64,
    pub(crate) json: Bytes,
}

impl Object {
    /// Serialises `body` under `version`.
    pub(crate) fn new(version: u64, disk_version: u64, body: &mut Value) -> Self {
        set_version(body, version);
        let json = serde_json::to_vec(body).expect("a JSON tree always serialises");
        Self::from_bytes(version, disk_version, json)
    }

    /// Takes JSON that already says `version`.
    pub(crate) fn from_bytes(version: u64, disk_version: u64, json: Vec<u8>) -> Self {
        // A boxed slice holds no spare capacity.
        let json = Bytes::from(json.into_boxed_slice());
        Self {
            version,
            disk_version: AtomicU64::new(disk_version),
            json,
        }
    }

    pub(crate) fn disk_version(&self) -> u64 {
        self.disk_version.load(Ordering::Acquire)
    }

    pub(crate) fn set_disk_version(&self, version: u64) {
        self.disk_version.store(version, Ordering::Release);
    }

    pub(crate) fn to_value(&self) -> Value {
        serde_json::from_slice(&self.json).expect("stored objects are valid JSON")
    }

    pub(crate) fn peek(&self) -> Peek<'_> {
        serde_json::from_slice(&self.json).expect("stored objects have the peeked fields' types")
    }
}

/// Writes `metadata.resourceVersion`.
pub(crate) fn set_version(body: &mut Value, version: u64) {
    metadata_mut(body).insert("resourceVersion".into(), Value::String(version.to_string()));
}

/// The metadata of an object, made if it is missing or not an object.
pub(crate) fn metadata_mut(body: &mut Value) -> &mut Map<String, Value> {
    object_mut(object_mut(body).entry("metadata").or_insert(Value::Null))
}

/// The map in `value`, which becomes one if it is none.
pub(crate) fn object_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object")
}

/// Puts a member into an object, which `value` becomes if it is none.
pub(crate) fn set(value: &mut Value, name: &str, member: impl Into<Value>) {
    object_mut(value).insert(name.to_owned(), member.into());
}

/// The string at `pointer`, or nothing.
pub(crate) fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

type Text<'a> = Option<Cow<'a, str>>;

/// What selectors and the garbage collection look at, parsed without the rest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Peek<'a> {
    #[serde(borrow)]
    pub(crate) metadata: PeekMetadata<'a>,
    #[serde(borrow, default)]
    pub(crate) spec: Option<PeekSpec<'a>>,
    #[serde(borrow, default)]
    pub(crate) status: Option<PeekStatus<'a>>,
    #[serde(borrow, default)]
    pub(crate) involved_object: Option<PeekInvolved<'a>>,
    #[serde(borrow, default)]
    pub(crate) source: Option<PeekSource<'a>>,
    #[serde(borrow, default)]
    pub(crate) reason: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(crate) type_: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) reporting_component: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) last_timestamp: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) event_time: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) series: Option<PeekSeries<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeekMetadata<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) creation_timestamp: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) resource_version: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    #[serde(borrow, default)]
    pub(crate) owner_references: Vec<PeekOwner<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PeekOwner<'a> {
    #[serde(borrow, default)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) uid: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeekSpec<'a> {
    #[serde(default)]
    pub(crate) unschedulable: Option<bool>,
    #[serde(borrow, default)]
    pub(crate) node_name: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PeekStatus<'a> {
    #[serde(borrow, default)]
    pub(crate) phase: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeekInvolved<'a> {
    #[serde(borrow, default)]
    pub(crate) api_version: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) field_path: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) namespace: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) resource_version: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) uid: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PeekSource<'a> {
    #[serde(borrow, default)]
    pub(crate) component: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeekSeries<'a> {
    #[serde(borrow, default)]
    pub(crate) last_observed_time: Text<'a>,
}

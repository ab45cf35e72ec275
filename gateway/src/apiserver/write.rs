//! The verbs that change objects: create, update, patch. Each reads
//! the present object, computes the next one without holding a lock, and commits it if nobody
//! was faster; what the caller owns (spec or status) replaces, the rest is kept.

use std::sync::Arc;

use http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ApiServer, decode,
    memory::{Durability, Key, key},
    object::{Object, metadata_mut, object_mut, text},
    overlay::classify,
    patch,
    request::{Query, Target},
    resources::Resource,
    status::ApiError,
    store::{Refusal, Write, show},
    validate::validate,
};

/// How often a change is computed anew because somebody else was faster.
pub(super) const ATTEMPTS_MAX: usize = 64;
const PATCH_TYPES: &str = "application/strategic-merge-patch+json, application/merge-patch+json";

/// What a verb did.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Arc<Object>,
    /// Unknown fields that were dropped.
    pub(crate) warnings: Vec<String>,
}

/// One request to change something.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a ApiServer,
    pub(crate) target: &'a Target,
    pub(crate) query: &'a Query,
}

/// A point in time as `metav1.Time` prints it.
pub(crate) fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Call<'_> {
    pub(super) fn resource(&self) -> Resource {
        self.target.resource
    }

    pub(super) fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    pub(super) fn key(&self) -> Key {
        key(&self.target.namespace, self.name())
    }

    pub(super) fn current(&self) -> Result<Arc<Object>, ApiError> {
        let found = self.api.store().find(self.resource(), &self.key());
        found.ok_or_else(|| ApiError::not_found(self.resource(), self.name()))
    }

    pub(crate) async fn create(&self, body: &[u8]) -> Result<Written, ApiError> {
        let is_dry = self.query.is_dry_run()?;
        let validation = self.query.field_validation()?;
        let (mut new, warnings) = decode::decode(self.resource(), body, validation)?;
        self.prepare_new(&mut new)?;
        let stem = match text(&new, "/metadata/name") {
            "" => text(&new, "/metadata/generateName").to_owned(),
            _ => String::new(),
        };
        let durability = match self.resource() {
            Resource::Events | Resource::Leases => Durability::Whole,
            Resource::Nodes | Resource::Namespaces | Resource::Pods => Durability::Immediate,
        };
        for _ in 0..ATTEMPTS_MAX {
            if !stem.is_empty() {
                let name = format!("{stem}{}", suffix());
                metadata_mut(&mut new).insert("name".into(), name.into());
            }
            let name = text(&new, "/metadata/name").to_owned();
            self.judge(None, &new)?;
            let key = key(&self.target.namespace, &name);
            if self.api.store().find(self.resource(), &key).is_some() {
                if stem.is_empty() {
                    return Err(ApiError::already_exists(self.resource(), &name));
                }
                continue;
            }
            let body = new.clone();
            let how = (durability, is_dry);
            if let Some(object) = self.commit(None, key, body, how).await? {
                return Ok(Written { object, warnings });
            }
        }
        Err(ApiError::too_many_requests())
    }

    fn prepare_new(&self, new: &mut Value) -> Result<(), ApiError> {
        if self.resource() == Resource::Pods {
            let why = "nodes that only report their status run no pods";
            return Err(ApiError::forbidden(
                Resource::Pods,
                text(new, "/metadata/name"),
                why,
            ));
        }
        self.place(new)?;
        decode::drop_server_fields(new);
        let now = self.api.now();
        let metadata = metadata_mut(new);
        if metadata
            .get("resourceVersion")
            .is_some_and(|version| version != "")
        {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(ApiError::bad_request(message));
        }
        metadata.remove("resourceVersion");
        metadata.remove("deletionTimestamp");
        metadata.remove("deletionGracePeriodSeconds");
        metadata.insert("uid".into(), uid().into());
        metadata.insert("creationTimestamp".into(), time(now).into());
        if self.resource() == Resource::Namespaces {
            complete_namespace(new);
        }
        let namespace = &self.target.namespace;
        let exists = namespace.is_empty()
            || self
                .api
                .store()
                .find(Resource::Namespaces, namespace)
                .is_some();
        if exists {
            Ok(())
        } else {
            Err(ApiError::not_found(Resource::Namespaces, namespace))
        }
    }

    /// Puts the object into the namespace of the path, or refuses another one.
    fn place(&self, new: &mut Value) -> Result<(), ApiError> {
        let namespace = self.target.namespace.as_str();
        let metadata = metadata_mut(new);
        let given = metadata
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !given.is_empty() && given != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the \
                 request",
            ));
        }
        match namespace {
            "" => metadata.remove("namespace"),
            namespace => metadata.insert("namespace".into(), namespace.into()),
        };
        Ok(())
    }

    fn judge(&self, old: Option<&Value>, new: &Value) -> Result<(), ApiError> {
        let errors = validate(self.resource(), old, new);
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(
            self.resource(),
            text(new, "/metadata/name"),
            &errors,
        ))
    }

    pub(crate) async fn update(&self, body: &[u8]) -> Result<Written, ApiError> {
        let is_dry = self.query.is_dry_run()?;
        let validation = self.query.field_validation()?;
        let (new, warnings) = decode::decode(self.resource(), body, validation)?;
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current()?;
            if let Some(object) = self.replace(current, None, new.clone(), is_dry).await? {
                return Ok(Written { object, warnings });
            }
        }
        Err(ApiError::modified_meanwhile(self.resource(), self.name()))
    }

    pub(crate) async fn patch(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Written, ApiError> {
        let is_dry = self.query.is_dry_run()?;
        let validation = self.query.field_validation()?;
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|text| text.to_str().ok());
        let media = content_type
            .and_then(|text| text.split(';').next())
            .unwrap_or_default()
            .trim();
        let is_strategic = match media {
            "application/strategic-merge-patch+json" => true,
            "application/merge-patch+json" => false,
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => {
                let hint = "; server-side apply is not supported, use kubectl apply without \
                            --server-side";
                return Err(ApiError::unsupported_media_type(PATCH_TYPES, hint));
            }
            _ => return Err(ApiError::unsupported_media_type(PATCH_TYPES, "")),
        };
        let patch = decode::parse(body)?;
        if !patch.is_object() {
            return Err(ApiError::bad_request("a patch must be an object"));
        }
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current()?;
            let old = current.to_value();
            let mut new = old.clone();
            if is_strategic {
                patch::strategic(self.resource(), &mut new, patch.clone())?;
            } else {
                patch::merge(&mut new, patch.clone());
            }
            let (new, warnings) = decode::normalise(self.resource(), new, validation)?;
            if let Some(object) = self.replace(current, Some(old), new, is_dry).await? {
                return Ok(Written { object, warnings });
            }
        }
        Err(ApiError::modified_meanwhile(self.resource(), self.name()))
    }

    /// Replaces `current` by `new`; `None` if somebody else was faster.
    async fn replace(
        &self,
        current: Arc<Object>,
        old: Option<Value>,
        mut new: Value,
        is_dry: bool,
    ) -> Result<Option<Arc<Object>>, ApiError> {
        let (resource, name) = (self.resource(), self.name());
        let mut old = old.unwrap_or_else(|| current.to_value());
        metadata_mut(&mut old).remove("resourceVersion");
        let given = text(&new, "/metadata/name");
        if given != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        self.place(&mut new)?;
        let asked = metadata_mut(&mut new).remove("resourceVersion");
        let asked = asked.as_ref().and_then(Value::as_str).unwrap_or_default();
        if !matches!(asked, "" | "0") && asked != current.version.to_string() {
            return Err(ApiError::modified_meanwhile(resource, name));
        }
        self.keep_what_is_not_the_callers(&old, &mut new)?;
        if old == new {
            return Ok(Some(current));
        }
        self.judge(Some(&old), &new)?;
        let is_released = new.pointer("/metadata/deletionTimestamp").is_some()
            && new.pointer("/metadata/finalizers").is_none();
        if is_released && !is_dry {
            return Ok(self.remove(current, new).await?.map(|(object, _)| object));
        }
        let durability = classify(resource, &old, &new);
        self.commit(Some(current), self.key(), new, (durability, is_dry))
            .await
    }

    fn keep_what_is_not_the_callers(&self, old: &Value, new: &mut Value) -> Result<(), ApiError> {
        let (resource, name) = (self.resource(), self.name());
        let (old_uid, given) = (text(old, "/metadata/uid"), text(new, "/metadata/uid"));
        if !given.is_empty() && given != old_uid {
            let detail = format!(
                "Precondition failed: UID in precondition: {given}, UID in object meta: {old_uid}"
            );
            return Err(ApiError::conflict(resource, name, &detail));
        }
        decode::drop_server_fields(new);
        let keep = |new: &mut Value, parent: &str, field: &str| {
            let kept = old
                .get(parent)
                .and_then(|parent| parent.get(field))
                .cloned();
            let target = object_mut(object_mut(new).entry(parent).or_insert(Value::Null));
            match kept {
                Some(kept) => target.insert(field.into(), kept),
                None => target.remove(field),
            };
        };
        let server_fields = [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ];
        for field in server_fields {
            keep(new, "metadata", field);
        }
        let kept_member = if self.target.is_status {
            "spec"
        } else if matches!(resource, Resource::Nodes | Resource::Namespaces) {
            "status"
        } else {
            return Ok(());
        };
        match old.get(kept_member).cloned() {
            Some(kept) => object_mut(new).insert(kept_member.into(), kept),
            None => object_mut(new).remove(kept_member),
        };
        if resource == Resource::Namespaces {
            complete_namespace(new);
        }
        Ok(())
    }

    pub(super) async fn commit(
        &self,
        expected: Option<Arc<Object>>,
        key: Key,
        body: Value,
        (durability, is_dry): (Durability, bool),
    ) -> Result<Option<Arc<Object>>, ApiError> {
        if is_dry {
            let version = expected.map_or(0, |object| object.version);
            let mut object = body;
            if version == 0 {
                let json = object.to_string().into_bytes();
                return Ok(Some(Arc::new(Object::from_bytes(0, 0, json))));
            }
            return Ok(Some(Arc::new(show(std::mem::take(&mut object), version))));
        }
        let resource = self.resource();
        let write = Write {
            resource,
            key,
            expected,
            body,
            durability,
            is_deletion: false,
        };
        let objects = self.settle(vec![write]).await?;
        Ok(objects.and_then(|objects| objects.into_iter().next()))
    }

    pub(super) async fn settle(
        &self,
        writes: Vec<Write>,
    ) -> Result<Option<Vec<Arc<Object>>>, ApiError> {
        match self.api.store().commit(writes).await {
            Ok(objects) => Ok(Some(objects)),
            Err(Refusal::Stale) => Ok(None),
            Err(Refusal::Busy) => Err(ApiError::too_many_requests()),
            Err(Refusal::Disk(reason)) => Err(ApiError::internal(&reason)),
        }
    }
}

/// What kube-apiserver adds to every namespace.
pub(crate) fn complete_namespace(new: &mut Value) {
    let name = text(new, "/metadata/name").to_owned();
    let metadata = metadata_mut(new);
    object_mut(metadata.entry("labels").or_insert(Value::Null))
        .insert("kubernetes.io/metadata.name".into(), name.into());
    object_mut(new).insert("spec".into(), json!({"finalizers": ["kubernetes"]}));
    object_mut(new).insert("status".into(), json!({"phase": "Active"}));
}

/// A random (version 4) UUID.
pub(crate) fn uid() -> String {
    let number = u128::from_le_bytes(random::<16>());
    let number = (number & !(0xf000 << 64) & !(0b11 << 62)) | (0x4000 << 64) | (0b10 << 62);
    let hex = format!("{number:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}

/// Five characters for `generateName`, none of which can form a word.
fn suffix() -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let pick = |byte: u8| ALPHABET.get(usize::from(byte) % ALPHABET.len()).copied();
    random::<5>()
        .into_iter()
        .filter_map(pick)
        .map(char::from)
        .collect()
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers once it has started");
    bytes
}

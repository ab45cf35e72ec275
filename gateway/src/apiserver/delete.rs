//! The verbs that remove: delete and deletecollection, with what goes along: a Node's Lease, what
//! is in a Namespace. Finalizers hold an object back until they are gone.

use std::sync::Arc;

use serde_json::Value;

use super::{
    decode,
    memory::{Durability, Key, key},
    object::{Object, metadata_mut, text},
    read,
    request::{Target, dry_run},
    resources::{FIXED_NAMESPACES, Resource},
    select::Selector,
    status::{self, ApiError},
    store::Write,
    write::{ATTEMPTS_MAX, Call, time},
};

/// What deletion did.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// Finalizers hold the object back.
    Held(Arc<Object>),
    /// It is gone; this is the `Status` to send.
    Gone(Value),
}

impl Call<'_> {
    pub(crate) async fn delete(&self, body: &[u8]) -> Result<Deleted, ApiError> {
        let options = if body.is_empty() {
            Value::Null
        } else {
            decode::parse(body)?
        };
        let is_dry = self.query.is_dry_run()? || is_dry_run(&options)?;
        let (resource, name) = (self.resource(), self.name());
        if resource == Resource::Namespaces && FIXED_NAMESPACES.contains(&name) {
            let why = "this namespace may not be deleted";
            return Err(ApiError::forbidden(resource, name, why));
        }
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current()?;
            let mut old = current.to_value();
            self.check_preconditions(&options, &old)?;
            let uid = text(&old, "/metadata/uid").to_owned();
            let gone = || Deleted::Gone(status::deleted(resource, name, &uid));
            if is_dry {
                return Ok(gone());
            }
            let is_held = old.pointer("/metadata/finalizers").is_some();
            if !is_held {
                if self.remove(current, old).await?.is_some() {
                    return Ok(gone());
                }
                continue;
            }
            if old.pointer("/metadata/deletionTimestamp").is_some() {
                return Ok(Deleted::Held(current));
            }
            let now = time(self.api.now());
            let metadata = metadata_mut(&mut old);
            metadata.insert("deletionTimestamp".into(), now.into());
            metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
            let how = (Durability::Immediate, false);
            if let Some(object) = self.commit(Some(current), self.key(), old, how).await? {
                return Ok(Deleted::Held(object));
            }
        }
        Err(ApiError::modified_meanwhile(resource, name))
    }

    fn check_preconditions(&self, options: &Value, old: &Value) -> Result<(), ApiError> {
        for (field, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let wanted = text(options, &format!("/preconditions/{field}"));
            let found = text(old, &format!("/metadata/{field}"));
            if !wanted.is_empty() && wanted != found {
                let detail = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object \
                     meta: {found}"
                );
                return Err(ApiError::conflict(self.resource(), self.name(), &detail));
            }
        }
        Ok(())
    }

    /// Removes an object and what belongs to it; `None` if somebody else was faster.
    pub(super) async fn remove(
        &self,
        current: Arc<Object>,
        old: Value,
    ) -> Result<Option<(Arc<Object>, usize)>, ApiError> {
        let resource = self.resource();
        let uid = text(&old, "/metadata/uid").to_owned();
        let durability = match resource {
            Resource::Events => Durability::Whole,
            Resource::Nodes | Resource::Namespaces | Resource::Leases | Resource::Pods => {
                Durability::Immediate
            }
        };
        let mut writes = vec![Write {
            resource,
            key: self.key(),
            expected: Some(current),
            body: old,
            durability,
            is_deletion: true,
        }];
        match resource {
            Resource::Nodes => writes.extend(self.lease_of(&uid)),
            Resource::Namespaces => writes.extend(self.content_of(self.name())),
            Resource::Events | Resource::Leases | Resource::Pods => {}
        }
        let count = writes.len();
        let objects = self.settle(writes).await?;
        Ok(objects.and_then(|objects| Some((objects.into_iter().next()?, count))))
    }

    /// The Lease that belongs to this node: it goes with it.
    fn lease_of(&self, uid: &str) -> Option<Write> {
        let key = key("kube-node-lease", self.name());
        let lease = self.api.store().find(Resource::Leases, &key)?;
        let is_owned = lease
            .peek()
            .metadata
            .owner_references
            .iter()
            .any(|owner| owner.uid == uid);
        is_owned.then(|| deletion(Resource::Leases, key, lease, Durability::Immediate))
    }

    fn content_of(&self, namespace: &str) -> Vec<Write> {
        let memory = self.api.store().memory();
        let prefix = format!("{namespace}/");
        let mut writes = Vec::new();
        for resource in [Resource::Events, Resource::Leases] {
            for (key, object) in &memory.table(resource).objects {
                if key.starts_with(&prefix) {
                    let object = Arc::clone(object);
                    writes.push(deletion(
                        resource,
                        key.clone(),
                        object,
                        Durability::Immediate,
                    ));
                }
            }
        }
        writes
    }

    /// Deletes everything that the selectors match; returns what was deleted.
    pub(crate) async fn delete_collection(
        &self,
        body: &[u8],
    ) -> Result<Vec<Arc<Object>>, ApiError> {
        let options = if body.is_empty() {
            Value::Null
        } else {
            decode::parse(body)?
        };
        let is_dry = self.query.is_dry_run()? || is_dry_run(&options)?;
        let labels = self.query.text("labelSelector");
        let fields = self.query.text("fieldSelector");
        let selector = Selector::parse(self.resource(), labels, fields)?;
        let found = read::collect(self.api.store(), self.target, "").0;
        let mut deleted = Vec::new();
        for object in found.into_iter().filter(|object| selector.matches(object)) {
            let peek = object.peek();
            let target = Target {
                name: Some(peek.metadata.name.to_string()),
                namespace: peek.metadata.namespace.to_string(),
                ..self.target.clone()
            };
            let call = Call {
                target: &target,
                ..*self
            };
            if !is_dry {
                match Box::pin(call.delete(&[])).await {
                    Err(err) if err.code != 404 => return Err(err),
                    _ => {}
                }
            }
            deleted.push(Arc::clone(&object));
        }
        Ok(deleted)
    }
}

/// The removal of an object as it is now.
pub(crate) fn deletion(
    resource: Resource,
    key: Key,
    object: Arc<Object>,
    durability: Durability,
) -> Write {
    let body = object.to_value();
    Write {
        resource,
        key,
        expected: Some(object),
        body,
        durability,
        is_deletion: true,
    }
}

fn is_dry_run(options: &Value) -> Result<bool, ApiError> {
    let values = options.get("dryRun").and_then(Value::as_array);
    dry_run(values.into_iter().flatten().filter_map(Value::as_str))
}

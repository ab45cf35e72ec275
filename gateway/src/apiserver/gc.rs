//! What a cluster's controllers would tidy up: Events after an hour and beyond a number per
//! object, Leases whose Node is gone. Also the namespaces that always exist.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    delete::deletion,
    memory::{Change, Durability, Key, key},
    object::{Object, Peek},
    resources::{FIXED_NAMESPACES, Resource},
    store::{Refusal, Store, Write},
    write::{complete_namespace, time, uid},
};

/// How long an Event is kept after it was last seen, as kube-apiserver does.
const EVENT_AGE_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Events kept per involved object.
const EVENTS_PER_OBJECT_MAX: usize = 1000;
/// Created Events after which the number is looked at, whatever the time.
const EVENTS_BETWEEN_COUNTS: u64 = 1024;

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Events too old, or too many for their object.
    pub events: usize,
    /// Leases whose Node is gone.
    pub leases: usize,
}

impl Store {
    /// Removes what nobody needs any more; lazily, so nothing is written before the next flush.
    pub async fn collect_garbage(&self, now: Timestamp) -> Collected {
        Collected {
            events: self.remove(self.stale_events(Some(now))).await,
            leases: self.remove(self.orphaned_leases()).await,
        }
    }

    /// Keeps a flood of Events within bounds between two collections.
    pub(crate) async fn bound_events(&self) {
        let is_due = {
            let mut memory = self.memory();
            memory.events_created += 1;
            memory.events_created.is_multiple_of(EVENTS_BETWEEN_COUNTS)
        };
        if is_due {
            self.remove(self.stale_events(None)).await;
        }
    }

    async fn remove(&self, writes: Vec<Write>) -> usize {
        let mut removed = 0;
        for write in writes {
            // Somebody who changed it meanwhile wants it; the next collection looks again.
            removed += match self.commit(vec![write]).await {
                Ok(objects) => objects.len(),
                Err(Refusal::Busy | Refusal::Disk(_) | Refusal::Stale) => 0,
            };
        }
        removed
    }

    fn snapshot(&self, resource: Resource) -> Vec<(Key, Arc<Object>)> {
        let memory = self.memory();
        let objects = &memory.table(resource).objects;
        objects
            .iter()
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect()
    }

    fn stale_events(&self, now: Option<Timestamp>) -> Vec<Write> {
        let mut per_object: HashMap<String, Vec<(Timestamp, Key, Arc<Object>)>> = HashMap::new();
        let mut stale = Vec::new();
        for (key, object) in self.snapshot(Resource::Events) {
            let peek = object.peek();
            let seen = last_seen(&peek);
            if now.is_some_and(|now| now.duration_since(seen) > EVENT_AGE_MAX) {
                stale.push(deletion(
                    Resource::Events,
                    key,
                    Arc::clone(&object),
                    Durability::Whole,
                ));
                continue;
            }
            let involved = involved(&peek);
            per_object
                .entry(involved)
                .or_default()
                .push((seen, key, Arc::clone(&object)));
        }
        for mut events in per_object.into_values() {
            let excess = events.len().saturating_sub(EVENTS_PER_OBJECT_MAX);
            events.sort_by_key(|(seen, _, object)| (*seen, object.version));
            let oldest = events.into_iter().take(excess);
            stale.extend(oldest.map(|(_, key, object)| {
                deletion(Resource::Events, key, object, Durability::Whole)
            }));
        }
        stale
    }

    fn orphaned_leases(&self) -> Vec<Write> {
        let nodes: HashSet<String> = self
            .snapshot(Resource::Nodes)
            .iter()
            .map(|(_, node)| node.peek().metadata.uid.into_owned())
            .collect();
        let is_orphan = |object: &Object| {
            let owners = object.peek().metadata.owner_references;
            let mut nodes_owning = owners
                .iter()
                .filter(|owner| owner.kind == "Node")
                .peekable();
            nodes_owning.peek().is_some() && nodes_owning.all(|owner| !nodes.contains(&*owner.uid))
        };
        self.snapshot(Resource::Leases)
            .into_iter()
            .filter(|(_, lease)| is_orphan(lease))
            .map(|(key, lease)| deletion(Resource::Leases, key, lease, Durability::Whole))
            .collect()
    }
}

fn last_seen(peek: &Peek<'_>) -> Timestamp {
    let series = peek
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_deref());
    [
        series,
        peek.last_timestamp.as_deref(),
        peek.event_time.as_deref(),
        peek.metadata.creation_timestamp.as_deref(),
    ]
    .into_iter()
    .flatten()
    .filter_map(|text| text.parse().ok())
    .max()
    .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn involved(peek: &Peek<'_>) -> String {
    let Some(involved) = &peek.involved_object else {
        return String::new();
    };
    let part =
        |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
    [
        part(&involved.kind),
        part(&involved.namespace),
        part(&involved.name),
    ]
    .join("/")
}

/// Creates the namespaces that always exist and are missing; written with the next flush.
pub(crate) fn create_namespaces(store: &Store, now: Timestamp) {
    let mut memory = store.memory();
    for name in FIXED_NAMESPACES {
        if memory.find(Resource::Namespaces, name).is_some() {
            continue;
        }
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "uid": uid(), "creationTimestamp": time(now)},
        });
        complete_namespace(&mut body);
        memory.version += 1;
        let object = Arc::new(Object::new(memory.version, 0, &mut body));
        let change = Change {
            key: key("", name),
            object,
            previous: None,
            is_deletion: false,
        };
        memory.apply(vec![(Resource::Namespaces, change, Durability::Whole)]);
    }
}

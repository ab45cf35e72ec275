//! What the store holds in memory: every object, a bounded history of changes per resource, and
//! the writes that wait for the disk. Invariant: within a resource, changes become visible in
//! the order of their versions, so that a watch resumed at any version misses nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::{oneshot, watch};

use super::{object::Object, resources::Resource};

/// Changes kept per resource, so that a watcher may lag or reconnect.
const HISTORY_LEN_MAX: usize = 4096;
/// The memory that these changes may hold.
const HISTORY_BYTES_MAX: usize = 4 << 20;

/// `name`, or `namespace/name`.
pub(crate) type Key = Box<str>;

/// Makes the key of an object.
pub(crate) fn key(namespace: &str, name: &str) -> Key {
    match namespace {
        "" => name.into(),
        namespace => format!("{namespace}/{name}").into(),
    }
}

/// How a write reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// With the next flush, as the few fields that changed.
    Beat,
    /// Before the reply.
    Immediate,
    /// With the next flush, as the whole object.
    Whole,
}

/// One change of one object, in memory or on its way there.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) object: Arc<Object>,
    pub(crate) previous: Option<Arc<Object>>,
    pub(crate) is_deletion: bool,
}

/// The objects of one resource.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Change>,
    history_bytes: usize,
    /// Every change with a version above this one is in the history.
    floor: u64,
    /// The newest version, for whoever waits for one.
    head: watch::Sender<u64>,
    /// Batches that touch this resource and wait for the disk.
    waiting: usize,
    pub(crate) bytes: usize,
}

/// Changes that become visible together, once the disk has them.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) changes: Vec<(Resource, Change, Durability)>,
    pub(crate) done: Option<oneshot::Sender<Result<(), String>>>,
}

impl Batch {
    pub(crate) fn is_durable(&self) -> bool {
        self.changes.is_empty()
            || self
                .changes
                .iter()
                .any(|(_, _, durability)| *durability == Durability::Immediate)
    }
}

/// All that is guarded by the store's one lock.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) tables: [Table; Resource::ALL.len()],
    /// The last version given to a change.
    pub(crate) version: u64,
    /// Versions up to here may be given: the disk knows that they are.
    pub(crate) reserved: u64,
    pub(crate) queue: Vec<Batch>,
    /// Keys with a change in the queue or on its way to the disk.
    pub(crate) busy: HashSet<(Resource, Key)>,
    /// Whole objects that the next flush writes, or removes.
    pub(crate) dirty: BTreeSet<(Resource, Key)>,
    /// Whether anything lazy happened since the last flush.
    pub(crate) is_unflushed: bool,
    pub(crate) is_reserving: bool,
    pub(crate) is_closed: bool,
    pub(crate) events_created: u64,
}

impl Table {
    fn new(floor: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            floor,
            head: watch::Sender::new(floor),
            waiting: 0,
            bytes: 0,
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    pub(crate) fn watchers(&self) -> usize {
        self.head.receiver_count()
    }

    /// Puts an object in place without history, while loading.
    pub(crate) fn load(&mut self, key: Key, object: Arc<Object>) {
        self.bytes += key.len() + object.json.len();
        self.objects.insert(key, object);
    }

    /// Up to `limit` changes after `version`; `Err(floor)` when some are no longer kept.
    pub(crate) fn changes_after(&self, version: u64, limit: usize) -> Result<Vec<Change>, u64> {
        if version < self.floor {
            return Err(self.floor);
        }
        let start = self
            .history
            .partition_point(|change| change.object.version <= version);
        Ok(self.history.range(start..).take(limit).cloned().collect())
    }

    fn apply(&mut self, change: Change) {
        let version = change.object.version;
        if let Some(previous) = &change.previous {
            self.bytes = self
                .bytes
                .saturating_sub(change.key.len() + previous.json.len());
        }
        if change.is_deletion {
            self.objects.remove(&change.key);
        } else {
            self.bytes += change.key.len() + change.object.json.len();
            self.objects
                .insert(change.key.clone(), Arc::clone(&change.object));
        }
        self.history_bytes += change.object.json.len();
        self.history.push_back(change);
        while self.history.len() > HISTORY_LEN_MAX || self.history_bytes > HISTORY_BYTES_MAX {
            let Some(oldest) = self.history.pop_front() else {
                break;
            };
            self.history_bytes -= oldest.object.json.len();
            self.floor = oldest.object.version;
        }
        self.head.send_replace(version);
    }
}

impl Memory {
    pub(crate) fn new(version: u64) -> Self {
        Self {
            tables: std::array::from_fn(|_| Table::new(version)),
            version,
            reserved: version,
            queue: Vec::new(),
            busy: HashSet::new(),
            dirty: BTreeSet::new(),
            is_unflushed: false,
            is_reserving: false,
            is_closed: false,
            events_created: 0,
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "one table per resource, by construction"
    )]
    pub(crate) fn table(&self, resource: Resource) -> &Table {
        &self.tables[resource.index()]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "one table per resource, by construction"
    )]
    pub(crate) fn table_mut(&mut self, resource: Resource) -> &mut Table {
        &mut self.tables[resource.index()]
    }

    pub(crate) fn find(&self, resource: Resource, key: &str) -> Option<&Arc<Object>> {
        self.table(resource).objects.get(key)
    }

    /// The version that a list of `resource` may claim: all changes up to it are visible.
    pub(crate) fn visible_version(&self, resource: Resource) -> u64 {
        let table = self.table(resource);
        if table.waiting == 0 {
            self.version
        } else {
            *table.head.borrow()
        }
    }

    /// Says whether changes of these resources have to wait for others.
    pub(crate) fn must_wait(&self, batch: &Batch) -> bool {
        batch.is_durable()
            || batch
                .changes
                .iter()
                .any(|(resource, ..)| self.table(*resource).waiting > 0)
    }

    pub(crate) fn enqueue(&mut self, batch: Batch) {
        for (resource, change, _) in &batch.changes {
            self.table_mut(*resource).waiting += 1;
            self.busy.insert((*resource, change.key.clone()));
        }
        self.queue.push(batch);
    }

    /// Takes a batch out of waiting and, unless the disk refused it, makes it visible.
    pub(crate) fn settle(&mut self, batch: Batch, outcome: &Result<(), String>) {
        let is_lost = batch.is_durable() && outcome.is_err();
        for (resource, change, _) in &batch.changes {
            self.busy.remove(&(*resource, change.key.clone()));
            self.table_mut(*resource).waiting -= 1;
        }
        let reply = if is_lost { outcome.clone() } else { Ok(()) };
        if !is_lost {
            self.apply(batch.changes);
        }
        if let Some(done) = batch.done {
            // Whoever asked may have hung up; the write stands.
            let _ = done.send(reply);
        }
    }

    /// Makes changes visible.
    pub(crate) fn apply(&mut self, changes: Vec<(Resource, Change, Durability)>) {
        for (resource, change, durability) in changes {
            match durability {
                Durability::Immediate => {
                    change.object.set_disk_version(change.object.version);
                    self.dirty.remove(&(resource, change.key.clone()));
                }
                // Only a whole object can stand for one that the disk never had.
                Durability::Beat if change.object.disk_version() != 0 => self.is_unflushed = true,
                Durability::Beat | Durability::Whole => {
                    self.is_unflushed = true;
                    self.dirty.insert((resource, change.key.clone()));
                }
            }
            self.table_mut(resource).apply(change);
        }
    }
}

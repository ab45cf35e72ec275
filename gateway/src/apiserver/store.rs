//! Owns all objects: in memory for reading, in `state.redb` for the next start. Two durabilities:
//! what somebody decided is on disk before the reply; what merely beats is flushed every few
//! minutes. Durable writes that arrive together share a commit, made by one thread, so neither
//! the async runtime nor other resources wait for an SD card.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::{Notify, oneshot};

pub use super::{disk::StoreError, flush::FlushStats};
use super::{
    disk::{Disk, Loaded, Row, object_row},
    memory::{Batch, Change, Durability, Key, Memory},
    object::{Object, set_version},
    resources::Resource,
};

/// resourceVersions reserved by one commit; renewals of ten thousand nodes use them up in a
/// quarter of an hour.
const VERSIONS_PER_BLOCK: u64 = 1 << 20;
/// Writes that may wait for the disk before more are refused.
const QUEUE_LEN_MAX: usize = 4096;
/// How often a store that failed to write tries again by itself.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(5);

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {}

/// Figures for `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreMetrics {
    /// Objects by resource (plural name).
    pub objects: BTreeMap<&'static str, usize>,
    /// Bytes of JSON held for them.
    pub object_bytes: usize,
    /// Open watches, by resource.
    pub watchers: BTreeMap<&'static str, usize>,
    /// Bytes handed to the file since start.
    pub bytes_written: u64,
    /// Transactions committed since start.
    pub commits: u64,
    /// The newest resourceVersion.
    pub resource_version: u64,
}

/// All objects, and the file they live in.
pub struct Store {
    inner: Arc<Inner>,
    writer: Option<JoinHandle<()>>,
}

/// What the store and its writer thread share.
pub(crate) struct Inner {
    pub(super) memory: Mutex<Memory>,
    pub(super) work: Condvar,
    pub(super) disk: Mutex<Disk>,
    pub(super) settled: Notify,
    pub(super) last_error: Mutex<Option<String>>,
    pub(super) bytes_written: Arc<AtomicU64>,
    pub(super) commits: AtomicU64,
}

/// A change to make, if the object is still what the caller saw.
pub(crate) struct Write {
    pub(crate) resource: Resource,
    pub(crate) key: Key,
    /// What the caller based the change on; `None` means that there must be nothing.
    pub(crate) expected: Option<Arc<Object>>,
    /// The new content, or the last one when `is_deletion`.
    pub(crate) body: Value,
    pub(crate) durability: Durability,
    pub(crate) is_deletion: bool,
}

/// Why a change was not made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many writes wait already.
    Busy,
    /// The disk refused; nothing changed.
    Disk(String),
    /// Somebody else was faster; read again.
    Stale,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Release builds abort on panic; a test that panicked elsewhere may go on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens `directory/state.redb`, making both if need be; this process owns it from now on.
    pub fn open(directory: &Path, _options: StoreOptions) -> Result<Self, StoreError> {
        let bytes_written = Arc::new(AtomicU64::new(0));
        let (disk, loaded) = Disk::open(directory, &bytes_written)?;
        Ok(Self::start(disk, loaded, bytes_written))
    }

    pub(crate) fn start(mut disk: Disk, loaded: Loaded, bytes_written: Arc<AtomicU64>) -> Self {
        let mut memory = Memory::new(loaded.reserved);
        fill(&mut memory, loaded);
        let reserved = memory.version + VERSIONS_PER_BLOCK;
        // A full disk still lets everybody read; writes are refused until it can be written.
        let last_error = match disk.write(&[], Some(reserved)) {
            Ok(()) => {
                memory.reserved = reserved;
                None
            }
            Err(err) => Some(chain(&err)),
        };
        if let Some(error) = &last_error {
            tracing::error!(error = %error, "the store cannot be written");
        }
        let inner = Arc::new(Inner {
            memory: Mutex::new(memory),
            work: Condvar::new(),
            disk: Mutex::new(disk),
            settled: Notify::new(),
            last_error: Mutex::new(last_error),
            bytes_written,
            commits: AtomicU64::new(1),
        });
        let shared = Arc::clone(&inner);
        let writer = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || shared.commit_batches())
            .expect("a thread can be started");
        Self {
            inner,
            writer: Some(writer),
        }
    }

    /// The last failure to write, until a write succeeds.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.inner.last_error).clone()
    }

    /// Figures for `/metrics`.
    pub fn metrics(&self) -> StoreMetrics {
        let memory = self.memory();
        let each = |count: &dyn Fn(Resource) -> usize| {
            Resource::ALL
                .iter()
                .map(|&r| (r.facts().plural, count(r)))
                .collect()
        };
        StoreMetrics {
            objects: each(&|resource| memory.table(resource).objects.len()),
            object_bytes: memory.tables.iter().map(|table| table.bytes).sum(),
            watchers: each(&|resource| memory.table(resource).watchers()),
            bytes_written: self.inner.bytes_written.load(Ordering::Relaxed),
            commits: self.inner.commits.load(Ordering::Relaxed),
            resource_version: memory.version,
        }
    }

    /// Writes what is lazy; nothing if nothing changed. Blocks for as long as the disk does.
    pub fn flush(&self) -> Result<FlushStats, StoreError> {
        self.inner.flush()
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.inner.memory)
    }

    pub(crate) fn find(&self, resource: Resource, key: &str) -> Option<Arc<Object>> {
        self.memory().find(resource, key).map(Arc::clone)
    }

    /// Makes all changes, or none; visible together, after the disk has them if one is durable.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<Vec<Arc<Object>>, Refusal> {
        let mut settled = std::pin::pin!(self.inner.settled.notified());
        settled.as_mut().enable();
        let outcome = self.inner.try_commit(writes);
        match outcome {
            Attempt::Done(result) => result,
            Attempt::Wait => {
                settled.await;
                Err(Refusal::Stale)
            }
            Attempt::Queued(objects, done) => match done.await {
                Ok(Ok(())) => Ok(objects),
                Ok(Err(reason)) => Err(Refusal::Disk(reason)),
                Err(_) => Err(Refusal::Disk("the store was closed".to_owned())),
            },
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.memory().is_closed = true;
        self.inner.work.notify_one();
        if let Some(writer) = self.writer.take() {
            // The file's lock must be free when this returns.
            let _ = writer.join();
        }
        lock(&self.inner.disk).close();
    }
}

enum Attempt {
    Done(Result<Vec<Arc<Object>>, Refusal>),
    Queued(Vec<Arc<Object>>, oneshot::Receiver<Result<(), String>>),
    Wait,
}

impl Inner {
    fn try_commit(&self, writes: Vec<Write>) -> Attempt {
        let mut memory = lock(&self.memory);
        if writes
            .iter()
            .any(|write| memory.busy.contains(&(write.resource, write.key.clone())))
        {
            return Attempt::Wait;
        }
        let is_current = |write: &Write| {
            let found = memory.find(write.resource, &write.key);
            match (&write.expected, found) {
                (None, None) => true,
                (Some(expected), Some(found)) => Arc::ptr_eq(expected, found),
                _ => false,
            }
        };
        if !writes.iter().all(is_current) {
            return Attempt::Done(Err(Refusal::Stale));
        }
        if memory.queue.len() >= QUEUE_LEN_MAX {
            return Attempt::Done(Err(Refusal::Busy));
        }
        let needed = u64::try_from(writes.len()).unwrap_or(u64::MAX);
        let left = memory.reserved.saturating_sub(memory.version);
        if left < VERSIONS_PER_BLOCK / 4 && !memory.is_reserving {
            memory.is_reserving = true;
            memory.queue.push(Batch {
                changes: Vec::new(),
                done: None,
            });
            self.work.notify_one();
        }
        if left < needed {
            return match lock(&self.last_error).clone() {
                Some(reason) => Attempt::Done(Err(Refusal::Disk(reason))),
                None => Attempt::Wait,
            };
        }
        let changes: Vec<_> = writes
            .into_iter()
            .map(|write| number(&mut memory, write))
            .collect();
        let objects = changes
            .iter()
            .map(|(_, change, _)| Arc::clone(&change.object))
            .collect();
        let mut batch = Batch {
            changes,
            done: None,
        };
        if !memory.must_wait(&batch) {
            memory.apply(batch.changes);
            return Attempt::Done(Ok(objects));
        }
        let (done, receiver) = oneshot::channel();
        batch.done = Some(done);
        memory.enqueue(batch);
        self.work.notify_one();
        Attempt::Queued(objects, receiver)
    }

    /// The writer thread: one commit for all that has gathered since the last.
    fn commit_batches(&self) {
        while let Some(batches) = self.next_batches() {
            let mut disk = lock(&self.disk);
            let rows: Vec<Row> = batches
                .iter()
                .filter(|b| b.is_durable())
                .flat_map(rows)
                .collect();
            let is_empty = !batches.iter().any(Batch::is_durable) && !disk.is_broken();
            let outcome = if is_empty {
                Ok(())
            } else {
                self.write(&mut disk, rows)
            };
            let outcome = outcome.map_err(|err| chain(&err));
            let mut memory = lock(&self.memory);
            memory.is_reserving = false;
            for batch in batches {
                memory.settle(batch, &outcome);
            }
            drop(memory);
            drop(disk);
            self.settled.notify_waiters();
        }
    }

    fn next_batches(&self) -> Option<Vec<Batch>> {
        let mut memory = lock(&self.memory);
        loop {
            if !memory.queue.is_empty() {
                return Some(std::mem::take(&mut memory.queue));
            }
            if memory.is_closed {
                return None;
            }
            let is_healthy = lock(&self.last_error).is_none();
            if is_healthy {
                memory = self
                    .work
                    .wait(memory)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.work.wait_timeout(memory, RECOVERY_INTERVAL);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            memory = guard;
            if timeout.timed_out() && memory.queue.is_empty() {
                return Some(vec![Batch {
                    changes: Vec::new(),
                    done: None,
                }]);
            }
        }
    }

    /// Commits rows, keeping the books: reservation, health, counters, and repair after a failure.
    pub(super) fn write(&self, disk: &mut Disk, mut rows: Vec<Row>) -> Result<(), StoreError> {
        let repaired = if disk.is_broken() {
            self.repair(disk, &mut rows)
        } else {
            Ok(Vec::new())
        };
        let reserved = {
            let memory = lock(&self.memory);
            let left = memory.reserved.saturating_sub(memory.version);
            (left < VERSIONS_PER_BLOCK / 2).then(|| memory.version + VERSIONS_PER_BLOCK)
        };
        let outcome = repaired.and_then(|repaired| {
            disk.write(&rows, reserved)?;
            Ok(repaired)
        });
        match outcome {
            Ok(repaired) => {
                if let Some(reserved) = reserved {
                    lock(&self.memory).reserved = reserved;
                }
                for object in repaired {
                    object.set_disk_version(object.version);
                }
                self.commits.fetch_add(1, Ordering::Relaxed);
                if lock(&self.last_error).take().is_some() {
                    tracing::info!("the store can be written again");
                }
                Ok(())
            }
            Err(err) => {
                disk.close();
                let text = chain(&err);
                if lock(&self.last_error).replace(text.clone()).is_none() {
                    tracing::error!(error = %text, "the store cannot be written");
                }
                Err(err)
            }
        }
    }
}

/// Gives a write its version and makes it a change.
fn number(memory: &mut Memory, write: Write) -> (Resource, Change, Durability) {
    memory.version += 1;
    let mut body = write.body;
    let disk_version = write
        .expected
        .as_ref()
        .map_or(0, |object| object.disk_version());
    let object = Arc::new(Object::new(memory.version, disk_version, &mut body));
    let change = Change {
        key: write.key,
        object,
        previous: write.expected,
        is_deletion: write.is_deletion,
    };
    (write.resource, change, write.durability)
}

fn rows(batch: &Batch) -> Vec<Row> {
    let row = |(resource, change, _): &(Resource, Change, Durability)| {
        let json = (!change.is_deletion).then(|| change.object.json.clone());
        (object_row(*resource, &change.key), json)
    };
    batch.changes.iter().map(row).collect()
}

fn fill(memory: &mut Memory, loaded: Loaded) {
    for (resource, key, json) in loaded.objects {
        let version = version_of(&json);
        let object = Object::from_bytes(version, version, json);
        let beat = loaded
            .overlay
            .get(resource.facts().plural)
            .and_then(|beats| beats.get(&*key));
        let object = beat.and_then(|beat| beat.apply(&object)).unwrap_or(object);
        memory.table_mut(resource).load(key, Arc::new(object));
    }
}

pub(super) fn version_of(json: &[u8]) -> u64 {
    let body: Value = serde_json::from_slice(json).unwrap_or_default();
    super::object::text(&body, "/metadata/resourceVersion")
        .parse()
        .unwrap_or_default()
}

/// An error and what caused it, in one line.
pub(crate) fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(": ");
        text.push_str(&err.to_string());
        cause = err.source();
    }
    text
}

/// Puts `version` into a body that is shown but not stored, as a dry run does.
pub(crate) fn show(mut body: Value, version: u64) -> Object {
    set_version(&mut body, version);
    Object::new(version, version, &mut body)
}

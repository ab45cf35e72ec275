//! The store's lazy half: one commit for all that has beaten since the last flush, and the repair
//! of a file after a write that failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;

use super::{
    disk::{Disk, Row, StoreError, object_row},
    memory::{Key, Memory},
    object::Object,
    overlay,
    resources::Resource,
    store::{Inner, lock, version_of},
};

/// What a flush did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushStats {
    /// Whole objects written or removed.
    pub objects: usize,
    /// Objects of which only the beat was written.
    pub beats: usize,
    /// Bytes handed to the file, pages and checksums included.
    pub bytes: u64,
}

impl Inner {
    /// After a failed commit nobody knows what the file holds: puts first, before `rows`, what
    /// makes it equal to memory again. Returns the objects that are then on disk.
    pub(super) fn repair(
        &self,
        disk: &mut Disk,
        rows: &mut Vec<Row>,
    ) -> Result<Vec<Arc<Object>>, StoreError> {
        let stored = disk.stored()?;
        let memory = lock(&self.memory);
        let mut wanted: BTreeMap<String, Arc<Object>> = BTreeMap::new();
        for resource in Resource::ALL {
            for (key, object) in &memory.table(resource).objects {
                if object.disk_version() != 0 {
                    wanted.insert(object_row(resource, key), Arc::clone(object));
                }
            }
        }
        drop(memory);
        let mut repairs: Vec<Row> = Vec::new();
        for (name, json) in stored {
            match wanted.get(&name) {
                Some(object) if version_of(&json) == object.disk_version() => {
                    wanted.remove(&name);
                }
                Some(_) => {}
                None => repairs.push((name, None)),
            }
        }
        repairs.extend(
            wanted
                .iter()
                .map(|(name, object)| (name.clone(), Some(object.json.clone()))),
        );
        rows.splice(0..0, repairs);
        Ok(wanted.into_values().collect())
    }

    /// Writes all that is lazy in one commit; nothing if nothing changed.
    pub(super) fn flush(&self) -> Result<FlushStats, StoreError> {
        let mut disk = lock(&self.disk);
        let mut memory = lock(&self.memory);
        if !memory.is_unflushed && !disk.is_broken() {
            return Ok(FlushStats::default());
        }
        let dirty = std::mem::take(&mut memory.dirty);
        memory.is_unflushed = false;
        let whole: Vec<(Row, Option<Arc<Object>>)> = dirty
            .iter()
            .map(|(resource, key)| {
                let object = memory.find(*resource, key).map(Arc::clone);
                let json: Option<Bytes> = object.as_ref().map(|object| object.json.clone());
                ((object_row(*resource, key), json), object)
            })
            .collect();
        let beating = beating(&memory, &dirty);
        drop(memory);
        let overlay = overlay::collect(beating.iter().map(|(r, key, object)| (*r, key, object)));
        let (mut rows, objects): (Vec<Row>, Vec<_>) = whole.into_iter().unzip();
        let overlay = serde_json::to_vec(&overlay).expect("an overlay always serialises");
        rows.push(("overlay".to_owned(), Some(Bytes::from(overlay))));
        let before = self.bytes_written.load(Ordering::Relaxed);
        if let Err(err) = self.write(&mut disk, rows) {
            let mut memory = lock(&self.memory);
            memory.dirty.extend(dirty);
            memory.is_unflushed = true;
            drop(memory);
            self.work.notify_one();
            return Err(err);
        }
        let memory = lock(&self.memory);
        for object in objects.iter().flatten() {
            object.set_disk_version(object.version);
        }
        drop(memory);
        let bytes = self.bytes_written.load(Ordering::Relaxed) - before;
        Ok(FlushStats {
            objects: objects.len(),
            beats: beating.len(),
            bytes,
        })
    }
}

/// Objects of which memory holds a newer beat than the disk's copy.
fn beating(
    memory: &Memory,
    dirty: &BTreeSet<(Resource, Key)>,
) -> Vec<(Resource, Key, Arc<Object>)> {
    let mut beating = Vec::new();
    for resource in [Resource::Nodes, Resource::Leases] {
        for (key, object) in &memory.table(resource).objects {
            let disk_version = object.disk_version();
            let is_whole = dirty.contains(&(resource, key.clone()));
            if disk_version != 0 && disk_version != object.version && !is_whole {
                beating.push((resource, key.clone(), Arc::clone(object)));
            }
        }
    }
    beating
}

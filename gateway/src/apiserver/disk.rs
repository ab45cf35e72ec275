//! The store's file, a redb database of two tables, so that a flush touches as few pages as it
//! can: `objects`, one row (`o/…`) each, and `meta` with `format`, `rv` (the reserved
//! resourceVersions) and `overlay` (the lazy fields). After a failed write the database is closed,
//! and opened anew by the next one: redb refuses everything after an IO error, while a full disk
//! is often freed again.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the store: it opens its one file"
)]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    panic,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::{memory::Key, object::Peek, overlay::Overlay, resources::Resource};

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The layout that this program writes and reads.
const FORMAT: u64 = 1;
/// redb's cache: all is read once, at start; writes are few and small.
const CACHE_BYTES: usize = 1 << 20;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{} is in use by another process; stop that gateway first", path.display())]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is not a store, or it is damaged.
    #[error(
        "{} is damaged or not a store; restore a copy, or move it aside and start again: boards \
         register themselves anew, edits made with kubectl (cordons, labels) are lost with it",
        path.display()
    )]
    Corrupt {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: Box<redb::Error>,
    },
    /// The file was written by a later version of this program.
    #[error("{} has format {format}, this program knows {FORMAT}; use a newer one", path.display())]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// The format found.
        format: u64,
    },
    /// The operating system refused.
    #[error("opening {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing failed: the disk is full or broken.
    #[error("writing {}", path.display())]
    Write {
        /// The store's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
}

/// The store's file in its directory.
pub const STORE_FILE: &str = "state.redb";

/// A row to put, or to remove.
pub(crate) type Row = (String, Option<Bytes>);

/// What a store file held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) reserved: u64,
    pub(crate) objects: Vec<(Resource, Key, Vec<u8>)>,
    pub(crate) overlay: Overlay,
}

type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The open file.
pub(crate) struct Disk {
    path: PathBuf,
    opener: Opener,
    database: Option<Database>,
}

/// The row of an object.
pub(crate) fn object_row(resource: Resource, key: &str) -> String {
    format!("o/{}/{key}", resource.facts().plural)
}

impl Disk {
    /// Opens `directory/state.redb`, making both if need be.
    pub(crate) fn open(
        directory: &Path,
        written: &Arc<AtomicU64>,
    ) -> Result<(Self, Loaded), StoreError> {
        let io_error = |source| StoreError::Io {
            path: directory.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io_error)?;
        let path = directory.join(STORE_FILE);
        let written = Arc::clone(written);
        let file = path.clone();
        let opener = Box::new(move || {
            let backend = CountedFile::open(&file, Arc::clone(&written))?;
            builder().create_with_backend(backend)
        });
        let loaded = Self::with_opener(path, opener)?;
        // The new file's name must survive a power cut too.
        File::open(directory)
            .and_then(|handle| handle.sync_all())
            .map_err(io_error)?;
        Ok(loaded)
    }

    /// Opens whatever `opener` gives; tests inject failing files here.
    pub(crate) fn with_opener(path: PathBuf, opener: Opener) -> Result<(Self, Loaded), StoreError> {
        let hook = DamageHook::set(&path);
        let database = opener().map_err(|err| open_error(&path, err))?;
        let loaded = load(&database).map_err(|err| corrupt(&path, err))?;
        drop(hook);
        let (format, loaded) = loaded.map_err(|reason| corrupt(&path, reason))?;
        if format > FORMAT {
            return Err(StoreError::Newer { path, format });
        }
        Ok((
            Self {
                path,
                opener,
                database: Some(database),
            },
            loaded,
        ))
    }

    /// Says whether the last write failed, so that the file may differ from what memory thinks.
    pub(crate) fn is_broken(&self) -> bool {
        self.database.is_none()
    }

    /// Commits rows, and newly reserved versions if any, in one transaction; on disk when this
    /// returns.
    pub(crate) fn write(&mut self, rows: &[Row], reserved: Option<u64>) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.opener)().map_err(|err| self.write_error(err.into()))?,
        };
        commit(&database, rows, reserved).map_err(|err| self.write_error(err))?;
        self.database = Some(database);
        Ok(())
    }

    /// Lists the object rows with the versions they hold, opening the file again if need be.
    pub(crate) fn stored(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.opener)().map_err(|err| self.write_error(err.into()))?,
        };
        let rows = object_rows(&database).map_err(|err| self.write_error(err))?;
        self.database = Some(database);
        Ok(rows)
    }

    /// Closes the file, which the next write opens again.
    pub(crate) fn close(&mut self) {
        self.database = None;
    }

    fn write_error(&self, source: redb::Error) -> StoreError {
        StoreError::Write {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }
}

/// redb panics over some damage, and release builds abort then: while a file is opened, the
/// panic hook is the last that can say what to do.
struct DamageHook(Arc<AtomicBool>);

impl DamageHook {
    fn set(path: &Path) -> Self {
        let is_opening = Arc::new(AtomicBool::new(true));
        let (former, is_ours) = (panic::take_hook(), Arc::clone(&is_opening));
        let error = corrupt(path, redb::Error::PreviousIo);
        panic::set_hook(Box::new(move |info| {
            former(info);
            if is_ours.load(Ordering::Relaxed) {
                tracing::error!(%error, "the store cannot be opened");
            }
        }));
        Self(is_opening)
    }
}

impl Drop for DamageHook {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The settings every store file is opened with.
pub(crate) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other errors mean the same here"
)]
fn open_error(path: &Path, err: DatabaseError) -> StoreError {
    let path = path.to_owned();
    let is_damage = |kind| {
        matches!(
            kind,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        )
    };
    if matches!(err, DatabaseError::DatabaseAlreadyOpen) {
        return StoreError::InUse { path };
    }
    let err = redb::Error::from(err);
    match err {
        redb::Error::Io(source) if !is_damage(source.kind()) => StoreError::Io { path, source },
        source => corrupt(&path, source),
    }
}

fn corrupt(path: &Path, source: redb::Error) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn commit(database: &Database, rows: &[Row], reserved: Option<u64>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for (definition, is_for_objects) in [(OBJECTS, true), (META, false)] {
        let mut chosen = rows
            .iter()
            .filter(|(name, _)| is_object(name) == is_for_objects)
            .peekable();
        let reserved = reserved.filter(|_| !is_for_objects);
        // A table that is not opened costs no page.
        if chosen.peek().is_none() && reserved.is_none() {
            continue;
        }
        let mut table = transaction.open_table(definition)?;
        for (name, content) in chosen {
            match content {
                Some(content) => table.insert(name.as_str(), content.as_ref())?,
                None => table.remove(name.as_str())?,
            };
        }
        if let Some(reserved) = reserved {
            table.insert("format", FORMAT.to_string().as_bytes())?;
            table.insert("rv", reserved.to_string().as_bytes())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn is_object(name: &str) -> bool {
    name.starts_with("o/")
}

fn object_rows(database: &Database) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(OBJECTS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(err) => return Err(err.into()),
    };
    let mut rows = Vec::new();
    for entry in table.range::<&str>(..)? {
        let (name, content) = entry?;
        rows.push((name.value().to_owned(), content.value().to_vec()));
    }
    Ok(rows)
}

/// The format and the content; the inner error is a row that makes no sense.
fn load(database: &Database) -> Result<Result<(u64, Loaded), redb::Error>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut loaded = Loaded::default();
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Ok((FORMAT, loaded))),
        Err(err) => return Err(err.into()),
    };
    let number = |name: &str| -> Result<u64, redb::Error> {
        let text = table
            .get(name)?
            .map(|row| row.value().to_vec())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.parse()
            .map_err(|_| redb::Error::Corrupted(format!("row {name} holds {text:?}")))
    };
    let format = number("format")?;
    if format > FORMAT {
        return Ok(Ok((format, loaded)));
    }
    loaded.reserved = number("rv")?;
    if let Some(row) = table.get("overlay")? {
        match serde_json::from_slice(row.value()) {
            Ok(overlay) => loaded.overlay = overlay,
            Err(err) => return Ok(Err(redb::Error::Corrupted(format!("row overlay: {err}")))),
        }
    }
    for (name, content) in object_rows(database)? {
        let parts = name
            .strip_prefix("o/")
            .and_then(|rest| rest.split_once('/'));
        let parts = parts.and_then(|(plural, key)| Some((Resource::by_plural(plural)?, key)));
        let Some((resource, key)) = parts else {
            return Ok(Err(redb::Error::Corrupted(format!("unknown row {name}"))));
        };
        if let Err(err) = serde_json::from_slice::<Peek<'_>>(&content) {
            return Ok(Err(redb::Error::Corrupted(format!("row {name}: {err}"))));
        }
        loaded.objects.push((resource, key.into(), content));
    }
    Ok(Ok((format, loaded)))
}

/// A locked file that counts what is written to it.
#[derive(Debug)]
struct CountedFile {
    file: File,
    written: Arc<AtomicU64>,
}

impl CountedFile {
    fn open(path: &Path, written: Arc<AtomicU64>) -> Result<Self, DatabaseError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options.open(path).map_err(redb::StorageError::Io)?;
        // The kernel drops the lock with the file, also when the process is killed.
        match file.try_lock() {
            Ok(()) => Ok(Self { file, written }),
            Err(TryLockError::WouldBlock) => Err(DatabaseError::DatabaseAlreadyOpen),
            Err(TryLockError::Error(err)) => Err(redb::StorageError::Io(err).into()),
        }
    }
}

impl redb::StorageBackend for CountedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written.fetch_add(
            u64::try_from(data.len()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        self.file.write_all_at(data, offset)
    }
}

//! The `watch` verb: an endless reply of changes. A watcher is a position in the shared history,
//! read only as fast as the client reads; one that falls behind the history is told `410 Gone`
//! and ends, so slow clients cost no memory.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    ApiServer,
    memory::Change,
    object::Object,
    read::{CHUNK_BYTES, Rendering, collect},
    request::{Format, Query, Target},
    select::Selector,
    status::{ApiError, FieldError},
};

/// Changes looked at in one go, so that the store's lock is held briefly.
const CHANGES_PER_PIECE: usize = 256;
/// How often a quiet watch that allows bookmarks hears the present version.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// The shortest a watch lasts if the client names no time; up to twice as long.
const TIMEOUT_S_MIN: u64 = 1800;

/// One client's watch.
struct Watch {
    api: ApiServer,
    rendering: Rendering,
    prefix: String,
    selector: Selector,
    head: watch::Receiver<u64>,
    /// Changes up to this version have been seen.
    version: u64,
    initial: VecDeque<Arc<Object>>,
    /// Whether the end of the initial objects is still to be marked.
    owes_end: bool,
    /// When the next bookmark is due, if they are wanted.
    bookmark: Option<Instant>,
    deadline: Instant,
    has_sent_columns: bool,
    is_over: bool,
}

/// Answers `watch` with a stream of newline-separated events.
pub(crate) fn watch(
    api: &ApiServer,
    target: &Target,
    query: &Query,
    rendering: Rendering,
) -> Result<impl Stream<Item = Bytes> + Send + use<>, ApiError> {
    let selector = Selector::parse(
        target.resource,
        query.text("labelSelector"),
        query.text("fieldSelector"),
    )?;
    let asked = query.resource_version()?;
    let send_initial = initial_events(query)?;
    // Subscribed before the objects are read: a change in between is seen in the history.
    let head = api.store().memory().table(target.resource).subscribe();
    let (objects, current) = collect(api.store(), target, "");
    let wants_objects = send_initial.unwrap_or(matches!(asked, None | Some(0)));
    let has_version = asked.filter(|asked| *asked != 0 && send_initial != Some(true));
    if let Some(asked) = asked.filter(|asked| *asked > api.store().memory().version) {
        return Err(ApiError::too_large(asked, current));
    }
    let now = Instant::now();
    let bookmark = query
        .is_true("allowWatchBookmarks")
        .then(|| now + BOOKMARK_INTERVAL);
    let timeout_s = query
        .number("timeoutSeconds")?
        .filter(|timeout_s| *timeout_s > 0);
    // Watches that began together should not end together.
    let timeout_s = timeout_s
        .unwrap_or(TIMEOUT_S_MIN + current % TIMEOUT_S_MIN)
        .min(1 << 20);
    let mut initial = VecDeque::new();
    if wants_objects {
        initial.extend(
            objects
                .into_iter()
                .filter(|object| selector.matches(object)),
        );
    }
    let state = Watch {
        api: api.clone(),
        rendering,
        prefix: match target.namespace.as_str() {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        },
        selector,
        head,
        version: has_version.unwrap_or(current),
        initial,
        owes_end: send_initial == Some(true) && bookmark.is_some(),
        bookmark,
        deadline: now + Duration::from_secs(timeout_s),
        has_sent_columns: false,
        is_over: false,
    };
    Ok(stream::unfold(state, |mut state| async move {
        let piece = state.next().await?;
        Some((piece, state))
    }))
}

/// Judges `sendInitialEvents` (streaming lists); `None` when it is not given.
fn initial_events(query: &Query) -> Result<Option<bool>, ApiError> {
    let refuse = |detail: &str| {
        let error = FieldError::forbidden("resourceVersionMatch", detail);
        Err(ApiError::invalid_options("ListOptions", &error))
    };
    let matching = query.text("resourceVersionMatch");
    if query.find("sendInitialEvents").is_none() {
        return match matching {
            "" => Ok(None),
            _ => refuse(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is \
                         provided",
            ),
        };
    }
    match matching {
        "NotOlderThan" => Ok(Some(query.is_true("sendInitialEvents"))),
        _ => refuse("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    }
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over {
                return None;
            }
            if let Some(piece) = self.initial_piece() {
                return Some(piece);
            }
            self.head.borrow_and_update();
            let changes = {
                let memory = self.api.store().memory();
                let table = memory.table(self.rendering.resource);
                table.changes_after(self.version, CHANGES_PER_PIECE)
            };
            match changes {
                Err(floor) => return Some(self.end_expired(floor)),
                Ok(changes) if changes.is_empty() => {
                    if let Some(piece) = self.wait().await {
                        return Some(piece);
                    }
                }
                Ok(changes) => {
                    let piece = self.render(&changes);
                    if !piece.is_empty() {
                        return Some(piece);
                    }
                }
            }
        }
    }

    fn initial_piece(&mut self) -> Option<Bytes> {
        let mut piece = BytesMut::new();
        while let Some(object) = self.initial.pop_front() {
            self.put(&mut piece, "ADDED", &object);
            if piece.len() >= CHUNK_BYTES {
                break;
            }
        }
        if self.initial.is_empty() && std::mem::take(&mut self.owes_end) {
            let metadata = json!({
                "resourceVersion": self.version.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"},
            });
            piece.put_slice(&self.bookmark_event(&metadata));
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    fn render(&mut self, changes: &[Change]) -> Bytes {
        let mut piece = BytesMut::new();
        for change in changes {
            self.version = change.object.version;
            if !change.key.starts_with(&self.prefix) {
                continue;
            }
            let was = change
                .previous
                .as_ref()
                .is_some_and(|old| self.selector.matches(old));
            let is = !change.is_deletion && self.selector.matches(&change.object);
            match (was, is) {
                (false, true) => self.put(&mut piece, "ADDED", &change.object),
                (true, true) => self.put(&mut piece, "MODIFIED", &change.object),
                (true, false) => self.put(&mut piece, "DELETED", &change.object),
                (false, false) => {}
            }
        }
        piece.freeze()
    }

    fn put(&mut self, piece: &mut BytesMut, kind: &str, object: &Object) {
        piece.put_slice(b"{\"type\":\"");
        piece.put_slice(kind.as_bytes());
        piece.put_slice(b"\",\"object\":");
        match self.rendering.format {
            Format::Json | Format::Metadata => piece.put_slice(&self.rendering.object(object)),
            Format::Table(_) => {
                self.rendering.now = self.api.now();
                let metadata = json!({"resourceVersion": object.version.to_string()});
                let rows = vec![self.rendering.row(object)];
                let table = self
                    .rendering
                    .table(&metadata, &rows, !self.has_sent_columns);
                self.has_sent_columns = true;
                piece.put_slice(table.to_string().as_bytes());
            }
        }
        piece.put_slice(b"}\n");
    }

    /// Waits for a change, and says what else there is to say meanwhile.
    async fn wait(&mut self) -> Option<Bytes> {
        let wake = self
            .bookmark
            .map_or(self.deadline, |bookmark| bookmark.min(self.deadline));
        tokio::select! {
            changed = self.head.changed() => {
                // The store is gone: so is the program, in a moment.
                self.is_over = changed.is_err();
                return None;
            }
            () = tokio::time::sleep_until(wake) => {}
        }
        let now = Instant::now();
        self.is_over = now >= self.deadline;
        self.bookmark = Some(now + BOOKMARK_INTERVAL).filter(|_| self.bookmark.is_some());
        self.bookmark?;
        let memory = self.api.store().memory();
        // Only what this watch has seen all of may be claimed.
        let table = memory.table(self.rendering.resource);
        let is_current = table
            .changes_after(self.version, 1)
            .is_ok_and(|rest| rest.is_empty());
        if is_current {
            self.version = self
                .version
                .max(memory.visible_version(self.rendering.resource));
        }
        drop(memory);
        Some(self.bookmark_event(&json!({"resourceVersion": self.version.to_string()})))
    }

    fn bookmark_event(&self, metadata: &Value) -> Bytes {
        let object = match self.rendering.format {
            Format::Json => json!({
                "kind": self.rendering.resource.facts().kind,
                "apiVersion": self.rendering.resource.api_version(),
                "metadata": metadata,
            }),
            Format::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            Format::Table(_) => self.rendering.table(metadata, &[], false),
        };
        event("BOOKMARK", &object)
    }

    fn end_expired(&mut self, floor: u64) -> Bytes {
        self.is_over = true;
        event("ERROR", &ApiError::too_old(self.version, floor).to_value())
    }
}

fn event(kind: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    Bytes::from(text)
}

//! The verbs that read: get and list, written as JSON, as metadata only, or as a Table. Lists are
//! sent in pieces, straight from the stored bytes, so a large fleet costs no second copy.

use std::{collections::VecDeque, ops::Bound, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    body::ApiBody,
    object::{Object, set},
    request::{Format, IncludeObject, Query, Target},
    resources::Resource,
    select::Selector,
    status::{ApiError, FieldError},
    store::Store,
    table,
};

/// The size of one piece of a long reply.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// How objects are to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rendering {
    pub(crate) resource: Resource,
    pub(crate) format: Format,
    pub(crate) include: IncludeObject,
    pub(crate) now: Timestamp,
}

impl Rendering {
    /// Writes one object.
    pub(crate) fn object(&self, object: &Object) -> Bytes {
        match self.format {
            Format::Json => object.json.clone(),
            Format::Metadata => Bytes::from(metadata(&object.to_value()).to_string()),
            Format::Table(_) => {
                let version = object.peek().metadata.resource_version.to_string();
                let metadata = json!({"resourceVersion": version});
                let rows = vec![self.row(object)];
                Bytes::from(self.table(&metadata, &rows, true).to_string())
            }
        }
    }

    pub(crate) fn row(&self, object: &Object) -> Value {
        let body = object.to_value();
        let mut row = json!({"cells": table::cells(self.resource, &body, self.now)});
        let shown = match self.include {
            IncludeObject::None => return row,
            IncludeObject::Metadata => metadata(&body),
            IncludeObject::Object => body,
        };
        set(&mut row, "object", shown);
        row
    }

    pub(crate) fn table(&self, metadata: &Value, rows: &[Value], has_columns: bool) -> Value {
        let version = match self.format {
            Format::Table(version) => version,
            Format::Json | Format::Metadata => "meta.k8s.io/v1",
        };
        let columns = if has_columns {
            table::columns(self.resource)
        } else {
            Value::Null
        };
        json!({
            "kind": "Table",
            "apiVersion": version,
            "metadata": metadata,
            "columnDefinitions": columns,
            "rows": rows,
        })
    }
}

/// A `PartialObjectMetadata` of an object.
fn metadata(body: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": body.get("metadata"),
    })
}

/// All objects that the target names, after the key `start`, and the version they stand for.
pub(crate) fn collect(store: &Store, target: &Target, start: &str) -> (Vec<Arc<Object>>, u64) {
    let memory = store.memory();
    let objects = &memory.table(target.resource).objects;
    let prefix = match target.namespace.as_str() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    let from = if start > prefix.as_str() {
        start
    } else {
        prefix.as_str()
    };
    let found = objects
        .range::<str, _>((Bound::Excluded(from), Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(&prefix))
        .map(|(_, object)| Arc::clone(object))
        .collect();
    (found, memory.visible_version(target.resource))
}

/// Answers `get`.
pub(crate) fn get(store: &Store, target: &Target) -> Result<Arc<Object>, ApiError> {
    let name = target.name.as_deref().unwrap_or_default();
    let key = super::memory::key(&target.namespace, name);
    store
        .find(target.resource, &key)
        .ok_or_else(|| ApiError::not_found(target.resource, name))
}

/// A page of a list.
struct Page {
    objects: Vec<Arc<Object>>,
    metadata: Value,
}

/// Answers `list`.
pub(crate) fn list(
    store: &Store,
    target: &Target,
    query: &Query,
    rendering: Rendering,
) -> Result<ApiBody, ApiError> {
    let page = page(store, target, query)?;
    Ok(render(page, rendering))
}

/// Writes objects as a list, for a deletecollection.
pub(crate) fn render_deleted(
    objects: Vec<Arc<Object>>,
    version: u64,
    rendering: Rendering,
) -> ApiBody {
    let metadata = json!({"resourceVersion": version.to_string()});
    render(Page { objects, metadata }, rendering)
}

fn render(page: Page, rendering: Rendering) -> ApiBody {
    if let Format::Table(_) = rendering.format {
        let rows: Vec<Value> = page
            .objects
            .iter()
            .map(|object| rendering.row(object))
            .collect();
        let table = rendering.table(&page.metadata, &rows, true);
        return ApiBody::full(table.to_string());
    }
    let facts = rendering.resource.facts();
    let (kind, version) = match rendering.format {
        Format::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1"),
        Format::Json | Format::Table(_) => (
            format!("{}List", facts.kind),
            rendering.resource.api_version(),
        ),
    };
    let metadata = page.metadata;
    let head = format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":["
    );
    let bytes: usize = page
        .objects
        .iter()
        .map(|object| object.json.len() + 1)
        .sum();
    let mut objects = VecDeque::from(page.objects);
    let mut piece = BytesMut::with_capacity(head.len() + bytes.min(CHUNK_BYTES * 2) + 2);
    piece.put_slice(head.as_bytes());
    if bytes <= CHUNK_BYTES {
        fill(&mut piece, &mut objects, rendering, true);
        return ApiBody::full(piece.freeze());
    }
    let state = Some((piece, objects, true));
    ApiBody::stream(stream::unfold(state, move |state| async move {
        let (mut piece, mut objects, is_first) = state?;
        let is_last = fill(&mut piece, &mut objects, rendering, is_first);
        let next = (!is_last).then(|| (BytesMut::new(), objects, false));
        Some((piece.freeze(), next))
    }))
}

/// Adds objects until the piece is large enough; says whether the list is complete.
fn fill(
    piece: &mut BytesMut,
    objects: &mut VecDeque<Arc<Object>>,
    rendering: Rendering,
    is_first: bool,
) -> bool {
    let mut needs_comma = !is_first;
    while piece.len() < CHUNK_BYTES {
        let Some(object) = objects.pop_front() else {
            break;
        };
        if needs_comma {
            piece.put_u8(b',');
        }
        needs_comma = true;
        piece.put_slice(&rendering.object(&object));
    }
    let is_last = objects.is_empty();
    if is_last {
        piece.put_slice(b"]}");
    }
    is_last
}

fn page(store: &Store, target: &Target, query: &Query) -> Result<Page, ApiError> {
    let selector = Selector::parse(
        target.resource,
        query.text("labelSelector"),
        query.text("fieldSelector"),
    )?;
    let limit = query.number("limit")?.filter(|limit| *limit > 0);
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let token = query.find("continue").map(Token::parse).transpose()?;
    let start = token.as_ref().map_or("", |token| token.start.as_str());
    let (mut objects, current) = collect(store, target, start);
    check_version(query, token.is_some(), current)?;
    let counted = objects.len();
    objects.retain(|object| selector.matches(object));
    // Every page claims the version of the first: a watch from there replays what changed while
    // the pages were read.
    let version = token.map_or(current, |token| token.version);
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(limit) = limit.filter(|limit| *limit < objects.len()) {
        objects.truncate(limit);
        if let Some(last) = objects.last() {
            let peek = last.peek();
            let start = super::memory::key(&peek.metadata.namespace, &peek.metadata.name);
            let token = Token {
                version,
                start: start.into(),
            };
            set(&mut metadata, "continue", token.to_string());
        }
        if selector.is_everything() {
            set(&mut metadata, "remainingItemCount", counted - limit);
        }
    }
    Ok(Page { objects, metadata })
}

fn check_version(query: &Query, is_continued: bool, current: u64) -> Result<(), ApiError> {
    let asked = query.resource_version()?;
    let options_error = |error| Err(ApiError::invalid_options("ListOptions", &error));
    let matching = query.text("resourceVersionMatch");
    match (matching, asked) {
        ("", Some(asked)) if asked > current => Err(ApiError::too_large(asked, current)),
        ("", _) => Ok(()),
        (_, _) if is_continued => options_error(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden when continue is provided",
        )),
        (_, None) => options_error(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        ("NotOlderThan" | "Exact", Some(asked)) if asked > current => {
            Err(ApiError::too_large(asked, current))
        }
        ("NotOlderThan", Some(_)) => Ok(()),
        ("Exact", Some(0)) => options_error(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
        )),
        ("Exact", Some(asked)) if asked == current => Ok(()),
        ("Exact", Some(asked)) => Err(ApiError::too_old(asked, current)),
        (other, Some(_)) => options_error(FieldError::unsupported(
            "resourceVersionMatch",
            other,
            &["Exact", "NotOlderThan", ""],
        )),
    }
}

/// Where the next page of a list begins.
struct Token {
    version: u64,
    start: String,
}

impl Token {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let parts = text
            .strip_prefix("v1.")
            .and_then(|rest| rest.split_once('.'));
        let parsed = parts.and_then(|(version, start)| {
            Some(Self {
                version: version.parse().ok()?,
                start: unhex(start)?,
            })
        });
        parsed.ok_or_else(|| ApiError::bad_request("continue key is not valid"))
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "v1.{}.", self.version)?;
        self.start
            .bytes()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

fn unhex(text: &str) -> Option<String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let bytes = digits?
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | d))
        .collect();
    String::from_utf8(bytes).ok()
}

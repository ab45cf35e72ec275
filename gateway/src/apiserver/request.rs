//! Turns a method, a path, a query and the `Accept` header into a `Call`: which resource, which
//! object, which verb, rendered how. Nothing is looked up and nothing is read from a body here.

use http::{HeaderMap, Method, header};

use super::{
    resources::Resource,
    status::{ApiError, FieldError},
};

/// How the reply is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Whole objects.
    Json,
    /// `PartialObjectMetadata`.
    Metadata,
    /// A `Table` of the named `meta.k8s.io` version.
    Table(&'static str),
}

/// What row objects of a `Table` carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    Metadata,
    None,
    Object,
}

/// What a request path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Objects: a collection, or one of it when `name` is present.
    Objects(Target),
    /// Anything else, by its segments.
    Other(Vec<String>),
}

/// A collection of objects, or one object, or its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    /// Empty for cluster-scoped resources and for collections across namespaces.
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) is_status: bool,
}

/// Strictness towards fields that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Strict,
    Warn,
}

/// The query parameters that are understood; others are ignored, as kube-apiserver does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(key, Plus::IsSpace), decode(value, Plus::IsSpace))
            })
            .collect();
        Self { pairs }
    }

    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(found, value)| found == key && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.find(key).unwrap_or_default()
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        // Go's conversion: the bare key and everything but false and 0 mean true.
        self.pairs
            .iter()
            .find(|(found, _)| found == key)
            .is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0"))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        self.find(key)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!("invalid value {text:?} for parameter {key}"))
                })
            })
            .transpose()
    }

    /// The resourceVersion asked for; `None` when unset, 0 for "any".
    pub(crate) fn resource_version(&self) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.find("resourceVersion") else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            ApiError::invalid_options(
                "ListOptions",
                &FieldError::invalid("resourceVersion", text, "must be an unsigned integer"),
            )
        })
    }

    pub(crate) fn include_object(&self) -> Result<IncludeObject, ApiError> {
        match self.text("includeObject") {
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "None" => Ok(IncludeObject::None),
            "Object" => Ok(IncludeObject::Object),
            other => Err(ApiError::bad_request(format!(
                "unrecognized includeObject value: {other:?}"
            ))),
        }
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, ApiError> {
        match self.text("fieldValidation") {
            "" | "Ignore" => Ok(FieldValidation::Ignore),
            "Strict" => Ok(FieldValidation::Strict),
            "Warn" => Ok(FieldValidation::Warn),
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                let error = FieldError::unsupported("fieldValidation", other, &supported);
                Err(ApiError::invalid_options("CreateOptions", &error))
            }
        }
    }

    pub(crate) fn is_dry_run(&self) -> Result<bool, ApiError> {
        dry_run(
            self.pairs
                .iter()
                .filter(|(key, _)| key == "dryRun")
                .map(|(_, v)| v.as_str()),
        )
    }
}

/// Judges the values of a `dryRun` option.
pub(crate) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, ApiError> {
    let mut is_dry = false;
    for value in values.filter(|value| !value.is_empty()) {
        if value != "All" {
            let error = FieldError::unsupported("dryRun", value, &["All"]);
            return Err(ApiError::invalid_options("CreateOptions", &error));
        }
        is_dry = true;
    }
    Ok(is_dry)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    IsPlus,
    IsSpace,
}

fn decode(text: &str, plus: Plus) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = hex.filter(|_| first == b'%').and_then(|two| {
            two.bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then(|| u8::from_str_radix(two, 16).ok())?
        });
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            let is_space = first == b'+' && plus == Plus::IsSpace;
            bytes.push(if is_space { b' ' } else { first });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds what a path names.
pub(crate) fn route(path: &str) -> Result<Route, ApiError> {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| decode(segment, Plus::IsPlus))
        .collect();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let found = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => target("", version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => target(group, version, rest),
        _ => return Ok(Route::Other(segments)),
    };
    match found {
        Some(target) => Ok(Route::Objects(target)),
        None if is_review(&parts) => Ok(Route::Other(segments)),
        None => Err(ApiError::no_such_path()),
    }
}

fn is_review(parts: &[&str]) -> bool {
    matches!(
        parts,
        [
            "apis",
            "authorization.k8s.io",
            "v1",
            "selfsubjectaccessreviews"
        ]
    )
}

fn target(group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
        _ => return None,
    };
    let resource = Resource::find(group, version, plural)?;
    let facts = resource.facts();
    let is_placed = facts.is_namespaced || namespace.is_empty();
    let needs_namespace = facts.is_namespaced && name.is_some() && namespace.is_empty();
    let is_status = match subresource {
        None => false,
        Some("status") if facts.has_status => true,
        Some(_) => return None,
    };
    (is_placed && !needs_namespace).then(|| Target {
        resource,
        namespace: namespace.to_owned(),
        name: name.map(str::to_owned),
        is_status,
    })
}

/// Chooses the first representation in `Accept` that can be written.
///
/// client-go asks for protobuf first and takes JSON when the reply says so.
pub(crate) fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let Some(accept) = headers.get(header::ACCEPT) else {
        return Ok(Format::Json);
    };
    let accept = accept.to_str().map_err(|_| ApiError::not_acceptable())?;
    if accept.trim().is_empty() {
        return Ok(Format::Json);
    }
    accept
        .split(',')
        .find_map(acceptable)
        .ok_or_else(ApiError::not_acceptable)
}

fn acceptable(range: &str) -> Option<Format> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    if !matches!(media, "application/json" | "application/*" | "*/*") {
        return None;
    }
    let (mut shape, mut group, mut version) = ("", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => shape = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            _ => {}
        }
    }
    match (shape, group, version) {
        ("", "", _) => Some(Format::Json),
        ("Table", "meta.k8s.io", "v1") => Some(Format::Table("meta.k8s.io/v1")),
        ("Table", "meta.k8s.io", "v1beta1") => Some(Format::Table("meta.k8s.io/v1beta1")),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
            Some(Format::Metadata)
        }
        _ => None,
    }
}

/// The verb of a request to a [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

/// Finds the verb, or says that the method makes no sense here.
pub(crate) fn verb(method: &Method, target: &Target, query: &Query) -> Result<Verb, ApiError> {
    let is_list = target.name.is_none();
    let is_misplaced_create = target.resource.facts().is_namespaced && target.namespace.is_empty();
    match (method, is_list) {
        (&Method::GET, true) if query.is_true("watch") => Ok(Verb::Watch),
        (&Method::GET, true) => Ok(Verb::List),
        (&Method::GET, false) => Ok(Verb::Get),
        (&Method::POST, true) if !is_misplaced_create => Ok(Verb::Create),
        (&Method::PUT, false) => Ok(Verb::Update),
        (&Method::PATCH, false) => Ok(Verb::Patch),
        (&Method::DELETE, false) if !target.is_status => Ok(Verb::Delete),
        (&Method::DELETE, true) if target.resource != Resource::Namespaces => {
            Ok(Verb::DeleteCollection)
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

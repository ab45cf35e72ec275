//! Turns every refusal into the `metav1.Status` that kube-apiserver would have sent, in its words:
//! clients (kubectl, client-go, kube) decide by `reason` and `code`, people read `message`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{object::set, resources::Resource};

/// A refusal, ready to be sent.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    /// The HTTP status code.
    pub(crate) code: u16,
    /// The machine-readable reason.
    pub(crate) reason: &'static str,
    /// The sentence for people.
    pub(crate) message: String,
    details: Value,
}

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Duplicate,
    Forbidden,
    Invalid,
    Required,
    TooLong,
    Unsupported,
}

/// One wrong field of an object.
#[derive(Clone, Debug)]
pub(crate) struct FieldError {
    field: String,
    fault: Fault,
    body: String,
}

impl FieldError {
    pub(crate) fn invalid(field: impl Into<String>, value: &str, detail: &str) -> Self {
        Self::new(
            field,
            Fault::Invalid,
            format!("Invalid value: {value:?}: {detail}"),
        )
    }

    /// A wrong value that is not a string and is shown without quotes.
    pub(crate) fn invalid_bare(field: impl Into<String>, value: &str, detail: &str) -> Self {
        Self::new(
            field,
            Fault::Invalid,
            format!("Invalid value: {value}: {detail}"),
        )
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let separator = if detail.is_empty() { "" } else { ": " };
        Self::new(
            field,
            Fault::Required,
            format!("Required value{separator}{detail}"),
        )
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(field, Fault::Forbidden, format!("Forbidden: {detail}"))
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &str) -> Self {
        Self::new(field, Fault::Duplicate, format!("Duplicate value: {value}"))
    }

    pub(crate) fn too_long(field: impl Into<String>, limit_bytes: usize) -> Self {
        let body = format!("Too long: may not be more than {limit_bytes} bytes");
        Self::new(field, Fault::TooLong, body)
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &str, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|known| format!("{known:?}")).collect();
        let body = format!(
            "Unsupported value: {value:?}: supported values: {}",
            list.join(", ")
        );
        Self::new(field, Fault::Unsupported, body)
    }

    fn new(field: impl Into<String>, fault: Fault, body: String) -> Self {
        Self {
            field: field.into(),
            fault,
            body,
        }
    }

    fn cause(&self) -> Value {
        let reason = match self.fault {
            Fault::Duplicate => "FieldValueDuplicate",
            Fault::Forbidden => "FieldValueForbidden",
            Fault::Invalid => "FieldValueInvalid",
            Fault::Required => "FieldValueRequired",
            Fault::TooLong => "FieldValueTooLong",
            Fault::Unsupported => "FieldValueNotSupported",
        };
        json!({"reason": reason, "message": self.body, "field": self.field})
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn about(mut self, resource: Resource, name: &str) -> Self {
        let facts = resource.facts();
        let mut details = Map::new();
        details.insert("name".into(), name.into());
        if !facts.group.is_empty() {
            details.insert("group".into(), facts.group.into());
        }
        details.insert("kind".into(), facts.plural.into());
        self.details = Value::Object(details);
        self
    }

    pub(crate) fn not_found(resource: Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// The path names nothing that is served.
    pub(crate) fn no_such_path() -> Self {
        let mut error = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = json!({});
        error
    }

    pub(crate) fn already_exists(resource: Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(crate) fn modified_meanwhile(resource: Resource, name: &str) -> Self {
        let detail = "the object has been modified; please apply your changes to the latest \
                      version and try again";
        Self::conflict(resource, name, detail)
    }

    pub(crate) fn conflict(resource: Resource, name: &str, detail: &str) -> Self {
        let qualified = resource.qualified();
        let message = format!("Operation cannot be fulfilled on {qualified} {name:?}: {detail}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub(crate) fn invalid(resource: Resource, name: &str, errors: &[FieldError]) -> Self {
        let facts = resource.facts();
        let kind = match facts.group {
            "" => facts.kind.to_owned(),
            group => format!("{}.{group}", facts.kind),
        };
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = format!("{}: {}", error.field, error.body);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let text = match texts.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{kind} {name:?} is invalid: {text}"),
        );
        let causes: Vec<Value> = errors.iter().map(FieldError::cause).collect();
        error.details = json!({"name": name, "kind": facts.kind, "causes": causes});
        if !facts.group.is_empty() {
            set(&mut error.details, "group", facts.group);
        }
        error
    }

    /// A query parameter or option that is wrong as a whole.
    pub(crate) fn invalid_options(kind: &str, error: &FieldError) -> Self {
        let message = format!(
            "{kind}.meta.k8s.io \"\" is invalid: {}: {}",
            error.field, error.body
        );
        let mut answer = Self::new(422, "Invalid", message);
        answer.details = json!({"group": "meta.k8s.io", "kind": kind, "causes": [error.cause()]});
        answer
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn forbidden(resource: Resource, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut error = Self::new(405, "MethodNotAllowed", message);
        error.details = json!({});
        error
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(406, "NotAcceptable", message)
    }

    pub(crate) fn unsupported_media_type(accepted: &str, hint: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             {accepted}{hint}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The resourceVersion (or page) asked for is no longer kept.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// The resourceVersion asked for lies in the future.
    pub(crate) fn too_large(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let mut error = Self::new(504, "Timeout", message);
        error.details = json!({
            "causes": [{
                "reason": "ResourceVersionTooLarge",
                "message": "Too large resource version",
            }],
            "retryAfterSeconds": 1,
        });
        error
    }

    pub(crate) fn body_too_large(limit_bytes: usize) -> Self {
        let message = format!("the request is too large: limit is {limit_bytes} bytes");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    pub(crate) fn too_many_requests() -> Self {
        let message = "the store has too many writes waiting, please try again later";
        let mut error = Self::new(429, "TooManyRequests", message);
        error.details = json!({"retryAfterSeconds": 1});
        error
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// Tells the client when to try again, if it should.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.details
            .get("retryAfterSeconds")
            .and_then(Value::as_u64)
    }

    /// Renders the `Status` object.
    pub(crate) fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            set(&mut status, "details", self.details.clone());
        }
        status
    }

    /// Renders the `Status` object as the bytes of a reply.
    pub(crate) fn to_bytes(&self) -> Bytes {
        Bytes::from(self.to_value().to_string())
    }
}

/// The `Status` that answers a deletion.
pub(crate) fn deleted(resource: Resource, name: &str, uid: &str) -> Value {
    let facts = resource.facts();
    let mut details = json!({"name": name, "kind": facts.plural, "uid": uid});
    if !facts.group.is_empty() {
        set(&mut details, "group", facts.group);
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

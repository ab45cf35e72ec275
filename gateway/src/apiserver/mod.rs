//! The embedded Kubernetes API: what stands in for a cluster when there is none. A tower service
//! that `kube::Client` calls in process and that `serve` offers to kubectl over TLS, both through
//! the same code. It serves a closed set of resources, keeps no managedFields, runs no admission
//! plugins and no controllers; those that matter for nodes are the gateway's own.

mod resources;
mod object;
mod status;
mod memory;
mod overlay;
mod disk;
mod store;
mod flush;
mod request;
mod select;
mod decode;
mod validate;
mod patch;
mod body;
mod table;
mod read;
mod write;
mod delete;
mod watch;
mod discovery;
mod gc;
mod credentials;
mod serve;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod store_tests;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::{
    body::ApiBody,
    credentials::{Credentials, CredentialsError, TlsMaterial, kubeconfig, read_kubeconfig},
    disk::STORE_FILE,
    gc::Collected,
    resources::Resource,
    serve::serve,
    store::{FlushStats, Store, StoreError, StoreMetrics, StoreOptions},
};
use self::{
    delete::Deleted,
    read::Rendering,
    request::{Query, Route, Target, Verb},
    status::ApiError,
    write::Call,
};

/// The largest request body, as kube-apiserver has it.
const BODY_BYTES_MAX: usize = 3 << 20;

/// The API: a service that answers one request at a time, from any number of tasks.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<Store>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl ApiServer {
    /// Serves `store`; `clock` stamps what is created and ages what is shown.
    pub fn new(store: Arc<Store>, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        gc::create_namespaces(&store, clock());
        Self {
            shared: Arc::new(Shared {
                store,
                clock: Box::new(clock),
            }),
        }
    }

    /// A client that calls this service in process: no socket, no TLS, no token.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// What is served.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    async fn answer<B>(self, request: Request<B>) -> Response<ApiBody>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<tower::BoxError>,
    {
        self.try_answer(request)
            .await
            .unwrap_or_else(|error| refusal(&error))
    }

    async fn try_answer<B>(&self, request: Request<B>) -> Result<Response<ApiBody>, ApiError>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<tower::BoxError>,
    {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        match request::route(parts.uri.path())? {
            Route::Objects(target) => {
                let verb = request::verb(&parts.method, &target, &query)?;
                let rendering = Rendering {
                    resource: target.resource,
                    format: request::format(&parts.headers)?,
                    include: query.include_object()?,
                    now: self.now(),
                };
                match verb {
                    Verb::Get => {
                        let object = read::get(self.store(), &target)?;
                        Ok(reply(200, ApiBody::full(rendering.object(&object))))
                    }
                    Verb::List => {
                        read::list(self.store(), &target, &query, rendering).map(|b| reply(200, b))
                    }
                    Verb::Watch => watch::watch(self, &target, &query, rendering)
                        .map(|events| reply(200, ApiBody::stream(events))),
                    Verb::Create
                    | Verb::Delete
                    | Verb::DeleteCollection
                    | Verb::Patch
                    | Verb::Update => {
                        let body = collect(&parts, verb, body).await?;
                        self.write(&parts, verb, (&target, &query, rendering), &body)
                            .await
                    }
                }
            }
            Route::Other(segments) => {
                let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
                self.other(&parts, &segments, body).await
            }
        }
    }

    async fn write(
        &self,
        parts: &http::request::Parts,
        verb: Verb,
        (target, query, rendering): (&Target, &Query, Rendering),
        body: &Bytes,
    ) -> Result<Response<ApiBody>, ApiError> {
        let call = Call {
            api: self,
            target,
            query,
        };
        let (code, written) = match verb {
            Verb::Create => (201, call.create(body).await?),
            Verb::Update => (200, call.update(body).await?),
            Verb::Patch => (200, call.patch(&parts.headers, body).await?),
            Verb::Delete => {
                return call.delete(body).await.map(|deleted| match deleted {
                    Deleted::Held(object) => reply(200, ApiBody::full(rendering.object(&object))),
                    Deleted::Gone(status) => reply(200, ApiBody::full(status.to_string())),
                });
            }
            Verb::DeleteCollection => {
                let deleted = call.delete_collection(body).await?;
                let version = self.store().memory().version;
                return Ok(reply(
                    200,
                    read::render_deleted(deleted, version, rendering),
                ));
            }
            Verb::Get | Verb::List | Verb::Watch => return Err(ApiError::method_not_allowed()),
        };
        let is_new_event = verb == Verb::Create && target.resource == Resource::Events;
        if is_new_event {
            self.store().bound_events().await;
        }
        let mut response = reply(code, ApiBody::full(rendering.object(&written.object)));
        for warning in &written.warnings {
            let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        Ok(response)
    }

    async fn other<B>(
        &self,
        parts: &http::request::Parts,
        segments: &[&str],
        body: B,
    ) -> Result<Response<ApiBody>, ApiError>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<tower::BoxError>,
    {
        if segments
            == [
                "apis",
                "authorization.k8s.io",
                "v1",
                "selfsubjectaccessreviews",
            ]
            && parts.method == Method::POST
        {
            // kubectl sends protobuf here, which is not spoken; the answer does not depend on it.
            let body = collect(parts, Verb::Delete, body).await?;
            let review = serde_json::from_slice(&body).ok().filter(Value::is_object);
            let mut review = review.unwrap_or_else(|| {
                json!({
                    "kind": "SelfSubjectAccessReview",
                    "apiVersion": "authorization.k8s.io/v1",
                    "metadata": {},
                    "spec": {},
                })
            });
            // Whoever holds the token may do everything.
            let status = json!({"allowed": true, "reason": "the token allows everything"});
            object::set(&mut review, "status", status);
            return Ok(reply(201, ApiBody::full(review.to_string())));
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(ApiError::no_such_path());
        }
        if let ["healthz" | "livez" | "readyz", ..] = segments {
            return Ok(self.health(segments.first() == Some(&"readyz")));
        }
        let document = discovery::document(segments, &parts.headers);
        let document = document.ok_or_else(ApiError::no_such_path)?;
        let mut response = reply(200, ApiBody::full(document.body.to_string()));
        if let Ok(value) = HeaderValue::from_str(&document.content_type) {
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        response
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Accept"));
        Ok(response)
    }

    /// A store that cannot write still reads: alive, not ready.
    fn health(&self, is_readiness: bool) -> Response<ApiBody> {
        let error = self.store().last_error().filter(|_| is_readiness);
        let code = if error.is_some() { 503 } else { 200 };
        let text = error.map_or_else(|| "ok".to_owned(), |error| format!("store: {error}\n"));
        let mut response = reply(code, ApiBody::full(text));
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    }
}

/// Reads a body whole, within the limit.
async fn collect<B>(parts: &http::request::Parts, verb: Verb, body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body + Send,
    B::Data: Send,
    B::Error: Into<tower::BoxError>,
{
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let media = content_type
        .and_then(|text| text.to_str().ok())
        .unwrap_or_default();
    let is_json = media.is_empty() || media.starts_with("application/json");
    // Patches name their own types; deletions may come without one.
    if matches!(verb, Verb::Create | Verb::Update) && !is_json {
        return Err(ApiError::unsupported_media_type("application/json", ""));
    }
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(err) if err.is::<LengthLimitError>() => Err(ApiError::body_too_large(BODY_BYTES_MAX)),
        Err(_) => Err(ApiError::bad_request("the request body ended early")),
    }
}

fn reply(code: u16, body: ApiBody) -> Response<ApiBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// Writes a refusal as a `Status`.
pub(crate) fn refusal(error: &ApiError) -> Response<ApiBody> {
    let mut response = reply(error.code, ApiBody::full(error.to_bytes()));
    if let Some(retry_after_s) = error.retry_after_s() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    response
}

impl<B> tower::Service<Request<B>> for ApiServer
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<tower::BoxError>,
{
    type Response = Response<ApiBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.answer(request).await) })
    }
}

//! An API server that follows a script: exact requests in, prepared answers out.

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tower_test::mock::{Handle, SendResponse};

use crate::soon;

/// The server's side.
pub(crate) struct Server(Handle<Request<Body>, Response<Body>>);

/// One request, taken apart.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Value,
}

/// A client and the server behind it.
pub(crate) fn pair() -> (Client, Server) {
    let (service, handle) = tower_test::mock::pair();
    (Client::new(service, "default"), Server(handle))
}

impl Server {
    /// The next request.
    pub(crate) async fn asked(&mut self) -> (Asked, Answering) {
        let (request, send) = soon("request", self.0.next_request())
            .await
            .expect("the client is alive");
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let mut query: Vec<String> = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(str::to_owned)
            .collect();
        query.sort();
        let asked = Asked {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query,
            content_type: parts
                .headers
                .get("content-type")
                .map(|value| value.to_str().unwrap().to_owned()),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        };
        (asked, Answering(send))
    }
}

/// Somebody waits for an answer; dropping it breaks the connection.
pub(crate) struct Answering(SendResponse<Response<Body>>);

impl Answering {
    pub(crate) fn json(self, code: u16, body: &Value) {
        self.raw(code, &[], body.to_string().into_bytes());
    }

    pub(crate) fn raw(self, code: u16, headers: &[(&str, &str)], body: Vec<u8>) {
        let mut response = Response::builder().status(StatusCode::from_u16(code).unwrap());
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        self.0
            .send_response(response.body(Body::from(body)).unwrap());
    }
}

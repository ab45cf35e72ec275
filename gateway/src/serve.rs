//! Serves `/healthz`, `/readyz` and `/metrics` over plain HTTP, on loopback unless told.
//!
//! Nothing secret is here and nothing can be changed. `/readyz` answers 503 with one line per
//! part that fails, so that "why is my node not there" has one place to look.

use std::fmt;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::{Metrics, render};

/// What keeps the gateway from doing its work, by part; nothing is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The Kubernetes API that is written to.
    pub api: Option<String>,
    /// The MQTT broker.
    pub broker: Option<String>,
    /// The wall clock.
    pub clock: Option<String>,
    /// The embedded API's store.
    pub store: Option<String>,
}

impl Readiness {
    /// Whether every part is well.
    pub fn is_ready(&self) -> bool {
        *self == Self::default()
    }
}

/// A line per failing part.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("api", &self.api),
            ("broker", &self.broker),
            ("clock", &self.clock),
            ("store", &self.store),
        ];
        for (part, trouble) in parts {
            if let Some(trouble) = trouble {
                writeln!(f, "{part}: {trouble}")?;
            }
        }
        Ok(())
    }
}

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// Written by the loop.
    pub readiness: watch::Receiver<Readiness>,
    /// Written by the loop.
    pub metrics: Arc<Metrics>,
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, pages: Pages) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(pages);
    axum::serve(listener, router).await
}

async fn ready(State(pages): State<Pages>) -> Response {
    let readiness = pages.readiness.borrow().clone();
    if readiness.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, readiness.to_string()).into_response()
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    let page = render(&pages.metrics.counts());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn readyz_names_each_failing_part() {
        let trouble = Readiness {
            broker: Some("connection refused".to_owned()),
            clock: Some("the wall clock shows 1970".to_owned()),
            ..Readiness::default()
        };
        let (sender, readiness) = watch::channel(trouble);
        let pages = Pages {
            readiness,
            metrics: Arc::default(),
        };
        let answer = ready(State(pages.clone())).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            "broker: connection refused\nclock: the wall clock shows 1970\n"
        );
        sender.send_replace(Readiness::default());
        assert_eq!(ready(State(pages)).await.status(), StatusCode::OK);
    }
}

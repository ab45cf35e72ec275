//! Offers the API on a socket: TLS always, HTTP/1.1 and HTTP/2, the bearer token on every
//! request. Slow or hostile clients are bounded in number and in the time of their handshake.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::{ApiBody, ApiServer, credentials::TlsMaterial, refusal, status::ApiError};

/// Connections served at a time; a laptop with several kubectl watches needs ten.
const CONNECTIONS_MAX: usize = 512;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Also ends idle connections; longer than clients keep theirs (90 s), so that none is closed
/// while a request is under way.
const HEADER_TIMEOUT: Duration = Duration::from_mins(2);
/// Pause after the kernel refuses a connection (no more files), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves `api` until `shutdown` resolves; then open connections end.
pub async fn serve(
    listener: TcpListener,
    api: ApiServer,
    tls: TlsMaterial,
    token: String,
    shutdown: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let expected: Arc<str> = format!("Bearer {token}").into();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, slot)) = accepted else {
            continue;
        };
        let (acceptor, api) = (acceptor.clone(), api.clone());
        let (expected, closed) = (Arc::clone(&expected), closed.clone());
        connections.spawn(async move {
            connection(stream, acceptor, (api, expected), closed).await;
            drop(slot);
        });
    }
    // Watches never end by themselves.
    let _ = closing.send(true);
    connections.shutdown().await;
}

type Slot = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, Slot)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(err) => {
            tracing::debug!(error = %err, "connection not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    (api, expected): (ApiServer, Arc<str>),
    mut closed: watch::Receiver<bool>,
) {
    // Replies are small and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else {
        return;
    };
    let answer = service_fn(move |request: Request<Incoming>| {
        let mut api = api.clone();
        let is_known = is_authorized(request.headers(), &expected);
        async move {
            let response: Result<Response<ApiBody>, Infallible> = if is_known {
                api.call(request).await
            } else {
                Ok(refusal(&ApiError::unauthorized()))
            };
            response
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250);
    let served = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        outcome = served => {
            if let Err(err) = outcome {
                tracing::debug!(error = %err, "connection ended");
            }
        }
        _ = closed.wait_for(|closed| *closed) => {}
    }
}

/// Compares in a time that does not tell how much of the token was right.
fn is_authorized(headers: &HeaderMap, expected: &str) -> bool {
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return false;
    };
    let (given, expected) = (given.as_bytes(), expected.as_bytes());
    let difference = given
        .iter()
        .zip(expected)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == expected.len() && difference == 0
}

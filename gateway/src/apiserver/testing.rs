//! Helpers of this module's tests: a disk that forgets what was not synced, fails on demand, or
//! holds its breath; and a client that shows raw replies.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, atomic::AtomicU64},
};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt;

use super::{
    ApiBody, ApiServer, Store, StoreError,
    disk::{Disk, builder},
};

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    current: Vec<u8>,
    is_full: bool,
    is_held: bool,
    syncs: usize,
}

impl FakeDisk {
    /// The disk after a power cut: what was not synced never happened.
    pub(crate) fn after_power_cut(&self) -> Self {
        let synced = self.0.0.lock().unwrap().synced.clone();
        let state = State {
            current: synced.clone(),
            synced,
            ..State::default()
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.0.lock().unwrap().is_full = is_full;
    }

    /// Makes syncs wait until they are let go.
    pub(crate) fn hold(&self, is_held: bool) {
        self.0.0.lock().unwrap().is_held = is_held;
        self.0.1.notify_all();
    }

    pub(crate) fn syncs(&self) -> usize {
        self.0.0.lock().unwrap().syncs
    }

    pub(crate) fn open(&self) -> Result<Store, StoreError> {
        let disk = self.clone();
        let opener = Box::new(move || builder().create_with_backend(disk.clone()));
        let (disk, loaded) = Disk::with_opener("fake/state.redb".into(), opener)?;
        Ok(Store::start(disk, loaded, Arc::new(AtomicU64::new(0))))
    }
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

impl redb::StorageBackend for FakeDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let found = state.current.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.0.lock().unwrap();
        if state.is_full {
            return Err(full());
        }
        state.current.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (state, released) = &*self.0;
        let mut state = state.lock().unwrap();
        while state.is_held {
            state = released.wait(state).unwrap();
        }
        if state.is_full {
            return Err(full());
        }
        state.syncs += 1;
        state.synced = state.current.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.0.lock().unwrap();
        if state.is_full {
            return Err(full());
        }
        let start = usize::try_from(offset).unwrap();
        state.current[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// The time in all tests.
pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn api_on(disk: &FakeDisk) -> ApiServer {
    ApiServer::new(Arc::new(disk.open().unwrap()), now)
}

pub(crate) fn api() -> ApiServer {
    api_on(&FakeDisk::default())
}

/// Sends a request given as `METHOD path`, with headers as `name: value` lines after it.
pub(crate) async fn send(api: &ApiServer, head: &str, body: &[u8]) -> Response<ApiBody> {
    let mut lines = head.lines().map(str::trim);
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap();
    api.clone().oneshot(request).await.unwrap()
}

/// Sends a request and reads the reply as JSON.
pub(crate) async fn call(api: &ApiServer, head: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let response = send(api, head, &body).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

pub(crate) async fn get(api: &ApiServer, path: &str) -> (u16, Value) {
    call(api, &format!("GET {path}"), &Value::Null).await
}

/// The events of a watch, as they come.
pub(crate) struct Events {
    pieces: http_body_util::BodyDataStream<ApiBody>,
    rest: Vec<u8>,
}

pub(crate) async fn watch(api: &ApiServer, head: &str) -> Events {
    let response = send(api, head, b"").await;
    assert_eq!(response.status(), 200, "{head}");
    Events {
        pieces: response.into_body().into_data_stream(),
        rest: Vec::new(),
    }
}

impl Events {
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.rest
                .extend_from_slice(&self.pieces.next().await?.unwrap());
        }
    }
}

//! The Events of one node: counted when they repeat, limited in rate, bounded in number.
//!
//! An Event is known by its reason and a key, usually its message. It is created once and then counted up, and while
//! a write of it is under way or withheld, more of the same only raise the count. Every Event
//! carries the Node's uid, without which `kubectl describe` hides it.

use core::fmt::Write as _;
use core::time::Duration;
use std::borrow::Cow;
use std::collections::VecDeque;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;

use super::{Action, Failure};
use crate::clock::{Moment, Now};
use crate::seen::digest;

/// Where Events of Nodes live.
const NAMESPACE: &str = "default";
const COMPONENT: &str = "nodling-gateway";
/// So many different Events are remembered per node.
const KEPT: usize = 12;
/// So many may be written at once,
const BURST: u8 = 20;
/// and then one per this long, as client-go limits a noisy source.
const REFILL: Duration = Duration::from_secs(30);
const MESSAGE_LEN_MAX: usize = 1024;

/// How an Event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Normal,
    Warning,
}

/// Something to record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct News {
    pub(super) severity: Severity,
    pub(super) reason: Cow<'static, str>,
    pub(super) message: String,
    /// What makes it the same as before, if not the message.
    pub(super) key: Option<u64>,
}

impl News {
    pub(super) fn normal(reason: impl Into<Cow<'static, str>>, message: String) -> Self {
        Self {
            severity: Severity::Normal,
            reason: reason.into(),
            message,
            key: None,
        }
    }

    pub(super) fn warning(reason: impl Into<Cow<'static, str>>, message: String) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::normal(reason, message)
        }
    }

    /// A transition, in kubelet's words.
    pub(super) fn status(severity: Severity, node: &str, reason: Cow<'static, str>) -> Self {
        let message = format!("Node {node} status is now: {reason}");
        Self {
            severity,
            ..Self::normal(reason, message)
        }
    }
}

#[derive(Clone, Debug)]
struct Kept {
    key: u64,
    reason: Cow<'static, str>,
    message: Box<str>,
    severity: Severity,
    uid: Box<str>,
    /// Makes the name; 0 until it is created.
    id: u64,
    count: i32,
    written: i32,
    first: Timestamp,
    last: Timestamp,
}

/// The Events of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    kept: VecDeque<Kept>,
    spent: u8,
    refilled: Moment,
    writing: Option<(u64, i32)>,
}

impl Events {
    /// Takes note of something that happened to a Node.
    pub(super) fn record(&mut self, at: Timestamp, uid: &str, news: News) {
        let message = news
            .message
            .chars()
            .take(MESSAGE_LEN_MAX)
            .collect::<String>();
        let message: Box<str> = message.into();
        let key = digest(&(
            &news.reason,
            news.key.unwrap_or_else(|| digest(&message)),
            uid,
        ));
        if let Some(index) = self.kept.iter().position(|kept| kept.key == key)
            && let Some(mut kept) = self.kept.remove(index)
        {
            kept.count = kept.count.saturating_add(1);
            kept.last = at;
            kept.message = message;
            self.kept.push_back(kept);
            return;
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept {
            key,
            reason: news.reason,
            message,
            severity: news.severity,
            uid: uid.into(),
            id: 0,
            count: 1,
            written: 0,
            first: at,
            last: at,
        });
    }

    /// The next write, if one is due.
    pub(super) fn next(&mut self, now: Now, node: &str) -> Option<Action> {
        self.refill(now.moment);
        if self.spent >= BURST {
            return None;
        }
        let kept = self
            .kept
            .iter_mut()
            .find(|kept| kept.count != kept.written)?;
        self.spent += 1;
        self.writing = Some((kept.key, kept.count));
        if kept.written == 0 {
            kept.id = digest(&(node, kept.key, kept.first.as_nanosecond()));
            let body = Box::new(kept.event(node));
            return Some(Action::CreateEvent {
                node: node.into(),
                body,
            });
        }
        Some(Action::PatchEvent {
            node: node.into(),
            event: kept.name(node).into(),
            patch: json!({
                "count": kept.count,
                "lastTimestamp": Time(kept.last),
                "message": kept.message,
            }),
        })
    }

    /// Takes what became of the write.
    pub(super) fn finish(&mut self, result: Result<(), Failure>) {
        let Some((key, count)) = self.writing.take() else {
            return;
        };
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.key == key) else {
            return;
        };
        match result {
            Ok(()) | Err(Failure::AlreadyExists) => kept.written = count,
            // It has expired: the same is created anew, with the time it began anew.
            Err(Failure::NotFound) => {
                kept.written = 0;
                kept.count = 1.max(kept.count - count + 1);
                kept.first = kept.last;
            }
            // The same would be refused again.
            Err(Failure::Invalid) => self.kept.retain(|kept| kept.key != key),
            Err(
                Failure::Conflict
                | Failure::Forbidden
                | Failure::TooManyRequests { .. }
                | Failure::Unavailable,
            ) => {}
        }
    }

    /// When the next write is due, if not now.
    pub(super) fn due(&self) -> Option<Moment> {
        let is_waiting = self.kept.iter().any(|kept| kept.count != kept.written);
        (is_waiting && self.spent >= BURST).then(|| self.refilled + REFILL)
    }

    fn refill(&mut self, now: Moment) {
        let refills = now.since(self.refilled).as_millis() / REFILL.as_millis();
        if refills > 0 {
            let refills = u8::try_from(refills).unwrap_or(u8::MAX);
            self.spent = self.spent.saturating_sub(refills);
            self.refilled = now;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.kept.capacity() * size_of::<Kept>()
            + self
                .kept
                .iter()
                .map(|kept| kept.message.len() + kept.uid.len())
                .sum::<usize>()
    }
}

impl Kept {
    fn name(&self, node: &str) -> String {
        let stem = node.get(..220).unwrap_or(node);
        let mut name = stem.trim_end_matches(['-', '.']).to_owned();
        let _ = write!(name, ".{:016x}", self.id);
        name
    }

    fn event(&self, node: &str) -> Event {
        let severity = match self.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        Event {
            count: Some(self.count),
            first_timestamp: Some(Time(self.first)),
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                uid: Some(self.uid.to_string()),
                ..ObjectReference::default()
            },
            last_timestamp: Some(Time(self.last)),
            message: Some(self.message.to_string()),
            metadata: ObjectMeta {
                name: Some(self.name(node)),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            reason: Some(self.reason.to_string()),
            reporting_component: Some(COMPONENT.to_owned()),
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                host: None,
            }),
            type_: Some(severity.to_owned()),
            ..Event::default()
        }
    }
}

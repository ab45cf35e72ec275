//! Executes actions with the Kubernetes client and brings back what became of each.
//!
//! At most [`CONCURRENCY`] at a time, each bounded in time; the rest wait in the order they came
//! in. Decides nothing: when to try again is the core's affair, which hears of every outcome.
//! Returned objects are trimmed at once, so that the core sees its own writes before `watch`
//! does.

mod kube;
mod retry;

use std::collections::VecDeque;
use std::time::Duration;

use ::kube::Client;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug, info_span};

use self::kube::request;
use crate::reconcile::{Action, Failure, Outcome, Write};

pub use self::kube::{Answer, LEASE_NAMESPACE, Request, execute};
pub use self::retry::is_retryable;

/// Writes on their way at a time: enough to keep a remote API server busy, few enough not to
/// need its priority and fairness.
const CONCURRENCY: usize = 32;
/// A write that takes longer has failed.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A finished write.
#[derive(Debug)]
pub struct Applied {
    /// For the core.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
    /// Why it failed, for the log.
    pub complaint: Option<String>,
}

/// Writes on their way, and those that wait.
pub struct Applier {
    client: Client,
    waiting: VecDeque<(Box<str>, Write, Request)>,
    running: JoinSet<Applied>,
}

impl Applier {
    /// Nothing to do yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
        }
    }

    /// Takes an action; `None` if it is a write, and the frame if it is one for a board.
    pub fn submit(&mut self, action: Action) -> Option<(Box<str>, Box<[u8]>)> {
        match request(action) {
            Ok((node, write, request)) => {
                self.waiting.push_back((node, write, request));
                self.fill();
                None
            }
            Err(down) => Some(down),
        }
    }

    /// The next finished write; pending while nothing is on its way.
    pub async fn next(&mut self) -> Result<Applied, JoinError> {
        match self.running.join_next().await {
            None => std::future::pending().await,
            Some(applied) => {
                self.fill();
                applied
            }
        }
    }

    /// Writes not yet finished.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Whether everything is finished.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn fill(&mut self) {
        while self.running.len() < CONCURRENCY {
            let Some((node, write, request)) = self.waiting.pop_front() else {
                return;
            };
            let span = info_span!("apply", node = %node, action = ?write);
            let client = self.client.clone();
            self.running
                .spawn(apply(client, node, write, request).instrument(span));
        }
    }
}

async fn apply(client: Client, node: Box<str>, write: Write, request: Request) -> Applied {
    let started = Instant::now();
    let answer = match timeout(TIMEOUT, execute(&client, write, request)).await {
        Ok(answer) => answer,
        Err(_) => Err((Failure::Unavailable, "no answer in time".to_owned())),
    };
    let elapsed = started.elapsed();
    let (result, complaint) = match answer {
        Ok(written) => (Ok(written), None),
        Err((failure, complaint)) => (Err(failure), Some(complaint)),
    };
    debug!(
        elapsed_ms = elapsed.as_millis(),
        error = complaint,
        "applied"
    );
    Applied {
        outcome: Outcome {
            node,
            write,
            result,
        },
        elapsed,
        complaint,
    }
}

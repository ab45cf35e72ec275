//! The shells against scripted API servers, a real broker, and each other.
//!
//! No sleeps: whatever is waited for is waited for as a condition, with a limit that only a
//! failure reaches.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may fail as tests do, and look at the files of who is tested"
)]
#![expect(clippy::similar_names, reason = "what applies and what was applied")]

mod apply;
mod board;
mod gateway;
mod peer;
mod program;
mod receive;
mod run;
mod scripted;
mod watch;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// Only a failure takes so long.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits for a future, not for ever.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(elapsed) => panic!("no {what}: {elapsed}"),
    }
}

/// Asks again until the answer is right.
async fn eventually<T: Debug>(
    what: &str,
    mut ask: impl AsyncFnMut() -> T,
    is_right: impl Fn(&T) -> bool,
) -> T {
    let mut last = None;
    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            let answer = ask().await;
            if is_right(&answer) {
                return answer;
            }
            last = Some(answer);
        }
    };
    match tokio::time::timeout(LIMIT, asking).await {
        Ok(answer) => answer,
        Err(elapsed) => panic!("no {what}: {elapsed}; last: {last:?}"),
    }
}

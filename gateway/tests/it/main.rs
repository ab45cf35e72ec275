//! The shells against scripted API servers, a real broker, and each other.
//!
//! No sleeps: whatever is waited for is waited for as a condition, with a limit that only a
//! failure reaches.

mod apply;
mod peer;
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
        Err(_) => panic!("no {what} within {LIMIT:?}"),
    }
}

/// Asks again until the answer is right.
async fn eventually<T: Debug, F: Future<Output = T>>(
    what: &str,
    mut ask: impl FnMut() -> F,
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
        Err(_) => panic!("no {what} within {LIMIT:?}; last: {last:?}"),
    }
}

//! Waiting: ask again until it is so, or say what it was instead.
//!
//! A wait in vain panics, so that the lab prints the logs of its processes on its way out.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer satisfies, and returns it; panics with the last answer after `limit`.
pub async fn until<T, F>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
    is_so: impl Fn(&T) -> bool,
) -> Result<T>
where
    T: Debug,
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        let answer = ask().await;
        match answer {
            Ok(answer) if is_so(&answer) => return Ok(answer),
            answer if start.elapsed() > limit => {
                panic!("{what}: not within {limit:?}; the last answer was {answer:#?}")
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Asks over the whole of `time` and panics at the first answer that does not satisfy.
pub async fn throughout<T, F>(
    what: &str,
    time: Duration,
    mut ask: impl FnMut() -> F,
    is_so: impl Fn(&T) -> bool,
) -> Result<()>
where
    T: Debug,
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    while start.elapsed() < time {
        let answer = ask().await?;
        assert!(
            is_so(&answer),
            "{what}: no longer so after {:?}: {answer:#?}",
            start.elapsed()
        );
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

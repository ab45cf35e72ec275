//! Where log lines go, and how an error and its causes are written on one line.
//!
//! The only file that subscribes. Lines go to standard error; under systemd without a time,
//! which the journal has. The embedded broker and the Kubernetes client are silent unless
//! `RUST_LOG` names them.

use std::error::Error;
use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Libraries that log, as errors, every request or connection that failed; what matters of it
/// is in the errors they return.
const QUIET: [&str; 3] = ["rumqttd=off", "kube_client=off", "tower=warn"];

/// Starts logging what `directives` say.
pub fn init(directives: &str, is_journal: bool) -> Result<(), ParseError> {
    let quiet = QUIET.join(",");
    let filter = EnvFilter::try_new(format!("{quiet},{directives}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // A second subscriber, as in tests, is no reason to stop.
    let _ = if is_journal {
        lines.without_time().try_init()
    } else {
        lines.try_init()
    };
    Ok(())
}

/// An error and its causes, separated by colons; a cause that the line above it already says
/// is not said twice.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("opening the store")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_said_once_each() {
        let error = Outer(std::io::Error::other("disk full"));
        assert_eq!(Chain(&error).to_string(), "opening the store: disk full");
        let stutters = std::io::Error::other(Outer(std::io::Error::other("disk full")));
        assert_eq!(Chain(&stutters).to_string(), "opening the store: disk full");
    }

    #[test]
    fn directives_that_are_none_are_refused() {
        assert!(init("nodling=shout", false).is_err());
    }
}

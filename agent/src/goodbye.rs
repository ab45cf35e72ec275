//! The end of a session: a goodbye, if there is somebody to say it to, and what became of it; and
//! the other ways in which the loop ends.
//!
//! Never waits for longer than it is told to: systemd and people wait for the end.

use std::time::Duration;

use crate::parts::Ports;
use crate::publish::Notice;
use crate::publish::trouble::Trouble;

/// What `leave` may take to reach a broker.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// Why the loop ended otherwise than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The session's task is gone, which only a bug explains.
    #[error("the broker session ended by itself")]
    SessionEnded,
    /// `leave` found no broker.
    #[error("no connection to {broker}")]
    NotConnected {
        /// Host and port.
        broker: String,
        /// Why.
        #[source]
        trouble: Trouble,
    },
    /// `leave` was heard by nobody.
    #[error("{broker} did not pass the goodbye on")]
    Unheard {
        /// Host and port.
        broker: String,
        /// Why.
        #[source]
        trouble: Trouble,
    },
    /// `leave` was not answered.
    #[error("{broker} did not answer within {} s", LEAVE_WITHIN.as_secs())]
    NoAnswer {
        /// Host and port.
        broker: String,
    },
}

/// What became of a goodbye.
#[derive(Debug)]
pub(crate) enum Goodbye {
    /// The broker refused it, or hung up.
    Failed(Trouble),
    /// It was acknowledged, or there was none to say.
    Said,
    /// Time ran out.
    Unanswered,
}

/// Ends the session once the broker has acknowledged the frame.
pub(crate) async fn say(bye: Option<&[u8]>, within: Duration, ports: &mut Ports) -> Goodbye {
    ports.outbox.send_modify(|outbox| outbox.close(bye));
    // A session that still has something to tell must not wait for us.
    let notices = &mut ports.notices;
    let told_all = async {
        let mut outcome = Goodbye::Said;
        while let Some(notice) = notices.recv().await {
            if let Notice::Refused(trouble) | Notice::Disconnected(trouble) = notice {
                outcome = Goodbye::Failed(trouble);
            }
        }
        outcome
    };
    let ended = async {
        tokio::select! {
            biased;
            outcome = told_all => outcome,
            () = ports.outbox.closed() => Goodbye::Said,
        }
    };
    let ended = tokio::time::timeout(within, ended).await;
    ended.unwrap_or(Goodbye::Unanswered)
}

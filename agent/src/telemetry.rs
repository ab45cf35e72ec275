//! What the agent says of itself: log lines on stderr, and its state to systemd.
//!
//! The journal stamps lines itself, so time is written only outside of it. The steady state is
//! silent: everything per heartbeat is `debug`.

use std::fmt;

use nodling_protocol::Status;
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::assess::addresses::AddressError;
use crate::assess::thresholds::Thresholds;
use crate::assess::{Assessment, Judged};

/// The part of the configuration that says how much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The least important level that is written.
    pub level: LevelFilter,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: LevelFilter::INFO,
        }
    }
}

/// Subscribes; `directives` (as in `RUST_LOG`) beat the configured level where they parse.
pub fn subscribe(config: Config, directives: Option<&str>, is_journal: bool) {
    let targets = directives
        .and_then(|directives| directives.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(config.level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    let registry = tracing_subscriber::registry().with(targets);
    // A second subscription, as a test may make it, changes nothing.
    let _ = if is_journal {
        registry.with(lines.without_time()).try_init()
    } else {
        registry.with(lines).try_init()
    };
}

/// An error with its sources, on one line.
#[derive(Debug)]
pub struct Chain<'e>(pub &'e (dyn std::error::Error + 'e));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(err) = source {
            write!(f, ": {err}")?;
            source = err.source();
        }
        Ok(())
    }
}

/// Logs what changed since an earlier judgement, and whether anything did.
pub fn log_transitions(before: Judged, now: &Assessment) -> bool {
    let changed = |was: Option<Status>, status: &Status| was != Some(*status);
    let known = now.conditions.known();
    for (kind, status) in
        known.filter(|(kind, status)| changed(before.conditions.of(*kind), status))
    {
        let words = kind.words(status);
        log_transition(kind.as_str(), status, words.reason, words.message);
    }
    for (index, rule) in now.rules.iter().enumerate() {
        let status = now.custom.get(index);
        if let Some(status) = status.filter(|status| changed(before.custom.get(index), status)) {
            let reason = rule.as_custom().reason(status).to_string();
            log_transition(&rule.name, status, &reason, &rule.words);
        }
    }
    before != now.statuses()
}

fn log_transition(condition: &str, status: Status, reason: &str, message: &str) {
    if status == Status::False {
        info!(%condition, %status, %reason, "condition cleared");
    } else {
        warn!(%condition, %status, %reason, "{message}");
    }
}

/// Warns of what is configured in vain.
pub fn log_ignored(thresholds: &Thresholds) {
    for ignored in thresholds.ignored() {
        warn!("{ignored}");
    }
}

/// Logs once why the kernel does not tell of pressure, if it does not.
pub fn log_hint(hint: Option<&str>) {
    if let Some(hint) = hint {
        info!(hint, "CPUPressure and IOPressure are estimated");
    }
}

/// Logs when the addresses cease to be known, and when they are again.
pub fn log_addresses(before: Option<AddressError>, now: &Assessment) {
    match now.address_error {
        Some(error) if before != Some(error) => {
            warn!(%error, "the Node's addresses stay as they were");
        }
        None if before.is_some() => info!("the Node's addresses are known again"),
        Some(_) | None => {}
    }
}

/// Tells systemd that the agent is up; it may be offline.
pub fn ready(status: &str) {
    notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status(status),
    ]);
}

/// Tells systemd what the broker is to us.
pub fn status(status: &str) {
    notify(&[sd_notify::NotifyState::Status(status)]);
}

/// Tells systemd that the loop turns.
pub fn alive() {
    notify(&[sd_notify::NotifyState::Watchdog]);
}

/// Tells systemd that the agent is on its way out.
pub fn stopping() {
    notify(&[sd_notify::NotifyState::Stopping]);
}

/// How often systemd wants to hear [`alive`], with a margin.
pub fn watchdog_every() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().map(|timeout| timeout / 3)
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(state) {
        tracing::debug!(error = %err, "systemd does not listen");
    }
}

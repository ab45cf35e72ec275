//! What the gateway counts, and how Prometheus reads it.
//!
//! Labels come from closed enums, never from what the network or a node says. The loop writes,
//! the metrics page reads; nothing here waits for anything but a lock held for a few lines.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::decode::Reject;
use crate::reconcile::Failure;
use crate::roster::Ignored;

/// Upper bounds of the histogram of writes, in milliseconds.
const BOUNDS_MS: [u64; 9] = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000];

/// Everything counted since start.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

/// The numbers behind [`Metrics`].
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Heartbeats that were taken.
    pub heartbeats: u64,
    /// Messages that were not, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Nodes by what is known of them.
    pub nodes: BTreeMap<&'static str, usize>,
    /// Writes by how long they took; the last is everything longer.
    pub apply_buckets: [u64; BOUNDS_MS.len() + 1],
    /// Time spent in writes.
    pub apply_total: Duration,
    /// Writes that failed, by class.
    pub apply_failures: BTreeMap<&'static str, u64>,
    /// Writes not finished.
    pub apply_waiting: usize,
    /// Bytes the embedded store has handed to its file; `None` without one.
    pub store_bytes: Option<u64>,
    /// Objects in the embedded store, by resource.
    pub store_objects: BTreeMap<&'static str, usize>,
}

impl Metrics {
    /// Changes the numbers.
    pub fn update(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The numbers now.
    pub fn counts(&self) -> Counts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Counts {
    /// Counts a message that was not understood.
    pub fn reject(&mut self, reject: Reject) {
        *self.rejected.entry(reject_label(reject)).or_default() += 1;
    }

    /// Counts a message that was understood and not taken.
    pub fn ignore(&mut self, ignored: Ignored) {
        *self.rejected.entry(ignored_label(ignored)).or_default() += 1;
    }

    /// Counts a finished write.
    pub fn apply(&mut self, elapsed: Duration, failure: Option<Failure>) {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS
            .iter()
            .filter(|bound| elapsed_ms > **bound)
            .count();
        if let Some(count) = self.apply_buckets.get_mut(bucket) {
            *count += 1;
        }
        self.apply_total += elapsed;
        if let Some(failure) = failure {
            *self
                .apply_failures
                .entry(failure_label(failure))
                .or_default() += 1;
        }
    }
}

/// The text format of Prometheus, 0.0.4.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        family(f, "build_info", "gauge", "What is running.")?;
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "nodling_build_info{{version=\"{version}\"}} 1")?;
        family(
            f,
            "heartbeats_received_total",
            "counter",
            "Heartbeats taken.",
        )?;
        writeln!(f, "nodling_heartbeats_received_total {}", self.heartbeats)?;
        family(
            f,
            "heartbeats_rejected_total",
            "counter",
            "Messages not taken.",
        )?;
        let counted = |counts: &BTreeMap<_, u64>, label| counts.get(label).copied().unwrap_or(0);
        for label in REJECTED {
            let count = counted(&self.rejected, label);
            writeln!(
                f,
                "nodling_heartbeats_rejected_total{{reason=\"{label}\"}} {count}"
            )?;
        }
        family(f, "nodes", "gauge", "Nodes by state.")?;
        for (state, count) in &self.nodes {
            writeln!(f, "nodling_nodes{{state=\"{state}\"}} {count}")?;
        }
        self.fmt_apply(f)?;
        if let Some(bytes) = self.store_bytes {
            family(
                f,
                "store_bytes_written_total",
                "counter",
                "Bytes the store wrote.",
            )?;
            writeln!(f, "nodling_store_bytes_written_total {bytes}")?;
            family(f, "store_objects", "gauge", "Objects in the store.")?;
            for (resource, count) in &self.store_objects {
                writeln!(
                    f,
                    "nodling_store_objects{{resource=\"{resource}\"}} {count}"
                )?;
            }
        }
        Ok(())
    }
}

impl Counts {
    fn fmt_apply(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        family(
            f,
            "apply_duration_seconds",
            "histogram",
            "How long writes took.",
        )?;
        let name = "nodling_apply_duration_seconds";
        let mut sum = 0;
        for (bound_ms, count) in BOUNDS_MS.iter().zip(&self.apply_buckets) {
            sum += count;
            let bound = Duration::from_millis(*bound_ms).as_secs_f64();
            writeln!(f, "{name}_bucket{{le=\"{bound}\"}} {sum}")?;
        }
        let count: u64 = self.apply_buckets.iter().sum();
        writeln!(f, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(f, "{name}_sum {}", self.apply_total.as_secs_f64())?;
        writeln!(f, "{name}_count {count}")?;
        family(f, "apply_failures_total", "counter", "Writes that failed.")?;
        for label in FAILURES {
            let count = self.apply_failures.get(label).copied().unwrap_or(0);
            writeln!(
                f,
                "nodling_apply_failures_total{{class=\"{label}\"}} {count}"
            )?;
        }
        family(f, "apply_waiting", "gauge", "Writes not finished.")?;
        writeln!(f, "nodling_apply_waiting {}", self.apply_waiting)
    }
}

fn family(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP nodling_{name} {help}")?;
    writeln!(f, "# TYPE nodling_{name} {kind}")
}

/// Every value of the label `reason`.
const REJECTED: [&str; 18] = [
    "class",
    "cloned_card",
    "duplicate_node",
    "empty",
    "kind",
    "malformed",
    "node_mismatch",
    "node_name",
    "retained",
    "roster_full",
    "stale_sequence",
    "too_long",
    "topic",
    "trailing",
    "truncated",
    "unknown_session",
    "version",
    "will_mismatch",
];

/// Every value of the label `class`.
const FAILURES: [&str; 7] = [
    "already_exists",
    "conflict",
    "forbidden",
    "invalid",
    "not_found",
    "too_many_requests",
    "unavailable",
];

/// As the label `reason` spells it.
pub const fn reject_label(reject: Reject) -> &'static str {
    match reject {
        Reject::Class => "class",
        Reject::Empty => "empty",
        Reject::Kind => "kind",
        Reject::Malformed => "malformed",
        Reject::NodeMismatch => "node_mismatch",
        Reject::NodeName => "node_name",
        Reject::Retained => "retained",
        Reject::TooLong => "too_long",
        Reject::Topic => "topic",
        Reject::Trailing => "trailing",
        Reject::Truncated => "truncated",
        Reject::Version => "version",
    }
}

/// As the label `reason` spells it.
pub const fn ignored_label(ignored: Ignored) -> &'static str {
    match ignored {
        Ignored::ClonedCard => "cloned_card",
        Ignored::DuplicateNode => "duplicate_node",
        Ignored::RosterFull => "roster_full",
        Ignored::StaleSequence => "stale_sequence",
        Ignored::UnknownSession => "unknown_session",
        Ignored::WillMismatch => "will_mismatch",
    }
}

/// As the label `class` spells it.
pub const fn failure_label(failure: Failure) -> &'static str {
    match failure {
        Failure::AlreadyExists => "already_exists",
        Failure::Conflict => "conflict",
        Failure::Forbidden => "forbidden",
        Failure::Invalid => "invalid",
        Failure::NotFound => "not_found",
        Failure::TooManyRequests { .. } => "too_many_requests",
        Failure::Unavailable => "unavailable",
    }
}

/// The page.
pub fn render(counts: &Counts) -> String {
    let mut page = String::new();
    write!(page, "{counts}").expect("a string takes everything");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_on_the_page_from_the_start() {
        let page = render(&Counts::default());
        for label in [
            reject_label(Reject::Retained),
            ignored_label(Ignored::ClonedCard),
        ] {
            let line = format!("nodling_heartbeats_rejected_total{{reason=\"{label}\"}} 0\n");
            assert!(page.contains(&line), "{line}");
        }
        assert!(page.contains("nodling_apply_failures_total{class=\"unavailable\"} 0\n"));
        assert!(!page.contains("store_bytes"), "there is no store");
    }

    #[test]
    fn the_histogram_adds_up() {
        let mut counts = Counts::default();
        counts.apply(Duration::from_micros(300), None);
        counts.apply(Duration::from_millis(7), Some(Failure::Conflict));
        counts.apply(Duration::from_mins(1), Some(Failure::Unavailable));
        let page = render(&counts);
        for line in [
            "nodling_apply_duration_seconds_bucket{le=\"0.001\"} 1\n",
            "nodling_apply_duration_seconds_bucket{le=\"0.01\"} 2\n",
            "nodling_apply_duration_seconds_bucket{le=\"10\"} 2\n",
            "nodling_apply_duration_seconds_bucket{le=\"+Inf\"} 3\n",
            "nodling_apply_duration_seconds_count 3\n",
            "nodling_apply_failures_total{class=\"conflict\"} 1\n",
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let mut counts = Counts {
            store_bytes: Some(7),
            ..Counts::default()
        };
        counts.nodes.insert("ready", 3);
        for line in render(&counts).lines() {
            let is_sample = line.starts_with("nodling_")
                && line
                    .rsplit_once(' ')
                    .is_some_and(|(_, value)| value.parse::<f64>().is_ok());
            assert!(line.starts_with("# ") || is_sample, "{line}");
        }
    }
}

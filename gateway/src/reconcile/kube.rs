//! What the gateway knows of one name in Kubernetes: what was seen, what is being written, when
//! to try again. Nothing here says what was sent; it says what is under way.

use jiff::Timestamp;

use super::backoff::Backoff;
use super::events::{Events, News};
use super::wanted::VERSION_SUFFIX;
use crate::clock::Moment;
use crate::seen::{SeenLease, SeenNode};

/// A Lease that somebody else renews this often in a row has another owner,
const FOREIGN_RENEWALS: u8 = 2;
/// until it has been left alone for this long.
const FOREIGN_FOR: core::time::Duration = core::time::Duration::from_mins(1);

/// The writes of one object, of which one is under way at most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    pub(super) is_writing: bool,
    pub(super) backoff: Backoff,
}

impl Lane {
    pub(super) fn is_open(&self, now: Moment) -> bool {
        !self.is_writing && self.backoff.is_open(now)
    }
}

/// One name in Kubernetes.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that hold independently"
)]
pub(super) struct Kube {
    pub(super) seen: Option<Box<SeenNode>>,
    pub(super) lease: Option<SeenLease>,
    /// Named in the list that is under way.
    pub(super) is_listed: bool,
    pub(super) is_lease_listed: bool,
    pub(super) object: Lane,
    pub(super) leases: Lane,
    pub(super) event: Lane,
    pub(super) events: Events,
    /// Told once the write that is under way succeeds.
    pub(super) on_success: Vec<News>,
    /// Told once the Node has a uid.
    pub(super) untold: Vec<News>,
    pub(super) status: StatusWrites,
    /// Digest of the refused labels that were told.
    pub(super) refused: u64,
    /// Digest of the owner of another fleet that was told.
    pub(super) other_fleet: u64,
    /// When the last renewal was sent.
    pub(super) renewed: Option<Moment>,
    written: [Option<Timestamp>; 2],
    foreign_renewals: u8,
    foreign_at: Moment,
    /// When a sign of life was last seen in Kubernetes.
    pub(super) sign: Moment,
    /// It was deleted while we knew it.
    pub(super) is_gone: bool,
    /// Compared, and nothing to write to the Node until something changes.
    pub(super) is_settled: bool,
    /// resourceVersion that the write under way is based on.
    pub(super) based_on: Box<str>,
    pub(super) scheduled: Option<Moment>,
}

/// When status is written again, and how often the same was written in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StatusWrites {
    /// The periodic write.
    pub(super) due: Option<Moment>,
    key: u64,
    at: Moment,
    repeats: u8,
}

impl StatusWrites {
    /// When this content may be written: at once, unless the same was written just before and
    /// did not stay, which is a server that drops what it does not know, or another writer.
    pub(super) fn open_at(&self, key: u64) -> Moment {
        if key != self.key || self.repeats < 2 {
            return self.at;
        }
        let delay_ms = (500_u64 << self.repeats.min(12)).min(300_000);
        self.at + core::time::Duration::from_millis(delay_ms)
    }

    /// The write failed: it does not count among those that did not stay.
    pub(super) fn fail(&mut self) {
        self.repeats = self.repeats.saturating_sub(1);
    }

    /// This content is being written.
    pub(super) fn write(&mut self, key: u64, now: Moment, is_change: bool) {
        let is_again = is_change && key == self.key && now.since(self.at).as_secs() < 600;
        self.repeats = if is_again {
            self.repeats.saturating_add(1)
        } else {
            0
        };
        self.key = key;
        self.at = now;
    }
}

impl Kube {
    /// Whether a kubelet owns the Node.
    pub(super) fn is_kubelets(&self, seen: &SeenNode, now: Moment) -> bool {
        let version = &seen.kubelet_version;
        let has_foreign_version = !version.is_empty() && !version.ends_with(VERSION_SUFFIX);
        has_foreign_version || self.is_lease_kubelets(now)
    }

    /// Whether somebody else keeps renewing the Lease.
    pub(super) fn is_lease_kubelets(&self, now: Moment) -> bool {
        self.foreign_renewals >= FOREIGN_RENEWALS && now <= self.foreign_at + FOREIGN_FOR
    }

    /// Remembers the renewTime that is being written.
    pub(super) fn renew(&mut self, time: Timestamp, now: Moment) {
        self.written = [Some(time), self.written[0]];
        self.renewed = Some(now);
    }

    /// Takes the Lease as it is now; whether it was renewed.
    pub(super) fn see_lease(&mut self, lease: SeenLease, now: Moment) -> bool {
        let before = self.lease.as_ref().and_then(|lease| lease.renewed);
        if self
            .lease
            .as_ref()
            .is_some_and(|old| is_older(&lease.resource_version, &old.resource_version))
        {
            return false;
        }
        let is_first = self.lease.is_none();
        let is_changed = lease.renewed != before;
        let is_renewed = lease.renewed > before;
        if is_changed && !is_first && !self.written.contains(&lease.renewed) {
            if now > self.foreign_at + FOREIGN_FOR {
                self.foreign_renewals = 0;
            }
            self.foreign_renewals = self.foreign_renewals.saturating_add(1);
            self.foreign_at = now;
        }
        self.lease = Some(lease);
        is_first || is_renewed
    }
}

/// Whether a resourceVersion is older than another, as far as that can be told.
pub(super) fn is_older(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version < than,
        _ => false,
    }
}

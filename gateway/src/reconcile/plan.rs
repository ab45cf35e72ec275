//! Decides the next write of one node: what is wanted, against what is seen.
//!
//! At most one write of the Node, one of its Lease and one of an Event is under way; whatever
//! happens meanwhile is part of the next comparison.

use core::time::Duration;

use jiff::Timestamp;

use super::backoff::Jitter;
use super::events::News;
use super::kube::Kube;
use super::lifecycle::{self, Evictions};
use super::status::{self, Condition};
use super::{Action, Lifecycle, Settings, lease, node, wanted};
use crate::clock::{Moment, Now};
use crate::roster::{Claim, Member, Roster};
use crate::seen::{SeenNode, digest};

/// Deadlines are exceeded by the least there is.
const JUST_AFTER: Duration = Duration::from_millis(1);

/// What a decision about one node rests on.
pub(super) struct Plan<'c> {
    pub(super) settings: &'c Settings,
    pub(super) roster: &'c Roster,
    pub(super) member: &'c Member,
    pub(super) kube: &'c mut Kube,
    pub(super) evictions: &'c mut Evictions,
    pub(super) jitter: &'c mut Jitter,
    pub(super) is_judging: bool,
    pub(super) has_leases: bool,
    pub(super) now: Moment,
    pub(super) wall: Timestamp,
    /// When to look again.
    pub(super) again: Option<Moment>,
}

impl<'c> Plan<'c> {
    /// Appends what is to be done.
    pub(super) fn decide(&mut self, actions: &mut Vec<Action>) {
        self.tell();
        if self.is_other_fleets() {
            self.kube.is_settled = false;
            self.event(actions);
            return;
        }
        let before = actions.len();
        if self.kube.object.is_open(self.now) {
            let action = self.object();
            self.kube.object.is_writing = action.is_some();
            if let Some(seen) = &self.kube.seen {
                self.kube.based_on.clone_from(&seen.resource_version);
            }
            actions.extend(action);
        }
        let has_written = actions.len() > before;
        self.renew(actions);
        self.event(actions);
        let is_waiting =
            self.kube.object.is_writing || self.kube.object.backoff.until(self.now).is_some();
        let is_alive = self
            .claim()
            .is_some_and(|claim| self.roster.is_alive(claim, self.now));
        // The beat that ends a silence is news, however lately the Lease was renewed.
        self.kube.is_settled = !has_written && !is_waiting && is_alive;
        for until in [
            self.kube.object.backoff.until(self.now),
            self.kube.leases.backoff.until(self.now),
            self.kube.event.backoff.until(self.now),
            self.kube.events.due(),
        ] {
            self.look_again(until);
        }
    }

    /// The Lease's next write, if it is time.
    pub(super) fn renew(&mut self, actions: &mut Vec<Action>) {
        if self.has_leases && self.kube.leases.is_open(self.now) {
            let action = self.lease();
            self.kube.leases.is_writing = action.is_some();
            actions.extend(action);
        }
    }

    /// The next Event, if one is due and none is under way.
    pub(super) fn event(&mut self, actions: &mut Vec<Action>) {
        if self.kube.event.is_open(self.now) {
            let now = Now {
                moment: self.now,
                wall: Some(self.wall),
            };
            let action = self.kube.events.next(now, self.member.name());
            self.kube.event.is_writing = action.is_some();
            actions.extend(action);
        }
    }

    fn claim(&self) -> Option<&'c Claim> {
        self.member.claim()
    }

    fn look_again(&mut self, at: Option<Moment>) {
        if let Some(at) = at {
            self.again = Some(self.again.map_or(at, |again| again.min(at)));
        }
    }

    /// Whether the gateway of another fleet keeps this Node alive. As among boards of one fleet,
    /// the name is free once its holder has been silent for the grace.
    fn is_other_fleets(&mut self) -> bool {
        let Some(seen) = self.kube.seen.as_deref() else {
            return false;
        };
        let owner = seen.owner.as_deref().unwrap_or_default();
        let Some(fleet) = node::owner_fleet(self.settings, owner) else {
            return false;
        };
        if self.settings.lifecycle == Lifecycle::Embedded || self.claim().is_none() {
            return false;
        }
        let until = self.kube.sign + self.settings.grace + JUST_AFTER;
        if self.now >= until {
            return false;
        }
        let message = format!(
            "fleet {:?} claims the name {}, which fleet {fleet:?} holds; give one of the two \
             boards another node name",
            self.settings.fleet, seen.name
        );
        let key = digest(owner);
        if self.kube.other_fleet != key {
            self.kube.other_fleet = key;
            let news = News {
                key: Some(key),
                ..News::warning("DuplicateNode", message)
            };
            self.kube.events.record(self.wall, &seen.uid, news);
        }
        self.look_again(Some(until));
        true
    }

    /// News that waited for the Node's uid.
    fn tell(&mut self) {
        let Some(seen) = self
            .kube
            .seen
            .as_deref()
            .filter(|seen| !seen.uid.is_empty())
        else {
            return;
        };
        if let Some(facts) = self.member.claim().and_then(Claim::facts) {
            let labels = wanted::labels(&seen.name, &facts).refused;
            let taints = wanted::refused_taints(&facts);
            let told = if labels.is_empty() && taints.is_empty() {
                0
            } else {
                digest(&(&labels, &taints))
            };
            if told != self.kube.refused {
                self.kube.refused = told;
                for (reason, what, keys) in [
                    ("LabelsRefused", "labels", labels),
                    ("TaintsRefused", "taints", taints),
                ] {
                    if !keys.is_empty() {
                        let keys = keys.join(", ");
                        let message = format!("the board may not set these {what}: {keys}");
                        self.kube.untold.push(News::warning(reason, message));
                    }
                }
            }
        }
        for news in self.kube.untold.drain(..) {
            self.kube.events.record(self.wall, &seen.uid, news);
        }
    }

    fn object(&mut self) -> Option<Action> {
        let claim = self.claim();
        let alive = claim.filter(|claim| self.roster.is_alive(claim, self.now));
        if self.kube.seen.is_none() {
            let expiry = claim.map(|claim| claim.heard + self.settings.forget_after());
            self.look_again(expiry);
            return self.create(alive?);
        }
        let seen = self.kube.seen.take()?;
        let action = self.object_seen(alive, &seen);
        self.kube.seen = Some(seen);
        action
    }

    fn create(&mut self, claim: &Claim) -> Option<Action> {
        let facts = claim.facts()?;
        // Whoever stops an agent and deletes its Node means it; the next beat makes a new one.
        if !node::may_register(self.settings, &facts) || claim.bye.is_some() {
            return None;
        }
        let name = self.member.name();
        let body = node::create(self.settings, name, claim, self.wall)?;
        let nothing = SeenNode::default();
        let conditions = status::conditions(self.settings, claim, &facts, false);
        let (_, mut news) = status::compare(name, &nothing, &conditions);
        if self.kube.is_gone {
            let message = format!(
                "Node {name} was deleted while its agent beats, and is registered again; \
                 to be rid of it, stop the agent, then: nodling-gateway nodes forget {name}"
            );
            news.push(News::normal("Recreated", message));
        }
        self.kube.on_success = news;
        Some(Action::CreateNode {
            node: name.into(),
            body: Box::new(body),
        })
    }

    fn object_seen(&mut self, alive: Option<&Claim>, seen: &SeenNode) -> Option<Action> {
        if seen.is_deleting {
            return None;
        }
        let is_kubelets = self.kube.is_kubelets(seen, self.now);
        let status = match alive {
            Some(claim) => self.status(claim, (seen, is_kubelets)),
            None => None,
        };
        status
            .or_else(|| self.silence((seen, is_kubelets)))
            .or_else(|| self.metadata(alive, (seen, is_kubelets)))
    }

    fn status(&mut self, claim: &Claim, (seen, is_kubelets): (&SeenNode, bool)) -> Option<Action> {
        let patch = status::patch(self.settings, claim, (seen, is_kubelets), self.wall)?;
        let next = self.now + self.jitter.around(self.settings.status_interval);
        let due = *self.kube.status.due.get_or_insert(next);
        let at = if patch.is_changed {
            self.kube.status.open_at(patch.key)
        } else {
            due
        };
        if self.now < at {
            self.look_again(Some(at));
            return None;
        }
        self.kube
            .status
            .write(patch.key, self.now, patch.is_changed);
        self.kube.status.due = Some(next);
        self.kube.on_success = patch.news;
        Some(self.patch_status(patch.body))
    }

    fn patch_status(&self, patch: serde_json::Value) -> Action {
        Action::PatchStatus {
            node: self.member.name().into(),
            patch,
        }
    }

    /// What a Node gets whose board, or whose kubelet, is silent for longer than the grace.
    fn silence(&mut self, (seen, is_kubelets): (&SeenNode, bool)) -> Option<Action> {
        if !self.is_judging {
            return None;
        }
        let claim = self.claim();
        let is_ours = claim.is_some()
            || seen
                .owner
                .as_deref()
                .is_some_and(|owner| node::owner_instance(self.settings, owner).is_some());
        let heard = claim.map(|claim| claim.heard);
        let mut wanted: Vec<Condition> = Vec::new();
        if is_ours && self.is_silent(heard.unwrap_or(self.kube.sign), self.settings.grace) {
            let facts = claim.and_then(Claim::facts);
            wanted = status::silent_conditions(seen, facts.as_ref(), is_kubelets);
        }
        let sign = heard.filter(|_| !is_kubelets).unwrap_or(self.kube.sign);
        let has_ready = seen.known(nodling_protocol::ConditionKind::Ready).is_some();
        let grace = if has_ready {
            self.settings.grace
        } else {
            self.settings.startup_grace
        };
        if self.settings.lifecycle == Lifecycle::Embedded && self.is_silent(sign, grace) {
            wanted.extend(lifecycle::unknown_conditions(seen));
        }
        if wanted.is_empty() {
            return None;
        }
        let key = status::key(&wanted);
        let at = self.kube.status.open_at(key);
        if self.now < at {
            self.look_again(Some(at));
            return None;
        }
        self.kube.status.write(key, self.now, true);
        self.kube.on_success = not_ready(seen, &wanted);
        Some(self.patch_status(status::patch_conditions(seen, &wanted, self.wall)))
    }

    fn is_silent(&mut self, sign: Moment, grace: Duration) -> bool {
        let deadline = sign.max(self.roster.listening_since()) + grace + JUST_AFTER;
        if self.now < deadline {
            self.look_again(Some(deadline));
        }
        self.now >= deadline
    }

    fn metadata(
        &mut self,
        alive: Option<&Claim>,
        (seen, is_kubelets): (&SeenNode, bool),
    ) -> Option<Action> {
        let mut taints = None;
        if self.settings.lifecycle == Lifecycle::Embedded {
            let again;
            (taints, again) = lifecycle::taints(seen, self.evictions, (self.now, self.wall));
            self.look_again(again);
        }
        let patch = node::patch(self.settings, alive, (seen, is_kubelets), taints)?;
        Some(Action::PatchNode {
            node: self.member.name().into(),
            patch,
        })
    }

    fn lease(&mut self) -> Option<Action> {
        let name = self.member.name();
        let Some(seen) = self.kube.seen.as_deref() else {
            // Without a garbage collector nobody else removes it.
            let is_left =
                self.settings.lifecycle == Lifecycle::Embedded && self.kube.lease.is_some();
            return (is_left && self.kube.is_gone)
                .then(|| Action::DeleteLease { node: name.into() });
        };
        let claim = self.member.claim()?;
        if self.kube.is_kubelets(seen, self.now) || seen.uid.is_empty() {
            return None;
        }
        let body = lease::renewal(self.kube, claim, seen, (self.now, self.wall))?;
        let time = body.spec.as_ref()?.renew_time.as_ref()?.0;
        let is_there = self.kube.lease.is_some();
        self.kube.renew(time, self.now);
        let (node, body) = (name.into(), Box::new(body));
        Some(if is_there {
            Action::RenewLease { node, body }
        } else {
            Action::CreateLease { node, body }
        })
    }
}

/// The controller's Event when a Node ceases to be Ready.
fn not_ready(seen: &SeenNode, wanted: &[Condition]) -> Vec<News> {
    use crate::seen::ConditionType;
    use nodling_protocol::{ConditionKind, Status};
    let was_ready = seen
        .known(ConditionKind::Ready)
        .is_some_and(|ready| ready.status == Some(Status::True));
    let is_judged = wanted
        .iter()
        .any(|condition| condition.kind == ConditionType::Known(ConditionKind::Ready));
    if was_ready && is_judged {
        let severity = super::events::Severity::Normal;
        vec![News::status(severity, &seen.name, "NodeNotReady".into())]
    } else {
        Vec::new()
    }
}

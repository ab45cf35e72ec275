//! Takes in what changed in Kubernetes: what `watch` saw, and what became of our own writes.
//!
//! An object is taken from wherever it comes first; an older resourceVersion never replaces a
//! newer one.

use super::core::Core;
use super::events::{News, Severity};
use super::kube::{Kube, Lane, is_older};
use super::node::owner_instance;
use super::{Action, Failure, Lifecycle, Write, Written};
use crate::clock::{Moment, Now};
use crate::seen::{Collection, SeenNode};
use nodling_protocol::ConditionKind;

impl Core {
    pub(super) fn see_node(&mut self, now: Now, node: Box<SeenNode>, actions: &mut Vec<Action>) {
        let Some(index) = self.slot(&node.name) else {
            return;
        };
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        kube.is_listed = true;
        let old = kube.seen.take();
        if let Some(old) = &old
            && old.uid == node.uid
            && is_older(&node.resource_version, &old.resource_version)
        {
            kube.seen = Some(old.clone());
            return;
        }
        let ready = |node: &SeenNode| {
            let ready = node.known(ConditionKind::Ready);
            ready.and_then(|ready| ready.heartbeat)
        };
        let is_first = old.as_ref().is_none_or(|old| old.uid != node.uid);
        if is_first || old.as_deref().and_then(ready) != ready(&node) {
            kube.sign = now.moment;
        }
        let name = &node.name;
        if is_first && self.has_nodes && self.settings.lifecycle == Lifecycle::Embedded {
            let message = format!("Node {name} event: Registered Node {name} in Controller");
            kube.untold.push(News::normal("RegisteredNode", message));
        }
        let is_cordon_changed = old.as_ref().map_or(node.is_unschedulable, |old| {
            old.is_unschedulable != node.is_unschedulable
        });
        if is_cordon_changed && old.is_some() {
            let reason = if node.is_unschedulable {
                "NodeNotSchedulable"
            } else {
                "NodeSchedulable"
            };
            let severity = Severity::Normal;
            kube.untold
                .push(News::status(severity, name, reason.into()));
        }
        let grace = self.settings.grace;
        let pair = (old.as_deref(), Some(&*node));
        let is_turned = self.evictions.replace(pair, grace, now.moment);
        let owner = node.owner.as_deref();
        let owner = owner.and_then(|owner| owner_instance(&self.settings, owner));
        kube.seen = Some(node);
        kube.is_gone = false;
        self.roster.reserve(index, owner, now.moment);
        if is_cordon_changed {
            self.tell_board(index, actions);
        }
        self.reconcile(now, index, actions);
        if is_turned {
            self.schedule_all(now.moment);
        }
    }

    pub(super) fn lose_node(&mut self, now: Now, name: &str, actions: &mut Vec<Action>) {
        let Some(index) = self.roster.index(name) else {
            return;
        };
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        let Some(old) = kube.seen.take() else {
            return;
        };
        kube.is_gone = true;
        kube.status.due = None;
        if let Some(wall) = now.wall
            && self.settings.lifecycle == Lifecycle::Embedded
        {
            let message = format!("Node {name} event: Removing Node {name} from Controller");
            kube.events
                .record(wall, &old.uid, News::normal("RemovingNode", message));
        }
        let pair = (Some(&*old), None);
        let is_turned = self
            .evictions
            .replace(pair, self.settings.grace, now.moment);
        self.reconcile(now, index, actions);
        self.forget_if_useless(index, now.moment);
        if is_turned {
            self.schedule_all(now.moment);
        }
    }

    pub(super) fn relisted(&mut self, now: Now, collection: Collection, actions: &mut Vec<Action>) {
        for index in 0..self.kubes.len() {
            let Some(kube) = self.kubes.get_mut(index) else {
                continue;
            };
            match collection {
                Collection::Leases if !kube.is_lease_listed => kube.lease = None,
                Collection::Nodes if !kube.is_listed && kube.seen.is_some() => {
                    let name: Box<str> = self
                        .roster
                        .get(index)
                        .map_or("", |member| member.name())
                        .into();
                    self.lose_node(now, &name, actions);
                }
                Collection::Leases | Collection::Nodes => {}
            }
        }
        match collection {
            Collection::Leases => self.has_leases = true,
            Collection::Nodes => self.has_nodes = true,
        }
        self.schedule_all(now.moment);
        actions.extend(self.tick(now));
    }

    pub(super) fn succeeded(
        &mut self,
        now: Now,
        index: usize,
        write: Write,
        written: Written,
        actions: &mut Vec<Action>,
    ) {
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        let lane = lane(kube, write);
        lane.is_writing = false;
        lane.backoff.succeed();
        match write {
            Write::CreateEvent | Write::PatchEvent => kube.events.finish(Ok(())),
            Write::DeleteLease => kube.lease = None,
            Write::CreateNode | Write::PatchStatus => {
                let news = core::mem::take(&mut kube.on_success);
                kube.untold.extend(news);
            }
            Write::CreateLease | Write::PatchNode | Write::RenewLease => {}
        }
        match written {
            Written::Done => {}
            Written::Lease(lease) => {
                kube.see_lease(lease, now.moment);
            }
            Written::Node(node) => self.see_node(now, node, actions),
        }
    }

    pub(super) fn failed(&mut self, now: Moment, index: usize, write: Write, failure: Failure) {
        let Some(kube) = self.kubes.get_mut(index) else {
            return;
        };
        let lane = lane(kube, write);
        lane.is_writing = false;
        lane.backoff.fail(now, failure, &mut self.jitter);
        if write == Write::PatchStatus {
            kube.status.fail();
        }
        match write {
            Write::CreateEvent | Write::PatchEvent => kube.events.finish(Err(failure)),
            Write::CreateLease | Write::RenewLease => {
                kube.renewed = None;
                if failure == Failure::NotFound {
                    kube.lease = None;
                }
            }
            Write::DeleteLease if failure == Failure::NotFound => kube.lease = None,
            Write::DeleteLease => {}
            Write::CreateNode | Write::PatchNode | Write::PatchStatus => {
                kube.on_success.clear();
                let is_same = kube
                    .seen
                    .as_ref()
                    .is_some_and(|seen| seen.resource_version == kube.based_on);
                if failure == Failure::NotFound
                    && is_same
                    && let Some(old) = kube.seen.take()
                {
                    kube.is_gone = true;
                    let pair = (Some(&*old), None);
                    self.evictions.replace(pair, self.settings.grace, now);
                }
            }
        }
    }
}

fn lane(kube: &mut Kube, write: Write) -> &mut Lane {
    match write {
        Write::CreateNode | Write::PatchNode | Write::PatchStatus => &mut kube.object,
        Write::CreateLease | Write::DeleteLease | Write::RenewLease => &mut kube.leases,
        Write::CreateEvent | Write::PatchEvent => &mut kube.event,
    }
}

//! Turns a claim into `status`, compares it with what is seen, and writes the patch.
//!
//! Every owned condition is written in full; lastTransitionTime comes from the API object, as
//! kubelet does it, so that a transition that somebody else wrote counts. Conditions, resources
//! and addresses of others are not named and therefore stay.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nodling_protocol::condition::Words;
use nodling_protocol::facts::CustomCondition;
use nodling_protocol::{Bye, ConditionKind, Facts, Status};
use serde_json::{Value, json};

use super::Settings;
use super::events::{News, Severity};
use super::wanted;
use crate::roster::Claim;
use crate::seen::{
    ConditionType, Extended, Pairs, Phase, SeenCondition, SeenNode, addresses_digest,
    boot_id_digest, digest, facts_digest, words_digest,
};

const SILENT_REASON: &str = "NodeSilent";
const SILENT_MESSAGE: &str = "the board has been silent for longer than the grace";

/// A condition as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) kind: ConditionType,
    pub(super) status: Status,
    pub(super) reason: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    /// Reason of the Event of the transition.
    pub(super) event: Cow<'static, str>,
    /// Whether lastHeartbeatTime stays as it is.
    pub(super) keeps_heartbeat: bool,
}

/// What is to be written to `/status`, and why.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) body: Value,
    /// Digest of the content, times apart.
    pub(super) key: u64,
    /// Whether it differs from what was seen.
    pub(super) is_changed: bool,
    /// To be told once it is written.
    pub(super) news: Vec<News>,
}

/// The conditions of a node that is alive, Ready last of kubelet's.
pub(super) fn conditions(
    settings: &Settings,
    claim: &Claim,
    facts: &Facts<'_>,
    is_kubelets: bool,
) -> Vec<Condition> {
    let Some(beat) = &claim.beat else {
        return Vec::new();
    };
    let known = ConditionKind::ALL.iter().copied();
    let order = known
        .filter(|&kind| kind != ConditionKind::Ready)
        .chain([ConditionKind::Ready]);
    let mut conditions: Vec<_> = order
        .filter(|kind| !settings.withheld.contains(kind))
        .filter(|&kind| !is_kubelets || is_board(kind))
        .filter_map(|kind| {
            let status = beat.conditions.of(kind);
            if kind == ConditionKind::Ready {
                return Some(ready(settings, claim, status));
            }
            let words = |status| kind.words_of(status, beat.vitals.throttle);
            status.map(|status| known_condition(kind, status, words(status)))
        })
        .collect();
    let at = conditions.len() - usize::from(!is_kubelets && !conditions.is_empty());
    let custom = custom_conditions(facts).filter_map(|(index, custom)| {
        let status = claim.custom()?.get(index)?;
        Some(custom_condition(custom, status))
    });
    conditions.splice(at..at, custom);
    conditions
}

fn known_condition(kind: ConditionKind, status: Status, words: Words) -> Condition {
    Condition {
        kind: ConditionType::Known(kind),
        status,
        reason: words.reason.into(),
        message: words.message.into(),
        event: words.event.into(),
        keeps_heartbeat: false,
    }
}

/// A beat proves that the agent lives; a goodbye or, if so wished, a will takes that back.
fn ready(settings: &Settings, claim: &Claim, status: Option<Status>) -> Condition {
    let why = match claim.bye {
        Some(Bye::Shutdown | Bye::Leave) => Some("node is shutting down"),
        _ if settings.fail_fast && claim.is_lost => {
            Some("the board's connection to the broker broke")
        }
        _ => None,
    };
    let status = match why {
        Some(_) => Status::False,
        None => status.unwrap_or(Status::True),
    };
    let words = ConditionKind::Ready.words(status);
    let mut ready = known_condition(ConditionKind::Ready, status, words);
    if let Some(why) = why {
        ready.message = why.into();
    }
    ready
}

fn custom_condition(custom: &CustomCondition<'_>, status: Status) -> Condition {
    let reason = custom.reason(status).to_string();
    Condition {
        kind: ConditionType::Other(custom.name.into()),
        status,
        event: reason.clone().into(),
        reason: reason.into(),
        message: custom.rule.to_owned().into(),
        keeps_heartbeat: false,
    }
}

/// Custom conditions that can be written, each once, with their positions.
pub(super) fn custom_conditions<'f>(
    facts: &'f Facts<'_>,
) -> impl Iterator<Item = (usize, &'f CustomCondition<'f>)> {
    let conditions = &facts.conditions;
    conditions.iter().enumerate().filter(|(index, custom)| {
        let is_same = |other: &CustomCondition<'_>| other.name == custom.name;
        CustomCondition::is_name(custom.name) && conditions.iter().position(is_same) == Some(*index)
    })
}

/// Conditions that no kubelet and no controller writes.
pub(super) fn is_board(kind: ConditionKind) -> bool {
    kind > ConditionKind::NetworkUnavailable
}

/// Conditions that kubelet posts and the node lifecycle controller sets to Unknown.
pub(super) const KUBELETS: [ConditionKind; 4] = [
    ConditionKind::Ready,
    ConditionKind::MemoryPressure,
    ConditionKind::DiskPressure,
    ConditionKind::PidPressure,
];

/// Whether the words of a seen condition are ours.
fn is_ours(seen: &SeenCondition, facts: Option<&Facts<'_>>) -> bool {
    match &seen.kind {
        ConditionType::Known(kind) => {
            let statuses = [Status::True, Status::False, Status::Unknown].into_iter();
            let mut ours = statuses
                .map(|status| kind.words(status))
                .chain(kind.words_of_past());
            let is_seen = |words: Words| words_digest(words.reason, words.message) == seen.words;
            ours.any(is_seen) || is_silent(seen)
        }
        ConditionType::Other(name) => facts.is_some_and(|facts| {
            custom_conditions(facts).any(|(_, custom)| custom.name == &**name)
        }),
    }
}

fn is_silent(seen: &SeenCondition) -> bool {
    seen.words == words_digest(SILENT_REASON, SILENT_MESSAGE)
}

/// The conditions that the controller does not touch, of a node that is silent.
pub(super) fn silent_conditions(
    seen: &SeenNode,
    facts: Option<&Facts<'_>>,
    is_kubelets: bool,
) -> Vec<Condition> {
    seen.conditions
        .iter()
        .filter(|condition| match condition.kind {
            ConditionType::Known(kind) if KUBELETS.contains(&kind) => false,
            ConditionType::Known(kind) => !is_kubelets || is_board(kind),
            ConditionType::Other(_) => true,
        })
        .filter(|condition| is_ours(condition, facts) && !is_silent(condition))
        .map(|condition| Condition {
            kind: condition.kind.clone(),
            status: Status::Unknown,
            reason: SILENT_REASON.into(),
            message: SILENT_MESSAGE.into(),
            event: SILENT_REASON.into(),
            keeps_heartbeat: true,
        })
        .collect()
}

/// Everything a live node's `/status` should say, as a patch of what is seen.
pub(super) fn patch(
    settings: &Settings,
    claim: &Claim,
    (seen, is_kubelets): (&SeenNode, bool),
    wall: Timestamp,
) -> Option<Patch> {
    let facts = claim.facts()?;
    let mut wanted = conditions(settings, claim, &facts, is_kubelets);
    // A network plugin writes this one too; whoever was first keeps it.
    let network = seen.known(ConditionKind::NetworkUnavailable);
    if network.is_some_and(|network| !is_ours(network, None)) {
        wanted.retain(|condition| {
            condition.kind != ConditionType::Known(ConditionKind::NetworkUnavailable)
        });
    }
    let gone = vanished(claim, &facts, (seen, is_kubelets), &wanted);
    let (mut is_changed, mut news) = compare(&seen.name, seen, &wanted);
    is_changed |= !gone.is_empty();
    let mut list: Vec<Value> = wanted
        .iter()
        .map(|condition| render(condition, seen, wall))
        .collect();
    list.extend(
        gone.iter()
            .map(|kind| json!({ "type": kind, "$patch": "delete" })),
    );
    let mut body = json!({ "conditions": list });
    let mut key = digest_conditions(&wanted, &gone);
    if !is_kubelets {
        let status = wanted::status(&facts);
        let phase = phase(claim);
        let dropped: Vec<&str> = claim.dropped.resources.iter().map(|name| &**name).collect();
        is_changed |= differs(seen, &status, phase, &dropped);
        key = digest(&(
            key,
            (facts_digest(&status), addresses_digest(&status)),
            phase.as_str(),
        ));
        let boot_id = status.node_info.as_ref().map_or("", |info| &info.boot_id);
        if seen.boot_id != 0 && seen.boot_id != boot_id_digest(boot_id) {
            let name = &seen.name;
            let message = format!("Node {name} has been rebooted, boot id: {boot_id}");
            news.push(News::warning("Rebooted", message));
        }
        add_facts(&mut body, &status, phase, (seen, &dropped));
    } else if wanted.is_empty() && gone.is_empty() {
        return None;
    }
    Some(Patch {
        body: wrap(seen, body),
        key,
        is_changed,
        news,
    })
}

/// A patch that only sets conditions.
pub(super) fn patch_conditions(seen: &SeenNode, wanted: &[Condition], wall: Timestamp) -> Value {
    let list: Vec<Value> = wanted
        .iter()
        .map(|condition| render(condition, seen, wall))
        .collect();
    wrap(seen, json!({ "conditions": list }))
}

/// The conditions of a Node that is created.
pub(super) fn new_conditions(wanted: &[Condition], wall: Timestamp) -> Vec<NodeCondition> {
    wanted
        .iter()
        .map(|condition| NodeCondition {
            last_heartbeat_time: Some(Time(wall)),
            last_transition_time: Some(Time(wall)),
            message: Some(condition.message.to_string()),
            reason: Some(condition.reason.to_string()),
            status: condition.status.as_str().to_owned(),
            type_: condition.kind.as_str().to_owned(),
        })
        .collect()
}

/// The phase that a claim is in.
pub(super) fn phase(claim: &Claim) -> Phase {
    match (claim.bye, &claim.beat) {
        (Some(Bye::Leave), _) => Phase::Terminated,
        (_, Some(_)) => Phase::Running,
        (_, None) => Phase::Pending,
    }
}

/// Whether any of the wanted conditions differs from what is seen, and the Events of those
/// whose status does.
pub(super) fn compare(node: &str, seen: &SeenNode, wanted: &[Condition]) -> (bool, Vec<News>) {
    let mut is_changed = false;
    let mut news = Vec::new();
    for condition in wanted {
        let was = seen.condition(&condition.kind);
        let words = words_digest(&condition.reason, &condition.message);
        is_changed |=
            was.is_none_or(|was| was.status != Some(condition.status) || was.words != words);
        if was.and_then(|was| was.status) != Some(condition.status)
            && is_told(condition, was.is_some())
        {
            let severity = match condition.kind {
                ConditionType::Known(kind) if KUBELETS.contains(&kind) => Severity::Normal,
                ConditionType::Known(_) | ConditionType::Other(_) => {
                    if condition.status == Status::False {
                        Severity::Normal
                    } else {
                        Severity::Warning
                    }
                }
            };
            news.push(News::status(severity, node, condition.event.clone()));
        }
    }
    (is_changed, news)
}

/// Kubelet tells the first status of the pressures and not of Ready; ours are told at first
/// only if something is wrong.
fn is_told(condition: &Condition, was_there: bool) -> bool {
    match condition.kind {
        ConditionType::Known(ConditionKind::Ready) => was_there,
        ConditionType::Known(kind) if KUBELETS.contains(&kind) => true,
        ConditionType::Known(_) | ConditionType::Other(_) => {
            was_there || condition.status != Status::False
        }
    }
}

fn differs(seen: &SeenNode, status: &NodeStatus, phase: Phase, dropped: &[&str]) -> bool {
    seen.facts != facts_digest(status)
        || has_addresses(status) && seen.addresses != addresses_digest(status)
        || seen.phase != phase
        || extended(seen, status).next().is_some()
        || !has_all(&seen.capacity, status.capacity.as_ref())
        || !has_all(&seen.allocatable, status.allocatable.as_ref())
        || dropped
            .iter()
            .any(|name| seen.capacity.has_key(name) || seen.allocatable.has_key(name))
}

/// A board that finds no address of its own leaves those that are listed, as a kubelet does.
fn has_addresses(status: &NodeStatus) -> bool {
    status
        .addresses
        .as_ref()
        .is_some_and(|list| !list.is_empty())
}

/// Extended resources to be put right, but for those that the board itself has.
fn extended<'s>(seen: &'s SeenNode, status: &'s NodeStatus) -> impl Iterator<Item = &'s Extended> {
    let boards = status.capacity.as_ref();
    let is_boards = move |name: &str| boards.is_some_and(|boards| boards.contains_key(name));
    let extended = seen.extended.iter();
    extended.filter(move |(name, _)| !is_boards(name))
}

fn has_all(seen: &Pairs, amounts: Option<&BTreeMap<String, Quantity>>) -> bool {
    amounts
        .into_iter()
        .flatten()
        .all(|(name, amount)| seen.has(name, &amount.0))
}

/// Conditions that are ours and that the board judges no more.
fn vanished(
    claim: &Claim,
    facts: &Facts<'_>,
    (seen, is_kubelets): (&SeenNode, bool),
    wanted: &[Condition],
) -> Vec<String> {
    if claim.beat.is_none() {
        return Vec::new();
    }
    seen.conditions
        .iter()
        .filter(|condition| match &condition.kind {
            ConditionType::Known(kind) if KUBELETS.contains(kind) => false,
            ConditionType::Known(kind) => {
                (!is_kubelets || is_board(*kind)) && is_ours(condition, None)
            }
            ConditionType::Other(name) => {
                let is_unjudged = claim.custom().is_some() && is_ours(condition, Some(facts));
                is_unjudged
                    || claim
                        .dropped
                        .conditions
                        .iter()
                        .any(|dropped| dropped == name)
            }
        })
        .filter(|seen| !wanted.iter().any(|condition| condition.kind == seen.kind))
        .map(|condition| condition.kind.as_str().to_owned())
        .collect()
}

fn render(condition: &Condition, seen: &SeenNode, wall: Timestamp) -> Value {
    let was = seen.condition(&condition.kind);
    let is_same = was.is_some_and(|was| was.status == Some(condition.status));
    let kept = was.filter(|_| is_same).and_then(|was| was.transition);
    let heartbeat = if condition.keeps_heartbeat {
        was.and_then(|was| was.heartbeat).or(seen.creation)
    } else {
        None
    };
    json!({
        "type": condition.kind.as_str(),
        "status": condition.status.as_str(),
        "reason": condition.reason,
        "message": condition.message,
        "lastHeartbeatTime": Time(heartbeat.unwrap_or(wall)),
        "lastTransitionTime": Time(kept.unwrap_or(wall)),
    })
}

fn add_facts(
    body: &mut Value,
    status: &NodeStatus,
    phase: Phase,
    (seen, dropped): (&SeenNode, &[&str]),
) {
    let mut capacity = to_value(&status.capacity);
    let mut allocatable = to_value(&status.allocatable);
    for (amounts, seen) in [
        (&mut capacity, &seen.capacity),
        (&mut allocatable, &seen.allocatable),
    ] {
        for name in dropped.iter().filter(|name| seen.has_key(name)) {
            if let Some(amounts) = amounts.as_object_mut() {
                amounts.insert((*name).to_owned(), Value::Null);
            }
        }
    }
    if let Some(amounts) = allocatable.as_object_mut() {
        let amount = |amount: &Option<Box<str>>| amount.as_deref().map_or(Value::Null, Value::from);
        amounts.extend(extended(seen, status).map(|(name, of)| (name.to_string(), amount(of))));
    }
    let mut info = to_value(&status.node_info);
    if let Some(info) = info.as_object_mut() {
        info.entry("swap").or_insert(Value::Null);
    }
    let parts = [
        ("allocatable", allocatable),
        ("capacity", capacity),
        ("daemonEndpoints", to_value(&status.daemon_endpoints)),
        ("nodeInfo", info),
        ("phase", phase.as_str().into()),
    ];
    if let Some(body) = body.as_object_mut() {
        body.extend(parts.map(|(key, value)| (key.to_owned(), value)));
        if has_addresses(status) {
            let mut addresses: Vec<Value> =
                status.addresses.iter().flatten().map(to_value).collect();
            // Two addresses may have one type, which is the merge key.
            addresses.push(json!({ "$patch": "replace" }));
            body.insert("addresses".to_owned(), Value::Array(addresses));
        }
    }
}

fn to_value(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

fn wrap(seen: &SeenNode, status: Value) -> Value {
    let mut patch = json!({ "metadata": { "resourceVersion": seen.resource_version } });
    if let Some(patch) = patch.as_object_mut() {
        patch.insert("status".to_owned(), status);
    }
    patch
}

fn digest_conditions(wanted: &[Condition], gone: &[String]) -> u64 {
    let conditions: Vec<_> = wanted
        .iter()
        .map(|condition| {
            (
                &condition.kind,
                condition.status,
                &condition.reason,
                &condition.message,
            )
        })
        .collect();
    digest(&(conditions, gone))
}

/// Digest of the content of a patch that only sets conditions.
pub(super) fn key(wanted: &[Condition]) -> u64 {
    digest_conditions(wanted, &[])
}

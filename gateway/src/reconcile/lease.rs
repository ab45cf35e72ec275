//! Decides when a Lease is renewed, and writes it.
//!
//! Only a fresh beat renews, not more often than every 8 s; renewTime is the gateway's wall
//! clock and strictly increases, whatever that clock did meanwhile.

use core::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use nodling_protocol::Bye;

use super::kube::Kube;
use crate::clock::Moment;
use crate::roster::Claim;
use crate::seen::{SeenLease, SeenNode};

const NAMESPACE: &str = "kube-node-lease";
/// As kubelet's.
const DURATION_S: i32 = 40;
/// A beat every 10 s renews each time; faster ones do not write more.
pub(super) const INTERVAL: Duration = Duration::from_secs(8);
/// A write that was held up longer would vouch for a node that may be gone.
const FRESH: Duration = Duration::from_secs(20);

/// The Lease to be written now, if any.
pub(super) fn renewal(
    kube: &Kube,
    claim: &Claim,
    seen: &SeenNode,
    (now, wall): (Moment, Timestamp),
) -> Option<Lease> {
    let beaten = claim.beaten?;
    let is_due = kube
        .renewed
        .is_none_or(|renewed| beaten > renewed && now.since(renewed) >= INTERVAL);
    if !is_due || now.since(beaten) > FRESH || claim.bye == Some(Bye::Leave) {
        return None;
    }
    Some(lease(seen, kube.lease.as_ref(), wall))
}

fn lease(seen: &SeenNode, before: Option<&SeenLease>, wall: Timestamp) -> Lease {
    let node = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: seen.name.to_string(),
        uid: seen.uid.to_string(),
        ..OwnerReference::default()
    };
    let foreign = before.and_then(|lease| lease.foreign.as_deref().cloned());
    let foreign = foreign.unwrap_or_default();
    Lease {
        metadata: ObjectMeta {
            name: Some(seen.name.to_string()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: foreign.labels,
            annotations: foreign.annotations,
            finalizers: foreign.finalizers,
            owner_references: Some([node].into_iter().chain(foreign.owners).collect()),
            resource_version: before.map(|lease| lease.resource_version.to_string()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(seen.name.to_string()),
            lease_duration_seconds: Some(DURATION_S),
            renew_time: Some(MicroTime(renew_time(before, wall))),
            ..LeaseSpec::default()
        }),
    }
}

fn renew_time(before: Option<&SeenLease>, wall: Timestamp) -> Timestamp {
    // MicroTime holds no more; what comes back must equal what was sent.
    let wall = Timestamp::from_microsecond(wall.as_microsecond()).unwrap_or(wall);
    let next = before
        .and_then(|lease| lease.renewed)
        .and_then(|renewed| renewed.checked_add(SignedDuration::from_micros(1)).ok());
    next.map_or(wall, |next| next.max(wall))
}

//! Each action as an exact request, each answer as an outcome.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node};
use nodling_gateway::apply::{Applied, Applier, TIMEOUT};
use nodling_gateway::reconcile::{Action, Failure, Write, Written};
use serde_json::{Value, from_value, json};

use crate::scripted::{Asked, pair};
use crate::soon;

const STRATEGIC: Option<&str> = Some("application/strategic-merge-patch+json");
const JSON: Option<&str> = Some("application/json");

/// Everything that a boolean in the middle would hide.
async fn exchange(action: Action, code: u16, answer: Value) -> (Asked, Applied) {
    let (client, mut server) = pair();
    let mut applier = Applier::new(client);
    assert_eq!(applier.submit(action), None);
    let (asked, answering) = server.asked().await;
    answering.json(code, &answer);
    let applied = soon("outcome", applier.next()).await.unwrap();
    assert!(applier.is_empty());
    (asked, applied)
}

fn asked(method: &str, path: &str, content_type: Option<&str>, body: Value) -> Asked {
    Asked {
        method: method.to_owned(),
        path: path.to_owned(),
        query: vec!["fieldManager=nodling-gateway".to_owned()],
        content_type: content_type.map(str::to_owned),
        body,
    }
}

fn patch_status() -> Action {
    Action::PatchStatus {
        node: "attic".into(),
        patch: json!({"status": {"phase": "Running"}}),
    }
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "attic", "uid": "u1", "resourceVersion": "7"}})
}

fn lease() -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "attic", "namespace": "kube-node-lease", "resourceVersion": "8"},
        "spec": {"holderIdentity": "attic", "renewTime": "2026-11-22T04:00:00.000000Z"},
    })
}

#[tokio::test]
async fn a_status_goes_to_the_subresource_as_a_strategic_merge_patch() {
    let (request, applied) = exchange(patch_status(), 200, node()).await;
    let path = "/api/v1/nodes/attic/status";
    let body = json!({"status": {"phase": "Running"}});
    assert_eq!(request, asked("PATCH", path, STRATEGIC, body));
    let outcome = applied.outcome;
    assert_eq!(
        (&*outcome.node, outcome.write),
        ("attic", Write::PatchStatus)
    );
    let Ok(Written::Node(seen)) = outcome.result else {
        panic!("{:?}", outcome.result);
    };
    assert_eq!(
        (&*seen.name, &*seen.uid, &*seen.resource_version),
        ("attic", "u1", "7")
    );
}

#[tokio::test]
async fn a_node_is_created_and_patched_at_its_place() {
    let body: Node = from_value(node()).unwrap();
    let action = Action::CreateNode {
        node: "attic".into(),
        body: Box::new(body),
    };
    let (request, applied) = exchange(action, 201, node()).await;
    assert_eq!(request, asked("POST", "/api/v1/nodes", JSON, node()));
    assert!(matches!(applied.outcome.result, Ok(Written::Node(_))));

    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let action = Action::PatchNode {
        node: "attic".into(),
        patch: patch.clone(),
    };
    let (request, _) = exchange(action, 200, node()).await;
    assert_eq!(
        request,
        asked("PATCH", "/api/v1/nodes/attic", STRATEGIC, patch)
    );
}

#[tokio::test]
async fn a_lease_is_created_replaced_and_deleted_in_its_namespace() {
    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let body: Box<Lease> = from_value(lease()).unwrap();
    let node = || "attic".into();
    let create = Action::CreateLease {
        node: node(),
        body: body.clone(),
    };
    let (request, applied) = exchange(create, 201, lease()).await;
    assert_eq!(request, asked("POST", LEASES, JSON, lease()));
    let Ok(Written::Lease(seen)) = applied.outcome.result else {
        panic!("no lease came back");
    };
    assert!(seen.is_held_by_node && seen.renewed.is_some());

    let renew = Action::RenewLease { node: node(), body };
    let (request, _) = exchange(renew, 200, lease()).await;
    assert_eq!(
        request,
        asked("PUT", &format!("{LEASES}/attic"), JSON, lease())
    );

    let delete = Action::DeleteLease { node: node() };
    let (request, applied) = exchange(delete, 200, json!({"kind": "Status"})).await;
    assert_eq!(
        (request.method.as_str(), request.path),
        ("DELETE", format!("{LEASES}/attic"))
    );
    assert_eq!(applied.outcome.result, Ok(Written::Done));
}

#[tokio::test]
async fn events_are_in_the_default_namespace() {
    const EVENTS: &str = "/api/v1/namespaces/default/events";
    let body = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "attic.1"},
        "involvedObject": {"kind": "Node", "name": "attic"}, "reason": "NodeReady",
    });
    let event: Box<Event> = from_value(body.clone()).unwrap();
    let action = Action::CreateEvent {
        node: "attic".into(),
        body: event,
    };
    let (request, applied) = exchange(action, 201, body.clone()).await;
    assert_eq!(request, asked("POST", EVENTS, JSON, body));
    assert_eq!(applied.outcome.result, Ok(Written::Done));

    let patch = json!({"count": 2});
    let action = Action::PatchEvent {
        node: "attic".into(),
        event: "attic.1".into(),
        patch: patch.clone(),
    };
    let (request, _) = exchange(action, 200, json!({})).await;
    assert_eq!(
        request,
        asked("PATCH", &format!("{EVENTS}/attic.1"), STRATEGIC, patch)
    );
}

#[tokio::test]
async fn a_frame_for_a_board_is_handed_back() {
    let (client, _server) = pair();
    let mut applier = Applier::new(client);
    let frame: Box<[u8]> = Box::new([1, 2]);
    let down = Action::Down {
        node: "attic".into(),
        frame: frame.clone(),
    };
    assert_eq!(applier.submit(down), Some(("attic".into(), frame)));
    assert!(applier.is_empty());
}

async fn failure(code: u16, answer: Value) -> (Failure, String) {
    let (_, applied) = exchange(patch_status(), code, answer).await;
    (
        applied.outcome.result.unwrap_err(),
        applied.complaint.unwrap(),
    )
}

#[tokio::test]
async fn refusals_say_what_can_be_done_and_why() {
    let conflict = json!({"kind": "Status", "reason": "Conflict", "code": 409, "message": "the object has been modified"});
    let (failed, complaint) = failure(409, conflict).await;
    assert_eq!(failed, Failure::Conflict);
    assert_eq!(
        complaint,
        "the API server answered 409 Conflict: the object has been modified"
    );
    let (failed, _) = failure(404, json!({"kind": "Status", "reason": "NotFound"})).await;
    assert_eq!(failed, Failure::NotFound);
    let (failed, _) = failure(422, json!({"kind": "Status", "reason": "Invalid"})).await;
    assert_eq!(failed, Failure::Invalid);
    let (failed, complaint) =
        failure(500, json!({"kind": "Status", "message": "etcd is away"})).await;
    assert_eq!(failed, Failure::Unavailable);
    assert!(complaint.ends_with("etcd is away"), "{complaint}");
    // An answer that is no Node is no success.
    let (failed, _) = failure(200, json!({"metadata": 3})).await;
    assert_eq!(failed, Failure::Unavailable);
}

#[tokio::test]
async fn retry_after_is_read_from_the_header_of_an_answer_that_is_no_status() {
    let (client, mut server) = pair();
    let mut applier = Applier::new(client);
    applier.submit(patch_status());
    let (_, answering) = server.asked().await;
    answering.raw(429, &[("retry-after", "3")], b"Too many requests".to_vec());
    let applied = soon("outcome", applier.next()).await.unwrap();
    let retry_after = Some(Duration::from_secs(3));
    assert_eq!(
        applied.outcome.result,
        Err(Failure::TooManyRequests { retry_after })
    );
}

#[tokio::test]
async fn a_broken_connection_is_an_outcome() {
    let (client, mut server) = pair();
    let mut applier = Applier::new(client);
    applier.submit(patch_status());
    drop(server.asked().await);
    let applied = soon("outcome", applier.next()).await.unwrap();
    assert_eq!(applied.outcome.result, Err(Failure::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn radio_silence_ends_in_an_outcome() {
    let (client, mut server) = pair();
    let mut applier = Applier::new(client);
    applier.submit(patch_status());
    let held = server.asked().await;
    let started = tokio::time::Instant::now();
    let applied = applier.next().await.unwrap();
    assert_eq!(started.elapsed(), TIMEOUT);
    assert_eq!(applied.outcome.result, Err(Failure::Unavailable));
    assert_eq!(applied.complaint.as_deref(), Some("no answer in time"));
    drop(held);
}

#[tokio::test]
async fn many_writes_are_on_their_way_and_the_rest_wait_in_order() {
    let (client, mut server) = pair();
    let mut applier = Applier::new(client);
    for number in 0..100 {
        applier.submit(Action::PatchNode {
            node: format!("node-{number}").into(),
            patch: json!({}),
        });
    }
    assert_eq!(applier.len(), 100);
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(server.asked().await);
    }
    let none = tokio::time::timeout(Duration::from_millis(50), server.asked()).await;
    assert!(none.is_err(), "32 at a time");
    let (_, answering) = held.remove(0);
    answering.json(200, &node());
    soon("outcome", applier.next()).await.unwrap();
    assert_eq!(server.asked().await.0.path, "/api/v1/nodes/node-32");
    assert_eq!(applier.len(), 99);
}

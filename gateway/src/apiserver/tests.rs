//! Tests of the API as a client sees it.

use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event, Namespace, Node, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    ApiServer, Resource,
    object::text,
    patch,
    testing::{api, call, get, now, send, watch},
};

const NODES: &str = "/api/v1/nodes";
const EVENTS: &str = "/api/v1/namespaces/default/events";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const STRATEGIC: &str = "content-type: application/strategic-merge-patch+json";
const MERGE: &str = "content-type: application/merge-patch+json";
const TABLE: &str = "accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"providerID": format!("nodling://home/{name}")},
        "status": {
            "capacity": {"cpu": 4, "memory": "8Gi"},
            "addresses": [
                {"type": "InternalIP", "address": "10.0.0.5"},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "reason": "a", "message": "b"},
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"},
            ],
        },
    })
}

async fn create(api: &ApiServer, path: &str, body: &Value) -> Value {
    let (code, reply) = call(api, &format!("POST {path}"), body).await;
    assert_eq!(code, 201, "{reply}");
    reply
}

async fn patch_node(api: &ApiServer, path: &str, body: &Value) -> (u16, Value) {
    call(api, &format!("PATCH {NODES}/{path}\n{STRATEGIC}"), body).await
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap()
}

fn refusal(reply: &(u16, Value)) -> (u16, &str, &str) {
    assert_eq!(reply.1["kind"], "Status", "{}", reply.1);
    assert_eq!(reply.1["code"], reply.0);
    (
        reply.0,
        text(&reply.1, "/reason"),
        text(&reply.1, "/message"),
    )
}

#[tokio::test]
async fn a_kube_client_creates_reads_lists_and_deletes_a_node() {
    let client = api().client();
    let nodes: Api<Node> = Api::all(client.clone());
    let wanted: Node = serde_json::from_value(json!({
        "metadata": {"name": "pi-1"}, "status": {"phase": "Pending"},
    }))
    .unwrap();
    let created = nodes.create(&PostParams::default(), &wanted).await.unwrap();
    assert_eq!(created.status.unwrap().phase.as_deref(), Some("Pending"));
    assert!(created.metadata.uid.is_some());
    assert_eq!(created.metadata.creation_timestamp.unwrap().0, now());
    let patch = json!({"status": {"phase": "Running", "addresses": [
        {"type": "InternalIP", "address": "10.0.0.5"},
        {"type": "InternalIP", "address": "fd00::5"},
        {"$patch": "replace"},
    ]}});
    let params = PatchParams::default();
    let patched = nodes
        .patch_status("pi-1", &params, &Patch::Strategic(patch))
        .await
        .unwrap();
    assert_eq!(patched.status.unwrap().addresses.unwrap().len(), 2);
    assert_eq!(
        nodes
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    nodes
        .delete("pi-1", &DeleteParams::default())
        .await
        .unwrap();
    assert!(nodes.get_opt("pi-1").await.unwrap().is_none());
    let names: Api<Namespace> = Api::all(client.clone());
    let names = names.list(&ListParams::default()).await.unwrap();
    let names: Vec<String> = names.iter().map(ResourceExt::name_any).collect();
    assert_eq!(
        names,
        ["default", "kube-node-lease", "kube-public", "kube-system"]
    );
    assert!(
        Api::<Pod>::all(client.clone())
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        Api::<Event>::all(client)
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_kube_client_renews_a_lease_and_is_told_of_a_conflict() {
    let leases: Api<Lease> = Api::namespaced(api().client(), "kube-node-lease");
    let wanted: Lease = serde_json::from_value(json!({
        "metadata": {"name": "pi-1"},
        "spec": {"holderIdentity": "pi-1", "renewTime": "2026-03-01T12:00:00.5Z"},
    }))
    .unwrap();
    let first = leases
        .create(&PostParams::default(), &wanted)
        .await
        .unwrap();
    let second = leases
        .replace("pi-1", &PostParams::default(), &first)
        .await
        .unwrap();
    assert_eq!(
        first, second,
        "a write that changes nothing keeps the version"
    );
    let mut third = second.clone();
    third.spec.as_mut().unwrap().renew_time.as_mut().unwrap().0 +=
        jiff::SignedDuration::from_secs(10);
    leases
        .replace("pi-1", &PostParams::default(), &third)
        .await
        .unwrap();
    let err = leases
        .replace("pi-1", &PostParams::default(), &third)
        .await
        .unwrap_err();
    assert!(matches!(err, kube::Error::Api(status) if status.code == 409));
}

#[tokio::test]
async fn a_kube_client_watches_with_bookmarks_and_initial_events() {
    let api = api();
    create(&api, NODES, &node("pi-1")).await;
    let nodes: Api<Node> = Api::all(api.client());
    let params = WatchParams::default().initial_events().timeout(30);
    let mut events = nodes.watch(&params, "0").await.unwrap().boxed();
    let first = events.try_next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Added(node) if node.name_any() == "pi-1"));
    let second = events.try_next().await.unwrap().unwrap();
    let WatchEvent::Bookmark(bookmark) = second else {
        panic!("{second:?}")
    };
    assert_eq!(
        bookmark.metadata.annotations["k8s.io/initial-events-end"],
        "true"
    );
    create(&api, NODES, &node("pi-2")).await;
    let third = events.try_next().await.unwrap().unwrap();
    assert!(matches!(third, WatchEvent::Added(node) if node.name_any() == "pi-2"));
}

#[tokio::test]
async fn a_watch_tells_what_enters_and_leaves_its_selection() {
    let api = api();
    let created = create(&api, NODES, &node("pi-1")).await;
    let head = format!(
        "GET {NODES}?watch=1&labelSelector=a%3Db&resourceVersion={}",
        version(&created)
    );
    let mut events = watch(&api, &head).await;
    let label = |value: Value| json!({"metadata": {"labels": {"a": value}}});
    for value in [json!("x"), json!("b"), json!("b"), json!(null)] {
        assert_eq!(patch_node(&api, "pi-1", &label(value)).await.0, 200);
    }
    patch_node(&api, "pi-1", &label(json!("b"))).await;
    call(&api, &format!("DELETE {NODES}/pi-1"), &Value::Null).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = events.next().await.unwrap();
        seen.push((text(&event, "/type").to_owned(), version(&event["object"])));
    }
    let kinds: Vec<&str> = seen.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["ADDED", "DELETED", "ADDED", "DELETED"]);
    assert!(seen.is_sorted_by_key(|(_, version)| *version));
}

#[tokio::test]
async fn a_watch_from_a_version_replays_what_changed_since() {
    let api = api();
    let first = create(&api, NODES, &node("pi-1")).await;
    create(&api, NODES, &node("pi-2")).await;
    let head = format!("GET {NODES}?watch=true&resourceVersion={}", version(&first));
    let mut events = watch(&api, &head).await;
    assert_eq!(
        events.next().await.unwrap()["object"]["metadata"]["name"],
        "pi-2"
    );
    let mut from_nothing = watch(&api, &format!("GET {NODES}?watch=true")).await;
    assert_eq!(from_nothing.next().await.unwrap()["type"], "ADDED");
    assert_eq!(
        from_nothing.next().await.unwrap()["object"]["metadata"]["name"],
        "pi-2"
    );
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_is_gone() {
    let api = api();
    let created = create(&api, EVENTS, &event("pi-1")).await;
    let path = format!(
        "PATCH {EVENTS}/{}\n{MERGE}",
        text(&created, "/metadata/name")
    );
    let mut slow = watch(
        &api,
        &format!("GET {EVENTS}?watch=1&resourceVersion={}", version(&created)),
    )
    .await;
    for count in 2..4200 {
        assert_eq!(call(&api, &path, &json!({"count": count})).await.0, 200);
    }
    let (kind, code) = ("ERROR", 410);
    let gone = slow.next().await.unwrap();
    assert_eq!(
        (text(&gone, "/type"), &gone["object"]["code"]),
        (kind, &json!(code))
    );
    assert_eq!(slow.next().await, None);
    let head = format!("GET {EVENTS}?watch=1&resourceVersion=1");
    let gone = watch(&api, &head).await.next().await.unwrap();
    assert_eq!(
        (text(&gone, "/type"), &gone["object"]["code"]),
        (kind, &json!(code))
    );
    let path = format!("{EVENTS}?resourceVersion=1&resourceVersionMatch=Exact");
    assert_eq!(get(&api, &path).await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_sends_bookmarks_and_ends_in_time() {
    let api = api();
    let head = format!("GET {NODES}?watch=1&allowWatchBookmarks=true&timeoutSeconds=100");
    let mut events = watch(&api, &head).await;
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn streaming_lists_need_their_version_match() {
    let api = api();
    let reply = get(&api, &format!("{NODES}?watch=1&sendInitialEvents=true")).await;
    assert_eq!(refusal(&reply).0, 422);
}

async fn table(api: &ApiServer, path: &str) -> Value {
    let (code, table) = call(api, &format!("GET {path}\n{TABLE}"), &Value::Null).await;
    assert_eq!((code, text(&table, "/kind")), (200, "Table"));
    table
}

#[tokio::test]
async fn nodes_print_as_in_a_cluster() {
    let api = api();
    let mut body = node("pi-1");
    body["metadata"]["labels"]["node-role.kubernetes.io/edge"] = "".into();
    body["spec"]["unschedulable"] = true.into();
    body["status"]["nodeInfo"] = json!({
        "kernelVersion": "6.12.1", "architecture": "arm64", "osImage": "Debian GNU/Linux 13",
        "kubeletVersion": "v0.1.0+nodling", "bootID": "", "containerRuntimeVersion": "",
        "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux", "systemUUID": "",
    });
    create(&api, NODES, &body).await;
    create(&api, NODES, &json!({"metadata": {"name": "pi-2"}})).await;
    let table = table(&api, NODES).await;
    let columns = table["columnDefinitions"].as_array().unwrap();
    let columns: Vec<(&str, u64)> = columns
        .iter()
        .map(|c| (text(c, "/name"), c["priority"].as_u64().unwrap()))
        .collect();
    let (shown, wide) = columns.split_at(5);
    assert_eq!(
        shown,
        [
            ("Name", 0),
            ("Status", 0),
            ("Roles", 0),
            ("Age", 0),
            ("Version", 0)
        ]
    );
    assert_eq!(
        wide,
        [
            ("Internal-IP", 1),
            ("External-IP", 1),
            ("OS-Image", 1),
            ("Kernel-Version", 1),
            ("Container-Runtime", 1)
        ]
    );
    assert_eq!(
        table["rows"][0]["cells"],
        json!([
            "pi-1",
            "Ready,SchedulingDisabled",
            "edge",
            "0s",
            "v0.1.0+nodling",
            "10.0.0.5",
            "<none>",
            "Debian GNU/Linux 13",
            "6.12.1 (arm64)",
            "<unknown>"
        ])
    );
    assert_eq!(
        table["rows"][1]["cells"],
        json!([
            "pi-2",
            "Unknown",
            "<none>",
            "0s",
            "",
            "<none>",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>"
        ])
    );
}

#[tokio::test]
async fn rows_carry_as_much_of_the_object_as_asked_for() {
    let api = api();
    create(&api, NODES, &node("pi-1")).await;
    let default = table(&api, NODES).await;
    assert_eq!(
        default["rows"][0]["object"]["kind"],
        "PartialObjectMetadata"
    );
    let whole = table(&api, &format!("{NODES}?includeObject=Object")).await;
    assert_eq!(whole["rows"][0]["object"]["kind"], "Node");
    let none = table(&api, &format!("{NODES}/pi-1?includeObject=None")).await;
    assert_eq!(none["rows"][0].get("object"), None);
    for path in [LEASES, "/api/v1/namespaces", "/api/v1/pods"] {
        let found = table(&api, path).await;
        assert_eq!(found["columnDefinitions"][0]["name"], "Name", "{path}");
    }
}

#[tokio::test]
async fn only_the_first_table_of_a_watch_names_its_columns() {
    let api = api();
    create(&api, NODES, &node("pi-1")).await;
    create(&api, NODES, &node("pi-2")).await;
    let mut events = watch(&api, &format!("GET {NODES}?watch=1\n{TABLE}")).await;
    let first = events.next().await.unwrap();
    let second = events.next().await.unwrap();
    assert_eq!(
        first["object"]["columnDefinitions"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    assert_eq!(second["object"]["rows"][0]["cells"][0], "pi-2");
}

fn event(involved: &str) -> Value {
    json!({
        "metadata": {"generateName": "pi-1."},
        "involvedObject": {"kind": "Node", "name": involved, "uid": involved},
        "type": "Normal", "reason": "NodeReady", "message": "Node pi-1 status is now: NodeReady\n",
        "source": {"component": "nodling-gateway"}, "count": 3,
        "firstTimestamp": "2026-03-01T11:50:00Z", "lastTimestamp": "2026-03-01T11:59:30Z",
    })
}

#[tokio::test]
async fn events_print_as_in_a_cluster() {
    let api = api();
    let created = create(&api, EVENTS, &event("pi-1")).await;
    let name = text(&created, "/metadata/name");
    assert!(name.starts_with("pi-1.") && name.len() == 10, "{name}");
    let (_, table) = call(&api, &format!("GET /api/v1/events\n{TABLE}"), &Value::Null).await;
    assert_eq!(
        table["rows"][0]["cells"],
        json!([
            "30s",
            "Normal",
            "NodeReady",
            "node/pi-1",
            "",
            "nodling-gateway",
            "Node pi-1 status is now: NodeReady",
            "10m",
            3,
            name
        ])
    );
    let uid = "fieldSelector=involvedObject.kind%3DNode,involvedObject.uid%3Dpi-1";
    let count = |list: Value| list["items"].as_array().unwrap().len();
    assert_eq!(count(get(&api, &format!("{EVENTS}?{uid}")).await.1), 1);
    assert_eq!(count(get(&api, &format!("{EVENTS}?{uid}0")).await.1), 0);
    let unknown = get(&api, &format!("{EVENTS}?fieldSelector=color%3Dred")).await;
    assert_eq!(refusal(&unknown).0, 400);
}

#[tokio::test]
async fn events_grow_old_and_are_counted() {
    let api = api();
    for _ in 0..1100 {
        create(&api, EVENTS, &event("pi-1")).await;
    }
    let count = || api.store().metrics().objects["events"];
    assert!(count() < 1100, "a flood is bounded without a collection");
    assert_eq!(api.store().collect_garbage(now()).await.events, 76);
    assert_eq!(count(), 1000);
    let later = now() + jiff::SignedDuration::from_mins(61);
    api.store().collect_garbage(later).await;
    assert_eq!(count(), 0);
}

#[tokio::test]
async fn a_lease_goes_with_its_node() {
    let api = api();
    for name in ["pi-1", "pi-2"] {
        let created = create(&api, NODES, &node(name)).await;
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name,
                           "uid": created["metadata"]["uid"]});
        let metadata = json!({"name": name, "ownerReferences": [owner]});
        create(&api, LEASES, &json!({"metadata": metadata, "spec": {}})).await;
    }
    call(&api, &format!("DELETE {NODES}/pi-1"), &Value::Null).await;
    assert_eq!(get(&api, &format!("{LEASES}/pi-1")).await.0, 404);
    let mut metadata = json!({"name": "stray"});
    metadata["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone"}]);
    create(&api, LEASES, &json!({"metadata": metadata, "spec": {}})).await;
    create(
        &api,
        LEASES,
        &json!({"metadata": {"name": "free"}, "spec": {}}),
    )
    .await;
    assert_eq!(api.store().collect_garbage(now()).await.leases, 1);
    assert_eq!(api.store().metrics().objects["leases"], 2);
}

#[tokio::test]
async fn the_main_resource_keeps_status_and_the_subresource_keeps_spec() {
    let api = api();
    let created = create(&api, NODES, &node("pi-1")).await;
    let patch = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {"unschedulable": true},
        "status": {"phase": "Running"},
    });
    let (_, after) = patch_node(&api, "pi-1", &patch).await;
    assert_eq!(after["status"], created["status"]);
    assert_eq!(after["spec"]["unschedulable"], true);
    let patch = json!({
        "metadata": {"labels": {"a": "c"}},
        "spec": {"unschedulable": null},
        "status": {"phase": "Running"},
    });
    let (_, after) = patch_node(&api, "pi-1/status", &patch).await;
    assert_eq!(after["status"]["phase"], "Running");
    assert_eq!(after["spec"]["unschedulable"], true);
    assert_eq!(after["metadata"]["labels"]["a"], "c");
    let mut put = after.clone();
    put["status"] = Value::Null;
    put["metadata"]["resourceVersion"] = Value::Null;
    let (code, again) = call(&api, &format!("PUT {NODES}/pi-1"), &put).await;
    assert_eq!(
        (code, again),
        (200, after),
        "nothing that counts was changed"
    );
}

#[tokio::test]
async fn conflicts_and_preconditions_are_told_apart() {
    let api = api();
    let created = create(&api, NODES, &node("pi-1")).await;
    let again = call(&api, &format!("POST {NODES}"), &node("pi-1")).await;
    assert_eq!(
        refusal(&again),
        (409, "AlreadyExists", "nodes \"pi-1\" already exists")
    );
    patch_node(&api, "pi-1", &json!({"spec": {"unschedulable": true}})).await;
    let stale = call(&api, &format!("PUT {NODES}/pi-1"), &created).await;
    assert_eq!(
        refusal(&stale),
        (
            409,
            "Conflict",
            "Operation cannot be fulfilled on nodes \"pi-1\": the object has been \
          modified; please apply your changes to the latest version and try again"
        )
    );
    let stale = json!({"metadata": {"resourceVersion": version(&created).to_string()}});
    assert_eq!(patch_node(&api, "pi-1", &stale).await.0, 409);
    let options = json!({"preconditions": {"uid": "other"}});
    assert_eq!(
        call(&api, &format!("DELETE {NODES}/pi-1"), &options)
            .await
            .0,
        409
    );
    let missing = call(&api, &format!("PUT {NODES}/pi-2"), &node("pi-2")).await;
    assert_eq!(
        refusal(&missing),
        (404, "NotFound", "nodes \"pi-2\" not found")
    );
    let missing = get(&api, &format!("{LEASES}/x")).await;
    let message = "leases.coordination.k8s.io \"x\" not found";
    assert_eq!(refusal(&missing), (404, "NotFound", message));
}

#[tokio::test]
async fn what_is_invalid_is_named_field_by_field() {
    let api = api();
    create(&api, NODES, &node("pi-1")).await;
    let patch = json!({"spec": {"providerID": "nodling://home/other"}});
    let reply = patch_node(&api, "pi-1", &patch).await;
    assert_eq!(
        refusal(&reply),
        (
            422,
            "Invalid",
            "Node \"pi-1\" is invalid: spec.providerID: Forbidden: node updates may \
          not change providerID except from \"\" to valid"
        )
    );
    let address = json!({"type": "InternalIP", "address": "10.0.0.5"});
    let mut bad = node("Bad_Name");
    bad["metadata"]["labels"] = json!({"a b": "x", "ok": "not ok"});
    bad["spec"]["taints"] = json!([{"key": "a", "effect": "Never"}]);
    bad["status"]["addresses"] = json!([address, address]);
    let reply = call(&api, &format!("POST {NODES}"), &bad).await;
    assert_eq!(refusal(&reply).0, 422);
    let causes = reply.1["details"]["causes"].as_array().unwrap();
    let fields: Vec<(&str, &str)> = causes
        .iter()
        .map(|cause| (text(cause, "/field"), text(cause, "/reason")))
        .collect();
    assert_eq!(
        fields,
        [
            ("metadata.name", "FieldValueInvalid"),
            ("metadata.labels", "FieldValueInvalid"),
            ("metadata.labels", "FieldValueInvalid"),
            ("spec.taints[0].effect", "FieldValueNotSupported"),
            ("status.addresses[1]", "FieldValueDuplicate"),
        ]
    );
    let reply = call(&api, &format!("POST {NODES}"), &json!({"metadata": {}})).await;
    assert!(
        refusal(&reply)
            .2
            .contains("Required value: name or generateName is required")
    );
}

#[tokio::test]
async fn unknown_fields_are_refused_when_strict_and_dropped_otherwise() {
    let api = api();
    let mut body = node("pi-1");
    body["spec"]["color"] = "red".into();
    let strict = call(&api, &format!("POST {NODES}?fieldValidation=Strict"), &body).await;
    assert!(
        refusal(&strict).2.contains("unknown field \"spec.color\""),
        "{}",
        strict.1
    );
    let head = format!("POST {NODES}?fieldValidation=Warn");
    let response = send(&api, &head, body.to_string().as_bytes()).await;
    let warning = response.headers()["warning"].to_str().unwrap();
    assert_eq!(warning, "299 - \"unknown field \\\"spec.color\\\"\"");
    assert_eq!(
        get(&api, &format!("{NODES}/pi-1")).await.1["spec"].get("color"),
        None
    );
}

#[tokio::test]
async fn a_dry_run_shows_the_result_and_changes_nothing() {
    let api = api();
    let before = api.store().metrics();
    let (code, shown) = call(&api, &format!("POST {NODES}?dryRun=All"), &node("pi-1")).await;
    assert_eq!((code, text(&shown, "/metadata/name")), (201, "pi-1"));
    assert_eq!(get(&api, &format!("{NODES}/pi-1")).await.0, 404);
    assert_eq!(api.store().metrics(), before);
    create(&api, NODES, &node("pi-1")).await;
    let patch = json!({"spec": {"unschedulable": true}});
    let (_, shown) = patch_node(&api, "pi-1?dryRun=All", &patch).await;
    assert_eq!(shown["spec"]["unschedulable"], true);
    assert_eq!(
        get(&api, &format!("{NODES}/pi-1")).await.1["spec"].get("unschedulable"),
        None
    );
    let wrong = call(&api, &format!("POST {NODES}?dryRun=Some"), &node("pi-2")).await;
    assert_eq!(wrong.0, 422);
}

#[tokio::test]
async fn pages_follow_each_other_and_keep_the_first_ones_version() {
    let api = api();
    for index in 0..7 {
        create(&api, NODES, &node(&format!("pi-{index}"))).await;
    }
    let (mut names, mut token, mut versions) = (Vec::new(), String::new(), Vec::new());
    loop {
        let (code, page) = get(&api, &format!("{NODES}?limit=3&continue={token}")).await;
        assert_eq!(code, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        names.extend(
            items
                .iter()
                .map(|item| text(item, "/metadata/name").to_owned()),
        );
        versions.push(version(&page));
        token = text(&page, "/metadata/continue").to_owned();
        if token.is_empty() {
            break;
        }
        assert_eq!(page["metadata"]["remainingItemCount"], 7 - names.len());
        create(&api, EVENTS, &event("pi-1")).await;
    }
    assert_eq!(names.len(), 7);
    assert!(
        versions.iter().all(|found| *found == versions[0]),
        "{versions:?}"
    );
    assert_eq!(get(&api, &format!("{NODES}?continue=junk")).await.0, 400);
}

#[tokio::test]
async fn label_selectors_select() {
    let api = api();
    for (name, tier) in [("a", "1"), ("b", "2"), ("c", "30")] {
        create(
            &api,
            NODES,
            &json!({"metadata": {"name": name, "labels": {"tier": tier}}}),
        )
        .await;
    }
    create(&api, NODES, &json!({"metadata": {"name": "d"}})).await;
    let cases = [
        ("tier", "abc"),
        ("!tier", "d"),
        ("tier=2", "b"),
        ("tier==2", "b"),
        ("tier!=2", "acd"),
        ("tier in (1, 30)", "ac"),
        ("tier notin (1,30)", "bd"),
        ("tier>1,tier<30", "b"),
        ("tier,tier!=1", "bc"),
    ];
    for (selector, expected) in cases {
        let escaped = selector
            .replace(' ', "%20")
            .replace('=', "%3D")
            .replace('>', "%3E");
        let escaped = escaped.replace('<', "%3C");
        let (_, list) = get(&api, &format!("{NODES}?labelSelector={escaped}")).await;
        let items = list["items"].as_array().unwrap();
        let names: String = items
            .iter()
            .map(|item| text(item, "/metadata/name"))
            .collect();
        assert_eq!(names, expected, "{selector}");
    }
    assert_eq!(
        get(&api, &format!("{NODES}?labelSelector=a%20b")).await.0,
        400
    );
}

#[tokio::test]
async fn finalizers_hold_a_deletion_back() {
    let api = api();
    let mut body = node("pi-1");
    body["metadata"]["finalizers"] = json!(["example.com/keep"]);
    create(&api, NODES, &body).await;
    let (_, held) = call(&api, &format!("DELETE {NODES}/pi-1"), &Value::Null).await;
    assert_eq!(
        text(&held, "/metadata/deletionTimestamp"),
        "2026-03-01T12:00:00Z"
    );
    assert_eq!(get(&api, &format!("{NODES}/pi-1")).await.0, 200);
    let release =
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/keep"]}});
    assert_eq!(patch_node(&api, "pi-1", &release).await.0, 200);
    assert_eq!(get(&api, &format!("{NODES}/pi-1")).await.0, 404);
}

#[tokio::test]
async fn deletecollection_deletes_what_is_selected() {
    let api = api();
    for name in ["pi-1", "pi-2"] {
        create(&api, NODES, &node(name)).await;
    }
    let head = format!("DELETE {NODES}?labelSelector=kubernetes.io/hostname%3Dpi-1");
    let (_, list) = call(&api, &head, &Value::Null).await;
    assert_eq!(
        (
            text(&list, "/kind"),
            list["items"].as_array().unwrap().len()
        ),
        ("NodeList", 1)
    );
    assert_eq!(get(&api, &format!("{NODES}/pi-1")).await.0, 404);
    assert_eq!(get(&api, &format!("{NODES}/pi-2")).await.0, 200);
}

#[tokio::test]
async fn what_is_not_served_is_refused_by_its_proper_name() {
    let api = api();
    create(&api, NODES, &node("pi-1")).await;
    let json_patch = "PATCH /api/v1/nodes/pi-1\ncontent-type: application/json-patch+json";
    let apply = "PATCH /api/v1/nodes/pi-1\ncontent-type: application/apply-patch+yaml";
    let protobuf = "GET /api/v1/nodes\naccept: application/vnd.kubernetes.protobuf";
    let pods = "POST /api/v1/namespaces/default/pods";
    let cases = [
        (json_patch, json!([]), 415, "UnsupportedMediaType"),
        (apply, json!({}), 415, "UnsupportedMediaType"),
        (protobuf, Value::Null, 406, "NotAcceptable"),
        (pods, json!({"metadata": {"name": "x"}}), 403, "Forbidden"),
        ("POST /api/v1/events", json!({}), 405, "MethodNotAllowed"),
        ("PUT /api/v1/nodes", json!({}), 405, "MethodNotAllowed"),
        ("GET /api/v1/secrets", Value::Null, 404, "NotFound"),
        ("GET /apis/apps/v1/daemonsets", Value::Null, 404, "NotFound"),
        ("GET /nothing", Value::Null, 404, "NotFound"),
        (
            "DELETE /api/v1/namespaces/default",
            Value::Null,
            403,
            "Forbidden",
        ),
        (
            "POST /api/v1/namespaces/none/events",
            event("x"),
            404,
            "NotFound",
        ),
        (
            "POST /api/v1/nodes",
            json!({"kind": "Pod"}),
            400,
            "BadRequest",
        ),
        (
            "POST /api/v1/nodes",
            json!({"spec": {"unschedulable": "yes"}}),
            400,
            "BadRequest",
        ),
        ("POST /api/v1/nodes", json!([1]), 400, "BadRequest"),
        (
            "GET /api/v1/nodes?resourceVersion=x",
            Value::Null,
            422,
            "Invalid",
        ),
        (
            "GET /api/v1/nodes?resourceVersion=99999999",
            Value::Null,
            504,
            "Timeout",
        ),
    ];
    for (head, body, code, reason) in cases {
        let reply = call(&api, head, &body).await;
        let (found_code, found_reason, _) = refusal(&reply);
        assert_eq!(
            (found_code, found_reason),
            (code, reason),
            "{head}: {}",
            reply.1
        );
    }
    let large = vec![b' '; (3 << 20) + 1];
    assert_eq!(send(&api, "POST /api/v1/nodes", &large).await.status(), 413);
}

#[tokio::test]
async fn protobuf_first_is_answered_with_json() {
    let api = api();
    let head = "GET /api/v1/nodes\naccept: application/vnd.kubernetes.protobuf,application/json";
    let response = send(&api, head, b"").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .starts_with(b"{\"kind\":\"NodeList\"")
    );
}

#[tokio::test]
async fn discovery_speaks_both_forms() {
    let api = api();
    for version in ["v2", "v2beta1"] {
        let accept =
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let head = format!("GET /apis\naccept: {accept},application/json");
        let response = send(&api, &head, b"").await;
        assert_eq!(response.headers()["content-type"].to_str().unwrap(), accept);
        let (_, body) = call(&api, &head, &Value::Null).await;
        let resources = &body["items"][1]["versions"][0]["resources"];
        assert_eq!(resources[0]["resource"], "leases");
    }
    let (_, list) = get(&api, "/api/v1").await;
    let names: Vec<&str> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| text(item, "/name"))
        .collect();
    assert_eq!(
        names,
        ["nodes", "nodes/status", "namespaces", "events", "pods"]
    );
    assert_eq!(get(&api, "/api").await.1["kind"], "APIVersions");
    assert_eq!(
        get(&api, "/apis").await.1["groups"][1]["name"],
        "coordination.k8s.io"
    );
    assert!(text(&get(&api, "/version").await.1, "/gitVersion").contains("+nodling"));
}

#[test]
fn strategic_patches_follow_their_directives() {
    let start = json!({"status": {"conditions": [
        {"type": "A", "status": "1"}, {"type": "B", "status": "1"},
    ]}, "spec": {"taints": [{"key": "a"}], "podCIDRs": ["10.0.0.0/24"]}});
    let cases = [
        (
            json!({"status": {"conditions": [{"type": "B", "status": "2"}, {"type": "C"}]}}),
            "/status/conditions",
            json!([{"type": "A", "status": "1"}, {"type": "B", "status": "2"}, {"type": "C"}]),
        ),
        (
            json!({"status": {"conditions": [{"$patch": "delete", "type": "A"}]}}),
            "/status/conditions",
            json!([{"type": "B", "status": "1"}]),
        ),
        (
            json!({"status": {"conditions": [{"type": "C"}, {"$patch": "replace"}]}}),
            "/status/conditions",
            json!([{"type": "C"}]),
        ),
        (
            json!({"status": {"$setElementOrder/conditions": [{"type": "B"}, {"type": "A"}]}}),
            "/status/conditions",
            json!([{"type": "B", "status": "1"}, {"type": "A", "status": "1"}]),
        ),
        (
            json!({"spec": {"taints": [{"key": "b"}]}}),
            "/spec/taints",
            json!([{"key": "b"}]),
        ),
        (
            json!({"spec": {"podCIDRs": ["fd00::/64"]}}),
            "/spec/podCIDRs",
            json!(["10.0.0.0/24", "fd00::/64"]),
        ),
        (
            json!({"spec": {"$patch": "replace", "x": 1}}),
            "/spec",
            json!({"x": 1}),
        ),
        (
            json!({"spec": {"$retainKeys": ["podCIDRs"]}}),
            "/spec",
            json!({"podCIDRs": ["10.0.0.0/24"]}),
        ),
    ];
    for (patch, pointer, expected) in cases {
        let mut target = start.clone();
        patch::strategic(Resource::Nodes, &mut target, patch.clone()).unwrap();
        assert_eq!(target.pointer(pointer), Some(&expected), "{patch}");
    }
    let missing_key = json!({"status": {"conditions": [{"status": "1"}]}});
    assert!(patch::strategic(Resource::Nodes, &mut start.clone(), missing_key).is_err());
    assert!(patch::strategic(Resource::Nodes, &mut start.clone(), json!({"$patch": 1})).is_err());
}

/// Patches that a controller might send: any tree, lists of conditions and addresses among it.
fn any_patch() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        "[a-c]".prop_map(Value::from)
    ];
    let element = (
        "[A-D]",
        scalar.clone(),
        prop_oneof![Just(None), Just(Some("delete")), Just(Some("replace"))],
    )
        .prop_map(|(kind, status, directive)| {
            let mut element = json!({"type": kind, "status": status});
            if let Some(directive) = directive {
                element["$patch"] = directive.into();
            }
            element
        });
    let elements = proptest::collection::vec(element, 0..5);
    let labels = proptest::collection::btree_map("[a-c]", scalar.clone(), 0..4);
    (
        elements,
        labels,
        proptest::collection::vec("[a-c]", 0..3),
        scalar,
    )
        .prop_map(|(conditions, labels, cidrs, phase)| {
            json!({
                "metadata": {"labels": labels},
                "spec": {"podCIDRs": cidrs},
                "status": {"conditions": conditions, "phase": phase},
            })
        })
}

proptest! {
    #[test]
    fn a_strategic_patch_applied_twice_changes_nothing_more(
        patches in proptest::collection::vec(any_patch(), 1..4),
    ) {
        let mut target = json!({});
        for patch in patches {
            patch::strategic(Resource::Nodes, &mut target, patch.clone()).unwrap();
            let once = target.clone();
            patch::strategic(Resource::Nodes, &mut target, patch).unwrap();
            let sorted = |value: &Value| {
                let mut value = value.clone();
                let conditions = value.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
                if let Some(conditions) = conditions {
                    conditions.sort_by_key(|condition| text(condition, "/type").to_owned());
                }
                value
            };
            prop_assert_eq!(sorted(&once), sorted(&target));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_request_panics(requests in proptest::collection::vec(any_request(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = api();
            for (head, body) in requests {
                let code = send(&api, &head, &body).await.status().as_u16();
                assert!(code < 500 || code == 504, "{head}: {code}");
            }
        });
    }
}

fn any_request() -> impl Strategy<Value = (String, Vec<u8>)> {
    let method = "(GET|POST|PUT|PATCH|DELETE)";
    let path = prop_oneof![
        Just("/api/v1/nodes".to_owned()),
        Just("/api/v1/nodes/pi-1/status".to_owned()),
        Just("/api/v1/namespaces/default/events/x".to_owned()),
        "(/[a-z%0-9.]{0,8}){1,7}",
    ];
    (method, path, "[a-zA-Z=&%,!()0-9.]{0,40}", any_body()).prop_map(
        |(method, path, query, body)| (format!("{method} {path}?{query}\n{STRATEGIC}"), body),
    )
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        any_patch().prop_map(|patch| patch.to_string().into_bytes()),
        "[{}\\[\\]\",:a-z0-9$]{0,40}".prop_map(String::into_bytes),
    ]
}

//! Tests of the store: what survives a power cut, a full disk, another process, a damaged file;
//! and that versions only grow.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests damage and compare files"
)]

use std::{collections::BTreeMap, fs, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{PostParams, WatchParams},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    ApiServer, Credentials, Store, StoreError, StoreOptions, kubeconfig,
    object::text,
    serve,
    testing::{FakeDisk, api_on, call, get, now, watch},
};

const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const MERGE: &str = "content-type: application/merge-patch+json";
const STRATEGIC: &str = "content-type: application/strategic-merge-patch+json";

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"conditions": [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-03-01T12:00:00Z"},
        {"type": "DiskPressure", "status": "False", "lastHeartbeatTime": "2026-03-01T12:00:00Z"},
    ]}})
}

fn lease(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "holderIdentity": name, "leaseDurationSeconds": 40,
        "renewTime": "2026-03-01T12:00:00.000000Z",
    }})
}

async fn create(api: &ApiServer, path: &str, body: &Value) -> Value {
    let (code, reply) = call(api, &format!("POST {path}"), body).await;
    assert_eq!(code, 201, "{reply}");
    reply
}

async fn beat(api: &ApiServer, name: &str, time: &str) {
    let patch = json!({"status": {"conditions": [{"type": "Ready", "lastHeartbeatTime": time}]}});
    let head = format!("PATCH {NODES}/{name}/status\n{STRATEGIC}");
    let (code, reply) = call(api, &head, &patch).await;
    assert_eq!(code, 200, "{reply}");
}

async fn renew(api: &ApiServer, name: &str, time: &str) {
    let head = format!("PATCH {LEASES}/{name}\ncontent-type: application/merge-patch+json");
    let (code, reply) = call(api, &head, &json!({"spec": {"renewTime": time}})).await;
    assert_eq!(code, 200, "{reply}");
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap()
}

#[tokio::test]
async fn an_edit_that_was_acknowledged_survives_a_power_cut() {
    let disk = FakeDisk::default();
    let api = api_on(&disk);
    create(&api, NODES, &node("pi-1")).await;
    let head = format!("PATCH {NODES}/pi-1\n{STRATEGIC}");
    let (_, cordoned) = call(&api, &head, &json!({"spec": {"unschedulable": true}})).await;
    let api = api_on(&disk.after_power_cut());
    assert_eq!(get(&api, "/api/v1/nodes/pi-1").await, (200, cordoned));
}

#[tokio::test]
async fn beats_reach_the_disk_with_a_flush_and_cost_nothing_before() {
    let disk = FakeDisk::default();
    let api = api_on(&disk);
    create(&api, NODES, &node("pi-1")).await;
    create(&api, LEASES, &lease("pi-1")).await;
    api.store().flush().unwrap();
    let syncs = disk.syncs();
    for second in 10..40 {
        renew(&api, "pi-1", &format!("2026-03-01T12:00:{second}.000000Z")).await;
        beat(&api, "pi-1", &format!("2026-03-01T12:00:{second}Z")).await;
    }
    assert_eq!(disk.syncs(), syncs, "a beat was written");
    let stats = api.store().flush().unwrap();
    assert_eq!((stats.objects, stats.beats), (0, 2));
    let before = (
        get(&api, "/api/v1/nodes/pi-1").await,
        get(&api, &format!("{LEASES}/pi-1")).await,
    );
    let api = api_on(&disk.after_power_cut());
    let after = (
        get(&api, "/api/v1/nodes/pi-1").await,
        get(&api, &format!("{LEASES}/pi-1")).await,
    );
    assert_eq!(before, after);
    assert_eq!(
        text(&after.1.1, "/spec/renewTime"),
        "2026-03-01T12:00:39.000000Z"
    );
}

#[tokio::test]
async fn a_flush_of_nothing_writes_nothing() {
    let disk = FakeDisk::default();
    let api = api_on(&disk);
    api.store().flush().unwrap();
    let syncs = disk.syncs();
    assert_eq!(api.store().flush().unwrap(), super::FlushStats::default());
    assert_eq!(disk.syncs(), syncs);
}

#[tokio::test]
async fn a_full_disk_refuses_edits_and_heals_by_itself() {
    let disk = FakeDisk::default();
    let api = api_on(&disk);
    create(&api, NODES, &node("pi-1")).await;
    create(&api, LEASES, &lease("pi-1")).await;
    disk.set_full(true);
    let head = format!("PATCH {NODES}/pi-1\n{STRATEGIC}");
    let edit = json!({"spec": {"unschedulable": true}});
    let (code, status) = call(&api, &head, &edit).await;
    assert_eq!((code, text(&status, "/reason")), (500, "InternalError"));
    assert!(
        text(&status, "/message").contains("no space left"),
        "{status}"
    );
    assert_eq!(
        get(&api, "/api/v1/nodes/pi-1")
            .await
            .1
            .pointer("/spec/unschedulable"),
        None
    );
    assert!(api.store().last_error().is_some());
    assert_eq!(get(&api, "/readyz").await.0, 503);
    renew(&api, "pi-1", "2026-03-01T12:00:20.000000Z").await;
    assert!(api.store().flush().is_err());
    disk.set_full(false);
    let (code, _) = call(&api, &head, &edit).await;
    assert_eq!((code, api.store().last_error()), (200, None));
    assert_eq!(get(&api, "/readyz").await.0, 200);
    api.store().flush().unwrap();
    let before = get(&api, &format!("{LEASES}/pi-1")).await;
    let api = api_on(&disk.after_power_cut());
    let (_, node) = get(&api, "/api/v1/nodes/pi-1").await;
    assert_eq!(node.pointer("/spec/unschedulable"), Some(&json!(true)));
    assert_eq!(get(&api, &format!("{LEASES}/pi-1")).await, before);
}

#[tokio::test]
async fn a_full_disk_at_start_still_serves_what_is_there() {
    let disk = FakeDisk::default();
    let api = api_on(&disk);
    create(&api, NODES, &node("pi-1")).await;
    api.store().flush().unwrap();
    let disk = disk.after_power_cut();
    // Opening repairs the file, which needs room; the first write then finds none.
    let store = disk.open().unwrap();
    drop(store);
    disk.set_full(true);
    match disk.open() {
        Ok(store) => {
            let api = ApiServer::new(Arc::new(store), now);
            assert_eq!(get(&api, "/api/v1/nodes/pi-1").await.0, 200);
            let (code, _) = call(&api, &format!("POST {NODES}"), &node("pi-2")).await;
            assert_eq!(code, 500);
        }
        Err(err) => assert!(matches!(err, StoreError::Io { .. }), "{err}"),
    }
}

#[tokio::test]
async fn a_durable_write_is_visible_only_after_its_commit() {
    let disk = FakeDisk::default();
    let api = api_on(&disk);
    disk.hold(true);
    let other = api.clone();
    let writing = tokio::spawn(async move { create(&other, NODES, &node("pi-1")).await });
    while !api
        .store()
        .memory()
        .busy
        .contains(&(super::Resource::Nodes, "pi-1".into()))
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&api, "/api/v1/nodes/pi-1").await.0, 404);
    // Leases are not held up by a Node on its way to the disk.
    create(&api, LEASES, &lease("pi-1")).await;
    let (_, list) = get(&api, NODES).await;
    disk.hold(false);
    let created = writing.await.unwrap();
    assert!(
        version(&list) < version(&created),
        "a watch from this list would miss the node"
    );
    let mut events = watch(
        &api,
        &format!("GET {NODES}?watch=true&resourceVersion={}", version(&list)),
    )
    .await;
    assert_eq!(
        events.next().await.unwrap()["object"]["metadata"]["name"],
        "pi-1"
    );
}

#[tokio::test]
async fn durable_writes_that_arrive_together_share_commits() {
    let disk = FakeDisk::default();
    let api = api_on(&disk);
    let before = api.store().metrics().commits;
    disk.hold(true);
    let mut writes = tokio::task::JoinSet::new();
    for index in 0..100 {
        let api = api.clone();
        writes.spawn(async move { create(&api, NODES, &node(&format!("pi-{index}"))).await });
    }
    while api.store().memory().busy.len() < 100 {
        tokio::task::yield_now().await;
    }
    disk.hold(false);
    assert_eq!(writes.join_all().await.len(), 100);
    let commits = api.store().metrics().commits - before;
    assert!(commits <= 3, "{commits} commits for 100 writes");
    assert_eq!(
        api_on(&disk.after_power_cut()).store().metrics().objects["nodes"],
        100
    );
}

#[tokio::test]
async fn a_second_process_is_refused_with_the_name_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    let err = Store::open(directory.path(), StoreOptions::default())
        .err()
        .unwrap();
    assert!(matches!(err, StoreError::InUse { .. }), "{err}");
    assert!(err.to_string().contains("state.redb"), "{err}");
}

#[tokio::test]
async fn a_closed_store_can_be_opened_again_with_everything_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        ApiServer::new(Arc::new(store), now)
    };
    let api = open();
    let node = create(&api, NODES, &node("pi-1")).await;
    drop(api);
    let api = open();
    assert_eq!(get(&api, "/api/v1/nodes/pi-1").await, (200, node.clone()));
    assert!(api.store().metrics().resource_version > version(&node));
}

#[test]
fn a_damaged_file_is_named_and_left_as_it_is() {
    for damage in ["not a store at all", ""] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state.redb");
        drop(Store::open(directory.path(), StoreOptions::default()).unwrap());
        let mut content = fs::read(&file).unwrap();
        if damage.is_empty() {
            content.iter_mut().skip(64).for_each(|byte| *byte = !*byte);
        } else {
            content = damage.repeat(1000).into_bytes();
        }
        fs::write(&file, &content).unwrap();
        let err = Store::open(directory.path(), StoreOptions::default())
            .err()
            .unwrap();
        assert!(matches!(err, StoreError::Corrupt { .. }), "{err}");
        assert!(err.to_string().contains("state.redb"), "{err}");
        assert_eq!(fs::read(&file).unwrap(), content, "the file was changed");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Beat(u8, u8),
    CreateNode(u8),
    DeleteNode(u8),
    Flush,
    Label(u8, u8),
    PowerCut,
    Renew(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8, 10..60_u8).prop_map(|(node, second)| Step::Beat(node, second)),
        3 => (0..4_u8).prop_map(Step::CreateNode),
        1 => (0..4_u8).prop_map(Step::DeleteNode),
        1 => Just(Step::Flush),
        3 => (0..4_u8, any::<u8>()).prop_map(|(node, value)| Step::Label(node, value)),
        1 => Just(Step::PowerCut),
        3 => (0..4_u8, 10..60_u8).prop_map(|(node, second)| Step::Renew(node, second)),
    ]
}

/// Everything but what a power cut may take: versions and beats.
fn without_beats(mut node: Value) -> Value {
    node["metadata"]["resourceVersion"] = Value::Null;
    for condition in node["status"]["conditions"].as_array_mut().unwrap() {
        condition["lastHeartbeatTime"] = Value::Null;
    }
    node
}

/// The real store, and what must be in it.
struct Model {
    disk: FakeDisk,
    api: ApiServer,
    nodes: BTreeMap<String, Value>,
    /// What the last flush held of each node: a power cut gives that, or something newer.
    flushed: BTreeMap<String, Value>,
    newest: u64,
}

impl Model {
    fn new() -> Self {
        let disk = FakeDisk::default();
        let api = api_on(&disk);
        Self {
            disk,
            api,
            nodes: BTreeMap::new(),
            flushed: BTreeMap::new(),
            newest: 0,
        }
    }

    async fn play(&mut self, step: &Step) {
        let name = |index: u8| format!("pi-{index}");
        match *step {
            Step::CreateNode(index) if !self.nodes.contains_key(&name(index)) => {
                create(&self.api, NODES, &node(&name(index))).await;
                call(&self.api, &format!("POST {LEASES}"), &lease(&name(index))).await;
            }
            Step::DeleteNode(index) => {
                let head = format!("DELETE {NODES}/{}", name(index));
                call(&self.api, &head, &Value::Null).await;
            }
            Step::Label(index, value) => {
                let head = format!("PATCH {NODES}/{}\n{STRATEGIC}", name(index));
                let patch = json!({"metadata": {"labels": {"value": value.to_string()}}});
                call(&self.api, &head, &patch).await;
            }
            Step::Beat(index, second) if self.nodes.contains_key(&name(index)) => {
                beat(
                    &self.api,
                    &name(index),
                    &format!("2026-03-01T12:00:{second}Z"),
                )
                .await;
            }
            Step::Renew(index, second) => {
                let time = format!("2026-03-01T12:00:{second}.000000Z");
                let head = format!("PATCH {LEASES}/{}\n{MERGE}", name(index));
                call(&self.api, &head, &json!({"spec": {"renewTime": time}})).await;
            }
            Step::Flush => {
                self.api.store().flush().unwrap();
                self.flushed = self.nodes.clone();
            }
            Step::PowerCut => self.cut_power().await,
            Step::CreateNode(_) | Step::Beat(..) => {}
        }
        self.compare(step).await;
    }

    async fn cut_power(&mut self) {
        self.disk = self.disk.after_power_cut();
        self.api = api_on(&self.disk);
        let (_, list) = get(&self.api, NODES).await;
        assert!(version(&list) > self.newest, "versions went back");
        for item in list["items"].as_array().unwrap() {
            assert!(version(item) <= self.newest);
            let flushed = self.flushed.get(text(item, "/metadata/name"));
            let is_same = |flushed: &&Value| flushed["metadata"]["uid"] == item["metadata"]["uid"];
            if let Some(flushed) = flushed.filter(is_same) {
                assert!(version(item) >= version(flushed), "a flushed beat is lost");
            }
        }
    }

    async fn compare(&mut self, step: &Step) {
        let (_, list) = get(&self.api, NODES).await;
        let items = list["items"].as_array().unwrap().iter();
        let name = |item: &Value| text(item, "/metadata/name").to_owned();
        let seen: BTreeMap<String, Value> = items.map(|item| (name(item), item.clone())).collect();
        if matches!(
            step,
            Step::PowerCut | Step::Flush | Step::Beat(..) | Step::Renew(..)
        ) {
            let plain = |nodes: &BTreeMap<String, Value>| -> Vec<Value> {
                nodes.values().cloned().map(without_beats).collect()
            };
            assert_eq!(plain(&seen), plain(&self.nodes), "after {step:?}");
        }
        self.nodes = seen;
        assert!(version(&list) >= self.newest);
        self.newest = version(&list);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_order_of_writes_flushes_and_power_cuts_loses_an_edit(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            for step in &steps {
                model.play(step).await;
            }
        });
    }
}

#[test]
fn credentials_are_made_once_and_the_certificate_again_for_a_new_name() {
    let directory = tempfile::tempdir().unwrap();
    let names = [
        "gateway.local".to_owned(),
        "10.0.0.7".to_owned(),
        "bad name".to_owned(),
    ];
    let first = Credentials::load_or_create(directory.path(), &names[..2], now()).unwrap();
    let again = Credentials::load_or_create(directory.path(), &names[..2], now()).unwrap();
    let config = kubeconfig(&first, "https://10.0.0.7:16443");
    assert_eq!(config, kubeconfig(&again, "https://10.0.0.7:16443"));
    assert!(config.contains(first.token()));
    first.tls().unwrap();
    let certificate = || fs::read(directory.path().join("pki/server.pem")).unwrap();
    let before = certificate();
    let more = [names[0].clone(), names[2].clone()];
    let other = Credentials::load_or_create(directory.path(), &more, now()).unwrap();
    assert_ne!(before, certificate());
    assert_eq!(
        (first.token(), first.ca_certificate()),
        (other.token(), other.ca_certificate())
    );
    other.tls().unwrap();
}

#[test]
fn a_lost_authority_signs_the_server_certificate_anew() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Credentials::load_or_create(directory.path(), &[], now()).unwrap();
    let certificate = || fs::read(directory.path().join("pki/server.pem")).unwrap();
    let lost = load();
    let before = certificate();
    fs::remove_file(directory.path().join("pki/ca.crt")).unwrap();
    lost.refresh(directory.path(), &[], now()).unwrap_err();
    assert_eq!(
        before,
        certificate(),
        "not under clients that trust the old one"
    );
    load();
    assert_ne!(before, certificate());
}

#[tokio::test]
async fn an_address_that_comes_later_is_in_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = Credentials::load_or_create(directory.path(), &[], now()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (api, token) = (api_on(&FakeDisk::default()), credentials.token().to_owned());
    let tls = credentials.tls().unwrap();
    let server = tokio::spawn(serve(listener, api, tls, token, std::future::pending()));
    let config = kubeconfig(&credentials, &format!("https://{address}"));
    let config = config.replace(
        "  cluster:\n",
        "  cluster:\n    tls-server-name: attic.local\n",
    );
    let list = async || {
        let nodes: Api<Node> = Api::all(client(&config).await);
        nodes.list(&kube::api::ListParams::default()).await
    };
    list().await.unwrap_err();
    let names = ["attic.local".to_owned()];
    credentials
        .refresh(directory.path(), &names, now())
        .unwrap();
    list().await.unwrap();
    server.abort();
}

async fn client(config: &str) -> kube::Client {
    let config = kube::config::Kubeconfig::from_yaml(config).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    kube::Client::try_from(config).unwrap()
}

#[tokio::test]
async fn over_tls_only_the_token_opens_and_shutdown_ends_watches() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = Credentials::load_or_create(directory.path(), &[], now()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let api = api_on(&FakeDisk::default());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let token = credentials.token().to_owned();
    let server = tokio::spawn(serve(
        listener,
        api,
        credentials.tls().unwrap(),
        token,
        async {
            let _ = stopped.await;
        },
    ));
    let config = kubeconfig(&credentials, &url);
    let known: Api<Node> = Api::all(client(&config).await);
    let node: Node = serde_json::from_value(node("pi-1")).unwrap();
    known.create(&PostParams::default(), &node).await.unwrap();
    let stranger = config.replace(credentials.token(), "guess");
    let err = Api::<Node>::all(client(&stranger).await)
        .get("pi-1")
        .await
        .unwrap_err();
    assert!(matches!(err, kube::Error::Api(status) if status.code == 401));
    let mut events = known
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    assert!(events.try_next().await.unwrap().is_some());
    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(
        !matches!(events.try_next().await, Ok(Some(_))),
        "the watch goes on"
    );
}

#[tokio::test]
async fn fifty_idle_nodes_write_at_most_twenty_megabytes_a_day() {
    const FLUSHES_PER_DAY: u64 = 24 * 60 / 5;
    const FLUSHES: u64 = 6;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    let api = ApiServer::new(Arc::new(store), now);
    let kinds = "Ready MemoryPressure DiskPressure PIDPressure OutOfDisk NetworkUnavailable \
                 UnderVoltage Throttled ThermalPressure ReadOnlyFilesystem StorageWorn \
                 ClockUnsynchronized CPUPressure IOPressure";
    let conditions = |time: &str| -> Vec<Value> {
        let kinds = kinds.split_whitespace();
        kinds
            .map(|kind| json!({"type": kind, "status": "False", "lastHeartbeatTime": time}))
            .collect()
    };
    for index in 0..50 {
        let mut node = node(&format!("pi-{index}"));
        node["status"]["conditions"] = conditions("2026-03-01T12:00:00Z").into();
        create(&api, NODES, &node).await;
        create(&api, LEASES, &lease(&format!("pi-{index}"))).await;
    }
    api.store().flush().unwrap();
    let before = api.store().metrics();
    for minute in 1..=FLUSHES {
        for index in 0..50 {
            let name = format!("pi-{index}");
            renew(
                &api,
                &name,
                &format!("2026-03-01T12:{minute:02}:{index:02}.000000Z"),
            )
            .await;
            let time = format!("2026-03-01T12:{minute:02}:{index:02}Z");
            let patch = json!({"status": {"conditions": conditions(&time)}});
            let head = format!("PATCH {NODES}/{name}/status\n{STRATEGIC}");
            assert_eq!(call(&api, &head, &patch).await.0, 200);
        }
        assert_eq!(api.store().flush().unwrap().beats, 100);
    }
    let after = api.store().metrics();
    assert_eq!(after.commits - before.commits, FLUSHES);
    let per_day = (after.bytes_written - before.bytes_written) / FLUSHES * FLUSHES_PER_DAY;
    // Twenty are allowed; what changes for good must find room too.
    assert!(per_day <= 12_000_000, "{per_day} bytes a day");
}

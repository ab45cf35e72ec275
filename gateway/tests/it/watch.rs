//! List, watch, and every way in which they end, against a scripted API server.

use kube::Client;
use nodling_gateway::seen::{Collection, SeenChange};
use nodling_gateway::time::Clocks;
use nodling_gateway::watch::{self, Watched};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::scripted::{Answering, Asked, Server, pair};
use crate::soon;

fn start(client: Client) -> mpsc::Receiver<Watched> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(watch::nodes(client, sender, Clocks::system(false), 1));
    receiver
}

fn node(name: &str, version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "resourceVersion": version}})
}

fn list(version: &str, next: &str, nodes: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {"resourceVersion": version, "continue": next}, "items": nodes})
}

fn events(answering: Answering, events: &[(&str, Value)]) {
    let lines: String = events
        .iter()
        .map(|(kind, object)| json!({"type": kind, "object": object}).to_string() + "\n")
        .collect();
    answering.raw(200, &[], lines.into_bytes());
}

/// What came, in short.
async fn next(changes: &mut mpsc::Receiver<Watched>) -> String {
    let watched = soon("change", changes.recv())
        .await
        .expect("the watch lives");
    match watched {
        Watched::Broken(_, reason) => format!("broken: {reason}"),
        Watched::Following(_) => "following".to_owned(),
        Watched::Change(SeenChange::Node(node)) => {
            format!("node {} {}", node.name, node.resource_version)
        }
        Watched::Change(SeenChange::NodeGone(gone)) => format!("gone {}", gone.name),
        Watched::Change(SeenChange::Relisting(Collection::Nodes)) => "relisting".to_owned(),
        Watched::Change(SeenChange::Relisted(Collection::Nodes)) => "relisted".to_owned(),
        Watched::Change(SeenChange::Lost(Collection::Nodes)) => "lost".to_owned(),
        Watched::Change(other) => format!("{other:?}"),
    }
}

async fn listed(server: &mut Server, changes: &mut mpsc::Receiver<Watched>) {
    let (asked, answering) = server.asked().await;
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("GET", "/api/v1/nodes")
    );
    assert!(
        !asked.query.iter().any(|pair| pair.starts_with("watch=")),
        "{asked:?}"
    );
    answering.json(200, &list("10", "", &[node("attic", "9")]));
    for expected in ["relisting", "node attic 9", "relisted"] {
        assert_eq!(next(changes).await, expected);
    }
}

fn watches_from(asked: &Asked, version: &str) {
    let has = |pair: &str| asked.query.iter().any(|have| have == pair);
    assert!(
        has("watch=true") && has("allowWatchBookmarks=true"),
        "{asked:?}"
    );
    assert!(has(&format!("resourceVersion={version}")), "{asked:?}");
    assert!(has("timeoutSeconds=60"), "{asked:?}");
}

#[tokio::test]
async fn a_watch_goes_on_where_it_ended() {
    let (client, mut server) = pair();
    let mut changes = start(client);
    listed(&mut server, &mut changes).await;
    let (asked, answering) = server.asked().await;
    watches_from(&asked, "10");
    let bookmark =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"resourceVersion": "30"}});
    events(
        answering,
        &[
            ("ADDED", node("cellar", "11")),
            ("MODIFIED", node("attic", "12")),
            ("DELETED", node("cellar", "13")),
            ("BOOKMARK", bookmark),
        ],
    );
    for expected in [
        "following",
        "node cellar 11",
        "node attic 12",
        "gone cellar",
    ] {
        assert_eq!(next(&mut changes).await, expected);
    }
    let (asked, answering) = server.asked().await;
    watches_from(&asked, "30");
    events(answering, &[("MODIFIED", node("attic", "31"))]);
    assert_eq!(
        next(&mut changes).await,
        "node attic 31",
        "no list, no news about the watch"
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let (client, mut server) = pair();
    let mut changes = start(client);
    let (asked, answering) = server.asked().await;
    assert!(asked.query.contains(&"limit=500".to_owned()), "{asked:?}");
    answering.json(200, &list("10", "more", &[node("attic", "1")]));
    let (asked, answering) = server.asked().await;
    assert!(
        asked.query.contains(&"continue=more".to_owned()),
        "{asked:?}"
    );
    answering.json(200, &list("10", "", &[node("cellar", "2")]));
    for expected in ["relisting", "node attic 1", "node cellar 2", "relisted"] {
        assert_eq!(next(&mut changes).await, expected);
    }
}

#[tokio::test]
async fn an_expired_watch_lists_anew() {
    let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old resource version"});
    // As an event, and as the answer itself.
    for is_event in [true, false] {
        let (client, mut server) = pair();
        let mut changes = start(client);
        listed(&mut server, &mut changes).await;
        let (_, answering) = server.asked().await;
        if is_event {
            events(answering, &[("ERROR", gone.clone())]);
            assert_eq!(next(&mut changes).await, "following");
        } else {
            answering.json(410, &gone);
        }
        assert_eq!(next(&mut changes).await, "lost");
        let broken = next(&mut changes).await;
        assert!(broken.contains("410: too old resource version"), "{broken}");
        listed(&mut server, &mut changes).await;
    }
}

#[tokio::test]
async fn an_error_is_said_and_the_watch_goes_on_from_the_same_place() {
    let (client, mut server) = pair();
    let mut changes = start(client);
    listed(&mut server, &mut changes).await;
    let (_, answering) = server.asked().await;
    answering.json(
        500,
        &json!({"kind": "Status", "status": "Failure", "code": 500, "message": "etcd is away"}),
    );
    let broken = next(&mut changes).await;
    assert!(broken.contains("500: etcd is away"), "{broken}");
    let (asked, answering) = server.asked().await;
    watches_from(&asked, "10");
    events(answering, &[]);
    assert_eq!(next(&mut changes).await, "following");
}

#[tokio::test]
async fn a_server_that_is_away_at_start_is_asked_again() {
    let (client, mut server) = pair();
    let mut changes = start(client);
    drop(server.asked().await);
    assert_eq!(next(&mut changes).await, "relisting");
    assert_eq!(next(&mut changes).await, "lost");
    assert!(next(&mut changes).await.starts_with("broken: "));
    listed(&mut server, &mut changes).await;
}

#[tokio::test(start_paused = true)]
async fn radio_silence_is_noticed() {
    let (client, mut server) = pair();
    let mut changes = start(client);
    let held = server.asked().await;
    let started = tokio::time::Instant::now();
    for expected in ["relisting", "lost", "broken: no answer in time"] {
        assert_eq!(next(&mut changes).await, expected);
    }
    assert!(started.elapsed() <= std::time::Duration::from_secs(11));
    drop(held);
}

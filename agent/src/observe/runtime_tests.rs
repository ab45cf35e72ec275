//! A container runtime played in this process, well and badly, and how versions are shown.

use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::cri::request;
use super::cri::tests::response;
use super::root::Root;
use super::runtime::{Asker, Endpoint, Runtime, show};

/// What a played runtime does with whoever connects.
#[derive(Clone)]
enum Play {
    /// Says this once it was asked properly.
    Say(Vec<u8>),
    /// Keeps the connection, and its mouth shut.
    Hang,
}

fn listen(root: &Path, path: &str, play: Play) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Play::Say(bytes) = &play {
                let mut asked = vec![0; request().len()];
                stream.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, request());
                let (first, second) = bytes.split_at(bytes.len() / 2);
                stream.write_all(first).await.unwrap();
                stream.write_all(second).await.unwrap();
            }
            kept.push(stream);
        }
    });
}

fn asker(root: &TempDir, endpoint: Option<&str>) -> (Asker, Runtime) {
    let endpoint = endpoint.map(|text| Endpoint::parse(text).unwrap());
    Asker::new(Root::open(root.path()).unwrap(), endpoint)
}

async fn shown(root: &TempDir, endpoint: Option<&str>) -> String {
    let (mut asker, runtime) = asker(root, endpoint);
    asker.ask().await;
    runtime.latest().to_string()
}

const CONTAINERD: &str = "run/containerd/containerd.sock";

#[tokio::test]
async fn the_usual_sockets_are_asked_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(shown(&root, None).await, "");
    listen(
        root.path(),
        "run/k3s/containerd/containerd.sock",
        Play::Say(response("containerd", "v1.7.11-k3s2")),
    );
    assert_eq!(shown(&root, None).await, "containerd://1.7.11-k3s2");
    listen(
        root.path(),
        "run/crio/crio.sock",
        Play::Say(response("cri-o", "1.30.0")),
    );
    assert_eq!(shown(&root, None).await, "cri-o://1.30.0");
    listen(
        root.path(),
        CONTAINERD,
        Play::Say(response("containerd", "1.6.20~ds1")),
    );
    assert_eq!(shown(&root, None).await, "containerd://1.6.20");
}

#[tokio::test]
async fn a_configured_socket_is_the_only_one() {
    let root = tempfile::tempdir().unwrap();
    listen(
        root.path(),
        CONTAINERD,
        Play::Say(response("containerd", "1.7.2")),
    );
    let deep = format!("srv/{}/run.sock", "d".repeat(120));
    let endpoint = format!("unix:///{deep}");
    assert_eq!(shown(&root, Some(&endpoint)).await, "remote://Unknown");
    let short = "unix:///srv/crio.sock";
    assert_eq!(shown(&root, Some(short)).await, "cri-o://Unknown");
    listen(
        root.path(),
        "srv/crio.sock",
        Play::Say(response("cri-o", "1.30.0")),
    );
    assert_eq!(shown(&root, Some(short)).await, "cri-o://1.30.0");
}

#[tokio::test]
async fn a_socket_may_lie_deeper_than_its_address_may_be_long() {
    let root = tempfile::tempdir().unwrap();
    listen(
        root.path(),
        "c.sock",
        Play::Say(response("containerd", "1.7.2")),
    );
    let deep = root.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    std::fs::rename(root.path().join("c.sock"), deep.join("c.sock")).unwrap();
    let endpoint = format!("unix:///{}/c.sock", "d".repeat(120));
    assert_eq!(shown(&root, Some(&endpoint)).await, "containerd://1.7.2");
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_is_unknown_within_its_deadline() {
    let root = tempfile::tempdir().unwrap();
    listen(root.path(), CONTAINERD, Play::Hang);
    let start = tokio::time::Instant::now();
    assert_eq!(shown(&root, None).await, "containerd://Unknown");
    assert!(start.elapsed() < std::time::Duration::from_secs(30));
}

#[tokio::test]
async fn garbage_is_unknown_and_a_refused_call_is_no_runtime() {
    for (bytes, expected) in [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "containerd://Unknown",
        ),
        (response("containerd", "newest"), "containerd://Unknown"),
        // Trailers alone: Docker's containerd, whose CRI plugin is off.
        (b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88".to_vec(), ""),
    ] {
        let root = tempfile::tempdir().unwrap();
        listen(root.path(), CONTAINERD, Play::Say(bytes.clone()));
        assert_eq!(shown(&root, None).await, expected, "{bytes:?}");
        let configured = format!("unix:///{CONTAINERD}");
        let expected = "containerd://Unknown";
        assert_eq!(shown(&root, Some(&configured)).await, expected, "{bytes:?}");
    }
    // A file is no socket, and nobody listens at one that was left behind.
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("run/containerd")).unwrap();
    drop(UnixListener::bind(root.path().join(CONTAINERD)).unwrap());
    assert_eq!(shown(&root, None).await, "");
}

#[tokio::test]
async fn a_runtime_that_went_away_keeps_its_name() {
    let root = tempfile::tempdir().unwrap();
    listen(
        root.path(),
        CONTAINERD,
        Play::Say(response("containerd", "1.7.2")),
    );
    let (mut asker, runtime) = asker(&root, None);
    asker.ask().await;
    assert_eq!(&*runtime.latest(), "containerd://1.7.2");
    std::fs::remove_file(root.path().join(CONTAINERD)).unwrap();
    asker.ask().await;
    assert_eq!(&*runtime.latest(), "containerd://Unknown");
    listen(
        root.path(),
        CONTAINERD,
        Play::Say(response("containerd", "1.7.3")),
    );
    asker.ask().await;
    assert_eq!(&*runtime.latest(), "containerd://1.7.3");
}

#[tokio::test]
async fn a_fixture_has_no_runtime() {
    let root = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../boards/raspberry-pi-4b/fixtures/idle/syscalls.toml");
    std::fs::copy(fixture, root.path().join("syscalls.toml")).unwrap();
    listen(
        root.path(),
        CONTAINERD,
        Play::Say(response("containerd", "1.7.2")),
    );
    assert_eq!(shown(&root, None).await, "");
}

#[test]
fn endpoints_are_sockets() {
    for (text, expected) in [
        (
            "unix:///run/containerd/containerd.sock",
            Some("unix:///run/containerd/containerd.sock"),
        ),
        ("/run/crio/crio.sock", Some("unix:///run/crio/crio.sock")),
        ("", None),
        ("unix://", None),
        ("unix:///", None),
        ("unix://run/x.sock", None),
        ("tcp://localhost:1", None),
        ("npipe:////./pipe/x", None),
        ("/run/\n", None),
    ] {
        let parsed = Endpoint::parse(text).map(|endpoint| endpoint.to_string());
        assert_eq!(parsed.as_deref(), expected, "{text}");
    }
}

#[test]
fn versions_are_shown_as_kubelet_shows_them() {
    for (said, expected) in [
        ("1.7.2", Some("1.7.2")),
        ("v2.0.0", Some("2.0.0")),
        ("2.0.0-rc.1+build.5", Some("2.0.0-rc.1+build.5")),
        ("1.7.11-k3s2", Some("1.7.11-k3s2")),
        // No semantic version: the numbers alone.
        ("1.6.20~ds1", Some("1.6.20")),
        ("1.7.2-", Some("1.7.2")),
        ("1.7.2-01", Some("1.7.2")),
        ("1.07.2", Some("1.7.2")),
        ("1.30", Some("1.30")),
        ("1.2..3", Some("1.2")),
        ("20.10.5+dfsg1", Some("20.10.5+dfsg1")),
        ("24.0.7.1", Some("24.0.7.1")),
        (" v1.2.3 ", Some("1.2.3")),
        ("1", None),
        ("01.2.3", None),
        ("", None),
        ("newest", None),
        (".1.2", None),
        ("99999999999999999999.1.2", None),
    ] {
        assert_eq!(show(said).as_deref(), expected, "{said}");
    }
}

//! The program itself: its command line, its signals, its socket.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{eventually, soon};

fn gateway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodling-gateway"));
    command.args(arguments);
    for name in [
        "RUST_LOG",
        "STATE_DIRECTORY",
        "KUBERNETES_SERVICE_HOST",
        "NOTIFY_SOCKET",
    ] {
        command.env_remove(name);
    }
    command
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// A running program that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(dir: &Path, more: &[&str]) -> Running {
    let dir_name = dir.to_str().unwrap();
    let mut arguments = vec![
        "run",
        "--data-dir",
        dir_name,
        "--embedded-broker",
        "127.0.0.1:0",
    ];
    arguments.extend(["--api-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    arguments.extend(more);
    let child = gateway(&arguments).stderr(Stdio::null()).spawn().unwrap();
    let running = Running(child);
    eventually(
        "socket",
        async || dir.join("admin.sock").exists(),
        |there| *there,
    )
    .await;
    eventually(
        "addresses",
        async || dir.join("addresses.json").exists(),
        |there| *there,
    )
    .await;
    running
}

#[test]
fn check_prints_what_holds_in_the_end() {
    let output = gateway(&[
        "check",
        "--fleet",
        "attic",
        "--grace",
        "20s",
        "--data-dir",
        "/x",
    ])
    .output()
    .unwrap();
    let (printed, _) = said(&output);
    assert!(output.status.success());
    for line in [
        "fleet = \"attic\"\n",
        "grace = \"20s\"\n",
        "data_dir = \"/x\"\n",
    ] {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn a_wrong_configuration_exits_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, "fleet = \"home\"\ngrase = \"1s\"\n").unwrap();
    let output = gateway(&["check", "--config", file.to_str().unwrap()])
        .output()
        .unwrap();
    let (_, complaint) = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint.contains("gateway.toml:2: key \"grase\": got a key that does not exist"),
        "{complaint}"
    );
    let output = gateway(&["run", "--data-dir", dir.path().to_str().unwrap()])
        .output()
        .unwrap();
    let (_, complaint) = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint.contains("no broker: give --broker"),
        "{complaint}"
    );
}

#[tokio::test]
async fn sigterm_ends_it_well_and_soon() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = start(dir.path(), &[]).await;
    let pid = rustix::process::Pid::from_child(&running.0);
    let started = tokio::time::Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let end = async || running.0.try_wait().unwrap();
    let status = eventually("end", end, Option::is_some).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn nodes_are_forgotten_through_the_socket_and_without_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let dir_name = dir.path().to_str().unwrap();
    let forget = || {
        gateway(&["nodes", "forget", "attic", "--data-dir", dir_name])
            .output()
            .unwrap()
    };
    let running = start(dir.path(), &[]).await;
    let mode = std::os::unix::fs::PermissionsExt::mode;
    let socket = std::fs::metadata(dir.path().join("admin.sock")).unwrap();
    assert_eq!(mode(&socket.permissions()) & 0o777, 0o600);
    let kubeconfig = std::fs::metadata(dir.path().join("kubeconfig")).unwrap();
    assert_eq!(mode(&kubeconfig.permissions()) & 0o777, 0o600);
    assert_eq!(said(&forget()).0, "node attic was not there\n");
    drop(running);
    // Killed: the socket is still there, and nobody answers.
    assert!(dir.path().join("admin.sock").exists());
    let output = forget();
    assert_eq!(
        said(&output).0,
        "node attic was not there\n",
        "{}",
        said(&output).1
    );
    let output = gateway(&["nodes", "forget", "No Node", "--data-dir", dir_name])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_kubeconfig_for_a_laptop_names_the_server_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir_name = dir.path().to_str().unwrap();
    let url = "https://attic.local:16443";
    let print = || {
        gateway(&["kubeconfig", "--server", url, "--data-dir", dir_name])
            .output()
            .unwrap()
    };
    let never = print();
    assert_eq!(never.status.code(), Some(1));
    assert!(
        said(&never).1.contains("no gateway has run"),
        "{}",
        said(&never).1
    );
    let typo = dir.path().join("typo");
    let forget = ["nodes", "forget", "attic", "--data-dir"];
    let forgotten = gateway(&forget).arg(&typo).output().unwrap();
    assert!(said(&forgotten).1.contains("no gateway has run"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let bare = ["kubeconfig", "--server", "attic.local:16443"];
    let bare = gateway(&bare).output().unwrap();
    assert!(said(&bare).1.contains("expected https://"));
    drop(start(dir.path(), &[]).await);
    let certificate = std::fs::read(dir.path().join("pki/server.pem")).unwrap();
    let (printed, _) = said(&print());
    assert!(printed.contains(&format!("server: \"{url}\"")), "{printed}");
    assert_eq!(
        std::fs::read(dir.path().join("pki/server.pem")).unwrap(),
        certificate
    );
}

#[tokio::test]
async fn a_second_gateway_is_told_that_the_store_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let _running = start(dir.path(), &[]).await;
    let dir_name = dir.path().to_str().unwrap();
    let second = [
        "run",
        "--data-dir",
        dir_name,
        "--embedded-broker",
        "127.0.0.1:0",
    ];
    let output = gateway(&second).output();
    let (_, complaint) = said(&output.unwrap());
    assert!(complaint.contains("opening the store in"), "{complaint}");
    let addresses = std::fs::read(dir.path().join("addresses.json")).unwrap();
    let addresses: Value = serde_json::from_slice(&addresses).unwrap();
    let broker = addresses["broker"].as_str().unwrap().to_owned();
    let connected = soon("connection", tokio::net::TcpStream::connect(broker)).await;
    assert!(connected.is_ok(), "the first still serves");
}

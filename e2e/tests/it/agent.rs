//! The agent as a user meets it: options, goodbyes, passwords, certificates.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nodling_e2e::broker::Broker;
use nodling_e2e::lab::{LIMIT, Lab};
use nodling_e2e::process::{Process, program};
use nodling_e2e::wait;
use rustix::process::{Pid, Signal};
use tokio::net::UnixDatagram;
use tokio::process::Command;

/// No dead path goes unnoticed for longer.
const DEAD_AFTER: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_within_two_seconds_with_and_without_a_broker() -> Result<()> {
    let mut lab = Lab::start().await?;
    let mut agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    let status = agent.process.terminate(Duration::from_secs(2)).await?;
    assert!(status.success(), "{}", agent.process.log());

    lab.broker.kill().await?;
    let mut agent = lab.agent("pi-1")?;
    let ask = || async { Ok(agent.process.log()) };
    wait::until("it says the broker is away", LIMIT, ask, |log| {
        log.contains("refused")
    })
    .await?;
    let status = agent.process.terminate(Duration::from_secs(2)).await?;
    assert!(status.success(), "{}", agent.process.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_and_a_right_one_works() -> Result<()> {
    let mut lab = Lab::start_broker().await?;
    let dir = tempfile::tempdir()?;
    let passwords = dir.path().join("passwords");
    let passwd = Command::new("mosquitto_passwd")
        .args(["-c", "-b"])
        .arg(&passwords)
        .args(["board", "se cret"])
        .output()
        .await?;
    assert!(passwd.status.success());
    let lines = format!(
        "allow_anonymous false\npassword_file {}\n",
        passwords.display()
    );
    let broker = Broker::start_with(dir.path(), &format!("user root\n{lines}")).await?;
    let with = |password: &str| format!("mqtt://board:{password}@127.0.0.1:{}", broker.port());
    lab.start_gateway(&["--broker", &with("se%20cret")]).await?;

    let agent = lab.agent_with("pi-1", "wrong", &["--broker", &with("guess")])?;
    let ask = || async { Ok(agent.process.log()) };
    let is_said = |log: &String| log.to_lowercase().contains("not authori");
    wait::until("it says not authorised", LIMIT, ask, is_said).await?;
    assert!(
        !agent.process.log().contains("guess"),
        "the password is in the log"
    );

    let _agent = lab.agent_with("pi-1", "right", &["--broker", &with("se%20cret")])?;
    lab.ready_is("pi-1", "True").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_control_list_that_refuses_is_named_until_it_is_mended() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let list = dir.path().join("acl");
    std::fs::write(&list, "topic read nodling/#\n")?;
    let lines = format!(
        "allow_anonymous true\nuser root\nacl_file {}\n",
        list.display()
    );
    let broker = Broker::start_with(dir.path(), &lines).await?;
    let run = |command: &str| {
        let arguments = [command, "--node-name", "pi-1", "--interval", "1s"];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        arguments.extend(["--broker".to_owned(), broker.url()]);
        let state = [("STATE_DIRECTORY".into(), dir.path().display().to_string())];
        Process::start(
            command,
            program("nodling-agent")?,
            &arguments,
            &state,
            dir.path(),
        )
    };
    let mut leave = run("leave")?;
    let status = leave.ended(LIMIT).await?;
    assert!(!status.success(), "nobody heard it leave:\n{}", leave.log());
    assert!(
        leave.log().contains("did not pass the goodbye on"),
        "{}",
        leave.log()
    );

    let agent = run("run")?;
    let refused = "does not let us publish on nodling/home/up/pi-1: check its access control list";
    let ask = || async { Ok(agent.log()) };
    wait::until("the topic is named", LIMIT, ask, |log| {
        log.contains(refused)
    })
    .await?;
    std::fs::write(&list, "topic readwrite nodling/#\n")?;
    rustix::process::kill_process(pid(&broker)?, Signal::HUP)?;
    let mended = "passes our frames on again";
    let log = wait::until(mended, LIMIT, ask, |log| log.contains(mended)).await?;
    assert_eq!(log.matches(refused).count(), 1, "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_noticed_within_twenty_seconds() -> Result<()> {
    let lab = Lab::start_broker().await?;
    let agent = lab.agent_with("pi-1", "pi-1", &["--interval", "10s"])?;
    let ask = || async { Ok(agent.process.log()) };
    let is_connected = |log: &String| log.contains("connected to the broker");
    wait::until("it connects", LIMIT, ask, is_connected).await?;
    rustix::process::kill_process(pid(&lab.broker)?, Signal::STOP)?;
    let is_noticed = |log: &String| log.contains("stopped answering");
    wait::until("it notices", DEAD_AFTER, ask, is_noticed).await?;
    rustix::process::kill_process(pid(&lab.broker)?, Signal::CONT)?;
    let is_back = |log: &String| log.matches("connected to the broker").count() == 2;
    wait::until("it connects again", LIMIT, ask, is_back).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stood_still_goes_on_over_the_same_connection() -> Result<()> {
    let lab = Lab::start().await?;
    let agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    agent.process.signal(Signal::STOP)?;
    lab.ready_is("pi-1", "Unknown").await?;
    agent.process.signal(Signal::CONT)?;
    lab.ready_is("pi-1", "True").await?;
    let log = agent.process.log();
    assert_eq!(log.matches("connected to the broker").count(), 1, "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_ready_without_a_broker_then_status_and_watchdog() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut broker = Broker::start(dir.path()).await?;
    broker.kill().await?;
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    let arguments = ["--node-name", "pi-1", "--broker", &broker.url()].map(str::to_owned);
    let environment = [
        ("NOTIFY_SOCKET", path.display().to_string()),
        ("WATCHDOG_USEC", "900000".to_owned()),
        ("STATE_DIRECTORY", dir.path().display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let mut agent = Process::start(
        "agent",
        program("nodling-agent")?,
        &arguments,
        &environment,
        dir.path(),
    )?;
    let first = hear(&socket, "READY=1").await?;
    assert!(first.contains("STATUS=connecting to 127.0.0.1:"), "{first}");
    hear(&socket, "connection refused").await?;
    hear(&socket, "WATCHDOG=1").await?;
    hear(&socket, "WATCHDOG=1").await?;
    broker.restart().await?;
    hear(&socket, "STATUS=connected to 127.0.0.1:").await?;
    agent.signal(Signal::TERM)?;
    hear(&socket, "STOPPING=1").await?;
    assert!(agent.ended(Duration::from_secs(2)).await?.success());
    Ok(())
}

/// The next datagram that holds the words.
async fn hear(socket: &UnixDatagram, words: &str) -> Result<String> {
    let wanted = async {
        loop {
            let mut datagram = [0; 4096];
            let len = socket.recv(&mut datagram).await?;
            let text =
                String::from_utf8_lossy(datagram.get(..len).unwrap_or_default()).into_owned();
            if text.contains(words) {
                return Ok(text);
            }
        }
    };
    tokio::time::timeout(LIMIT, wanted)
        .await
        .with_context(|| format!("systemd does not hear {words}"))?
}

fn pid(broker: &Broker) -> Result<Pid> {
    Pid::from_raw(i32::try_from(broker.id()?)?).context("a process id is not 0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_asks_for_nothing_that_is_refused() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent("pi-1")?;
    lab.ready_is("pi-1", "True").await?;
    // Told before it, if there were any.
    lab.event("pi-1", "NodeHasSufficientMemory").await?;
    let events = lab.events("pi-1").await?;
    let reasons: Vec<_> = events
        .iter()
        .filter_map(|event| event.reason.as_deref())
        .collect();
    assert!(!reasons.contains(&"LabelsRefused"), "{events:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn assess_prints_a_node_status() -> Result<()> {
    let output = Command::new(program("nodling-agent")?)
        .args(["assess", "--once"])
        .output();
    let output = output.await?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let status: k8s_openapi::api::core::v1::NodeStatus =
        serde_json::from_value(value["status"].clone())?;
    assert!(
        status
            .capacity
            .is_some_and(|capacity| capacity.contains_key("memory"))
    );
    assert!(
        status
            .node_info
            .is_some_and(|info| info.operating_system == "linux")
    );
    for part in ["vitals", "readings", "board", "labels"] {
        assert!(!value[part].is_null(), "no {part} in {value}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_named_with_its_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, "fleet = \"home\"\nintervall = \"10s\"\n")?;
    let mut check = Command::new(program("nodling-agent")?);
    let output = check
        .arg("check")
        .arg("--config")
        .arg(&file)
        .output()
        .await?;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["agent.toml", "2", "intervall", "interval"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    Ok(())
}

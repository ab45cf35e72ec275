//! The agent as a user meets it: options, goodbyes, passwords, certificates.

use std::time::Duration;

use anyhow::Result;
use nodling_e2e::broker::Broker;
use nodling_e2e::lab::{LIMIT, Lab};
use nodling_e2e::process::program;
use nodling_e2e::wait;
use tokio::process::Command;

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

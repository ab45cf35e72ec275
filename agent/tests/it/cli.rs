//! The program as people start it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start the program and write its files"
)]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{self, fixture};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nodling-agent"))
        .args(arguments)
        .env_remove("NODLING_BROKER_PASSWORD")
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn assessment(arguments: &[&str]) -> Value {
    let path = fixture("raspberry-pi-4b/idle").path;
    let mut all = vec!["assess", "--root", path.to_str().unwrap()];
    all.extend(arguments);
    let output = agent(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn assess_prints_a_node_status_without_a_broker() {
    let printed = assessment(&["--once"]);
    let status = &printed["status"];
    assert_eq!(status["capacity"]["cpu"], "4");
    assert_eq!(status["capacity"]["pods"], "0");
    assert_eq!(status["nodeInfo"]["kubeletVersion"], "v0.1.0+nodling");
    assert_eq!(status["addresses"][0]["type"], "InternalIP");
    let conditions = status["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|condition| {
        condition["type"] == "Ready"
            && condition["status"] == "True"
            && condition["lastHeartbeatTime"]
                .as_str()
                .unwrap()
                .ends_with('Z')
    }));
    assert_eq!(printed["board"]["name"], "raspberry-pi-4b");
    assert_eq!(
        printed["vitals"]["cpu_busy"],
        Value::Null,
        "one observation has no rates"
    );
    let readings = printed["readings"].as_array().unwrap();
    assert!(readings.iter().all(|reading| reading["name"].is_string()));
    assert!(readings.iter().any(|reading| reading["unit"] == "°C"));
}

#[test]
fn assess_takes_two_observations_by_itself() {
    // A fixture's clock stands still, so the rate stays null; on a machine it does not.
    let output = agent(&["assess"]);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(printed["vitals"]["cpu_busy"].is_number(), "{printed}");
}

#[test]
fn check_prints_the_configuration_without_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    fs::write(
        &file,
        "node_name = \"attic\"\nbroker = \"mqtt://u:hunter2@b\"\n",
    )
    .unwrap();
    let output = agent(&[
        "check",
        "--config",
        file.to_str().unwrap(),
        "--interval",
        "90s",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("node_name = \"attic\""), "{printed}");
    assert!(
        printed.contains("broker = \"mqtt://u:***@b:1883\""),
        "{printed}"
    );
    assert!(printed.contains("interval = \"1m30s\""), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn a_threshold_that_is_ignored_is_warned_of_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    let text_of_file = "[eviction_hard]\n\"containerfs.available\" = \"10%\"\n\
        [eviction_minimum_reclaim]\n\"containerfs.available\" = \"1Gi\"\n";
    fs::write(&file, text_of_file).unwrap();
    let board = fixture("raspberry-pi-4b/idle").path;
    let rest = [
        "--config",
        file.to_str().unwrap(),
        "--root",
        board.to_str().unwrap(),
    ];
    for command in [["check"].as_slice(), &["assess", "--once"]] {
        let output = agent(&[command, &rest].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let warned = "what is configured for containerfs.available is ignored, as the kubelet \
                      ignores it: nodefs.available stands for both\n";
        assert_eq!(said.matches(warned).count(), 1, "{command:?}: {said}");
    }
}

#[test]
fn what_check_prints_is_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    let printed = agent(&["check", "--node-name", "attic", "--broker", "mqtt://b"]).stdout;
    fs::write(&file, &printed).unwrap();
    let again = agent(&["check", "--config", file.to_str().unwrap()]).stdout;
    assert_eq!(text(&again), text(&printed));
}

#[test]
fn a_wrong_key_names_file_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    fs::write(&file, "fleet = \"home\"\n\nintervall = \"10s\"\n").unwrap();
    for command in ["check", "run", "assess"] {
        let output = agent(&[command, "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let expected = format!(
            "nodling-agent: {}:3: intervall: unknown key; did you mean interval?\n",
            file.display()
        );
        assert_eq!(text(&output.stderr), expected);
    }
}

#[test]
fn what_cannot_start_says_why() {
    // Without interfaces nobody is asked, as in a network where nobody answers.
    let bare = tempfile::tempdir().unwrap();
    let root = bare.path().to_str().unwrap();
    let output = agent(&["run", "--node-name", "attic", "--root", root]);
    assert!(!output.status.success());
    for expected in ["no broker: set broker = ", "; none announced itself"] {
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
    let output = agent(&["check", "--config", "/nonexistent/agent.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("/nonexistent/agent.toml"),
        "{output:?}"
    );
    let output = agent(&["--frobnicate"]);
    assert_eq!(output.status.code(), Some(1));
    let output = agent(&["replay"]);
    assert_eq!(
        text(&output.stderr),
        "nodling-agent: replay wants a file, or - for standard input\n"
    );
    let output = agent(&["--broker", "mqtt://u:hunter2@b:x"]);
    assert!(text(&output.stderr).contains("--broker: got"), "{output:?}");
    assert!(!text(&output.stderr).contains("hunter2"), "{output:?}");
}

#[test]
fn version_and_help_go_to_standard_output() {
    assert_eq!(text(&agent(&["--version"]).stdout), "nodling-agent 0.1.0\n");
    assert!(text(&agent(&["--help"]).stdout).contains("Usage:"));
}

/// A Raspberry Pi with a TMP105 at 63.5 °C and a BMP280 that its owner takes for a BME280.
fn with_sensors() -> (tempfile::TempDir, String) {
    let copy = fixture("raspberry-pi-4b/idle").copy();
    let bus = "49 01 = 60\n49 00 = 3F 80\n76 D0 = 58\n";
    support::write(copy.path(), "dev/i2c-1", bus);
    let config = "[[sensor]]\nname = \"attic\"\nkind = \"tmp105\"\naddress = 0x49\n\
         [[sensor]]\nname = \"porch\"\nkind = \"bme280\"\n\
         [[sensor]]\nname = \"cellar\"\nkind = \"sht4x\"\n\
         [[sensor]]\nname = \"shed\"\nkind = \"mcp9808\"\nbus = \"/dev/i2c-7\"\n\
         [[condition]]\ntype = \"AtticHot\"\nwhen = \"attic.temperature > 60\"\n";
    support::write(copy.path(), "agent.toml", config);
    let config = copy.path().join("agent.toml").display().to_string();
    (copy, config)
}

#[test]
fn sensors_lists_what_is_read_and_why_the_rest_is_not() {
    let (root, config) = with_sensors();
    let root = root.path().to_str().unwrap();
    let output = agent(&["sensors", "--root", root, "--config", &config]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_sensor_is_a_reading_that_conditions_are_judged_by() {
    let (root, config) = with_sensors();
    let root = root.path().to_str().unwrap();
    let output = agent(&["assess", "--once", "--root", root, "--config", &config]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let readings = printed["readings"].as_array().unwrap();
    let reading = |name: &str| {
        let found = readings.iter().find(|reading| reading["name"] == name);
        found.unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(reading("attic.temperature")["value"], 63.5);
    assert_eq!(reading("attic.temperature")["unit"], "°C");
    assert_eq!(reading("porch.humidity")["value"], Value::Null);
    let error = reading("porch.humidity")["error"].clone();
    assert_eq!(
        error,
        "bme280 at /dev/i2c-1 0x76: another chip answers, which says 0x58"
    );
    let conditions = printed["status"]["conditions"].as_array().unwrap();
    let hot = conditions
        .iter()
        .find(|condition| condition["type"] == "AtticHot");
    assert_eq!(hot.unwrap()["status"], "True");
}

#[test]
fn check_shows_the_sensors_and_touches_no_bus() {
    let (root, config) = with_sensors();
    let directory = root.path().to_str().unwrap();
    let output = agent(&["check", "--root", directory, "--config", &config]);
    let shown = text(&output.stdout);
    let expected = "[[sensor]]\nname = \"attic\"\nkind = \"tmp105\"\nbus = \"/dev/i2c-1\"\n\
                    address = 0x49\ninterval = \"10s\"\n";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn a_rule_on_a_reading_that_this_board_has_not_is_warned_of_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("agent.toml");
    let rule = "[[condition]]\ntype = \"Hot\"\nwhen = \"temprature > 60\"\n";
    fs::write(&config, rule).unwrap();
    let path = fixture("raspberry-pi-4b/idle").path;
    let arguments = ["assess", "--root", path.to_str().unwrap(), "--config"];
    let output = agent(&[&arguments[..], &[config.to_str().unwrap()]].concat());
    assert!(output.status.success());
    let logged = text(&output.stderr);
    assert_eq!(logged.lines().count(), 1, "{logged}");
    assert!(
        logged.contains("WARN")
            && logged.contains("no reading temprature: did you mean temperature?"),
        "{logged}"
    );
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["unjudged"][0]["type"], "Hot");
}

#[test]
fn more_reserved_than_there_is_stops_every_command_that_would_report_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    let written =
        "broker = \"mqtt://127.0.0.1:1\"\n[system_reserved]\nmemory = \"1Ti\"\ncpu = \"1\"\n";
    fs::write(&file, written).unwrap();
    let root = fixture("raspberry-pi-4b/idle").path;
    for command in ["check", "assess", "run"] {
        let output = agent(&[
            command,
            "--config",
            file.to_str().unwrap(),
            "--root",
            root.to_str().unwrap(),
            "--node-name",
            "attic",
        ]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = text(&output.stderr);
        let expected = "lower one of these keys: memory: system_reserved.memory 1Ti + \
                        eviction_hard.\"memory.available\" 100Mi of ";
        assert!(said.contains(expected), "{command}: {said}");
        assert!(!said.contains("cpu"), "{command}: {said}");
    }
}

#[test]
fn assess_offers_what_the_configuration_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    let text = "max_pods = 110\npods_per_core = 10\n[kube_reserved]\ncpu = \"0.25\"\n";
    fs::write(&file, text).unwrap();
    let printed = assessment(&["--once", "--config", file.to_str().unwrap()]);
    let status = &printed["status"];
    assert_eq!(status["capacity"]["pods"], "40");
    assert_eq!(status["allocatable"]["pods"], "40");
    assert_eq!(status["capacity"]["cpu"], "4");
    assert_eq!(status["allocatable"]["cpu"], "3750m");
}

//! What recorded signals would have done under given settings.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start the program and write its files"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use nodling_agent::config::Config;
use nodling_agent::replay::replay;
use proptest::prelude::*;
use serde_json::{Value, json};

fn try_replay(config: &str, lines: &str) -> (Vec<Value>, Option<String>) {
    let config = Config::parse("agent.toml", config).unwrap();
    let mut output = Vec::new();
    let result = replay(
        &config.assess.thresholds,
        "day.jsonl",
        lines.as_bytes(),
        &mut output,
    );
    let output = String::from_utf8(output).unwrap();
    let judged = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (judged.collect(), result.err().map(|err| err.to_string()))
}

fn judge(config: &str, lines: &[Value]) -> Vec<Value> {
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    let (judged, err) = try_replay(config, &lines.join("\n"));
    assert_eq!(err, None);
    judged
}

/// `status@since` of one condition, at each line.
fn statuses(judged: &[Value], kind: &str) -> Vec<String> {
    let shown = judged.iter().map(|line| {
        let condition = &line["conditions"][kind];
        format!(
            "{}@{}",
            condition["status"].as_str().unwrap(),
            condition["since_s"]
        )
    });
    shown.collect()
}

#[test]
fn a_line_says_what_was_reported_and_which_thresholds_were_met() {
    let (judged, err) = try_replay(
        "",
        "{\"at_s\": 60, \"signals\": {\"memory.available\": \"50Mi\", \"memory.capacity\": \
         \"4Gi\", \"nodefs.available\": 500, \"nodefs.capacity\": 1000}}\n",
    );
    assert_eq!(err, None);
    let expected = json!({
        "at_s": 60,
        "conditions": {
            "MemoryPressure": { "status": "True", "since_s": 60 },
            "DiskPressure": { "status": "False", "since_s": 60 },
            "PIDPressure": { "status": "False", "since_s": 60 },
        },
        "thresholds_met": ["memory.available"],
    });
    assert_eq!(judged, [expected]);
}

#[test]
fn a_day_under_soft_and_hard_thresholds() {
    let config = "eviction_pressure_transition_period = \"2m\"\n\
        [eviction_hard]\n\"memory.available\" = \"500Mi\"\n\
        [eviction_soft]\n\"memory.available\" = \"1Gi\"\n\
        [eviction_soft_grace_period]\n\"memory.available\" = \"1m30s\"\n\
        [eviction_minimum_reclaim]\n\"memory.available\" = \"256Mi\"\n";
    let memory = |at_s: u64, available: &str| json!({ "at_s": at_s, "signals": { "memory.available": available } });
    let judged = judge(
        config,
        &[
            memory(0, "2Gi"),
            memory(10, "1000Mi"),
            memory(20, "1Gi"),
            memory(100, "900Mi"),
            memory(190, "900Mi"),
            memory(200, "1279Mi"),
            memory(210, "1280Mi"),
            memory(319, "1280Mi"),
            memory(320, "1280Mi"),
        ],
    );
    let expected = [
        "False@0",
        "True@10",
        "True@10",
        "True@10",
        "True@10",
        "True@10",
        "True@10",
        "True@10",
        "False@320",
    ];
    assert_eq!(statuses(&judged, "MemoryPressure"), expected);
    let met = judged
        .iter()
        .map(|line| line["thresholds_met"].as_array().unwrap().len());
    assert_eq!(met.collect::<Vec<_>>(), [0, 1, 0, 1, 1, 1, 0, 0, 0]);
}

#[test]
fn every_signal_is_judged_and_named_in_order() {
    let config =
        "merge_default_eviction_settings = true\n[eviction_hard]\n\"pid.available\" = \"10%\"\n";
    let low = json!({ "at_s": 1, "signals": {
        "pid.available": 9, "pid.capacity": 100,
        "imagefs.inodesFree": 4, "imagefs.inodes": "100",
        "imagefs.available": "14Gi", "imagefs.capacity": "100Gi",
        "nodefs.inodesFree": 4.0, "nodefs.inodes": 1e2,
        "nodefs.available": "9", "nodefs.capacity": "0.1k",
        "memory.available": "99Mi",
    }});
    let judged = judge(config, &[low]);
    let met = [
        "memory.available",
        "nodefs.available",
        "nodefs.inodesFree",
        "imagefs.available",
        "imagefs.inodesFree",
        "pid.available",
    ];
    assert_eq!(judged[0]["thresholds_met"], json!(met));
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        assert_eq!(statuses(&judged, kind), ["True@1"]);
    }
}

#[test]
fn a_signal_that_is_not_observed_is_not_met() {
    let lines = [
        json!({ "at_s": 0, "signals": { "pid.available": 0, "pid.capacity": 100 } }),
        json!({ "at_s": 1 }),
        json!({ "at_s": 1, "signals": { "nodefs.available": null, "nodefs.capacity": 0 } }),
        // A share of what nobody knows.
        json!({ "at_s": 2, "signals": { "nodefs.available": 0 } }),
        json!({ "at_s": 2.5, "signals": { "nodefs.available": 0, "nodefs.capacity": 5000 } }),
    ];
    let judged = judge("", &lines);
    let pids = statuses(&judged, "PIDPressure");
    assert!(
        pids.iter().all(|status| status == "False@0"),
        "no default says otherwise: {pids:?}"
    );
    let disk = statuses(&judged, "DiskPressure");
    assert_eq!(
        disk,
        ["False@0", "False@0", "False@0", "False@0", "True@2.5"]
    );
}

/// What is said of a third line, after one that is good and one that is empty.
fn refusal(line: &str) -> String {
    let (judged, err) = try_replay("", &format!("{{\"at_s\": 10}}\n\n{line}\n"));
    assert_eq!(judged.len(), 1, "what stood before is judged: {line}");
    let err = err.expect(line);
    err.strip_prefix("day.jsonl:3: ").expect(&err).to_owned()
}

#[test]
fn what_is_no_line_of_json_is_refused() {
    for (line, expected) in [
        ("at 60", "column 1: expected value"),
        ("{\"at_s\": 60", "column 11: EOF while parsing an object"),
        ("{\"at_s\": 60} {}", "column 14: trailing characters"),
        ("[60]", "invalid type: sequence, expected a map"),
        ("\u{0}\u{1}", "column 1: expected value"),
    ] {
        assert_eq!(refusal(line), expected);
    }
    let long = format!("{{\"at_s\": 60{}}}", " ".repeat(70_000));
    assert_eq!(refusal(&long), "the line is longer than 65536 bytes");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    assert_eq!(
        refusal("{\"at_s\": 9, \"at_s\": 10}"),
        "column 18: duplicate key \"at_s\""
    );
    assert_eq!(
        refusal("{\"at_s\": 9, \"signals\": {\"pid.available\": 1, \"pid.available\": 10000}}"),
        "column 59: duplicate key \"pid.available\""
    );
}

#[test]
fn what_is_no_moment_is_refused_by_its_key() {
    let not_earlier = "expected no earlier time than 10 of the line before";
    let quantity = "expected a number or a quantity from 0 on, such as \"1500Mi\"";
    let signals = |name: &str, value: Value| json!({ "at_s": 60, "signals": { name: value } });
    for (line, expected) in [
        (
            json!({}),
            "at_s: got nothing, expected seconds, such as 60".to_owned(),
        ),
        (
            json!({ "at_s": "1m" }),
            "at_s: got \"1m\", expected seconds, such as 60".into(),
        ),
        (
            json!({ "at_s": -1 }),
            "at_s: got -1, expected seconds from 0 on".into(),
        ),
        (
            json!({ "at_s": 1e300 }),
            "at_s: got 1e+300, expected seconds from 0 on".into(),
        ),
        (
            json!({ "at_s": 9.9 }),
            format!("at_s: got 9.9, {not_earlier}"),
        ),
        (
            json!({ "at": 60 }),
            "at: unknown key; known here: at_s, signals".into(),
        ),
        (
            json!({ "at_s": 60, "signals": [] }),
            "signals: got a list, expected an object such as {\"memory.available\": \"1500Mi\"}"
                .into(),
        ),
        (
            signals("nodefs.inode", json!(1)),
            "signals.nodefs.inode: unknown key; did you mean \"nodefs.inodes\"?".into(),
        ),
        (
            signals("memory.available", json!("1500MB")),
            format!("signals.memory.available: got \"1500MB\", {quantity}"),
        ),
        (
            signals("pid.capacity", json!(-1)),
            format!("signals.pid.capacity: got -1, {quantity}"),
        ),
        (
            signals("nodefs.inodes", json!(true)),
            format!("signals.nodefs.inodes: got true, {quantity}"),
        ),
    ] {
        assert_eq!(refusal(&line.to_string()), expected);
    }
}

fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodling-agent"));
    command
        .args(arguments)
        .env_remove("NODLING_BROKER_PASSWORD");
    command
}

#[test]
fn the_program_replays_a_file_under_its_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let config = write(
        &directory,
        "agent.toml",
        "[eviction_hard]\n\"pid.available\" = \"100\"\n",
    );
    let lines = "{\"at_s\": 5, \"signals\": {\"pid.available\": 99}}\n{\"at_s\": 4}\n";
    let recorded = write(&directory, "day.jsonl", lines);
    let output = agent(&["replay", &recorded, "--config", &config])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"at_s\":5,\"conditions\":{\"MemoryPressure\":{\"status\":\"False\",\"since_s\":5},\
         \"DiskPressure\":{\"status\":\"False\",\"since_s\":5},\
         \"PIDPressure\":{\"status\":\"True\",\"since_s\":5}},\
         \"thresholds_met\":[\"pid.available\"]}\n"
    );
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "nodling-agent: {recorded}:2: at_s: got 4, expected no earlier time than 5 of the \
             line before\n"
        )
    );
    let missing = agent(&["replay", "/nonexistent.jsonl", "--config", &config])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(
        said.starts_with("nodling-agent: reading /nonexistent.jsonl: "),
        "{said}"
    );
    let directory = directory.path().to_str().unwrap();
    let unreadable = agent(&["replay", directory, "--config", &config])
        .output()
        .unwrap();
    let said = String::from_utf8(unreadable.stderr).unwrap();
    assert!(
        said.contains(&format!("reading {directory}: Is a directory")),
        "{said}"
    );
}

#[test]
fn a_line_is_answered_before_the_next_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let config = write(&directory, "agent.toml", "");
    let mut child = agent(&["replay", "-", "--config", &config])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for at_s in 0..3 {
        writeln!(input, "{{\"at_s\": {at_s}}}").unwrap();
        let answer: Value = serde_json::from_str(&output.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["at_s"], at_s);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

proptest! {
    #[test]
    fn the_order_of_signals_in_a_line_changes_nothing(
        available in prop::collection::vec(0_u64..200, 5),
        order in Just([0, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let names = ["memory", "nodefs", "imagefs", "containerfs", "pid"];
        let line = |order: &[usize]| {
            let signals: Vec<_> = order
                .iter()
                .map(|at| format!("\"{0}.available\": {1}, \"{0}.capacity\": 1000", names[*at], available[*at]))
                .collect();
            format!("{{\"at_s\": 1, \"signals\": {{{}}}}}\n", signals.join(", "))
        };
        let sorted = try_replay("", &line(&[0, 1, 2, 3, 4]));
        prop_assert_eq!(&sorted.1, &None);
        prop_assert_eq!(try_replay("", &line(&order)), sorted);
    }

    #[test]
    fn any_line_is_judged_or_refused(line in "\\PC{0,80}") {
        try_replay("", &line);
    }
}

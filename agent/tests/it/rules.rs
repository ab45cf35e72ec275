//! Owners' conditions from the file, with its errors, to Facts, beats and what `assess` prints.

use std::path::Path;

use nodling_agent::assess::{State, assess};
use nodling_agent::config::Config;
use nodling_agent::describe::describe;
use nodling_agent::encode::{Encoder, Identity, facts};
use nodling_agent::observe::Observation;
use nodling_protocol::facts::Label;
use nodling_protocol::{Facts, Frame, Heartbeat, Instance, Status, WillHash};

use crate::support::{Breakage, NO_WISHES, fixture, observe};

const IDLE: &str = "raspberry-pi-4b/idle";
static IDENTITY: Identity<'_> = Identity {
    registration: &NO_WISHES,
    node: "attic",
    will_hash: WillHash([7; WillHash::LEN]),
    interval_ms: 10_000,
};

const HOT: &str = "[[condition]]\ntype = \"Hot\"\nwhen = \"temperature > 60\"\n";
const COMPARISON: &str =
    "a reading, one of < <= > >=, and a number, such as \"attic.temperature > 45\"";
const APART: &str =
    "a comparison that cannot hold together with when, such as \"temperature <= 60\"";

const TRUE: Option<Status> = Some(Status::True);
const FALSE: Option<Status> = Some(Status::False);
const UNKNOWN: Option<Status> = Some(Status::Unknown);

/// Remembers nothing yet, and judges by the rules of a file.
fn state(text: &str) -> State {
    State::new(Config::parse("agent.toml", text).unwrap().assess)
}

fn error(text: &str) -> String {
    Config::parse("agent.toml", text).unwrap_err().to_string()
}

fn message(frame: &[u8]) -> &[u8] {
    Frame::parse(frame).unwrap().clear().unwrap().message
}

#[test]
fn a_condition_is_whole_or_refused_with_its_place() {
    let name = "a name of at most 63 letters and digits that begins with a capital and that no \
                other condition has, such as \"EnclosureHot\"";
    for (text, expected) in [
        (
            format!("{HOT}\n[[condition]]\ntype = \"A\"\nwhen = \"attic.temperature >> 45\"\n"),
            format!(
                "7: condition.when: got \"attic.temperature >> 45\" (column 20: \">\" is no \
                 number), expected {COMPARISON}"
            ),
        ),
        (
            "\n\n[[condition]]\nwhen = \"a > 1\"\n".into(),
            format!("3: condition.type: got nothing, expected {name}"),
        ),
        (
            "[[condition]]\ntype = \"Hot\"\n".into(),
            format!("1: condition.when: got nothing, expected {COMPARISON}"),
        ),
        (
            "[[condition]]\ntype = \"Ready\"\n".into(),
            format!("2: condition.type: got \"Ready\", expected {name}"),
        ),
        (
            "[[condition]]\ntype = \"DiskPressure\"\n".into(),
            format!("2: condition.type: got \"DiskPressure\", expected {name}"),
        ),
        (
            "[[condition]]\ntype = \"enclosure-hot\"\n".into(),
            format!("2: condition.type: got \"enclosure-hot\", expected {name}"),
        ),
        (
            format!("{HOT}{HOT}"),
            format!("5: condition.type: got \"Hot\", expected {name}"),
        ),
        (
            "[[condition]]\ntype = 7\n".into(),
            format!("2: condition.type: got 7, expected {name}"),
        ),
        (
            "[[condition]]\ntype = \"Hot\"\nwhen = 45\n".into(),
            format!("3: condition.when: got 45, expected {COMPARISON}"),
        ),
        (
            format!("{HOT}for = \"soon\"\n"),
            "4: condition.for: got \"soon\", expected a duration such as \"60s\"".into(),
        ),
        (
            format!("{HOT}for = \"25h\"\n"),
            "4: condition.for: got \"25h\", expected a duration of at most \"24h\"".into(),
        ),
        (
            format!("{HOT}until = \"load1 < 61\"\n"),
            "4: condition.until: unknown key; known here: type, when, for, clear".into(),
        ),
        (
            "[condition]\ntype = \"Hot\"\n".into(),
            "1: condition: got a table, expected tables: [[condition]]".into(),
        ),
        (
            "condition = [1]\n".into(),
            "1: condition: got 1, expected tables: [[condition]]".into(),
        ),
    ] {
        assert_eq!(error(&text), format!("agent.toml:{expected}"), "{text}");
    }
}

#[test]
fn an_end_that_is_no_end_is_refused() {
    for (text, expected) in [
        (
            format!("{HOT}clear = \"temperature < 50 C\"\n"),
            format!(
                "4: condition.clear: got \"temperature < 50 C\" (column 18: \"C\" follows the \
                 number), expected {COMPARISON}"
            ),
        ),
        (
            format!("{HOT}clear = \"temperature < 61\"\n"),
            format!(
                "4: condition.clear: got \"temperature < 61\" (both can hold at once), expected \
                 {APART}"
            ),
        ),
        (
            format!("{HOT}clear = \"load1 < 61\"\n"),
            format!(
                "4: condition.clear: got \"load1 < 61\" (another reading than in when), expected \
                 {APART}"
            ),
        ),
    ] {
        assert_eq!(error(&text), format!("agent.toml:{expected}"), "{text}");
    }
}

#[test]
fn sixteen_conditions_are_enough() {
    let tables = |count: usize| -> String {
        let table = |at| format!("[[condition]]\ntype = \"T{at}\"\nwhen = \"load1 > {at}\"\n");
        (0..count).map(table).collect::<Vec<_>>().concat()
    };
    let config = Config::parse("agent.toml", &tables(16)).unwrap();
    assert_eq!(config.assess.rules.len(), 16);
    assert_eq!(
        error(&tables(17)),
        "agent.toml:49: condition: got 17 tables, expected at most 16"
    );
}

#[test]
fn check_prints_conditions_as_they_would_be_written() {
    let text = "[[condition]]\ntype = \"Hot\"\nwhen = \"attic.temperature>45\"\nfor = \"60s\"\n\
                clear = \"attic.temperature<40.5\"\n[[condition]]\ntype = \"Loaded\"\n\
                when = \"load1 >= 4\"\n";
    let config = Config::parse("agent.toml", text).unwrap();
    let printed = config
        .resolved("attic", Path::new("/var/lib/x"))
        .to_string();
    let expected = "[[condition]]\ntype = \"Hot\"\nwhen = \"attic.temperature > 45\"\n\
                    for = \"1m\"\nclear = \"attic.temperature < 40.5\"\n\n\
                    [[condition]]\ntype = \"Loaded\"\nwhen = \"load1 >= 4\"\nfor = \"0s\"\n\
                    # clear is not set: load1 < 4\n";
    assert!(printed.ends_with(expected), "{printed}");
    let again = Config::parse("printed", &printed.replace("# broker", "#")).unwrap();
    let bands = |config: &Config| -> Vec<_> {
        let rules = config.assess.rules.iter();
        rules
            .map(|rule| (rule.band.clone(), rule.lasting))
            .collect()
    };
    assert_eq!(bands(&again), bands(&config));
}

#[test]
fn facts_that_do_not_fit_lose_what_rules_say_before_labels() {
    let observation = observe(&fixture(IDLE).path);
    let name = "n".repeat(63);
    let tables = (0..16)
        .map(|at| {
            let type_ = format!("T{at:0>62}");
            format!(
                "[[condition]]\ntype = \"{type_}\"\nwhen = \"{name} > 99999999.9999999999\"\n\
                 for = \"23h59m59s999ms\"\nclear = \"{name} < -99999999.9999999999\"\n"
            )
        })
        .collect::<Vec<_>>();
    let assessment = assess(&mut state(&tables.concat()), &observation);
    let value = "v".repeat(63);
    let mut said = facts(IDENTITY, &observation, &assessment);
    let mut encoder = Encoder::new(Instance(1), 0);
    let heard = |frame: &[u8]| {
        let heard = Facts::decode(message(frame)).unwrap();
        let names = heard.conditions.iter().map(|custom| custom.name.len());
        assert_eq!(names.collect::<Vec<_>>(), [63; 16]);
        (heard.conditions[0].rule.len(), heard.labels.len())
    };
    let rule_len = assessment.rules[0].words.len();
    assert_eq!(heard(encoder.facts(said.clone())), (rule_len, 0));
    for _ in 0..32 {
        let (key, value) = (name.as_str(), value.as_str());
        said.labels.push(Label { key, value }).unwrap();
    }
    assert!(encoder.has_news(&said), "the labels");
    let interval_ms = said.interval_ms + 1;
    assert!(
        encoder.has_news(&Facts {
            interval_ms,
            ..said.clone()
        }),
        "the interval"
    );
    assert_eq!(heard(encoder.facts(said)), (0, 32));
}

#[test]
fn rules_are_named_by_facts_and_judged_by_beats_in_the_order_of_the_file() {
    let text = "[[condition]]\ntype = \"Warm\"\nwhen = \"temperature > 40.0\"\n\
                [[condition]]\ntype = \"Nowhere\"\nwhen = \"attic.temperature > 45\"\n\
                [[condition]]\ntype = \"Busy\"\nwhen = \"load1 > 1000\"\nfor = \"60s\"\n";
    let mut state = state(text);
    let observation = observe(&fixture(IDLE).path);
    let assessment = assess(&mut state, &observation);
    let mut encoder = Encoder::new(Instance(1), 0);
    let said = facts(IDENTITY, &observation, &assessment);
    let frame = encoder.facts(said).to_vec();
    let heard = Facts::decode(message(&frame)).unwrap();
    let named: Vec<_> = heard
        .conditions
        .iter()
        .map(|custom| (custom.name, custom.rule))
        .collect();
    assert_eq!(
        named,
        [
            ("Warm", "temperature > 40.0"),
            ("Nowhere", "attic.temperature > 45"),
            ("Busy", "load1 > 1000 for 60s"),
        ]
    );
    let frame = encoder.heartbeat(&assessment).to_vec();
    let beat = Heartbeat::decode(message(&frame)).unwrap();
    let judged: Vec<_> = (0..4).map(|index| beat.custom.get(index)).collect();
    assert_eq!(judged, [TRUE, None, FALSE, None]);

    let printed = describe(&observation, &assessment, &NO_WISHES);
    let conditions = printed["status"]["conditions"].as_array().unwrap();
    let shown: Vec<_> = conditions[conditions.len() - 3..]
        .iter()
        .map(|condition| {
            let text = |key: &str| condition[key].as_str().unwrap().to_owned();
            [
                text("type"),
                text("status"),
                text("reason"),
                text("message"),
            ]
            .join("/")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Warm/True/Warm/temperature > 40.0",
            "Busy/False/NoBusy/load1 > 1000 for 60s",
            "Ready/True/KubeletReady/nodling-agent is posting ready status",
        ]
    );
    let unjudged = printed["unjudged"].as_array().unwrap();
    assert_eq!(unjudged.len(), 1);
    assert_eq!(unjudged[0]["type"], "Nowhere");
    let why = unjudged[0]["why"].as_str().unwrap();
    assert_eq!(
        why,
        "this board has no reading attic.temperature: did you mean temperature?"
    );
}

#[test]
fn a_rule_on_a_reading_that_broke_keeps_its_status_for_a_while() {
    let text = "[[condition]]\ntype = \"Loaded\"\nwhen = \"load1 >= 0\"\n";
    let mut state = state(text);
    let fixture = fixture(IDLE);
    let copy = fixture.copy();
    let fine = observe(copy.path());
    Breakage::Garbled.apply(&copy.path().join("proc/loadavg"));
    let broken = observe(copy.path());
    let mut at = |at_s: u64, observation: &Observation| {
        let mut observation = observation.clone();
        observation.uptime_ms = at_s * 1000;
        assess(&mut state, &observation).custom.get(0)
    };
    assert_eq!(at(0, &fine), TRUE);
    assert_eq!(at(10, &broken), TRUE);
    assert_eq!(at(310, &broken), UNKNOWN);
    assert_eq!(at(320, &fine), TRUE);
}

#[test]
fn a_share_of_time_is_not_true_before_it_is_known() {
    let text = "[[condition]]\ntype = \"Up\"\nwhen = \"cpu_busy >= 0\"\n";
    let mut state = state(text);
    let mut observation = observe(&fixture(IDLE).path);
    assert_eq!(assess(&mut state, &observation).custom.get(0), FALSE);
    observation.uptime_ms += 10_000;
    let cpu = observation.cpu.as_mut().unwrap().as_mut().unwrap();
    cpu.total.idle_ticks += 1000;
    assert_eq!(assess(&mut state, &observation).custom.get(0), TRUE);
}

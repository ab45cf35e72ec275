//! Owners' conditions from the file to Facts, beats and what `assess` prints.

use nodling_agent::assess::{State, assess};
use nodling_agent::config::Config;
use nodling_agent::describe::describe;
use nodling_agent::encode::{Encoder, Identity, facts};
use nodling_agent::observe::Observation;
use nodling_protocol::facts::Label;
use nodling_protocol::{Facts, Frame, Heartbeat, Instance, Status, WillHash};

use crate::support::{Breakage, fixture, observe};

const IDLE: &str = "raspberry-pi-4b/idle";
const IDENTITY: Identity<'_> = Identity {
    node: "attic",
    will_hash: WillHash([7; WillHash::LEN]),
    interval_ms: 10_000,
};

const TRUE: Option<Status> = Some(Status::True);
const FALSE: Option<Status> = Some(Status::False);
const UNKNOWN: Option<Status> = Some(Status::Unknown);

/// Remembers nothing yet, and judges by the rules of a file.
fn state(text: &str) -> State {
    State::new(Config::parse("agent.toml", text).unwrap().assess)
}

fn message(frame: &[u8]) -> &[u8] {
    Frame::parse(frame).unwrap().clear().unwrap().message
}

#[test]
fn facts_that_do_not_fit_lose_what_rules_say_before_labels() {
    let observation = observe(&fixture(IDLE).path);
    let name = "n".repeat(63);
    let text: String = (0..16)
        .map(|at| {
            let type_ = format!("T{at:0>62}");
            format!(
                "[[condition]]\ntype = \"{type_}\"\nwhen = \"{name} > 99999999.9999999999\"\n\
                 for = \"23h59m59s999ms\"\nclear = \"{name} < -99999999.9999999999\"\n"
            )
        })
        .collect();
    let assessment = assess(&mut state(&text), &observation);
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

    let printed = describe(&observation, &assessment);
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

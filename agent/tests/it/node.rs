//! Who a node is, as Kubernetes is told: system information source by source, names and
//! addresses, and what is asked at registration.

#![expect(
    clippy::disallowed_methods,
    reason = "tests arrange the files that are then read"
)]

use nodling_agent::assess::{self, Assessment, State, assess};
use nodling_agent::config::Config;
use nodling_agent::describe::describe;
use nodling_agent::encode::{Encoder, Identity, facts, system};
use nodling_agent::observe::Observation;
use nodling_agent::registration::Registration;
use nodling_protocol::facts::TaintEffect;
use nodling_protocol::{Facts, Frame, Instance, MAX_FRAME_LEN, WillHash};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{fixture, observe, write};

const ID: &str = "0123456789abcdef0123456789abcdef";
const OTHER_ID: &str = "fedcba9876543210fedcba9876543210";

fn copy() -> TempDir {
    let copy = fixture("raspberry-pi-4b/idle").copy();
    for file in [
        "etc/machine-id",
        "etc/os-release",
        "sys/class/dmi/id/product_uuid",
    ] {
        let _ = std::fs::remove_file(copy.path().join(file));
    }
    copy
}

fn once(observation: &Observation, config: &Config) -> Assessment {
    assess(&mut State::new(config.assess.clone()), observation)
}

fn described(observation: &Observation, text: &str) -> Value {
    let config = Config::parse("agent.toml", text).unwrap();
    let assessment = once(observation, &config);
    describe(observation, &assessment, &config.registration)
}

/// The error of the reading of a name.
fn error_of(described: &Value, name: &str) -> String {
    let readings = described["readings"].as_array().unwrap();
    let found = readings.iter().find(|reading| reading["name"] == name);
    let error = found.map(|reading| reading["error"].as_str().unwrap().to_owned());
    error.unwrap_or_default()
}

#[test]
fn ids_come_from_the_first_source_that_has_one() {
    let copy = copy();
    let seen = |machine: &str, system_uuid: &str| {
        let observation = observe(copy.path());
        let info = system(&observation);
        assert_eq!((info.machine_id, info.system_uuid), (machine, system_uuid));
    };
    seen("", "");
    write(copy.path(), "var/lib/dbus/machine-id", format!("{ID}\n"));
    seen(ID, ID);
    write(copy.path(), "etc/machine-id", "uninitialized\n");
    seen(ID, ID);
    write(copy.path(), "etc/machine-id", [0xFF; 32]);
    seen(ID, ID);
    write(copy.path(), "etc/machine-id", format!("{OTHER_ID}\n"));
    seen(OTHER_ID, OTHER_ID);
    write(copy.path(), "proc/device-tree/vm,uuid", "vm\0");
    seen(OTHER_ID, "vm");
    write(copy.path(), "proc/device-tree/system-id", "board\0");
    seen(OTHER_ID, "board");
    write(copy.path(), "sys/class/dmi/id/product_uuid", "dmi\n");
    seen(OTHER_ID, "dmi");
    write(copy.path(), "sys/class/dmi/id/product_uuid", [0, 1, 2, 255]);
    seen(OTHER_ID, "board");
}

#[test]
fn the_image_is_os_releases_or_kubelets_word_for_none() {
    let copy = copy();
    let image = || {
        let observation = observe(copy.path());
        system(&observation).os_image.to_owned()
    };
    assert_eq!(image(), "Unknown");
    write(copy.path(), "usr/lib/os-release", "PRETTY_NAME='Alpine'\n");
    assert_eq!(image(), "Alpine");
    write(copy.path(), "etc/os-release", "ID=x\n");
    assert_eq!(image(), "Linux");
    write(copy.path(), "etc/os-release", "x".repeat(100_000));
    assert_eq!(image(), "Alpine");
    std::fs::remove_file(copy.path().join("usr/lib/os-release")).unwrap();
    assert_eq!(image(), "Unknown");
    let described = described(&observe(copy.path()), "");
    assert_eq!(described["status"]["nodeInfo"]["osImage"], "Unknown");
    assert_eq!(
        error_of(&described, "os_image"),
        "etc/os-release: longer than 65536 bytes"
    );
}

#[test]
fn a_host_name_in_upper_case_is_a_node_in_lower_case() {
    let copy = copy();
    let file = copy.path().join("syscalls.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("nodename"))
        .unwrap();
    std::fs::write(&file, text.replace(line, "nodename = \"Attic.LAN\"")).unwrap();
    let observation = observe(copy.path());
    let hostname = &observation.fixed.host.hostname;
    assert_eq!(Config::default().node_name(hostname).unwrap(), "attic.lan");
    let plain = described(&observation, "");
    assert_eq!(plain["status"]["addresses"][1]["address"], "attic.lan");
    assert_eq!(plain["labels"]["kubernetes.io/hostname"], "attic.lan");
    let named = described(&observation, "node_name = \"other\"");
    assert_eq!(named["labels"]["kubernetes.io/hostname"], "attic.lan");
    let overridden = described(&observation, "hostname_override = \"Cellar\"");
    assert_eq!(overridden["status"]["addresses"][1]["address"], "cellar");
    assert_eq!(overridden["labels"]["kubernetes.io/hostname"], "cellar");
}

#[test]
fn the_last_addresses_stand_while_none_can_be_found() {
    let copy = copy();
    let before = observe(copy.path());
    write(
        copy.path(),
        "proc/net/route",
        "Iface\tDestination\tGateway\n",
    );
    write(copy.path(), "proc/net/ipv6_route", "");
    let without = observe(copy.path());
    let mut state = State::new(assess::Config::default());
    let first = assess(&mut state, &before);
    assert_eq!((first.addresses.len(), first.address_error), (2, None));
    let second = assess(&mut state, &without);
    assert_eq!(second.addresses, first.addresses);
    assert!(second.address_error.is_some() && state.address_error().is_some());
    let third = assess(&mut state, &before);
    assert_eq!((third.address_error, state.address_error()), (None, None));
    // Nothing was found yet: nothing is said, and the gateway leaves what is listed.
    let described = described(&without, "");
    assert_eq!(described["status"]["addresses"], Value::Array(Vec::new()));
    assert!(error_of(&described, "node_addresses").contains("no default routes found"));
}

#[test]
fn a_configured_address_that_is_not_the_hosts_is_an_error_of_its_own() {
    let observation = observe(&fixture("raspberry-pi-4b/idle").path);
    let described = described(&observation, "node_ip = \"10.11.12.13\"");
    assert_eq!(
        error_of(&described, "node_addresses"),
        "failed to validate nodeIP: node IP: \"10.11.12.13\" not found in the host's network \
         interfaces"
    );
}

#[test]
fn what_is_asked_for_is_shown_as_the_gateway_will_take_it() {
    let observation = observe(&fixture("raspberry-pi-4b/idle").path);
    let described = described(
        &observation,
        "[node_labels]\n\"kubernetes.io/hostname\" = \"mine\"\n\"kubernetes.io/arch\" = \"z80\"\n\
         \"nodling.dev/agent-only\" = \"false\"\nfloor = \"3\"\n\
         [[register_with_taints]]\nkey = \"slow\"\neffect = \"NoExecute\"\n",
    );
    let labels = &described["labels"];
    assert_eq!(labels["kubernetes.io/hostname"], "mine");
    assert_eq!(labels["kubernetes.io/arch"], "arm64");
    assert_eq!(labels["nodling.dev/agent-only"], "true");
    assert_eq!(labels["floor"], "3");
    let taints = described["taints"].as_array().unwrap();
    assert_eq!(taints.len(), 2);
    assert_eq!(
        (&taints[1]["key"], &taints[1]["effect"]),
        (&"slow".into(), &"NoExecute".into())
    );
}

#[test]
fn facts_carry_what_is_asked_for_however_much_it_is() {
    let observation = observe(&fixture("raspberry-pi-4b/idle").path);
    let assessment = once(&observation, &Config::default());
    let mut registration = Registration {
        register_node: false,
        ..Registration::new()
    };
    let value = "v".repeat(63);
    // As much as the configuration lets through.
    for at in 0..32 {
        let key = format!("{at:02}.{}", "k".repeat(30));
        registration
            .node_labels
            .insert(key.into(), value.as_str().into());
    }
    for at in 0..8 {
        registration
            .taints
            .push(nodling_agent::registration::Taint {
                key: format!("{at}.{}", "k".repeat(60)).into(),
                value: value.as_str().into(),
                effect: TaintEffect::PreferNoSchedule,
            });
    }
    let identity = Identity {
        node: "attic",
        will_hash: WillHash([7; WillHash::LEN]),
        interval_ms: 10_000,
        registration: &registration,
    };
    let mut encoder = Encoder::new(Instance(1), 0);
    let said = facts(identity, &observation, &assessment);
    let frame = encoder.facts(said).to_vec();
    assert!(frame.len() <= MAX_FRAME_LEN);
    let heard = Facts::decode(Frame::parse(&frame).unwrap().clear().unwrap().message).unwrap();
    assert!(!heard.register_node);
    assert_eq!((heard.labels.len(), heard.taints.len()), (32, 8));
    assert_eq!(heard.taints[7].effect, TaintEffect::PreferNoSchedule);
    let wishes = Registration::new();
    let plain = facts(
        Identity {
            registration: &wishes,
            ..identity
        },
        &observation,
        &assessment,
    );
    assert!(encoder.has_news(&plain));
    let otherwise = facts(identity, &observation, &assessment);
    assert!(encoder.has_news(&otherwise), "a label is news");
}

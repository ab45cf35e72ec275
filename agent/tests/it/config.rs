//! The configuration: its example, its errors, and who beats whom.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write the files that are then read"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodling_agent::config::{Config, ConfigError, Environment, Overrides};
use nodling_agent::publish::broker::Secret;
use tracing::level_filters::LevelFilter;

const EXAMPLE: &str = include_str!("../../agent.example.toml");

/// Every key, as the tables hold them.
const KEYS: [(&str, &[&str]); 14] = [
    (
        "",
        &[
            "node_name",
            "fleet",
            "broker",
            "state_dir",
            "interval",
            "merge_default_eviction_settings",
            "eviction_pressure_transition_period",
            "max_pods",
            "pods_per_core",
            "report_out_of_disk",
            "report_network_unavailable",
        ],
    ),
    ("tls", &["ca_file", "cert_file", "key_file"]),
    ("observe", &["filesystems"]),
    (
        "eviction_hard",
        &[
            "\"memory.available\"",
            "\"nodefs.available\"",
            "\"nodefs.inodesFree\"",
            "\"imagefs.available\"",
            "\"imagefs.inodesFree\"",
        ],
    ),
    ("eviction_soft", &["\"memory.available\""]),
    ("eviction_soft_grace_period", &["\"memory.available\""]),
    ("eviction_minimum_reclaim", &["\"memory.available\""]),
    ("system_reserved", &RESERVABLE),
    ("kube_reserved", &RESERVABLE),
    ("log", &["level"]),
    ("sensor", &["name", "kind", "bus", "address", "interval"]),
    ("sensor", &["name", "kind", "shunt_milliohm"]),
    ("sensor", &["name", "kind", "range_millivolt"]),
    ("condition", &["type", "when", "for", "clear"]),
];

const RESERVABLE: [&str; 4] = ["\"cpu\"", "\"memory\"", "\"ephemeral-storage\"", "\"pid\""];

fn error(text: &str) -> String {
    Config::parse("agent.toml", text).unwrap_err().to_string()
}

#[test]
fn the_example_is_the_default() {
    let parsed = Config::parse("agent.example.toml", EXAMPLE).unwrap();
    assert_eq!(parsed, Config::default());
}

#[test]
fn the_example_shows_every_key_and_uncommented_it_is_valid() {
    let mut table = "";
    let mut shown = Vec::new();
    let mut uncommented = String::new();
    for line in EXAMPLE.lines() {
        let line = line
            .strip_prefix('#')
            .filter(|rest| !rest.starts_with(' '))
            .unwrap_or(line);
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']);
        }
        if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            shown.push((table, key));
        }
        uncommented.push_str(line);
        uncommented.push('\n');
    }
    let keys = KEYS
        .iter()
        .flat_map(|(table, keys)| keys.iter().map(|key| (*table, *key)));
    assert_eq!(shown, keys.collect::<Vec<_>>());
    let parsed = Config::parse("agent.example.toml", &uncommented).unwrap();
    assert_eq!(parsed.node_name.as_deref(), Some("attic"));
    assert!(parsed.broker.is_some() && parsed.tls.key_file.is_some());
    let rules = parsed.assess.rules.iter().map(|rule| &*rule.words);
    assert_eq!(
        rules.collect::<Vec<_>>(),
        ["attic.temperature > 45 for 60s, clear attic.temperature < 40"]
    );
    assert_eq!(parsed.assess.thresholds.soft.len(), 1);
    assert_eq!(parsed.assess.reserved.kube.len(), RESERVABLE.len());
}

#[test]
fn every_key_has_a_place_in_the_configuration() {
    // A field that is added without a key in the example fails to compile here first.
    let Config {
        node_name,
        fleet,
        broker,
        state_dir,
        interval,
        tls,
        observe,
        assess,
        log,
    } = Config::default();
    assert!(node_name.is_none() && broker.is_none() && state_dir.is_none());
    assert_eq!(
        (fleet.as_str(), interval),
        ("home", Duration::from_secs(10))
    );
    let nodling_agent::publish::Config {
        ca_file,
        cert_file,
        key_file,
    } = tls;
    assert_eq!((ca_file, cert_file, key_file), (None, None, None));
    let nodling_agent::observe::Config {
        filesystems,
        sensors,
    } = observe;
    assert!(filesystems.is_empty() && sensors.is_empty());
    let nodling_agent::assess::Config {
        thresholds,
        reserved,
        pods,
        rules,
        conditions,
    } = assess;
    assert!(conditions.reports_out_of_disk && conditions.reports_network_unavailable);
    assert_eq!((pods.max, pods.per_core), (0, 0));
    assert!(rules.is_empty());
    assert!(reserved.system.is_empty() && reserved.kube.is_empty());
    assert_eq!(thresholds.transition_period, Duration::from_mins(5));
    let nodling_agent::telemetry::Config { level } = log;
    assert_eq!(level, LevelFilter::INFO);
}

#[test]
fn what_is_not_reported_is_told_by_true_or_false() {
    let parsed = Config::parse("agent.toml", "report_out_of_disk = false").unwrap();
    let reports = parsed.assess.conditions;
    assert!(!reports.reports_out_of_disk && reports.reports_network_unavailable);
    for (text, expected) in [
        (
            "report_out_of_disk = \"no\"",
            "agent.toml:1: report_out_of_disk: got \"no\", expected true or false",
        ),
        (
            "fleet = \"home\"\nreport_network_unavailable = 0",
            "agent.toml:2: report_network_unavailable: got 0, expected true or false",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn errors_name_file_line_key_what_stands_there_and_what_should() {
    for (text, expected) in [
        (
            "fleet = \"home\"\n\ninterval = \"10 parsecs\"\n",
            "agent.toml:3: interval: got \"10 parsecs\", expected a duration such as \"10s\"",
        ),
        (
            "interval = \"2h\"",
            "agent.toml:1: interval: got \"2h\", expected a duration from \"1s\" to \"1h\"",
        ),
        (
            "interval = \"900ms\"",
            "agent.toml:1: interval: got \"900ms\", expected a duration from \"1s\" to \"1h\"",
        ),
        (
            "interval = 10",
            "agent.toml:1: interval: got 10, expected a duration such as \"10s\"",
        ),
        (
            "node_name = \"Attic\"",
            "agent.toml:1: node_name: got \"Attic\", expected a name of at most 253 \
             lower-case letters, digits, '-' and '.', such as \"attic\"",
        ),
        (
            "fleet = \"a.b\"",
            "agent.toml:1: fleet: got \"a.b\", expected a name of at most 63 lower-case \
             letters, digits and '-', such as \"home\"",
        ),
        (
            "broker = \"mqtt://u:secret@host:port\"",
            "agent.toml:1: broker: got \"mqtt://***@host:port\" (\"port\" is no port), expected \
             an address such as \"mqtt://user:password@host:1883\"",
        ),
        (
            "state_dir = \"here\"",
            "agent.toml:1: state_dir: got \"here\", expected a path that begins with /",
        ),
        (
            "[tls]\nca_file = true",
            "agent.toml:2: tls.ca_file: got true, expected a path that begins with /",
        ),
        (
            "tls = 1",
            "agent.toml:1: tls: got 1, expected a table: [tls]",
        ),
        (
            "[observe]\nfilesystems = [\"/data\", 3]",
            "agent.toml:2: observe.filesystems: got 3, expected a list of strings such as \
             [\"/data\"]",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "agent.toml:2: log.level: got \"loud\", expected one of \"error\", \"warn\", \
             \"info\", \"debug\", \"trace\"",
        ),
        (
            "\nflet = \"home\"",
            "agent.toml:2: flet: unknown key; did you mean fleet?",
        ),
        (
            "[tls]\n\npassword = \"x\"",
            "agent.toml:3: tls.password: unknown key; known here: ca_file, cert_file, key_file",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn what_is_no_key_and_no_toml_is_named_with_its_line() {
    let syntax = error("fleet = \"home\"\ninterval = \n");
    assert!(syntax.starts_with("agent.toml:2: "), "{syntax}");
    let twice = error("fleet = \"a\"\nfleet = \"b\"\n");
    assert_eq!(twice, "agent.toml:2: duplicate key fleet");
    let far = error("[obs]");
    assert!(
        far.contains("obs: unknown key; known here: node_name"),
        "{far}"
    );
}

struct Written {
    directory: tempfile::TempDir,
}

impl Written {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("agent.toml"), text).unwrap();
        Self { directory }
    }

    fn load(
        &self,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Config, ConfigError> {
        Config::load(Some(&self.path()), overrides, environment)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("agent.toml")
    }
}

#[test]
fn flags_beat_the_file() {
    let written = Written::new("node_name = \"a\"\ninterval = \"20s\"\nbroker = \"mqtt://a\"\n");
    let overrides = Overrides {
        node_name: Some("b".into()),
        broker: None,
        interval: Some("5s".into()),
    };
    let config = written.load(&overrides, &Environment::default()).unwrap();
    assert_eq!(config.node_name.as_deref(), Some("b"));
    assert_eq!(config.interval, Duration::from_secs(5));
    assert_eq!(config.broker.unwrap().host, "a");
    let overrides = Overrides {
        interval: Some("fast".into()),
        ..Overrides::default()
    };
    let err = written
        .load(&overrides, &Environment::default())
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        "--interval: got \"fast\", expected a duration such as \"10s\""
    );
}

#[test]
fn the_password_comes_from_outside() {
    let written = Written::new("broker = \"mqtt://attic:old@b\"\n");
    fs::write(
        written.directory.path().join("broker-password"),
        "from systemd\n",
    )
    .unwrap();
    let mut environment = Environment {
        credentials_dir: Some(written.directory.path().into()),
        ..Environment::default()
    };
    let password = |environment: &Environment| {
        let config = written.load(&Overrides::default(), environment).unwrap();
        config.broker.unwrap().password.unwrap().reveal().to_owned()
    };
    assert_eq!(password(&environment), "from systemd");
    environment.broker_password = Some(Secret::new("from the environment"));
    assert_eq!(password(&environment), "from the environment");
    assert_eq!(password(&Environment::default()), "old");
    let nobody = Written::new("broker = \"mqtt://b\"\n");
    let err = nobody
        .load(&Overrides::default(), &environment)
        .unwrap_err();
    assert!(matches!(err, ConfigError::NoUser), "{err}");
}

#[test]
fn tls_is_whole_or_refused() {
    let load = |text: &str| Written::new(text).load(&Overrides::default(), &Environment::default());
    let half = load("broker = \"mqtts://b\"\n[tls]\ncert_file = \"/a.pem\"\n");
    assert!(matches!(half, Err(ConfigError::HalfIdentity("key_file"))));
    let plain = load("broker = \"mqtt://b\"\n[tls]\nca_file = \"/a.pem\"\n");
    assert!(matches!(plain, Err(ConfigError::TlsWithoutTls)));
    let missing = load("broker = \"mqtts://b\"\n[tls]\nca_file = \"/nonexistent.pem\"\n");
    let err = missing.unwrap().read_pem().unwrap_err();
    assert_eq!(err.to_string(), "tls.ca_file: reading /nonexistent.pem");
}

#[test]
fn the_nodes_name_is_the_hosts_if_that_is_one() {
    let config = Config::default();
    assert_eq!(config.node_name("attic.lan").unwrap(), "attic.lan");
    let err = config.node_name("my_pi").unwrap_err().to_string();
    assert!(
        err.contains("\"my_pi\"") && err.contains("set node_name"),
        "{err}"
    );
    assert!(config.node_name("").is_err());
}

#[test]
fn the_state_directory_is_systemds_before_ours() {
    let environment = Environment {
        state_dir: Some("/run/given".into()),
        user_state_dir: Some("/users/u/.local/state/nodling-agent".into()),
        ..Environment::default()
    };
    let mut config = Config::default();
    assert_eq!(config.state_dir(&environment), Path::new("/run/given"));
    config.state_dir = Some("/configured".into());
    assert_eq!(config.state_dir(&environment), Path::new("/configured"));
}

#[test]
fn the_unit_says_what_it_is_meant_to() {
    let unit = include_str!("../../deploy/nodling-agent.service");
    for line in [
        "Type=notify",
        "WatchdogSec=60",
        "Before=systemd-user-sessions.service",
    ] {
        assert!(unit.lines().any(|has| has == line), "{line}");
    }
    for hides in ["ProcSubset=pid", "ProtectClock=yes", "PrivateDevices=yes"] {
        assert!(!unit.lines().any(|has| has == hides), "{hides}");
    }
}

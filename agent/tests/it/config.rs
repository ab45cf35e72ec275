//! The configuration: its example, its errors, and who beats whom.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write the files that are then read"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodling_agent::assess::node_ip::NodeIp;
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
            "hostname_override",
            "node_ip",
            "node_labels",
            "register_with_taints",
            "register_node",
            "container_runtime_endpoint",
            "fleet",
            "broker",
            "state_dir",
            "interval",
            "report_out_of_disk",
            "report_network_unavailable",
            "merge_default_eviction_settings",
            "eviction_pressure_transition_period",
            "max_pods",
            "pods_per_core",
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
    let registration = parsed.registration;
    assert_eq!(
        (registration.node_labels.len(), registration.taints.len()),
        (2, 1)
    );
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
        registration,
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
    let nodling_agent::registration::Registration {
        register_node,
        node_labels,
        taints,
    } = registration;
    assert!(register_node && node_labels.is_empty() && taints.is_empty());
    let nodling_agent::publish::Config {
        ca_file,
        cert_file,
        key_file,
    } = tls;
    assert_eq!((ca_file, cert_file, key_file), (None, None, None));
    let nodling_agent::observe::Config {
        filesystems,
        container_runtime_endpoint,
        sensors,
    } = observe;
    assert!(container_runtime_endpoint.is_none());
    assert!(filesystems.is_empty() && sensors.is_empty());
    let nodling_agent::assess::Config {
        thresholds,
        reserved,
        pods,
        rules,
        conditions,
        addresses,
    } = assess;
    let nodling_agent::assess::addresses::Config {
        node_ip,
        hostname_override,
    } = addresses;
    assert_eq!((node_ip, hostname_override), (NodeIp::default(), None));
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
fn every_duration_is_taken_as_the_kubelet_takes_its_own() {
    let text = "interval = \"1.5s\"\n\
                [[condition]]\ntype = \"Hot\"\nwhen = \"temperature > 70\"\nfor = \"0.5m250us\"\n";
    let config = Config::parse("agent.toml", text).unwrap();
    assert_eq!(config.interval, Duration::from_millis(1_500));
    let lasting = Duration::from_micros(30_000_250);
    assert_eq!(config.assess.rules[0].lasting, lasting);
    let shown = config.resolved("attic", Path::new("/state")).to_string();
    let again = Config::parse("shown.toml", &shown).unwrap();
    assert_eq!(again.interval, config.interval);
    assert_eq!(again.assess.rules[0].lasting, lasting, "{shown}");
}

#[test]
fn mount_points_are_the_kernels_and_stand_once() {
    let watched = |list: &str| {
        let text = format!("[observe]\nfilesystems = {list}\n");
        Config::parse("agent.toml", &text)
            .unwrap()
            .observe
            .filesystems
    };
    assert_eq!(
        watched("[\"/data/\", \"/mnt/my disk\", \"/\"]"),
        ["/data", "/mnt/my disk", "/"]
    );
    let mount_point = "a mount point such as \"/data\"";
    for (wrong, expected) in [
        ("data", mount_point),
        ("", mount_point),
        ("/mnt//nas", mount_point),
        ("/mnt/./nas", mount_point),
        ("/mnt/..", mount_point),
        ("//", mount_point),
        ("/srv", "each mount point once"),
        ("/srv/", "each mount point once"),
    ] {
        assert_eq!(
            error(&format!(
                "[observe]\nfilesystems = [\n  \"/srv\",\n  {wrong:?},\n]\n"
            )),
            format!("agent.toml:4: observe.filesystems: got {wrong:?}, expected {expected}")
        );
    }
}

#[test]
fn what_kubelet_refuses_of_a_node_is_refused() {
    for (text, expected) in [
        (
            "hostname_override = \" \"",
            "agent.toml:1: hostname_override: got \" \" (empty hostname is invalid), expected a \
             host name of at most 63 letters, digits, '-' and '.', such as \"attic\"",
        ),
        (
            "hostname_override = \"my_pi\"",
            "agent.toml:1: hostname_override: got \"my_pi\", expected a host name of at most 63 \
             letters, digits, '-' and '.', such as \"attic\"",
        ),
        (
            "node_ip = \"127.0.0.1\"",
            "agent.toml:1: node_ip: got \"127.0.0.1\" (nodeIP can't be loopback address), \
             expected an address of this host such as \"192.168.1.7\", one of each family such \
             as \"192.168.1.7,fd00::7\", or \"0.0.0.0\" or \"::\" for whichever is found",
        ),
        (
            "register_node = \"no\"",
            "agent.toml:1: register_node: got \"no\", expected true or false",
        ),
        (
            "[node_labels]\nfloor = 3",
            "agent.toml:2: node_labels.floor: got 3, expected a string",
        ),
        (
            "node_labels = [\"floor=3\"]",
            "agent.toml:1: node_labels: got a list, expected a table: [node_labels]",
        ),
        (
            "[node_labels]\n\nfloor = \"third floor\"",
            "agent.toml:3: node_labels.floor: got \"third floor\", expected at most 63 letters, \
             digits, '-', '_' and '.', a letter or digit first and last",
        ),
        (
            "[node_labels]\n\"the floor\" = \"3\"",
            "agent.toml:2: node_labels.the floor: got \"the floor\", expected a key of at most \
             63 letters, digits, '-', '_' and '.', perhaps behind a domain, such as \
             \"example.com/floor\"",
        ),
        (
            "[node_labels]\n\"node-role.kubernetes.io/worker\" = \"\"",
            "agent.toml:2: node_labels.node-role.kubernetes.io/worker: got \"\", expected no \
             unknown 'kubernetes.io' or 'k8s.io' label: what a kubelet may set there begins with \
             kubelet.kubernetes.io/ or node.kubernetes.io/, or is hostname, os, arch, \
             instance-type, or topology.kubernetes.io/zone or region",
        ),
        (
            "container_runtime_endpoint = \"tcp://localhost:1\"",
            "agent.toml:1: container_runtime_endpoint: got \"tcp://localhost:1\", expected a \
             socket such as \"unix:///run/containerd/containerd.sock\"",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn taints_are_whole_and_stand_once() {
    for (text, expected) in [
        (
            "[[register_with_taints]]\nkey = \"a b\"\neffect = \"NoSchedule\"",
            "agent.toml:2: register_with_taints.key: got \"a b\", expected a taint's key such as \
             \"example.com/slow\"",
        ),
        (
            "[[register_with_taints]]\nkey = \"a\"\nvalue = \"-\"\neffect = \"NoSchedule\"",
            "agent.toml:3: register_with_taints.value: got \"-\", expected at most 63 letters, \
             digits, '-', '_' and '.'",
        ),
        (
            "[[register_with_taints]]\nkey = \"a\"\neffect = \"Never\"",
            "agent.toml:3: register_with_taints.effect: got \"Never\", expected one of \
             \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ),
        (
            "[[register_with_taints]]\nkey = \"a\"",
            "agent.toml:1: register_with_taints.effect: got nothing, expected one of \
             \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ),
        (
            "register_with_taints = [\n  { key = \"a\", effect = \"NoExecute\" },\n  { key = \
             \"a\", value = \"b\", effect = \"NoExecute\" },\n]",
            "agent.toml:3: register_with_taints: got a:NoExecute again, expected taints that are \
             unique by key and effect",
        ),
        (
            "[[register_with_taints]]\nkey = \"a\"\neffect = \"NoExecute\"\ntimeAdded = 1",
            "agent.toml:4: register_with_taints.timeAdded: unknown key; known here: key, value, \
             effect",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn labels_and_taints_must_fit_a_frame() {
    use std::fmt::Write as _;
    let table = |count: usize, value: &str| {
        (0..count).fold("[node_labels]\n".to_owned(), |mut text, at| {
            writeln!(
                text,
                "\"{}.example.com/{at}\" = \"{value}\"",
                "d".repeat(60)
            )
            .unwrap();
            text
        })
    };
    assert!(Config::parse("agent.toml", &table(32, "")).is_ok());
    assert_eq!(
        error(&table(33, "")),
        "agent.toml:1: node_labels: got 33 labels, expected at most 32"
    );
    assert_eq!(
        error(&table(32, &"v".repeat(63))),
        "agent.toml:1: node_labels: got labels of 4406 bytes, expected at most 3072 bytes together"
    );
    let taints = |count: usize| {
        (0..count).fold(String::new(), |mut text, at| {
            writeln!(
                text,
                "[[register_with_taints]]\nkey = \"t{at}\"\neffect = \"NoExecute\""
            )
            .unwrap();
            text
        })
    };
    assert_eq!(
        Config::parse("agent.toml", &taints(8))
            .unwrap()
            .registration
            .taints
            .len(),
        8
    );
    assert_eq!(
        error(&taints(9)),
        "agent.toml:25: register_with_taints: got 9 taints, expected at most 8"
    );
}

#[test]
fn what_is_resolved_says_the_same_when_it_is_read_again() {
    let text = "hostname_override = \"Cellar\"\nnode_ip = \"192.168.1.7,fd00::7\"\n\
        register_node = false\n\
        container_runtime_endpoint = \"/run/crio/crio.sock\"\n\
        register_with_taints = [{ key = \"a\", effect = \"NoExecute\" }]\n\
        [node_labels]\n\"example.com/floor\" = \"3\"\nempty = \"\"\n";
    let config = Config::parse("agent.toml", text).unwrap();
    let shown = config.resolved("cellar", Path::new("/s")).to_string();
    let again = Config::parse("check", &shown).unwrap();
    assert_eq!(again.registration, config.registration);
    assert_eq!(again.assess, config.assess);
    assert_eq!(again.observe, config.observe);
    assert!(shown.contains("hostname_override = \"cellar\""), "{shown}");
    let plain = Config::default().resolved("a", Path::new("/s")).to_string();
    let again = Config::parse("check", &plain).unwrap();
    assert_eq!(again.registration, Config::default().registration);
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

fn named(text: &str, hostname: &str) -> String {
    let config = Config::parse("agent.toml", text).unwrap();
    config.node_name(hostname).unwrap()
}

#[test]
fn the_nodes_name_is_the_hosts_if_that_is_one() {
    let config = Config::default();
    assert_eq!(config.node_name("attic.lan").unwrap(), "attic.lan");
    assert_eq!(
        named("hostname_override = \" Cellar.LAN \"", "attic"),
        "cellar.lan"
    );
    let both = "hostname_override = \"cellar\"\nnode_name = \"other\"";
    assert_eq!(named(both, "attic"), "other");
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
        "TasksMax=48",
    ] {
        assert!(unit.lines().any(|has| has == line), "{line}");
    }
    for hides in ["ProcSubset=pid", "ProtectClock=yes", "PrivateDevices=yes"] {
        assert!(!unit.lines().any(|has| has == hides), "{hides}");
    }
}

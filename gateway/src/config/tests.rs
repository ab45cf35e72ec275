//! Configuration as users write it, right and wrong.

use super::*;

const EXAMPLE: &str = include_str!("../../gateway.example.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("gateway.toml"), text)
}

fn complaint(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// The example with every `#key = …` line switched on.
fn example_in_full() -> String {
    let switched_on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE
        .lines()
        .map(|line| switched_on(line) + "\n")
        .collect()
}

fn keys(text: &str) -> Vec<String> {
    let mut table = String::new();
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']').to_owned() + ".";
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push(format!("{table}{key}"));
        }
    }
    keys.sort();
    keys
}

#[test]
fn the_example_is_the_default() {
    assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn the_example_shows_every_key() {
    let mut table: toml::Table = toml::from_str(&example_in_full()).unwrap();
    // The two exclude each other; everything else stands together.
    table.remove("embedded_broker");
    let config: Config = table.try_into().unwrap();
    let embedded = Some("127.0.0.1:1883".parse().unwrap());
    let printed = Config {
        embedded_broker: embedded,
        ..config
    }
    .to_string();
    assert_eq!(keys(&example_in_full()), keys(&printed));
}

#[test]
fn what_check_prints_is_read_back() {
    let text = "fleet = \"attic\"\nbroker = \"mqtts://broker.lan\"\ngrace = \"1m30s\"\n\
                data_dir = \"/tmp/x\"\n[conditions]\nout_of_disk = false\n";
    let config = parse(text).unwrap();
    assert_eq!(parse(&config.to_string()).unwrap(), config);
}

#[test]
fn errors_name_file_line_key_got_and_expected() {
    let cases = [
        (
            "fleet = \"home\"\ngrace = \"4 parsecs\"\n",
            "gateway.toml:2: key \"grace\": got \"4 parsecs\", expected a period from \"1s\" to \"1h\"",
        ),
        (
            "monitor_period = \"2s\"",
            "gateway.toml:1: key \"monitor_period\": got \"2s\", expected a period from \"10ms\" to \"1s\"",
        ),
        (
            "\n\nbroker = \"http://x\"",
            "gateway.toml:3: key \"broker\": got \"http://x\", expected mqtt[s]://[user:password@]host[:port]",
        ),
        (
            "api_listen = 6443",
            "gateway.toml:1: key \"api_listen\": got 6443, expected a string",
        ),
        (
            "register_node = \"yes\"",
            "gateway.toml:1: key \"register_node\": got \"yes\", expected a boolean",
        ),
        (
            "max_nodes = -1",
            "gateway.toml:1: key \"max_nodes\": got -1, expected a number from 1 to 50000",
        ),
        (
            "[conditions]\nout_of_disc = true",
            "gateway.toml:2: key \"conditions.out_of_disc\": got a key that does not exist, \
             expected \"out_of_disk\" or \"network_unavailable\"",
        ),
        (
            "[conditions]\nout_of_disk = 1",
            "gateway.toml:2: key \"conditions.out_of_disk\": got 1, expected a boolean",
        ),
        (
            "fleet = \"My Home\"",
            "gateway.toml:1: key \"fleet\": got \"My Home\", expected up to 63 lower-case letters, digits and '-'",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(complaint(text), expected, "{text}");
    }
}

#[test]
fn text_that_is_not_toml_is_located() {
    let said = complaint("fleet = \"home\"\ngrace = = 3\n");
    assert!(said.starts_with("gateway.toml:2: got "), "{said}");
}

#[test]
fn settings_that_exclude_each_other_are_refused() {
    let both = complaint("broker = \"mqtt://a\"\nembedded_broker = \"127.0.0.1:0\"");
    assert!(both.contains("exclude each other"), "{both}");
    let half = complaint("[broker_tls]\ncertificate = \"a.pem\"");
    assert!(half.contains("go together"), "{half}");
}

#[test]
fn broker_urls_are_taken_apart() {
    let url: BrokerUrl = "mqtts://gate:p%40ss@broker.lan".parse().unwrap();
    assert!(url.is_tls);
    assert_eq!((url.host.as_str(), url.port), ("broker.lan", 8883));
    let login = url.login.clone().unwrap();
    assert_eq!(
        (login.user.as_str(), login.password.0.as_str()),
        ("gate", "p@ss")
    );
    assert_eq!(url.to_string(), "mqtts://gate:***@broker.lan:8883");
    assert!(!format!("{url:?}").contains("p@ss"));
    let url: BrokerUrl = "mqtt://[::1]:1884/".parse().unwrap();
    assert_eq!((url.host.as_str(), url.port), ("[::1]", 1884));
    for wrong in [
        "",
        "broker",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://a:0",
        "mqtt://a:99999",
        "tcp://a",
        "mqtt://a b",
        "mqtt://a/topic",
        "mqtt://@a",
        "mqtt://u%zz@a",
        "mqtt://[::1",
    ] {
        assert!(wrong.parse::<BrokerUrl>().is_err(), "{wrong}");
    }
}

#[test]
fn the_environment_gives_the_password() {
    let environment = Environment {
        broker_password: Some(Secret("hush".to_owned())),
        ..Environment::default()
    };
    let url = environment.with_password("mqtt://gate@broker".parse().unwrap());
    assert_eq!(url.login.unwrap().password.0, "hush");
    let url = environment.with_password("mqtt://gate:own@broker".parse().unwrap());
    assert_eq!(url.login.unwrap().password.0, "own");
}

#[test]
fn the_data_directory_is_systemds_or_roots_or_the_users() {
    let path = |text: &str| Some(PathBuf::from(text));
    let user = Environment {
        home: path("/users/ada"),
        ..Environment::default()
    };
    assert_eq!(
        user.data_dir(),
        Path::new("/users/ada/.local/state/nodling-gateway")
    );
    let root = Environment {
        is_root: true,
        ..user.clone()
    };
    assert_eq!(root.data_dir(), Path::new("/var/lib/nodling-gateway"));
    let unit = Environment {
        state_directory: path("/var/lib/x"),
        ..root
    };
    assert_eq!(unit.data_dir(), Path::new("/var/lib/x"));
}

proptest::proptest! {
    #[test]
    fn periods_return(ms in 0_u64..10_000_000_000) {
        let value = Duration::from_millis(ms);
        proptest::prop_assert_eq!(period(&Humane(value).to_string()), Some(value));
    }

    #[test]
    fn any_text_is_a_configuration_or_an_error(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = period(&text);
        let _ = text.parse::<BrokerUrl>();
    }
}

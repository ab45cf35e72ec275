//! What the gateway is told: one TOML file, flags that override it, secrets from the
//! environment.
//!
//! Parsed once into values that cannot be wrong; nothing validates after that. The environment
//! is read here and nowhere else. Every key is in `gateway.example.toml` with its default.

mod error;
mod values;

pub use error::{ConfigError, Wrong};
pub use values::{BrokerUrl, FleetName, Humane, Login, Secret, period};

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodling_protocol::ConditionKind;
use serde::{Deserialize, Deserializer};

/// Every setting, resolved.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Config {
    /// Which fleet's topics are read.
    pub fleet: FleetName,
    /// The broker to connect to.
    pub broker: Option<BrokerUrl>,
    /// Where to run a broker of one's own, instead.
    #[serde(deserialize_with = "values::some_address")]
    pub embedded_broker: Option<SocketAddr>,
    /// Whether that is announced in the local network, unless it listens on loopback.
    pub announce_broker: bool,
    /// The cluster to write to; without it, and outside of a cluster, the embedded API.
    pub kubeconfig: Option<PathBuf>,
    /// Where the embedded API listens for `kubectl`.
    #[serde(deserialize_with = "values::address")]
    pub api_listen: SocketAddr,
    /// Where the embedded API keeps its store and its keys.
    pub data_dir: Option<PathBuf>,
    /// Where health and metrics are served.
    #[serde(deserialize_with = "values::address")]
    pub listen: SocketAddr,
    /// What is logged; `RUST_LOG` overrides it.
    pub log: String,
    /// How long a node may be silent before it is Unknown.
    #[serde(deserialize_with = "grace")]
    pub grace: Duration,
    /// How long a new node may take to say Ready for the first time.
    #[serde(deserialize_with = "grace")]
    pub startup_grace: Duration,
    /// How often silence is judged.
    #[serde(deserialize_with = "monitor_period")]
    pub monitor_period: Duration,
    /// How often an unchanged status is written.
    #[serde(deserialize_with = "report_interval")]
    pub status_report_interval: Duration,
    /// How often what need not survive a power cut goes to disk.
    #[serde(deserialize_with = "flush_interval")]
    pub flush_interval: Duration,
    /// Whether Nodes are created; otherwise they are made by hand.
    pub register_node: bool,
    /// Whether a broken connection counts as a death at once.
    pub fail_fast: bool,
    /// More nodes than this are rejected and counted.
    #[serde(deserialize_with = "max_nodes")]
    pub max_nodes: u32,
    /// Whether the wall clock must be synchronised, not merely plausible.
    pub require_synchronized_clock: bool,
    /// Which of the disputed conditions are reported.
    pub conditions: Conditions,
    /// How the broker is trusted and convinced.
    pub broker_tls: BrokerTls,
}

/// Conditions that some clusters give another meaning or another owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// Report `OutOfDisk`, which kubelet has dropped.
    pub out_of_disk: bool,
    /// Report `NetworkUnavailable`, which a network plugin may own.
    pub network_unavailable: bool,
}

/// Certificates for an `mqtts://` broker, as PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerTls {
    /// Who signed the broker's certificate; the system's roots otherwise.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate.
    pub certificate: Option<PathBuf>,
    /// The key to the certificate.
    pub key: Option<PathBuf>,
}

impl Conditions {
    /// Those that are not reported.
    pub fn withheld(&self) -> Box<[ConditionKind]> {
        let switches = [
            (ConditionKind::OutOfDisk, self.out_of_disk),
            (ConditionKind::NetworkUnavailable, self.network_unavailable),
        ];
        let is_off = |(kind, is_on): (_, bool)| Some(kind).filter(|_| !is_on);
        switches.into_iter().filter_map(is_off).collect()
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            out_of_disk: true,
            network_unavailable: true,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            fleet: "home".parse().expect("a lower-case word"),
            broker: None,
            embedded_broker: None,
            announce_broker: true,
            kubeconfig: None,
            api_listen: loopback(16443),
            data_dir: None,
            listen: loopback(16444),
            log: "info".to_owned(),
            grace: Duration::from_secs(40),
            startup_grace: Duration::from_mins(1),
            monitor_period: Duration::from_secs(1),
            status_report_interval: Duration::from_mins(5),
            flush_interval: Duration::from_mins(5),
            register_node: true,
            fail_fast: false,
            max_nodes: 20_000,
            require_synchronized_clock: false,
            conditions: Conditions::default(),
            broker_tls: BrokerTls::default(),
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

const GRACE: &str = "a period from \"1s\" to \"1h\"";

fn grace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    values::bounded(deserializer, SECOND..=HOUR, GRACE)
}

/// For flags: a grace, or what is wrong with it.
pub fn grace_flag(text: &str) -> Result<Duration, String> {
    period(text)
        .filter(|grace| (SECOND..=HOUR).contains(grace))
        .ok_or_else(|| format!("expected {GRACE}"))
}

fn monitor_period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let bounds = 10 * MILLISECOND..=SECOND;
    values::bounded(deserializer, bounds, "a period from \"10ms\" to \"1s\"")
}

fn report_interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    values::bounded(
        deserializer,
        SECOND..=24 * HOUR,
        "a period from \"1s\" to \"1d\"",
    )
}

fn flush_interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    values::bounded(
        deserializer,
        SECOND..=HOUR,
        "a period from \"1s\" to \"1h\"",
    )
}

/// The roster takes no more, whatever anybody wishes.
const NODES_MAX: u32 = 50_000;

fn max_nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    const EXPECTED: &str = "a number from 1 to 50000";
    let count = i64::deserialize(deserializer)?;
    u32::try_from(count)
        .ok()
        .filter(|count| (1..=NODES_MAX).contains(count))
        .ok_or_else(|| {
            let got = serde::de::Unexpected::Signed(count);
            serde::de::Error::invalid_value(got, &EXPECTED)
        })
}

impl Config {
    /// Reads a file.
    #[expect(clippy::disallowed_methods, reason = "the configuration is a file")]
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses a file's text; the path is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Wrong(Box::new(Wrong::locate(path, text, &error))))?;
        config.check()
    }

    /// Refuses settings that cannot stand together.
    pub fn check(self) -> Result<Self, ConfigError> {
        if self.broker.is_some() && self.embedded_broker.is_some() {
            return Err(ConfigError::Unusable(
                "\"broker\" and \"embedded_broker\" exclude each other: set one",
            ));
        }
        if self.broker_tls.certificate.is_some() != self.broker_tls.key.is_some() {
            return Err(ConfigError::Unusable(
                "\"broker_tls.certificate\" and \"broker_tls.key\" go together: set both",
            ));
        }
        Ok(self)
    }

    /// The ceiling that agents are told: a quarter of the grace.
    pub fn interval_ms_max(&self) -> u32 {
        u32::try_from(self.grace.as_millis() / 4).unwrap_or(u32::MAX)
    }
}

/// What the environment says; read once, at start.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    state_directory: Option<PathBuf>,
    state_home: Option<PathBuf>,
    home: Option<PathBuf>,
    credentials: Option<PathBuf>,
    broker_password: Option<Secret>,
    is_in_cluster: bool,
    is_root: bool,
    /// Whether standard error goes to the journal, which stamps lines itself.
    pub is_journal: bool,
    /// `RUST_LOG`.
    pub log: Option<String>,
    /// `HOSTNAME` as the kernel has it.
    pub host_name: String,
}

/// The file that is there in every pod that may speak to its API server.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Environment {
    /// Reads it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn read() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name| variable(name).map(PathBuf::from);
        Self {
            // systemd separates several state directories by colons; the first is ours.
            state_directory: variable("STATE_DIRECTORY")
                .and_then(|list| list.split(':').next().map(PathBuf::from)),
            state_home: path("XDG_STATE_HOME"),
            home: path("HOME"),
            credentials: path("CREDENTIALS_DIRECTORY"),
            broker_password: variable("NODLING_BROKER_PASSWORD").map(Secret),
            is_in_cluster: variable("KUBERNETES_SERVICE_HOST").is_some()
                && Path::new(SERVICE_ACCOUNT_TOKEN).exists(),
            is_root: rustix::process::geteuid().is_root(),
            is_journal: variable("JOURNAL_STREAM").is_some(),
            log: variable("RUST_LOG"),
            host_name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Where the gateway keeps its state unless it is told.
    pub fn data_dir(&self) -> PathBuf {
        const NAME: &str = "nodling-gateway";
        if let Some(dir) = &self.state_directory {
            return dir.clone();
        }
        if self.is_root {
            return Path::new("/var/lib").join(NAME);
        }
        match (&self.state_home, &self.home) {
            (Some(dir), _) => dir.join(NAME),
            (None, Some(home)) => home.join(".local/state").join(NAME),
            (None, None) => Path::new("/var/lib").join(NAME),
        }
    }

    /// Which Kubernetes is written to.
    pub fn target(&self, config: &Config) -> Target {
        match &config.kubeconfig {
            Some(path) => Target::Kubeconfig(path.clone()),
            None if self.is_in_cluster => Target::InCluster,
            None => Target::Embedded,
        }
    }

    /// The broker's URL with the password that the environment keeps.
    #[expect(clippy::disallowed_methods, reason = "a credential is a file")]
    pub fn with_password(&self, mut url: BrokerUrl) -> BrokerUrl {
        if let Some(login) = &mut url.login
            && login.password.0.is_empty()
        {
            let credential = self.credentials.as_ref().and_then(|dir| {
                let text = std::fs::read_to_string(dir.join("broker-password")).ok()?;
                Some(Secret(text.trim_end().to_owned()))
            });
            if let Some(password) = self.broker_password.clone().or(credential) {
                login.password = password;
            }
        }
        url
    }
}

/// Which Kubernetes API the gateway writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Its own.
    Embedded,
    /// The one around this pod.
    InCluster,
    /// The one that a kubeconfig names.
    Kubeconfig(PathBuf),
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |f: &mut fmt::Formatter<'_>, key: &str, value: &dyn fmt::Display| {
            writeln!(f, "{key} = {:?}", value.to_string())
        };
        let path = |f: &mut fmt::Formatter<'_>, key: &str, value: &Option<PathBuf>| match value {
            None => Ok(()),
            Some(path) => text(f, key, &path.display()),
        };
        text(f, "fleet", &self.fleet)?;
        if let Some(broker) = &self.broker {
            text(f, "broker", broker)?;
        }
        if let Some(address) = self.embedded_broker {
            text(f, "embedded_broker", &address)?;
        }
        writeln!(f, "announce_broker = {}", self.announce_broker)?;
        path(f, "kubeconfig", &self.kubeconfig)?;
        text(f, "api_listen", &self.api_listen)?;
        path(f, "data_dir", &self.data_dir)?;
        text(f, "listen", &self.listen)?;
        text(f, "log", &self.log)?;
        for (key, value) in [
            ("grace", self.grace),
            ("startup_grace", self.startup_grace),
            ("monitor_period", self.monitor_period),
            ("status_report_interval", self.status_report_interval),
            ("flush_interval", self.flush_interval),
        ] {
            text(f, key, &Humane(value))?;
        }
        writeln!(f, "register_node = {}", self.register_node)?;
        writeln!(f, "fail_fast = {}", self.fail_fast)?;
        writeln!(f, "max_nodes = {}", self.max_nodes)?;
        let clock = self.require_synchronized_clock;
        writeln!(f, "require_synchronized_clock = {clock}")?;
        writeln!(f, "\n[conditions]")?;
        writeln!(f, "out_of_disk = {}", self.conditions.out_of_disk)?;
        writeln!(
            f,
            "network_unavailable = {}",
            self.conditions.network_unavailable
        )?;
        writeln!(f, "\n[broker_tls]")?;
        path(f, "ca", &self.broker_tls.ca)?;
        path(f, "certificate", &self.broker_tls.certificate)?;
        path(f, "key", &self.broker_tls.key)
    }
}

#[cfg(test)]
mod tests;

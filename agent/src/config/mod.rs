//! What the agent was told: file, flags, environment, parsed once into values that cannot be wrong.
//!
//! Flags beat the file, the file beats the defaults. From the environment come secrets, the log
//! filter and what systemd hands over. Each stage owns its part; this file composes, and reads
//! the files that the configuration names.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place for environment and configured files"
)]

mod values;
mod tables;
mod node;
mod duration;
mod kubelet;
mod comparison;
mod rules;
mod sensors;
mod board;
mod resolved;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodling_protocol::NodeName;

use crate::keys::{Document, KeyError};
use crate::publish::broker::{Broker, Secret};
use crate::publish::tls::Pem;
use crate::registration::Registration;
use crate::{assess, observe, publish, telemetry};
use resolved::Resolved;
use values::{absolute, broker, flag, fleet, interval, node_name};

/// Read if it is there and no other is named.
pub const DEFAULT_FILE: &str = "/etc/nodling/agent.toml";

/// No configured file is longer.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where distributions keep the certificates that everybody trusts.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The agent's configuration as it is written, before the host fills the gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The Node's name; without it the host's name.
    pub node_name: Option<String>,
    /// The set of nodes that share a gateway.
    pub fleet: String,
    /// Where the broker listens; without it one that announces itself.
    pub broker: Option<Broker>,
    /// Where the identity is kept.
    pub state_dir: Option<PathBuf>,
    /// How often a heartbeat is sent.
    pub interval: Duration,
    /// What is asked of the Node.
    pub registration: Registration,
    /// How the broker is trusted.
    pub tls: publish::Config,
    /// What is read besides what every board has.
    pub observe: observe::Config,
    /// How what is read is judged.
    pub assess: assess::Config,
    /// How much is logged.
    pub log: telemetry::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_name: None,
            fleet: "home".into(),
            broker: None,
            state_dir: None,
            interval: Duration::from_secs(10),
            registration: Registration::default(),
            tls: publish::Config::default(),
            observe: observe::Config::default(),
            assess: assess::Config::default(),
            log: telemetry::Config::default(),
        }
    }
}

/// Flags that override the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--node-name`.
    pub node_name: Option<String>,
    /// `--broker`.
    pub broker: Option<String>,
    /// `--interval`.
    pub interval: Option<String>,
}

/// What is taken from the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `NODLING_BROKER_PASSWORD`.
    pub broker_password: Option<Secret>,
    /// `CREDENTIALS_DIRECTORY`, systemd's.
    pub credentials_dir: Option<PathBuf>,
    /// `STATE_DIRECTORY`, systemd's.
    pub state_dir: Option<PathBuf>,
    /// Where a user's programs keep state: `XDG_STATE_HOME`, else below `HOME`.
    pub user_state_dir: Option<PathBuf>,
    /// `RUST_LOG`.
    pub log: Option<String>,
    /// `JOURNAL_STREAM` is set.
    pub is_journal: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let user_state_dir = path("XDG_STATE_HOME")
            .or_else(|| path("HOME").map(|home| home.join(".local/state")))
            .map(|state| state.join("nodling-agent"));
        Self {
            broker_password: text("NODLING_BROKER_PASSWORD").map(Secret::new),
            credentials_dir: path("CREDENTIALS_DIRECTORY"),
            // systemd separates several with colons; the unit asks for one.
            state_dir: path("STATE_DIRECTORY"),
            user_state_dir,
            log: text("RUST_LOG"),
            is_journal: text("JOURNAL_STREAM").is_some(),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key or a flag is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file that is named cannot be read.
    #[error("{key}: reading {path}")]
    Read {
        /// Which key or flag names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The host's name is no name for a node.
    #[error(
        "the host name {0:?} cannot be the node's name, which consists of lower-case letters, \
         digits, '-' and '.': set node_name, or pass --node-name"
    )]
    HostName(String),
    /// There is nothing to connect to.
    #[error(
        "no broker: set broker = \"mqtt://host\" in {0}, or pass --broker; none announced itself in \
         the local network"
    )]
    NoBroker(PathBuf),
    /// A password for nobody.
    #[error("there is a broker password and no user name: set broker = \"mqtt://user@host\"")]
    NoUser,
    /// A certificate without its key, or the reverse.
    #[error("[tls] cert_file and key_file belong together: {0} is missing")]
    HalfIdentity(&'static str),
    /// TLS files for a broker without TLS.
    #[error("[tls] is set and the broker's address is mqtt://: did you mean mqtts://?")]
    TlsWithoutTls,
    /// Nothing to trust.
    #[error("there is no certificate store on this system: set ca_file in [tls]")]
    NoRoots,
}

impl Config {
    /// Reads the file, if there is one, and applies flags and environment.
    pub fn load(
        file: Option<&Path>,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let mut config = match read(path) {
            Ok(bytes) => Self::parse(&path.to_string_lossy(), &String::from_utf8_lossy(&bytes))?,
            Err(err) if file.is_none() && err.kind() == ErrorKind::NotFound => Self::default(),
            Err(source) => {
                let path = path.into();
                return Err(ConfigError::Read {
                    key: "--config",
                    path,
                    source,
                });
            }
        };
        config.apply(overrides)?;
        config.take_password(environment)?;
        config.check_tls()?;
        Ok(config)
    }

    /// Parses a file's text; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, KeyError> {
        let document = Document::parse(file, text)?;
        let keys = document.top();
        let mut known = vec!["node_name"];
        known.extend(node::KEYS);
        known.extend([
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
            "tls",
            "observe",
            "eviction_hard",
            "eviction_soft",
            "eviction_soft_grace_period",
            "eviction_minimum_reclaim",
            "system_reserved",
            "kube_reserved",
            "log",
            "sensor",
            "condition",
        ]);
        keys.only(&known)?;
        let default = Self::default();
        Ok(Self {
            node_name: keys.parse("node_name", node_name)?,
            fleet: keys.parse("fleet", fleet)?.unwrap_or(default.fleet),
            broker: keys.parse("broker", broker)?,
            state_dir: keys.parse("state_dir", absolute)?,
            interval: keys
                .parse("interval", interval)?
                .unwrap_or(default.interval),
            registration: node::registration(&keys)?,
            tls: tables::tls(&keys.table("tls")?)?,
            observe: observe::Config {
                container_runtime_endpoint: node::endpoint(&keys)?,
                sensors: sensors::sensors(&keys.tables("sensor")?)?,
                ..tables::observe(&keys.table("observe")?)?
            },
            assess: assess::Config {
                addresses: node::addresses(&keys)?,
                thresholds: kubelet::thresholds(&keys)?,
                reserved: kubelet::reserved(&keys)?,
                pods: kubelet::pods(&keys)?,
                conditions: board::conditions(&keys)?,
                rules: rules::rules(&keys.tables("condition")?)?,
            },
            log: tables::log(&keys.table("log")?)?,
        })
    }

    fn apply(&mut self, overrides: &Overrides) -> Result<(), KeyError> {
        if let Some(text) = &overrides.node_name {
            self.node_name = Some(flag("--node-name", node_name(text))?);
        }
        if let Some(text) = &overrides.broker {
            self.broker = Some(flag("--broker", broker(text))?);
        }
        if let Some(text) = &overrides.interval {
            self.interval = flag("--interval", interval(text))?;
        }
        Ok(())
    }

    /// A password from outside the file beats one in it.
    fn take_password(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        let credential = environment.credentials_dir.as_ref();
        let credential = credential.map(|directory| directory.join("broker-password"));
        let password = match (&environment.broker_password, credential) {
            (Some(password), _) => password.clone(),
            (None, None) => return Ok(()),
            (None, Some(path)) => match read(&path) {
                Ok(bytes) => Secret::new(String::from_utf8_lossy(&bytes).trim_end_matches('\n')),
                Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
                Err(source) => {
                    return Err(ConfigError::Read {
                        key: "CREDENTIALS_DIRECTORY",
                        path,
                        source,
                    });
                }
            },
        };
        match &mut self.broker {
            Some(Broker { user: None, .. }) => Err(ConfigError::NoUser),
            Some(broker) => {
                broker.password = Some(password);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(_), None) => return Err(ConfigError::HalfIdentity("key_file")),
            (None, Some(_)) => return Err(ConfigError::HalfIdentity("cert_file")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let is_plain = self.broker.as_ref().is_some_and(|broker| !broker.is_tls);
        if is_plain && self.tls != publish::Config::default() {
            return Err(ConfigError::TlsWithoutTls);
        }
        Ok(())
    }

    /// The node's name: configured, or the host's, or the one that stands for that.
    pub fn node_name(&self, hostname: &str) -> Result<String, ConfigError> {
        if let Some(name) = &self.node_name {
            return Ok(name.clone());
        }
        let overriding = self.assess.addresses.hostname_override.as_deref();
        let hostname = overriding.unwrap_or(hostname);
        match NodeName::parse(hostname) {
            Ok(_) => Ok(hostname.into()),
            Err(_) => Err(ConfigError::HostName(hostname.into())),
        }
    }

    /// Where the identity is kept.
    pub fn state_dir(&self, environment: &Environment) -> PathBuf {
        let system = || PathBuf::from("/var/lib/nodling-agent");
        let by_user = || {
            let is_root = rustix::process::geteuid().is_root();
            environment.user_state_dir.clone().filter(|_| !is_root)
        };
        self.state_dir
            .clone()
            .or_else(|| environment.state_dir.clone())
            .or_else(by_user)
            .unwrap_or_else(system)
    }

    /// Whether the broker speaks TLS; one that is yet to be found must if `[tls]` says how.
    pub fn is_tls(&self) -> bool {
        let by_tables = self.tls != publish::Config::default();
        self.broker
            .as_ref()
            .map_or(by_tables, |broker| broker.is_tls)
    }

    /// Contents of the files that TLS needs; `None` for a broker without TLS.
    pub fn read_pem(&self) -> Result<Option<Pem>, ConfigError> {
        if !self.is_tls() {
            return Ok(None);
        }
        let file = |key: &'static str, path: &Path| {
            read(path).map_err(|source| ConfigError::Read {
                key,
                path: path.into(),
                source,
            })
        };
        let roots = match &self.tls.ca_file {
            Some(path) => file("tls.ca_file", path)?,
            None => SYSTEM_ROOTS
                .iter()
                .find_map(|path| read(Path::new(path)).ok())
                .ok_or(ConfigError::NoRoots)?,
        };
        let identity = match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(certificates), Some(key)) => Some((
                file("tls.cert_file", certificates)?,
                file("tls.key_file", key)?,
            )),
            _ => None,
        };
        Ok(Some(Pem { roots, identity }))
    }

    /// The configuration with its gaps filled, as TOML; secrets as `***`.
    pub fn resolved<'c>(&'c self, node: &'c str, state_dir: &'c Path) -> Resolved<'c> {
        Resolved {
            config: self,
            node,
            state_dir,
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

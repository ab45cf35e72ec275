//! What the agent was told: file, flags, environment, parsed once into values that cannot be wrong.
//!
//! Flags beat the file, the file beats the defaults. From the environment come secrets, the log
//! filter and what systemd hands over. Each stage owns its part; this file composes, and reads
//! the files that the configuration names.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place for environment and configured files"
)]

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodling_protocol::{Fleet, NodeName};
use tracing::level_filters::LevelFilter;

use crate::keys::{Document, KeyError, Keys, Refusal, parse_duration, show_duration};
use crate::publish::broker::{Broker, Secret};
use crate::publish::tls::Pem;
use crate::{observe, publish, telemetry};

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
    /// Where the broker listens.
    pub broker: Option<Broker>,
    /// Where the identity is kept.
    pub state_dir: Option<PathBuf>,
    /// How often a heartbeat is sent.
    pub interval: Duration,
    /// How the broker is trusted.
    pub tls: publish::Config,
    /// What is read besides what every board has.
    pub observe: observe::Config,
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
            tls: publish::Config::default(),
            observe: observe::Config::default(),
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
    #[error("no broker: set broker = \"mqtt://host\" in {0}, or pass --broker")]
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
        keys.only(&[
            "node_name",
            "fleet",
            "broker",
            "state_dir",
            "interval",
            "tls",
            "observe",
            "log",
        ])?;
        let default = Self::default();
        Ok(Self {
            node_name: keys.parse("node_name", node_name)?,
            fleet: keys.parse("fleet", fleet)?.unwrap_or(default.fleet),
            broker: keys.parse("broker", broker)?,
            state_dir: keys.parse("state_dir", absolute)?,
            interval: keys
                .parse("interval", interval)?
                .unwrap_or(default.interval),
            tls: tls(&keys.table("tls")?)?,
            observe: observe(&keys.table("observe")?)?,
            log: log(&keys.table("log")?)?,
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

    /// The node's name: configured, or the host's.
    pub fn node_name(&self, hostname: &str) -> Result<String, ConfigError> {
        if let Some(name) = &self.node_name {
            return Ok(name.clone());
        }
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

    /// Contents of the files that TLS needs; `None` for a broker without TLS.
    pub fn read_pem(&self) -> Result<Option<Pem>, ConfigError> {
        if !self.broker.as_ref().is_some_and(|broker| broker.is_tls) {
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

/// Shows a configuration as TOML.
#[derive(Debug)]
pub struct Resolved<'c> {
    config: &'c Config,
    node: &'c str,
    state_dir: &'c Path,
}

impl fmt::Display for Resolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            fleet,
            broker,
            interval,
            tls,
            observe,
            log,
            ..
        } = self.config;
        writeln!(f, "node_name = {:?}", self.node)?;
        writeln!(f, "fleet = {fleet:?}")?;
        match broker {
            Some(broker) => writeln!(f, "broker = \"{broker}\"")?,
            None => writeln!(f, "# broker is not set")?,
        }
        writeln!(f, "state_dir = {:?}", self.state_dir.to_string_lossy())?;
        writeln!(f, "interval = \"{}\"", show_duration(*interval))?;
        writeln!(f, "\n[tls]")?;
        let files = [
            ("ca_file", &tls.ca_file, "the system's certificates"),
            ("cert_file", &tls.cert_file, "none"),
            ("key_file", &tls.key_file, "none"),
        ];
        for (key, path, otherwise) in files {
            match path {
                Some(path) => writeln!(f, "{key} = {:?}", path.to_string_lossy())?,
                None => writeln!(f, "# {key} is not set: {otherwise}")?,
            }
        }
        writeln!(f, "\n[observe]\nfilesystems = {:?}", observe.filesystems)?;
        writeln!(f, "\n[log]\nlevel = \"{}\"", log.level)
    }
}

fn tls(keys: &Keys<'_>) -> Result<publish::Config, KeyError> {
    keys.only(&["ca_file", "cert_file", "key_file"])?;
    Ok(publish::Config {
        ca_file: keys.parse("ca_file", absolute)?,
        cert_file: keys.parse("cert_file", absolute)?,
        key_file: keys.parse("key_file", absolute)?,
    })
}

fn observe(keys: &Keys<'_>) -> Result<observe::Config, KeyError> {
    keys.only(&["filesystems"])?;
    let default = observe::Config::default();
    Ok(observe::Config {
        filesystems: keys.strings("filesystems")?.unwrap_or(default.filesystems),
    })
}

fn log(keys: &Keys<'_>) -> Result<telemetry::Config, KeyError> {
    keys.only(&["level"])?;
    let default = telemetry::Config::default();
    Ok(telemetry::Config {
        level: keys.parse("level", level)?.unwrap_or(default.level),
    })
}

fn flag<T>(name: &str, parsed: Result<T, Refusal>) -> Result<T, KeyError> {
    parsed.map_err(|Refusal { got, expected }| KeyError::Value {
        place: name.into(),
        got,
        expected,
    })
}

fn node_name(text: &str) -> Result<String, Refusal> {
    let refused = |_| {
        Refusal::new(
            text,
            "a name of at most 253 lower-case letters, digits, '-' and '.', such as \"attic\"",
        )
    };
    NodeName::parse(text)
        .map(|name| name.as_str().into())
        .map_err(refused)
}

fn fleet(text: &str) -> Result<String, Refusal> {
    let refused = |_| {
        Refusal::new(
            text,
            "a name of at most 63 lower-case letters, digits and '-', such as \"home\"",
        )
    };
    Fleet::parse(text)
        .map(|fleet| fleet.as_str().into())
        .map_err(refused)
}

fn broker(text: &str) -> Result<Broker, Refusal> {
    let refused = |err| Refusal {
        got: format!("{:?} ({err})", without_password(text)),
        expected: "an address such as \"mqtt://user:password@host:1883\"".into(),
    };
    Broker::parse(text).map_err(refused)
}

/// A wrong address may hold a right password.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let scheme = url.get(..scheme + 3).unwrap_or_default();
            format!("{scheme}***{}", url.get(at..).unwrap_or_default())
        }
        (None, Some(at)) => format!("***{}", url.get(at..).unwrap_or_default()),
        _ => url.into(),
    }
}

fn absolute(text: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Refusal::new(text, "a path that begins with /"))
    }
}

fn interval(text: &str) -> Result<Duration, Refusal> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    match parse_duration(text) {
        Some(interval) if bounds.contains(&interval) => Ok(interval),
        Some(_) => Err(Refusal::new(text, "a duration from \"1s\" to \"1h\"")),
        None => Err(Refusal::new(text, "a duration such as \"10s\"")),
    }
}

fn level(text: &str) -> Result<LevelFilter, Refusal> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(Refusal::new(
            text,
            "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        )),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

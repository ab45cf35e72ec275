//! The words of the configuration as types: periods, addresses, the broker's URL, the fleet.
//!
//! Each parses from the text that a person writes, says what it expected, and prints itself as
//! it would be written again. Passwords print as `***`.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use nodling_protocol::Fleet;
use serde::{Deserialize, Deserializer, de};

/// What an address looks like, for messages.
const ADDRESS: &str = "an address and a port such as \"127.0.0.1:16443\"";
/// What a broker's URL looks like, for messages.
const BROKER: &str = "mqtt[s]://[user:password@]host[:port]";
/// What a fleet's name looks like, for messages.
const FLEET: &str = "up to 63 lower-case letters, digits and '-'";

/// Parses a period: numbers with units, the largest first.
pub fn period(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let number: u32 = number.parse().ok()?;
        let unit = match unit.trim() {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = after;
    }
    Some(total)
}

/// Writes a period as [`period`] reads it.
pub struct Humane(pub Duration);

impl fmt::Display for Humane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut seconds, ms) = (self.0.as_secs(), self.0.subsec_millis());
        let mut is_empty = true;
        for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
            let count = seconds / length;
            seconds %= length;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                is_empty = false;
            }
        }
        match ms {
            0 if is_empty => f.write_str("0s"),
            0 => Ok(()),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// A text that `parse` takes, or an error that names what was expected.
pub(super) fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &expected))
}

/// A period within bounds.
pub(super) fn bounded<'de, D: Deserializer<'de>>(
    deserializer: D,
    bounds: RangeInclusive<Duration>,
    expected: &'static str,
) -> Result<Duration, D::Error> {
    text(deserializer, expected, |text| {
        period(text).filter(|value| bounds.contains(value))
    })
}

/// A socket address.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    text(deserializer, ADDRESS, |text| text.parse().ok())
}

/// A socket address that need not be there.
pub(super) fn some_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
}

/// The name of the fleet this gateway serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetName(String);

impl FleetName {
    /// The name as the protocol wants it.
    pub fn fleet(&self) -> Fleet<'_> {
        Fleet::parse(&self.0).expect("checked when it was made")
    }
}

impl FromStr for FleetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Fleet::parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(format!("expected {FLEET}")),
        }
    }
}

impl<'de> Deserialize<'de> for FleetName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, FLEET, |text| text.parse().ok())
    }
}

impl fmt::Display for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that never appears in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who the gateway is to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password; empty when the environment is to give it.
    pub password: Secret,
}

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is TLS.
    pub is_tls: bool,
    /// User name and password, if the broker wants them.
    pub login: Option<Login>,
    /// Name or address; an IPv6 address in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl BrokerUrl {
    /// A broker without TLS or password, as the embedded one is.
    pub fn plain(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        Self {
            is_tls: false,
            login: None,
            host,
            port: address.port(),
        }
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_broker(text).ok_or_else(|| format!("expected {BROKER}"))
    }
}

impl<'de> Deserialize<'de> for BrokerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, BROKER, parse_broker)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls { "mqtts://" } else { "mqtt://" })?;
        if let Some(login) = &self.login {
            write!(f, "{}:***@", login.user)?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn parse_broker(text: &str) -> Option<BrokerUrl> {
    let (is_tls, rest) = match text.split_once("://")? {
        ("mqtt", rest) => (false, rest),
        ("mqtts", rest) => (true, rest),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, authority) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((login, authority)) => (Some(parse_login(login)?), authority),
    };
    let (host, port) = split_port(authority)?;
    let port = match port {
        None if is_tls => 8883,
        None => 1883,
        Some(port) => port.parse().ok().filter(|&port| port != 0)?,
    };
    let is_host =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    (!host.is_empty() && host.chars().all(is_host)).then(|| BrokerUrl {
        is_tls,
        login,
        host: host.to_owned(),
        port,
    })
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let end = bracketed.find(']')? + 2;
        let (host, rest) = authority.split_at_checked(end)?;
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match authority.split_once(':') {
        None => Some((authority, None)),
        Some((host, port)) => Some((host, Some(port))),
    }
}

fn parse_login(text: &str) -> Option<Login> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let login = Login {
        user: percent_decoded(user)?,
        password: Secret(percent_decoded(password)?),
    };
    (!login.user.is_empty()).then_some(login)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            let hex = std::str::from_utf8(&hex).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

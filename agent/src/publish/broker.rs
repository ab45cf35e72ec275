//! Reads a broker's address: `mqtt[s]://[user[:password]@]host[:port]`.
//!
//! Percent-decodes the credentials, takes IPv6 literals in brackets, and says what is wrong with
//! an address without printing the password that may stand in it.

use std::fmt;
use std::net::Ipv6Addr;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whom it is meant.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a broker listens and who we are to it; shown without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// `mqtts`.
    pub is_tls: bool,
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name, if any.
    pub user: Option<String>,
    /// Its password, if any.
    pub password: Option<Secret>,
}

/// What is wrong with a broker's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// Not one of the two schemes.
    #[error("it must begin with mqtt:// or mqtts://")]
    Scheme,
    /// Nothing between the slashes and the port.
    #[error("there is no host in it")]
    NoHost,
    /// A character that no host name has.
    #[error("{0:?} is no host name")]
    Host(String),
    /// An opening bracket, and no IPv6 address in it.
    #[error("[{0}] is no IPv6 address")]
    Ipv6(String),
    /// A colon in a host without brackets.
    #[error("an IPv6 address stands in brackets: [{0}]")]
    Unbracketed(String),
    /// Not a number from 1 to 65535.
    #[error("{0:?} is no port")]
    Port(String),
    /// Something after the port.
    #[error("nothing may follow host and port, but {0:?} does")]
    Path(String),
    /// A `%` that is not followed by two hexadecimal digits of UTF-8.
    #[error("a % before the @ must be followed by two hexadecimal digits (a literal % is %25)")]
    Percent,
    /// `user` is missing before `:password`.
    #[error("there is a password without a user name")]
    NoUser,
}

impl Broker {
    /// Reads an address.
    pub fn parse(url: &str) -> Result<Self, BrokerError> {
        let (is_tls, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(BrokerError::Scheme),
        };
        // The last @ divides: passwords with an unescaped @ are common and unambiguous here.
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let address = match address.find(['/', '?', '#']) {
            Some(at) if address.get(at..) == Some("/") => address.trim_end_matches('/'),
            Some(at) => {
                return Err(BrokerError::Path(
                    address.get(at..).unwrap_or_default().into(),
                ));
            }
            None => address,
        };
        let (host, port) = split_port(address)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None if is_tls => 8883,
            None => 1883,
        };
        let (user, password) = credentials.map_or(Ok((None, None)), parse_credentials)?;
        Ok(Self {
            is_tls,
            host: host.into(),
            port,
            user,
            password,
        })
    }

    /// Whether multicast DNS knows the host, if anything does.
    pub fn is_local(&self) -> bool {
        let host = self.host.strip_suffix('.').unwrap_or(&self.host);
        let last = host.rsplit_once('.').map(|(_, last)| last);
        last.is_some_and(|last| last.eq_ignore_ascii_case("local"))
    }

    /// `host:port`, for people.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls { "mqtts://" } else { "mqtt://" })?;
        if let Some(user) = &self.user {
            percent_encode(user, f)?;
            if self.password.is_some() {
                f.write_str(":***")?;
            }
            f.write_str("@")?;
        }
        f.write_str(&self.address())
    }
}

fn split_port(address: &str) -> Result<(&str, Option<&str>), BrokerError> {
    if let Some(rest) = address.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err(BrokerError::Ipv6(rest.into()));
        };
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(BrokerError::Ipv6(host.into()));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(BrokerError::Path(after.into())),
        };
    }
    if address.matches(':').count() > 1 {
        return Err(BrokerError::Unbracketed(address.into()));
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    if host.is_empty() {
        return Err(BrokerError::NoHost);
    }
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !host.chars().all(is_fit) {
        return Err(BrokerError::Host(host.into()));
    }
    Ok((host, port))
}

fn parse_port(port: &str) -> Result<u16, BrokerError> {
    match port.parse() {
        Ok(number) if number != 0 && !port.starts_with('+') => Ok(number),
        Ok(_) | Err(_) => Err(BrokerError::Port(port.into())),
    }
}

type Credentials = (Option<String>, Option<Secret>);

fn parse_credentials(credentials: &str) -> Result<Credentials, BrokerError> {
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(Secret(percent_decode(password)?))),
        None => (credentials, None),
    };
    if user.is_empty() {
        return match password {
            Some(_) => Err(BrokerError::NoUser),
            None => Ok((None, None)),
        };
    }
    Ok((Some(percent_decode(user)?), password))
}

fn percent_decode(text: &str) -> Result<String, BrokerError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = rest.next().and_then(|byte| char::from(byte).to_digit(16));
            digit.and_then(|digit| u8::try_from(digit).ok())
        };
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(BrokerError::Percent);
        };
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).map_err(|_| BrokerError::Percent)
}

fn percent_encode(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(url: &str) -> Broker {
        Broker::parse(url).unwrap_or_else(|err| panic!("{url}: {err}"))
    }

    #[test]
    fn ports_default_by_scheme() {
        assert_eq!(parse("mqtt://broker").port, 1883);
        assert_eq!(parse("mqtts://broker").port, 8883);
        assert_eq!(parse("mqtt://broker:2883/").port, 2883);
        assert!(parse("mqtts://broker").is_tls);
    }

    #[test]
    fn ipv6_literals_stand_in_brackets() {
        let broker = parse("mqtt://[fd00::1]:1884");
        assert_eq!((broker.host.as_str(), broker.port), ("fd00::1", 1884));
        assert_eq!(broker.to_string(), "mqtt://[fd00::1]:1884");
        assert_eq!(parse("mqtts://[::1]").port, 8883);
    }

    #[test]
    fn names_below_local_are_those_of_multicast_dns() {
        assert!(parse("mqtt://attic.local").is_local());
        assert!(parse("mqtts://Attic.LOCAL.:2883").is_local());
        for other in [
            "local",
            "attic.local.example",
            "attic.lan",
            "10.0.0.1",
            "[fe80::1]",
        ] {
            assert!(!parse(&format!("mqtt://{other}")).is_local(), "{other}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_the_password_is_never_shown() {
        let broker = parse("mqtt://att%69c:p%40ss:w@rd%25@host");
        assert_eq!(broker.user.as_deref(), Some("attic"));
        let password = broker.password.as_ref().unwrap();
        assert_eq!(password.reveal(), "p@ss:w@rd%");
        assert_eq!(broker.to_string(), "mqtt://attic:***@host:1883");
        assert!(!format!("{broker:?}").contains("rd%"));
    }

    #[test]
    fn an_error_points_at_what_is_wrong() {
        for (url, expected) in [
            ("", "it must begin with mqtt:// or mqtts://"),
            ("broker:1883", "it must begin with mqtt:// or mqtts://"),
            ("http://broker", "it must begin with mqtt:// or mqtts://"),
            ("mqtt://", "there is no host in it"),
            ("mqtt://:1883", "there is no host in it"),
            ("mqtt://bro ker", "\"bro ker\" is no host name"),
            ("mqtt://broker:99999", "\"99999\" is no port"),
            ("mqtt://broker:+1", "\"+1\" is no port"),
            ("mqtt://broker:0", "\"0\" is no port"),
            ("mqtt://broker:", "\"\" is no port"),
            (
                "mqtt://fd00::1:1883",
                "an IPv6 address stands in brackets: [fd00::1:1883]",
            ),
            ("mqtt://[fd00::x]", "[fd00::x] is no IPv6 address"),
            ("mqtt://[::1", "[::1] is no IPv6 address"),
            (
                "mqtt://host/path",
                "nothing may follow host and port, but \"/path\" does",
            ),
            (
                "mqtt://:secret@host",
                "there is a password without a user name",
            ),
        ] {
            let err = Broker::parse(url).unwrap_err();
            assert_eq!(err.to_string(), expected, "{url}");
        }
        let err = Broker::parse("mqtt://u:50%@host").unwrap_err();
        assert_eq!(err, BrokerError::Percent);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,60}") {
            let _ = Broker::parse(&text);
        }

        #[test]
        fn a_shown_address_parses_to_itself(
            user in proptest::option::of("\\PC{1,12}"), port in 1_u16..
        ) {
            let broker = Broker {
                is_tls: true, host: "a.b".into(), port, user, password: None,
            };
            prop_assert_eq!(Broker::parse(&broker.to_string()), Ok(broker));
        }
    }
}

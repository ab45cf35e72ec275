//! What can be wrong between us and a broker, in words that say what to do about it.
//!
//! `mqtt.rs` makes these of the client's errors, with the kernel's and rustls' read here; the text
//! never holds more of a foreign message than one line.

use std::io::ErrorKind;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::backoff::STABLE_AFTER;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nothing listens there.
    #[error("connection refused: is a broker running there, and is this its port?")]
    Refused,
    /// No such host.
    #[error("the name does not resolve: check the broker's name, or use its address")]
    Unresolvable,
    /// No such host, and the name needs multicast DNS.
    #[error(
        "the name does not resolve, and nobody in the local network answers to it (multicast DNS, \
         UDP port 5353): is the broker's host up? Else use its address"
    )]
    UnresolvableLocal,
    /// No broker is configured, and the network names none.
    #[error("no broker is configured, and none announced itself in the local network")]
    NoneAnnounced,
    /// No packet comes back.
    #[error("no answer: check address and firewall")]
    TimedOut,
    /// There is no way to the host.
    #[error("unreachable: is the network up?")]
    Unreachable,
    /// The broker, or something between, hung up.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker hung up before it greeted.
    #[error("the broker closed the connection at once: does this port want TLS (mqtts://)?")]
    ClosedAtOnce,
    /// The broker hung up before TLS was spoken.
    #[error("the broker closed the connection at once: does this port want mqtt:// without s?")]
    ClosedAtOnceTls,
    /// Frames are not acknowledged.
    #[error("the broker stopped answering")]
    Silent,
    /// User name or password are wrong.
    #[error("the broker refuses us (0x86): check user name and password")]
    BadCredentials,
    /// The user may not connect.
    #[error("the broker does not authorise us (0x87): check user name, password and certificate")]
    NotAuthorised,
    /// The user may connect and not publish.
    #[error("the broker does not let us publish on {0}: check its access control list")]
    PublishRefused(Box<str>),
    /// The user may connect and not subscribe.
    #[error("the broker does not let us subscribe to {0}: check its access control list")]
    SubscribeRefused(Box<str>),
    /// Somebody else connected with our client id.
    #[error(
        "another agent with the same identity took the connection over (0x8E): a cloned card? \
         Remove the file `instance` from one's state directory"
    )]
    TakenOver,
    /// Connections end soon after they began, again and again; not every broker says why.
    #[error(
        "the broker closes each connection soon after it began: another agent with the same \
         identity, from a cloned card? Then remove the file `instance` from one's state directory"
    )]
    Contested,
    /// Any other code of the broker.
    #[error("the broker refuses us: {0}")]
    Rejected(Box<str>),
    /// The certificate is for another name.
    #[error("the broker's certificate is not for this name: use a name that stands in it")]
    WrongName,
    /// The certificate's time has not come, which is what a board without a clock sees.
    #[error(
        "the broker's certificate is not valid yet: the clock of this board may be wrong, \
         it must be set before TLS works"
    )]
    NotYetValid,
    /// The certificate is too old.
    #[error("the broker's certificate has expired")]
    Expired,
    /// We do not trust the issuer.
    #[error("the broker's certificate is signed by nobody we trust: set ca_file in [tls]")]
    UnknownIssuer,
    /// The broker wants a certificate, and we have none.
    #[error("the broker wants a certificate of ours: set cert_file and key_file in [tls]")]
    CertificateWanted,
    /// The broker does not like our certificate.
    #[error("the broker does not accept our certificate ({0}): check cert_file in [tls]")]
    CertificateRefused(Box<str>),
    /// What answers does not speak TLS.
    #[error("TLS fails ({0}): does this port want mqtt:// without s?")]
    Tls(Box<str>),
    /// What answers does not speak MQTT 5.
    #[error("what answers there does not speak MQTT 5 ({0})")]
    Protocol(Box<str>),
    /// Any other error.
    #[error("{0}")]
    Other(Box<str>),
}

impl Trouble {
    /// Whether a new connection is no sign that this is over.
    pub const fn outlives_a_connection(&self) -> bool {
        matches!(self, Self::TakenOver | Self::Contested)
    }
}

/// The first line of a text, shortened.
pub fn one_line(text: &str) -> Box<str> {
    /// A line that a terminal shows.
    const CHARS_MAX: usize = 160;
    let line = text.lines().next().unwrap_or_default();
    line.chars()
        .filter(|c| !c.is_control())
        .take(CHARS_MAX)
        .collect::<String>()
        .into()
}

/// What the kernel's, the resolver's or, inside of it, rustls' error means.
#[expect(clippy::wildcard_enum_match_arm, reason = "std's error kinds grow")]
pub(super) fn io_trouble(err: &std::io::Error) -> Trouble {
    let inner = err
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(err) = inner {
        return tls_trouble(err);
    }
    match err.kind() {
        ErrorKind::ConnectionRefused => Trouble::Refused,
        ErrorKind::TimedOut => Trouble::TimedOut,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Trouble::Unreachable,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Trouble::Closed,
        // getaddrinfo's errors carry no number of the kernel.
        _ if err.raw_os_error().is_none() && err.to_string().contains("lookup") => {
            Trouble::Unresolvable
        }
        _ => Trouble::Other(one_line(&err.to_string())),
    }
}

/// What rustls' error means.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls' many errors, few of them the user's"
)]
pub(super) fn tls_trouble(err: &rustls::Error) -> Trouble {
    match err {
        rustls::Error::InvalidCertificate(err) => match err {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Trouble::WrongName
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Trouble::NotYetValid
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Trouble::Expired,
            // A bad signature is one of an authority that took the name of ours.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Trouble::UnknownIssuer
            }
            err => Trouble::Tls(one_line(&err.to_string())),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => Trouble::CertificateWanted,
            AlertDescription::BadCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA => {
                Trouble::CertificateRefused(one_line(&format!("{alert:?}")))
            }
            alert => Trouble::Tls(one_line(&format!("{alert:?}"))),
        },
        err => Trouble::Tls(one_line(&err.to_string())),
    }
}

/// Mosquitto closes a connection that was taken over without a word: it shows by repetition.
pub(super) fn contested(
    short_lives: &mut u32,
    lifetime: Option<Duration>,
    trouble: Trouble,
) -> Trouble {
    /// A broker may restart twice while it is set up.
    const SHORT_LIVES_MAX: u32 = 2;
    let is_short = lifetime.is_some_and(|lifetime| lifetime < STABLE_AFTER);
    if !is_short || trouble != Trouble::Closed {
        *short_lives = 0;
        return trouble;
    }
    *short_lives = short_lives.saturating_add(1);
    if *short_lives > SHORT_LIVES_MAX {
        Trouble::Contested
    } else {
        trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_errors_say_what_to_do() {
        let not_yet = rustls::Error::InvalidCertificate(CertificateError::NotValidYet);
        let err = std::io::Error::new(ErrorKind::InvalidData, not_yet);
        assert_eq!(io_trouble(&err), Trouble::NotYetValid);
        assert!(Trouble::NotYetValid.to_string().contains("clock"));
    }

    #[test]
    fn connections_that_keep_being_short_are_contested() {
        let mut lives = 0;
        let short = Some(Duration::from_secs(3));
        let mut end = |lifetime, trouble| contested(&mut lives, lifetime, trouble);
        assert_eq!(end(short, Trouble::Closed), Trouble::Closed);
        assert_eq!(end(short, Trouble::Closed), Trouble::Closed);
        assert_eq!(end(short, Trouble::Closed), Trouble::Contested);
        assert_eq!(end(short, Trouble::Closed), Trouble::Contested);
        assert_eq!(end(Some(STABLE_AFTER), Trouble::Closed), Trouble::Closed);
        assert_eq!(end(None, Trouble::Refused), Trouble::Refused);
    }
}

//! What can be wrong between us and a broker, in words that say what to do about it.
//!
//! Only `mqtt.rs` makes these, from the client's and the kernel's errors; the text never holds
//! more of a foreign message than one line.

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
    #[error("the name does not resolve: .local names need multicast DNS, use the address instead")]
    UnresolvableLocal,
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
    /// Frames are not acknowledged.
    #[error("the broker stopped answering")]
    Silent,
    /// User name or password are wrong.
    #[error("the broker refuses the user name or the password (0x86)")]
    BadCredentials,
    /// The user may not connect.
    #[error("the broker does not authorise this user or certificate (0x87)")]
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

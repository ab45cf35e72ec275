//! Topics, and the names that make them: `nodling/<fleet>/{up,will,down}/<node>` and
//! `nodling/<fleet>/gateway`.
//!
//! Names are checked once, when they are parsed; a name can then stand in a topic, in a
//! subscription and in Kubernetes without escaping.

use core::fmt;

/// The first level of every topic.
pub const ROOT: &str = "nodling";

/// No topic is longer.
pub const MAX_TOPIC_LEN: usize = ROOT.len() + 1 + Fleet::MAX_LEN + 6 + NodeName::MAX_LEN;

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// Too many bytes.
    #[error("a name must be no more than {0} characters")]
    TooLong(usize),
    /// Something else than lower-case letters, digits, `-` (and `.` in node names).
    #[error(
        "a name must consist of lower case alphanumeric characters, '-' or '.', \
         and must start and end with an alphanumeric character (RFC 1123)"
    )]
    Malformed,
}

/// A Kubernetes Node's name: an RFC 1123 subdomain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName<'a>(&'a str);

impl<'a> NodeName<'a> {
    /// RFC 1123, as Kubernetes limits it.
    pub const MAX_LEN: usize = 253;

    /// Checks a name.
    pub fn parse(name: &'a str) -> Result<Self, NameError> {
        check_len(name, Self::MAX_LEN)?;
        if name.split('.').all(is_label) {
            Ok(Self(name))
        } else {
            Err(NameError::Malformed)
        }
    }

    /// The name.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for NodeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The name of a set of nodes that share a gateway: an RFC 1123 label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fleet<'a>(&'a str);

impl<'a> Fleet<'a> {
    /// RFC 1123, as Kubernetes limits a label.
    pub const MAX_LEN: usize = 63;

    /// Checks a name.
    pub fn parse(name: &'a str) -> Result<Self, NameError> {
        check_len(name, Self::MAX_LEN)?;
        if is_label(name) {
            Ok(Self(name))
        } else {
            Err(NameError::Malformed)
        }
    }

    /// The name.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Fleet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const fn check_len(name: &str, max_len: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > max_len {
        return Err(NameError::TooLong(max_len));
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes
            .iter()
            .all(|byte| is_alphanumeric(byte) || *byte == b'-')
}

/// A topic of one fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// Agent to gateway.
    Up(NodeName<'a>),
    /// The broker for an agent whose connection broke.
    Will(NodeName<'a>),
    /// Gateway to agent.
    Down(NodeName<'a>),
    /// The gateway announces itself.
    Gateway,
}

impl<'a> Topic<'a> {
    /// Takes a topic of this fleet apart; anything else is `None`.
    pub fn parse(fleet: Fleet<'_>, topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix(ROOT)?.strip_prefix('/')?;
        let rest = rest.strip_prefix(fleet.0)?.strip_prefix('/')?;
        if rest == "gateway" {
            return Some(Self::Gateway);
        }
        let (direction, node) = rest.split_once('/')?;
        let node = NodeName::parse(node).ok()?;
        match direction {
            "up" => Some(Self::Up(node)),
            "will" => Some(Self::Will(node)),
            "down" => Some(Self::Down(node)),
            _ => None,
        }
    }

    /// The topic as text.
    pub fn render(self, fleet: Fleet<'_>) -> heapless::String<MAX_TOPIC_LEN> {
        let mut text = heapless::String::new();
        let written = match self {
            Self::Up(node) => fmt::write(&mut text, format_args!("{ROOT}/{fleet}/up/{node}")),
            Self::Will(node) => fmt::write(&mut text, format_args!("{ROOT}/{fleet}/will/{node}")),
            Self::Down(node) => fmt::write(&mut text, format_args!("{ROOT}/{fleet}/down/{node}")),
            Self::Gateway => fmt::write(&mut text, format_args!("{ROOT}/{fleet}/gateway")),
        };
        written.expect("both names are within their limits");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_what_kubernetes_takes() {
        for name in ["a", "pi-4", "attic.lan", "0", "a-b.c-d.3"] {
            assert!(NodeName::parse(name).is_ok(), "{name}");
        }
        for name in [
            "", "-a", "a-", "A", "a..b", ".a", "a.", "a/b", "a+", "#", "a b", "ä", "a_b",
        ] {
            assert!(NodeName::parse(name).is_err(), "{name}");
        }
        assert_eq!(Fleet::parse("a.b"), Err(NameError::Malformed));
        assert_eq!(Fleet::parse(""), Err(NameError::Empty));
        let long = "a".repeat(64);
        assert_eq!(Fleet::parse(&long), Err(NameError::TooLong(63)));
    }

    #[test]
    fn the_longest_topic_fits() {
        let (fleet, node) = ("f".repeat(63), "n".repeat(253));
        let fleet = Fleet::parse(&fleet).unwrap();
        let node = NodeName::parse(&node).unwrap();
        let topic = Topic::Will(node).render(fleet);
        assert_eq!(Topic::parse(fleet, &topic), Some(Topic::Will(node)));
    }

    #[test]
    fn other_fleets_topics_are_not_ours() {
        let home = Fleet::parse("home").unwrap();
        for topic in [
            "nodling/homes/up/a",
            "nodling/home",
            "nodling/home/up/",
            "x/home/up/a",
            "",
        ] {
            assert_eq!(Topic::parse(home, topic), None, "{topic}");
        }
    }

    proptest! {
        #[test]
        fn any_topic_parses_or_not_and_returns(text in "\\PC{0,80}") {
            let home = Fleet::parse("home").unwrap();
            if let Some(topic) = Topic::parse(home, &text) {
                let rendered = topic.render(home);
                prop_assert_eq!(rendered.as_str(), text);
            }
        }

        #[test]
        fn topics_return(node in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?") {
            let home = Fleet::parse("home").unwrap();
            let node = NodeName::parse(&node).unwrap();
            for topic in [Topic::Up(node), Topic::Will(node), Topic::Down(node), Topic::Gateway] {
                let rendered = topic.render(home);
                prop_assert_eq!(Topic::parse(home, &rendered), Some(topic));
            }
        }
    }
}

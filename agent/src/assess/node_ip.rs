//! What `node_ip` may say: kubelet's `--node-ip`, in kubelet's words where it is wrong.
//!
//! One address, one of each family, or `0.0.0.0` and `::` for "choose, and prefer this family".
//! Whether the host has the address is not known before it is observed. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a Node is to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeIp {
    /// The one that is found, of this family if there is one.
    Found(Family),
    /// This one.
    One(IpAddr),
    /// These, of two families.
    Two(IpAddr, IpAddr),
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Why there can be no such node address, as kubelet says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeIpError {
    /// No address at all.
    #[error("nodeIP must be a valid IP address")]
    Invalid,
    /// `127.0.0.0/8`, `::1`.
    #[error("nodeIP can't be loopback address")]
    Loopback,
    /// `224.0.0.0/4`, `ff00::/8`.
    #[error("nodeIP can't be a multicast address")]
    Multicast,
    /// `169.254.0.0/16`, `fe80::/10`.
    #[error("nodeIP can't be a link-local unicast address")]
    LinkLocal,
    /// Three addresses, or two of one family.
    #[error("must contain either a single IP or a dual-stack pair of IPs")]
    NoPair,
    /// `0.0.0.0` or `::` among two.
    #[error("dual-stack node IP cannot include '0.0.0.0' or '::'")]
    UnspecifiedPair,
}

impl NodeIp {
    /// Parses what the configuration says.
    pub fn parse(text: &str) -> Result<Self, NodeIpError> {
        let mut addresses = Vec::new();
        for part in text.split(',') {
            let address: IpAddr = part.trim().parse().map_err(|_| NodeIpError::Invalid)?;
            // An IPv4 address in IPv6's clothes is one, to kubelet too.
            addresses.push(address.to_canonical());
        }
        match *addresses.as_slice() {
            [one] if one.is_unspecified() => Ok(Self::Found(Family::of(one))),
            [one] => check(one).map(|()| Self::One(one)),
            [first, second] if Family::of(first) != Family::of(second) => {
                if first.is_unspecified() || second.is_unspecified() {
                    return Err(NodeIpError::UnspecifiedPair);
                }
                check(first)
                    .and_then(|()| check(second))
                    .map(|()| Self::Two(first, second))
            }
            _ => Err(NodeIpError::NoPair),
        }
    }
}

impl Default for NodeIp {
    fn default() -> Self {
        Self::Found(Family::V4)
    }
}

impl fmt::Display for NodeIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(Family::V4) => Ipv4Addr::UNSPECIFIED.fmt(f),
            Self::Found(Family::V6) => Ipv6Addr::UNSPECIFIED.fmt(f),
            Self::One(address) => address.fmt(f),
            Self::Two(first, second) => write!(f, "{first},{second}"),
        }
    }
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Both, this one first.
    pub(super) fn preferred(self) -> [Self; 2] {
        match self {
            Self::V4 => [Self::V4, Self::V6],
            Self::V6 => [Self::V6, Self::V4],
        }
    }
}

/// As Go's `IsLinkLocalUnicast`.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn check(address: IpAddr) -> Result<(), NodeIpError> {
    if address.is_loopback() {
        Err(NodeIpError::Loopback)
    } else if address.is_multicast() {
        Err(NodeIpError::Multicast)
    } else if is_link_local(address) {
        Err(NodeIpError::LinkLocal)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kubelets_strings_are_taken() {
        for (text, shown) in [
            ("192.168.1.7", "192.168.1.7"),
            (" fd00::7 ", "fd00::7"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("192.168.1.7, fd00::7", "192.168.1.7,fd00::7"),
            ("fd00::7,192.168.1.7", "fd00::7,192.168.1.7"),
            ("0.0.0.0", "0.0.0.0"),
            ("::", "::"),
        ] {
            assert_eq!(NodeIp::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(NodeIp::parse("::"), Ok(NodeIp::Found(Family::V6)));
        assert_eq!(NodeIp::parse("0.0.0.0"), Ok(NodeIp::default()));
    }

    #[test]
    fn what_kubelet_refuses_is_refused_in_its_words() {
        for (text, words) in [
            ("", "nodeIP must be a valid IP address"),
            ("attic", "nodeIP must be a valid IP address"),
            ("192.168.1.7,", "nodeIP must be a valid IP address"),
            ("192.168.1.7/24", "nodeIP must be a valid IP address"),
            ("127.0.0.1", "nodeIP can't be loopback address"),
            ("::1", "nodeIP can't be loopback address"),
            ("::ffff:127.0.0.1", "nodeIP can't be loopback address"),
            ("224.0.0.1", "nodeIP can't be a multicast address"),
            ("ff02::1", "nodeIP can't be a multicast address"),
            (
                "169.254.1.1",
                "nodeIP can't be a link-local unicast address",
            ),
            (
                "10.0.0.1,fe80::1",
                "nodeIP can't be a link-local unicast address",
            ),
            (
                "10.0.0.1,10.0.0.2",
                "must contain either a single IP or a dual-stack pair of IPs",
            ),
            (
                "10.0.0.1,fd00::1,10.0.0.2",
                "must contain either a single IP or a dual-stack pair of IPs",
            ),
            (
                "10.0.0.1,::",
                "dual-stack node IP cannot include '0.0.0.0' or '::'",
            ),
            (
                "0.0.0.0,fd00::1",
                "dual-stack node IP cannot include '0.0.0.0' or '::'",
            ),
        ] {
            assert_eq!(
                NodeIp::parse(text).unwrap_err().to_string(),
                words,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(v4 in any::<u32>(), v6 in any::<u128>(), both: bool) {
            let (v4, v6) = (Ipv4Addr::from(v4), Ipv6Addr::from(v6));
            let text = if both { format!("{v4},{v6}") } else { v6.to_string() };
            if let Ok(node_ip) = NodeIp::parse(&text) {
                prop_assert_eq!(NodeIp::parse(&node_ip.to_string()), Ok(node_ip));
            }
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,60}") {
            let _ = NodeIp::parse(&text);
        }
    }
}

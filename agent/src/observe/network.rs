//! Reads /proc/net/dev, /proc/net/route, /proc/net/ipv6_route, /sys/class/net/* and, by netlink,
//! the addresses (Documentation/networking/statistics.rst, rtnetlink(7)).
//!
//! Addresses come from one netlink dump: no file lists the IPv4 ones with their interface.

use std::net::IpAddr;

use super::Reading;

/// An interface's counters since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of /proc/net/dev")]
pub struct Interface {
    /// For example `eth0`.
    pub name: Box<str>,
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_errors: u64,
    pub received_drops: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_errors: u64,
    pub sent_drops: u64,
}

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// For example `wlan0`.
    pub name: Box<str>,
    /// `IFF_UP`.
    pub is_up: bool,
    /// `IFF_RUNNING`: there is a carrier.
    pub is_running: bool,
    /// `IFF_LOOPBACK`.
    pub is_loopback: bool,
    /// `IFF_POINTOPOINT`.
    pub is_point_to_point: bool,
    /// Whether a device is behind it; bridges, tunnels and containers' ends have none.
    pub is_physical: bool,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// For example `eth0`.
    pub interface: Box<str>,
    /// The address.
    pub address: IpAddr,
    /// Bits of its network.
    pub prefix_len: u8,
    /// An IPv6 privacy address, which will be replaced.
    pub is_temporary: bool,
    /// Not for new connections.
    pub is_deprecated: bool,
    /// Not yet, or not at all, proved to be unique.
    pub is_tentative: bool,
}

//! Under which names and addresses a laptop can reach this machine, for the API's certificate.
//!
//! Reads `/proc/net/fib_trie` (every local IPv4 address is a `/32 host LOCAL` leaf) and
//! `/proc/net/if_inet6`; neither needs a netlink socket.
#![expect(
    clippy::disallowed_methods,
    reason = "the kernel's list of addresses is a file"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host name, its `.local` form, and every address.
pub fn read(host_name: &str) -> Vec<String> {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let addresses = v4(&text("/proc/net/fib_trie"))
        .into_iter()
        .map(IpAddr::from)
        .chain(
            v6(&text("/proc/net/if_inet6"))
                .into_iter()
                .map(IpAddr::from),
        );
    let mut names: BTreeSet<String> = addresses.map(|address| address.to_string()).collect();
    let host_name = host_name.to_ascii_lowercase();
    // Multicast DNS knows the first label only.
    let label = host_name.split('.').next().unwrap_or_default();
    if !label.is_empty() {
        names.insert(format!("{label}.local"));
        names.insert(label.to_owned());
        names.insert(host_name);
    }
    names.into_iter().collect()
}

/// A leaf is a line `|-- address`; the line after it says what the address is to this host.
fn v4(fib_trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut leaf: Option<Ipv4Addr> = None;
    let mut found = BTreeSet::new();
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf);
        }
    }
    found
}

/// 32 digits, then index, prefix length, scope, flags and the interface's name.
fn v6(if_inet6: &str) -> BTreeSet<Ipv6Addr> {
    let address = |line: &str| {
        let digits = line.split_whitespace().next()?;
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
    };
    // A link-local address means nothing without an interface, which a certificate cannot name.
    let is_named = |address: &Ipv6Addr| !address.is_unicast_link_local();
    if_inet6
        .lines()
        .filter_map(address)
        .filter(is_named)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_picked_from_the_kernels_tables() {
        let fib = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                   \u{20}    +-- 192.168.1.0/24 2 0 2\n        |-- 192.168.1.0\n           /24 link UNICAST\n\
                   \u{20}       |-- 192.168.1.7\n           /32 host LOCAL\n        |-- 192.168.1.255\n\
                   \u{20}          /32 link BROADCAST\nLocal:\n        |-- 192.168.1.7\n           /32 host LOCAL\n";
        let found: Vec<_> = v4(fib).into_iter().collect();
        assert_eq!(found, [Ipv4Addr::new(192, 168, 1, 7)]);
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000000000000000001 02 40 20 80     eth0\n\
                     fd000000000000000000000000000007 02 40 00 80     eth0\n";
        let found: Vec<_> = v6(inet6).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["::1", "fd00::7"]);
    }

    #[test]
    fn a_host_is_known_by_its_label_its_local_name_and_in_full() {
        let names = read("Attic.lan");
        for name in ["attic", "attic.local", "attic.lan"] {
            assert!(
                names.iter().any(|known| known == name),
                "{name} in {names:?}"
            );
        }
    }
}

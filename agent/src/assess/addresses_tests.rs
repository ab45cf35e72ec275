//! Which addresses a Node lists, rule by rule.

use std::net::IpAddr;

use proptest::prelude::*;

use super::addresses::{AddressError, Config, Reachable, find};
use super::node_ip::NodeIp;
use crate::observe::address::Address;
use crate::observe::network::Link;
use crate::observe::route::{Route, Routes};
use crate::observe::{Errno, Links, ReadError};

fn address(interface: &str, text: &str) -> Address {
    Address {
        interface: interface.into(),
        address: text.parse().unwrap(),
        prefix_len: 24,
        is_temporary: false,
        is_deprecated: false,
        is_tentative: false,
    }
}

fn link(name: &str) -> Link {
    Link {
        name: name.into(),
        is_up: name != "eth9",
        has_carrier: Ok(Some(true)),
        is_loopback: name == "lo",
        is_point_to_point: name.starts_with("tun"),
        is_physical: name.starts_with("eth"),
    }
}

/// A host whose IPv4 and IPv6 default routes transit these interfaces.
fn host(v4: &[&str], v6: &[&str], addresses: &[(&str, &str)]) -> Links {
    let route = |name: &&str| Route {
        interface: (*name).into(),
        is_kubelets: true,
        leads_anywhere: true,
    };
    let routes = |names: &[&str]| Ok(Some(names.iter().map(route).collect()));
    let found = addresses.iter();
    Links {
        unknown: Vec::new(),
        links: Ok(Some(
            ["docker0", "eth0", "eth9", "lo", "tun0", "wlan0"]
                .map(link)
                .into(),
        )),
        addresses: Ok(Some(found.map(|(on, text)| address(on, text)).collect())),
        routes: Routes {
            v4: routes(v4),
            v6: routes(v6),
        },
    }
}

fn config(node_ip: &str) -> Config {
    Config {
        node_ip: NodeIp::parse(node_ip).unwrap(),
        hostname_override: None,
    }
}

fn texts(found: Result<Vec<Reachable>, AddressError>) -> Vec<String> {
    let found = found.unwrap();
    let text = |(kind, text): &Reachable| format!("{} {text}", kind.as_str());
    found.iter().map(text).collect()
}

fn listed(links: &Links, node_ip: &str) -> Vec<String> {
    texts(find(links, &config(node_ip), "attic"))
}

fn refused(links: &Links, node_ip: &str) -> AddressError {
    find(links, &config(node_ip), "attic").unwrap_err()
}

const HOME: &[(&str, &str)] = &[
    ("lo", "127.0.0.1"),
    ("docker0", "172.17.0.1"),
    ("eth0", "169.254.3.3"),
    ("eth0", "192.168.1.7"),
    ("wlan0", "192.168.2.7"),
    ("lo", "::1"),
    ("eth0", "fe80::1"),
    ("eth0", "fd00::7"),
];

#[test]
fn one_address_is_listed_then_the_name() {
    let links = host(&["eth0"], &["eth0"], HOME);
    assert_eq!(
        listed(&links, "0.0.0.0"),
        ["InternalIP 192.168.1.7", "Hostname attic"]
    );
    assert_eq!(
        listed(&links, "::"),
        ["InternalIP fd00::7", "Hostname attic"]
    );
}

#[test]
fn the_other_family_serves_where_the_preferred_has_none() {
    let only_v6 = host(&[], &["eth0"], &HOME[5..]);
    assert_eq!(listed(&only_v6, "0.0.0.0")[0], "InternalIP fd00::7");
    let only_v4 = host(&["eth0"], &[], &HOME[..5]);
    assert_eq!(listed(&only_v4, "::")[0], "InternalIP 192.168.1.7");
}

#[test]
fn the_first_default_route_with_an_address_counts() {
    let links = host(&["tun0", "wlan0", "eth0"], &[], HOME);
    assert_eq!(listed(&links, "0.0.0.0")[0], "InternalIP 192.168.2.7");
    let down = host(
        &["eth9", "eth0"],
        &[],
        &[("eth9", "10.9.9.9"), ("eth0", "10.0.0.2")],
    );
    assert_eq!(listed(&down, "0.0.0.0")[0], "InternalIP 10.0.0.2");
}

#[test]
fn a_route_over_a_nameless_interface_uses_the_address_on_loopback() {
    let router = [
        ("lo", "127.0.0.1"),
        ("lo", "10.255.0.1"),
        ("eth0", "fe80::1"),
    ];
    let links = host(&["eth0"], &[], &router);
    assert_eq!(listed(&links, "0.0.0.0")[0], "InternalIP 10.255.0.1");
}

#[test]
fn a_configured_address_must_be_the_hosts() {
    let links = host(&["eth0"], &["eth0"], HOME);
    assert_eq!(
        listed(&links, "192.168.2.7"),
        ["InternalIP 192.168.2.7", "Hostname attic"]
    );
    assert_eq!(
        listed(&links, "fd00::7,192.168.1.7"),
        [
            "InternalIP fd00::7",
            "InternalIP 192.168.1.7",
            "Hostname attic"
        ]
    );
    for (node_ip, words) in [
        (
            "10.0.0.1",
            "failed to validate nodeIP: node IP: \"10.0.0.1\" not found in the host's network \
             interfaces",
        ),
        (
            "192.168.1.7,fd00::8",
            "failed to validate secondaryNodeIP: node IP: \"fd00::8\" not found in the host's \
             network interfaces",
        ),
    ] {
        assert_eq!(refused(&links, node_ip).to_string(), words);
    }
}

#[test]
fn a_host_name_that_is_an_address_is_listed_as_both() {
    let links = host(&["eth0"], &[], HOME);
    let found = find(&links, &config("0.0.0.0"), "10.1.1.1");
    assert_eq!(texts(found), ["InternalIP 10.1.1.1", "Hostname 10.1.1.1"]);
    let found = find(&links, &config("192.168.1.7"), "10.1.1.1");
    assert_eq!(texts(found)[0], "InternalIP 192.168.1.7");
}

#[test]
fn without_a_way_out_there_is_no_address() {
    let links = host(&[], &[], HOME);
    assert_eq!(refused(&links, "0.0.0.0"), AddressError::NoRoute);
    let links = host(&["eth0"], &[], &[("wlan0", "10.0.0.1")]);
    assert_eq!(refused(&links, "0.0.0.0"), AddressError::NoneOnRoutes);
    let mut links = host(&["eth0"], &[], HOME);
    let err = ReadError::Refused {
        path: "netlink addresses".into(),
        cause: Errno(libc::EACCES),
    };
    links.addresses = Err(err.clone());
    assert_eq!(refused(&links, "0.0.0.0"), AddressError::Unreadable);
    assert_eq!(
        refused(&links, "10.0.0.1"),
        AddressError::NotFound(IpAddr::from([10, 0, 0, 1]))
    );
    let mut links = host(&[], &["eth0"], HOME);
    links.routes.v4 = Err(err);
    assert_eq!(refused(&links, "0.0.0.0"), AddressError::Unreadable);
}

#[test]
fn without_a_table_of_routes_every_interface_is_looked_at() {
    let mut links = host(
        &[],
        &[],
        &[
            ("tun0", "10.8.0.2"),
            ("eth9", "10.9.9.9"),
            ("wlan0", "10.0.0.2"),
        ],
    );
    links.routes.v4 = Ok(None);
    assert_eq!(listed(&links, "0.0.0.0")[0], "InternalIP 10.0.0.2");
    links.addresses = Ok(Some(vec![
        address("lo", "10.255.0.1"),
        address("tun0", "10.8.0.2"),
    ]));
    assert_eq!(refused(&links, "0.0.0.0"), AddressError::NoInterface);
}

#[test]
fn a_privacy_address_is_listed_only_if_there_is_no_other() {
    let mut links = host(
        &[],
        &["eth0"],
        &[("eth0", "2001:db8::99"), ("eth0", "2001:db8::7")],
    );
    let spoil = |links: &mut Links, at: usize| {
        if let Ok(Some(addresses)) = &mut links.addresses {
            addresses[at].is_temporary = true;
        }
    };
    spoil(&mut links, 0);
    assert_eq!(listed(&links, "::")[0], "InternalIP 2001:db8::7");
    spoil(&mut links, 1);
    assert_eq!(listed(&links, "::")[0], "InternalIP 2001:db8::99");
}

proptest! {
    #[test]
    fn whatever_a_host_has_only_a_global_address_of_its_own_is_chosen(
        addresses in prop::collection::vec((0_usize..6, any::<u32>(), any::<u128>(), any::<bool>()), 0..12),
        v4 in prop::collection::vec(0_usize..6, 0..4),
        v6 in prop::collection::vec(0_usize..6, 0..4),
        prefers_v6: bool,
    ) {
        const NAMES: [&str; 6] = ["docker0", "eth0", "eth9", "lo", "tun0", "wlan0"];
        let names = |at: &[usize]| at.iter().map(|at| NAMES[*at]).collect::<Vec<_>>();
        let mut links = host(&names(&v4), &names(&v6), &[]);
        let has: Vec<Address> = addresses
            .iter()
            .map(|(on, v4, v6, is_v6)| {
                let text = if *is_v6 {
                    std::net::Ipv6Addr::from(*v6).to_string()
                } else {
                    std::net::Ipv4Addr::from(*v4).to_string()
                };
                address(NAMES[*on], &text)
            })
            .collect();
        links.addresses = Ok(Some(has.clone()));
        let node_ip = if prefers_v6 { "::" } else { "0.0.0.0" };
        if let Ok(found) = find(&links, &config(node_ip), "attic") {
            let chosen: IpAddr = found[0].1.parse().unwrap();
            prop_assert!(has.iter().any(|address| address.address == chosen));
            prop_assert!(!chosen.is_loopback() && !chosen.is_multicast());
            prop_assert_eq!(found.len(), 2);
        }
    }
}

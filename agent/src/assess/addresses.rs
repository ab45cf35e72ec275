//! Where a node can be reached: the address of the default route's interface, and the name.
//!
//! The kubelet's order (pkg/kubelet/nodestatus): the first family's `InternalIP`, the second's, the
//! host name. Privacy addresses are left out, since they change every day.

use std::net::IpAddr;

use nodling_protocol::facts::AddressKind;

use crate::observe::address::Address;
use crate::observe::network::Link;
use crate::observe::{Links, Reading};

/// An address with its purpose.
pub(super) type Reachable = (AddressKind, Box<str>);

/// The node's addresses in the order in which Kubernetes is to list them.
pub(super) fn addresses(links: &Links, hostname: &str) -> Vec<Reachable> {
    let mut all = Vec::with_capacity(3);
    for (route, is_family) in [
        (
            &links.default_route_v4,
            IpAddr::is_ipv4 as fn(&IpAddr) -> bool,
        ),
        (&links.default_route_v6, IpAddr::is_ipv6),
    ] {
        if let Some(address) = internal_ip(links, route, is_family) {
            all.push((AddressKind::InternalIp, address.to_string().into()));
        }
    }
    if !hostname.is_empty() {
        all.push((AddressKind::Hostname, hostname.into()));
    }
    all
}

fn internal_ip(
    links: &Links,
    route: &Reading<Box<str>>,
    is_family: fn(&IpAddr) -> bool,
) -> Option<IpAddr> {
    let addresses = links.addresses.as_ref().ok()?.as_ref()?;
    let is_fit = |address: &&Address| {
        is_family(&address.address)
            && is_global_unicast(&address.address)
            && !address.is_temporary
            && !address.is_deprecated
            && !address.is_tentative
    };
    let mut candidates = addresses.iter().filter(is_fit);
    if let Ok(Some(interface)) = route {
        return candidates
            .find(|address| address.interface == *interface)
            .map(|address| address.address);
    }
    // A network without a router still has addresses; a tunnel's or a bridge's is no use there.
    let known = links.links.as_ref().ok()?.as_ref()?;
    let is_usable = |link: &Link| {
        link.is_up && link.is_physical && !link.is_loopback && !link.is_point_to_point
    };
    candidates
        .find(|address| {
            let mut of_address = known.iter().filter(|link| link.name == address.interface);
            of_address.next().is_some_and(is_usable)
        })
        .map(|address| address.address)
}

/// As Go's `IsGlobalUnicast`, which the kubelet asks: private addresses are global here.
fn is_global_unicast(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !is_link_local && !address.is_loopback() && !address.is_multicast() && !address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            is_up: true,
            has_carrier: Ok(Some(true)),
            is_loopback: name == "lo",
            is_point_to_point: false,
            is_physical: name.starts_with("eth"),
        }
    }

    fn links(addresses: Vec<Address>) -> Links {
        Links {
            links: Ok(Some(vec![link("docker0"), link("eth0"), link("lo")])),
            addresses: Ok(Some(addresses)),
            default_route_v4: Ok(Some("eth0".into())),
            default_route_v6: Ok(Some("eth0".into())),
            default_routes: Ok(Some(vec!["eth0".into()])),
        }
    }

    fn texts(links: &Links) -> Vec<String> {
        let all = addresses(links, "attic");
        all.iter()
            .map(|(kind, text)| format!("{} {text}", kind.as_str()))
            .collect()
    }

    #[test]
    fn both_families_then_the_name() {
        let mut temporary = address("eth0", "2001:db8::99");
        temporary.is_temporary = true;
        let links = links(vec![
            address("lo", "127.0.0.1"),
            address("docker0", "172.17.0.1"),
            address("eth0", "192.168.1.7"),
            address("eth0", "fe80::1"),
            temporary,
            address("eth0", "2001:db8::7"),
        ]);
        assert_eq!(
            texts(&links),
            [
                "InternalIP 192.168.1.7",
                "InternalIP 2001:db8::7",
                "Hostname attic"
            ]
        );
    }

    #[test]
    fn without_a_route_the_first_real_interface_counts() {
        let mut links = links(vec![
            address("docker0", "172.17.0.1"),
            address("eth0", "10.0.0.2"),
        ]);
        links.default_route_v4 = Ok(None);
        assert_eq!(texts(&links), ["InternalIP 10.0.0.2", "Hostname attic"]);
    }
}

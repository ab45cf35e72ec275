//! `NetworkUnavailable`: no default route that leads anywhere.
//!
//! A route counts when its interface is up, has a carrier and an address of more than the link.
//! Which interface the broker is reached by does not matter: a board whose only network is the
//! broker's has one, unless that network leads no further.

use std::net::IpAddr;

use super::finding::Finding;
use crate::observe::Links;
use crate::observe::network::Link;

/// Whether there is no usable default route.
pub(super) fn network_unavailable(links: &Links) -> Finding {
    let routes = match (&links.routes.v4, &links.routes.v6) {
        // A table that could not be read may hold the one route that there is.
        (Err(_), _) | (_, Err(_)) => return Finding::Failed,
        (Ok(None), Ok(None)) => return Finding::Absent,
        (Ok(v4), Ok(v6)) => v4.iter().chain(v6).flatten(),
    };
    let mut leading = routes.filter(|route| route.leads_anywhere);
    Finding::Holds(!leading.any(|route| is_usable(links, &route.interface)))
}

/// Only what is known counts against an interface.
fn is_usable(links: &Links, name: &str) -> bool {
    let named = |name: &str| known_links(links).iter().find(|link| *link.name == *name);
    let link = named(name);
    if link.is_some_and(|link| !link.is_up || link.has_carrier == Ok(Some(false))) {
        return false;
    }
    // A tunnel's end needs no address, and a host may have its own on `lo`.
    if link.is_some_and(|link| link.is_point_to_point) {
        return true;
    }
    let Ok(Some(addresses)) = &links.addresses else {
        return true;
    };
    let is_lo = |name: &str| named(name).is_some_and(|link| link.is_loopback);
    addresses.iter().any(|address| {
        let is_here = *address.interface == *name || is_lo(&address.interface);
        is_here && !address.is_tentative && leads_beyond_the_link(&address.address)
    })
}

fn known_links(links: &Links) -> &[Link] {
    match &links.links {
        Ok(Some(links)) => links,
        Ok(None) | Err(_) => &[],
    }
}

fn leads_beyond_the_link(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_loopback() || address.is_link_local() || address.is_unspecified())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::address::Address;
    use crate::observe::route::{Route, Routes};
    use crate::observe::{Errno, ReadError};

    fn link(name: &str) -> Link {
        Link {
            name: name.into(),
            is_up: true,
            has_carrier: Ok(Some(true)),
            is_loopback: name == "lo",
            is_point_to_point: false,
            is_physical: name != "lo",
        }
    }

    fn address(interface: &str, address: &str) -> Address {
        Address {
            interface: interface.into(),
            address: address.parse().unwrap(),
            prefix_len: 24,
            is_temporary: false,
            is_deprecated: false,
            is_tentative: false,
        }
    }

    /// On Wi-Fi, with a cable's socket beside it.
    fn links() -> Links {
        Links {
            unknown: Vec::new(),
            links: Ok(Some(vec![link("eth0"), link("lo"), link("wlan0")])),
            addresses: Ok(Some(vec![
                address("lo", "127.0.0.1"),
                address("wlan0", "192.168.2.57"),
                address("wlan0", "fe80::1"),
            ])),
            routes: Routes {
                v4: Ok(Some(routes(&["wlan0"]))),
                v6: Ok(None),
            },
        }
    }

    fn routes(interfaces: &[&str]) -> Vec<Route> {
        let route = |interface: &&str| Route {
            interface: (*interface).into(),
            is_kubelets: true,
            leads_anywhere: true,
        };
        interfaces.iter().map(route).collect()
    }

    fn changed(change: impl Fn(&mut Links)) -> Finding {
        let mut links = links();
        change(&mut links);
        network_unavailable(&links)
    }

    fn wlan0(links: &mut Links) -> &mut Link {
        &mut links.links.as_mut().unwrap().as_mut().unwrap()[2]
    }

    fn addresses(links: &mut Links) -> &mut Vec<Address> {
        links.addresses.as_mut().unwrap().as_mut().unwrap()
    }

    const UNAVAILABLE: Finding = Finding::Holds(true);
    const AVAILABLE: Finding = Finding::Holds(false);

    #[test]
    fn a_board_whose_only_network_is_the_brokers_has_one() {
        assert_eq!(changed(|_| {}), AVAILABLE);
    }

    #[test]
    fn a_route_that_leads_nowhere_is_none() {
        assert_eq!(
            changed(|links| links.routes.v4 = Ok(Some(routes(&[])))),
            UNAVAILABLE
        );
        assert_eq!(changed(|links| wlan0(links).is_up = false), UNAVAILABLE);
        let no_carrier = |links: &mut Links| wlan0(links).has_carrier = Ok(Some(false));
        assert_eq!(changed(no_carrier), UNAVAILABLE);
        // What zeroconf gives itself where nobody answers.
        let link_local = |links: &mut Links| {
            addresses(links)[1].address = "169.254.7.8".parse().unwrap();
        };
        assert_eq!(changed(link_local), UNAVAILABLE);
        assert_eq!(
            changed(|links| addresses(links)[1].is_tentative = true),
            UNAVAILABLE
        );
    }

    #[test]
    fn one_usable_route_of_several_is_enough() {
        let second = |links: &mut Links| {
            links.routes.v4 = Ok(Some(routes(&["eth0", "wlan0"])));
            links.links.as_mut().unwrap().as_mut().unwrap()[0].has_carrier = Ok(Some(false));
        };
        assert_eq!(changed(second), AVAILABLE);
    }

    #[test]
    fn tunnels_and_hosts_with_their_address_on_lo_are_reachable() {
        let tunnel = |links: &mut Links| {
            wlan0(links).is_point_to_point = true;
            addresses(links).clear();
        };
        assert_eq!(changed(tunnel), AVAILABLE);
        let on_lo = |links: &mut Links| {
            *addresses(links) = vec![address("lo", "127.0.0.1"), address("lo", "203.0.113.9")];
        };
        assert_eq!(changed(on_lo), AVAILABLE);
    }

    #[test]
    fn what_cannot_be_read_is_not_held_against_a_route() {
        let failed = || ReadError::Refused {
            path: "x".into(),
            cause: Errno(libc::EACCES),
        };
        assert_eq!(changed(|links| links.links = Err(failed())), AVAILABLE);
        assert_eq!(changed(|links| links.addresses = Err(failed())), AVAILABLE);
        let carrier = |links: &mut Links| wlan0(links).has_carrier = Err(failed());
        assert_eq!(changed(carrier), AVAILABLE);
        assert_eq!(
            changed(|links| links.routes.v6 = Err(failed())),
            Finding::Failed
        );
        assert_eq!(changed(|links| links.routes.v4 = Ok(None)), Finding::Absent);
    }
}

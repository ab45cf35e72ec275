//! Where a node can be reached, by kubelet's rules (pkg/kubelet/nodestatus, apimachinery's
//! util/net): `InternalIP`, perhaps a second one of the other family, and the host's name.
//!
//! Kubelet asks DNS for the node's name before it looks at routes; this does not, because an
//! answer that does not come must not hold anything up: `node_ip` says what DNS would. Of the
//! addresses of an interface the first lasting one counts; kubelet takes the first of all, even
//! a privacy address that is another tomorrow. Where none is found the last list stands.

use std::net::IpAddr;
use std::sync::Arc;

use nodling_protocol::facts::AddressKind;

use super::node_ip::{Family, NodeIp, is_link_local};
use crate::observe::address::Address;
use crate::observe::network::Link;
use crate::observe::{Fixed, Links, Observation};

/// An address with its purpose.
pub type Reachable = (AddressKind, Box<str>);

/// What the configuration says about addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Which addresses are listed.
    pub node_ip: NodeIp,
    /// Stands for the host's name, which is the default.
    pub hostname_override: Option<Box<str>>,
}

impl Config {
    /// The name that the Node lists and is labelled with.
    pub fn hostname<'a>(&'a self, observation: &'a Observation) -> &'a str {
        let observed = &observation.fixed.host.hostname;
        self.hostname_override.as_deref().unwrap_or(observed)
    }
}

/// Why the addresses are not known now, as kubelet says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The configured address is not this host's.
    #[error(
        "failed to validate nodeIP: node IP: \"{0}\" not found in the host's network interfaces"
    )]
    NotFound(IpAddr),
    /// The second configured address is not this host's.
    #[error(
        "failed to validate secondaryNodeIP: node IP: \"{0}\" not found in the host's network \
         interfaces"
    )]
    SecondaryNotFound(IpAddr),
    /// The kernel does not tell the addresses.
    #[error("can't get ip address of node. error: the host's addresses cannot be read")]
    Unreadable,
    /// No route leads out.
    #[error(
        "can't get ip address of node. error: no default routes found in \"/proc/net/route\" or \
         \"/proc/net/ipv6_route\"; node_ip can name an address"
    )]
    NoRoute,
    /// Routes lead out over interfaces without addresses.
    #[error("can't get ip address of node. error: unable to select an IP from default routes")]
    NoneOnRoutes,
    /// There is no table of routes, and no interface with an address.
    #[error(
        "can't get ip address of node. error: no acceptable interface with global unicast \
         address found on host"
    )]
    NoInterface,
}

/// The list as it was found last; found anew when what it rests on was read anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    basis: Option<(Arc<Links>, Arc<Fixed>)>,
    listed: Arc<[Reachable]>,
    error: Option<AddressError>,
}

impl Addresses {
    pub(super) fn update(
        &mut self,
        observation: &Observation,
        config: &Config,
    ) -> (Arc<[Reachable]>, Option<AddressError>) {
        let is_known = self.basis.as_ref().is_some_and(|(links, fixed)| {
            Arc::ptr_eq(links, &observation.links) && Arc::ptr_eq(fixed, &observation.fixed)
        });
        if !is_known {
            let basis = (
                Arc::clone(&observation.links),
                Arc::clone(&observation.fixed),
            );
            self.basis = Some(basis);
            let found = find(&observation.links, config, config.hostname(observation));
            self.error = match found {
                Ok(listed) => {
                    self.listed = listed.into();
                    None
                }
                Err(err) => Some(err),
            };
        }
        (Arc::clone(&self.listed), self.error)
    }

    pub(super) fn error(&self) -> Option<AddressError> {
        self.error
    }
}

/// The whole list, or why there is none.
pub(super) fn find(
    links: &Links,
    config: &Config,
    hostname: &str,
) -> Result<Vec<Reachable>, AddressError> {
    let internal = |address: IpAddr| (AddressKind::InternalIp, address.to_string().into());
    let addresses = links.addresses.as_ref().ok().and_then(Option::as_deref);
    let has = |address: IpAddr| {
        addresses
            .into_iter()
            .flatten()
            .any(|found| found.address.to_canonical() == address)
    };
    let mut listed = match config.node_ip {
        NodeIp::One(one) | NodeIp::Two(one, _) if !has(one) => {
            return Err(AddressError::NotFound(one));
        }
        NodeIp::Two(_, second) if !has(second) => {
            return Err(AddressError::SecondaryNotFound(second));
        }
        NodeIp::One(one) => vec![internal(one)],
        NodeIp::Two(first, second) => vec![internal(first), internal(second)],
        NodeIp::Found(family) => {
            let found = if let Ok(address) = hostname.parse::<IpAddr>() {
                address.to_canonical()
            } else {
                let addresses = addresses.ok_or(AddressError::Unreadable)?;
                choose(links, addresses, family)?
            };
            vec![internal(found)]
        }
    };
    if !hostname.is_empty() {
        listed.push((AddressKind::Hostname, hostname.into()));
    }
    Ok(listed)
}

/// Kubelet's `ResolveBindAddress`.
fn choose(links: &Links, addresses: &[Address], preferred: Family) -> Result<IpAddr, AddressError> {
    let known = links.links.as_ref().ok().and_then(Option::as_deref);
    let link = |name: &str| known?.iter().find(|link| *link.name == *name);
    let families = preferred.preferred();
    if links.routes.v4.is_err() {
        return Err(AddressError::Unreadable);
    }
    if links.routes.v4 == Ok(None) {
        let is_usable = |link: &Link| link.is_up && !link.is_loopback && !link.is_point_to_point;
        let on_usable = |address: &&Address| link(&address.interface).is_some_and(is_usable);
        return families
            .into_iter()
            .find_map(|family| first_global(addresses.iter().filter(on_usable), family))
            .ok_or(AddressError::NoInterface);
    }
    let transited = |family| routes(links, family);
    if families
        .iter()
        .all(|family| transited(*family).next().is_none())
    {
        return Err(AddressError::NoRoute);
    }
    // What cannot be read is not held against an interface.
    let is_up = |address: &&Address| link(&address.interface).is_none_or(|link| link.is_up);
    let on_loopback = |address: &&Address| {
        link(&address.interface).is_some_and(|link| link.is_loopback && link.is_up)
    };
    for family in families {
        for interface in transited(family) {
            let on_route = addresses
                .iter()
                .filter(|address| *address.interface == *interface)
                .filter(is_up);
            let found = first_global(on_route, family)
                // RFC 5549: routers without addresses but for one on loopback.
                .or_else(|| first_global(addresses.iter().filter(on_loopback), family));
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }
    Err(AddressError::NoneOnRoutes)
}

fn routes(links: &Links, family: Family) -> impl Iterator<Item = &str> {
    let routes = match family {
        Family::V4 => &links.routes.v4,
        Family::V6 => &links.routes.v6,
    };
    let routes = routes.as_ref().ok().and_then(Option::as_ref);
    let kubelets = routes.into_iter().flatten();
    let kubelets = kubelets.filter(|route| route.is_kubelets);
    kubelets.map(|route| &*route.interface)
}

fn first_global<'a>(
    mut addresses: impl Iterator<Item = &'a Address> + Clone,
    family: Family,
) -> Option<IpAddr> {
    let is_fit =
        |found: &&Address| Family::of(found.address) == family && is_global_unicast(found.address);
    let is_lasting =
        |found: &&Address| !found.is_temporary && !found.is_deprecated && !found.is_tentative;
    let lasting = addresses.clone().filter(is_lasting).find(is_fit);
    let first = lasting.or_else(|| addresses.find(is_fit));
    first.map(|found| found.address)
}

/// As Go's `IsGlobalUnicast`, which the kubelet asks: private addresses are global here.
fn is_global_unicast(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !is_broadcast
        && !is_link_local(address)
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_unspecified()
}

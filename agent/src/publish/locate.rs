//! Finds where to connect to, anew before each attempt.
//!
//! A configured host below `.local` becomes an address by multicast DNS, since a static program
//! has no resolver that knows it; any other host is left to the client's. Without a configured
//! broker one is found by DNS-SD. Nothing of this is proved: whoever is in the network may
//! answer, so a broker that was only found gets no password, and TLS verifies the name.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tracing::{debug, info};

use super::broker::Broker;
use super::dns::Name;
use super::multicast::{Link, search};
use super::search::{Search, Wanted, is_on_one_link};
use super::trouble::Trouble;
use crate::observe::interface::multicast_interfaces;
use crate::observe::root::Root;

/// Where one attempt is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whom we look for there.
    pub broker: Broker,
    /// What its name stands for, where we know it.
    pub address: Option<SocketAddr>,
}

impl Place {
    /// The host as the client takes it: it joins host and port with a colon, so brackets belong
    /// to an IPv6 address, unless TLS wants to read it: then the resolver copes with the last
    /// colon.
    pub fn host(&self) -> String {
        let bracketed = |host: &str| {
            if host.contains(':') && !self.broker.is_tls {
                format!("[{host}]")
            } else {
                host.to_owned()
            }
        };
        match self.address {
            None => bracketed(&self.broker.host),
            Some(SocketAddr::V6(v6)) if v6.scope_id() != 0 => {
                bracketed(&format!("{}%{}", v6.ip(), v6.scope_id()))
            }
            Some(address) => bracketed(&address.ip().to_string()),
        }
    }
}

/// How a broker is known.
#[derive(Clone, Debug)]
enum Whom {
    /// By its address, which is configured.
    Configured(Broker),
    /// By what it announces.
    Announced { is_tls: bool },
}

/// Over what the local network is asked.
#[derive(Clone, Debug)]
enum Links {
    /// Every interface; below which root they are listed.
    Interfaces(PathBuf),
    /// These.
    Given(Vec<Link>),
}

/// Finds the broker.
#[derive(Clone, Debug)]
pub struct Locator {
    whom: Whom,
    links: Links,
    /// Attempts since a connection: each takes the next address.
    failures: usize,
    /// The last that was found, so that only another one is news.
    told: Option<Broker>,
}

impl Locator {
    /// For a broker that is configured.
    pub fn at(broker: Broker) -> Self {
        Self::new(Whom::Configured(broker))
    }

    /// For whichever announces itself, with TLS or without.
    pub fn announced(is_tls: bool) -> Self {
        Self::new(Whom::Announced { is_tls })
    }

    fn new(whom: Whom) -> Self {
        Self {
            whom,
            links: Links::Interfaces("/".into()),
            failures: 0,
            told: None,
        }
    }

    /// Lists the interfaces below another root.
    #[must_use]
    pub fn below(mut self, root: impl Into<PathBuf>) -> Self {
        self.links = Links::Interfaces(root.into());
        self
    }

    /// Asks over these links only.
    #[must_use]
    pub fn over(mut self, links: Vec<Link>) -> Self {
        self.links = Links::Given(links);
        self
    }

    /// Whom it finds, for people.
    pub fn shown(&self) -> String {
        match &self.whom {
            Whom::Configured(broker) => broker.address(),
            Whom::Announced { .. } => "the broker that announces itself".to_owned(),
        }
    }

    /// Learns how the attempt went: after a failure the next address is taken.
    pub fn tried(&mut self, has_connected: bool) {
        self.failures = if has_connected {
            0
        } else {
            self.failures.wrapping_add(1)
        };
    }

    /// Where to connect to now.
    pub async fn locate(&mut self, random: fn() -> u64) -> Result<Place, Trouble> {
        match self.whom.clone() {
            Whom::Configured(broker) => {
                let name = Name::parse(&broker.host).filter(|_| broker.is_local());
                let address = match name {
                    Some(name) => self.resolve(&broker, name, random).await,
                    None => None,
                };
                Ok(Place { broker, address })
            }
            Whom::Announced { is_tls } => self.browse(is_tls, random).await,
        }
    }

    /// `None` leaves the name to the client: some networks have `.local` in their name server.
    async fn resolve(
        &mut self,
        broker: &Broker,
        name: Name,
        random: fn() -> u64,
    ) -> Option<SocketAddr> {
        let mut asked = Search::new(Wanted::Host(name.clone()));
        search(&self.links(), &mut asked, random).await;
        let addresses = usable(asked.addresses(&name, broker.port), broker.is_tls);
        let address = self.choose(&addresses);
        debug!(host = %name, ?address, known = addresses.len(), "asked by multicast dns");
        address
    }

    async fn browse(&mut self, is_tls: bool, random: fn() -> u64) -> Result<Place, Trouble> {
        let service = service(is_tls);
        let name = Name::parse(service).ok_or(Trouble::NoneAnnounced)?;
        let mut asked = Search::new(Wanted::Service(name));
        search(&self.links(), &mut asked, random).await;
        let mut found = asked.found().into_iter().filter_map(|instance| {
            let addresses = usable(instance.addresses.clone(), is_tls);
            (!addresses.is_empty()).then_some((instance, addresses))
        });
        let (instance, addresses) = found.next().ok_or(Trouble::NoneAnnounced)?;
        let broker = Broker {
            is_tls,
            host: instance.host,
            port: instance.port,
            user: None,
            password: None,
        };
        if self.told.as_ref() != Some(&broker) {
            let others = found.count();
            info!(instance = %instance.name, %broker, others, "found a broker by dns-sd");
            self.told = Some(broker.clone());
        }
        let address = self.choose(&addresses);
        Ok(Place { broker, address })
    }

    fn links(&self) -> Vec<Link> {
        match &self.links {
            Links::Given(links) => links.clone(),
            Links::Interfaces(root) => {
                let interfaces = Root::open(root).map(|mut root| multicast_interfaces(&mut root));
                interfaces
                    .unwrap_or_default()
                    .into_iter()
                    .flat_map(Link::of)
                    .collect()
            }
        }
    }

    fn choose(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let turn = self.failures.checked_rem(addresses.len())?;
        addresses.get(turn).copied()
    }
}

/// What such a broker calls its service (IANA).
pub const fn service(is_tls: bool) -> &'static str {
    if is_tls {
        "_secure-mqtt._tcp.local"
    } else {
        "_mqtt._tcp.local"
    }
}

/// With TLS the client takes no address that names an interface.
fn usable(mut addresses: Vec<SocketAddr>, is_tls: bool) -> Vec<SocketAddr> {
    addresses.retain(|address| match address.ip() {
        IpAddr::V6(v6) => !(is_tls && is_on_one_link(&v6)),
        IpAddr::V4(_) => true,
    });
    addresses
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;

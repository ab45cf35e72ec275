//! Announces the embedded broker in the local network: DNS-SD (RFC 6763) over multicast DNS.
//!
//! The library answers questions, defends the names and says goodbye, on a thread of its own. A
//! broker that listens on loopback is announced to nobody. The host goes by a name of our own,
//! beside the one that the system's responder may announce, so that the two never dispute it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use tracing::debug;

/// What brokers without TLS are called (IANA).
const SERVICE: &str = "_mqtt._tcp.local.";
/// With what stands before it, a label of at most 63.
const HOST_LEN_MAX: usize = 40;
/// The stop waits no longer for the goodbye.
const GOODBYE: Duration = Duration::from_millis(300);

/// The broker cannot be announced.
#[derive(Debug, thiserror::Error)]
#[error("announcing the embedded broker in the local network")]
pub struct AdvertiseError(#[from] mdns_sd::Error);

/// What is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where the broker listens; unspecified stands for every address of the host.
    address: SocketAddr,
    instance: String,
    host: String,
    fleet: String,
}

impl Offer {
    /// What to say of a broker; nothing, if only this host reaches it.
    pub fn of(address: SocketAddr, host_name: &str, fleet: &str) -> Option<Self> {
        if address.ip().is_loopback() {
            return None;
        }
        let label = label(host_name);
        Some(Self {
            address,
            instance: format!("Nodling broker on {label}"),
            host: format!("nodling-{label}.local."),
            fleet: fleet.to_owned(),
        })
    }

    fn service(&self) -> mdns_sd::Result<ServiceInfo> {
        let ip = self.address.ip();
        let is_any = ip.is_unspecified();
        let listed = if is_any {
            String::new()
        } else {
            ip.to_string()
        };
        let says = HashMap::from([("fleet".to_owned(), self.fleet.clone())]);
        let port = self.address.port();
        let service = ServiceInfo::new(
            SERVICE,
            &self.instance,
            &self.host,
            listed.as_str(),
            port,
            says,
        )?;
        Ok(if is_any {
            service.enable_addr_auto()
        } else {
            service
        })
    }

    /// Over which interfaces it is said.
    fn interfaces(&self) -> IfKind {
        let ip = self.address.ip();
        match (ip.is_unspecified(), ip.is_ipv4()) {
            (true, true) => IfKind::IPv4,
            (true, false) => IfKind::All,
            (false, _) => IfKind::Addr(ip),
        }
    }
}

/// A broker that is announced until this is withdrawn.
pub struct Advertisement {
    daemon: ServiceDaemon,
    name: String,
}

impl Advertisement {
    /// Begins to announce.
    pub fn start(offer: &Offer) -> Result<Self, AdvertiseError> {
        let service = offer.service()?;
        let name = service.get_fullname().to_owned();
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(offer.interfaces())?;
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        daemon.register(service)?;
        Ok(Self { daemon, name })
    }

    /// Under which name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says goodbye, so that nobody looks for the broker where it no longer is.
    pub async fn withdraw(self) {
        let said = tokio::task::spawn_blocking(move || {
            let said = self.daemon.unregister(&self.name)?;
            let _ = said.recv_timeout(GOODBYE);
            self.daemon.shutdown()
        });
        if !matches!(said.await, Ok(Ok(_))) {
            debug!("the goodbye to the local network was not said");
        }
    }
}

/// The host's name as a label: its first one, of letters, digits and hyphens.
fn label(host_name: &str) -> String {
    let first = host_name.split('.').next().unwrap_or_default();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let label: String = first.chars().map(plain).take(HOST_LEN_MAX).collect();
    match label.trim_matches('-') {
        "" => "gateway".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(address: &str) -> Option<Offer> {
        Offer::of(address.parse().unwrap(), "Attic.lan", "home")
    }

    #[test]
    fn what_only_this_host_reaches_is_not_announced() {
        assert_eq!(offer("127.0.0.1:1883"), None);
        assert_eq!(offer("[::1]:1883"), None);
    }

    #[test]
    fn an_offer_names_host_port_and_fleet() {
        let service = offer("192.0.2.7:1883").unwrap().service().unwrap();
        assert_eq!(
            service.get_fullname(),
            "Nodling broker on attic._mqtt._tcp.local."
        );
        assert_eq!(service.get_hostname(), "nodling-attic.local.");
        assert_eq!(service.get_port(), 1883);
        assert_eq!(service.get_property_val_str("fleet"), Some("home"));
        let listed: Vec<_> = service
            .get_addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(listed, ["192.0.2.7"]);
        assert!(!service.is_addr_auto());
    }

    #[test]
    fn a_broker_on_every_address_is_announced_with_those_of_its_families() {
        let any = offer("0.0.0.0:1883").unwrap();
        assert!(any.service().unwrap().is_addr_auto());
        assert!(matches!(any.interfaces(), IfKind::IPv4));
        assert!(matches!(
            offer("[::]:1883").unwrap().interfaces(),
            IfKind::All
        ));
    }

    #[test]
    fn any_host_name_becomes_a_label() {
        for (host_name, expected) in [
            ("attic", "attic"),
            ("Attic_2.example.com", "attic-2"),
            ("", "gateway"),
            ("...", "gateway"),
            ("dachböden", "dachb-den"),
        ] {
            assert_eq!(label(host_name), expected, "{host_name}");
        }
        assert_eq!(label(&"a".repeat(99)).len(), HOST_LEN_MAX);
    }
}

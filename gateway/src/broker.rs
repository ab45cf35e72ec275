//! The embedded broker: rumqttd on a thread of its own, off unless asked for.
//!
//! MQTT 5, no TLS and no passwords: for loopback, for trying things, and for small homes whose
//! network is trusted. It keeps nothing over a restart, which level-triggered heartbeats do not
//! need. Its sizes are small because it may live on a board itself.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Eight frames' worth: nothing that agents or the gateway send is longer.
const PAYLOAD_LEN_MAX: usize = 64 * 1024;
/// One table entry each; a home has fewer.
const CONNECTIONS_MAX: usize = 4096;
/// Four of these hold what the slowest subscriber has not read: ten seconds of a thousand
/// boards that beat every second, and some 3 MB of memory.
const SEGMENT_LEN: usize = 256 * 1024;
const SEGMENTS: usize = 4;
/// It binds within milliseconds; a loaded board takes longer.
const START: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// Why the embedded broker is not there.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be listened on.
    #[error("listening on {address} for the embedded broker (--embedded-broker)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// It ended.
    #[error("the embedded broker ended")]
    Ended,
    /// No thread could be started for it.
    #[error("starting a thread for the embedded broker")]
    Thread(#[source] io::Error),
}

/// A broker that runs until the process ends.
#[derive(Debug)]
pub struct EmbeddedBroker {
    /// Where it listens; the real port if 0 was asked for.
    pub address: SocketAddr,
    ended: oneshot::Receiver<()>,
}

impl EmbeddedBroker {
    /// Starts it, and returns when it takes connections.
    pub async fn start(address: SocketAddr) -> Result<Self, BrokerError> {
        let address = free(address).map_err(|source| BrokerError::Listen { address, source })?;
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || {
                let mut broker = Broker::new(settings(address));
                // It logs why by itself; here only that it is over matters.
                let _ = broker.start();
                let _ = end.send(());
            })
            .map_err(BrokerError::Thread)?;
        let reached = async {
            while TcpStream::connect(reachable(address)).await.is_err() {
                sleep(POLL).await;
            }
        };
        // If it does not come in time, the gateway's own connection says why.
        let _ = timeout(START, reached).await;
        Ok(Self { address, ended })
    }

    /// Returns when the broker has ended, which it should not.
    pub async fn ended(self) -> BrokerError {
        let _ = self.ended.await;
        BrokerError::Ended
    }
}

/// Asks for the port, so that a taken one is an error that says so, and 0 becomes a number:
/// rumqttd binds on its thread and tells nobody.
fn free(address: SocketAddr) -> io::Result<SocketAddr> {
    TcpListener::bind(address)?.local_addr()
}

/// Where to connect to for an address that was listened on.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, address.port())
}

fn settings(address: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: PAYLOAD_LEN_MAX,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let server = ServerSettings {
        name: "broker-v5".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 0,
        connections,
    };
    Config {
        id: 0,
        router: RouterConfig {
            max_connections: CONNECTIONS_MAX,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_LEN,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("v5".to_owned(), server)])),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = EmbeddedBroker::start(address).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}

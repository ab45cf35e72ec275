//! Takes topics and payloads from the broker and stamps their arrival on the boot-time clock.
//!
//! The client's loop runs on a task of its own and never waits for the client's own request
//! queue: waiting there would block the task that empties it. Nothing that anybody publishes
//! ends the connection on purpose: a packet above [`PACKET_LEN_MAX`] is announced as unwanted,
//! retained messages are neither asked for nor believed. What was asked of a connection that
//! broke is dropped, not queued.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use nodling_protocol::frame::encode_announce;
use nodling_protocol::{Announce, MAX_FRAME_LEN, NodeName, Topic};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Filter, Packet, Publish, RetainForwardRule, SubAck,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::config::{BrokerTls, BrokerUrl, FleetName};
use crate::telemetry::Chain;
use crate::time::Clocks;

/// No packet is longer, in either direction: eight frames.
const PACKET_LEN_MAX: u32 = 64 * 1024;
/// A dead path is noticed after one to two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Requests for Facts when a whole fleet is unknown; more are dropped and asked again.
const REQUESTS_MAX: usize = 2048;
/// Only the announcement is ever in flight.
const INFLIGHT_MAX: u16 = 8;

/// What comes from the broker.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Connected and subscribed.
    Up,
    /// Not connected any more, or still not; and why.
    Down(String),
    /// A message.
    Message(Message),
}

/// One MQTT message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// As it came: a broker checks UTF-8, but this is not the place to believe it.
    pub topic: Bytes,
    /// As it came.
    pub payload: Bytes,
    /// Whether it was kept, or asked to be kept, by the broker.
    pub is_retained: bool,
    /// When it came.
    pub arrival: Moment,
}

/// Whom to connect to, and as whom.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The broker, password included.
    pub broker: BrokerUrl,
    /// Certificates.
    pub tls: BrokerTls,
    /// Whose topics.
    pub fleet: FleetName,
    /// What is said on every connection.
    pub announce: Announce,
}

/// Why there is no connection to try.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// A certificate or key cannot be used.
    #[error("reading {path}")]
    Certificate {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificates do not go together.
    #[error("setting up TLS to the broker")]
    Tls(#[from] rustls::Error),
    /// There is not one root certificate on this system.
    #[error("no root certificates found for the broker: set \"broker_tls.ca\"")]
    NoRoots,
}

/// Publishes frames to boards; never waits.
#[derive(Clone)]
pub struct Downlink {
    client: AsyncClient,
    fleet: FleetName,
    is_up: Arc<AtomicBool>,
}

impl Downlink {
    /// Takes leave of the broker.
    pub fn disconnect(&self) {
        let _ = self.client.try_disconnect();
    }

    /// Publishes a frame on a node's down topic, if there is a connection with room for it.
    pub fn publish(&self, node: &str, frame: Vec<u8>) -> bool {
        let Ok(name) = NodeName::parse(node) else {
            return false;
        };
        let topic = Topic::Down(name).render(self.fleet.fleet());
        self.is_up.load(Ordering::Relaxed)
            && self
                .client
                .try_publish(topic.as_str(), QoS::AtMostOnce, false, frame)
                .is_ok()
    }
}

/// The connection to the broker, again and again.
pub struct Receiver {
    subscription: Subscription,
    client: AsyncClient,
    eventloop: EventLoop,
    is_up: Arc<AtomicBool>,
    sender: mpsc::Sender<Received>,
    clocks: Clocks,
    backoff: Backoff,
    is_trouble_said: bool,
}

/// The loop's other side has gone.
struct Closed;

impl Receiver {
    /// Prepares a connection; [`Receiver::run`] makes it.
    pub fn try_new(
        subscription: Subscription,
        sender: mpsc::Sender<Received>,
        clocks: Clocks,
    ) -> Result<(Self, Downlink), ReceiveError> {
        let options = options(&subscription)?;
        let (client, eventloop) = AsyncClient::new(options, REQUESTS_MAX);
        let is_up = Arc::new(AtomicBool::new(false));
        let downlink = Downlink {
            client: client.clone(),
            fleet: subscription.fleet.clone(),
            is_up: Arc::clone(&is_up),
        };
        let link = Self {
            backoff: Backoff::new(subscription.announce.epoch),
            subscription,
            client,
            eventloop,
            is_up,
            sender,
            clocks,
            is_trouble_said: false,
        };
        Ok((link, downlink))
    }

    /// Receives until nobody listens any more.
    pub async fn run(mut self) {
        loop {
            let polled = self.eventloop.poll().await;
            let arrival = self.clocks.moment();
            let went_on = match polled {
                Ok(event) => self.take(event, arrival).await,
                Err(error) => self.wait(&error).await,
            };
            if went_on.is_err() {
                return;
            }
        }
    }

    async fn take(&mut self, event: Event, arrival: Moment) -> Result<(), Closed> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the rest is the client's own affair"
        )]
        match event {
            Event::Incoming(Packet::Publish(publish)) => self.forward(publish, arrival).await,
            Event::Incoming(Packet::ConnAck(ack)) => {
                self.subscribe(&ack);
                Ok(())
            }
            Event::Incoming(Packet::SubAck(ack)) => self.subscribed(&ack, arrival).await,
            _ => Ok(()),
        }
    }

    async fn forward(&mut self, publish: Publish, arrival: Moment) -> Result<(), Closed> {
        self.send(Received::Message(Message {
            topic: publish.topic,
            payload: publish.payload,
            is_retained: publish.retain,
            arrival,
        }))
        .await
    }

    /// Asks anew on every connection: the session is clean.
    fn subscribe(&self, ack: &ConnAck) {
        debug!(
            session_present = ack.session_present,
            "connected to the broker"
        );
        let fleet = &self.subscription.fleet;
        let filter = |direction| Filter {
            path: format!("nodling/{fleet}/{direction}/+"),
            qos: QoS::AtLeastOnce,
            nolocal: false,
            // So that a beat published as retained is known for one when it comes live, too.
            preserve_retain: true,
            retain_forward_rule: RetainForwardRule::Never,
        };
        // An empty queue has room for two; a full one means a connection that is broken anyway.
        let _ = self
            .client
            .try_subscribe_many([filter("up"), filter("will")]);
        let mut buffer = [0; MAX_FRAME_LEN];
        let len = encode_announce(&mut buffer, &self.subscription.announce).unwrap_or(0);
        let frame = buffer.get(..len).unwrap_or_default().to_vec();
        let topic = Topic::Gateway.render(fleet.fleet());
        let _ = self
            .client
            .try_publish(topic.as_str(), QoS::AtLeastOnce, true, frame);
    }

    async fn subscribed(&mut self, ack: &SubAck, now: Moment) -> Result<(), Closed> {
        let refusal = ack
            .return_codes
            .iter()
            .find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
        if let Some(code) = refusal {
            // The connection stays: whoever gives the right later needs to restart nothing but
            // the broker, which ends the connection.
            let reason = format!("the broker refused the subscription: {code:?}");
            warn!(error = reason, "broker link down");
            self.is_trouble_said = true;
            return self.send(Received::Down(reason)).await;
        }
        self.backoff.succeed(now);
        self.is_trouble_said = false;
        self.is_up.store(true, Ordering::Relaxed);
        info!(broker = %self.subscription.broker, "broker link up");
        self.send(Received::Up).await
    }

    /// Says that the connection broke, once each time, and waits before the next.
    async fn wait(&mut self, error: &ConnectionError) -> Result<(), Closed> {
        let now = self.clocks.moment();
        // Read from the old connection before it broke; later they would look younger.
        let buffered = std::mem::take(&mut self.eventloop.state.events);
        for event in buffered {
            if let Event::Incoming(Packet::Publish(publish)) = event {
                self.forward(publish, now).await?;
            }
        }
        let reason = complaint(error, self.subscription.broker.is_tls);
        let delay = self.backoff.fail(now);
        let delay_ms = delay.as_millis();
        self.is_up.store(false, Ordering::Relaxed);
        if std::mem::replace(&mut self.is_trouble_said, true) {
            debug!(error = reason, delay_ms, "broker link still down");
        } else {
            warn!(broker = %self.subscription.broker, error = reason, "broker link down");
        }
        self.send(Received::Down(reason)).await?;
        tokio::select! {
            () = sleep(delay) => Ok(()),
            () = self.sender.closed() => Err(Closed),
        }
    }

    async fn send(&mut self, received: Received) -> Result<(), Closed> {
        self.sender.send(received).await.map_err(|_| Closed)
    }
}

/// What is wrong, and what to do about it where that can be told.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest says as much as can be said"
)]
fn complaint(error: &ConnectionError, is_tls: bool) -> String {
    let said = Chain(error).to_string();
    let hung_up = if is_tls {
        "does this port want mqtt:// without s?"
    } else {
        "does this port want TLS (mqtts://)?"
    };
    let advice = match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "check the user in \"broker\" and the password",
        ConnectionError::Timeout(_) => "no answer: check address and firewall",
        ConnectionError::Tls(_) => "check \"broker_tls\", and that this port speaks TLS",
        ConnectionError::Io(source) => match source.kind() {
            ErrorKind::ConnectionRefused => "is a broker running there, and is this its port?",
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::UnexpectedEof => hung_up,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "is the network up?",
            // No kind of error means a name that is not found.
            _ if said.contains("lookup") => "check the broker's name, or use its address",
            _ => return said,
        },
        _ => return said,
    };
    format!("{said}; {advice}")
}

fn options(subscription: &Subscription) -> Result<MqttOptions, ReceiveError> {
    let Subscription {
        broker,
        tls,
        fleet,
        announce,
    } = subscription;
    // Part of the epoch, so that a second gateway does not throw the first off the broker.
    let id = format!("nodling-gateway-{fleet}-{:04x}", announce.epoch & 0xFFFF);
    let mut options = MqttOptions::new(id, &broker.host, broker.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(true)
        .set_connection_timeout(10)
        .set_max_packet_size(Some(PACKET_LEN_MAX))
        .set_outgoing_inflight_upper_limit(INFLIGHT_MAX);
    if let Some(login) = &broker.login {
        options.set_credentials(&login.user, &login.password.0);
    }
    if broker.is_tls {
        let config = tls::client_config(tls)?;
        let configuration = TlsConfiguration::Rustls(Arc::new(config));
        options.set_transport(Transport::tls_with_config(configuration));
    }
    Ok(options)
}

mod tls {
    //! Which brokers are trusted, and what convinces them.

    use std::path::Path;

    use rustls::{ClientConfig, RootCertStore};
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    use super::ReceiveError;
    use crate::config::BrokerTls;

    pub(super) fn client_config(tls: &BrokerTls) -> Result<ClientConfig, ReceiveError> {
        let provider = rustls::crypto::ring::default_provider();
        let builder = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(tls.ca.as_deref())?);
        let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
        Ok(builder.with_client_auth_cert(certificates(certificate)?, private)?)
    }

    fn roots(ca: Option<&Path>) -> Result<RootCertStore, ReceiveError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = ca {
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
        } else {
            for path in SYSTEM_ROOTS
                .iter()
                .map(Path::new)
                .filter(|path| path.exists())
            {
                // One that ring cannot use is no reason to trust none.
                roots.add_parsable_certificates(certificates(path)?);
            }
        }
        if roots.is_empty() {
            return Err(ReceiveError::NoRoots);
        }
        Ok(roots)
    }

    /// Where distributions keep their bundle: Debian, Fedora, openSUSE, Alpine.
    const SYSTEM_ROOTS: [&str; 4] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];

    fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ReceiveError> {
        CertificateDer::pem_file_iter(path)
            .map_err(unreadable(path))?
            .collect::<Result<_, _>>()
            .map_err(unreadable(path))
    }

    fn unreadable(path: &Path) -> impl Fn(rustls_pki_types::pem::Error) -> ReceiveError {
        move |source| ReceiveError::Certificate {
            path: path.to_owned(),
            source,
        }
    }
}

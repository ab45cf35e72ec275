//! The MQTT 5 session; the only file that names rumqttc.
//!
//! One task polls the client's event loop and never cancels a poll it still needs: a cancelled
//! one may lose what it had half written. Each attempt to connect has its own event loop, so that
//! nothing unacknowledged is ever sent again: a beat that was not heard is worth less than the
//! next one. A dead path shows by missing acknowledgements within 20 s.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use nodling_protocol::frame::encode_will;
use nodling_protocol::{Fleet, MAX_FRAME_LEN, NodeName, Topic, Will};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, ConnectReturnCode, DisconnectReasonCode, Filter, LastWill,
    LastWillProperties, PubAckReason, Publish, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, StateError, TlsError,
};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::locate::{Locator, Place};
use super::tls::Tls;
use super::trouble::{Trouble, contested, io_trouble, one_line, tls_trouble};
use super::{Notice, Outbox, Sent};

/// A broker keeps our session this long, which is what lets it hold the will back.
const SESSION_EXPIRY_S: u32 = 15;
/// A change of access point is over by then, and the will not sent.
const WILL_DELAY_S: u32 = 10;
/// The name, TCP, TLS on the slowest board, and CONNACK.
const CONNECT_WITHIN_S: u64 = 10;
/// No dead path goes unnoticed for longer.
const DEAD_AFTER: Duration = Duration::from_secs(20);
/// How often to ping where acknowledgements show a dead path: each minute of it is a quarter of a
/// megabyte a month, and a broker that forgets us later changes nothing.
const KEEP_ALIVE_MAX: Duration = Duration::from_mins(3);
/// Frames that may be unacknowledged; a fourth waits in the outbox, where a newer may replace it.
const UNACKED_MAX: usize = 3;
/// The client allocates in proportion to this.
const IN_FLIGHT_MAX: u16 = 4;
/// Holds what one wake-up hands over: a subscription and [`UNACKED_MAX`] frames.
const REQUESTS: usize = 4;
/// Longer than any topic and frame.
const PACKET_BYTES_MAX: u32 = 9 * 1024;
/// The one alias that we need.
const UP_ALIAS: u16 = 1;

/// Whom to connect to, and as whom.
#[derive(Clone, Debug)]
pub struct Session {
    locator: Locator,
    tls: Option<Tls>,
    client_id: String,
    up: String,
    down: String,
    will: String,
    gateway: String,
}

impl Session {
    /// Describes the session of one node.
    pub fn new(
        locator: Locator,
        tls: Option<Tls>,
        fleet: Fleet<'_>,
        node: NodeName<'_>,
        instance_tail: u16,
    ) -> Self {
        let topic = |topic: Topic<'_>| topic.render(fleet).as_str().to_owned();
        Self {
            locator,
            tls,
            client_id: format!("nodling-{node}-{instance_tail:04x}"),
            up: topic(Topic::Up(node)),
            down: topic(Topic::Down(node)),
            will: topic(Topic::Will(node)),
            gateway: topic(Topic::Gateway),
        }
    }

    /// Keeps a connection until the outbox closes, or until nobody listens to notices.
    pub async fn run(
        self,
        mut outbox: watch::Receiver<Outbox>,
        notices: mpsc::Sender<Notice>,
        random: fn() -> u64,
    ) {
        let mut backoff = Backoff::default();
        let mut short_lives = 0;
        let mut locator = self.locator.clone();
        for number in 1.. {
            let place = tokio::select! {
                place = locator.locate(random) => place,
                () = closing(&mut outbox) => return,
            };
            let (lifetime, trouble) = match place {
                Err(trouble) => (None, trouble),
                Ok(place) => {
                    let mut connection = Connection::new(number, &self, place, &notices);
                    match connection.live(random_will(random), &mut outbox).await {
                        End::Closed => return,
                        End::Lost(trouble) => {
                            (connection.since.map(|since| since.elapsed()), trouble)
                        }
                    }
                }
            };
            locator.tried(lifetime.is_some());
            if let Some(lifetime) = lifetime {
                backoff.connected_for(lifetime);
            }
            let notice = Notice::Disconnected(contested(&mut short_lives, lifetime, trouble));
            if notices.send(notice).await.is_err() || outbox.borrow().is_closing() {
                return;
            }
            let wait = backoff.next_wait(random());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = closing(&mut outbox) => return,
            }
        }
    }

    fn options(&self, place: &Place, will: &Will, interval: Duration) -> MqttOptions {
        let broker = &place.broker;
        let mut options = MqttOptions::new(&self.client_id, place.host(), broker.port);
        if let Some(user) = &broker.user {
            let password = broker.password.as_ref();
            options.set_credentials(user, password.map_or("", |password| password.reveal()));
        }
        if let Some(tls) = &self.tls {
            // The client verifies what it connects to; that is the address of a name.
            let by_address = place.address.and_then(|_| tls.by_address(&broker.host));
            let tls = TlsConfiguration::Rustls(by_address.unwrap_or_else(|| tls.by_name()));
            options.set_transport(Transport::tls_with_config(tls));
        }
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(SESSION_EXPIRY_S);
        properties.max_packet_size = Some(PACKET_BYTES_MAX);
        options
            .set_network_options(network)
            .set_connect_properties(properties)
            .set_clean_start(true)
            .set_keep_alive(keep_alive(interval))
            .set_connection_timeout(CONNECT_WITHIN_S)
            .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
            .set_last_will(self.last_will(will));
        options
    }

    fn last_will(&self, will: &Will) -> LastWill {
        let mut frame = [0; 32];
        let len = encode_will(&mut frame, will).unwrap_or_default();
        let frame = frame.get(..len).unwrap_or_default();
        let properties = LastWillProperties {
            delay_interval: Some(WILL_DELAY_S),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        LastWill::new(&self.will, frame, QoS::AtLeastOnce, false, Some(properties))
    }
}

/// How one attempt ended.
enum End {
    Closed,
    Lost(Trouble),
}

/// Whether the up topic may be a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alias {
    /// The broker allows none.
    Refused,
    /// The next frame carries topic and number.
    Next,
    /// The number suffices.
    Set,
}

/// One attempt, and the connection that it becomes.
struct Connection<'s> {
    number: u64,
    session: &'s Session,
    place: Place,
    notices: &'s mpsc::Sender<Notice>,
    since: Option<Instant>,
    sent: Sent,
    unacked: VecDeque<Instant>,
    alias: Alias,
    is_refused: bool,
    is_ending: bool,
}

impl<'s> Connection<'s> {
    fn new(
        number: u64,
        session: &'s Session,
        place: Place,
        notices: &'s mpsc::Sender<Notice>,
    ) -> Self {
        Self {
            number,
            session,
            place,
            notices,
            since: None,
            sent: Sent::default(),
            unacked: VecDeque::with_capacity(UNACKED_MAX),
            alias: Alias::Refused,
            is_refused: false,
            is_ending: false,
        }
    }

    async fn live(&mut self, will: Will, outbox: &mut watch::Receiver<Outbox>) -> End {
        let interval = outbox.borrow_and_update().interval();
        let options = self.session.options(&self.place, &will, interval);
        let (client, mut event_loop) = AsyncClient::new(options, REQUESTS);
        loop {
            let wanted = keep_alive(outbox.borrow().interval());
            if self.since.is_some() && event_loop.options.keep_alive() > wanted {
                event_loop.options.set_keep_alive(wanted);
            }
            let event = match self.poll(&client, &mut event_loop, outbox).await {
                Ok(event) => event,
                Err(end) => return end,
            };
            match self.take(event, &will, &client).await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    /// Polls to the next event; frames are handed over while it waits.
    async fn poll(
        &mut self,
        client: &AsyncClient,
        event_loop: &mut EventLoop,
        outbox: &mut watch::Receiver<Outbox>,
    ) -> Result<Event, End> {
        let mut poll = pin!(event_loop.poll());
        loop {
            self.hand_over(client, &outbox.borrow());
            if self.since.is_none() && outbox.borrow().is_closing() {
                return Err(End::Closed);
            }
            let overdue = overdue(self.deadline(outbox.borrow().interval()));
            tokio::select! {
                // After a standstill the acknowledgement may be here and its deadline past.
                biased;
                event = &mut poll => {
                    return event.map_err(|err| End::Lost(self.trouble(&err)));
                }
                changed = outbox.changed() => if changed.is_err() {
                    return Err(End::Closed);
                },
                () = overdue => return Err(End::Lost(Trouble::Silent)),
            }
        }
    }

    async fn take(&mut self, event: Event, will: &Will, client: &AsyncClient) -> Result<(), End> {
        let notice = match event {
            Event::Incoming(Incoming::ConnAck(connack)) => {
                self.since = Some(Instant::now());
                let aliases = connack
                    .properties
                    .and_then(|properties| properties.topic_alias_max);
                if aliases.is_some_and(|aliases| aliases >= UP_ALIAS) {
                    self.alias = Alias::Next;
                }
                // The channel is empty, so this cannot fail but for the topics, which are ours.
                let filters = [&self.session.down, &self.session.gateway];
                let filters = filters.map(|topic| Filter::new(topic, QoS::AtLeastOnce));
                let _ = client.try_subscribe_many(filters);
                Some(Notice::Connected {
                    connection: self.number,
                    will_hash: will.hash(),
                })
            }
            Event::Incoming(Incoming::Publish(publish)) => Some(self.received(&publish)),
            Event::Incoming(Incoming::PubAck(ack)) => {
                self.unacked.pop_front();
                let is_refused = !matches!(
                    ack.reason,
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers
                );
                let was_refused = std::mem::replace(&mut self.is_refused, is_refused);
                match (was_refused, is_refused) {
                    (false, true) => {
                        let topic = self.session.up.as_str().into();
                        Some(Notice::Refused(Trouble::PublishRefused(topic)))
                    }
                    (true, false) => Some(Notice::Accepted),
                    (false, false) | (true, true) => None,
                }
            }
            Event::Incoming(Incoming::SubAck(ack)) => {
                let topics = [&self.session.down, &self.session.gateway];
                let refused = ack
                    .return_codes
                    .iter()
                    .zip(topics)
                    .find(|(code, _)| !matches!(code, SubscribeReasonCode::Success(_)));
                refused
                    .map(|(_, topic)| Trouble::SubscribeRefused(topic.as_str().into()))
                    .map(Notice::Refused)
            }
            Event::Outgoing(Outgoing::Disconnect) => return Err(End::Closed),
            Event::Incoming(_) | Event::Outgoing(_) => None,
        };
        if let Some(notice) = notice {
            self.notices.send(notice).await.map_err(|_| End::Closed)?;
        }
        Ok(())
    }

    fn received(&self, publish: &Publish) -> Notice {
        if publish.payload.len() > MAX_FRAME_LEN {
            return Notice::Dropped;
        }
        let frame = publish.payload.as_ref().into();
        if publish.topic.as_ref() == self.session.gateway.as_bytes() {
            let is_retained = publish.retain;
            return Notice::Announced { frame, is_retained };
        }
        // Whoever retains a command would repeat it at every connection.
        if publish.topic.as_ref() == self.session.down.as_bytes() && !publish.retain {
            return Notice::Down(frame);
        }
        Notice::Dropped
    }

    fn hand_over(&mut self, client: &AsyncClient, outbox: &Outbox) {
        if self.since.is_none() || self.is_ending {
            return;
        }
        while self.unacked.len() < UNACKED_MAX {
            let Some(frame) = outbox.next(self.number, &mut self.sent) else {
                break;
            };
            let topic = match self.alias {
                Alias::Set => "",
                Alias::Refused | Alias::Next => &self.session.up,
            };
            let properties = PublishProperties {
                topic_alias: (self.alias != Alias::Refused).then_some(UP_ALIAS),
                ..PublishProperties::default()
            };
            let payload = frame.to_vec();
            let published = client.try_publish_with_properties(
                topic,
                QoS::AtLeastOnce,
                false,
                payload,
                properties,
            );
            if published.is_err() {
                // The channel is as long as what can be unacknowledged; a lost frame is worth
                // less than a stuck session.
                break;
            }
            if self.alias == Alias::Next {
                self.alias = Alias::Set;
            }
            self.unacked.push_back(Instant::now());
        }
        if outbox.is_closing() && self.unacked.is_empty() {
            self.is_ending = client.try_disconnect().is_ok();
        }
    }

    /// When a missing acknowledgement is missed. Setting a timer costs as much as sending: while
    /// beats come often, only from the second unacknowledged frame on is one set.
    fn deadline(&self, interval: Duration) -> Option<Instant> {
        let is_soon_looked_at_again = self.unacked.len() == 1 && interval <= DEAD_AFTER / 2;
        let oldest = self.unacked.front().filter(|_| !is_soon_looked_at_again);
        oldest.map(|sent_at| *sent_at + ack_within(interval))
    }

    fn trouble(&self, err: &ConnectionError) -> Trouble {
        let trouble = trouble(err);
        let is_local = self.place.broker.is_local();
        if trouble == Trouble::Closed && self.since.is_none() {
            match self.session.tls {
                Some(_) => Trouble::ClosedAtOnceTls,
                None => Trouble::ClosedAtOnce,
            }
        } else if trouble == Trouble::Unresolvable && is_local {
            Trouble::UnresolvableLocal
        } else {
            trouble
        }
    }
}

async fn overdue(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// How long an acknowledgement may take: with the time since the last one that came, at most
/// [`DEAD_AFTER`].
fn ack_within(interval: Duration) -> Duration {
    let shortest = DEAD_AFTER / 2;
    DEAD_AFTER
        .saturating_sub(interval)
        .clamp(shortest, DEAD_AFTER)
}

/// The client notices a missing answer at the ping after it, so after twice this time.
fn keep_alive(interval: Duration) -> Duration {
    if interval <= DEAD_AFTER / 2 {
        KEEP_ALIVE_MAX
    } else {
        DEAD_AFTER / 2
    }
}

fn random_will(random: fn() -> u64) -> Will {
    let mut will = [0; Will::LEN];
    for chunk in will.chunks_mut(8) {
        for (to, from) in chunk.iter_mut().zip(random().to_le_bytes()) {
            *to = from;
        }
    }
    Will(will)
}

async fn closing(outbox: &mut watch::Receiver<Outbox>) {
    // A vanished sender means the same as a closing outbox.
    let _ = outbox.wait_for(Outbox::is_closing).await;
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client's many codes, few of them ours"
)]
fn trouble(err: &ConnectionError) -> Trouble {
    match err {
        ConnectionError::Timeout(_) => Trouble::TimedOut,
        ConnectionError::Io(err) | ConnectionError::Tls(TlsError::Io(err)) => io_trouble(err),
        ConnectionError::Tls(TlsError::TLS(err)) => tls_trouble(err),
        ConnectionError::Tls(err) => Trouble::Tls(one_line(&err.to_string())),
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword => Trouble::BadCredentials,
            ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned => Trouble::NotAuthorised,
            code => Trouble::Rejected(one_line(&format!("{code:?}"))),
        },
        ConnectionError::MqttState(err) => state_trouble(err),
        ConnectionError::NotConnAck(_) => Trouble::Protocol("no CONNACK".into()),
        ConnectionError::RequestsDone => Trouble::Other(one_line(&err.to_string())),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client's many codes, few of them ours"
)]
fn state_trouble(err: &StateError) -> Trouble {
    use rumqttc::v5::mqttbytes::Error as PacketError;
    match err {
        StateError::ServerDisconnect { reason_code, .. } => match reason_code {
            DisconnectReasonCode::SessionTakenOver => Trouble::TakenOver,
            DisconnectReasonCode::NotAuthorized => Trouble::NotAuthorised,
            code => Trouble::Rejected(one_line(&format!("{code:?}"))),
        },
        StateError::AwaitPingResp | StateError::CollisionTimeout => Trouble::Silent,
        StateError::ConnectionAborted => Trouble::Closed,
        StateError::Io(err) | StateError::Deserialization(PacketError::Io(err)) => io_trouble(err),
        StateError::Deserialization(err) => Trouble::Protocol(one_line(&err.to_string())),
        err => Trouble::Other(one_line(&err.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::broker::Broker;

    #[test]
    fn a_dead_path_is_noticed_within_twenty_seconds_at_any_interval() {
        for interval_ms in [1_000, 5_000, 9_999, 10_000, 10_001, 30_000, 3_600_000] {
            let interval = Duration::from_millis(interval_ms);
            let by_acks = interval + ack_within(interval);
            let by_pings = keep_alive(interval) * 2;
            assert!(by_acks.min(by_pings) <= DEAD_AFTER, "{interval:?}");
        }
    }

    #[test]
    fn the_will_is_a_frame_of_the_random_bytes() {
        let broker = Broker::parse("mqtt://broker").unwrap();
        let (fleet, node) = (
            Fleet::parse("home").unwrap(),
            NodeName::parse("attic").unwrap(),
        );
        let session = Session::new(Locator::at(broker), None, fleet, node, 0x0ABC);
        assert_eq!(session.client_id, "nodling-attic-0abc");
        let will = Will([7; Will::LEN]);
        let last_will = session.last_will(&will);
        assert_eq!(last_will.topic.as_ref(), b"nodling/home/will/attic");
        let frame = nodling_protocol::Frame::parse(&last_will.message).unwrap();
        assert_eq!(frame.will(), Ok(will));
    }
}

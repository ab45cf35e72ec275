//! One MQTT connection that many simulated nodes share, again and again until told to stop.
//!
//! As in the agent, one task polls the client and never cancels a poll, each attempt has an
//! event loop of its own, and what a broken connection did not deliver is lost, not repeated.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use nodling_agent::publish::backoff::Backoff;
use nodling_agent::publish::broker::Broker;
use nodling_protocol::frame::encode_will;
use nodling_protocol::{Fleet, NodeName, Topic, Will, WillHash};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill, Packet, PubAck, PubAckReason, Publish,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing as Sent, TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Options;
use super::crew::{Crew, Outgoing};
use super::tally::Counters;

/// Requests that may wait for the client; subscriptions of fifty thousand nodes fit.
const REQUESTS: usize = 1024;
/// Frames among them: a broker that is slower than the fleet makes beats late, not lost.
const WAITING_MAX: usize = 256;
/// Filters in one SUBSCRIBE packet.
const FILTERS: usize = 100;
/// Larger than any frame with its topic.
const PACKET_BYTES_MAX: u32 = 64 * 1024;
/// How long the last acknowledgements are waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// How one connection is made.
#[derive(Clone, Debug)]
pub(super) struct Link {
    broker: Broker,
    tls: Option<Arc<ClientConfig>>,
    fleet: String,
    counters: Arc<Counters>,
    say: fn(&str),
}

/// How an attempt ended.
enum End {
    Stopped,
    Lost {
        error: ConnectionError,
        was_connected: bool,
    },
}

impl Link {
    pub(super) fn new(options: &Options, counters: Arc<Counters>) -> Self {
        Self {
            broker: options.broker.clone(),
            tls: options.tls.clone(),
            fleet: options.fleet.clone(),
            counters,
            say: options.say,
        }
    }

    /// Keeps a connection until told to stop.
    pub(super) async fn keep(self, mut crew: Crew, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut backoff = Backoff::default();
        let mut is_trouble_said = false;
        while !*stop.borrow() {
            let started = Instant::now();
            let (error, was_connected) = match self.live(&mut crew, &mut stop).await? {
                End::Stopped => return Ok(()),
                End::Lost {
                    error,
                    was_connected,
                } => (error, was_connected),
            };
            backoff.connected_for(started.elapsed());
            let wait = backoff.next_wait(getrandom::u64()?);
            if was_connected || !is_trouble_said {
                (self.say)(&format!("{}: {error}", crew.first_name()));
            }
            is_trouble_said = true;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|is_over| *is_over) => {}
            }
        }
        Ok(())
    }

    async fn live(&self, crew: &mut Crew, stop: &mut watch::Receiver<bool>) -> Result<End> {
        let mut will = Will([0; Will::LEN]);
        getrandom::fill(&mut will.0)?;
        let options = self.options(crew.first_name(), &will)?;
        let (client, mut event_loop) = AsyncClient::new(options, REQUESTS);
        let mut live = Live {
            crew,
            client,
            will: will.hash(),
            counters: &self.counters,
            fleet: &self.fleet,
            is_connected: false,
            over_at: None,
            waiting: VecDeque::new(),
            unacknowledged: HashMap::new(),
        };
        loop {
            match live.poll(&mut event_loop, stop).await? {
                Some(Ok(event)) => live.take(event)?,
                Some(Err(error)) => {
                    return Ok(End::Lost {
                        error,
                        was_connected: live.is_connected,
                    });
                }
                None => return Ok(End::Stopped),
            }
        }
    }

    fn options(&self, name: &str, will: &Will) -> Result<MqttOptions> {
        let id = format!("nodling-fleet-{name}-{:04x}", getrandom::u32()? & 0xFFFF);
        let Broker {
            host,
            port,
            user,
            password,
            ..
        } = &self.broker;
        let mut options = MqttOptions::new(id, host, *port);
        if let Some(user) = user {
            let password = password.as_ref().map_or("", |password| password.reveal());
            options.set_credentials(user, password);
        }
        if let Some(tls) = &self.tls {
            let tls = TlsConfiguration::Rustls(Arc::clone(tls));
            options.set_transport(Transport::tls_with_config(tls));
        }
        let mut frame = [0; 32];
        let len = encode_will(&mut frame, will)?;
        let topic = Topic::Will(NodeName::parse(name)?).render(Fleet::parse(&self.fleet)?);
        let frame = frame.get(..len).unwrap_or_default().to_vec();
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(PACKET_BYTES_MAX);
        options
            .set_connect_properties(properties)
            .set_clean_start(true)
            .set_keep_alive(Duration::from_secs(20))
            .set_outgoing_inflight_upper_limit(100)
            .set_last_will(LastWill::new(
                topic.as_str(),
                frame,
                QoS::AtLeastOnce,
                false,
                None,
            ));
        Ok(options)
    }
}

/// One attempt, and the connection that it becomes.
struct Live<'l> {
    crew: &'l mut Crew,
    client: AsyncClient,
    will: WillHash,
    counters: &'l Counters,
    fleet: &'l str,
    is_connected: bool,
    /// When to stop waiting for acknowledgements, once nothing more is sent.
    over_at: Option<Instant>,
    /// Whether each frame is a beat that the client has and has not sent, in order.
    waiting: VecDeque<bool>,
    /// The same for what was sent, by packet id.
    unacknowledged: HashMap<u16, bool>,
}

impl Live<'_> {
    /// Polls to the next event, and hands over frames meanwhile; `None` when all is over.
    async fn poll(
        &mut self,
        event_loop: &mut EventLoop,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Result<Event, ConnectionError>>> {
        let mut poll = pin!(event_loop.poll());
        loop {
            if self.is_over() {
                return Ok(None);
            }
            let wake = self.hand_over()?;
            tokio::select! {
                event = &mut poll => return Ok(Some(event)),
                () = tokio::time::sleep_until(wake) => {}
                _ = stop.wait_for(|is_over| *is_over), if self.over_at.is_none() => {
                    self.over_at = Some(Instant::now() + FAREWELL);
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        let has_answers = self.waiting.is_empty() && self.unacknowledged.is_empty();
        self.over_at
            .is_some_and(|at| has_answers || !self.is_connected || at <= Instant::now())
    }

    /// Hands over the frames whose turn has come, and says when the next one comes.
    fn hand_over(&mut self) -> Result<Instant> {
        let now = Instant::now();
        let later = now + FAREWELL;
        if let Some(over_at) = self.over_at {
            return Ok(over_at);
        }
        while self.is_connected && self.waiting.len() < WAITING_MAX {
            match self.crew.next_turn() {
                Some(at) if at <= now => {}
                next => return Ok(next.unwrap_or(later)),
            }
            for outgoing in self.crew.take_turn(now, self.will)? {
                self.publish(outgoing)?;
            }
        }
        // The client's next event makes room.
        Ok(later)
    }

    fn publish(&mut self, outgoing: Outgoing) -> Result<()> {
        let Outgoing {
            topic,
            frame,
            is_beat,
        } = outgoing;
        self.client
            .try_publish(topic, QoS::AtLeastOnce, false, frame)?;
        self.waiting.push_back(is_beat);
        let counter = if is_beat {
            &self.counters.beats_sent
        } else {
            &self.counters.facts_sent
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => self.connected(),
            Event::Incoming(Packet::Publish(publish)) => self.hear(&publish),
            Event::Incoming(Packet::PubAck(ack)) => {
                self.acknowledged(&ack);
                Ok(())
            }
            Event::Outgoing(Sent::Publish(id)) => {
                if let Some(is_beat) = self.waiting.pop_front() {
                    self.unacknowledged.insert(id, is_beat);
                }
                Ok(())
            }
            Event::Incoming(_) | Event::Outgoing(_) => Ok(()),
        }
    }

    fn connected(&mut self) -> Result<()> {
        self.is_connected = true;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        self.crew.open_sessions(Instant::now());
        let gateway = Topic::Gateway.render(Fleet::parse(self.fleet)?);
        let topics: Vec<&str> = self.crew.down_topics().chain([gateway.as_str()]).collect();
        for topics in topics.chunks(FILTERS) {
            let filters = topics
                .iter()
                .map(|&topic| Filter::new(topic, QoS::AtLeastOnce));
            self.client.try_subscribe_many(filters)?;
        }
        Ok(())
    }

    fn hear(&mut self, publish: &Publish) -> Result<()> {
        let topic = String::from_utf8_lossy(&publish.topic);
        let now = Instant::now();
        match self.crew.hear(&topic, &publish.payload, now, self.will)? {
            Some(facts) if self.waiting.len() < WAITING_MAX && self.over_at.is_none() => {
                self.publish(facts)
            }
            _ => Ok(()),
        }
    }

    fn acknowledged(&mut self, ack: &PubAck) {
        let is_taken = matches!(
            ack.reason,
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers
        );
        if self.unacknowledged.remove(&ack.pkid) == Some(true) && is_taken {
            self.counters
                .beats_acknowledged
                .fetch_add(1, Ordering::Relaxed);
        }
    }
}

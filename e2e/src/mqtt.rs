//! A bare MQTT client: plays an agent by hand, listens in, or misbehaves.

use std::time::Duration;

use anyhow::{Result, anyhow};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A connection to a broker; what it receives is in `inbox`.
#[derive(Debug)]
pub struct Mqtt {
    client: AsyncClient,
    inbox: mpsc::UnboundedReceiver<Publish>,
    poll: JoinHandle<()>,
}

impl Mqtt {
    /// Connects and subscribes.
    pub async fn connect(port: u16, client_id: &str, filters: &[&str]) -> Result<Self> {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
        options.set_max_packet_size(Some(64 << 20));
        let (client, mut events) = AsyncClient::new(options, 64);
        let (acknowledged, mut all_acknowledged) = mpsc::channel(1 + filters.len());
        let (to_inbox, inbox) = mpsc::unbounded_channel();
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).await?;
        }
        let poll = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                let is_open = match event {
                    Event::Incoming(Packet::Publish(publish)) => to_inbox.send(publish).is_ok(),
                    Event::Incoming(Packet::ConnAck(_) | Packet::SubAck(_)) => {
                        acknowledged.send(()).await.is_ok() || !to_inbox.is_closed()
                    }
                    Event::Incoming(_) | Event::Outgoing(_) => true,
                };
                if !is_open {
                    break;
                }
            }
        });
        for _ in 0..=filters.len() {
            let acknowledged =
                tokio::time::timeout(Duration::from_secs(5), all_acknowledged.recv());
            acknowledged
                .await?
                .ok_or_else(|| anyhow!("the broker refused {client_id}"))?;
        }
        Ok(Self {
            client,
            inbox,
            poll,
        })
    }

    /// Publishes at least once.
    pub async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Result<()> {
        Ok(self
            .client
            .publish(topic, QoS::AtLeastOnce, false, payload.into())
            .await?)
    }

    /// Publishes at least once, retained.
    pub async fn retain(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Result<()> {
        Ok(self
            .client
            .publish(topic, QoS::AtLeastOnce, true, payload.into())
            .await?)
    }

    /// Drops the messages that have come so far.
    pub fn forget(&mut self) {
        while self.inbox.try_recv().is_ok() {}
    }

    /// The next message: topic and payload.
    pub async fn next(&mut self, limit: Duration) -> Result<(String, Vec<u8>)> {
        let publish = tokio::time::timeout(limit, self.inbox.recv()).await?;
        let publish = publish.ok_or_else(|| anyhow!("the connection is gone"))?;
        let topic = String::from_utf8(publish.topic.to_vec())?;
        Ok((topic, publish.payload.to_vec()))
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

//! An MQTT client that does what a test says: an agent, a vandal, or a listener.

use std::net::SocketAddr;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::mpsc;

use crate::soon;

/// A connected client.
pub(crate) struct Peer {
    client: AsyncClient,
    messages: mpsc::UnboundedReceiver<(String, Bytes)>,
}

impl Peer {
    /// Connects and subscribes.
    pub(crate) async fn connect(broker: SocketAddr, id: &str, topics: &[&str]) -> Self {
        let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
        // Ten megabytes are to leave this client, at least.
        options.set_max_packet_size(Some(32 << 20));
        let (client, mut eventloop) = AsyncClient::new(options, 64);
        for topic in topics {
            client.try_subscribe(*topic, QoS::AtLeastOnce).unwrap();
        }
        let (sender, messages) = mpsc::unbounded_channel();
        let (connect, connected) = tokio::sync::oneshot::channel();
        let mut connect = Some(connect);
        let mut missing = topics.len();
        tokio::spawn(async move {
            // A broker that throws this client out ends its task, not the test.
            while let Ok(event) = eventloop.poll().await {
                match event {
                    Event::Incoming(Packet::Publish(publish)) => {
                        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                        let _ = sender.send((topic, publish.payload));
                    }
                    Event::Incoming(Packet::SubAck(_)) => missing -= 1,
                    _ => {}
                }
                if missing == 0
                    && let Some(connect) = connect.take()
                {
                    let _ = connect.send(());
                }
            }
        });
        soon("connection to the broker", connected).await.unwrap();
        Self { client, messages }
    }

    /// Publishes; whether it arrives is for the other side to see.
    pub(crate) async fn publish(&self, topic: &str, payload: &[u8], is_retained: bool) {
        let publishing =
            self.client
                .publish(topic, QoS::AtLeastOnce, is_retained, payload.to_vec());
        let _ = soon("room to publish", publishing).await;
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> (String, Bytes) {
        soon("message", self.messages.recv()).await.unwrap()
    }
}

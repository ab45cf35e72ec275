//! The reference beat as the MQTT packet that leaves the agent's own session code, counted at
//! the socket between it and a real Mosquitto.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nodling_agent::publish::broker::Broker;
use nodling_agent::publish::locate::Locator;
use nodling_agent::publish::mqtt::Session;
use nodling_agent::publish::{Notice, Outbox, Slot};
use nodling_protocol::{Fleet, NodeName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::{Bound, Row, board, reference};
use crate::lab::Lab;

const LIMIT: Duration = Duration::from_secs(10);
const SENSORS_MANY: usize = 8;
const PUBLISH: u8 = 3;

/// Measures.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn measure() -> Result<Vec<Row>> {
    let lab = Lab::start_broker().await?;
    let (tap, mut packets) = tap(SocketAddr::from(([127, 0, 0, 1], lab.broker.port()))).await?;
    let mut session = Talk::open(tap)?;
    session.connected().await?;
    // The first publish tells the topic; from the next on its alias stands for it.
    session
        .outbox
        .send_modify(|outbox| outbox.put(Slot::Opening, b"opening"));
    let first = carrier(&mut packets, b"opening").await?;
    let mut sizes = Vec::new();
    for sensors in [0, 1, SENSORS_MANY] {
        let frame = reference::frame(sensors);
        session
            .outbox
            .send_modify(|outbox| outbox.put(Slot::Heartbeat, &frame));
        let packet = carrier(&mut packets, &frame).await?;
        sizes.push((packet.len() as f64, frame.len() as f64));
    }
    let topic = format!("nodling/home/up/{}", board::NAME);
    ensure!(
        contains(&first, topic.as_bytes()),
        "the first packet carries the topic"
    );
    let (Some(&(bare, frame)), Some(&(one, _)), Some(&(many, _))) =
        (sizes.first(), sizes.get(1), sizes.get(2))
    else {
        unreachable!("three sizes were measured");
    };
    let per_sensor = (one - bare).max((many - bare) / SENSORS_MANY as f64);
    Ok(vec![
        Row::new("beat-size/packet", bare, "B")
            .must(Bound::AtMost(76.0))
            .aim(Bound::AtMost(64.0)),
        Row::new("beat-size/sensor", per_sensor, "B").must(Bound::AtMost(3.0)),
        Row::new("beat-size/frame", frame, "B"),
        Row::new("beat-size/packet-8-sensors", many, "B"),
    ])
}

/// The agent's session, told what to send.
struct Talk {
    outbox: watch::Sender<Outbox>,
    notices: mpsc::Receiver<Notice>,
}

impl Talk {
    fn open(tap: SocketAddr) -> Result<Self> {
        let (outbox, newest) = watch::channel(Outbox::new(Duration::from_secs(10)));
        let (to_notices, notices) = mpsc::channel(16);
        let broker = Broker::parse(&format!("mqtt://{tap}"))?;
        let (fleet, node) = (Fleet::parse("home")?, NodeName::parse(board::NAME)?);
        let session = Session::new(Locator::at(broker), None, fleet, node, 0xCDEF);
        tokio::spawn(session.run(newest, to_notices, || getrandom::u64().unwrap_or_default()));
        Ok(Self { outbox, notices })
    }

    async fn connected(&mut self) -> Result<()> {
        let notice = tokio::time::timeout(LIMIT, self.notices.recv()).await?;
        let Some(Notice::Connected { connection, .. }) = notice else {
            anyhow::bail!("no connection but {notice:?}");
        };
        self.outbox.send_modify(|outbox| outbox.connect(connection));
        Ok(())
    }
}

/// The next PUBLISH that carries this payload.
async fn carrier(
    packets: &mut mpsc::UnboundedReceiver<Vec<u8>>,
    payload: &[u8],
) -> Result<Vec<u8>> {
    loop {
        let packet = tokio::time::timeout(LIMIT, packets.recv()).await?;
        let packet = packet.context("the connection broke")?;
        let is_publish = packet.first().is_some_and(|first| first >> 4 == PUBLISH);
        if is_publish && packet.ends_with(payload) {
            return Ok(packet);
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A forwarder for one connection that tells every packet on its way to the broker.
async fn tap(broker: SocketAddr) -> Result<(SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (to_packets, packets) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await?;
        let far = TcpStream::connect(broker).await?;
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = far.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_far, &mut to_near).await });
        while let Some(packet) = forward(&mut from_near, &mut to_far).await? {
            if to_packets.send(packet).is_err() {
                break;
            }
        }
        anyhow::Ok(())
    });
    Ok((address, packets))
}

/// Forwards one whole packet: type, remaining length, the rest.
async fn forward(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Result<Option<Vec<u8>>> {
    let mut first = [0];
    if from.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut packet = first.to_vec();
    let mut remaining = 0;
    for shift in [0, 7, 14, 21] {
        let byte = from.read_u8().await?;
        packet.push(byte);
        remaining |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let head = packet.len();
    packet.resize(head + remaining, 0);
    from.read_exact(packet.get_mut(head..).unwrap_or_default())
        .await?;
    to.write_all(&packet).await?;
    Ok(Some(packet))
}

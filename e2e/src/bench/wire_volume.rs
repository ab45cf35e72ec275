//! Bytes on the wire of one node that beats every ten seconds: TCP/IP headers,
//! acknowledgements and pings, in both directions.
//!
//! Runs in a network namespace of its own, whose loopback carries the agent and Mosquitto and
//! nothing else. Counted is what a network would carry above Ethernet; how much of a frame's
//! header the kernel counts is found out with one datagram of known size.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::time::{Instant, sleep, timeout};

use super::{Bound, Row, board};
use crate::lab::Lab;

/// Two of the agent's keep-alive periods, twelve beats.
const MEASURED: Duration = Duration::from_mins(2);
/// Between a beat and the beginning of the measurement: an acknowledgement's acknowledgement
/// may be delayed.
const APART: Duration = Duration::from_secs(3);
/// A connection that says nothing for so long has said what it has to say at its start.
const QUIET: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);
const UDP_HEADERS: u64 = 28;

/// Loopback's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    bytes: u64,
    packets: u64,
}

/// Measures.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn measure() -> Result<Vec<Row>> {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    ensure!(
        status.context("starting ip")?.success(),
        "loopback does not come up"
    );
    let overhead = header_bytes_counted()?;
    let lab = Lab::start_broker().await?;
    subscribe(lab.broker.port()).await?;
    sleep(QUIET).await;
    let before = count()?;
    let agent = board::start(&lab, "10s", &[])?;
    changed(before).await?;
    let connected = quiet().await?;
    changed(connected).await?;
    sleep(APART).await;
    let (start, since) = (count()?, Instant::now());
    tokio::time::sleep_until(since + MEASURED).await;
    let (end, elapsed) = (count()?, since.elapsed());
    agent.id().context("the agent ended")?;
    let bytes = |from: Count, to: Count| {
        (to.bytes - from.bytes).saturating_sub((to.packets - from.packets) * overhead) as f64
    };
    let days = DAY.as_secs_f64() / elapsed.as_secs_f64();
    let volume = bytes(start, end) * days / 1e6;
    let packets = (end.packets - start.packets) as f64 * days;
    Ok(vec![
        Row::new("wire-volume/day", volume, "MB")
            .must(Bound::AtMost(3.0))
            .aim(Bound::AtMost(2.0)),
        Row::new("wire-volume/day-packets", packets, ""),
        Row::new("wire-volume/connect", bytes(before, connected), "B"),
    ])
}

/// Bytes of link-layer header that the counters hold for each packet.
fn header_bytes_counted() -> Result<u64> {
    const PAYLOAD: [u8; 100] = [0; 100];
    let (from, to) = (
        UdpSocket::bind(("127.0.0.1", 0))?,
        UdpSocket::bind(("127.0.0.1", 0))?,
    );
    let before = count()?;
    from.send_to(&PAYLOAD, to.local_addr()?)?;
    to.recv(&mut PAYLOAD.clone())?;
    let after = count()?;
    ensure!(
        after.packets == before.packets + 1,
        "loopback is not private"
    );
    let header = (after.bytes - before.bytes).checked_sub(PAYLOAD.len() as u64 + UDP_HEADERS);
    header.context("loopback counts less than was sent")
}

/// Leaves a subscription behind at the broker, as a gateway would have one, without its
/// traffic: what nobody subscribes to is acknowledged with one byte more.
async fn subscribe(port: u16) -> Result<()> {
    let mut options = MqttOptions::new("gateway", "127.0.0.1", port);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(3600);
    options
        .set_connect_properties(properties)
        .set_clean_start(false);
    let (client, mut events) = AsyncClient::new(options, 4);
    client
        .subscribe("nodling/home/+/+", QoS::AtLeastOnce)
        .await?;
    let subscribed = async {
        while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
        client.disconnect().await?;
        // The connection's end is what is waited for.
        while events.poll().await.is_ok() {}
        anyhow::Ok(())
    };
    timeout(LIMIT, subscribed).await?
}

/// Waits until something is sent.
async fn changed(from: Count) -> Result<()> {
    let change = async {
        while count()? == from {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    timeout(LIMIT, change)
        .await
        .context("the agent says nothing")?
}

/// Waits until nothing has been sent for a while, and says how much was by then.
async fn quiet() -> Result<Count> {
    let mut last = count()?;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        sleep(Duration::from_millis(50)).await;
        let now = count()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// Received and sent are the same packets on a loopback; received is read.
fn count() -> Result<Count> {
    let text = std::fs::read_to_string("/proc/self/net/dev")?;
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("lo:"));
    let mut numbers = line
        .context("no loopback")?
        .split_whitespace()
        .map(str::parse);
    let mut next = || numbers.next().context("too few counters");
    Ok(Count {
        bytes: next()??,
        packets: next()??,
    })
}

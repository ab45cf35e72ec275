//! The broker link against a real broker in process, and whatever anybody may publish.

use nodling_gateway::broker::EmbeddedBroker;
use nodling_gateway::config::{BrokerTls, BrokerUrl};
use nodling_gateway::receive::{Downlink, Message, Received, Receiver, Subscription};
use nodling_gateway::time::Clocks;
use nodling_protocol::{Announce, Frame};
use tokio::sync::mpsc;

use crate::peer::Peer;
use crate::soon;

const ANNOUNCE: Announce = Announce {
    epoch: 7,
    version_highest: 1,
    interval_ms_max: 10_000,
};

fn connect(url: BrokerUrl) -> (mpsc::Receiver<Received>, Downlink) {
    let subscription = Subscription {
        broker: url,
        tls: BrokerTls::default(),
        fleet: "home".parse().unwrap(),
        announce: ANNOUNCE,
    };
    let (sender, received) = mpsc::channel(64);
    let clocks = Clocks::system(false);
    let (receiver, downlink) = Receiver::try_new(subscription, sender, clocks).unwrap();
    tokio::spawn(receiver.run());
    (received, downlink)
}

async fn next(received: &mut mpsc::Receiver<Received>) -> Received {
    soon("input", received.recv())
        .await
        .expect("the link lives")
}

async fn message(received: &mut mpsc::Receiver<Received>) -> Message {
    match next(received).await {
        Received::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

async fn broker() -> EmbeddedBroker {
    EmbeddedBroker::start("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn messages_of_the_fleet_arrive_stamped() {
    let broker = broker().await;
    let (mut received, _downlink) = connect(BrokerUrl::plain(broker.address));
    assert_eq!(next(&mut received).await, Received::Up);
    let peer = Peer::connect(broker.address, "agent", &[]).await;
    let before = Clocks::system(false).moment();
    peer.publish("nodling/other/up/attic", b"not ours", false)
        .await;
    peer.publish("nodling/home/down/attic", b"not for us", false)
        .await;
    peer.publish("nodling/home/up/attic", b"beat", false).await;
    peer.publish("nodling/home/will/attic", b"will", false)
        .await;
    let first = message(&mut received).await;
    assert_eq!(
        (&*first.topic, &*first.payload),
        (&b"nodling/home/up/attic"[..], &b"beat"[..])
    );
    assert!(!first.is_retained);
    assert!(first.arrival >= before && first.arrival <= Clocks::system(false).moment());
    assert_eq!(
        &*message(&mut received).await.topic,
        b"nodling/home/will/attic"
    );
}

#[tokio::test]
async fn garbage_and_ten_megabytes_leave_the_gateway_connected() {
    let broker = broker().await;
    let (mut received, _downlink) = connect(BrokerUrl::plain(broker.address));
    assert_eq!(next(&mut received).await, Received::Up);
    let vandal = Peer::connect(broker.address, "vandal", &[]).await;
    vandal
        .publish("nodling/home/up/attic", &vec![7; 10 << 20], true)
        .await;
    let vandal = Peer::connect(broker.address, "vandal-2", &[]).await;
    for topic in [
        "nodling/home/up/ÄÖÜ",
        "nodling/home/up/",
        "$SYS/x",
        "nodling/home/up/a b",
    ] {
        vandal.publish(topic, &[0xFF; 100], true).await;
    }
    let peer = Peer::connect(broker.address, "agent", &[]).await;
    peer.publish("nodling/home/up/attic", b"beat", false).await;
    loop {
        // Any Down would end this: everything else is a message.
        let message = message(&mut received).await;
        assert!(
            message.payload.len() <= 100,
            "{} bytes",
            message.payload.len()
        );
        if &*message.payload == b"beat" {
            return;
        }
    }
}

#[tokio::test]
async fn what_was_retained_is_marked_or_not_delivered() {
    let broker = broker().await;
    let peer = Peer::connect(broker.address, "agent", &[]).await;
    peer.publish("nodling/home/up/attic", b"old beat", true)
        .await;
    let (mut received, _downlink) = connect(BrokerUrl::plain(broker.address));
    assert_eq!(next(&mut received).await, Received::Up);
    peer.publish("nodling/home/up/attic", b"beat", false).await;
    // This broker ignores Retain Handling, and so shows that the mark is there.
    let first = message(&mut received).await;
    let is_old = &*first.payload == b"old beat";
    assert_eq!(first.is_retained, is_old, "{first:?}");
}

#[tokio::test]
async fn the_announcement_is_retained_and_frames_reach_boards() {
    let broker = broker().await;
    let (mut received, downlink) = connect(BrokerUrl::plain(broker.address));
    assert_eq!(next(&mut received).await, Received::Up);
    let mut peer = Peer::connect(
        broker.address,
        "agent",
        &["nodling/home/gateway", "nodling/home/down/attic"],
    )
    .await;
    let (topic, payload) = peer.message().await;
    assert_eq!(topic, "nodling/home/gateway");
    assert_eq!(Frame::parse(&payload).unwrap().announce(), Ok(ANNOUNCE));
    assert!(downlink.publish("attic", b"frame".to_vec()));
    assert!(!downlink.publish("No Node", b"frame".to_vec()));
    let (topic, payload) = peer.message().await;
    assert_eq!(
        (topic.as_str(), &payload[..]),
        ("nodling/home/down/attic", &b"frame"[..])
    );
}

#[tokio::test]
async fn a_broker_that_is_away_is_said_and_tried_again() {
    // Nobody listens here until the broker takes the port.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (mut received, downlink) = connect(BrokerUrl::plain(address));
    let Received::Down(reason) = next(&mut received).await else {
        panic!("nobody listens there");
    };
    assert!(reason.contains("refused"), "{reason}");
    assert!(
        !downlink.publish("attic", b"frame".to_vec()),
        "nothing is queued"
    );
    let _broker = EmbeddedBroker::start(address).await.unwrap();
    while next(&mut received).await != Received::Up {}
}

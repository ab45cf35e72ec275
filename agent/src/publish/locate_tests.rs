//! The locator against a responder of its own on a loopback port; nothing leaves the host.

use std::net::Ipv4Addr;

use tokio::net::UdpSocket;

use super::*;

/// A record's name, kind and content.
type Said = (&'static str, u16, Vec<u8>);

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn v4(host: &'static str, last: u8) -> Said {
    (host, 1, vec![192, 0, 2, last])
}

fn server(instance: &'static str, priority: u8, host: &str) -> Said {
    let mut content = vec![0, priority, 0, 0, 0x07, 0x5b];
    content.extend(wire(host));
    (instance, 33, content)
}

/// Answers every question with the records of its name and kind, whichever those are.
async fn respond(socket: UdpSocket, said: Vec<Said>) {
    let mut buffer = [0; 1500];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let mut rest = &buffer[12..len];
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == 0).unwrap() + 1;
            let (name, after) = rest.split_at(end);
            let kind = u16::from_be_bytes([after[0], after[1]]);
            rest = &after[4..];
            let fitting = said
                .iter()
                .filter(|(of, other, _)| wire(of) == name && *other == kind);
            let mut message = vec![buffer[0], buffer[1], 0x84, 0, 0, 0];
            let records: Vec<_> = fitting.collect();
            message.extend([0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
            for (of, kind, content) in records {
                message.extend(wire(of));
                message.extend(kind.to_be_bytes());
                message.extend([0, 1, 0, 0, 0, 10, 0]);
                message.push(u8::try_from(content.len()).unwrap());
                message.extend(content);
            }
            socket.send_to(&message, from).await.unwrap();
        }
    }
}

/// A responder, and how it is asked.
async fn responder(said: Vec<Said>) -> Vec<Link> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let group = socket.local_addr().unwrap();
    tokio::spawn(respond(socket, said));
    vec![Link {
        interface: 0,
        group,
    }]
}

fn broker(url: &str) -> Broker {
    Broker::parse(url).unwrap()
}

fn random() -> u64 {
    7
}

#[tokio::test]
async fn a_local_name_becomes_the_address_of_the_host_that_answers() {
    let links = responder(vec![v4("attic.local", 7), v4("cellar.local", 8)]).await;
    let mut locator = Locator::at(broker("mqtt://attic.local:2883")).over(links);
    let place = locator.locate(random).await.unwrap();
    assert_eq!(place.address, Some("192.0.2.7:2883".parse().unwrap()));
    assert_eq!(place.host(), "192.0.2.7");
    assert_eq!(place.broker.host, "attic.local", "what TLS verifies");
}

#[tokio::test]
async fn every_failure_takes_the_next_address_and_a_connection_the_first() {
    let links = responder(vec![v4("attic.local", 8), v4("attic.local", 7)]).await;
    let mut locator = Locator::at(broker("mqtt://attic.local")).over(links);
    let mut taken = Vec::new();
    for has_connected in [false, false, false, true, true] {
        let place = locator.locate(random).await.unwrap();
        taken.push(place.host());
        locator.tried(has_connected);
    }
    let expected = [
        "192.0.2.7",
        "192.0.2.8",
        "192.0.2.7",
        "192.0.2.8",
        "192.0.2.7",
    ];
    assert_eq!(taken, expected);
}

#[tokio::test]
async fn other_names_and_silent_networks_are_left_to_the_resolver() {
    let links = responder(vec![v4("attic.lan", 7)]).await;
    let mut locator = Locator::at(broker("mqtt://attic.lan")).over(links);
    let place = locator.locate(random).await.unwrap();
    assert_eq!(
        (place.address, place.host()),
        (None, "attic.lan".to_owned())
    );
    let mut locator = Locator::at(broker("mqtt://attic.local")).over(Vec::new());
    let place = locator.locate(random).await.unwrap();
    assert_eq!(
        (place.address, place.host()),
        (None, "attic.local".to_owned())
    );
}

#[tokio::test]
async fn the_first_of_several_announced_brokers_is_taken() {
    const SERVICE: &str = "_mqtt._tcp.local";
    let links = responder(vec![
        (SERVICE, 12, wire("a._mqtt._tcp.local")),
        (SERVICE, 12, wire("b._mqtt._tcp.local")),
        server("a._mqtt._tcp.local", 9, "attic.local"),
        server("b._mqtt._tcp.local", 1, "cellar.local"),
        v4("attic.local", 7),
        v4("cellar.local", 8),
    ])
    .await;
    let mut locator = Locator::announced(false).over(links.clone());
    let place = locator.locate(random).await.unwrap();
    assert_eq!(place.broker, broker("mqtt://cellar.local:1883"));
    assert_eq!(place.host(), "192.0.2.8");
    // Whoever wants TLS is not content with a broker without it; nobody is asked for 3 s.
    let mut wants_tls = Locator::announced(true).over(Vec::new());
    assert_eq!(wants_tls.locate(random).await, Err(Trouble::NoneAnnounced));
}

#[test]
fn an_address_of_one_link_goes_with_its_interface_and_not_with_tls() {
    let scoped = "[fe80::7%3]:1883".parse().unwrap();
    let wide = "[fd00::7]:8883".parse().unwrap();
    assert_eq!(usable(vec![scoped, wide], true), [wide]);
    let place = |url, address| Place {
        broker: broker(url),
        address: Some(address),
    };
    assert_eq!(place("mqtt://a.local", scoped).host(), "[fe80::7%3]");
    assert_eq!(place("mqtts://a.local", wide).host(), "fd00::7");
    assert_eq!(
        "[fe80::7%3]:1883".parse::<SocketAddr>(),
        Ok(scoped),
        "the client reads it"
    );
}

//! Asks the local network: one-shot multicast queries (RFC 6762, 5.1) and their unicast answers.
//!
//! Questions go out from a port of their own over every interface, so that a responder of the
//! host keeps port 5353 for itself, and answers come to that port. An answer counts if it comes
//! from the port that was asked and names our question's number.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::task::Poll;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::dns::{ask, records};
use super::search::{Search, Wanted};

/// Nobody answers later than this.
const WITHIN: Duration = Duration::from_secs(3);
/// When to ask again; no sooner (RFC 6762, 5.2).
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What a host's other family of addresses may take longer.
const HOST_LINGER: Duration = Duration::from_millis(150);
/// Responders that share a name wait up to 120 ms, a sleeping radio longer.
const SERVICE_LINGER: Duration = Duration::from_millis(600);
/// Messages are no longer (RFC 6762, 17).
const MESSAGE_LEN_MAX: usize = 9000;
/// What the specification wants, so that a message that was routed is known.
const HOPS: u8 = 255;

const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0xFB);

/// Whom to ask over which interface.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The kernel's number of it; 0 leaves it to the routes.
    pub interface: u32,
    /// The group, or in tests one responder.
    pub group: SocketAddr,
}

impl Link {
    /// Both groups of an interface.
    pub fn of(interface: u32) -> [Self; 2] {
        let v4 = SocketAddrV4::new(GROUP_V4, PORT).into();
        let v6 = SocketAddrV6::new(GROUP_V6, PORT, 0, interface).into();
        [v4, v6].map(|group| Self { interface, group })
    }

    fn open(self) -> io::Result<UdpSocket> {
        let any: SocketAddr = match self.group {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = std::net::UdpSocket::bind(any)?;
        if self.group.ip().is_multicast() {
            match self.group {
                SocketAddr::V4(_) => {
                    let any = Ipv4Addr::UNSPECIFIED;
                    sockopt::set_ip_multicast_if_with_ifindex(&socket, &any, &any, self.interface)?;
                    sockopt::set_ip_multicast_ttl(&socket, HOPS.into())?;
                }
                SocketAddr::V6(_) => {
                    sockopt::set_ipv6_multicast_if(&socket, self.interface)?;
                    sockopt::set_ipv6_multicast_hops(&socket, HOPS.into())?;
                }
            }
        }
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    }
}

/// Asks until all is known, or for 3 s; what became known is in the search.
pub async fn search(links: &[Link], search: &mut Search, random: fn() -> u64) {
    // An interface without addresses of one family has no socket of it.
    let ends: Vec<_> = links
        .iter()
        .filter_map(|link| Some((*link, link.open().ok()?)))
        .collect();
    if ends.is_empty() {
        return;
    }
    let [high, low, ..] = random().to_le_bytes();
    let id = u16::from_be_bytes([high, low]);
    let deadline = Instant::now() + WITHIN;
    let mut end = deadline;
    let mut asked = (Vec::new(), deadline);
    let mut message = vec![0; MESSAGE_LEN_MAX];
    loop {
        let now = Instant::now();
        let questions = search.questions();
        if questions.is_empty() {
            // The first time that nothing is open, others get a moment.
            end = end.min(now + linger(search.wanted()));
        } else if questions != asked.0 || asked.1 + AGAIN_AFTER <= now {
            let message = ask(id, &questions);
            // A network that is down is no reason not to ask the others.
            let reached = say(&ends, &message).await;
            if reached == 0 {
                return;
            }
            asked = (questions, now);
        }
        if now >= end {
            return;
        }
        let wake = if search.questions().is_empty() {
            end
        } else {
            end.min(asked.1 + AGAIN_AFTER)
        };
        let Ok((link, len)) = timeout_at(wake, hear(&ends, &mut message)).await else {
            continue;
        };
        if let Ok(records) = records(message.get(..len).unwrap_or_default(), id) {
            search.take(records, link.interface);
        }
    }
}

const fn linger(wanted: &Wanted) -> Duration {
    match wanted {
        Wanted::Host(_) => HOST_LINGER,
        Wanted::Service(_) => SERVICE_LINGER,
    }
}

/// Sends to every link; returns how many took it.
async fn say(ends: &[(Link, UdpSocket)], message: &[u8]) -> usize {
    let mut reached = 0;
    for (link, socket) in ends {
        reached += usize::from(socket.send_to(message, link.group).await.is_ok());
    }
    reached
}

/// The next message from a port that was asked.
async fn hear(ends: &[(Link, UdpSocket)], message: &mut [u8]) -> (Link, usize) {
    poll_fn(|context| {
        for (link, socket) in ends {
            loop {
                let mut buffer = ReadBuf::new(message);
                match socket.poll_recv_from(context, &mut buffer) {
                    Poll::Ready(Ok(from)) if from.port() == link.group.port() => {
                        return Poll::Ready((*link, buffer.filled().len()));
                    }
                    Poll::Ready(Ok(_)) => {}
                    // Such as "no such port": told once, and no message.
                    Poll::Ready(Err(_)) => return Poll::Ready((*link, 0)),
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    })
    .await
}

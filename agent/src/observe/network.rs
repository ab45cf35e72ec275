//! Reads `/proc/net/dev` and `/sys/class/net/*/{flags,carrier,device}`
//! (Documentation/networking/statistics.rst).
//!
//! Counters are read at every tick, the rest now and then; addresses come by netlink, see
//! `address`, routes from `route`.

use super::root::Root;
use super::route;
use super::text::{Flaw, fields, hexadecimal, lines, number, printable};
use super::{Errno, Links, ReadError, Reading};

/// An interface's counters since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of /proc/net/dev")]
pub struct Interface {
    /// For example `eth0`.
    pub name: Box<str>,
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_errors: u64,
    pub received_drops: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_errors: u64,
    pub sent_drops: u64,
}

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags of the kernel"
)]
pub struct Link {
    /// For example `wlan0`.
    pub name: Box<str>,
    /// `IFF_UP`.
    pub is_up: bool,
    /// Whether a cable is in or a network joined; absent where the interface is down.
    pub has_carrier: Reading<bool>,
    /// `IFF_LOOPBACK`.
    pub is_loopback: bool,
    /// `IFF_POINTOPOINT`.
    pub is_point_to_point: bool,
    /// Whether a device is behind it; bridges, tunnels and containers' ends have none.
    pub is_physical: bool,
}

const LINKS_MAX: usize = 256;

/// Reads the interfaces' counters.
pub(super) fn read(root: &mut Root) -> Reading<Vec<Interface>> {
    root.parse_table("proc/net/dev", parse)
}

/// Reads addresses and routes.
pub(super) fn read_links(root: &mut Root) -> Links {
    let mut unknown = Vec::new();
    Links {
        links: read_flags(root, &mut unknown),
        unknown,
        addresses: root.syscalls().addresses(),
        routes: route::read(root),
    }
}

/// An interface whose flags cannot be read is `unknown`, and the others are not.
fn read_flags(root: &mut Root, unknown: &mut Vec<(Box<str>, ReadError)>) -> Reading<Vec<Link>> {
    const DIRECTORY: &str = "sys/class/net";
    let Some(names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    let mut links = Vec::new();
    for name in names.into_iter().take(LINKS_MAX) {
        // `bonding_masters` is a file among the interfaces.
        let flags = match root.parse(&format!("{DIRECTORY}/{name}/flags"), parse_flags) {
            Ok(Some(flags)) => flags,
            Ok(None) => continue,
            Err(err) => {
                unknown.push((name.into(), err));
                continue;
            }
        };
        links.push(Link {
            is_up: flags & IFF_UP != 0,
            has_carrier: down_is_absent(
                root.parse(&format!("{DIRECTORY}/{name}/carrier"), parse_carrier),
            ),
            is_loopback: flags & IFF_LOOPBACK != 0,
            is_point_to_point: flags & IFF_POINTOPOINT != 0,
            is_physical: root.exists(&format!("{DIRECTORY}/{name}/device")),
            name: name.into(),
        });
    }
    Ok(Some(links))
}

const IFF_UP: u32 = 1 << 0;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_POINTOPOINT: u32 = 1 << 4;

pub(super) fn parse_flags(text: &[u8]) -> Result<u32, Flaw> {
    let digits = text.trim_ascii().strip_prefix(b"0x");
    digits
        .and_then(hexadecimal)
        .ok_or(Flaw::new(1, "expected flags"))
}

fn parse_carrier(text: &[u8]) -> Result<bool, Flaw> {
    match text.trim_ascii() {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(Flaw::new(1, "expected 0 or 1")),
    }
}

/// The kernel answers EINVAL for an interface that is down.
fn down_is_absent(reading: Reading<bool>) -> Reading<bool> {
    match reading {
        Err(ReadError::Refused {
            cause: Errno(libc::EINVAL),
            ..
        }) => Ok(None),
        reading => reading,
    }
}

fn parse(text: &[u8]) -> Result<Vec<Interface>, Flaw> {
    /// The titles of the columns.
    const HEADER_LINES: usize = 2;
    let mut interfaces = Vec::new();
    for (line_number, line) in lines(text) {
        if line_number <= HEADER_LINES {
            if !line.contains(&b'|') {
                return Err(Flaw::new(line_number, "expected titles"));
            }
            continue;
        }
        let interface = parse_interface(line);
        let interface = interface.ok_or(Flaw::new(line_number, "expected an interface"))?;
        if interfaces.len() < LINKS_MAX {
            interfaces.push(interface);
        }
    }
    if interfaces.is_empty() {
        return Err(Flaw::new(1, "expected an interface"));
    }
    Ok(interfaces)
}

/// `name: 8 columns received, 8 columns sent`; a long counter may touch the colon.
fn parse_interface(line: &[u8]) -> Option<Interface> {
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let (name, counters) = line.split_at_checked(colon)?;
    let mut counters = fields(counters.get(1..)?).map(number);
    let mut next = || counters.next().flatten();
    let received = [next()?, next()?, next()?, next()?];
    // fifo, frame, compressed, multicast.
    for _ in 0..4 {
        next()?;
    }
    let sent = [next()?, next()?, next()?, next()?];
    Some(Interface {
        name: printable(name.trim_ascii())?,
        received_bytes: received[0],
        received_packets: received[1],
        received_errors: received[2],
        received_drops: received[3],
        sent_bytes: sent[0],
        sent_packets: sent[1],
        sent_errors: sent[2],
        sent_drops: sent[3],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: &str = "Inter-|   Receive  |  Transmit\n face |bytes |bytes\n";

    #[test]
    fn a_long_counter_may_touch_the_colon() {
        let text = format!("{TITLES}eth0:18446744073 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        let interfaces = parse(text.as_bytes()).unwrap();
        assert_eq!(
            interfaces,
            [Interface {
                name: "eth0".into(),
                received_bytes: 18_446_744_073,
                received_packets: 2,
                received_errors: 3,
                received_drops: 4,
                sent_bytes: 9,
                sent_packets: 10,
                sent_errors: 11,
                sent_drops: 12,
            }]
        );
    }

    #[test]
    fn what_is_no_table_of_interfaces_fails() {
        for text in [
            "",
            TITLES,
            "x",
            &format!("{TITLES}eth0 1 2"),
            &format!("{TITLES}eth0: 1 2"),
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}

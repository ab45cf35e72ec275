//! Reads `/proc/net/dev`, `/proc/net/route`, `/proc/net/ipv6_route` and
//! `/sys/class/net/*/{flags,carrier,device}` (Documentation/networking/statistics.rst).
//!
//! Counters are read at every tick, the rest now and then; addresses come by netlink, see
//! `address`.

use super::root::Root;
use super::route;
use super::text::{Flaw, fields, hexadecimal, lines, number, number_u32, printable};
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
    let routes_v4 = root.parse_table("proc/net/route", parse_routes_v4);
    let routes_v6 = root.parse_table("proc/net/ipv6_route", parse_routes_v6);
    Links {
        links: read_flags(root),
        addresses: root.syscalls().addresses(),
        default_route_v4: best(&routes_v4),
        default_route_v6: best(&routes_v6),
        default_routes: both(routes_v4, routes_v6),
        routes: route::read(root),
    }
}

fn best(routes: &Reading<Vec<Box<str>>>) -> Reading<Box<str>> {
    let routes = routes.as_ref().map_err(Clone::clone)?;
    Ok(routes.as_ref().and_then(|routes| routes.first().cloned()))
}

/// A table that could not be read may hold the one route that there is.
fn both(v4: Reading<Vec<Box<str>>>, v6: Reading<Vec<Box<str>>>) -> Reading<Vec<Box<str>>> {
    let (v4, v6) = (v4?, v6?);
    if v4.is_none() && v6.is_none() {
        return Ok(None);
    }
    let mut routes: Vec<Box<str>> = Vec::new();
    for name in v4.into_iter().chain(v6).flatten() {
        if !routes.contains(&name) {
            routes.push(name);
        }
    }
    Ok(Some(routes))
}

fn read_flags(root: &mut Root) -> Reading<Vec<Link>> {
    const DIRECTORY: &str = "sys/class/net";
    let Some(names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    let mut links = Vec::new();
    for name in names.into_iter().take(LINKS_MAX) {
        // `bonding_masters` is a file among the interfaces.
        let Some(flags) = root.parse(&format!("{DIRECTORY}/{name}/flags"), parse_flags)? else {
            continue;
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

/// The default routes' interfaces, that of the lowest metric first.
fn parse_routes_v4(text: &[u8]) -> Result<Vec<Box<str>>, Flaw> {
    const RTF_UP: u32 = 1;
    let mut routes = Vec::new();
    for (line_number, line) in lines(text) {
        let flaw = Flaw::new(line_number, "expected a route");
        let mut fields = fields(line);
        let name = fields.next().ok_or(flaw)?;
        if line_number == 1 {
            if name != b"Iface" {
                return Err(flaw);
            }
            continue;
        }
        let destination = fields.next().and_then(hexadecimal).ok_or(flaw)?;
        let _gateway = fields.next();
        let flags = fields.next().and_then(hexadecimal).ok_or(flaw)?;
        let mut fields = fields.skip(2);
        let metric = fields.next().and_then(number_u32).ok_or(flaw)?;
        let mask = fields.next().and_then(hexadecimal).ok_or(flaw)?;
        // A host without a way there rejects instead.
        let is_usable = flags & (RTF_UP | RTF_REJECT) == RTF_UP;
        if destination == 0 && mask == 0 && is_usable {
            routes.push((metric, printable(name).ok_or(flaw)?));
        }
    }
    if text.is_empty() {
        return Err(Flaw::new(1, "empty"));
    }
    Ok(by_metric(routes))
}

const RTF_REJECT: u32 = 0x200;

fn by_metric(mut routes: Vec<(u32, Box<str>)>) -> Vec<Box<str>> {
    /// One for each interface, and more than any board has.
    const ROUTES_MAX: usize = 16;
    routes.sort_by_key(|(metric, _)| *metric);
    let names = routes.into_iter().map(|(_, name)| name);
    names.take(ROUTES_MAX).collect()
}

/// The same of IPv6, whose table has no titles and may be empty.
fn parse_routes_v6(text: &[u8]) -> Result<Vec<Box<str>>, Flaw> {
    const RTF_UP: u32 = 1;
    let mut routes = Vec::new();
    for (line_number, line) in lines(text) {
        let flaw = Flaw::new(line_number, "expected a route");
        let mut fields = fields(line);
        let destination = fields
            .next()
            .filter(|field| field.len() == 32)
            .ok_or(flaw)?;
        let prefix_len = fields.next().and_then(hexadecimal).ok_or(flaw)?;
        let mut fields = fields.skip(3);
        let metric = fields.next().and_then(hexadecimal).ok_or(flaw)?;
        let mut fields = fields.skip(2);
        let flags = fields.next().and_then(hexadecimal).ok_or(flaw)?;
        let name = fields.next().ok_or(flaw)?;
        // The kernel keeps a rejecting default route on lo.
        let is_usable = flags & (RTF_UP | RTF_REJECT) == RTF_UP;
        let is_default = prefix_len == 0 && destination.iter().all(|digit| *digit == b'0');
        if is_default && is_usable {
            routes.push((metric, printable(name).ok_or(flaw)?));
        }
    }
    Ok(by_metric(routes))
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

    #[test]
    fn the_default_route_with_the_lowest_metric_is_first() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
            wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t202\t00000000\t0\t0\t0\n\
            wg0\t00000000\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        let names = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        assert_eq!(
            parse_routes_v4(text.as_bytes()),
            Ok(names(&["eth0", "wlan0"]))
        );
        let (titles, _) = text.split_once('\n').unwrap();
        assert_eq!(parse_routes_v4(titles.as_bytes()), Ok(vec![]));
        // `ip route add unreachable default` stands without an interface.
        let reject = format!("{titles}\n*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n");
        assert_eq!(parse_routes_v4(reject.as_bytes()), Ok(vec![]));
        assert!(parse_routes_v4(b"").is_err());
        assert!(parse_routes_v4(b"eth0 0 0").is_err());
    }

    #[test]
    fn a_board_without_any_table_of_routes_is_told_from_one_without_a_route() {
        let name = || Box::from("eth0");
        let failed = || Err(Flaw::new(1, "x").at("route"));
        assert_eq!(both(Ok(None), Ok(None)), Ok(None));
        assert_eq!(both(Ok(Some(vec![])), Ok(None)), Ok(Some(vec![])));
        let twice = both(Ok(Some(vec![name()])), Ok(Some(vec![name()])));
        assert_eq!(twice, Ok(Some(vec![name()])));
        assert_eq!(both(Ok(Some(vec![name()])), failed()), failed());
    }

    #[test]
    fn a_rejecting_default_route_of_ipv6_does_not_count() {
        let zero = "0".repeat(32);
        let reject = format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n");
        assert_eq!(parse_routes_v6(reject.as_bytes()), Ok(vec![]));
        let real = format!("{reject}{zero} 00 {zero} 00 {zero} 00000400 1 0 00000003 eth0\n");
        assert_eq!(
            parse_routes_v6(real.as_bytes()),
            Ok(vec![Box::from("eth0")])
        );
        assert_eq!(parse_routes_v6(b""), Ok(vec![]));
        assert!(parse_routes_v6(b"x").is_err());
    }
}

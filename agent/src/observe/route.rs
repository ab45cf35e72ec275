//! Reads `/proc/net/route` and `/proc/net/ipv6_route` for the interfaces that default routes
//! transit, by kubelet's rule and in the files' order, which is that of their metrics.
//!
//! The rule (apimachinery/pkg/util/net) is coarse: an IPv4 destination of
//! zero is a default route whatever its mask, an IPv6 one only with a gateway. It decides which
//! address the Node lists; whether there is a network at all is judged from `network`.

use super::Reading;
use super::root::Root;
use super::text::{Flaw, fields, lines, printable};

/// Interfaces in the order in which an address is looked for on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// Absent without the file; kubelet then looks at every interface.
    pub v4: Reading<Vec<Box<str>>>,
    /// Absent without IPv6.
    pub v6: Reading<Vec<Box<str>>>,
}

/// More default routes than any board has.
const ROUTES_MAX: usize = 32;

pub(super) fn read(root: &mut Root) -> Routes {
    Routes {
        v4: root.parse_table("proc/net/route", parse_v4),
        v6: root.parse_table("proc/net/ipv6_route", parse_v6),
    }
}

fn parse_v4(text: &[u8]) -> Result<Vec<Box<str>>, Flaw> {
    if text.is_empty() {
        return Err(Flaw::new(1, "empty"));
    }
    collect(text, |line| {
        let mut fields = fields(line);
        let name = fields.next()?;
        if name == b"Iface" {
            return Some(None);
        }
        let destination = fields.next().filter(|field| is_address(field, 8))?;
        fields.next().filter(|field| is_address(field, 8))?;
        Some(is_zero(destination).then_some(name))
    })
}

fn parse_v6(text: &[u8]) -> Result<Vec<Box<str>>, Flaw> {
    collect(text, |line| {
        let mut fields = fields(line);
        let destination = fields.next().filter(|field| is_address(field, 32))?;
        let gateway = fields.nth(3).filter(|field| is_address(field, 32))?;
        let name = fields.nth(4)?;
        Some((is_zero(destination) && !is_zero(gateway)).then_some(name))
    })
}

/// The interfaces that `transited` finds in the lines: `None` for a line that is no route,
/// `Some(None)` for a route to somewhere.
fn collect<'t>(
    text: &'t [u8],
    transited: impl Fn(&'t [u8]) -> Option<Option<&'t [u8]>>,
) -> Result<Vec<Box<str>>, Flaw> {
    let mut interfaces = Vec::new();
    for (number, line) in lines(text) {
        let flaw = Flaw::new(number, "expected a route");
        let Some(interface) = transited(line).ok_or(flaw)? else {
            continue;
        };
        let interface = printable(interface).ok_or(flaw)?;
        if interfaces.len() < ROUTES_MAX && !interfaces.contains(&interface) {
            interfaces.push(interface);
        }
    }
    Ok(interfaces)
}

fn is_address(field: &[u8], digits: usize) -> bool {
    field.len() == digits && field.iter().all(u8::is_ascii_hexdigit)
}

fn is_zero(address: &[u8]) -> bool {
    address.iter().all(|digit| *digit == b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(parsed: Result<Vec<Box<str>>, Flaw>) -> Vec<String> {
        let names = parsed.unwrap();
        names.iter().map(ToString::to_string).collect()
    }

    const TITLES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";

    #[test]
    fn default_routes_stand_in_the_files_order_and_once() {
        let text = format!(
            "{TITLES}eth0\t00000000\t0101A8C0\t0003\t0\t0\t202\t00000000\n\
             wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\n\
             eth0\t00000000\t0201A8C0\t0003\t0\t0\t700\t00000000\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t202\t00FFFFFF\n"
        );
        assert_eq!(names(parse_v4(text.as_bytes())), ["eth0", "wlan0"]);
        assert_eq!(names(parse_v4(TITLES.as_bytes())), [""; 0]);
    }

    #[test]
    fn half_of_the_world_is_a_default_route_as_it_is_for_kubelet() {
        let text = format!(
            "{TITLES}tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n"
        );
        assert_eq!(names(parse_v4(text.as_bytes())), ["tun0", "eth0"]);
    }

    #[test]
    fn an_ipv6_route_without_a_gateway_is_none() {
        let (zero, router) = ("0".repeat(32), "fe800000000000000000000000000001");
        let text = format!(
            "{zero} 00 {zero} 00 {router} 00000400 1 0 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n\
             fe800000000000000000000000000000 40 {zero} 00 {zero} 100 1 0 00000001 eth0\n"
        );
        assert_eq!(names(parse_v6(text.as_bytes())), ["eth0"]);
        assert_eq!(names(parse_v6(b"")), [""; 0]);
    }

    #[test]
    fn what_is_no_table_of_routes_fails() {
        for text in [
            "",
            "x",
            "eth0 0 0",
            "eth0\t0000000g\t00000000\n",
            "eth0\t00000000\n",
        ] {
            assert!(parse_v4(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["x", "0 0 0 0 0 0 0 0 0 lo"] {
            assert!(parse_v6(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_table_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_v4(&bytes);
            let _ = parse_v6(&bytes);
        }
    }
}

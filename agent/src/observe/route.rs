//! Reads `/proc/net/route` and `/proc/net/ipv6_route` for default routes, in the files' order,
//! which is that of their metrics.
//!
//! Two rules, since two questions are asked of them. Which address the Node lists is decided by
//! kubelet's (apimachinery/pkg/util/net), which is coarse: an IPv4 destination of zero is a
//! default route whatever its mask, an IPv6 one only with a gateway. Whether there is a network at
//! all is decided by the kernel's: nothing of the destination counts, and the route does not
//! reject.

use super::Reading;
use super::root::Root;
use super::text::{Flaw, fields, hexadecimal, lines, printable};

/// Default routes by family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// Absent without the file; kubelet then looks at every interface.
    pub v4: Reading<Vec<Route>>,
    /// Absent without IPv6.
    pub v6: Reading<Vec<Route>>,
}

/// A default route by one of the two rules at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where packets leave.
    pub interface: Box<str>,
    /// By kubelet's rule.
    pub is_kubelets: bool,
    /// By the kernel's.
    pub leads_anywhere: bool,
}

/// More default routes than any board has.
const ROUTES_MAX: usize = 32;

pub(super) fn read(root: &mut Root) -> Routes {
    Routes {
        v4: root.parse_table("proc/net/route", parse_v4),
        v6: root.parse_table("proc/net/ipv6_route", parse_v6),
    }
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, below a line of titles.
fn parse_v4(text: &[u8]) -> Result<Vec<Route>, Flaw> {
    if text.is_empty() {
        return Err(Flaw::new(1, "empty"));
    }
    collect(text, |number, line| {
        let mut fields = fields(line);
        let name = fields.next()?;
        if number == 1 {
            return (name == b"Iface").then_some(None);
        }
        let destination = fields.next().filter(|field| is_address(field, 8))?;
        fields.next().filter(|field| is_address(field, 8))?;
        let flags = fields.next().and_then(hexadecimal)?;
        let mask = fields.nth(3).filter(|field| is_address(field, 8))?;
        let is_kubelets = is_zero(destination);
        let leads_anywhere = is_kubelets && is_zero(mask) && is_usable(flags);
        Some(Some((name, is_kubelets, leads_anywhere)))
    })
}

/// `destination prefix source prefix gateway metric refcnt use flags device`, without titles.
fn parse_v6(text: &[u8]) -> Result<Vec<Route>, Flaw> {
    collect(text, |_, line| {
        let mut fields = fields(line);
        let destination = fields.next().filter(|field| is_address(field, 32))?;
        let prefix_len = fields.next().and_then(hexadecimal)?;
        let gateway = fields.nth(2).filter(|field| is_address(field, 32))?;
        let flags = fields.nth(3).and_then(hexadecimal)?;
        let name = fields.next()?;
        let is_kubelets = is_zero(destination) && !is_zero(gateway);
        let leads_anywhere = is_zero(destination) && prefix_len == 0 && is_usable(flags);
        Some(Some((name, is_kubelets, leads_anywhere)))
    })
}

/// A line's interface, and by which rules its route is a default one.
type Line<'t> = (&'t [u8], bool, bool);

/// The default routes in the lines: `None` for a line that is no route, `Some(None)` for titles.
fn collect<'t>(
    text: &'t [u8],
    parse: impl Fn(usize, &'t [u8]) -> Option<Option<Line<'t>>>,
) -> Result<Vec<Route>, Flaw> {
    let mut routes = Vec::new();
    for (number, line) in lines(text) {
        let flaw = Flaw::new(number, "expected a route");
        let Some((interface, is_kubelets, leads_anywhere)) = parse(number, line).ok_or(flaw)?
        else {
            continue;
        };
        if !is_kubelets && !leads_anywhere {
            continue;
        }
        let route = Route {
            interface: printable(interface).ok_or(flaw)?,
            is_kubelets,
            leads_anywhere,
        };
        if routes.len() < ROUTES_MAX && !routes.contains(&route) {
            routes.push(route);
        }
    }
    Ok(routes)
}

/// Up, and not there to reject: a host without a way out may keep such a route, IPv6's on `lo`.
fn is_usable(flags: u32) -> bool {
    const RTF_UP: u32 = 1;
    const RTF_REJECT: u32 = 0x200;
    flags & (RTF_UP | RTF_REJECT) == RTF_UP
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

    fn by(parsed: Result<Vec<Route>, Flaw>, is_meant: fn(&Route) -> bool) -> Vec<String> {
        let routes = parsed.unwrap();
        let meant = routes.iter().filter(|route| is_meant(route));
        meant.map(|route| route.interface.to_string()).collect()
    }

    fn kubelets(parsed: Result<Vec<Route>, Flaw>) -> Vec<String> {
        by(parsed, |route| route.is_kubelets)
    }

    fn leading(parsed: Result<Vec<Route>, Flaw>) -> Vec<String> {
        by(parsed, |route| route.leads_anywhere)
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
        assert_eq!(kubelets(parse_v4(text.as_bytes())), ["eth0", "wlan0"]);
        assert_eq!(leading(parse_v4(text.as_bytes())), ["eth0", "wlan0"]);
        assert_eq!(kubelets(parse_v4(TITLES.as_bytes())), [""; 0]);
    }

    #[test]
    fn half_of_the_world_is_a_default_route_for_kubelet_and_no_way_out() {
        let text = format!(
            "{TITLES}tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n"
        );
        assert_eq!(kubelets(parse_v4(text.as_bytes())), ["tun0", "eth0"]);
        assert_eq!(leading(parse_v4(text.as_bytes())), ["eth0"]);
    }

    #[test]
    fn a_route_that_rejects_leads_nowhere() {
        // `ip route add unreachable default` stands without an interface.
        let text = format!("{TITLES}*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\n");
        assert_eq!(leading(parse_v4(text.as_bytes())), [""; 0]);
    }

    #[test]
    fn an_ipv6_route_without_a_gateway_is_none_for_kubelet() {
        let (zero, router) = ("0".repeat(32), "fe800000000000000000000000000001");
        let text = format!(
            "{zero} 00 {zero} 00 {router} 00000400 1 0 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} 00000400 1 0 00000001 wg0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n\
             fe800000000000000000000000000000 40 {zero} 00 {zero} 100 1 0 00000001 eth0\n"
        );
        assert_eq!(kubelets(parse_v6(text.as_bytes())), ["eth0"]);
        assert_eq!(leading(parse_v6(text.as_bytes())), ["eth0", "wg0"]);
        assert_eq!(kubelets(parse_v6(b"")), [""; 0]);
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

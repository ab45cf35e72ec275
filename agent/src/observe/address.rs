//! Asks the kernel for every address by one rtnetlink dump (rtnetlink(7), `RTM_GETADDR`).
//!
//! Chosen over getifaddrs(3), which needs `unsafe` and does not tell temporary addresses from
//! lasting ones, and over `/proc/net/fib_trie`, which does not name the interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::fd::AsFd;
use rustix::io::Errno as Os;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// For example `eth0`.
    pub interface: Box<str>,
    /// The address.
    pub address: IpAddr,
    /// Bits of its network.
    pub prefix_len: u8,
    /// An IPv6 privacy address, which will be replaced.
    pub is_temporary: bool,
    /// Not for new connections.
    pub is_deprecated: bool,
    /// Not yet, or not at all, proved to be unique.
    pub is_tentative: bool,
}

const HEADER_LEN: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST_DUMP: u16 = 0x301;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_TEMPORARY: u32 = 0x01;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_TENTATIVE: u32 = 0x40;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// More than a board has; a machine with more shows the first ones.
const ADDRESSES_MAX: usize = 256;

/// Every address of this network namespace, in the kernel's order.
pub(super) fn dump() -> Result<Vec<Address>, Os> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // No protocol number is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::send(&socket, &request(), SendFlags::empty())?;
    let mut dump = Dump::default();
    // The kernel fills at most a page, or 32 KiB if it may, per datagram.
    let mut datagram = vec![0; 32 * 1024];
    while !dump.is_done {
        // The dump's next part is made by the read of this one: nothing is waited for.
        let (_, len) = rustix::net::recv(&socket, datagram.as_mut_slice(), RecvFlags::TRUNC)?;
        let datagram = datagram.get(..len).ok_or(Os::MSGSIZE)?;
        dump.take(datagram)?;
    }
    Ok(dump
        .found
        .into_iter()
        .filter_map(|found| found.named(&socket))
        .collect())
}

/// nlmsghdr and ifaddrmsg of "every address of every family".
fn request() -> [u8; HEADER_LEN + 8] {
    let mut request = [0; HEADER_LEN + 8];
    let (len, rest) = request.split_at_mut(4);
    len.copy_from_slice(&24_u32.to_ne_bytes());
    let (kind, rest) = rest.split_at_mut(2);
    kind.copy_from_slice(&RTM_GETADDR.to_ne_bytes());
    let (flags, _) = rest.split_at_mut(2);
    flags.copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request
}

/// What the datagrams so far have said.
#[derive(Debug, Default)]
struct Dump {
    found: Vec<Found>,
    is_done: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    interface_index: u32,
    address: IpAddr,
    prefix_len: u8,
    flags: u32,
}

impl Dump {
    fn take(&mut self, mut datagram: &[u8]) -> Result<(), Os> {
        if datagram.is_empty() {
            return Err(Os::BADMSG);
        }
        while !datagram.is_empty() && !self.is_done {
            let len = u32_at(datagram, 0).and_then(|len| usize::try_from(len).ok());
            let kind = u16_at(datagram, 4).ok_or(Os::BADMSG)?;
            let len = len.filter(|len| *len >= HEADER_LEN).ok_or(Os::BADMSG)?;
            let body = datagram.get(HEADER_LEN..len).ok_or(Os::BADMSG)?;
            match kind {
                NLMSG_DONE => self.is_done = true,
                NLMSG_ERROR => return Err(refusal(body)),
                RTM_NEWADDR if self.found.len() < ADDRESSES_MAX => {
                    self.found.extend(address(body));
                }
                _ => {}
            }
            datagram = datagram.get(aligned(len)..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Found {
    /// `None` if the interface has gone since.
    fn named(self, socket: impl AsFd) -> Option<Address> {
        let name = rustix::net::netdevice::index_to_name(socket, self.interface_index).ok()?;
        Some(Address {
            interface: name.into(),
            address: self.address,
            prefix_len: self.prefix_len,
            is_temporary: self.address.is_ipv6() && self.flags & IFA_F_TEMPORARY != 0,
            is_deprecated: self.flags & IFA_F_DEPRECATED != 0,
            is_tentative: self.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0,
        })
    }
}

/// Parses ifaddrmsg and its attributes; `None` for families that are no IP.
fn address(body: &[u8]) -> Option<Found> {
    let [family, prefix_len, old_flags, _scope] = *body.first_chunk()?;
    let interface_index = u32_at(body, 4)?;
    let mut flags = u32::from(old_flags);
    let (mut address, mut local) = (None, None);
    let mut attributes = body.get(8..)?;
    while let Some(len) = u16_at(attributes, 0).map(usize::from) {
        let Some(value) = attributes.get(4..len) else {
            break;
        };
        match u16_at(attributes, 2)? {
            IFA_ADDRESS => address = ip(family, value),
            // On a point-to-point link IFA_ADDRESS is the other end.
            IFA_LOCAL => local = ip(family, value),
            IFA_FLAGS => flags = u32_at(value, 0).unwrap_or(flags),
            _ => {}
        }
        attributes = attributes.get(aligned(len)..).unwrap_or_default();
    }
    Some(Found {
        interface_index,
        address: local.or(address)?,
        prefix_len,
        flags,
    })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

/// nlmsgerr begins with a negative error number.
fn refusal(body: &[u8]) -> Os {
    let number = body
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    Os::from_raw_os_error(
        number
            .checked_neg()
            .filter(|number| (1..4096).contains(number))
            .unwrap_or(libc::EBADMSG),
    )
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Messages and attributes begin at multiples of four.
fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_machine_has_a_loopback_address() {
        let found = dump().expect("a netlink socket needs no privilege");
        assert!(
            found.iter().any(|found| found.address.is_loopback()),
            "{found:?}"
        );
    }

    #[test]
    fn a_refusal_is_the_kernels_error_number() {
        let mut datagram = vec![20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        datagram.extend((-13_i32).to_ne_bytes());
        assert_eq!(Dump::default().take(&datagram), Err(Os::ACCESS));
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Dump::default().take(&bytes);
            let _ = address(&bytes);
        }
    }
}

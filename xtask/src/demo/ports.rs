//! Ports on loopback: the usual one where it is free, else any.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

/// Finds a port for each of the wanted ones; all are held until the last is found, so that no
/// two are the same.
pub(crate) fn free<const N: usize>(wanted: [u16; N]) -> anyhow::Result<[SocketAddr; N]> {
    let mut held = Vec::with_capacity(N);
    for port in wanted {
        let usual = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = usual.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        held.push(listener.context("no free port on 127.0.0.1")?);
    }
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(&held) {
        *address = listener.local_addr()?;
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_and_no_two_are_alike() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let [first, second] = free([port, port]).unwrap();
        assert_ne!(first.port(), port);
        assert_ne!(first.port(), second.port());
    }
}

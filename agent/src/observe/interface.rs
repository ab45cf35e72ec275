//! Reads `/sys/class/net/*/{flags,ifindex}`: the interfaces over which to ask the local network.
//!
//! Not part of an observation: read when a broker is looked for, see `publish::locate`. What is
//! part of a bridge or a bond is left out, since the bridge stands for it.

use super::network::parse_flags;
use super::root::Root;
use super::text::lone_number;

/// A board has a few; more are containers'.
const INTERFACES_MAX: usize = 8;

const IFF_UP: u32 = 1 << 0;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_MULTICAST: u32 = 1 << 12;

/// The kernel's numbers of the interfaces that are up and take multicast; `IFF_RUNNING` is not
/// among the flags of this file.
pub fn multicast_interfaces(root: &mut Root) -> Vec<u32> {
    const DIRECTORY: &str = "sys/class/net";
    let Ok(Some(names)) = root.list(DIRECTORY) else {
        return Vec::new();
    };
    let mut indices = Vec::new();
    for name in names {
        let path = |file: &str| format!("{DIRECTORY}/{name}/{file}");
        let Ok(Some(flags)) = root.parse(&path("flags"), parse_flags) else {
            continue;
        };
        let wanted = IFF_UP | IFF_MULTICAST;
        let is_usable = flags & (wanted | IFF_LOOPBACK) == wanted;
        if !is_usable || root.exists(&path("master")) {
            continue;
        }
        if let Ok(Some(index)) = root.parse(&path("ifindex"), lone_number)
            && let Ok(index) = u32::try_from(index)
        {
            indices.push(index);
        }
    }
    indices.truncate(INTERFACES_MAX);
    indices
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "tests make the files they read")]
    fn interface(root: &Path, name: &str, flags: &str, index: &str) {
        let directory = root.join("sys/class/net").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("flags"), flags).unwrap();
        std::fs::write(directory.join("ifindex"), index).unwrap();
    }

    #[test]
    fn only_interfaces_that_are_up_and_take_multicast_are_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        interface(path, "lo", "0x9\n", "1\n");
        interface(path, "eth0", "0x1003\n", "2\n");
        interface(path, "wlan0", "0x1002\n", "3\n");
        interface(path, "tun0", "0x1091\n", "4\n");
        interface(path, "wwan0", "0x91\n", "5\n");
        interface(path, "veth0", "0x1003\n", "6\n");
        std::fs::create_dir(path.join("sys/class/net/veth0/master")).unwrap();
        let mut root = Root::open(path).unwrap();
        assert_eq!(multicast_interfaces(&mut root), [2, 4]);
    }

    #[test]
    fn a_board_without_interfaces_has_none_to_ask() {
        let directory = tempfile::tempdir().unwrap();
        let mut root = Root::open(directory.path()).unwrap();
        assert!(multicast_interfaces(&mut root).is_empty());
    }
}

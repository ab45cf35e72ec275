//! Who speaks: the identity of an agent, of a boot, and of one connection's will.
//!
//! Order is `(session, sequence)`: a session is opened by its first Facts and counted from 0.
//! The will is a hint that a connection broke; it counts only if its hash was announced in the
//! session's first frame, because whoever owns the broker can publish on the will's topic.

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// 64 random bits that an agent keeps for ever, in its state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instance(pub u64);

impl Instance {
    /// From 16 hexadecimal digits, as the state file holds them.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 16 || text.bytes().any(|byte| !byte.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// The byte that marks clear frames, so that two claimants of a name are told apart.
    pub const fn tag(self) -> u8 {
        (self.0 & 0xFF) as u8
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The kernel's name for one boot: `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// From the kernel's text, a lower-case UUID with or without a line end.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let mut digits = text.trim().chars().filter(|&c| c != '-');
        for byte in &mut bytes {
            let high = digits.next()?.to_digit(16)?;
            let low = digits.next()?.to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The random bytes that a broker publishes for an agent whose connection broke.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Will(pub [u8; Will::LEN]);

impl Will {
    /// Long enough not to be guessed.
    pub const LEN: usize = 16;

    /// What the session's first frame announces.
    pub fn hash(&self) -> WillHash {
        let mut hash = [0; WillHash::LEN];
        let digest = Sha256::digest(self.0);
        for (to, from) in hash.iter_mut().zip(digest) {
            *to = from;
        }
        WillHash(hash)
    }
}

impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Will(***)")
    }
}

/// The first 128 bits of the SHA-256 of a [`Will`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WillHash(pub [u8; WillHash::LEN]);

impl WillHash {
    /// Bytes kept of the digest.
    pub const LEN: usize = 16;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_boot_id_prints_as_the_kernel_does() {
        let text = "2f6a3a62-9a07-4d42-8c57-6b54bb4d05a1";
        assert_eq!(
            BootId::parse(&std::format!("{text}\n"))
                .unwrap()
                .to_string(),
            text
        );
    }

    #[test]
    fn what_is_no_boot_id_is_refused() {
        for text in [
            "",
            "2f6a3a62",
            "zz6a3a62-9a07-4d42-8c57-6b54bb4d05a1",
            &"0".repeat(33),
        ] {
            assert_eq!(BootId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_instance_survives_its_file() {
        let instance = Instance(0x00AB_CDEF_0123_4567);
        assert_eq!(Instance::parse(&instance.to_string()), Some(instance));
        assert_eq!(Instance::parse("+0abcdef01234567"), None);
        assert_eq!(instance.tag(), 0x67);
    }

    #[test]
    fn only_the_right_will_matches_its_hash() {
        let will = Will([7; 16]);
        assert_eq!(will.hash(), Will([7; 16]).hash());
        assert_ne!(will.hash(), Will([8; 16]).hash());
    }
}

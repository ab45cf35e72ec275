//! Reads and writes the primitives of the wire: bytes and little-endian base-128 varints, as
//! postcard encodes them, over borrowed slices.
//!
//! Heartbeats use these directly, because they are decoded a million times a second; everything
//! slower goes through postcard, which yields the same bytes for the same integers.

use serde::{Deserialize, Serialize};

/// Why bytes from the network were not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("empty frame")]
    Empty,
    /// More than [`crate::MAX_FRAME_LEN`] bytes.
    #[error("frame longer than allowed")]
    TooLong,
    /// A version this build does not read.
    #[error("unknown protocol version {0}")]
    UnknownVersion(u8),
    /// A class this build does not read, or one that does not belong on its topic.
    #[error("unknown frame class {0}")]
    UnknownClass(u8),
    /// A kind of message that a later version added; skipped and counted.
    #[error("unknown message kind {0}")]
    UnknownKind(u8),
    /// The bytes ended inside a value.
    #[error("truncated frame")]
    Truncated,
    /// A value outside its range.
    #[error("malformed frame")]
    Malformed,
    /// Bytes were left over after the message.
    #[error("trailing bytes after the message")]
    TrailingBytes,
}

/// Why a message could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The buffer, or [`crate::MAX_FRAME_LEN`], is too small for the message.
    #[error("message does not fit into the frame")]
    TooLong,
}

/// Takes values off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte holds one bit only.
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed)
    }
}

/// Appends values to a slice.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        *self.buffer.get_mut(self.len).ok_or(EncodeError::TooLong)? = byte;
        self.len += 1;
        Ok(())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let end = self
            .len
            .checked_add(bytes.len())
            .ok_or(EncodeError::TooLong)?;
        self.buffer
            .get_mut(self.len..end)
            .ok_or(EncodeError::TooLong)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(crate) fn varint(&mut self, mut value: u64) -> Result<(), EncodeError> {
        while value > 0x7F {
            self.byte((value & 0x7F) as u8 | 0x80)?;
            value >>= 7;
        }
        self.byte((value & 0x7F) as u8)
    }

    /// Appends a message in postcard's encoding.
    pub(crate) fn postcard(&mut self, message: &impl Serialize) -> Result<(), EncodeError> {
        let free = self
            .buffer
            .get_mut(self.len..)
            .ok_or(EncodeError::TooLong)?;
        let written = postcard::to_slice(message, free)
            .map_err(|_| EncodeError::TooLong)?
            .len();
        self.len += written;
        Ok(())
    }
}

/// Maps signed to unsigned so that small magnitudes stay short.
pub(crate) const fn zigzag(value: i32) -> u64 {
    ((value << 1) ^ (value >> 31)).cast_unsigned() as u64
}

/// The inverse of [`zigzag`]; `None` outside of 32 bits.
pub(crate) fn unzigzag(value: u64) -> Option<i32> {
    let value = u32::try_from(value).ok()?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Decodes a whole postcard message; anything left over is an error.
pub(crate) fn from_postcard<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(DecodeError::TrailingBytes),
        Err(postcard::Error::DeserializeUnexpectedEnd) => Err(DecodeError::Truncated),
        Err(_) => Err(DecodeError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_are_postcards(value: u64) {
            let mut ours = [0; 10];
            let mut theirs = [0; 10];
            let mut writer = Writer::new(&mut ours);
            writer.varint(value).unwrap();
            let len = writer.len();
            let theirs = postcard::to_slice(&value, &mut theirs).unwrap();
            prop_assert_eq!(&ours[..len], &*theirs);
            prop_assert_eq!(Reader::new(&ours).varint(), Ok(value));
        }

        #[test]
        fn zigzag_returns(value: i32) {
            prop_assert_eq!(unzigzag(zigzag(value)), Some(value));
        }
    }

    #[test]
    fn overlong_varints_are_malformed() {
        assert_eq!(
            Reader::new(&[0xFF; 11]).varint(),
            Err(DecodeError::Malformed)
        );
        assert_eq!(
            Reader::new(&[0x80; 3]).varint(),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn a_full_buffer_refuses_more() {
        let mut buffer = [0; 1];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(writer.varint(300), Err(EncodeError::TooLong));
    }
}

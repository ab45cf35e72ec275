//! One question to a container runtime, CRI v1's `RuntimeService/Version`, as bytes: gRPC in
//! HTTP/2 (RFC 9113) as far as a single short call needs it.
//!
//! [`request`] is everything that is sent unasked; [`Exchange`] takes what comes back, whatever
//! it is, and says what to send and when there is an answer. Headers are written as literals
//! and never read, so that no HPACK state exists: a call that failed is one without a message.
//! Pure; the socket is `runtime`'s.

use super::text::printable;

/// What the runtime calls itself, and its version, as it says them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) name: Box<str>,
    pub(super) version: Box<str>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CriError {
    /// Not HTTP/2, or not as it may be.
    #[error("the answer is no HTTP/2")]
    NoHttp2,
    /// More than a version needs.
    #[error("the answer is too long")]
    TooLong,
    /// The call was refused: most likely a containerd whose CRI plugin is off.
    #[error("the call was refused: is its CRI plugin off?")]
    NoMessage,
    /// The connection or the stream was ended.
    #[error("the call was cut off")]
    CutOff,
    /// Not the message that was asked for.
    #[error("the answer is no VersionResponse")]
    Malformed,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATH: &[u8] = b"/runtime.v1.RuntimeService/Version";

const HEADER_LEN: usize = 9;
/// No frame may be longer unless we had said so.
const FRAME_LEN_MAX: usize = 16_384;
/// Everything a runtime may say before and with its answer.
const BYTES_MAX: usize = 64 * 1024;
/// gRPC's flag of compression and length.
const GRPC_PREFIX_LEN: usize = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// Everything that is sent unasked: the preface, our settings and the call on stream 1.
pub(super) fn request() -> Vec<u8> {
    let mut headers = vec![
        0x83, // :method POST, 3 in HPACK's static table
        0x86, // :scheme http, 6
    ];
    // Literals that nobody is to index; the name is 4, 1, 31 of the table, or in full.
    literal(&mut headers, &[0x04], PATH);
    literal(&mut headers, &[0x01], b"localhost");
    literal(&mut headers, &[0x0F, 0x10], b"application/grpc");
    literal(&mut headers, b"\x00\x02te", b"trailers");
    literal(&mut headers, b"\x00\x0Cgrpc-timeout", b"1S");
    // VersionRequest { version: "0.1.0" }, kubelet's.
    let message = b"\x00\x00\x00\x00\x07\x0A\x050.1.0";
    let mut bytes = PREFACE.to_vec();
    // SETTINGS_ENABLE_PUSH = 0.
    frame(&mut bytes, (SETTINGS, 0, 0), &[0, 2, 0, 0, 0, 0]);
    frame(&mut bytes, (HEADERS, END_HEADERS, 1), &headers);
    frame(&mut bytes, (DATA, END_STREAM, 1), message);
    bytes
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.extend_from_slice(name);
    let len = u8::try_from(value.len()).expect("values are short constants");
    block.push(len);
    block.extend_from_slice(value);
}

fn frame(bytes: &mut Vec<u8>, (kind, flags, stream): (u8, u8, u32), payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("our frames are short");
    let [_, len @ ..] = len.to_be_bytes();
    bytes.extend_from_slice(&len);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// What has come back so far.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    unread: Vec<u8>,
    message: Vec<u8>,
    len: usize,
}

impl Exchange {
    /// Takes bytes; returns the answer once it is whole, and appends to `reply` what is to be
    /// sent.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        reply: &mut Vec<u8>,
    ) -> Result<Option<Answer>, CriError> {
        if bytes.is_empty() {
            return Err(CriError::CutOff);
        }
        self.len += bytes.len();
        if self.len > BYTES_MAX {
            return Err(CriError::TooLong);
        }
        self.unread.extend_from_slice(bytes);
        let unread = core::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        while let Some((header, payload, after)) = split(rest)? {
            rest = after;
            let is_over = self.frame(header, payload, reply)?;
            if let Some(message) = grpc_message(&self.message)? {
                return parse(message).map(Some).ok_or(CriError::Malformed);
            }
            if is_over {
                return Err(CriError::NoMessage);
            }
        }
        self.unread = rest.to_vec();
        Ok(None)
    }

    /// Takes one frame; says whether our stream is over.
    fn frame(
        &mut self,
        [kind, flags, stream @ ..]: [u8; 6],
        payload: &[u8],
        reply: &mut Vec<u8>,
    ) -> Result<bool, CriError> {
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        match (kind, stream) {
            (SETTINGS, 0) if flags & ACK == 0 => frame(reply, (SETTINGS, ACK, 0), &[]),
            (PING, 0) if flags & ACK == 0 => frame(reply, (PING, ACK, 0), payload),
            (GOAWAY, _) | (RST_STREAM, 1) => return Err(CriError::CutOff),
            (DATA, 1) => {
                let data = if flags & PADDED == 0 {
                    payload
                } else {
                    let (padding, data) = payload.split_first().ok_or(CriError::NoHttp2)?;
                    let len = data.len().checked_sub(usize::from(*padding));
                    data.get(..len.ok_or(CriError::NoHttp2)?)
                        .unwrap_or_default()
                };
                self.message.extend_from_slice(data);
                return Ok(flags & END_STREAM != 0);
            }
            (HEADERS, 1) => return Ok(flags & END_STREAM != 0),
            // CONTINUATION, WINDOW_UPDATE, and what is yet to be invented.
            _ => {}
        }
        Ok(false)
    }
}

/// The first frame's header without its length, its payload, and what follows.
type Split<'b> = Option<([u8; 6], &'b [u8], &'b [u8])>;

fn split(bytes: &[u8]) -> Result<Split<'_>, CriError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [a, b, c, header @ ..] = *header;
    let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if len > FRAME_LEN_MAX {
        return Err(CriError::NoHttp2);
    }
    Ok(rest
        .split_at_checked(len)
        .map(|(payload, after)| (header, payload, after)))
}

/// The message behind gRPC's prefix, once it is whole.
fn grpc_message(data: &[u8]) -> Result<Option<&[u8]>, CriError> {
    let Some(([compressed, len @ ..], message)) = data.split_first_chunk::<GRPC_PREFIX_LEN>()
    else {
        return Ok(None);
    };
    if *compressed != 0 {
        return Err(CriError::Malformed);
    }
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    if len > BYTES_MAX {
        return Err(CriError::TooLong);
    }
    Ok(message.get(..len))
}

/// `VersionResponse`: `runtime_name` is its second field and `runtime_version` its third.
fn parse(mut message: &[u8]) -> Option<Answer> {
    let (mut name, mut version) = (None, None);
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => {
                varint(&mut message)?;
            }
            1 => message = message.get(8..)?,
            2 => {
                let len = usize::try_from(varint(&mut message)?).ok()?;
                let (text, rest) = message.split_at_checked(len)?;
                message = rest;
                match key >> 3 {
                    2 => name = printable(text),
                    3 => version = printable(text),
                    _ => {}
                }
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(Answer {
        name: name?,
        version: version?,
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What containerd sends: its settings, a window, an acknowledgement, a ping, headers, the
    /// message, trailers.
    pub(crate) fn response(name: &str, version: &str) -> Vec<u8> {
        let mut message = Vec::new();
        for (key, text) in [(0x0A, "0.1.0"), (0x12, name), (0x1A, version), (0x22, "v1")] {
            message.push(key);
            message.push(u8::try_from(text.len()).unwrap());
            message.extend_from_slice(text.as_bytes());
        }
        let mut data = vec![0];
        data.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&message);
        let mut bytes = Vec::new();
        frame(&mut bytes, (SETTINGS, 0, 0), &[0, 5, 0, 0, 0x40, 0]);
        frame(&mut bytes, (8, 0, 0), &[0, 0, 0xFF, 0xFF]);
        frame(&mut bytes, (SETTINGS, ACK, 0), &[]);
        frame(&mut bytes, (PING, 0, 0), b"12345678");
        frame(&mut bytes, (HEADERS, END_HEADERS, 1), &[0x88]);
        frame(&mut bytes, (DATA, 0, 1), &data);
        frame(&mut bytes, (HEADERS, END_HEADERS | END_STREAM, 1), &[0x88]);
        bytes
    }

    fn take(bytes: &[u8]) -> Result<Option<Answer>, CriError> {
        Exchange::default().take(bytes, &mut Vec::new())
    }

    fn one(kind: (u8, u8, u32), payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(&mut bytes, kind, payload);
        bytes
    }

    #[test]
    fn the_request_is_three_frames_behind_the_preface() {
        let request = request();
        let mut rest = request.strip_prefix(PREFACE).unwrap();
        let mut kinds = Vec::new();
        while let Some((header, payload, after)) = split(rest).unwrap() {
            kinds.push((header, payload.len()));
            rest = after;
        }
        assert!(rest.is_empty());
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds[1].0, [HEADERS, END_HEADERS, 0, 0, 0, 1]);
        assert_eq!(kinds[2], ([DATA, END_STREAM, 0, 0, 0, 1], 12));
    }

    #[test]
    fn an_answer_is_taken_in_one_piece_or_byte_by_byte() {
        let bytes = response("containerd", "1.7.2");
        let mut reply = Vec::new();
        let answer = Exchange::default()
            .take(&bytes, &mut reply)
            .unwrap()
            .unwrap();
        assert_eq!((&*answer.name, &*answer.version), ("containerd", "1.7.2"));
        let mut expected = one((SETTINGS, ACK, 0), &[]);
        expected.extend(one((PING, ACK, 0), b"12345678"));
        assert_eq!(reply, expected);
        let mut exchange = Exchange::default();
        let pieces = bytes
            .iter()
            .find_map(|byte| exchange.take(&[*byte], &mut Vec::new()).unwrap());
        assert_eq!(pieces, Some(answer));
    }

    #[test]
    fn padding_is_no_part_of_the_message() {
        let plain = b"\x00\x00\x00\x00\x08\x12\x01a\x1A\x03b.c";
        let mut padded = vec![3];
        padded.extend_from_slice(plain);
        padded.extend_from_slice(&[0; 3]);
        let answer = take(&one((DATA, PADDED, 1), &padded)).unwrap().unwrap();
        assert_eq!((&*answer.name, &*answer.version), ("a", "b.c"));
        let too_much = one((DATA, PADDED, 1), &[9, 0]);
        assert_eq!(take(&too_much), Err(CriError::NoHttp2));
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let message = |text: &[u8]| {
            let len = u32::try_from(text.len()).unwrap().to_be_bytes();
            one((DATA, 0, 1), &[&[0], &len[..], text].concat())
        };
        for (bytes, expected) in [
            (Vec::new(), CriError::CutOff),
            (one((HEADERS, END_STREAM, 1), &[0x88]), CriError::NoMessage),
            (one((DATA, END_STREAM, 1), &[0, 0]), CriError::NoMessage),
            (one((RST_STREAM, 0, 1), &[0; 4]), CriError::CutOff),
            (one((GOAWAY, 0, 0), &[0; 8]), CriError::CutOff),
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
                CriError::NoHttp2,
            ),
            (one((DATA, 0, 1), &[1, 0, 0, 0, 0]), CriError::Malformed),
            (
                one((DATA, 0, 1), &[0, 255, 255, 255, 255]),
                CriError::TooLong,
            ),
            (message(b"\x12\x01a"), CriError::Malformed),
            (message(b"\x12\x09a"), CriError::Malformed),
            (message(b"\x12\x01\x07\x1A\x01b"), CriError::Malformed),
            (message(b"\x13"), CriError::Malformed),
            (vec![0; BYTES_MAX + 1], CriError::TooLong),
        ] {
            assert_eq!(take(&bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let fields = b"\x08\xAC\x02\x11........\x15....\x1A\x031.2\x12\x05cri-o\xFA\x01\x01x";
        let answer = parse(fields).unwrap();
        assert_eq!((&*answer.name, &*answer.version), ("cri-o", "1.2"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..8)
        ) {
            let mut exchange = Exchange::default();
            for piece in pieces {
                if exchange.take(&piece, &mut Vec::new()).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn a_broken_answer_is_an_answer_or_none(at in 0_usize..90, byte: u8, cut in 0_usize..120) {
            let mut bytes = response("containerd", "1.7.2");
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = take(&bytes);
            bytes.truncate(cut.max(1));
            let _ = take(&bytes);
        }
    }
}

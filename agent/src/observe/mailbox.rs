//! Words of the Raspberry Pi firmware's mailbox: the question `get_throttled` and its answer
//! (raspberrypi/utils vcgencmd; linux drivers/char/broadcom/vcio.c).
//!
//! Pure: `sys` carries the message over. What the firmware keeps there nobody else clears.

use super::text::{Flaw, hexadecimal};

/// What a command and an answer have room for, in words of four bytes.
const TEXT_WORDS: usize = 256;
/// Size, status, tag, size of the value, of the answer, error; the text; the end.
const MESSAGE_WORDS: usize = 6 + TEXT_WORDS + 1;
/// `GET_GENCMD_RESULT`.
const TAG: u32 = 0x0003_0080;
const ERROR: usize = 5;
const TEXT: usize = 6;

/// A message, which the firmware turns into its answer.
pub(super) type Message = [u32; MESSAGE_WORDS];

/// Asks what vcgencmd asks.
pub(super) fn question() -> Message {
    const COMMAND: &[u8] = b"get_throttled\0\0\0";
    /// Four to a word.
    const MESSAGE_BYTES: u32 = 1052;
    const TEXT_BYTES: u32 = 1024;
    let mut message = [0; MESSAGE_WORDS];
    let header = [MESSAGE_BYTES, 0, TAG, TEXT_BYTES];
    let (words, _) = COMMAND.as_chunks();
    let text = words.iter().map(|word| u32::from_ne_bytes(*word));
    for (place, word) in message.iter_mut().zip(header) {
        *place = word;
    }
    for (place, word) in message.iter_mut().skip(TEXT).zip(text) {
        *place = word;
    }
    message
}

/// `throttled=0x50005`, ended by NUL.
pub(super) fn answer(message: &Message) -> Result<u32, Flaw> {
    let flaw = Flaw::new(1, "expected throttled=0x and hexadecimal digits");
    if message.get(ERROR) != Some(&0) {
        return Err(Flaw::new(1, "the firmware does not know the question"));
    }
    let text = message
        .iter()
        .skip(TEXT)
        .flat_map(|word| word.to_ne_bytes());
    let text: Vec<u8> = text.take_while(|byte| *byte != 0).collect();
    let digits = text.trim_ascii().strip_prefix(b"throttled=0x");
    digits.and_then(hexadecimal).ok_or(flaw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(message: &Message) -> Vec<u8> {
        message.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn the_question_is_the_one_that_vcgencmd_asks() {
        let bytes = bytes(&question());
        assert_eq!((bytes.len(), 4 * TEXT_WORDS), (1052, 1024));
        let header = [
            0x1c, 0x04, 0, 0, // 1052 bytes
            0, 0, 0, 0, // a request
            0x80, 0x00, 0x03, 0, // GET_GENCMD_RESULT
            0x00, 0x04, 0, 0, // room for 1024 bytes
            0, 0, 0, 0, // no answer yet
            0, 0, 0, 0, // no error yet
        ];
        assert_eq!(bytes[..24], header);
        assert_eq!(&bytes[24..37], b"get_throttled");
        assert!(bytes[37..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_no_answer_fails() {
        let with = |text: &[u8], error| {
            let mut message = question();
            message[ERROR] = error;
            for (place, word) in message[TEXT..].iter_mut().zip(text.chunks(4)) {
                let mut padded = [0; 4];
                padded[..word.len()].copy_from_slice(word);
                *place = u32::from_ne_bytes(padded);
            }
            answer(&message)
        };
        assert_eq!(with(b"throttled=0x50005\0\0\0", 0), Ok(0x50005));
        assert_eq!(with(b"throttled=0x0\n\0\0", 0), Ok(0));
        for (text, error) in [
            (b"throttled=0x0\0\0\0".as_slice(), 1),
            (b"error=1 error_msg=\"Command not registered\"\0", 0),
            (b"throttled=50005\0", 0),
            (b"throttled=0x100000000\0\0\0", 0),
            (b"throttled=0x\0\0\0\0", 0),
            (b"\0\0\0\0", 0),
        ] {
            assert!(with(text, error).is_err(), "{text:?}");
        }
        // The question, unanswered.
        assert!(answer(&question()).is_err());
    }
}

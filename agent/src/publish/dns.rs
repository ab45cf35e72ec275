//! Multicast DNS messages (RFC 1035, 6762, 6763): writes questions, reads answers.
//!
//! Anybody in the network may have written what is read here. Whatever the bytes, reading ends:
//! a pointer only leads to what stands before the name that holds it, and names and records are
//! counted. A message with one flaw is refused as a whole.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Names and their labels are no longer (RFC 1035, 3.1).
const NAME_LEN_MAX: usize = 255;
const LABEL_LEN_MAX: usize = 63;
/// More than the answers of any one responder.
const RECORDS_MAX: usize = 64;
const HEADER_LEN: usize = 12;

const CLASS_IN: u16 = 1;
/// Multicast DNS marks with it that a record replaces others (RFC 6762, 10.2).
const CACHE_FLUSH: u16 = 0x8000;
/// The answer bit and the four of the opcode, which must be zero.
const ANSWER_OF_QUERY: u16 = 0x8000;
const ANSWER_AND_OPCODE: u16 = 0xF800;

/// A domain name in lower case, so that comparing ignores case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Vec<Box<[u8]>>);

impl Name {
    /// Reads a name with dots between its labels.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut name = Self(Vec::new());
        for label in text.split('.') {
            name.push(label.as_bytes())?;
        }
        Some(name)
    }

    /// Whether multicast DNS is to be asked for it.
    pub fn is_local(&self) -> bool {
        self.0.len() > 1 && self.0.last().is_some_and(|label| **label == *b"local")
    }

    /// As a host's name, unless there are characters in it that no host has.
    pub fn host(&self) -> Option<String> {
        let mut labels = self.0.iter();
        let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        labels
            .all(|label| label.iter().all(is_fit))
            .then(|| self.to_string())
    }

    /// Adds a label at the end, unless it is or makes the name too long.
    fn push(&mut self, label: &[u8]) -> Option<()> {
        let len = self.0.iter().map(|label| label.len() + 1).sum::<usize>() + 1;
        let is_fit = (1..=LABEL_LEN_MAX).contains(&label.len());
        (is_fit && len + label.len() < NAME_LEN_MAX)
            .then(|| self.0.push(label.to_ascii_lowercase().into()))
    }

    fn write(&self, message: &mut Vec<u8>) {
        for label in &self.0 {
            message.push(u8::try_from(label.len()).unwrap_or_default());
            message.extend_from_slice(label);
        }
        message.push(0);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, label) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(".")?;
            }
            let text = String::from_utf8_lossy(label);
            let mut shown = text.chars().map(|c| if c.is_control() { '?' } else { c });
            shown.try_for_each(|c| write!(f, "{c}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses of a host.
    A,
    /// Instances of a service.
    Ptr,
    /// IPv6 addresses of a host.
    Aaaa,
    /// Host and port of an instance.
    Srv,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ptr => 12,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// About what.
    pub name: Name,
    /// What of it.
    pub kind: Kind,
}

/// A record that somebody answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// About what.
    pub name: Name,
    /// What holds of it.
    pub fact: Fact,
}

/// The records that we understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An address of a host.
    V4(Ipv4Addr),
    /// An address of a host.
    V6(Ipv6Addr),
    /// An instance of a service.
    Instance(Name),
    /// Where an instance of a service is.
    Server {
        /// Lower ones first.
        priority: u16,
        /// Among equal priorities higher ones first.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        host: Name,
    },
}

/// The message is none, or none for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer to a question of ours")]
pub struct Malformed;

/// A message that asks.
pub fn ask(id: u16, questions: &[Question]) -> Vec<u8> {
    let count = u16::try_from(questions.len()).unwrap_or(u16::MAX);
    let mut message = Vec::with_capacity(64);
    for number in [id, 0, count, 0, 0, 0] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    for question in questions.iter().take(usize::from(count)) {
        question.name.write(&mut message);
        message.extend_from_slice(&question.kind.number().to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
    }
    message
}

/// The records of an answer to the question with this id. What is being taken back (its time to
/// live is 0) and what we do not understand is left out.
pub fn records(message: &[u8], id: u16) -> Result<Vec<Record>, Malformed> {
    read(message, id).ok_or(Malformed)
}

fn read(message: &[u8], id: u16) -> Option<Vec<Record>> {
    let mut reader = Reader { message, at: 0 };
    let is_ours = reader.number()? == id;
    let is_answer = reader.number()? & ANSWER_AND_OPCODE == ANSWER_OF_QUERY;
    let questions = reader.number()?;
    let mut count = 0;
    for _ in 0..3 {
        count += usize::from(reader.number()?);
    }
    if !is_ours || !is_answer || count + usize::from(questions) > RECORDS_MAX {
        return None;
    }
    for _ in 0..questions {
        reader.name()?;
        reader.take(4)?;
    }
    let mut records = Vec::new();
    for _ in 0..count {
        reader.record(&mut records)?;
    }
    Some(records)
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, len: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(len)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn name(&mut self) -> Option<Name> {
        let mut name = Name(Vec::new());
        let mut part = Self { ..*self };
        // Where the part begins that is being read: a pointer must lead before it.
        let mut begin = self.at.max(HEADER_LEN);
        let mut after = None;
        loop {
            let &[len] = part.take(1)?.first_chunk()?;
            match len >> 6 {
                0 if len == 0 => break,
                0 => name.push(part.take(usize::from(len))?)?,
                3 => {
                    let &[low] = part.take(1)?.first_chunk()?;
                    let to = usize::from(u16::from_be_bytes([len & 0x3F, low]));
                    after.get_or_insert(part.at);
                    if !(HEADER_LEN..begin).contains(&to) {
                        return None;
                    }
                    begin = to;
                    part.at = to;
                }
                _ => return None,
            }
        }
        self.at = after.unwrap_or(part.at);
        Some(name)
    }

    /// Reads a record, and adds it if it is for us.
    fn record(&mut self, records: &mut Vec<Record>) -> Option<()> {
        let name = self.name()?;
        let kind = self.number()?;
        let class = self.number()? & !CACHE_FLUSH;
        let is_taken_back = self.take(4)?.iter().all(|byte| *byte == 0);
        let len = usize::from(self.number()?);
        let begin = self.at;
        let bytes = self.take(len)?;
        if class != CLASS_IN || is_taken_back {
            return Some(());
        }
        let mut within = Reader {
            message: self.message.get(..self.at)?,
            at: begin,
        };
        let fact = if kind == Kind::A.number() {
            Fact::V4(<[u8; 4]>::try_from(bytes).ok()?.into())
        } else if kind == Kind::Aaaa.number() {
            Fact::V6(<[u8; 16]>::try_from(bytes).ok()?.into())
        } else if kind == Kind::Ptr.number() {
            Fact::Instance(within.last_name()?)
        } else if kind == Kind::Srv.number() {
            Fact::Server {
                priority: within.number()?,
                weight: within.number()?,
                port: within.number()?,
                host: within.last_name()?,
            }
        } else {
            return Some(());
        };
        records.push(Record { name, fact });
        Some(())
    }

    /// A name after which nothing stands.
    fn last_name(&mut self) -> Option<Name> {
        let name = self.name()?;
        (self.at == self.message.len()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// Header of an answer with id 7, one record.
    fn answer(record: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 7, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(record);
        message
    }

    #[test]
    fn a_question_is_the_bytes_of_the_specification() {
        let question = Question {
            name: name("Attic.local."),
            kind: Kind::Aaaa,
        };
        let expected = b"\x01\x02\0\0\0\x01\0\0\0\0\0\0\x05attic\x05local\0\0\x1c\0\x01";
        assert_eq!(ask(0x0102, &[question]), expected);
    }

    #[test]
    fn addresses_are_read_whatever_the_case_of_the_name() {
        let message = answer(b"\x05ATTIC\x05local\0\0\x01\x80\x01\0\0\0\x78\0\x04\xc0\xa8\x01\x02");
        let expected = Record {
            name: name("attic.local"),
            fact: Fact::V4(Ipv4Addr::new(192, 168, 1, 2)),
        };
        assert_eq!(records(&message, 7), Ok(vec![expected]));
        assert_eq!(records(&message, 8), Err(Malformed), "another's answer");
    }

    #[test]
    fn names_are_followed_to_where_they_point() {
        // The host's name is that of the record, by a pointer to byte 12.
        let message = answer(
            b"\x01a\x05local\0\0\x21\x80\x01\0\0\0\x78\0\x0a\0\x01\0\x02\x07\x5b\x01b\xc0\x0c",
        );
        let server = Fact::Server {
            priority: 1,
            weight: 2,
            port: 1883,
            host: name("b.a.local"),
        };
        assert_eq!(records(&message, 7).unwrap()[0].fact, server);
    }

    #[test]
    fn a_pointer_that_leads_to_itself_or_ahead_is_refused() {
        for pointer in [0x0c_u8, 0x0d, 0x0e, 0x20, 0x00] {
            let record = [0xc0, pointer, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4];
            assert_eq!(records(&answer(&record), 7), Err(Malformed), "{pointer}");
        }
        // Two that lead to each other.
        let record = b"\x01a\xc0\x10\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\x04\x01\x02\x03\x04";
        assert_eq!(records(&answer(record), 7), Err(Malformed));
    }

    #[test]
    fn what_is_taken_back_and_what_is_unknown_is_left_out() {
        let gone = answer(b"\x01a\0\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04");
        assert_eq!(records(&gone, 7), Ok(Vec::new()));
        let text = answer(b"\x01a\0\0\x10\0\x01\0\0\0\x09\0\x02\x01x");
        assert_eq!(records(&text, 7), Ok(Vec::new()));
    }

    #[test]
    fn questions_and_cut_messages_are_no_answers() {
        let asked = ask(7, &[]);
        assert_eq!(records(&asked, 7), Err(Malformed));
        let whole = answer(b"\x01a\0\0\x01\0\x01\0\0\0\x09\0\x04\x01\x02\x03\x04");
        assert_eq!(records(&whole, 7).unwrap().len(), 1);
        for len in 0..whole.len() {
            assert_eq!(records(&whole[..len], 7), Err(Malformed), "{len}");
        }
    }

    #[test]
    fn only_plain_names_are_hosts() {
        assert_eq!(
            name("Attic-2.local").host().as_deref(),
            Some("attic-2.local")
        );
        assert_eq!(name("the attic.local").host(), None);
        assert!(name("a.LOCAL").is_local() && !name("local").is_local());
        assert!(!name("a.local.example").is_local());
        let far = format!("{}.local", "a".repeat(64));
        assert_eq!(Name::parse(&far), None);
        assert_eq!(Name::parse("a..local"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = records(&bytes, 7);
        }

        #[test]
        fn any_bytes_behind_a_fitting_header_are_read_or_refused(
            count in 0_u8..70,
            // Few values, so that labels, pointers and kinds come about.
            bytes in prop::collection::vec(
                prop_oneof![Just(0_u8), Just(1), Just(4), Just(12), Just(0xc0), 0_u8..80], 0..400,
            ),
        ) {
            let mut message = vec![0, 7, 0x84, 0, 0, 0, 0, count, 0, 0, 0, 0];
            message.extend(bytes);
            if let Ok(records) = records(&message, 7) {
                prop_assert!(records.len() <= usize::from(count));
            }
        }

        #[test]
        fn an_asked_name_is_read_as_it_was_written(
            labels in prop::collection::vec("[a-z0-9 é-]{1,20}", 1..6),
        ) {
            let written = Name(labels.iter().map(|label| label.as_bytes().into()).collect());
            let mut message = vec![0; HEADER_LEN];
            written.write(&mut message);
            let mut reader = Reader { message: &message, at: HEADER_LEN };
            prop_assert_eq!(reader.last_name(), Some(written));
        }
    }
}

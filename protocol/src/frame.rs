//! The frame: what is the payload of one MQTT message.
//!
//! `[version:4 | class:4] [session u8] [sequence varint] [body]`. The class says how the body is
//! protected. Until sessions are sealed, the class [`Class::Clear`] carries the same messages
//! behind an instance tag, so that two agents with one name are told apart.

use serde::{Deserialize, Serialize};

use crate::command::{Announce, Bye, Down};
use crate::detail::Detail;
use crate::facts::Facts;
use crate::heartbeat::Heartbeat;
use crate::session::Will;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use crate::{MAX_FRAME_LEN, VERSION, VERSION_OLDEST};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[$item_doc])* $item = $value,)* }

        impl $name {
            const fn from_wire(value: u8) -> Option<Self> {
                match value {
                    $($value => Some(Self::$item),)*
                    _ => None,
                }
            }
        }
    };
}

wire_enum! {
    /// How a body is protected, four bits.
    Class {
        /// Opens a sealed session.
        Hello = 0,
        /// Answers a hello.
        Welcome = 1,
        /// A sealed message.
        Sealed = 2,
        /// A will's random bytes.
        Will = 3,
        /// The gateway's announcement.
        Announce = 4,
        /// An unsealed message.
        Clear = 15,
    }
}

wire_enum! {
    /// What a message is.
    Kind {
        /// [`Heartbeat`].
        Heartbeat = 1,
        /// [`Facts`].
        Facts = 2,
        /// [`Bye`].
        Bye = 3,
        /// [`Down`].
        Down = 4,
        /// [`Detail`].
        Detail = 5,
        /// A chunk of something larger.
        Blob = 6,
    }
}

/// A frame taken apart as far as it can be without looking into the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// How the body is protected.
    pub class: Class,
    /// Which of the agent's sessions.
    pub session: u8,
    /// Counts the frames of a session.
    pub sequence: u64,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a payload apart.
    pub fn parse(payload: &'a [u8]) -> Result<Self, DecodeError> {
        if payload.len() > MAX_FRAME_LEN {
            return Err(DecodeError::TooLong);
        }
        let mut reader = Reader::new(payload);
        let first = reader.byte().map_err(|_| DecodeError::Empty)?;
        let version = first >> 4;
        if !(VERSION_OLDEST..=VERSION).contains(&version) {
            return Err(DecodeError::UnknownVersion(version));
        }
        let class = Class::from_wire(first & 0xF).ok_or(DecodeError::UnknownClass(first & 0xF))?;
        let session = reader.byte()?;
        let sequence = reader.varint()?;
        Ok(Self {
            class,
            session,
            sequence,
            body: reader.rest(),
        })
    }

    /// The clear message in this frame.
    pub fn clear(&self) -> Result<Clear<'a>, DecodeError> {
        if self.class != Class::Clear {
            return Err(DecodeError::UnknownClass(self.class as u8));
        }
        let mut reader = Reader::new(self.body);
        let tag = reader.byte()?;
        let kind = reader.byte()?;
        let kind = Kind::from_wire(kind).ok_or(DecodeError::UnknownKind(kind))?;
        Ok(Clear {
            tag,
            kind,
            message: reader.rest(),
        })
    }

    /// The will in this frame.
    pub fn will(&self) -> Result<Will, DecodeError> {
        if self.class != Class::Will {
            return Err(DecodeError::UnknownClass(self.class as u8));
        }
        self.body
            .try_into()
            .map(Will)
            .map_err(|_| DecodeError::Malformed)
    }

    /// The announcement in this frame.
    pub fn announce(&self) -> Result<Announce, DecodeError> {
        if self.class != Class::Announce {
            return Err(DecodeError::UnknownClass(self.class as u8));
        }
        Announce::decode(self.body)
    }
}

/// An unsealed body taken apart; `message` is decoded by the type that `kind` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clear<'a> {
    /// [`crate::Instance::tag`] of whoever the session belongs to.
    pub tag: u8,
    /// What the message is.
    pub kind: Kind,
    /// The message's bytes.
    pub message: &'a [u8],
}

/// Where a clear frame stands: whose it is and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// [`crate::Instance::tag`] of whoever the session belongs to.
    pub tag: u8,
    /// Which of the agent's sessions.
    pub session: u8,
    /// Counts the frames of a session.
    pub sequence: u64,
}

/// A message to be written; the large ones by reference.
#[derive(Clone, Copy, Debug)]
pub enum Message<'m, 'a> {
    /// Kind heartbeat.
    Heartbeat(&'m Heartbeat<'a>),
    /// Kind facts.
    Facts(&'m Facts<'a>),
    /// Kind bye.
    Bye(Bye),
    /// Kind down.
    Down(Down),
    /// Kind detail.
    Detail(&'m Detail<'a>),
}

impl Message<'_, '_> {
    /// What the message is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Heartbeat(_) => Kind::Heartbeat,
            Self::Facts(_) => Kind::Facts,
            Self::Bye(_) => Kind::Bye,
            Self::Down(_) => Kind::Down,
            Self::Detail(_) => Kind::Detail,
        }
    }
}

/// Writes a clear frame and returns its length.
pub fn encode_clear(
    buffer: &mut [u8],
    position: Position,
    message: Message<'_, '_>,
) -> Result<usize, EncodeError> {
    let mut writer = bounded(buffer);
    header(
        &mut writer,
        Class::Clear,
        position.session,
        position.sequence,
    )?;
    writer.byte(position.tag)?;
    writer.byte(message.kind() as u8)?;
    match message {
        Message::Heartbeat(heartbeat) => heartbeat.encode(&mut writer)?,
        Message::Facts(facts) => writer.postcard(facts)?,
        Message::Bye(bye) => writer.postcard(&bye)?,
        Message::Down(down) => writer.postcard(&down)?,
        Message::Detail(detail) => writer.postcard(detail)?,
    }
    Ok(writer.len())
}

/// Writes the frame that a broker is to publish when the connection breaks.
pub fn encode_will(buffer: &mut [u8], will: &Will) -> Result<usize, EncodeError> {
    let mut writer = bounded(buffer);
    header(&mut writer, Class::Will, 0, 0)?;
    writer.bytes(&will.0)?;
    Ok(writer.len())
}

/// Writes the gateway's announcement.
pub fn encode_announce(buffer: &mut [u8], announce: &Announce) -> Result<usize, EncodeError> {
    let mut writer = bounded(buffer);
    header(&mut writer, Class::Announce, 0, 0)?;
    writer.postcard(announce)?;
    Ok(writer.len())
}

fn bounded(buffer: &mut [u8]) -> Writer<'_> {
    let len = buffer.len().min(MAX_FRAME_LEN);
    Writer::new(buffer.get_mut(..len).unwrap_or_default())
}

fn header(
    writer: &mut Writer<'_>,
    class: Class,
    session: u8,
    sequence: u64,
) -> Result<(), EncodeError> {
    writer.byte(VERSION << 4 | class as u8)?;
    writer.byte(session)?;
    writer.varint(sequence)
}

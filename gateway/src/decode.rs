//! Turns the topic and payload of one MQTT message into a node's name and its report.
//!
//! Any bytes end in a report or in a [`Reject`], a closed and countable enum that holds nothing
//! from the network. The frame is opened but not believed: order, identity and freshness are
//! the roster's.

use nodling_protocol::frame::Position;
use nodling_protocol::topic::ROOT;
use nodling_protocol::{
    Bye, Clear, DecodeError, Detail, Facts, Fleet, Frame, Heartbeat, Kind, NodeName, Topic, Will,
};

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// A class that has no business on its topic.
    #[error("frame class does not belong on this topic")]
    Class,
    /// No bytes.
    #[error("empty frame")]
    Empty,
    /// A kind of message that a later version added, or that only a gateway sends.
    #[error("unknown kind of message")]
    Kind,
    /// A value outside its range.
    #[error("malformed frame")]
    Malformed,
    /// The Facts are another node's than the topic says.
    #[error("facts name another node than the topic")]
    NodeMismatch,
    /// The topic's last level is no node name.
    #[error("topic holds no valid node name")]
    NodeName,
    /// The broker kept it: nobody knows since when.
    #[error("retained message")]
    Retained,
    /// More bytes than a frame may have.
    #[error("frame longer than allowed")]
    TooLong,
    /// A topic that is none of the fleet's that agents publish on.
    #[error("topic is not one that agents publish on")]
    Topic,
    /// Bytes after the message.
    #[error("trailing bytes after the message")]
    Trailing,
    /// The bytes end inside a value.
    #[error("truncated frame")]
    Truncated,
    /// A protocol version that this gateway does not read.
    #[error("unknown protocol version")]
    Version,
}

/// What one frame says.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "heartbeats are nearly all of the reports and must not allocate"
)]
pub enum Report<'a> {
    /// The state of a board.
    Heartbeat(Position, Heartbeat<'a>),
    /// What a board is; `message` is its bytes, for keeping.
    Facts {
        /// Whose, and which.
        position: Position,
        /// Decoded.
        facts: Box<Facts<'a>>,
        /// As it came.
        message: &'a [u8],
    },
    /// Counters for whoever watches closely; `message` is its bytes, for keeping.
    Detail {
        /// Whose, and which.
        position: Position,
        /// Decoded.
        detail: Box<Detail<'a>>,
        /// As it came.
        message: &'a [u8],
    },
    /// A goodbye.
    Bye(Position, Bye),
    /// The broker says that a connection broke.
    Will(Will),
}

/// Opens a message that arrived on a topic of the fleet.
pub fn decode<'a>(
    fleet: Fleet<'_>,
    topic: &'a str,
    payload: &'a [u8],
    is_retained: bool,
) -> Result<(NodeName<'a>, Report<'a>), Reject> {
    let topic = Topic::parse(fleet, topic).ok_or_else(|| unknown_topic(fleet, topic))?;
    if is_retained {
        return Err(Reject::Retained);
    }
    match topic {
        Topic::Up(node) => {
            let report = decode_up(payload)?;
            if let Report::Facts { facts, .. } = &report
                && facts.node != node.as_str()
            {
                return Err(Reject::NodeMismatch);
            }
            Ok((node, report))
        }
        Topic::Will(node) => {
            let will = Frame::parse(payload)?.will()?;
            Ok((node, Report::Will(will)))
        }
        Topic::Down(_) | Topic::Gateway => Err(Reject::Topic),
    }
}

fn decode_up(payload: &[u8]) -> Result<Report<'_>, Reject> {
    let frame = Frame::parse(payload)?;
    let Clear { tag, kind, message } = frame.clear()?;
    let position = Position {
        tag,
        session: frame.session,
        sequence: frame.sequence,
    };
    match kind {
        Kind::Heartbeat => Ok(Report::Heartbeat(position, Heartbeat::decode(message)?)),
        Kind::Facts => Ok(Report::Facts {
            position,
            facts: Box::new(Facts::decode(message)?),
            message,
        }),
        Kind::Detail => Ok(Report::Detail {
            position,
            detail: Box::new(Detail::decode(message)?),
            message,
        }),
        Kind::Bye => Ok(Report::Bye(position, Bye::decode(message)?)),
        Kind::Down | Kind::Blob => Err(Reject::Kind),
    }
}

fn unknown_topic(fleet: Fleet<'_>, topic: &str) -> Reject {
    let mut levels = topic.splitn(4, '/');
    let is_ours = levels.next() == Some(ROOT)
        && levels.next() == Some(fleet.as_str())
        && matches!(levels.next(), Some("up" | "will"));
    if is_ours {
        Reject::NodeName
    } else {
        Reject::Topic
    }
}

impl From<DecodeError> for Reject {
    fn from(err: DecodeError) -> Self {
        match err {
            DecodeError::Empty => Self::Empty,
            DecodeError::TooLong => Self::TooLong,
            DecodeError::UnknownVersion(_) => Self::Version,
            DecodeError::UnknownClass(_) => Self::Class,
            DecodeError::UnknownKind(_) => Self::Kind,
            DecodeError::Truncated => Self::Truncated,
            DecodeError::Malformed => Self::Malformed,
            DecodeError::TrailingBytes => Self::Trailing,
        }
    }
}

impl Reject {
    /// Every reason, in the order of its number: what is counted has a place for each.
    pub const ALL: [Self; 12] = [
        Self::Class,
        Self::Empty,
        Self::Kind,
        Self::Malformed,
        Self::NodeMismatch,
        Self::NodeName,
        Self::Retained,
        Self::TooLong,
        Self::Topic,
        Self::Trailing,
        Self::Truncated,
        Self::Version,
    ];

    /// As a metric's label has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Empty => "empty",
            Self::Kind => "kind",
            Self::Malformed => "malformed",
            Self::NodeMismatch => "node_mismatch",
            Self::NodeName => "node_name",
            Self::Retained => "retained",
            Self::TooLong => "too_long",
            Self::Topic => "topic",
            Self::Trailing => "trailing",
            Self::Truncated => "truncated",
            Self::Version => "version",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nodling_protocol::frame::{Message, encode_clear, encode_will};
    use nodling_protocol::{MAX_FRAME_LEN, Statuses, Vitals};
    use proptest::prelude::*;

    const POSITION: Position = Position {
        tag: 9,
        session: 1,
        sequence: 300,
    };

    fn home() -> Fleet<'static> {
        Fleet::parse("home").unwrap()
    }

    fn beat() -> Heartbeat<'static> {
        Heartbeat {
            uptime: nodling_protocol::units::Uptime(5),
            generation: 0,
            conditions: Statuses::default(),
            custom: Statuses::default(),
            vitals: Vitals::default(),
            failed: 0,
            readings: nodling_protocol::heartbeat::Readings::default(),
            unknown_tags: 0,
        }
    }

    fn frame(message: Message<'_, '_>) -> Vec<u8> {
        let mut buffer = [0; MAX_FRAME_LEN];
        let len = encode_clear(&mut buffer, POSITION, message).unwrap();
        buffer[..len].to_vec()
    }

    fn reject(topic: &str, payload: &[u8]) -> Reject {
        decode(home(), topic, payload, false).unwrap_err()
    }

    #[test]
    fn a_heartbeat_comes_with_its_node_and_position() {
        let frame = frame(Message::Heartbeat(&beat()));
        let (node, report) = decode(home(), "nodling/home/up/attic", &frame, false).unwrap();
        assert_eq!(node.as_str(), "attic");
        assert_eq!(report, Report::Heartbeat(POSITION, beat()));
    }

    #[test]
    fn a_will_comes_only_on_its_own_topic() {
        let mut buffer = [0; 64];
        let will = Will([3; 16]);
        let len = encode_will(&mut buffer, &will).unwrap();
        let (_, report) = decode(home(), "nodling/home/will/attic", &buffer[..len], false).unwrap();
        assert_eq!(report, Report::Will(will));
        assert_eq!(
            reject("nodling/home/up/attic", &buffer[..len]),
            Reject::Class
        );
        let beat = frame(Message::Heartbeat(&beat()));
        assert_eq!(reject("nodling/home/will/attic", &beat), Reject::Class);
    }

    #[test]
    fn every_kind_of_bad_message_has_its_own_reason() {
        let good = frame(Message::Heartbeat(&beat()));
        let up = "nodling/home/up/attic";
        assert_eq!(reject("nodling/other/up/attic", &good), Reject::Topic);
        assert_eq!(reject("nodling/home/down/attic", &good), Reject::Topic);
        assert_eq!(reject("nodling/home/gateway", &good), Reject::Topic);
        assert_eq!(reject("nodling/home/up/Attic", &good), Reject::NodeName);
        assert_eq!(reject("nodling/home/up/a/b", &good), Reject::NodeName);
        assert_eq!(reject(up, &[]), Reject::Empty);
        assert_eq!(reject(up, &[0; MAX_FRAME_LEN + 1]), Reject::TooLong);
        assert_eq!(reject(up, &[0xFF, 0, 0, 0, 1]), Reject::Version);
        assert_eq!(reject(up, &[0x17, 0, 0, 0, 1]), Reject::Class);
        assert_eq!(reject(up, &[0x1F, 0, 0, 0, 99]), Reject::Kind);
        assert_eq!(reject(up, &good[..good.len() - 1]), Reject::Truncated);
        assert_eq!(reject(up, &[0x1F, 0, 0, 0, 3, 77]), Reject::Malformed);
        assert_eq!(reject(up, &[0x1F, 0, 0, 0, 3, 0, 0]), Reject::Trailing);
        assert_eq!(
            reject(up, &frame(Message::Down(nodling_protocol::Down::SendFacts))),
            Reject::Kind
        );
    }

    #[test]
    fn a_retained_message_is_refused_before_it_is_read() {
        let payload = vec![0; 10_000_000];
        let result = decode(home(), "nodling/home/up/attic", &payload, true);
        assert_eq!(result, Err(Reject::Retained));
    }

    #[test]
    fn reasons_are_counted_by_number() {
        for (index, reject) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reject as usize, index, "{}", reject.as_str());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_report_or_a_reject(payload: Vec<u8>, is_retained: bool) {
            for topic in ["nodling/home/up/attic", "nodling/home/will/attic"] {
                let _ = decode(home(), topic, &payload, is_retained);
            }
        }

        #[test]
        fn any_clear_body_ends_in_a_report_or_a_reject(kind in 1_u8..8, body: Vec<u8>) {
            let mut payload = vec![0x1F, 0, 0, 0, kind];
            payload.extend(body);
            let _ = decode(home(), "nodling/home/up/attic", &payload, false);
        }

        #[test]
        fn any_topic_ends_in_a_report_or_a_reject(topic in "\\PC{0,80}") {
            let _ = decode(home(), &topic, &[0x1F, 0, 0, 0, 3, 0], false);
        }
    }
}

//! Stage 4: hands the newest frame of each kind to the MQTT session.
//!
//! [`Outbox`] is the state that flows to the session: one slot per kind, so that an unsent older
//! frame is replaced, never queued. [`Notice`]s flow back. A frame belongs to the connection it
//! was made for and is dropped with it; nothing is kept while disconnected.

pub mod backoff;
pub mod broker;
pub mod tls;
pub mod dns;
pub mod search;
pub mod multicast;
pub mod trouble;
pub mod locate;
pub mod mqtt;

use std::path::PathBuf;
use std::time::Duration;

use nodling_protocol::WillHash;

use trouble::Trouble;

/// The part of the configuration that says how the broker is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Certificates that the broker's must descend from; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, with the chain up to what the broker knows.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// A kind of frame, in the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Facts that begin a session: nothing of the session may come before them.
    Opening,
    /// The last frame; what is not yet sent behind it never will be.
    Bye,
    /// Facts within a session.
    Facts,
    /// The newest heartbeat.
    Heartbeat,
    /// The newest detail.
    Detail,
}

impl Slot {
    const COUNT: usize = 5;

    const fn index(self) -> usize {
        self as usize
    }
}

/// The newest frame of each kind.
#[derive(Clone, Debug)]
pub struct Outbox {
    connection: u64,
    number: u64,
    frames: [Option<(u64, Box<[u8]>)>; Slot::COUNT],
    interval: Duration,
    is_closing: bool,
}

impl Outbox {
    /// Nothing to send.
    pub fn new(interval: Duration) -> Self {
        Self {
            connection: 0,
            number: 0,
            frames: [const { None }; Slot::COUNT],
            interval,
            is_closing: false,
        }
    }

    /// Drops what was meant for another connection.
    pub fn connect(&mut self, connection: u64) {
        self.connection = connection;
        self.frames = [const { None }; Slot::COUNT];
    }

    /// Replaces the frame of a kind. Opening drops the earlier session's frames.
    pub fn put(&mut self, slot: Slot, frame: &[u8]) {
        if slot == Slot::Opening {
            self.frames = [const { None }; Slot::COUNT];
        }
        self.number += 1;
        if let Some(place) = self.frames.get_mut(slot.index()) {
            *place = Some((self.number, frame.into()));
        }
    }

    /// Tells the session how often beats come, which decides how a dead path is noticed.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Says goodbye, if there is somebody to say it to, and asks the session to end.
    pub fn close(&mut self, bye: Option<&[u8]>) {
        if let Some(bye) = bye {
            self.put(Slot::Bye, bye);
        }
        self.is_closing = true;
    }

    /// How often beats come.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether the session is to end once it has nothing more to send.
    pub const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// The next frame for a connection that `sent` has not seen, and marks it seen.
    pub fn next(&self, connection: u64, sent: &mut Sent) -> Option<&[u8]> {
        if self.connection != connection {
            return None;
        }
        for (index, (place, seen)) in self.frames.iter().zip(&mut sent.0).enumerate() {
            if let Some((number, frame)) = place
                && *number > *seen
            {
                *seen = *number;
                return Some(frame);
            }
            if self.is_closing && index == Slot::Bye.index() {
                break;
            }
        }
        None
    }
}

/// Which frames of an outbox went out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent([u64; Slot::COUNT]);

/// What the session tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The broker accepted us.
    Connected {
        /// Counts connections; frames for it are put behind [`Outbox::connect`].
        connection: u64,
        /// What the session's first Facts announce.
        will_hash: WillHash,
    },
    /// The connection broke, or none came about.
    Disconnected(Trouble),
    /// The broker takes our frames but does not pass them on, or refuses our subscriptions.
    Refused(Trouble),
    /// The broker passes our frames on again.
    Accepted,
    /// Somebody spoke to us.
    Down(Box<[u8]>),
    /// The gateway announced itself.
    Announced {
        /// The frame.
        frame: Box<[u8]>,
        /// It had been said before we subscribed.
        is_retained: bool,
    },
    /// Something came that nobody may send here; it was dropped.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &Outbox, sent: &mut Sent) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| outbox.next(1, sent).map(<[u8]>::to_vec)).collect()
    }

    fn outbox() -> Outbox {
        let mut outbox = Outbox::new(Duration::from_secs(10));
        outbox.connect(1);
        outbox
    }

    #[test]
    fn the_newest_frame_replaces_an_unsent_one() {
        let (mut outbox, mut sent) = (outbox(), Sent::default());
        outbox.put(Slot::Heartbeat, b"old");
        outbox.put(Slot::Heartbeat, b"new");
        assert_eq!(drain(&outbox, &mut sent), [b"new"]);
        assert!(drain(&outbox, &mut sent).is_empty());
    }

    #[test]
    fn kinds_go_out_in_their_order() {
        let (mut outbox, mut sent) = (outbox(), Sent::default());
        outbox.put(Slot::Opening, b"opening");
        outbox.put(Slot::Detail, b"detail");
        outbox.put(Slot::Heartbeat, b"beat");
        outbox.put(Slot::Facts, b"facts");
        let expected: [&[u8]; 4] = [b"opening", b"facts", b"beat", b"detail"];
        assert_eq!(drain(&outbox, &mut sent), expected);
    }

    #[test]
    fn a_goodbye_follows_the_opening_and_nothing_follows_it() {
        let (mut outbox, mut sent) = (outbox(), Sent::default());
        outbox.put(Slot::Opening, b"opening");
        outbox.put(Slot::Heartbeat, b"beat");
        outbox.close(Some(b"bye"));
        let expected: [&[u8]; 2] = [b"opening", b"bye"];
        assert_eq!(drain(&outbox, &mut sent), expected);
    }

    #[test]
    fn frames_of_another_connection_are_never_sent() {
        let (mut outbox, mut sent) = (outbox(), Sent::default());
        outbox.put(Slot::Heartbeat, b"beat");
        assert_eq!(outbox.next(2, &mut sent), None);
        outbox.connect(2);
        assert_eq!(outbox.next(2, &mut sent), None);
    }

    #[test]
    fn a_new_session_drops_the_frames_of_the_old_one() {
        let (mut outbox, mut sent) = (outbox(), Sent::default());
        outbox.put(Slot::Heartbeat, b"old session");
        outbox.put(Slot::Opening, b"opening");
        assert_eq!(drain(&outbox, &mut sent), [b"opening"]);
    }
}

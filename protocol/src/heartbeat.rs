//! The heartbeat: the whole state of a board in some sixty bytes; losing one costs nothing.
//!
//! ```text
//! [uptime] [generation] [conditions] [presence] [vital]* ([count] [reading]*)? ([tag] [len] [bytes])*
//! ```
//!
//! Every number is a varint. `presence` says which vitals follow, so that a missing reading
//! costs one bit; its lowest bit says whether sensor readings follow. Counters are totals,
//! never deltas. Readings and custom conditions mean something only under the generation of
//! the Facts that named them.

use heapless::Vec;

use crate::condition::Statuses;
use crate::units::{
    CentiLoad, DeciCelsius, Kibibytes, Megahertz, Permille, Scalar, Throttle, Uptime,
};
use crate::wire::{DecodeError, EncodeError, Reader, Writer, unzigzag, zigzag};

/// No agent sends more sensor readings.
pub const MAX_SENSORS: usize = 32;

/// Statuses of the conditions that Facts name.
const TAG_CUSTOM: u64 = 1;
/// Bitmap of the vitals whose reading failed, in the order of [`Vitals`].
const TAG_FAILED: u64 = 2;

/// Presence bit of the sensor readings.
const SENSORS_BIT: u64 = 1;

/// What a board says every interval, and at once when a condition changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// When it was observed.
    pub uptime: Uptime,
    /// Which Facts of this session name its readings and custom conditions.
    pub generation: u16,
    /// The known conditions.
    pub conditions: Statuses,
    /// The conditions that Facts name, by their position there.
    pub custom: Statuses,
    /// Numbers that every board may have.
    pub vitals: Vitals,
    /// Bit n: the reading behind the nth vital failed.
    pub failed: u32,
    /// Sensor readings by their position in Facts.
    pub readings: Readings<'a>,
    /// Tags that this build does not know.
    pub unknown_tags: u8,
}

macro_rules! vitals {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $bit:literal;)*) => {
        /// Numbers that every board may have; a reading that is absent or failed is `None`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Vitals {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl Vitals {
            /// The names, in wire order: bit n of [`Heartbeat::failed`] is the nth.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            fn presence(&self) -> u64 {
                let mut bits = 0;
                $(bits |= u64::from(self.$name.is_some()) << $bit;)*
                bits
            }

            fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
                $(if let Some(value) = self.$name {
                    writer.varint(value.to_wire())?;
                })*
                Ok(())
            }

            fn decode(presence: u64, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let mut vitals = Self::default();
                $(if presence & (1 << $bit) != 0 {
                    let value = <$type>::from_wire(reader.varint()?);
                    vitals.$name = Some(value.ok_or(DecodeError::Malformed)?);
                })*
                Ok(vitals)
            }
        }
    };
}

vitals! {
    /// Share of all processors' time not idle, since the previous observation.
    cpu_busy: Permille = 1;
    /// Load average over one minute.
    load1: CentiLoad = 2;
    /// `MemAvailable`.
    memory_available: Kibibytes = 3;
    /// Usage less inactive file pages, as kubelet counts it.
    memory_working_set: Kibibytes = 4;
    /// `SwapTotal` less `SwapFree`.
    swap_used: Kibibytes = 5;
    /// Space on the root filesystem that an unprivileged user can still take.
    root_available: Kibibytes = 6;
    /// The board's main temperature.
    temperature: DeciCelsius = 7;
    /// The firmware's throttle bits.
    throttle: Throttle = 8;
    /// The processor's present frequency.
    frequency: Megahertz = 9;
    /// Share of the last ten seconds in which some task waited for a processor.
    cpu_pressure_some: Permille = 10;
    /// Share of the last ten seconds in which some task waited for memory.
    memory_pressure_some: Permille = 11;
    /// Share of the last ten seconds in which all tasks waited for memory.
    memory_pressure_full: Permille = 12;
    /// Share of the last ten seconds in which some task waited for disks.
    io_pressure_some: Permille = 13;
    /// Share of the last ten seconds in which all tasks waited for disks.
    io_pressure_full: Permille = 14;
    /// Received since boot, by all physical interfaces.
    network_received: Kibibytes = 15;
    /// Sent since boot, by all physical interfaces.
    network_sent: Kibibytes = 16;
    /// Read since boot, from all whole disks.
    disk_read: Kibibytes = 17;
    /// Written since boot, to all whole disks.
    disk_written: Kibibytes = 18;
}

/// Presence bits that this version gives a meaning.
const KNOWN_PRESENCE: u64 = (1 << (Vitals::NAMES.len() + 1)) - 1;

/// Sensor readings as they stand on the wire: 0 for none, else zigzag + 1.
///
/// A reading is in the unit and scale that Facts give its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings<'a> {
    wire: &'a [u8],
    count: u8,
}

impl<'a> Readings<'a> {
    /// How many positions are told, readings that are missing included.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The readings in order; `None` is one that is missing.
    pub fn iter(self) -> impl Iterator<Item = Option<i32>> + 'a {
        let mut reader = Reader::new(self.wire);
        (0..self.count).map(move |_| {
            reader
                .varint()
                .ok()
                .and_then(|wire| unzigzag(wire.checked_sub(1)?))
        })
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.byte()?;
        if count == 0 || usize::from(count) > MAX_SENSORS {
            return Err(DecodeError::Malformed);
        }
        let all = reader.rest();
        for _ in 0..count {
            let wire = reader.varint()?;
            if wire > u64::from(u32::MAX) + 1 {
                return Err(DecodeError::Malformed);
            }
        }
        let wire = all
            .get(..all.len() - reader.rest().len())
            .ok_or(DecodeError::Malformed)?;
        Ok(Self { wire, count })
    }
}

/// Collects sensor readings for a heartbeat.
#[derive(Clone, Debug, Default)]
pub struct ReadingsBuffer {
    wire: Vec<u8, { MAX_SENSORS * 5 }>,
    count: u8,
}

impl ReadingsBuffer {
    /// Appends the next position; beyond [`MAX_SENSORS`] it is left out and `false` returned.
    pub fn push(&mut self, reading: Option<i32>) -> bool {
        if usize::from(self.count) >= MAX_SENSORS {
            return false;
        }
        let mut bytes = [0; 10];
        let mut writer = Writer::new(&mut bytes);
        let wire = reading.map_or(0, |value| zigzag(value) + 1);
        let is_stored = writer.varint(wire).is_ok() && {
            let len = writer.len();
            bytes
                .get(..len)
                .is_some_and(|bytes| self.wire.extend_from_slice(bytes).is_ok())
        };
        self.count += u8::from(is_stored);
        is_stored
    }

    /// What was collected.
    pub fn as_readings(&self) -> Readings<'_> {
        Readings {
            wire: &self.wire,
            count: self.count,
        }
    }
}

impl<'a> Heartbeat<'a> {
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.varint(self.uptime.to_wire())?;
        writer.varint(u64::from(self.generation))?;
        writer.varint(self.conditions.bits())?;
        let sensors = if self.readings.is_empty() {
            0
        } else {
            SENSORS_BIT
        };
        writer.varint(self.vitals.presence() | sensors)?;
        self.vitals.encode(writer)?;
        if !self.readings.is_empty() {
            writer.byte(self.readings.count)?;
            writer.bytes(self.readings.wire)?;
        }
        for (tag, value) in [
            (TAG_CUSTOM, self.custom.bits()),
            (TAG_FAILED, u64::from(self.failed)),
        ] {
            if value != 0 {
                encode_extension(writer, tag, value)?;
            }
        }
        Ok(())
    }

    /// Decodes the message of a frame whose kind is [`crate::Kind::Heartbeat`].
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(message);
        let uptime = Uptime(reader.varint()?);
        let generation = u16::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)?;
        let conditions = Statuses::from_bits(reader.varint()?);
        let presence = reader.varint()?;
        if presence & !KNOWN_PRESENCE != 0 {
            return Err(DecodeError::Malformed);
        }
        let vitals = Vitals::decode(presence, &mut reader)?;
        let readings = if presence & SENSORS_BIT == 0 {
            Readings::default()
        } else {
            Readings::decode(&mut reader)?
        };
        let mut beat = Self {
            uptime,
            generation,
            conditions,
            custom: Statuses::default(),
            vitals,
            failed: 0,
            readings,
            unknown_tags: 0,
        };
        while !reader.is_empty() {
            beat.decode_extension(&mut reader)?;
        }
        Ok(beat)
    }

    fn decode_extension(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let tag = reader.varint()?;
        let len = usize::try_from(reader.varint()?).map_err(|_| DecodeError::Truncated)?;
        let mut bytes = Reader::new(reader.bytes(len)?);
        match tag {
            TAG_CUSTOM => self.custom = Statuses::from_bits(bytes.varint()?),
            TAG_FAILED => {
                self.failed = u32::try_from(bytes.varint()?).map_err(|_| DecodeError::Malformed)?;
            }
            _ => {
                self.unknown_tags = self.unknown_tags.saturating_add(1);
                return Ok(());
            }
        }
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }
}

fn encode_extension(writer: &mut Writer<'_>, tag: u64, value: u64) -> Result<(), EncodeError> {
    let mut bytes = [0; 10];
    let mut inner = Writer::new(&mut bytes);
    inner.varint(value)?;
    let len = inner.len();
    writer.varint(tag)?;
    writer.byte(u8::try_from(len).map_err(|_| EncodeError::TooLong)?)?;
    writer.bytes(bytes.get(..len).ok_or(EncodeError::TooLong)?)
}

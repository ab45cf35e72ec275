//! Laws: what is encoded decodes to itself; any bytes decode to a value or a small error.

use nodling_protocol::condition::Statuses;
use nodling_protocol::frame::{Message, Position, encode_clear};
use nodling_protocol::heartbeat::{MAX_SENSORS, ReadingsBuffer};
use nodling_protocol::units::{
    CentiLoad, DeciCelsius, Kibibytes, Megahertz, Permille, Throttle, Uptime,
};
use nodling_protocol::{
    Announce, Bye, DecodeError, Detail, Down, Facts, Frame, Heartbeat, MAX_FRAME_LEN, VERSION,
    Vitals,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn vitals() -> impl Strategy<Value = Vitals> {
    let kib = || option::of(any::<u64>().prop_map(Kibibytes));
    let permille = || option::of(any::<u16>().prop_map(Permille));
    (
        (permille(), option::of(any::<u32>().prop_map(CentiLoad))),
        (kib(), kib(), kib(), kib()),
        option::of(any::<i16>().prop_map(DeciCelsius)),
        (
            option::of(any::<u8>().prop_map(Throttle)),
            option::of(any::<u32>().prop_map(Megahertz)),
        ),
        (permille(), permille(), permille(), permille(), permille()),
        (kib(), kib(), kib(), kib()),
    )
        .prop_map(
            |(busy, memory, temperature, firmware, pressure, totals)| Vitals {
                cpu_busy: busy.0,
                load1: busy.1,
                memory_available: memory.0,
                memory_working_set: memory.1,
                swap_used: memory.2,
                root_available: memory.3,
                temperature,
                throttle: firmware.0,
                frequency: firmware.1,
                cpu_pressure_some: pressure.0,
                memory_pressure_some: pressure.1,
                memory_pressure_full: pressure.2,
                io_pressure_some: pressure.3,
                io_pressure_full: pressure.4,
                network_received: totals.0,
                network_sent: totals.1,
                disk_read: totals.2,
                disk_written: totals.3,
            },
        )
}

/// Decodes as every kind there is; the value does not matter, that it returns does.
fn decode_everything(payload: &[u8]) {
    let Ok(frame) = Frame::parse(payload) else {
        return;
    };
    let _ = frame.will();
    let _ = frame.announce();
    let Ok(clear) = frame.clear() else { return };
    if let Ok(beat) = Heartbeat::decode(clear.message) {
        assert_eq!(beat.readings.iter().count(), beat.readings.len());
    }
    let _ = Facts::decode(clear.message);
    let _ = Detail::decode(clear.message);
    let _ = Bye::decode(clear.message);
    let _ = Down::decode(clear.message);
}

proptest! {
    #[test]
    fn heartbeats_return(
        position in any::<(u8, u8, u64)>(),
        head in any::<(u64, u16, u64, u64, u32)>(),
        vitals in vitals(),
        readings in vec(option::of(any::<i32>()), 0..MAX_SENSORS),
    ) {
        let mut buffer = ReadingsBuffer::default();
        for &reading in &readings {
            prop_assert!(buffer.push(reading));
        }
        let beat = Heartbeat {
            uptime: Uptime(head.0),
            generation: head.1,
            conditions: Statuses::from_bits(head.2),
            custom: Statuses::from_bits(head.3),
            vitals,
            failed: head.4,
            readings: buffer.as_readings(),
            unknown_tags: 0,
        };
        let position = Position { tag: position.0, session: position.1, sequence: position.2 };
        let mut bytes = [0; MAX_FRAME_LEN];
        let len = encode_clear(&mut bytes, position, Message::Heartbeat(&beat)).unwrap();
        let frame = Frame::parse(&bytes[..len]).unwrap();
        prop_assert_eq!((frame.session, frame.sequence), (position.session, position.sequence));
        let clear = frame.clear().unwrap();
        prop_assert_eq!(clear.tag, position.tag);
        let decoded = Heartbeat::decode(clear.message).unwrap();
        prop_assert_eq!(decoded, beat);
        prop_assert_eq!(decoded.readings.iter().collect::<Vec<_>>(), readings);
        for cut in 0..len {
            decode_everything(&bytes[..cut]);
        }
    }

    #[test]
    fn any_bytes_decode_or_not(bytes in vec(any::<u8>(), 0..300)) {
        decode_everything(&bytes);
    }

    /// Random bytes seldom get past the header; these always do.
    #[test]
    fn any_message_decodes_or_not(kind in 0_u8..8, message in vec(any::<u8>(), 0..300)) {
        let mut payload = vec![VERSION << 4 | 15, 1, 1, 0, kind];
        payload.extend(message);
        decode_everything(&payload);
    }

    #[test]
    fn any_announcement_decodes_or_not(body in vec(any::<u8>(), 0..40)) {
        let _ = Announce::decode(&body);
    }
}

#[test]
fn the_largest_heartbeat_fits_a_frame() {
    let mut readings = ReadingsBuffer::default();
    while readings.push(Some(i32::MIN)) {}
    assert_eq!(readings.as_readings().len(), MAX_SENSORS);
    let all = u64::MAX;
    let kib = Some(Kibibytes(all));
    let permille = Some(Permille(u16::MAX));
    let beat = Heartbeat {
        uptime: Uptime(all),
        generation: u16::MAX,
        conditions: Statuses::from_bits(all),
        custom: Statuses::from_bits(all),
        vitals: Vitals {
            cpu_busy: permille,
            load1: Some(CentiLoad(u32::MAX)),
            memory_available: kib,
            memory_working_set: kib,
            swap_used: kib,
            root_available: kib,
            temperature: Some(DeciCelsius(i16::MIN)),
            throttle: Some(Throttle(u8::MAX)),
            frequency: Some(Megahertz(u32::MAX)),
            cpu_pressure_some: permille,
            memory_pressure_some: permille,
            memory_pressure_full: permille,
            io_pressure_some: permille,
            io_pressure_full: permille,
            network_received: kib,
            network_sent: kib,
            disk_read: kib,
            disk_written: kib,
        },
        failed: u32::MAX,
        readings: readings.as_readings(),
        unknown_tags: 0,
    };
    let position = Position {
        tag: 0,
        session: 0,
        sequence: all,
    };
    let mut bytes = [0; 512];
    assert!(encode_clear(&mut bytes, position, Message::Heartbeat(&beat)).is_ok());
}

#[test]
fn bad_frames_are_named() {
    for (payload, error) in [
        (&[][..], DecodeError::Empty),
        (&[0x2F, 0, 0], DecodeError::UnknownVersion(2)),
        (&[0x0F, 0, 0], DecodeError::UnknownVersion(0)),
        (&[0x1A, 0, 0], DecodeError::UnknownClass(10)),
        (&[0x1F], DecodeError::Truncated),
        (&[0x1F, 0, 0x80], DecodeError::Truncated),
        (&[0; MAX_FRAME_LEN + 1], DecodeError::TooLong),
    ] {
        assert_eq!(Frame::parse(payload), Err(error));
    }
    let unknown_kind = Frame::parse(&[0x1F, 0, 0, 0, 77]).unwrap();
    assert_eq!(unknown_kind.clear(), Err(DecodeError::UnknownKind(77)));
    let beat_with_a_later_vital = [0, 0, 0, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(
        Heartbeat::decode(&beat_with_a_later_vital),
        Err(DecodeError::Malformed)
    );
    assert_eq!(Bye::decode(&[0, 0]), Err(DecodeError::TrailingBytes));
}

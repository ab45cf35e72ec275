//! Golden bytes of version 1. If a test here fails, do not change the test: boards in the field
//! speak these bytes. Append a new kind, tag or enum value; or make a new version.

use heapless::Vec;
use nodling_protocol::condition::{ConditionKind, Status, Statuses};
use nodling_protocol::detail::{
    ClockDetail, CpuTimes, DiskDetail, FilesystemDetail, InterfaceDetail, MemoryDetail,
};
use nodling_protocol::facts::{
    Address, AddressKind, Board, CustomCondition, Label, Resource, Sensor, SystemInfo, Taint,
    TaintEffect,
};
use nodling_protocol::frame::{Message, Position, encode_announce, encode_clear, encode_will};
use nodling_protocol::heartbeat::{Readings, ReadingsBuffer};
use nodling_protocol::units::{
    CentiLoad, DeciCelsius, Kibibytes, Megahertz, Permille, Throttle, Unit, Uptime,
};
use nodling_protocol::{
    Announce, BootId, Bye, Clear, Detail, Down, Facts, Frame, Heartbeat, Instance, Kind, Vitals,
    Will,
};

const POSITION: Position = Position {
    tag: 0xEF,
    session: 7,
    sequence: 300,
};

fn assert_clear(message: Message<'_, '_>, golden: &[u8]) {
    let mut buffer = [0; nodling_protocol::MAX_FRAME_LEN];
    let len = encode_clear(&mut buffer, POSITION, message).unwrap();
    assert_eq!(
        &buffer[..len],
        golden,
        "the bytes of {:?} moved",
        message.kind()
    );
}

fn clear(golden: &[u8]) -> Clear<'_> {
    let frame = Frame::parse(golden).unwrap();
    assert_eq!(
        (frame.session, frame.sequence),
        (POSITION.session, POSITION.sequence)
    );
    frame.clear().unwrap()
}

#[rustfmt::skip]
const HEARTBEAT: &[u8] = &[
    0x1F, 7, 0xAC, 2,              // version 1, class clear; session; sequence 300
    0xEF, 1,                       // instance tag; kind heartbeat
    0x80, 0xC8, 0xCB, 0x7B,        // uptime: 2,592,000.00 s / 10 in hundredths: 259,187,712
    3,                             // generation
    0x95, 0x01,                    // conditions: Memory, Disk, PID False; Ready True
    0xFF, 0xFF, 0x1F,              // presence: sensors and all eighteen vitals
    0x89, 0x01,                    // cpu_busy 137 permille
    42,                            // load1 0.42
    0xE0, 0x9A, 0xBD, 0x01,        // memory_available 3,100,000 KiB
    0xC0, 0xCF, 0x24,              // memory_working_set 600,000 KiB
    0,                             // swap_used
    0x80, 0x80, 0x80, 0x0C,        // root_available 24 GiB
    0x96, 0x08,                    // temperature 52.3 °C: zigzag 1046
    0x50,                          // throttle: since boot under-voltage and throttled
    0xDC, 0x0B,                    // frequency 1500 MHz
    12, 0, 0, 31, 4,               // pressures in permille
    0x80, 0x80, 0x80, 0x04,        // network_received 8 GiB
    0x80, 0x80, 0x80, 0x02,        // network_sent 4 GiB
    0x81, 0x80, 0x80, 0x02,        // disk_read 4 GiB + 1 KiB
    0x80, 0x80, 0x80, 0x03,        // disk_written 6 GiB
    3,                             // three readings:
    0xF7, 0x09,                    // 635: zigzag 1270 + 1
    0,                             // missing
    10,                            // -5: zigzag 9 + 1
    1, 1, 0x06,                    // tag custom, 1 byte: first True, second False
    2, 1, 0x40,                    // tag failed, 1 byte: the seventh vital
];

#[test]
fn heartbeat() {
    let mut readings = ReadingsBuffer::default();
    for reading in [Some(635), None, Some(-5)] {
        assert!(readings.push(reading));
    }
    let mut custom = Statuses::default();
    custom.set(0, Some(Status::True));
    custom.set(1, Some(Status::False));
    let beat = Heartbeat {
        uptime: Uptime(259_187_712),
        generation: 3,
        conditions: Statuses::default()
            .with(ConditionKind::MemoryPressure, Status::False)
            .with(ConditionKind::DiskPressure, Status::False)
            .with(ConditionKind::PidPressure, Status::False)
            .with(ConditionKind::Ready, Status::True),
        custom,
        vitals: Vitals {
            cpu_busy: Some(Permille(137)),
            load1: Some(CentiLoad(42)),
            memory_available: Some(Kibibytes(3_100_000)),
            memory_working_set: Some(Kibibytes(600_000)),
            swap_used: Some(Kibibytes(0)),
            root_available: Some(Kibibytes(24 << 20)),
            temperature: Some(DeciCelsius(523)),
            throttle: Some(Throttle(0x50)),
            frequency: Some(Megahertz(1500)),
            cpu_pressure_some: Some(Permille(12)),
            memory_pressure_some: Some(Permille(0)),
            memory_pressure_full: Some(Permille(0)),
            io_pressure_some: Some(Permille(31)),
            io_pressure_full: Some(Permille(4)),
            network_received: Some(Kibibytes(8 << 20)),
            network_sent: Some(Kibibytes(4 << 20)),
            disk_read: Some(Kibibytes((4 << 20) + 1)),
            disk_written: Some(Kibibytes(6 << 20)),
        },
        failed: 0x40,
        readings: readings.as_readings(),
        unknown_tags: 0,
    };
    assert_clear(Message::Heartbeat(&beat), HEARTBEAT);
    let clear = clear(HEARTBEAT);
    assert_eq!((clear.tag, clear.kind), (0xEF, Kind::Heartbeat));
    assert_eq!(Heartbeat::decode(clear.message), Ok(beat));
    assert_eq!(
        beat.readings.iter().collect::<std::vec::Vec<_>>(),
        [Some(635), None, Some(-5)]
    );
}

#[test]
fn an_empty_board_still_beats() {
    #[rustfmt::skip]
    let golden = [
        0x1F, 7, 0xAC, 2, 0xEF, 1,
        0,                         // uptime
        0,                         // generation
        0,                         // conditions
        0,                         // presence
    ];
    let beat = Heartbeat {
        uptime: Uptime(0),
        generation: 0,
        conditions: Statuses::default(),
        custom: Statuses::default(),
        vitals: Vitals::default(),
        failed: 0,
        readings: Readings::default(),
        unknown_tags: 0,
    };
    assert_clear(Message::Heartbeat(&beat), &golden);
    assert_eq!(Heartbeat::decode(clear(&golden).message), Ok(beat));
}

#[test]
fn tags_of_later_versions_are_skipped_and_counted() {
    #[rustfmt::skip]
    let golden = [
        0x1F, 7, 0xAC, 2, 0xEF, 1, 5, 0, 0, 0,
        99, 3, 1, 2, 3,            // an unknown tag
        1, 1, 2,                   // a known one behind it
    ];
    let beat = Heartbeat::decode(clear(&golden).message).unwrap();
    assert_eq!(beat.unknown_tags, 1);
    assert_eq!(beat.custom.get(0), Some(Status::True));
}

#[rustfmt::skip]
const FACTS: &[u8] = &[
    0x1F, 7, 0xAC, 2, 0xEF, 2,     // header; tag; kind facts
    4, b'p', b'i', b'-', b'4',     // node
    0xEF, 0x9B, 0xAF, 0xCD, 0xF8, 0xAC, 0xD1, 0x91, 0x01, // instance 0x0123456789ABCDEF
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, // boot id
    0x37, 0x47, 0x08, 0xFF, 0xF7, 0x71, 0x9D, 0xD5, // will hash: the first half of the SHA-256
    0x97, 0x9E, 0xC8, 0x75, 0xD5, 0x6C, 0xD2, 0x28, // of sixteen zero bytes
    1,                             // highest version
    100,                           // uptime 1 s
    0,                             // generation
    0x90, 0x4E,                    // interval 10,000 ms
    1, b'm', 1, b'u', 1, b'k', 1, b'o', 0, 3, b'0', b'.', b'1', // machine, uuid, kernel, os, runtime, agent
    5, b'l', b'i', b'n', b'u', b'x', 5, b'a', b'r', b'm', b'6', b'4', // operating system, architecture
    1, 0x80, 0x08,                 // swap 1024
    1, 3, b'c', b'p', b'u', 0xA0, 0x1F, // capacity: cpu 4000
    1, 3, b'c', b'p', b'u', 0xA0, 0x1F, // allocatable
    2, 0, 2, b'i', b'p', 2, 1, b'h', // addresses: InternalIP, Hostname
    1, 1, b'a', 1, b'b',           // labels
    1, 1, b't', 0, 2,              // taints: NoExecute
    1, 1, b'n', 1, b'm', 1, b's',  // board
    1, 1, b'c', 0, 0xFF,           // sensors: Celsius, 10^-1
    1, 1, b'H', 1, b'r',           // custom conditions
    1,                             // register the node
    2, b's', b'd',                 // storage
];

fn vec<T, const N: usize>(items: impl IntoIterator<Item = T>) -> Vec<T, N> {
    items.into_iter().collect()
}

#[test]
fn facts() {
    let cpu = Resource {
        name: "cpu",
        amount: 4000,
    };
    let facts = Facts {
        node: "pi-4",
        instance: Instance(0x0123_4567_89AB_CDEF),
        boot_id: BootId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        will_hash: Will([0; 16]).hash(),
        version_highest: 1,
        uptime: Uptime(100),
        generation: 0,
        interval_ms: 10_000,
        system: SystemInfo {
            machine_id: "m",
            system_uuid: "u",
            kernel_version: "k",
            os_image: "o",
            container_runtime_version: "",
            agent_version: "0.1",
            operating_system: "linux",
            architecture: "arm64",
            swap_capacity_bytes: Some(1024),
        },
        capacity: vec([cpu]),
        allocatable: vec([cpu]),
        addresses: vec([
            Address {
                kind: AddressKind::InternalIp,
                address: "ip",
            },
            Address {
                kind: AddressKind::Hostname,
                address: "h",
            },
        ]),
        labels: vec([Label {
            key: "a",
            value: "b",
        }]),
        taints: vec([Taint {
            key: "t",
            value: "",
            effect: TaintEffect::NoExecute,
        }]),
        board: Some(Board {
            name: "n",
            model: "m",
            soc: "s",
        }),
        sensors: vec([Sensor {
            name: "c",
            unit: Unit::Celsius,
            exponent: -1,
        }]),
        conditions: vec([CustomCondition {
            name: "H",
            rule: "r",
        }]),
        register_node: true,
        storage: "sd",
    };
    assert_clear(Message::Facts(&facts), FACTS);
    assert_eq!(Facts::decode(clear(FACTS).message), Ok(facts));
}

#[test]
fn detail() {
    #[rustfmt::skip]
    let golden = [
        0x1F, 7, 0xAC, 2, 0xEF, 5,
        100,                       // uptime
        1, 1, 2, 3,                // load
        1, 1, 2, 3, 4, 5, 6, 7, 8, // one processor
        1, 1, 2, 3, 4, 5, 6, 7, 8, // memory
        1, 1, b'e', 1, 2, 3, 4, 5, 6, 7, 8, // one interface
        1, 1, b'd', 1, 2, 3, 4, 5, 6,       // one disk
        1, 1, b'x', 1, b'/', 1, b'f', 1, 2, 3, 4, 5, 0, // one filesystem
        1, 1, 5, 0x80, 0x01,       // clock: synchronised, offset -3, error 128
    ];
    let kib = Kibibytes;
    let detail = Detail {
        uptime: Uptime(100),
        load: Some([CentiLoad(1), CentiLoad(2), CentiLoad(3)]),
        cpus: vec([CpuTimes {
            user: 1,
            nice: 2,
            system: 3,
            idle: 4,
            iowait: 5,
            irq: 6,
            softirq: 7,
            steal: 8,
        }]),
        memory: Some(MemoryDetail {
            total: kib(1),
            free: kib(2),
            available: kib(3),
            buffers: kib(4),
            cached: kib(5),
            swap_cached: kib(6),
            swap_total: kib(7),
            swap_free: kib(8),
        }),
        interfaces: vec([InterfaceDetail {
            name: "e",
            received_bytes: 1,
            received_packets: 2,
            received_errors: 3,
            received_dropped: 4,
            sent_bytes: 5,
            sent_packets: 6,
            sent_errors: 7,
            sent_dropped: 8,
        }]),
        disks: vec([DiskDetail {
            name: "d",
            reads: 1,
            sectors_read: 2,
            writes: 3,
            sectors_written: 4,
            io_ms: 5,
            io_weighted_ms: 6,
        }]),
        filesystems: vec([FilesystemDetail {
            device: "x",
            mount_point: "/",
            fs_type: "f",
            size_bytes: 1,
            free_bytes: 2,
            available_bytes: 3,
            files: 4,
            files_free: 5,
            is_read_only: false,
        }]),
        clock: Some(ClockDetail {
            is_synchronized: true,
            offset_us: -3,
            max_error_us: 128,
        }),
    };
    assert_clear(Message::Detail(&detail), &golden);
    assert_eq!(Detail::decode(clear(&golden).message), Ok(detail));
}

#[test]
fn bye_and_down() {
    let header = [0x1F, 7, 0xAC, 2, 0xEF];
    let golden = |rest: &[u8]| [&header, rest].concat();
    for (bye, byte) in [(Bye::Restart, 0), (Bye::Shutdown, 1), (Bye::Leave, 2)] {
        let golden = golden(&[3, byte]);
        assert_clear(Message::Bye(bye), &golden);
        assert_eq!(Bye::decode(clear(&golden).message), Ok(bye));
    }
    for (down, bytes) in [
        (Down::SendFacts, &[4, 0][..]),
        (Down::SendDetail { every_s: 60 }, &[4, 1, 60]),
        (Down::Unschedulable(true), &[4, 2, 1]),
        (
            Down::SetInterval {
                interval_ms: 10_000,
            },
            &[4, 3, 0x90, 0x4E],
        ),
    ] {
        let golden = golden(bytes);
        assert_clear(Message::Down(down), &golden);
        assert_eq!(Down::decode(clear(&golden).message), Ok(down));
    }
}

#[test]
fn will_and_announcement() {
    let mut buffer = [0; 64];
    let will = Will([0xAA; 16]);
    let len = encode_will(&mut buffer, &will).unwrap();
    assert_eq!(buffer[..len], [&[0x13, 0, 0][..], &[0xAA; 16]].concat());
    assert_eq!(Frame::parse(&buffer[..len]).unwrap().will(), Ok(will));

    let announce = Announce {
        epoch: 5,
        version_highest: 1,
        interval_ms_max: 10_000,
    };
    let len = encode_announce(&mut buffer, &announce).unwrap();
    assert_eq!(buffer[..len], [0x14, 0, 0, 5, 1, 0x90, 0x4E]);
    assert_eq!(
        Frame::parse(&buffer[..len]).unwrap().announce(),
        Ok(announce)
    );
}

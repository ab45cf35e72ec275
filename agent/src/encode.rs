//! Stage 3: numbers an assessment and turns it into at most `MAX_FRAME_LEN` bytes.
//!
//! An [`Encoder`] counts sessions, sequences within them and generations of Facts; it cannot
//! fail: Facts that do not fit are sent without what rules say, then without labels, then without
//! sensors. Pure.

use std::hash::{Hash, Hasher};

use nodling_protocol::detail::{
    ClockDetail, CpuTimes, DiskDetail, FilesystemDetail, InterfaceDetail, MemoryDetail,
};
use nodling_protocol::facts::{Address, Board, Label, Resource, Sensor, SystemInfo, Taint};
use nodling_protocol::frame::{Message, Position, encode_clear};
use nodling_protocol::heartbeat::ReadingsBuffer;
use nodling_protocol::units::{CentiLoad, Kibibytes, Uptime};
use nodling_protocol::{
    BootId, Bye, Detail, Facts, Heartbeat, Instance, MAX_FRAME_LEN, VERSION, WillHash,
};

use crate::assess::Assessment;
use crate::assess::capacity::Amount;
use crate::assess::rules::Rule;
use crate::observe::disk::Filesystem;
use crate::observe::medium::{Kind, Medium};
use crate::observe::{Observation, Reading};
use crate::registration::Registration;

/// Writes the frames of one agent, session after session.
#[derive(Debug)]
pub struct Encoder {
    instance: Instance,
    session: u8,
    sequence: u64,
    generation: u16,
    facts_hash: Option<u64>,
    buffer: Box<[u8; MAX_FRAME_LEN]>,
}

/// What Facts say that is not observed.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The node's name.
    pub node: &'a str,
    /// Of the present connection.
    pub will_hash: WillHash,
    /// How often heartbeats come.
    pub interval_ms: u32,
    /// What is asked of the Node.
    pub registration: &'a Registration,
}

impl<'a> Identity<'a> {
    /// Of the present connection, or of none.
    pub fn new(
        node: &'a str,
        will_hash: Option<WillHash>,
        interval_ms: u32,
        registration: &'a Registration,
    ) -> Self {
        Self {
            node,
            will_hash: will_hash.unwrap_or(WillHash([0; WillHash::LEN])),
            interval_ms,
            registration,
        }
    }
}

impl Encoder {
    /// Begins at a session number, which should differ from the last run's.
    pub fn new(instance: Instance, session: u8) -> Self {
        Self {
            instance,
            session,
            sequence: 0,
            generation: 0,
            facts_hash: None,
            buffer: Box::new([0; MAX_FRAME_LEN]),
        }
    }

    /// Begins the next session: its first frame must be Facts.
    pub fn open(&mut self) {
        self.session = self.session.wrapping_add(1);
        self.sequence = 0;
        self.generation = 0;
        self.facts_hash = None;
    }

    /// Whether a frame of the gateway is meant for the present session.
    pub fn is_ours(&self, tag: u8, session: u8) -> bool {
        tag == self.instance.tag() && session == self.session
    }

    /// The present session's number.
    pub const fn session(&self) -> u8 {
        self.session
    }

    /// Whether Facts say something else than the session's last ones; counts the generation.
    pub fn has_news(&mut self, facts: &Facts<'_>) -> bool {
        let hash = self.hash(facts);
        if self.facts_hash == Some(hash) {
            return false;
        }
        if self.facts_hash.replace(hash).is_some() {
            self.generation = self.generation.wrapping_add(1);
        }
        true
    }

    /// Writes Facts under the present generation.
    pub fn facts(&mut self, mut facts: Facts<'_>) -> &[u8] {
        facts.instance = self.instance;
        facts.generation = self.generation;
        let position = self.position();
        for shed in 0..4 {
            match shed {
                1 => facts
                    .conditions
                    .iter_mut()
                    .for_each(|custom| custom.rule = ""),
                2 => facts.labels.clear(),
                3 => facts.sensors.clear(),
                _ => {}
            }
            let message = Message::Facts(&facts);
            if let Ok(len) = encode_clear(self.buffer.as_mut_slice(), position, message) {
                return self.buffer.get(..len).unwrap_or_default();
            }
        }
        // Nothing that is left can be this long: names and texts are bounded where they are read.
        &[]
    }

    /// Writes a heartbeat.
    pub fn heartbeat(&mut self, assessment: &Assessment) -> &[u8] {
        let mut readings = ReadingsBuffer::default();
        for sensor in &assessment.sensors {
            readings.push(sensor.reading.as_ref().ok().copied().flatten());
        }
        let failed = assessment.failures.iter().fold(0, |bits, (position, _)| {
            let bit = u32::try_from(*position)
                .ok()
                .and_then(|at| 1_u32.checked_shl(at));
            bits | bit.unwrap_or(0)
        });
        let beat = Heartbeat {
            uptime: assessment.uptime,
            generation: self.generation,
            conditions: assessment.conditions,
            custom: assessment.custom,
            vitals: assessment.vitals,
            failed,
            readings: readings.as_readings(),
            unknown_tags: 0,
        };
        self.write(Message::Heartbeat(&beat))
    }

    /// Writes a goodbye.
    pub fn bye(&mut self, bye: Bye) -> &[u8] {
        self.write(Message::Bye(bye))
    }

    /// Writes the counters behind the vitals; the longest lists give way until it fits.
    pub fn detail(&mut self, observation: &Observation) -> &[u8] {
        let mut detail = detail(observation);
        let position = self.position();
        for shed in 0..3 {
            match shed {
                1 => detail.filesystems.clear(),
                2 => detail.interfaces.clear(),
                _ => {}
            }
            let message = Message::Detail(&detail);
            if let Ok(len) = encode_clear(self.buffer.as_mut_slice(), position, message) {
                return self.buffer.get(..len).unwrap_or_default();
            }
        }
        &[]
    }

    fn write(&mut self, message: Message<'_, '_>) -> &[u8] {
        let position = self.position();
        let len = encode_clear(self.buffer.as_mut_slice(), position, message).unwrap_or(0);
        self.buffer.get(..len).unwrap_or_default()
    }

    fn position(&mut self) -> Position {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        Position {
            tag: self.instance.tag(),
            session: self.session,
            sequence,
        }
    }

    /// Of everything that is news when it changes: not of the uptime, nor of the will.
    fn hash(&mut self, facts: &Facts<'_>) -> u64 {
        let mut slow = facts.clone();
        slow.instance = self.instance;
        slow.uptime = Uptime(0);
        slow.generation = 0;
        slow.will_hash = WillHash([0; WillHash::LEN]);
        slow.conditions.clear();
        let position = Position {
            tag: 0,
            session: 0,
            sequence: 0,
        };
        let mut hasher = std::hash::DefaultHasher::new();
        // Apart, since with every rule they would not always fit.
        for custom in &facts.conditions {
            (custom.name, custom.rule).hash(&mut hasher);
        }
        let len = encode_clear(self.buffer.as_mut_slice(), position, Message::Facts(&slow));
        hasher.write(self.buffer.get(..len.unwrap_or(0)).unwrap_or_default());
        hasher.finish()
    }
}

/// Collects Facts; what exceeds a list's bound is left out.
pub fn facts<'a>(
    identity: Identity<'a>,
    observation: &'a Observation,
    assessment: &'a Assessment,
) -> Facts<'a> {
    let fixed = &observation.fixed;
    let registration = identity.registration;
    let boot_id = text(&fixed.host.boot_id);
    Facts {
        node: identity.node,
        instance: Instance(0),
        boot_id: BootId::parse(boot_id).unwrap_or(BootId([0; 16])),
        will_hash: identity.will_hash,
        version_highest: VERSION,
        uptime: assessment.uptime,
        generation: 0,
        interval_ms: identity.interval_ms,
        system: system(observation),
        capacity: resources(&assessment.capacity),
        allocatable: resources(&assessment.allocatable),
        addresses: bounded(assessment.addresses.iter().map(|(kind, address)| Address {
            kind: *kind,
            address,
        })),
        // The usual ones the gateway makes of what stands here anyway.
        labels: bounded(
            registration
                .node_labels
                .iter()
                .map(|(key, value)| Label { key, value }),
        ),
        taints: bounded(registration.taints.iter().map(|taint| Taint {
            key: &taint.key,
            value: &taint.value,
            effect: taint.effect,
        })),
        board: Some(board(observation)),
        sensors: bounded(assessment.sensors.iter().map(|sensor| Sensor {
            name: &sensor.name,
            unit: sensor.unit,
            exponent: sensor.exponent,
        })),
        conditions: bounded(assessment.rules.iter().map(Rule::as_custom)),
        register_node: registration.register_node,
        storage: storage(observation),
    }
}

/// The system information that the observation holds; what is absent is empty.
pub fn system(observation: &Observation) -> SystemInfo<'_> {
    let host = &observation.fixed.host;
    let memory = observation.memory.as_ref().ok().and_then(Option::as_ref);
    SystemInfo {
        machine_id: text(&host.machine_id),
        system_uuid: text(&host.system_uuid),
        kernel_version: &host.kernel_release,
        // The kubelet's word where there is no os-release.
        os_image: Some(text(&host.os_image))
            .filter(|text| !text.is_empty())
            .unwrap_or("Unknown"),
        container_runtime_version: &observation.container_runtime,
        agent_version: env!("CARGO_PKG_VERSION"),
        operating_system: host.operating_system,
        architecture: &host.architecture,
        swap_capacity_bytes: memory
            .and_then(|memory| memory.swap_total_kib)
            .map(|kib| kib.saturating_mul(1024))
            .filter(|bytes| *bytes != 0),
    }
}

/// Which board it is; what nothing says is empty.
pub fn board(observation: &Observation) -> Board<'_> {
    let fixed = &observation.fixed;
    Board {
        name: &fixed.profile.name,
        model: text(&fixed.board.model),
        soc: fixed.profile.identity.soc.as_deref().unwrap_or_default(),
    }
}

/// What the root filesystem is stored on or, where that is in memory or layered over others, the
/// first disk that is mounted; empty if nothing tells.
pub fn storage(observation: &Observation) -> &'static str {
    let media = || each(&observation.fixed.media);
    let medium = |filesystem: &Filesystem| {
        let name = filesystem.source.strip_prefix("/dev/");
        let is_its = |medium: &&Medium| {
            // Some filesystems have a number of their own; some sources a name of their own.
            name == Some(medium.name.as_ref()) || medium.device == Ok(Some(filesystem.device))
        };
        media().find(is_its)?.kind.as_ref().ok().copied().flatten()
    };
    // The root filesystem is the first.
    let kind = each(&observation.filesystems).find_map(medium);
    kind.map(Kind::as_str).unwrap_or_default()
}

fn text(reading: &Reading<Box<str>>) -> &str {
    reading
        .as_ref()
        .ok()
        .and_then(Option::as_deref)
        .unwrap_or_default()
}

fn resources<const N: usize>(amounts: &[Amount]) -> heapless::Vec<Resource<'_>, N> {
    bounded(amounts.iter().map(|has| Resource {
        name: &has.name,
        amount: has.amount,
    }))
}

fn bounded<T, const N: usize>(items: impl Iterator<Item = T>) -> heapless::Vec<T, N> {
    items.take(N).collect()
}

fn present<T>(reading: &Reading<T>) -> Option<&T> {
    reading.as_ref().ok().and_then(Option::as_ref)
}

fn each<T>(reading: &Reading<Vec<T>>) -> impl Iterator<Item = &T> {
    present(reading).into_iter().flatten()
}

fn detail(observation: &Observation) -> Detail<'_> {
    let cores = present(&observation.cpu)
        .into_iter()
        .flat_map(|cpu| &cpu.cores);
    Detail {
        uptime: Uptime::from_ms(observation.uptime_ms),
        load: present(&observation.load).map(|load| {
            [
                CentiLoad(load.one_minute_hundredths),
                CentiLoad(load.five_minutes_hundredths),
                CentiLoad(load.fifteen_minutes_hundredths),
            ]
        }),
        cpus: bounded(cores.map(|(_, time)| CpuTimes {
            user: time.user_ticks,
            nice: time.nice_ticks,
            system: time.system_ticks,
            idle: time.idle_ticks,
            iowait: time.iowait_ticks,
            irq: time.irq_ticks,
            softirq: time.softirq_ticks,
            steal: time.steal_ticks,
        })),
        memory: present(&observation.memory).map(|memory| MemoryDetail {
            total: Kibibytes(memory.total_kib),
            free: Kibibytes(memory.free_kib),
            available: Kibibytes(memory.available_kib.unwrap_or_default()),
            buffers: Kibibytes(memory.buffers_kib.unwrap_or_default()),
            cached: Kibibytes(memory.cached_kib.unwrap_or_default()),
            swap_cached: Kibibytes(memory.swap_cached_kib.unwrap_or_default()),
            swap_total: Kibibytes(memory.swap_total_kib.unwrap_or_default()),
            swap_free: Kibibytes(memory.swap_free_kib.unwrap_or_default()),
        }),
        interfaces: bounded(
            each(&observation.interfaces).map(|interface| InterfaceDetail {
                name: &interface.name,
                received_bytes: interface.received_bytes,
                received_packets: interface.received_packets,
                received_errors: interface.received_errors,
                received_dropped: interface.received_drops,
                sent_bytes: interface.sent_bytes,
                sent_packets: interface.sent_packets,
                sent_errors: interface.sent_errors,
                sent_dropped: interface.sent_drops,
            }),
        ),
        disks: bounded(each(&observation.disks).map(|disk| DiskDetail {
            name: &disk.name,
            reads: disk.reads,
            sectors_read: disk.read_bytes / 512,
            writes: disk.writes,
            sectors_written: disk.written_bytes / 512,
            io_ms: disk.io_ms,
            io_weighted_ms: disk.weighted_io_ms,
        })),
        filesystems: bounded(each(&observation.filesystems).filter_map(filesystem)),
        clock: present(&observation.clock.timex).map(|timex| ClockDetail {
            is_synchronized: !timex.is_unsynchronised,
            offset_us: timex.offset_us,
            max_error_us: u64::try_from(timex.error_us_max).unwrap_or_default(),
        }),
    }
}

fn filesystem(filesystem: &Filesystem) -> Option<FilesystemDetail<'_>> {
    let usage = present(&filesystem.usage)?;
    Some(FilesystemDetail {
        device: &filesystem.source,
        mount_point: &filesystem.mount_point,
        fs_type: &filesystem.kind,
        size_bytes: usage.capacity_bytes,
        free_bytes: usage.free_bytes,
        available_bytes: usage.available_bytes,
        files: usage.inodes,
        files_free: usage.inodes_free,
        is_read_only: filesystem.is_super_read_only,
    })
}

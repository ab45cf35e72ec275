//! One simulated node: identity, plausible vitals that change, and its frames, which the
//! agent's own encoder writes.
//!
//! Deterministic but for the boot id and the first session's number, so that a fleet that is
//! started again is the same fleet rebooted and not a set of claimants of foreign names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use heapless::Vec as Bounded;
use nodling_agent::assess::Assessment;
use nodling_agent::encode::Encoder;
use nodling_protocol::condition::{ConditionKind, Status, Statuses};
use nodling_protocol::facts::{Address, AddressKind, Board, Label, Resource, SystemInfo};
use nodling_protocol::units::{
    CentiLoad, DeciCelsius, Kibibytes, Megahertz, Permille, Throttle, Uptime,
};
use nodling_protocol::{
    BootId, Facts, Fleet, Instance, NodeName, Topic, VERSION, Vitals, WillHash,
};

const MEMORY_KIB: u64 = 3_884_260;
const ROOT_BYTES: u64 = 31_268_536_320;

/// A node that exists only here.
#[derive(Debug)]
pub struct SimulatedNode {
    name: String,
    topic: String,
    down: String,
    ipv4: String,
    ipv6: String,
    machine_id: String,
    instance: Instance,
    boot_id: BootId,
    encoder: Encoder,
    assessment: Assessment,
    /// Uptime at the moment that the caller counts from.
    uptime_at_start: Duration,
    random: u64,
}

impl SimulatedNode {
    /// The node of this number; `boot` is random per run.
    pub fn new(fleet: Fleet<'_>, prefix: &str, number: usize, boot: u64) -> Result<Self> {
        let text = format!("{prefix}-{number:05}");
        let name = NodeName::parse(&text)?;
        let mut random = mix(number as u64 ^ 0x6E6F_646C_696E_6731);
        let instance = Instance(next(&mut random));
        let machine_id = format!("{:016x}{:016x}", next(&mut random), next(&mut random));
        let [_, _, _, _, _, a, b, c] = (number as u64).to_be_bytes();
        let mut boot_id = [0; 16];
        let mut boot_bits = mix(boot ^ instance.0);
        for chunk in boot_id.chunks_mut(8) {
            chunk.copy_from_slice(&next(&mut boot_bits).to_be_bytes());
        }
        let [session, ..] = next(&mut boot_bits).to_be_bytes();
        Ok(Self {
            topic: Topic::Up(name).render(fleet).as_str().to_owned(),
            down: Topic::Down(name).render(fleet).as_str().to_owned(),
            ipv4: format!("10.{a}.{b}.{c}"),
            ipv6: format!("2001:db8:0:{a:x}::{b:x}:{c:x}"),
            machine_id,
            instance,
            boot_id: BootId(boot_id),
            encoder: Encoder::new(instance, session),
            uptime_at_start: Duration::from_secs(3600 + next(&mut random) % 5_000_000),
            assessment: first_assessment(&mut random),
            random,
            name: text,
        })
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its frames go.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Where it is spoken to.
    pub fn down_topic(&self) -> &str {
        &self.down
    }

    /// Whether a frame of the gateway is meant for the node's present session.
    pub fn is_ours(&self, tag: u8, session: u8) -> bool {
        self.encoder.is_ours(tag, session)
    }

    /// Begins the next session, as an agent does on every connection and for every new gateway;
    /// its first frame must be Facts.
    pub fn open_session(&mut self) {
        self.encoder.open();
    }

    /// The next frame: Facts, about 500 bytes, at this time since the start.
    pub fn facts(
        &mut self,
        since: Duration,
        interval: Duration,
        will: WillHash,
    ) -> Result<Vec<u8>> {
        let memory = MEMORY_KIB * 1024;
        let facts = Facts {
            node: &self.name,
            instance: self.instance,
            boot_id: self.boot_id,
            will_hash: will,
            version_highest: VERSION,
            uptime: self.uptime(since),
            generation: 0,
            interval_ms: u32::try_from(interval.as_millis())?,
            system: SystemInfo {
                machine_id: &self.machine_id,
                system_uuid: &self.machine_id,
                kernel_version: "6.12.25+rpt-rpi-v8",
                os_image: "Debian GNU/Linux 12 (bookworm)",
                agent_version: env!("CARGO_PKG_VERSION"),
                operating_system: "linux",
                architecture: "arm64",
                ..SystemInfo::default()
            },
            capacity: resources(memory, ROOT_BYTES),
            allocatable: resources(memory - (100 << 20), ROOT_BYTES / 10 * 9),
            addresses: addresses([&self.ipv4, &self.ipv6, &self.name]),
            labels: labels(),
            taints: Bounded::new(),
            board: Some(Board {
                name: "rpi-4b",
                model: "Raspberry Pi 4 Model B Rev 1.5",
                soc: "bcm2711",
            }),
            sensors: Bounded::new(),
            conditions: Bounded::new(),
            register_node: true,
            storage: "sd",
        };
        Ok(self.encoder.facts(facts).to_vec())
    }

    /// The next frame: a heartbeat at this time since the start.
    pub fn beat(&mut self, since: Duration) -> Vec<u8> {
        self.drift();
        self.assessment.uptime = self.uptime(since);
        self.encoder.heartbeat(&self.assessment).to_vec()
    }

    fn uptime(&self, since: Duration) -> Uptime {
        let ms = (self.uptime_at_start + since).as_millis();
        Uptime::from_ms(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// Moves the numbers a little, and the counters forward.
    fn drift(&mut self) {
        let random = next(&mut self.random);
        let [busy, load, available, working, heat, cpu, io, traffic] = random.to_be_bytes();
        let vitals = &mut self.assessment.vitals;
        vitals.cpu_busy = Some(Permille(20 + u16::from(busy)));
        vitals.load1 = Some(CentiLoad(u32::from(load) / 2));
        vitals.memory_available = Some(Kibibytes(3_000_000 + u64::from(available) * 64));
        vitals.memory_working_set = Some(Kibibytes(600_000 + u64::from(working) * 64));
        vitals.temperature = Some(DeciCelsius(480 + i16::from(heat) / 4));
        vitals.cpu_pressure_some = Some(Permille(u16::from(cpu) / 8));
        vitals.io_pressure_some = Some(Permille(u16::from(io) / 16));
        for counter in [
            &mut vitals.network_received,
            &mut vitals.network_sent,
            &mut vitals.disk_written,
        ] {
            *counter = counter.map(|total| Kibibytes(total.0 + u64::from(traffic)));
        }
    }
}

/// The statuses of a board that can judge everything and has nothing to complain of.
pub fn all_is_well() -> Statuses {
    let mut statuses = Statuses::default();
    for &kind in ConditionKind::ALL {
        let status = if kind == ConditionKind::Ready {
            Status::True
        } else {
            Status::False
        };
        statuses = statuses.with(kind, status);
    }
    statuses
}

fn first_assessment(random: &mut u64) -> Assessment {
    let mut counter = || Some(Kibibytes((4 << 20) + next(random) % (64 << 20)));
    let vitals = Vitals {
        swap_used: Some(Kibibytes(0)),
        root_available: Some(Kibibytes(ROOT_BYTES / 1024 / 5 * 4)),
        throttle: Some(Throttle(0)),
        frequency: Some(Megahertz(1500)),
        memory_pressure_some: Some(Permille(0)),
        memory_pressure_full: Some(Permille(0)),
        io_pressure_full: Some(Permille(0)),
        network_received: counter(),
        network_sent: counter(),
        disk_read: counter(),
        disk_written: counter(),
        ..Vitals::default()
    };
    Assessment {
        uptime: Uptime(0),
        vitals,
        failures: Vec::new(),
        conditions: all_is_well(),
        custom: Statuses::default(),
        rules: Arc::default(),
        sensors: Vec::new(),
        capacity: Vec::new(),
        allocatable: Vec::new(),
        addresses: [].into(),
        address_error: None,
    }
}

fn resources(memory: u64, storage: u64) -> Bounded<Resource<'static>, 24> {
    [
        ("cpu", 4000),
        ("memory", memory),
        ("ephemeral-storage", storage),
        ("pods", 0),
    ]
    .into_iter()
    .map(|(name, amount)| Resource { name, amount })
    .collect()
}

fn addresses([ipv4, ipv6, name]: [&str; 3]) -> Bounded<Address<'_>, 16> {
    [
        (AddressKind::InternalIp, ipv4),
        (AddressKind::InternalIp, ipv6),
        (AddressKind::Hostname, name),
    ]
    .into_iter()
    .map(|(kind, address)| Address { kind, address })
    .collect()
}

/// What a board may ask for; the usual ones the gateway sets itself.
fn labels() -> Bounded<Label<'static>, 32> {
    [("nodling.dev/room", "attic")]
        .into_iter()
        .map(|(key, value)| Label { key, value })
        .collect()
}

/// The next of a sequence of numbers that look random (`SplitMix64`).
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mix(*state)
}

const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

//! A board as the tests need it: numbers its frames and says what it is told to.

use nodling_protocol::condition::ConditionKind as Kind;
use nodling_protocol::facts::{
    Address, AddressKind, Board as Model, Label, Resource, SystemInfo, Taint, TaintEffect,
};
use nodling_protocol::frame::{Message, Position, encode_clear};
use nodling_protocol::heartbeat::Readings;
use nodling_protocol::units::Uptime;
use nodling_protocol::{
    BootId, Bye, Facts, Heartbeat, Instance, MAX_FRAME_LEN, Status, Statuses, Vitals, Will,
};

use super::fake::T0_MS;
use crate::clock::Moment;

/// An agent on a board.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) name: &'static str,
    pub(super) instance: Instance,
    pub(super) boot: u8,
    pub(super) session: u8,
    pub(super) sequence: u64,
    /// When it was switched on.
    pub(super) booted_ms: u64,
    pub(super) generation: u16,
    pub(super) conditions: Statuses,
    pub(super) custom: Statuses,
    pub(super) vitals: Vitals,
    pub(super) labels: Vec<(&'static str, &'static str)>,
    pub(super) taints: Vec<(&'static str, &'static str)>,
    pub(super) addresses: Vec<(AddressKind, &'static str)>,
    pub(super) register_node: bool,
    /// What its owner has it offer, if anything.
    pub(super) pods: Option<u64>,
    pub(super) customs: Vec<(&'static str, &'static str)>,
}

impl Board {
    pub(super) fn new(name: &'static str, instance: u64) -> Self {
        let healthy = [
            Kind::MemoryPressure,
            Kind::DiskPressure,
            Kind::PidPressure,
            Kind::UnderVoltage,
        ];
        let conditions = healthy.into_iter().fold(Statuses::default(), |all, kind| {
            all.with(kind, Status::False)
        });
        Self {
            name,
            instance: Instance(instance),
            boot: 1,
            session: 0,
            sequence: 0,
            booted_ms: T0_MS - 5_000_000,
            generation: 0,
            conditions: conditions.with(Kind::Ready, Status::True),
            custom: Statuses::default(),
            vitals: Vitals::default(),
            labels: vec![("zone", "attic")],
            taints: Vec::new(),
            addresses: vec![
                (AddressKind::InternalIp, "192.168.1.7"),
                (AddressKind::InternalIp, "fd00::7"),
                (AddressKind::Hostname, name),
            ],
            register_node: true,
            pods: None,
            customs: Vec::new(),
        }
    }

    /// A new session.
    pub(super) fn reopen(&mut self) {
        self.session = self.session.wrapping_add(1);
        self.sequence = 0;
    }

    pub(super) fn will(&self) -> Will {
        Will([self.session.wrapping_add(self.boot.wrapping_mul(17)); 16])
    }

    fn uptime(&self, now: Moment) -> Uptime {
        Uptime::from_ms(now.as_ms() - self.booted_ms)
    }

    fn frame(&mut self, message: Message<'_, '_>) -> Vec<u8> {
        let mut buffer = [0; MAX_FRAME_LEN];
        let position = Position {
            tag: self.instance.tag(),
            session: self.session,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let len = encode_clear(&mut buffer, position, message).unwrap();
        buffer[..len].to_vec()
    }

    pub(super) fn facts(&mut self, now: Moment) -> Vec<u8> {
        let pods = self.pods.map(|pods| ("pods", pods));
        let list = |pairs: &[(&'static str, u64)]| {
            let pairs = pairs.iter().copied().chain(pods);
            pairs
                .map(|(name, amount)| Resource { name, amount })
                .collect()
        };
        let labels = self.labels.clone();
        let customs = self.customs.clone();
        let taints = self.taints.clone();
        let addresses = self.addresses.clone();
        let facts = Facts {
            node: self.name,
            instance: self.instance,
            boot_id: BootId([self.boot; 16]),
            will_hash: self.will().hash(),
            version_highest: 1,
            uptime: self.uptime(now),
            generation: self.generation,
            interval_ms: 10_000,
            system: SystemInfo {
                machine_id: "8fd1c0de",
                system_uuid: "8fd1c0de",
                kernel_version: "6.12.47+rpt-rpi-v8",
                os_image: "Debian GNU/Linux 13 (trixie)",
                agent_version: "0.1.0",
                operating_system: "linux",
                architecture: "arm64",
                ..SystemInfo::default()
            },
            capacity: list(&[("cpu", 4000), ("memory", 3_884_340 * 1024)]),
            allocatable: list(&[("cpu", 4000), ("memory", 3_781_940 * 1024)]),
            addresses: addresses
                .iter()
                .map(|&(kind, address)| Address { kind, address })
                .collect(),
            labels: labels
                .iter()
                .map(|&(key, value)| Label { key, value })
                .collect(),
            taints: taints
                .iter()
                .map(|&(key, value)| Taint {
                    key,
                    value,
                    effect: TaintEffect::NoSchedule,
                })
                .collect(),
            board: Some(Model {
                name: "rpi-4b",
                model: "Raspberry Pi 4 Model B",
                soc: "bcm2711",
            }),
            sensors: heapless::Vec::new(),
            conditions: customs
                .iter()
                .map(|&(name, rule)| nodling_protocol::facts::CustomCondition { name, rule })
                .collect(),
            register_node: self.register_node,
        };
        self.frame(Message::Facts(&facts))
    }

    pub(super) fn beat(&mut self, now: Moment) -> Vec<u8> {
        let beat = Heartbeat {
            uptime: self.uptime(now),
            generation: self.generation,
            conditions: self.conditions,
            custom: self.custom,
            vitals: self.vitals,
            failed: 0,
            readings: Readings::default(),
            unknown_tags: 0,
        };
        self.frame(Message::Heartbeat(&beat))
    }

    pub(super) fn bye(&mut self, bye: Bye) -> Vec<u8> {
        self.frame(Message::Bye(bye))
    }
}

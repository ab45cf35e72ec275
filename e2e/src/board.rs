//! A board played by hand: says what the test wants, when the test wants it.

use std::time::Instant;

use anyhow::Result;
use heapless::Vec as Bounded;
use nodling_protocol::condition::{ConditionKind, Status, Statuses};
use nodling_protocol::facts::{Label, Resource, SystemInfo};
use nodling_protocol::frame::{Message, Position, encode_clear};
use nodling_protocol::heartbeat::Readings;
use nodling_protocol::units::Uptime;
use nodling_protocol::{BootId, Facts, Heartbeat, Instance, MAX_FRAME_LEN, Vitals, Will};

/// One boot of one agent.
#[derive(Clone, Debug)]
pub struct Board {
    name: String,
    instance: Instance,
    boot_id: BootId,
    session: u8,
    sequence: u64,
    start: Instant,
}

impl Board {
    /// A board that booted a minute ago.
    pub fn new(name: &str, instance: u64, boot: u8) -> Self {
        Self {
            name: name.to_owned(),
            instance: Instance(instance),
            boot_id: BootId([boot; 16]),
            session: boot,
            sequence: 0,
            start: Instant::now(),
        }
    }

    /// Its topic.
    pub fn topic(&self) -> String {
        format!("nodling/home/up/{}", self.name)
    }

    /// Facts, with these labels asked for.
    pub fn facts(&mut self, labels: &[(&str, &str)]) -> Result<Vec<u8>> {
        let name = self.name.clone();
        let cpu = Resource {
            name: "cpu",
            amount: 4000,
        };
        let memory = Resource {
            name: "memory",
            amount: 1 << 30,
        };
        let resources: Bounded<_, _> = [cpu, memory].into_iter().collect();
        let facts = Facts {
            node: &name,
            instance: self.instance,
            boot_id: self.boot_id,
            will_hash: Will([0; 16]).hash(),
            version_highest: nodling_protocol::VERSION,
            uptime: self.uptime(),
            generation: 0,
            interval_ms: 1000,
            system: SystemInfo {
                operating_system: "linux",
                architecture: "arm64",
                agent_version: "0.1.0",
                ..SystemInfo::default()
            },
            capacity: resources.clone(),
            allocatable: resources,
            addresses: Bounded::new(),
            labels: labels
                .iter()
                .map(|&(key, value)| Label { key, value })
                .collect(),
            taints: Bounded::new(),
            board: None,
            sensors: Bounded::new(),
            conditions: Bounded::new(),
            register_node: true,
            storage: "sd",
        };
        self.frame(Message::Facts(&facts))
    }

    /// The next heartbeat: all is well.
    pub fn beat(&mut self) -> Result<Vec<u8>> {
        let conditions = Statuses::default()
            .with(ConditionKind::MemoryPressure, Status::False)
            .with(ConditionKind::DiskPressure, Status::False)
            .with(ConditionKind::PidPressure, Status::False)
            .with(ConditionKind::Ready, Status::True);
        let beat = Heartbeat {
            uptime: self.uptime(),
            generation: 0,
            conditions,
            custom: Statuses::default(),
            vitals: Vitals::default(),
            failed: 0,
            readings: Readings::default(),
            unknown_tags: 0,
        };
        self.frame(Message::Heartbeat(&beat))
    }

    fn uptime(&self) -> Uptime {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Uptime::from_ms(60_000 + since)
    }

    fn frame(&mut self, message: Message<'_, '_>) -> Result<Vec<u8>> {
        let tag = self.instance.tag();
        let position = Position {
            tag,
            session: self.session,
            sequence: self.sequence,
        };
        let mut frame = vec![0; MAX_FRAME_LEN];
        let len = encode_clear(&mut frame, position, message)?;
        frame.truncate(len);
        self.sequence += 1;
        Ok(frame)
    }
}

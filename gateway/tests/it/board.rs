//! An agent played by hand: frames as the real one encodes them, when a test says so.

use std::net::SocketAddr;

use bytes::Bytes;
use nodling_gateway::time::Clocks;
use nodling_protocol::facts::{Address, AddressKind, Facts, Resource, SystemInfo};
use nodling_protocol::frame::{Message, Position, encode_clear, encode_will};
use nodling_protocol::heartbeat::Readings;
use nodling_protocol::units::Uptime;
use nodling_protocol::{
    BootId, Bye, ConditionKind, Heartbeat, Instance, MAX_FRAME_LEN, Status, Statuses, Vitals, Will,
};

use crate::peer::Peer;

/// One board and its connection.
pub(crate) struct Board {
    pub(crate) peer: Peer,
    pub(crate) name: String,
    pub(crate) instance: Instance,
    pub(crate) will: Will,
    session: u8,
    sequence: u64,
}

impl Board {
    pub(crate) async fn connect(broker: SocketAddr, name: &str, instance: u64) -> Self {
        let down = format!("nodling/home/down/{name}");
        let id = format!("nodling-{name}-{instance:x}");
        Self {
            peer: Peer::connect(broker, &id, &[&down]).await,
            name: name.to_owned(),
            instance: Instance(instance),
            will: Will([9; 16]),
            session: 1,
            sequence: 0,
        }
    }

    /// The same agent on a new connection.
    pub(crate) async fn reconnect(&mut self, broker: SocketAddr) {
        self.peer = Self::connect(broker, &self.name, self.instance.0)
            .await
            .peer;
    }

    /// Booted with this machine: any uptime would do that grows with time.
    fn uptime() -> Uptime {
        Uptime::from_ms(Clocks::system(false).moment().as_ms())
    }

    fn frame(&mut self, message: Message<'_, '_>) -> Vec<u8> {
        let position = Position {
            tag: self.instance.tag(),
            session: self.session,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let mut buffer = [0; MAX_FRAME_LEN];
        let len = encode_clear(&mut buffer, position, message).unwrap();
        buffer[..len].to_vec()
    }

    async fn up(&self, frame: &[u8]) {
        let topic = format!("nodling/home/up/{}", self.name);
        self.peer.publish(&topic, frame, false).await;
    }

    pub(crate) async fn facts(&mut self) {
        let frame = self.facts_frame();
        self.up(&frame).await;
    }

    pub(crate) fn facts_frame(&mut self) -> Vec<u8> {
        let name = self.name.clone();
        let memory = |amount| Resource {
            name: "memory",
            amount,
        };
        let cpu = Resource {
            name: "cpu",
            amount: 4000,
        };
        let address = Address {
            kind: AddressKind::InternalIp,
            address: "192.168.1.7",
        };
        let facts = Facts {
            node: &name,
            instance: self.instance,
            boot_id: BootId([3; 16]),
            will_hash: self.will.hash(),
            version_highest: 1,
            uptime: Self::uptime(),
            generation: 0,
            interval_ms: 10_000,
            system: SystemInfo {
                kernel_version: "6.12.0",
                os_image: "Debian GNU/Linux 13",
                agent_version: "0.1.0",
                operating_system: "linux",
                architecture: "arm64",
                ..SystemInfo::default()
            },
            capacity: [cpu, memory(4 << 30)].into_iter().collect(),
            allocatable: [cpu, memory(3 << 30)].into_iter().collect(),
            addresses: [address].into_iter().collect(),
            labels: [].into_iter().collect(),
            taints: [].into_iter().collect(),
            board: None,
            sensors: [].into_iter().collect(),
            conditions: [].into_iter().collect(),
            register_node: true,
            storage: "sd",
        };
        self.frame(Message::Facts(&facts))
    }

    pub(crate) fn beat_frame(&mut self) -> Vec<u8> {
        let conditions = Statuses::default()
            .with(ConditionKind::Ready, Status::True)
            .with(ConditionKind::MemoryPressure, Status::False)
            .with(ConditionKind::DiskPressure, Status::False)
            .with(ConditionKind::PidPressure, Status::False);
        let beat = Heartbeat {
            uptime: Self::uptime(),
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

    pub(crate) async fn beat(&mut self) {
        let frame = self.beat_frame();
        self.up(&frame).await;
    }

    pub(crate) async fn bye(&mut self, bye: Bye) {
        let frame = self.frame(Message::Bye(bye));
        self.up(&frame).await;
    }

    /// What the broker would say.
    pub(crate) async fn break_off(&self) {
        let mut buffer = [0; 64];
        let len = encode_will(&mut buffer, &self.will).unwrap();
        let topic = format!("nodling/home/will/{}", self.name);
        self.peer.publish(&topic, &buffer[..len], false).await;
    }

    /// The gateway's next frame.
    pub(crate) async fn down(&mut self) -> Bytes {
        self.peer.message().await.1
    }
}

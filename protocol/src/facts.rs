//! Facts: everything about a board that changes slowly; the first frame of a session.
//!
//! Sent at session start, when something in it changes (the generation counts that), and on
//! request. Strings are borrowed from the frame; every list is bounded, so that the hostile and
//! the unlucky alike end in a small error.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::condition::{ConditionKind, Status};
use crate::session::{BootId, Instance, WillHash};
use crate::units::{Unit, Uptime};
use crate::wire::{DecodeError, from_postcard};

/// Most resources in capacity or allocatable.
pub const MAX_RESOURCES: usize = 24;
/// Most addresses.
pub const MAX_ADDRESSES: usize = 16;
/// Most labels.
pub const MAX_LABELS: usize = 32;
/// Most taints.
pub const MAX_TAINTS: usize = 8;
/// Most custom conditions; their statuses fit one [`crate::Statuses`].
pub const MAX_CUSTOM_CONDITIONS: usize = 16;

/// What a board is, as opposed to how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts<'a> {
    /// The node's name, which must be the topic's.
    pub node: &'a str,
    /// Who claims the name.
    pub instance: Instance,
    /// Which boot this is.
    pub boot_id: BootId,
    /// Hash of the present connection's will.
    pub will_hash: WillHash,
    /// The highest protocol version the agent speaks.
    pub version_highest: u8,
    /// When this was observed.
    pub uptime: Uptime,
    /// Counts changes within the session, from 0; heartbeats name it.
    pub generation: u16,
    /// How often heartbeats come.
    pub interval_ms: u32,
    /// Becomes `status.nodeInfo`.
    pub system: SystemInfo<'a>,
    /// What the board has.
    pub capacity: Vec<Resource<'a>, MAX_RESOURCES>,
    /// What of it is left after reservations.
    pub allocatable: Vec<Resource<'a>, MAX_RESOURCES>,
    /// In the order in which Kubernetes is to list them; none leaves those that it lists.
    pub addresses: Vec<Address<'a>, MAX_ADDRESSES>,
    /// Asked for; the gateway decides.
    pub labels: Vec<Label<'a>, MAX_LABELS>,
    /// Asked for at registration.
    pub taints: Vec<Taint<'a>, MAX_TAINTS>,
    /// What model it is, if that is known.
    pub board: Option<Board<'a>>,
    /// Names the positions of [`crate::heartbeat::Readings`].
    pub sensors: Vec<Sensor<'a>, { crate::heartbeat::MAX_SENSORS }>,
    /// Names the positions of [`crate::Heartbeat::custom`].
    pub conditions: Vec<CustomCondition<'a>, MAX_CUSTOM_CONDITIONS>,
    /// Whether a Node may be made for this board, or only one that is there be kept up.
    pub register_node: bool,
    /// What the board is stored on, for example `sd`; empty if nothing tells. A word and no
    /// number, since a gateway need not know it to make a label of it.
    pub storage: &'a str,
}

/// The fields of a Kubernetes `NodeSystemInfo` that a board knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemInfo<'a> {
    /// `/etc/machine-id`.
    pub machine_id: &'a str,
    /// The firmware's UUID, or the machine id where there is none.
    pub system_uuid: &'a str,
    /// `uname -r`.
    pub kernel_version: &'a str,
    /// `PRETTY_NAME` of os-release.
    pub os_image: &'a str,
    /// `<type>://<version>`, empty without a container runtime.
    pub container_runtime_version: &'a str,
    /// The agent's version, without decoration.
    pub agent_version: &'a str,
    /// `linux`.
    pub operating_system: &'a str,
    /// As Go names it: `arm64`, `arm`, `amd64`.
    pub architecture: &'a str,
    /// `SwapTotal`, if there is swap.
    pub swap_capacity_bytes: Option<u64>,
}

/// An amount of something; `cpu` in thousandths, everything else in bytes or pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource<'a> {
    /// As Kubernetes names it.
    pub name: &'a str,
    /// How much.
    pub amount: u64,
}

/// What an address is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AddressKind {
    /// Reachable inside the home or cluster.
    InternalIp,
    /// Reachable from outside.
    ExternalIp,
    /// The host's name.
    Hostname,
    /// A name that resolves inside.
    InternalDns,
    /// A name that resolves outside.
    ExternalDns,
}

impl AddressKind {
    /// As the Kubernetes API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InternalIp => "InternalIP",
            Self::ExternalIp => "ExternalIP",
            Self::Hostname => "Hostname",
            Self::InternalDns => "InternalDNS",
            Self::ExternalDns => "ExternalDNS",
        }
    }
}

/// Where a node can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address<'a> {
    /// Kind.
    pub kind: AddressKind,
    /// Address or name.
    pub address: &'a str,
}

/// A Kubernetes label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label<'a> {
    /// Key.
    pub key: &'a str,
    /// Value.
    pub value: &'a str,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaintEffect {
    /// Nothing new is scheduled.
    NoSchedule,
    /// Nothing new is scheduled if it can be helped.
    PreferNoSchedule,
    /// What runs is evicted too.
    NoExecute,
}

impl TaintEffect {
    /// As the Kubernetes API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A Kubernetes taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint<'a> {
    /// Key.
    pub key: &'a str,
    /// Value, may be empty.
    pub value: &'a str,
    /// Effect.
    pub effect: TaintEffect,
}

/// Which model a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board<'a> {
    /// The profile's name.
    pub name: &'a str,
    /// What the device tree says.
    pub model: &'a str,
    /// System on a chip, if the profile or the device tree says.
    pub soc: &'a str,
}

/// What stands at one position of a heartbeat's readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensor<'a> {
    /// Name, unique on the board.
    pub name: &'a str,
    /// Unit.
    pub unit: Unit,
    /// The reading is multiplied by ten to this power.
    pub exponent: i8,
}

/// A condition that the board's owner defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomCondition<'a> {
    /// The type as it stands in `status.conditions[].type`.
    pub name: &'a str,
    /// The rule in the owner's words; becomes the message.
    pub rule: &'a str,
}

impl<'a> CustomCondition<'a> {
    /// No type is longer.
    pub const NAME_LEN_MAX: usize = 63;

    /// Whether an owner's condition may be of this type: CamelCase, and none that is known.
    pub fn is_name(name: &str) -> bool {
        let bytes = name.as_bytes();
        bytes.len() <= Self::NAME_LEN_MAX
            && bytes.first().is_some_and(u8::is_ascii_uppercase)
            && bytes.iter().all(u8::is_ascii_alphanumeric)
            && ConditionKind::ALL.iter().all(|kind| kind.as_str() != name)
    }

    /// The reason for a status, which is the reason of its Event as well.
    pub const fn reason(self, status: Status) -> CustomReason<'a> {
        CustomReason {
            name: self.name,
            status,
        }
    }
}

/// Shows why a custom condition has its status: its type, the same after `No`, or that the
/// reading failed.
#[derive(Clone, Copy, Debug)]
pub struct CustomReason<'a> {
    name: &'a str,
    status: Status,
}

impl fmt::Display for CustomReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Status::True => f.write_str(self.name),
            Status::False => write!(f, "No{}", self.name),
            Status::Unknown => f.write_str("ReadingFailed"),
        }
    }
}

impl<'a> Facts<'a> {
    /// Decodes the message of a frame whose kind is [`crate::Kind::Facts`].
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        from_postcard(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_custom_condition_is_named_like_a_condition_and_shadows_none() {
        for name in ["EnclosureHot", "X", "GPIO4High", &"A".repeat(63)] {
            assert!(CustomCondition::is_name(name), "{name}");
        }
        let known = ConditionKind::ALL.iter().map(|kind| kind.as_str());
        let long = "A".repeat(64);
        for name in known.chain(["", "hot", "4Hot", "Too Hot", "Too-Hot", "Hei\u{df}", &long]) {
            assert!(!CustomCondition::is_name(name), "{name}");
        }
    }

    #[test]
    fn a_custom_condition_gives_its_name_as_reason() {
        let custom = CustomCondition {
            name: "DoorOpen",
            rule: "door > 0",
        };
        let reasons = [Status::True, Status::False, Status::Unknown]
            .map(|status| custom.reason(status).to_string());
        assert_eq!(reasons, ["DoorOpen", "NoDoorOpen", "ReadingFailed"]);
    }
}

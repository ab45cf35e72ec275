//! Turns Kubernetes objects into what `reconcile` compares: what Kubernetes holds now, trimmed.
//!
//! Ten thousand Nodes are kept in this form, so texts that are only compared are kept as
//! hashes, and texts that are written again (taints, recorded labels) as they are.

use core::hash::{Hash, Hasher};
use std::collections::BTreeMap;
use std::hash::DefaultHasher;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use nodling_protocol::{ConditionKind, Status};

/// Annotation that names the agent a Node belongs to: `<fleet>/<instance>`.
pub const OWNER_ANNOTATION: &str = "nodling.dev/owner";
/// Annotation that lists the label keys we set, so that a dropped key can be removed.
pub const LABELS_ANNOTATION: &str = "nodling.dev/labels";

/// A hash that is the same in every process.
pub(crate) fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Something that `watch` saw.
#[derive(Clone, Debug, PartialEq)]
pub enum SeenChange {
    /// A Node is there, or changed.
    Node(Box<SeenNode>),
    /// A Node was deleted.
    NodeGone(Gone),
    /// A Lease of `kube-node-lease` is there, or changed.
    Lease(SeenLease),
    /// A Lease of `kube-node-lease` was deleted.
    LeaseGone(Gone),
    /// A list begins: what is not named before [`SeenChange::Relisted`] is gone.
    Relisting(Collection),
    /// The list is complete.
    Relisted(Collection),
    /// The watch broke; what was seen may be out of date until the next list.
    Lost(Collection),
}

/// A deleted object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// `metadata.name`.
    pub name: Box<str>,
    /// The deletion's resourceVersion: an object that is newer was made since.
    pub resource_version: Box<str>,
}

/// What is listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collection {
    /// Leases of the namespace `kube-node-lease`.
    Leases,
    /// Nodes.
    Nodes,
}

/// A Node, trimmed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenNode {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
    /// `metadata.creationTimestamp`.
    pub creation: Option<Timestamp>,
    /// Whether the Node is on its way out.
    pub is_deleting: bool,
    /// Every label.
    pub labels: Pairs,
    /// [`OWNER_ANNOTATION`].
    pub owner: Option<Box<str>>,
    /// [`LABELS_ANNOTATION`].
    pub recorded_labels: Option<Box<str>>,
    /// `spec.taints`, whole, because they are written whole.
    pub taints: Box<[Taint]>,
    /// `spec.unschedulable`.
    pub is_unschedulable: bool,
    /// Whether `spec.providerID` is set; once set it never changes.
    pub has_provider_id: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// `status.nodeInfo.kubeletVersion`.
    pub kubelet_version: Box<str>,
    /// Digest of `status.nodeInfo.bootID`; 0 when that is empty.
    pub boot_id: u64,
    /// Every condition, in the order of the API object.
    pub conditions: Box<[SeenCondition]>,
    /// `status.capacity`.
    pub capacity: Pairs,
    /// `status.allocatable`.
    pub allocatable: Pairs,
    /// Extended resources that are allocatable otherwise than `extended` says.
    pub extended: Box<[Extended]>,
    /// Digest of what is owned as a whole: see `facts_digest`.
    pub facts: u64,
    /// Digest of `status.addresses`, in their order.
    pub addresses: u64,
    /// Digest of the zone and region labels.
    pub zone: u64,
}

/// A map of texts, hashed: enough to tell whether a key is there and has a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Box<[(u64, u64)]>);

impl Pairs {
    fn collect<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .map(|(key, value)| (digest(key), digest(value)))
                .collect(),
        )
    }

    fn from_quantities(quantities: Option<&BTreeMap<String, Quantity>>) -> Self {
        Self::collect(
            quantities
                .into_iter()
                .flatten()
                .map(|(key, quantity)| (key.as_str(), quantity.0.as_str())),
        )
    }

    /// Whether the key is there, whatever its value.
    pub fn has_key(&self, key: &str) -> bool {
        let key = digest(key);
        self.0.iter().any(|pair| pair.0 == key)
    }

    /// Whether the key is there with this value.
    pub fn has(&self, key: &str, value: &str) -> bool {
        self.0.contains(&(digest(key), digest(value)))
    }
}

/// An extended resource, and how much of it should be allocatable; `None`: it should not be there.
pub type Extended = (Box<str>, Option<Box<str>>);

/// What kubelet makes of extended resources, which others advertise in `status.capacity`: all of
/// one is allocatable, and one that is no capacity any more is not.
fn extended(status: &NodeStatus) -> Box<[Extended]> {
    let amounts = |amounts: &Option<BTreeMap<String, Quantity>>| {
        let extended = amounts.iter().flatten();
        let extended = extended.filter(|(name, _)| is_extended(name));
        extended
            .map(|(name, amount)| (name.clone(), amount.0.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let (capacity, allocatable) = (amounts(&status.capacity), amounts(&status.allocatable));
    let missing = capacity
        .iter()
        .filter(|&(name, amount)| allocatable.get(name) != Some(amount));
    let missing =
        missing.map(|(name, amount)| (name.as_str().into(), Some(amount.as_str().into())));
    let over = allocatable
        .keys()
        .filter(|name| !capacity.contains_key(*name));
    missing
        .chain(over.map(|name| (name.as_str().into(), None)))
        .collect()
}

/// Named by a domain that is not Kubernetes' own.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not set, or set to something else.
    #[default]
    Absent,
    /// Registered, no heartbeat yet.
    Pending,
    /// Beating.
    Running,
    /// Left for good.
    Terminated,
}

/// A condition, trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCondition {
    /// Which.
    pub kind: ConditionType,
    /// Status; `None` when it is none of Kubernetes' three.
    pub status: Option<Status>,
    /// Digest of reason and message.
    pub words: u64,
    /// `lastTransitionTime`.
    pub transition: Option<Timestamp>,
    /// `lastHeartbeatTime`.
    pub heartbeat: Option<Timestamp>,
}

/// The type of a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// One that every gateway knows.
    Known(ConditionKind),
    /// Any other.
    Other(Box<str>),
}

/// A Lease, trimmed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenLease {
    /// `metadata.name`: the node's.
    pub name: Box<str>,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
    /// Uid of the Node among `metadata.ownerReferences`; empty when there is none.
    pub owner_uid: Box<str>,
    /// Whether `spec.holderIdentity` is the node's name.
    pub is_held_by_node: bool,
    /// `spec.renewTime`.
    pub renewed: Option<Timestamp>,
    /// What others put on it: a Lease is written whole. Rarely there.
    pub foreign: Option<Box<Foreign>>,
}

/// The metadata of a Lease that is not ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foreign {
    /// `metadata.labels`.
    pub labels: Option<BTreeMap<String, String>>,
    /// `metadata.annotations`.
    pub annotations: Option<BTreeMap<String, String>>,
    /// `metadata.finalizers`.
    pub finalizers: Option<Vec<String>>,
    /// `metadata.ownerReferences` but for the Node.
    pub owners: Vec<OwnerReference>,
}

impl SeenNode {
    /// Keeps what is compared.
    pub fn trim(node: &Node) -> Self {
        let metadata = &node.metadata;
        let spec = node.spec.clone().unwrap_or_default();
        let default = NodeStatus::default();
        let status = node.status.as_ref().unwrap_or(&default);
        let labels = metadata.labels.as_ref();
        let label = |key: &str| labels.and_then(|labels| labels.get(key));
        let annotation = |key| {
            let annotations = metadata.annotations.as_ref()?;
            annotations.get(key).map(|value| value.as_str().into())
        };
        let info = status.node_info.as_ref();
        Self {
            name: metadata.name.as_deref().unwrap_or_default().into(),
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: metadata
                .resource_version
                .as_deref()
                .unwrap_or_default()
                .into(),
            creation: metadata.creation_timestamp.as_ref().map(|time| time.0),
            is_deleting: metadata.deletion_timestamp.is_some(),
            labels: Pairs::collect(
                labels
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| (key.as_str(), value.as_str())),
            ),
            owner: annotation(OWNER_ANNOTATION),
            recorded_labels: annotation(LABELS_ANNOTATION),
            taints: spec.taints.unwrap_or_default().into(),
            is_unschedulable: spec.unschedulable.unwrap_or_default(),
            has_provider_id: spec.provider_id.is_some_and(|id| !id.is_empty()),
            phase: Phase::parse(status.phase.as_deref()),
            kubelet_version: info
                .map(|info| info.kubelet_version.as_str())
                .unwrap_or_default()
                .into(),
            boot_id: info.map_or(0, |info| boot_id_digest(&info.boot_id)),
            conditions: status
                .conditions
                .iter()
                .flatten()
                .map(SeenCondition::trim)
                .collect(),
            capacity: Pairs::from_quantities(status.capacity.as_ref()),
            allocatable: Pairs::from_quantities(status.allocatable.as_ref()),
            extended: extended(status),
            facts: facts_digest(status),
            addresses: addresses_digest(status),
            zone: digest(&(
                label("topology.kubernetes.io/region"),
                label("topology.kubernetes.io/zone"),
            )),
        }
    }

    /// Bytes that it takes, heap included.
    pub fn memory_bytes(&self) -> usize {
        let taint_heap = |taint: &Taint| taint.key.len() + taint.effect.len();
        let condition_heap = |condition: &SeenCondition| match &condition.kind {
            ConditionType::Known(_) => 0,
            ConditionType::Other(text) => text.len(),
        };
        let pairs = [&self.labels, &self.capacity, &self.allocatable];
        let extended_heap = |(name, amount): &Extended| {
            name.len() + amount.as_ref().map_or(0, |amount| amount.len())
        };
        size_of::<Self>()
            + self.name.len()
            + self.uid.len()
            + self.resource_version.len()
            + self.kubelet_version.len()
            + self.owner.as_ref().map_or(0, |text| text.len())
            + self.recorded_labels.as_ref().map_or(0, |text| text.len())
            + pairs
                .map(|pairs| size_of_val(&*pairs.0))
                .iter()
                .sum::<usize>()
            + size_of_val(&*self.taints)
            + self.taints.iter().map(taint_heap).sum::<usize>()
            + size_of_val(&*self.extended)
            + self.extended.iter().map(extended_heap).sum::<usize>()
            + size_of_val(&*self.conditions)
            + self.conditions.iter().map(condition_heap).sum::<usize>()
    }

    /// The condition of a type.
    pub fn condition(&self, kind: &ConditionType) -> Option<&SeenCondition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == *kind)
    }

    /// The condition of a known kind.
    pub fn known(&self, kind: ConditionKind) -> Option<&SeenCondition> {
        self.condition(&ConditionType::Known(kind))
    }
}

/// Digest of a boot id as `nodeInfo` has it; 0 for none.
pub(crate) fn boot_id_digest(boot_id: &str) -> u64 {
    if boot_id.is_empty() {
        0
    } else {
        digest(boot_id)
    }
}

/// Digest of the list of addresses, which is written whole or not at all.
pub(crate) fn addresses_digest(status: &NodeStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    for address in status.addresses.iter().flatten() {
        (&address.type_, &address.address).hash(&mut hasher);
    }
    hasher.finish()
}

/// Digest of the parts of a status that we own as a whole: nodeInfo and daemonEndpoints.
/// Capacity is not among them: others may add resources to it.
pub(crate) fn facts_digest(status: &NodeStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(info) = &status.node_info {
        (
            &info.machine_id,
            &info.system_uuid,
            &info.boot_id,
            &info.kernel_version,
            &info.os_image,
            &info.container_runtime_version,
            &info.kubelet_version,
            &info.operating_system,
            &info.architecture,
            info.swap.as_ref().and_then(|swap| swap.capacity),
        )
            .hash(&mut hasher);
    }
    let port = status
        .daemon_endpoints
        .as_ref()
        .and_then(|endpoints| endpoints.kubelet_endpoint.as_ref())
        .map_or(0, |endpoint| endpoint.port);
    port.hash(&mut hasher);
    hasher.finish()
}

impl Phase {
    fn parse(phase: Option<&str>) -> Self {
        match phase {
            Some("Pending") => Self::Pending,
            Some("Running") => Self::Running,
            Some("Terminated") => Self::Terminated,
            _ => Self::Absent,
        }
    }

    /// As the Kubernetes API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Terminated => "Terminated",
        }
    }
}

impl SeenCondition {
    fn trim(condition: &NodeCondition) -> Self {
        Self {
            kind: ConditionType::parse(&condition.type_),
            status: match condition.status.as_str() {
                "True" => Some(Status::True),
                "False" => Some(Status::False),
                "Unknown" => Some(Status::Unknown),
                _ => None,
            },
            words: words_digest(
                condition.reason.as_deref().unwrap_or_default(),
                condition.message.as_deref().unwrap_or_default(),
            ),
            transition: condition.last_transition_time.as_ref().map(|time| time.0),
            heartbeat: condition.last_heartbeat_time.as_ref().map(|time| time.0),
        }
    }
}

/// Digest of a condition's reason and message.
pub(crate) fn words_digest(reason: &str, message: &str) -> u64 {
    digest(&(reason, message))
}

impl ConditionType {
    /// From `status.conditions[].type`.
    pub fn parse(text: &str) -> Self {
        ConditionKind::ALL
            .iter()
            .find(|kind| kind.as_str() == text)
            .map_or_else(|| Self::Other(text.into()), |&kind| Self::Known(kind))
    }

    /// As the Kubernetes API spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Other(text) => text,
        }
    }
}

impl SeenLease {
    pub(crate) fn heap_bytes(&self) -> usize {
        self.name.len() + self.resource_version.len() + self.owner_uid.len()
    }

    /// Keeps what is compared.
    pub fn trim(lease: &Lease) -> Self {
        let metadata = &lease.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        let spec = lease.spec.as_ref();
        let owners = metadata.owner_references.clone().unwrap_or_default();
        let (nodes, owners): (Vec<_>, Vec<_>) = owners
            .into_iter()
            .partition(|owner| owner.kind == "Node" && owner.name == name);
        let owner = nodes.first();
        let foreign = Foreign {
            labels: metadata.labels.clone(),
            annotations: metadata.annotations.clone(),
            finalizers: metadata.finalizers.clone(),
            owners,
        };
        Self {
            name: name.into(),
            resource_version: metadata
                .resource_version
                .as_deref()
                .unwrap_or_default()
                .into(),
            owner_uid: owner
                .map(|owner| owner.uid.as_str())
                .unwrap_or_default()
                .into(),
            is_held_by_node: spec.and_then(|spec| spec.holder_identity.as_deref()) == Some(name),
            renewed: spec
                .and_then(|spec| spec.renew_time.as_ref())
                .map(|time| time.0),
            foreign: (foreign != Foreign::default()).then(|| Box::new(foreign)),
        }
    }
}

//! The closed set of resources this API serves, with what discovery, routing and rendering must
//! know of each. Pods are listed, always empty, because `kubectl drain` and `describe node` fail
//! without them; a board runs none.

/// A resource that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `v1` Nodes.
    Nodes,
    /// `v1` Namespaces.
    Namespaces,
    /// `v1` Events.
    Events,
    /// `coordination.k8s.io/v1` Leases.
    Leases,
    /// `v1` Pods: none, ever.
    Pods,
}

/// What does not change about a resource.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) is_namespaced: bool,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) verbs: &'static [&'static str],
    pub(crate) has_status: bool,
}

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

static NODES: Facts = Facts {
    plural: "nodes",
    singular: "node",
    kind: "Node",
    group: "",
    version: "v1",
    is_namespaced: false,
    short_names: &["no"],
    categories: &[],
    verbs: ALL_VERBS,
    has_status: true,
};
static NAMESPACES: Facts = Facts {
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    short_names: &["ns"],
    verbs: &[
        "create", "delete", "get", "list", "patch", "update", "watch",
    ],
    has_status: false,
    ..NODES
};
static EVENTS: Facts = Facts {
    plural: "events",
    singular: "event",
    kind: "Event",
    is_namespaced: true,
    short_names: &["ev"],
    has_status: false,
    ..NODES
};
static LEASES: Facts = Facts {
    plural: "leases",
    singular: "lease",
    kind: "Lease",
    group: "coordination.k8s.io",
    is_namespaced: true,
    short_names: &[],
    has_status: false,
    ..NODES
};
static PODS: Facts = Facts {
    plural: "pods",
    singular: "pod",
    kind: "Pod",
    is_namespaced: true,
    short_names: &["po"],
    categories: &["all"],
    has_status: false,
    ..NODES
};

impl Resource {
    /// Every resource, in the order discovery lists them.
    pub const ALL: [Self; 5] = [
        Self::Nodes,
        Self::Namespaces,
        Self::Events,
        Self::Leases,
        Self::Pods,
    ];

    pub(crate) fn facts(self) -> &'static Facts {
        match self {
            Self::Nodes => &NODES,
            Self::Namespaces => &NAMESPACES,
            Self::Events => &EVENTS,
            Self::Leases => &LEASES,
            Self::Pods => &PODS,
        }
    }

    /// Finds the resource that a path names.
    pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| {
            let facts = resource.facts();
            facts.group == group && facts.version == version && facts.plural == plural
        })
    }

    /// Finds a resource by its plural name, which no two share.
    pub(crate) fn by_plural(plural: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|resource| resource.facts().plural == plural)
    }

    /// `nodes`, or `leases.coordination.k8s.io`.
    pub(crate) fn qualified(self) -> String {
        let facts = self.facts();
        match facts.group {
            "" => facts.plural.to_owned(),
            group => format!("{}.{group}", facts.plural),
        }
    }

    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::Leases => "coordination.k8s.io/v1",
            Self::Nodes | Self::Namespaces | Self::Events | Self::Pods => "v1",
        }
    }

    /// The place in an array of one item per resource.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Nodes => 0,
            Self::Namespaces => 1,
            Self::Events => 2,
            Self::Leases => 3,
            Self::Pods => 4,
        }
    }
}

/// Namespaces that always exist and cannot be deleted.
pub(crate) const FIXED_NAMESPACES: [&str; 4] =
    ["default", "kube-node-lease", "kube-public", "kube-system"];

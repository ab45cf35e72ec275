//! Keeps what is read rarely, and reads the rest at every tick.
//!
//! A tick opens about a dozen files. What does not change is read every five minutes, addresses
//! and routes every half minute or when [`Observer::refresh`] asks for it.

use std::sync::Arc;

use super::root::Root;
use super::{
    Config, Fixed, Links, Observation, Reading, board, clock, cpu, disk, frequency, host, load,
    memory, mount, network, power, pressure, thermal,
};

/// Facts are compared, and sent when they differ, about as often as a kubelet writes its status.
const FIXED_EVERY_MS: u64 = 5 * 60 * 1000;

/// A new address is known at the gateway within a minute.
const LINKS_EVERY_MS: u64 = 30 * 1000;

/// Whether each core and counter is wanted, or only what a heartbeat carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What a heartbeat carries.
    Dropped,
    /// Every core too, and the paging counters.
    Kept,
}

/// Reads one board again and again.
#[derive(Debug)]
pub struct Observer {
    root: Root,
    config: Config,
    fixed: Option<Kept<Fixed>>,
    layout: Layout,
    links: Option<Kept<Links>>,
}

/// What was read, and when.
#[derive(Debug)]
struct Kept<T> {
    at_ms: u64,
    value: Arc<T>,
}

/// Where this board's numbers stand.
#[derive(Debug)]
struct Layout {
    hierarchy: memory::Hierarchy,
    zones: Reading<Vec<thermal::Known>>,
    policies: Reading<Vec<frequency::Known>>,
    power: power::Paths,
}

impl Observer {
    /// Reads nothing yet.
    pub fn new(root: Root, config: Config) -> Self {
        Self {
            root,
            config,
            fixed: None,
            layout: Layout::unknown(),
            links: None,
        }
    }

    /// Reads the board; a broken reading is a failed one in the result.
    pub fn observe(&mut self, detail: Detail) -> Observation {
        let uptime_ms = self.root.syscalls().uptime_ms();
        let fixed = self.fixed(uptime_ms);
        let links = self.links(uptime_ms);
        let Self {
            root,
            config,
            layout,
            ..
        } = self;
        let root_usage = mount::read_root(root);
        Observation {
            uptime_ms,
            fixed,
            links,
            cpu: cpu::read(root, detail),
            load: load::read(root),
            memory: memory::read(root),
            memory_cgroup: memory::read_cgroup(root, layout.hierarchy),
            vmstat: match detail {
                Detail::Dropped => Ok(None),
                Detail::Kept => memory::read_vmstat(root),
            },
            filesystems: mount::read_filesystems(root, config, &root_usage),
            root_usage,
            disks: disk::read(root),
            interfaces: network::read(root),
            pressure: pressure::read(root),
            thermal: thermal::read(root, &layout.zones),
            frequency: frequency::read(root, &layout.policies),
            power: power::read(root, &layout.power),
            clock: clock::read(root),
        }
    }

    /// Reads at the next tick again what is read rarely; called at a session's start.
    pub fn refresh(&mut self) {
        self.fixed = None;
        self.links = None;
    }

    /// Whether the system is going down, to tell a shutdown from a restart of this program.
    pub fn is_shutting_down(&mut self) -> bool {
        host::is_shutting_down(&mut self.root)
    }

    fn fixed(&mut self, now_ms: u64) -> Arc<Fixed> {
        if let Some(kept) = self
            .fixed
            .as_ref()
            .filter(|kept| !kept.is_due(now_ms, FIXED_EVERY_MS))
        {
            return Arc::clone(&kept.value);
        }
        let fixed = read_fixed(&mut self.root);
        self.layout = Layout::find(&mut self.root, &fixed.profile);
        let value = Arc::new(fixed);
        self.fixed = Some(Kept {
            at_ms: now_ms,
            value: Arc::clone(&value),
        });
        value
    }

    fn links(&mut self, now_ms: u64) -> Arc<Links> {
        if let Some(kept) = self
            .links
            .as_ref()
            .filter(|kept| !kept.is_due(now_ms, LINKS_EVERY_MS))
        {
            return Arc::clone(&kept.value);
        }
        let value = Arc::new(network::read_links(&mut self.root));
        self.links = Some(Kept {
            at_ms: now_ms,
            value: Arc::clone(&value),
        });
        value
    }
}

impl<T> Kept<T> {
    fn is_due(&self, now_ms: u64, every_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) >= every_ms
    }
}

impl Layout {
    fn unknown() -> Self {
        Self {
            hierarchy: memory::Hierarchy::V2,
            zones: Ok(None),
            policies: Ok(None),
            power: power::Paths::default(),
        }
    }

    fn find(root: &mut Root, profile: &nodling_boards::Profile) -> Self {
        Self {
            hierarchy: memory::find_hierarchy(root),
            zones: thermal::find(root),
            policies: frequency::find(root),
            power: power::find(root, &profile.power),
        }
    }
}

fn read_fixed(root: &mut Root) -> Fixed {
    let board = board::read(root);
    let model = board.model.as_ref().ok().and_then(Option::as_deref);
    let compatible = board.compatible.as_ref().ok().and_then(Option::as_deref);
    Fixed {
        host: host::read(root),
        profile: nodling_boards::detect(model, compatible.unwrap_or_default()),
        board,
        processors: cpu::read_processors(root),
        huge_pages: memory::read_huge_pages(root),
        pid_max: load::read_limit(root, "proc/sys/kernel/pid_max"),
        threads_max: load::read_limit(root, "proc/sys/kernel/threads-max"),
        page_size_bytes: root.syscalls().page_size_bytes(),
    }
}

//! Stage 1: reads the board and returns an [`Observation`].
//!
//! Every reading is present, absent or failed on its own: one broken file never stops the others,
//! and nothing here can fail as a whole. Files are opened, and system calls made, only through
//! [`root::Root`]. Three rhythms: [`Fixed`] (what a boot does not change), [`Links`] (addresses
//! and routes) with [`Storage`] (wear and errors), and the rest, which is read at every tick.
//! Judging what was read is `assess`'s.

mod text;
pub mod address;
mod mailbox;
mod sys;
pub mod root;
pub mod host;
pub mod board;
pub mod cpu;
pub mod load;
pub mod memory;
pub mod ext4;
pub mod emmc;
pub mod medium;
pub mod device;
pub mod disk;
mod ask;
mod mount;
pub mod route;
pub mod fstab;
pub mod network;
pub mod interface;
pub mod pressure;
pub mod trigger;
pub mod thermal;
pub mod frequency;
pub mod power;
pub mod clock;
mod cri;
pub mod runtime;
#[cfg(test)]
mod runtime_tests;
mod background;
mod i2c;
pub mod sensor;
mod channel;
mod hwmon;
mod iio;
mod onewire;
mod supply;
mod wireless;
mod found;

use std::sync::Arc;

use nodling_boards::sensor::SensorError;

use self::root::{Pace, Root};

/// A value, its absence (which is no error), or why it could not be read.
pub type Reading<T> = Result<Option<T>, ReadError>;

/// Why a reading failed; its text is one line and names the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The kernel refused.
    #[error("reading {path}: {cause}")]
    Refused {
        /// The file or the system call.
        path: Box<str>,
        /// What the kernel answered; part of the text, therefore no source.
        cause: Errno,
    },
    /// The text is not what the kernel writes there.
    #[error("{path}:{line}: {what}")]
    Malformed {
        /// The file or the system call.
        path: Box<str>,
        /// Counted from 1.
        line: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// A server, or a program that plays one, owes an answer.
    #[error("{path}: not answering for {for_s} s")]
    Unanswered {
        /// The mount point.
        path: Box<str>,
        /// How long it has been asked.
        for_s: u64,
    },
    /// The file is longer than any that a kernel writes there.
    #[error("{path}: longer than {bytes_max} bytes")]
    TooLong {
        /// The file.
        path: Box<str>,
        /// The cap.
        bytes_max: usize,
    },
    /// A device on a bus did not answer as it should.
    #[error("{device}: {cause}")]
    Device {
        /// The chip, its bus and its address.
        device: Box<str>,
        /// What it did; part of the text, therefore no source.
        cause: SensorError,
    },
    /// What reads it has not come back.
    #[error("{device}: nothing was read for {age_s} s")]
    Stale {
        /// The chip, its bus and its address.
        device: Box<str>,
        /// Since the last reading, or since the first attempt.
        age_s: u64,
    },
}

/// An error number of the kernel, shown as its usual text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", std::io::Error::from_raw_os_error(*.0))]
pub struct Errno(pub i32);

/// The part of the configuration that says what is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Mount points watched although no block device is behind them, for example `/data` on NFS.
    pub filesystems: Vec<String>,
    /// Where the container runtime listens; without it the usual sockets are tried.
    pub container_runtime_endpoint: Option<runtime::Endpoint>,
    /// Sensors on buses that the kernel does not read itself.
    pub sensors: Vec<sensor::Config>,
}

/// Whether each core and counter is wanted, or only what a heartbeat carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What a heartbeat carries.
    Dropped,
    /// Every core too, and the paging counters.
    Kept,
}

/// What one tick read.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Time since boot, suspend included.
    pub uptime_ms: u64,
    /// What a boot does not change.
    pub fixed: Arc<Fixed>,
    /// Addresses and routes.
    pub links: Arc<Links>,
    /// What disks say of their own state.
    pub storage: Arc<Storage>,
    /// Processor time.
    pub cpu: Reading<cpu::Cpu>,
    /// Load averages and the number of threads.
    pub load: Reading<load::Load>,
    /// `/proc/sys/kernel/pid_max`; the administrator may change it at any time.
    pub pid_max: Reading<u64>,
    /// `/proc/sys/kernel/threads-max`; the same.
    pub threads_max: Reading<u64>,
    /// `/proc/meminfo`.
    pub memory: Reading<memory::Memory>,
    /// The root cgroup's memory, which the kubelet judges by.
    pub memory_cgroup: Reading<memory::MemoryCgroup>,
    /// Paging counters; absent unless detail is asked for.
    pub vmstat: Reading<memory::Vmstat>,
    /// How full the root filesystem is; known even when the table of mounts is not.
    pub root_usage: Reading<disk::Usage>,
    /// Filesystems on devices, the root filesystem first.
    pub filesystems: Reading<Vec<disk::Filesystem>>,
    /// Whole disks.
    pub disks: Reading<Vec<disk::Disk>>,
    /// Interface counters.
    pub interfaces: Reading<Vec<network::Interface>>,
    /// Pressure stalls.
    pub pressure: pressure::Pressure,
    /// Thermal zones; a zone's temperature is a reading of its own.
    pub thermal: Reading<Vec<thermal::Zone>>,
    /// Frequency policies.
    pub frequency: Reading<Vec<frequency::Policy>>,
    /// Supply and throttling.
    pub power: power::Power,
    /// How far the wall clock can be trusted.
    pub clock: clock::Clock,
    /// `containerd://1.7.2`, or empty where there is no container runtime.
    pub container_runtime: Arc<str>,
    /// The configured sensors, in the order of the configuration.
    pub sensors: Vec<sensor::Named>,
    /// What the kernel's drivers measure besides.
    pub found: Vec<sensor::Named>,
}

/// What a boot does not change, or so rarely that five minutes are soon enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Who this host is.
    pub host: host::Host,
    /// Which board this is.
    pub board: board::Board,
    /// What is known about the board.
    pub profile: nodling_boards::Profile,
    /// Processors that are online.
    pub processors: Reading<cpu::Processors>,
    /// Pools of huge pages, smallest first.
    pub huge_pages: Reading<Vec<memory::HugePages>>,
    /// What is meant to be mounted.
    pub fstab: Reading<Vec<fstab::Entry>>,
    /// Whether the kernel's command line turns pressure stalls on (`psi=1`) or off.
    pub psi_argument: Reading<bool>,
    /// Bytes in a page.
    pub page_size_bytes: u64,
    /// What block devices are stored on.
    pub media: Reading<Vec<medium::Medium>>,
    /// How many devices there are that programs can open.
    pub devices: device::Devices,
}

/// Addresses and routes: read at a session's start and every half minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// Interfaces in the order of their names.
    pub links: Reading<Vec<network::Link>>,
    /// Those of which nothing is known, and why.
    pub unknown: Vec<(Box<str>, ReadError)>,
    /// Addresses in the kernel's order, every interface and family.
    pub addresses: Reading<Vec<address::Address>>,
    /// Default routes.
    pub routes: route::Routes,
}

/// What disks say of their own state: read every half minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// What every mounted ext4 filesystem found wrong in itself.
    pub ext4: Reading<Vec<ext4::Errors>>,
    /// How worn soldered flash is.
    pub emmc: Reading<Vec<emmc::Wear>>,
}

/// Facts are compared, and sent when they differ, about as often as a kubelet writes its status.
const FIXED_EVERY_MS: u64 = 5 * 60 * 1000;

/// A new address is known at the gateway within a minute.
const LINKS_EVERY_MS: u64 = 30 * 1000;

/// Wear takes months; an error is to be known within a minute.
const STORAGE_EVERY_MS: u64 = 30 * 1000;

/// Reads one board again and again.
#[derive(Debug)]
pub struct Observer {
    root: Root,
    config: Config,
    fixed: Option<Kept<Fixed>>,
    layout: Layout,
    links: Option<Kept<Links>>,
    runtime: runtime::Runtime,
    sensors: sensor::Sensors,
    found: found::Found,
    storage: Option<Kept<Storage>>,
    mounts: mount::Mounts,
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
    found: found::Lists,
    emmc: Reading<Vec<emmc::Known>>,
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
            runtime: runtime::Runtime::default(),
            sensors: sensor::Sensors::default(),
            found: found::Found::default(),
            storage: None,
            mounts: mount::Mounts::default(),
        }
    }

    /// Shows the container runtime that somebody else asks.
    #[must_use]
    pub fn with_runtime(self, runtime: runtime::Runtime) -> Self {
        Self { runtime, ..self }
    }

    /// Reads the board; a broken reading is a failed one in the result.
    pub fn observe(&mut self, detail: Detail) -> Observation {
        let uptime_ms = self.root.syscalls().uptime_ms();
        let fixed = self.fixed(uptime_ms);
        let links = self.links(uptime_ms);
        let storage = self.storage(uptime_ms);
        let Self {
            root,
            config,
            layout,
            sensors,
            found,
            mounts,
            ..
        } = self;
        root.set_pace(Pace::EveryTick);
        let root_usage = mount::read_root(root);
        let memory = memory::read(root);
        let observation = Observation {
            uptime_ms,
            fixed,
            links,
            storage,
            cpu: cpu::read(root, detail),
            load: load::read(root),
            pid_max: load::read_limit(root, "proc/sys/kernel/pid_max"),
            threads_max: load::read_limit(root, "proc/sys/kernel/threads-max"),
            memory_cgroup: memory::read_cgroup(root, layout.hierarchy, &memory),
            memory,
            vmstat: match detail {
                Detail::Dropped => Ok(None),
                Detail::Kept => memory::read_vmstat(root),
            },
            filesystems: mounts.read(root, config, uptime_ms, &root_usage),
            root_usage,
            disks: disk::read(root),
            interfaces: network::read(root),
            pressure: pressure::read(root),
            thermal: thermal::read(root, &layout.zones),
            frequency: frequency::read(root, &layout.policies),
            power: power::read(root, &layout.power),
            clock: clock::read(root),
            container_runtime: self.runtime.latest(),
            sensors: sensors.read(root, &config.sensors),
            found: found.read(root, &layout.found),
        };
        root.set_pace(Pace::Rare);
        observation
    }

    /// Reads at the next tick again what is read rarely; called at a session's start.
    pub fn refresh(&mut self) {
        self.fixed = None;
        self.links = None;
        self.runtime.refresh();
        self.storage = None;
    }

    /// Asks the kernel to report stalls from now on; called once, within a runtime.
    pub fn arm_triggers(&self) -> Vec<trigger::Trigger> {
        trigger::arm(&self.root)
    }

    /// The I2C buses of this machine, as their devices are called.
    pub fn i2c_buses(&self) -> Vec<String> {
        let names = self.root.list("dev").ok().flatten().unwrap_or_default();
        let number = |name: &String| text::number_u32(name.strip_prefix("i2c-")?.as_bytes());
        let mut buses: Vec<_> = names
            .into_iter()
            .filter(|name| number(name).is_some())
            .collect();
        buses.sort_unstable_by_key(number);
        buses.iter().map(|name| format!("/dev/{name}")).collect()
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

    fn storage(&mut self, now_ms: u64) -> Arc<Storage> {
        if let Some(kept) = self
            .storage
            .as_ref()
            .filter(|kept| !kept.is_due(now_ms, STORAGE_EVERY_MS))
        {
            return Arc::clone(&kept.value);
        }
        let value = Arc::new(Storage {
            ext4: ext4::read(&mut self.root),
            emmc: emmc::read(&mut self.root, &self.layout.emmc),
        });
        self.storage = Some(Kept {
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
            found: found::Lists::default(),
            emmc: Ok(None),
        }
    }

    fn find(root: &mut Root, profile: &nodling_boards::Profile) -> Self {
        Self {
            hierarchy: memory::find_hierarchy(root),
            zones: thermal::find(root),
            policies: frequency::find(root),
            power: power::find(root, &profile.power),
            found: found::find(root),
            emmc: emmc::find(root),
        }
    }
}

fn read_fixed(root: &mut Root) -> Fixed {
    let board = board::read(root);
    let model = board.model.as_ref().ok().and_then(Option::as_deref);
    let compatible = board.compatible.as_ref().ok().and_then(Option::as_deref);
    let compatible = compatible.unwrap_or_default();
    let architecture = root.syscalls().architecture();
    Fixed {
        profile: nodling_boards::detect(model, compatible, architecture),
        host: host::read(root),
        board,
        processors: cpu::read_processors(root),
        huge_pages: memory::read_huge_pages(root),
        fstab: fstab::read(root),
        psi_argument: pressure::read_argument(root),
        page_size_bytes: root.syscalls().page_size_bytes(),
        media: medium::read(root),
        devices: device::read(root),
    }
}

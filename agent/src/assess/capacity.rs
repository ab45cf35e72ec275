//! What a board has, and what of it pods could use, as the kubelet computes both.
//!
//! Allocatable is capacity less what the system, Kubernetes and eviction keep back, and never less
//! than nothing; memory also less what huge pages hold. A resource of any other name, such as an
//! extended one, is allocatable as a whole, and none is allocatable that is no capacity. What was
//! not read is left out, not zero.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::Config;
use super::thresholds::{Signal, Thresholds};
use crate::observe::memory::HugePages;
use crate::observe::{Fixed, Observation, Reading};
use crate::quantity::Quantity;

/// `cpu`, in thousandths.
pub const CPU: &str = "cpu";
/// `memory`, in bytes.
pub const MEMORY: &str = "memory";
/// `ephemeral-storage`, in bytes.
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
/// `pods`, in pieces.
pub const PODS: &str = "pods";
/// `pid`, in pieces: the kubelet lets it be reserved, and no Node lists it.
pub const PID: &str = "pid";
/// Before the page's size.
const HUGE_PAGES: &str = "hugepages-";

/// What can be reserved.
pub const RESERVABLE: [&str; 4] = [CPU, MEMORY, EPHEMERAL_STORAGE, PID];

/// An amount of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// As Kubernetes names it.
    pub name: Cow<'static, str>,
    /// `cpu` in thousandths, everything else in bytes or pieces.
    pub amount: u64,
}

impl Amount {
    fn quantity(&self) -> Quantity {
        match self.name.as_ref() {
            CPU => Quantity::from_milli(self.amount),
            MEMORY | EPHEMERAL_STORAGE => Quantity::from_bytes(self.amount),
            name if name.starts_with(HUGE_PAGES) => Quantity::from_bytes(self.amount),
            _ => Quantity::from_pieces(self.amount),
        }
    }

    /// What is left; a fraction of a unit that is reserved is a whole one.
    fn less(&self, reserved: Quantity) -> u64 {
        let reserved = if self.name == CPU {
            reserved.to_milli()
        } else {
            reserved.to_whole()
        };
        self.amount.saturating_sub(reserved.unwrap_or(u64::MAX))
    }
}

/// Shows the quantity as the kubelet writes it.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.quantity().fmt(f)
    }
}

/// Quantities of [`RESERVABLE`], by name.
pub type Resources = Vec<(&'static str, Quantity)>;

/// What is kept back for others than pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// For the system.
    pub system: Resources,
    /// For Kubernetes.
    pub kube: Resources,
}

/// How many pods are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// At most so many. The kubelet's default is 110; a status-only node offers none.
    pub max: u32,
    /// At most so many for each processor; 0 is no limit.
    pub per_core: u32,
}

impl Pods {
    fn offered(self, processors: Option<u32>) -> u64 {
        let by_core = match (self.per_core, processors) {
            (0, _) | (_, None) => u64::MAX,
            (per_core, Some(processors)) => u64::from(per_core) * u64::from(processors),
        };
        by_core.min(u64::from(self.max))
    }
}

/// What the board has, as it was last read well.
///
/// The kubelet reads it at its start, and pods are placed by it: it must not vanish with one
/// reading that fails, nor change at every tick where the root's size does, as ZFS's.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    /// Only with another one of these are new values taken.
    taken_with: Option<Arc<Fixed>>,
    processors: Option<u32>,
    ephemeral_storage_bytes: Option<u64>,
    /// Size of a page, and what is reserved in such.
    huge_pages_bytes: Vec<(u64, u64)>,
    memory_bytes: Option<u64>,
}

impl Capacity {
    /// Takes what is news.
    pub fn update(&mut self, observation: &Observation, pods: Pods) -> Vec<Amount> {
        let fixed = &observation.fixed;
        let taken_with = self.taken_with.as_ref();
        let is_due = taken_with.is_none_or(|taken_with| !Arc::ptr_eq(taken_with, fixed));
        if is_due {
            self.taken_with = Some(Arc::clone(fixed));
        }
        keep(&mut self.processors, is_due, &fixed.processors, |has| {
            has.online
        });
        let usage = &observation.root_usage;
        keep(&mut self.ephemeral_storage_bytes, is_due, usage, |has| {
            has.capacity_bytes
        });
        keep(&mut self.memory_bytes, is_due, &observation.memory, |has| {
            has.total_kib.saturating_mul(1024)
        });
        if is_due {
            self.take_huge_pages(fixed);
        }
        self.amounts(fixed, pods)
    }

    fn take_huge_pages(&mut self, fixed: &Fixed) {
        let Ok(pools) = &fixed.huge_pages else {
            return;
        };
        let kept = std::mem::take(&mut self.huge_pages_bytes);
        let of_pool = |pool: &HugePages| {
            let page_bytes = pool.page_kib.saturating_mul(1024);
            let known = || kept.iter().find(|(of_page, _)| *of_page == page_bytes);
            match &pool.count {
                Ok(Some(count)) => Some((page_bytes, count.saturating_mul(page_bytes))),
                Ok(None) => None,
                Err(_) => known().copied(),
            }
        };
        let pools = pools.iter().flatten();
        self.huge_pages_bytes = pools.filter_map(of_pool).collect();
    }

    fn amounts(&self, fixed: &Fixed, pods: Pods) -> Vec<Amount> {
        let amount = |name, amount| Amount {
            name: Cow::Borrowed(name),
            amount,
        };
        let cpu = self.processors.map(|online| u64::from(online) * 1000);
        let pools = self.huge_pages_bytes.iter();
        let pools = pools.map(|(page_bytes, bytes)| Amount {
            name: format!("{HUGE_PAGES}{}", Quantity::from_bytes(*page_bytes)).into(),
            amount: *bytes,
        });
        let storage = self.ephemeral_storage_bytes;
        let cpu = cpu.map(|milli| amount(CPU, milli));
        let storage = storage.map(|bytes| amount(EPHEMERAL_STORAGE, bytes));
        let memory = self.memory_bytes.map(|bytes| amount(MEMORY, bytes));
        // Kubernetes sorts them; what there is none of is no resource.
        let devices = fixed.devices.by_resource();
        let devices = devices.into_iter().filter_map(|(name, count)| match count {
            Ok(Some(count @ 1..)) => Some(amount(name, *count)),
            Ok(_) | Err(_) => None,
        });
        cpu.into_iter()
            .chain(storage)
            .chain(pools)
            .chain(memory)
            .chain(devices)
            .chain([amount(PODS, pods.offered(self.processors))])
            .collect()
    }
}

/// What failed keeps the old value; what has none yet takes the first there is.
fn keep<T, U>(
    kept: &mut Option<U>,
    is_due: bool,
    reading: &Reading<T>,
    value: impl FnOnce(&T) -> U,
) {
    if let Ok(read) = reading
        && (is_due || kept.is_none())
    {
        *kept = read.as_ref().map(value);
    }
}

/// What the board has, by one observation.
pub fn capacity(observation: &Observation, pods: Pods) -> Vec<Amount> {
    Capacity::default().update(observation, pods)
}

/// What of the capacity pods could use.
pub(super) fn allocatable(capacity: &[Amount], config: &Config) -> Vec<Amount> {
    let huge_pages: u64 = capacity
        .iter()
        .filter(|has| has.name.starts_with(HUGE_PAGES))
        .fold(0, |sum, has| sum.saturating_add(has.amount));
    let left = |has: &Amount| {
        let left = has.less(Reservation::of(has, config).total());
        Amount {
            name: has.name.clone(),
            amount: if has.name == MEMORY {
                left.saturating_sub(huge_pages)
            } else {
                left
            },
        }
    };
    capacity.iter().map(left).collect()
}

/// What is kept back of one resource, and by which key.
struct Reservation([(&'static str, Quantity); 3]);

impl Reservation {
    fn of(has: &Amount, config: &Config) -> Self {
        let of = |resources: &Resources| {
            let mut resources = resources.iter();
            let found = resources.find(|(name, _)| *name == has.name);
            found.map_or(Quantity::ZERO, |(_, quantity)| *quantity)
        };
        let signal = match has.name.as_ref() {
            MEMORY => Some(Signal::MemoryAvailable),
            EPHEMERAL_STORAGE => Some(Signal::NodefsAvailable),
            _ => None,
        };
        let by_eviction = |signal| config.thresholds.reserved(signal, has.amount);
        Self([
            ("system_reserved", of(&config.reserved.system)),
            ("kube_reserved", of(&config.reserved.kube)),
            ("eviction_hard", signal.map_or(Quantity::ZERO, by_eviction)),
        ])
    }

    fn total(&self) -> Quantity {
        let quantities = self.0.iter().map(|(_, quantity)| *quantity);
        quantities.fold(Quantity::ZERO, |sum, quantity| sum + quantity)
    }
}

/// More is reserved than there is; says of what, by which keys, and how much.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more is reserved than there is; lower one of these keys: {0}")]
pub struct ReservationError(String);

/// The key of a table that keeps back a resource; a threshold's has a dot, and is quoted.
fn key(table: &str, resource: &str) -> String {
    match (table, resource) {
        ("eviction_hard", MEMORY) => format!("{table}.{:?}", Signal::MemoryAvailable.as_str()),
        ("eviction_hard", _) => format!("{table}.{:?}", Signal::NodefsAvailable.as_str()),
        _ => format!("{table}.{resource}"),
    }
}

/// Refuses what the kubelet refuses to start with (`validateNodeAllocatable`).
///
/// Only what somebody configured: a board with less memory than the default thresholds keep back
/// has none for pods, and says so.
pub fn check(capacity: &[Amount], config: &Config) -> Result<(), ReservationError> {
    let is_configured = config.reserved != Reserved::default()
        || config.thresholds.hard != Thresholds::hard_defaults();
    let excess = |has: &Amount| {
        let reservation = Reservation::of(has, config);
        (reservation.total() > has.quantity()).then(|| {
            let parts = reservation.0.iter().filter(|(_, part)| !part.is_zero());
            let parts = parts.map(|(table, part)| format!("{} {part}", key(table, &has.name)));
            let parts: Vec<_> = parts.collect();
            format!("{}: {} of {has}", has.name, parts.join(" + "))
        })
    };
    let excesses: Vec<_> = capacity.iter().filter_map(excess).collect();
    if is_configured && !excesses.is_empty() {
        Err(ReservationError(excesses.join("; ")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(name: &'static str, amount: u64) -> Amount {
        Amount {
            name: name.into(),
            amount,
        }
    }

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    fn left(capacity: &[Amount], config: &Config) -> Vec<String> {
        let left = allocatable(capacity, config);
        assert!(
            left.iter()
                .map(|left| &left.name)
                .eq(capacity.iter().map(|has| &has.name))
        );
        left.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn amounts_are_written_as_the_kubelet_writes_them() {
        for (name, value, expected) in [
            (CPU, 4000, "4"),
            (CPU, 3920, "3920m"),
            (MEMORY, 3_884_500 * 1024, "3884500Ki"),
            (MEMORY, 4 << 30, "4Gi"),
            (MEMORY, 1001, "1001"),
            (EPHEMERAL_STORAGE, 56_453_061_334, "56453061334"),
            (PODS, 0, "0"),
            (PODS, 2048, "2048"),
            ("hugepages-2Mi", 0, "0"),
            ("hugepages-2Mi", 4 << 20, "4Mi"),
            ("example.com/relay", 2000, "2k"),
        ] {
            assert_eq!(amount(name, value).to_string(), expected);
        }
    }

    #[test]
    fn allocatable_is_capacity_less_hard_eviction() {
        let capacity = [
            amount(CPU, 4000),
            amount(EPHEMERAL_STORAGE, 61_255_492 * 1024),
            amount("hugepages-2Mi", 8 << 20),
            amount("hugepages-1Gi", 0),
            amount(MEMORY, 1 << 30),
            amount(PODS, 0),
            amount("example.com/relay", 3),
        ];
        let expected = ["4", "56453061334", "8Mi", "0", "916Mi", "0", "3"];
        assert_eq!(left(&capacity, &Config::default()), expected);
    }

    #[test]
    fn allocatable_is_less_what_is_reserved_too() {
        let mut config = Config::default();
        config.reserved.system = vec![
            (CPU, quantity("100m")),
            (MEMORY, quantity("128Mi")),
            (EPHEMERAL_STORAGE, quantity("1Gi")),
            (PID, quantity("1000")),
        ];
        config.reserved.kube = vec![(CPU, quantity("0.05")), (MEMORY, quantity("64Mi"))];
        let capacity = [
            amount(CPU, 4000),
            amount(EPHEMERAL_STORAGE, 61_255_492 * 1024),
            amount(MEMORY, 1 << 30),
        ];
        // 1 GiB - 100 Mi - 128 Mi - 64 Mi.
        assert_eq!(left(&capacity, &config), ["3850m", "55379319510", "732Mi"]);
    }

    #[test]
    fn imagefs_inodes_and_soft_thresholds_keep_back_nothing() {
        let mut config = Config::default();
        config.thresholds.soft = config.thresholds.hard.clone();
        config.thresholds.hard.retain(|hard| {
            !matches!(
                hard.signal,
                Signal::MemoryAvailable | Signal::NodefsAvailable
            )
        });
        let capacity = [amount(EPHEMERAL_STORAGE, 1000), amount(MEMORY, 1 << 20)];
        assert_eq!(left(&capacity, &config), ["1k", "1Mi"]);
    }

    #[test]
    fn a_fraction_of_a_unit_that_is_reserved_is_a_whole_one() {
        let mut config = Config::default();
        config.thresholds.hard.clear();
        config.reserved.kube = vec![(CPU, quantity("1500u")), (MEMORY, quantity("0.5"))];
        let capacity = [amount(CPU, 1000), amount(MEMORY, 4096)];
        assert_eq!(left(&capacity, &config), ["998m", "4095"]);
    }

    #[test]
    fn what_is_kept_back_never_exceeds_what_there_is() {
        let small = [amount(MEMORY, 64 << 20)];
        assert_eq!(left(&small, &Config::default()), ["0"]);
        assert_eq!(check(&small, &Config::default()), Ok(()));
        let huge = [amount("hugepages-2Mi", 2 << 30), amount(MEMORY, 1 << 30)];
        assert_eq!(left(&huge, &Config::default()), ["2Gi", "0"]);
    }

    #[test]
    fn reserving_more_than_there_is_names_resource_keys_and_numbers() {
        let mut config = Config::default();
        let capacity = [amount(CPU, 2000), amount(MEMORY, 1 << 30), amount(PODS, 0)];
        config.reserved.system = vec![(MEMORY, quantity("512Mi")), (PID, quantity("1M"))];
        config.reserved.kube = vec![(MEMORY, quantity("412Mi")), (CPU, quantity("2"))];
        assert_eq!(
            check(&capacity, &config),
            Ok(()),
            "all of it may be reserved"
        );
        config.reserved.kube = vec![(MEMORY, quantity("413Mi")), (CPU, quantity("2.5"))];
        assert_eq!(
            check(&capacity, &config).unwrap_err().to_string(),
            "more is reserved than there is; lower one of these keys: cpu: kube_reserved.cpu 2500m \
             of 2; memory: system_reserved.memory 512Mi + kube_reserved.memory 413Mi + \
             eviction_hard.\"memory.available\" 100Mi of 1Gi"
        );
        config.reserved = Reserved::default();
        config
            .thresholds
            .hard
            .retain(|hard| hard.signal == Signal::MemoryAvailable);
        assert_eq!(check(&capacity, &config), Ok(()));
        let small = [amount(MEMORY, 64 << 20)];
        assert_eq!(
            check(&small, &config).unwrap_err().to_string(),
            "more is reserved than there is; lower one of these keys: memory: \
             eviction_hard.\"memory.available\" 100Mi of 64Mi"
        );
    }

    #[test]
    fn pods_are_offered_as_configured() {
        for (max, per_core, processors, offered) in [
            (0, 0, Some(4), 0),
            (0, 10, Some(4), 0),
            (110, 0, Some(4), 110),
            (110, 10, Some(4), 40),
            (110, 10, Some(64), 110),
            (110, 10, None, 110),
        ] {
            assert_eq!(Pods { max, per_core }.offered(processors), offered);
        }
    }
}

//! What a board has, and what of it pods could use, as the kubelet computes both.
//!
//! A status-only node offers `pods: 0`. What was not read is left out, not zero.

use std::borrow::Cow;
use std::fmt;

use super::thresholds::{Signal, Thresholds};
use crate::observe::Observation;

/// `cpu`, in thousandths.
pub const CPU: &str = "cpu";
/// `memory`, in bytes.
pub const MEMORY: &str = "memory";
/// `ephemeral-storage`, in bytes.
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
/// `pods`, in pieces.
pub const PODS: &str = "pods";
/// Before the page's size.
const HUGE_PAGES: &str = "hugepages-";

/// An amount of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// As Kubernetes names it.
    pub name: Cow<'static, str>,
    /// `cpu` in thousandths, everything else in bytes or pieces.
    pub amount: u64,
}

/// Shows the quantity as the kubelet writes it.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_ref() {
            CPU if self.amount.is_multiple_of(1000) => write!(f, "{}", self.amount / 1000),
            CPU => write!(f, "{}m", self.amount),
            PODS => write!(f, "{}", self.amount),
            _ => write!(f, "{}", Binary(self.amount)),
        }
    }
}

/// Bytes in the canonical form of a binary quantity: the largest unit that leaves no fraction.
struct Binary(u64);

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut mantissa, mut unit) = (self.0, "");
        for larger in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
            if mantissa == 0 || !mantissa.is_multiple_of(1024) {
                break;
            }
            (mantissa, unit) = (mantissa / 1024, larger);
        }
        write!(f, "{mantissa}{unit}")
    }
}

/// What the board has.
pub(super) fn capacity(observation: &Observation) -> Vec<Amount> {
    let fixed = &observation.fixed;
    let amount = |name, amount| Amount {
        name: Cow::Borrowed(name),
        amount,
    };
    let mut all = Vec::with_capacity(8);
    if let Ok(Some(processors)) = &fixed.processors {
        all.push(amount(CPU, u64::from(processors.online) * 1000));
    }
    if let Ok(Some(usage)) = &observation.root_usage {
        all.push(amount(EPHEMERAL_STORAGE, usage.capacity_bytes));
    }
    for pool in fixed
        .huge_pages
        .as_ref()
        .ok()
        .and_then(Option::as_ref)
        .into_iter()
        .flatten()
    {
        let page_bytes = pool.page_kib.saturating_mul(1024);
        all.push(Amount {
            name: format!("{HUGE_PAGES}{}", Binary(page_bytes)).into(),
            amount: pool.count.saturating_mul(page_bytes),
        });
    }
    if let Ok(Some(memory)) = &observation.memory {
        all.push(amount(MEMORY, memory.total_kib.saturating_mul(1024)));
    }
    all.push(amount(PODS, 0));
    all
}

/// The capacity less what eviction keeps back; memory also less what huge pages hold.
pub(super) fn allocatable(capacity: &[Amount], thresholds: &Thresholds) -> Vec<Amount> {
    let huge_pages: u64 = capacity
        .iter()
        .filter(|has| has.name.starts_with(HUGE_PAGES))
        .fold(0, |sum, has| sum.saturating_add(has.amount));
    let left = |has: &Amount| {
        let reserved = match has.name.as_ref() {
            MEMORY => thresholds
                .reserved(Signal::MemoryAvailable, has.amount)
                .saturating_add(huge_pages),
            EPHEMERAL_STORAGE => thresholds.reserved(Signal::NodefsAvailable, has.amount),
            _ => 0,
        };
        Amount {
            name: has.name.clone(),
            amount: has.amount.saturating_sub(reserved),
        }
    };
    capacity.iter().map(left).collect()
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

    #[test]
    fn quantities_are_written_as_the_kubelet_writes_them() {
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
            amount(MEMORY, 1 << 30),
            amount(PODS, 0),
        ];
        let left = allocatable(&capacity, &Thresholds::default());
        let left: Vec<_> = left.iter().map(|has| has.amount).collect();
        let memory = (1 << 30) - (100 << 20) - (8 << 20);
        assert_eq!(left, [4000, 56_453_061_334, 8 << 20, memory, 0]);
    }

    #[test]
    fn what_is_kept_back_never_exceeds_what_there_is() {
        let left = allocatable(&[amount(MEMORY, 64 << 20)], &Thresholds::default());
        assert_eq!(left[0].amount, 0);
    }
}

//! Reads `scaling_cur_freq`, `cpuinfo_min_freq` and `cpuinfo_max_freq`, in kHz, of
//! `/sys/devices/system/cpu/cpufreq/policy*` (Documentation/admin-guide/pm/cpufreq.rst).
//!
//! At most four policies: a machine with one per core would pay for every core at every tick.

use super::Reading;
use super::root::Root;
use super::text::{Flaw, number_u32};

/// One frequency policy: cores that share a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For example `policy0`.
    pub name: Box<str>,
    /// What the governor asks for now.
    pub current_khz: Reading<u32>,
    /// The lowest that the hardware does.
    pub minimum_khz: Option<u32>,
    /// The highest that the hardware does.
    pub maximum_khz: Option<u32>,
}

const DIRECTORY: &str = "sys/devices/system/cpu/cpufreq";
const POLICIES_MAX: usize = 4;

/// What of a policy does not change.
#[derive(Clone, Debug)]
pub(super) struct Known {
    name: Box<str>,
    path: String,
    minimum_khz: Option<u32>,
    maximum_khz: Option<u32>,
}

/// Finds the policies, the one of the lowest core first.
pub(super) fn find(root: &mut Root) -> Reading<Vec<Known>> {
    let Some(mut names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    let core = |name: &String| number_u32(name.strip_prefix("policy")?.as_bytes());
    names.retain(|name| core(name).is_some());
    names.sort_unstable_by_key(core);
    let known = names.into_iter().take(POLICIES_MAX).map(|name| {
        let mut limit = |file| {
            root.parse(&format!("{DIRECTORY}/{name}/{file}"), parse)
                .ok()
                .flatten()
        };
        Known {
            minimum_khz: limit("cpuinfo_min_freq"),
            maximum_khz: limit("cpuinfo_max_freq"),
            path: format!("{DIRECTORY}/{name}/scaling_cur_freq"),
            name: name.into(),
        }
    });
    let known: Vec<_> = known.collect();
    Ok(Some(known).filter(|known| !known.is_empty()))
}

/// Reads the frequencies.
pub(super) fn read(root: &mut Root, known: &Reading<Vec<Known>>) -> Reading<Vec<Policy>> {
    let known = known.as_ref().map_err(Clone::clone)?;
    let policies = known.iter().flatten().map(|known| Policy {
        name: known.name.clone(),
        current_khz: root.parse(&known.path, parse),
        minimum_khz: known.minimum_khz,
        maximum_khz: known.maximum_khz,
    });
    Ok(known.is_some().then(|| policies.collect()))
}

fn parse(text: &[u8]) -> Result<u32, Flaw> {
    /// 100 GHz.
    const KHZ_MAX: u32 = 100_000_000;
    number_u32(text.trim_ascii())
        .filter(|khz| (1..=KHZ_MAX).contains(khz))
        .ok_or(Flaw::new(1, "expected a frequency in kHz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequency_is_neither_nothing_nor_absurd() {
        assert_eq!(parse(b"1500000\n"), Ok(1_500_000));
        for text in [
            "",
            "0",
            "-1",
            "<unknown>",
            "4294967295",
            "18446744073709551615",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}

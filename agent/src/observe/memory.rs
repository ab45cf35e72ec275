//! Reads `/proc/meminfo`, the root cgroup's memory.stat, `/sys/kernel/mm/hugepages` and `/proc/vmstat`
//! (Documentation/filesystems/proc.rst, Documentation/admin-guide/cgroup-v2.rst).
//!
//! On a Raspberry Pi the memory controller is off by default: then the cgroup reading is absent.

use super::root::Root;
use super::text::{Flaw, fields, lines, lone_number, number};
use super::{ReadError, Reading};

/// The part of `/proc/meminfo` that is used; what an old kernel does not write, or a broken one not
/// as a number, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names in snake case")]
pub struct Memory {
    pub total_kib: u64,
    pub free_kib: u64,
    pub available_kib: Option<u64>,
    pub buffers_kib: Option<u64>,
    pub cached_kib: Option<u64>,
    pub swap_cached_kib: Option<u64>,
    pub active_file_kib: Option<u64>,
    pub inactive_file_kib: Option<u64>,
    pub anon_pages_kib: Option<u64>,
    pub dirty_kib: Option<u64>,
    pub shmem_kib: Option<u64>,
    pub slab_reclaimable_kib: Option<u64>,
    pub swap_total_kib: Option<u64>,
    pub swap_free_kib: Option<u64>,
    /// Why one of them is `None`, if it is broken.
    pub flaw: Option<ReadError>,
}

/// The root cgroup's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryCgroup {
    /// cgroup v1.
    V1 {
        /// `memory.usage_in_bytes`.
        usage_bytes: u64,
        /// `total_inactive_file` of `memory.stat`.
        inactive_file_bytes: u64,
    },
    /// cgroup v2, whose root has no `memory.current`.
    V2 {
        /// `anon` of `memory.stat`.
        anon_bytes: u64,
        /// `file` of `memory.stat`.
        file_bytes: u64,
        /// `inactive_file` of `memory.stat`.
        inactive_file_bytes: u64,
    },
}

impl MemoryCgroup {
    /// Whether so much memory can hold it. A page in the swap cache counts both as a file's and as
    /// anonymous: each kind must fit, and their sum twice.
    fn fits(self, total_kib: u64) -> bool {
        let total_bytes = total_kib.saturating_mul(1024);
        match self {
            Self::V1 {
                usage_bytes,
                inactive_file_bytes,
            } => usage_bytes / 2 <= total_bytes && inactive_file_bytes <= total_bytes,
            Self::V2 {
                anon_bytes,
                file_bytes,
                inactive_file_bytes,
            } => [anon_bytes, file_bytes, inactive_file_bytes]
                .into_iter()
                .all(|bytes| bytes <= total_bytes),
        }
    }
}

/// One pool of huge pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Size of a page.
    pub page_kib: u64,
    /// Pages reserved.
    pub count: Reading<u64>,
}

/// Paging since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vmstat {
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Page faults of any kind.
    pub faults: u64,
    /// Pages swapped in.
    pub swapped_in_pages: u64,
    /// Pages swapped out.
    pub swapped_out_pages: u64,
    /// Processes killed for want of memory; a kernel before 4.13 does not count them.
    pub oom_kills: Option<u64>,
}

/// Which hierarchy holds the memory controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hierarchy {
    V1,
    V2,
}

/// Finds the hierarchy of the memory controller.
pub(super) fn find_hierarchy(root: &Root) -> Hierarchy {
    // On a hybrid system the controllers are v1 and this file is elsewhere.
    if root.exists("sys/fs/cgroup/cgroup.controllers") {
        Hierarchy::V2
    } else {
        Hierarchy::V1
    }
}

const MEMINFO: &str = "proc/meminfo";

/// Reads `/proc/meminfo`.
pub(super) fn read(root: &mut Root) -> Reading<Memory> {
    root.parse(MEMINFO, parse)
}

/// Reads the root cgroup's memory.
pub(super) fn read_cgroup(
    root: &mut Root,
    hierarchy: Hierarchy,
    memory: &Reading<Memory>,
) -> Reading<MemoryCgroup> {
    let cgroup = parse_cgroup(root, hierarchy)?;
    let path = match hierarchy {
        Hierarchy::V2 => "sys/fs/cgroup/memory.stat",
        Hierarchy::V1 => "sys/fs/cgroup/memory",
    };
    match (&cgroup, memory) {
        (Some(cgroup), Ok(Some(memory))) if !cgroup.fits(memory.total_kib) => {
            Err(Flaw::new(1, "more than the memory that there is").at(path))
        }
        _ => Ok(cgroup),
    }
}

fn parse_cgroup(root: &mut Root, hierarchy: Hierarchy) -> Reading<MemoryCgroup> {
    match hierarchy {
        Hierarchy::V2 => root.parse("sys/fs/cgroup/memory.stat", parse_cgroup_v2),
        Hierarchy::V1 => {
            let usage = root.parse("sys/fs/cgroup/memory/memory.usage_in_bytes", lone_number)?;
            let Some(usage_bytes) = usage else {
                return Ok(None);
            };
            let stat = root.parse("sys/fs/cgroup/memory/memory.stat", |text| {
                let [inactive_file_bytes] = keyed(text, ["total_inactive_file"])?;
                required(inactive_file_bytes)
            })?;
            Ok(stat.map(|inactive_file_bytes| MemoryCgroup::V1 {
                usage_bytes,
                inactive_file_bytes,
            }))
        }
    }
}

/// Reads the pools of huge pages.
pub(super) fn read_huge_pages(root: &mut Root) -> Reading<Vec<HugePages>> {
    const DIRECTORY: &str = "sys/kernel/mm/hugepages";
    let Some(names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    let mut pools = Vec::new();
    for name in names {
        let size = name
            .strip_prefix("hugepages-")
            .and_then(|name| name.strip_suffix("kB"));
        let Some(page_kib) = size.and_then(|size| number(size.as_bytes())) else {
            continue;
        };
        let path = format!("{DIRECTORY}/{name}/nr_hugepages");
        let count = root.parse(&path, lone_number);
        if count != Ok(None) {
            pools.push(HugePages { page_kib, count });
        }
    }
    pools.sort_unstable_by_key(|pool| pool.page_kib);
    Ok(Some(pools))
}

/// Reads the paging counters.
pub(super) fn read_vmstat(root: &mut Root) -> Reading<Vmstat> {
    root.parse_table("proc/vmstat", parse_vmstat)
}

fn parse(text: &[u8]) -> Result<Memory, Flaw> {
    let [
        total,
        free,
        available,
        buffers,
        cached,
        swap_cached,
        active_file,
        inactive_file,
        anon_pages,
        dirty,
        shmem,
        slab_reclaimable,
        swap_total,
        swap_free,
    ] = each_keyed(
        text,
        [
            "MemTotal:",
            "MemFree:",
            "MemAvailable:",
            "Buffers:",
            "Cached:",
            "SwapCached:",
            "Active(file):",
            "Inactive(file):",
            "AnonPages:",
            "Dirty:",
            "Shmem:",
            "SReclaimable:",
            "SwapTotal:",
            "SwapFree:",
        ],
    );
    // What rests on any other line fails without it, and the rest does not.
    let mut flaw = None;
    let mut optional = |value: Result<Option<u64>, Flaw>| {
        value.unwrap_or_else(|of_line| {
            flaw.get_or_insert(of_line);
            None
        })
    };
    let memory = Memory {
        total_kib: required(total?)?,
        free_kib: required(free?)?,
        available_kib: available?,
        buffers_kib: optional(buffers),
        cached_kib: optional(cached),
        swap_cached_kib: optional(swap_cached),
        active_file_kib: optional(active_file),
        inactive_file_kib: optional(inactive_file),
        anon_pages_kib: optional(anon_pages),
        dirty_kib: optional(dirty),
        shmem_kib: optional(shmem),
        slab_reclaimable_kib: optional(slab_reclaimable),
        swap_total_kib: optional(swap_total),
        swap_free_kib: optional(swap_free),
        flaw: flaw.map(|flaw| flaw.at(MEMINFO)),
    };
    check(&memory).map(|()| memory)
}

/// Refuses what cannot be, so that nobody computes with it.
fn check(memory: &Memory) -> Result<(), Flaw> {
    /// 2^43 KiB: its bytes are still below 2^53, exact in JSON.
    const KIB_MAX: u64 = 1 << 43;
    let total_kib = memory.total_kib;
    let parts = [
        Some(memory.free_kib),
        memory.available_kib,
        memory.buffers_kib,
        memory.cached_kib,
        memory.swap_cached_kib,
        memory.anon_pages_kib,
        memory.active_file_kib,
        memory.inactive_file_kib,
    ];
    let swap = memory.swap_total_kib.zip(memory.swap_free_kib);
    let largest = parts.into_iter().flatten().max().unwrap_or(0);
    if total_kib == 0 {
        Err(Flaw::new(1, "a memory of nothing"))
    } else if total_kib.max(memory.swap_total_kib.unwrap_or(0)) > KIB_MAX {
        Err(Flaw::new(1, "more memory than an address can name"))
    } else if largest > total_kib {
        Err(Flaw::new(1, "a part is larger than the memory"))
    } else if swap.is_some_and(|(total_kib, free_kib)| free_kib > total_kib) {
        Err(Flaw::new(1, "more swap is free than there is"))
    } else {
        Ok(())
    }
}

fn parse_cgroup_v2(text: &[u8]) -> Result<MemoryCgroup, Flaw> {
    let [anon, file, inactive_file] = keyed(text, ["anon", "file", "inactive_file"])?;
    Ok(MemoryCgroup::V2 {
        anon_bytes: required(anon)?,
        file_bytes: required(file)?,
        inactive_file_bytes: required(inactive_file)?,
    })
}

fn parse_vmstat(text: &[u8]) -> Result<Vmstat, Flaw> {
    let [major_faults, faults, swapped_in, swapped_out, oom_kills] = keyed(
        text,
        ["pgmajfault", "pgfault", "pswpin", "pswpout", "oom_kill"],
    )?;
    Ok(Vmstat {
        major_faults: required(major_faults)?,
        faults: required(faults)?,
        // A kernel without swap does not count it.
        swapped_in_pages: swapped_in.unwrap_or(0),
        swapped_out_pages: swapped_out.unwrap_or(0),
        oom_kills,
    })
}

/// Picks the numbers after some keys; the keys stand in the order of the file or not.
fn keyed<const N: usize>(text: &[u8], keys: [&str; N]) -> Result<[Option<u64>; N], Flaw> {
    let mut values = [None; N];
    for (value, found) in values.iter_mut().zip(each_keyed(text, keys)) {
        *value = found?;
    }
    Ok(values)
}

/// The same, each with a flaw of its own.
fn each_keyed<const N: usize>(text: &[u8], keys: [&str; N]) -> [Result<Option<u64>, Flaw>; N] {
    let mut values = [Ok(None); N];
    for (line_number, line) in lines(text) {
        let mut fields = fields(line);
        let Some(key) = fields.next() else {
            continue;
        };
        let wanted = keys
            .iter()
            .zip(&mut values)
            .find(|(wanted, _)| wanted.as_bytes() == key);
        if let Some((_, value)) = wanted {
            let found = fields.next().and_then(number);
            let flaw = Flaw::new(line_number, "expected a number");
            *value = found.map(Some).ok_or(flaw);
        }
    }
    values
}

fn required(value: Option<u64>) -> Result<u64, Flaw> {
    value.ok_or(Flaw::new(1, "a line of every kernel's is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "MemTotal:  1000 kB\nMemFree:  200 kB\nMemAvailable: 600 kB\n\
        Buffers:  10 kB\nCached:  300 kB\nSwapCached: 1 kB\nInactive(file):  50 kB\n\
        AnonPages: 70 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n";

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let memory = parse(TEXT.as_bytes()).unwrap();
        assert_eq!(
            (memory.cached_kib, memory.swap_cached_kib),
            (Some(300), Some(1))
        );
        assert_eq!(
            (memory.available_kib, memory.inactive_file_kib),
            (Some(600), Some(50))
        );
        assert_eq!(memory.shmem_kib, None);
    }

    #[test]
    fn what_cannot_be_fails() {
        for (from, to) in [
            ("MemTotal:  1000", "MemTotal:  0"),
            ("MemTotal:  1000", "MemTotal:  -1000"),
            ("MemTotal:  1000", "MemTotal:  18446744073709551615"),
            ("MemTotal:  1000", "MemTotal:  9223372036854775807"),
            ("MemFree:  200", "MemFree:  2000"),
            ("MemAvailable: 600", "MemAvailable: 1001"),
            ("Cached:  300", "Cached: 8796093022207"),
            ("SwapCached: 1", "SwapCached: 1001"),
            ("Inactive(file):  50", "Inactive(file): 1001"),
            ("SwapFree: 90", "SwapFree: 101"),
            ("MemTotal:", "Total:"),
            ("MemFree:  200 kB", "MemFree:"),
        ] {
            let text = TEXT.replace(from, to);
            assert!(parse(text.as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_broken_line_is_none_and_says_so() {
        let with = |from: &str, to: &str| {
            let memory = parse(TEXT.replace(from, to).as_bytes()).unwrap();
            let error = memory.flaw.as_ref().unwrap().to_string();
            (memory, error)
        };
        let sound = parse(TEXT.as_bytes()).unwrap();
        assert_eq!(sound.flaw, None);
        let (memory, error) = with("SwapCached: 1", "SwapCached: ?");
        assert_eq!(error, "proc/meminfo:6: expected a number");
        let expected = Memory {
            swap_cached_kib: None,
            flaw: memory.flaw.clone(),
            ..sound
        };
        assert_eq!(memory, expected);
        let (memory, _) = with("Cached:  300", "Cached: -1");
        assert_eq!((memory.total_kib, memory.cached_kib), (1000, None));
        let (memory, _) = with("SwapTotal: 100 kB", "SwapTotal:");
        assert_eq!(
            (memory.swap_total_kib, memory.swap_free_kib),
            (None, Some(90))
        );
    }

    #[test]
    fn a_root_cgroup_has_anon_file_and_inactive_file() {
        let text = b"anon 100\nfile 200\nkernel 5\ninactive_anon 1\ninactive_file 50\n";
        let expected = MemoryCgroup::V2 {
            anon_bytes: 100,
            file_bytes: 200,
            inactive_file_bytes: 50,
        };
        assert_eq!(parse_cgroup_v2(text), Ok(expected));
        assert!(parse_cgroup_v2(b"anon 100\n").is_err());
    }

    #[test]
    fn a_cgroup_uses_no_more_than_there_is() {
        const MEMORY_KIB: u64 = 1_000;
        const ALL: u64 = MEMORY_KIB * 1024;
        const MORE: u64 = ALL + 1;
        let v1 = |usage_bytes, inactive_file_bytes| MemoryCgroup::V1 {
            usage_bytes,
            inactive_file_bytes,
        };
        let v2 = |anon_bytes, file_bytes, inactive_file_bytes| MemoryCgroup::V2 {
            anon_bytes,
            file_bytes,
            inactive_file_bytes,
        };
        for (cgroup, expected) in [
            (v1(ALL, ALL), true),
            (v1(2 * MORE, 0), false),
            (v1(u64::MAX, 0), false),
            (v1(0, MORE), false),
            // What is in the swap cache counts twice.
            (v2(ALL, ALL, ALL), true),
            (v2(1_125_899_906_842_624, 0, 0), false),
            (v2(0, MORE, 0), false),
            (v2(0, 0, MORE), false),
        ] {
            assert_eq!(cgroup.fits(MEMORY_KIB), expected, "{cgroup:?}");
        }
    }

    #[test]
    fn an_old_kernel_does_not_count_oom_kills() {
        let vmstat = parse_vmstat(b"pgfault 9\npgmajfault 3\npswpin 1\npswpout 2\n").unwrap();
        assert_eq!((vmstat.major_faults, vmstat.oom_kills), (3, None));
    }
}

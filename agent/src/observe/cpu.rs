//! Reads `/proc/stat` and `/sys/devices/system/cpu/online`
//! (Documentation/filesystems/proc.rst, section 1.7).
//!
//! Times are totals since boot; rates need two observations and are `assess`'s.

use super::root::Root;
use super::text::{Flaw, fields, lines, number, number_u32};
use super::{Detail, Reading};

/// Processors that are online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors {
    /// How many; the Node's cpu capacity.
    pub online: u32,
}

/// Processor time since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// All processors.
    pub total: CpuTime,
    /// Processors that `/proc/stat` lists.
    pub online: u32,
    /// Each processor by its number; empty unless detail is asked for.
    pub cores: Vec<(u32, CpuTime)>,
    /// Interrupts served.
    pub interrupts: u64,
    /// Context switches.
    pub context_switches: u64,
    /// Processes and threads created.
    pub forks: u64,
    /// Tasks that wait for a disk.
    pub blocked: u32,
}

/// Processor time in hundredths of a second, which `USER_HZ` is on every target that is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names, each in ticks of 10 ms")]
pub struct CpuTime {
    pub user_ticks: u64,
    pub nice_ticks: u64,
    pub system_ticks: u64,
    pub idle_ticks: u64,
    pub iowait_ticks: u64,
    pub irq_ticks: u64,
    pub softirq_ticks: u64,
    pub steal_ticks: u64,
}

/// Reads the processors that are online.
pub(super) fn read_processors(root: &mut Root) -> Reading<Processors> {
    let listed = root.parse("sys/devices/system/cpu/online", parse_online);
    match listed {
        Ok(Some(_)) => listed,
        // Without sysfs /proc/stat has a line for each.
        Ok(None) | Err(_) => match read(root, Detail::Dropped) {
            Ok(Some(cpu)) => Ok(Some(Processors { online: cpu.online })),
            Ok(None) | Err(_) => listed,
        },
    }
}

/// Reads processor time.
pub(super) fn read(root: &mut Root, detail: Detail) -> Reading<Cpu> {
    root.parse_table("proc/stat", |text| parse(text, detail))
}

fn parse(text: &[u8], detail: Detail) -> Result<Cpu, Flaw> {
    let mut cpu = None;
    let (mut cores, mut online) = (Vec::new(), 0_u32);
    let (mut interrupts, mut context_switches, mut forks, mut blocked) = (None, None, None, None);
    for (line_number, line) in lines(text) {
        let mut fields = fields(line);
        let Some(name) = fields.next() else {
            continue;
        };
        let mut next_number = || {
            // `intr` goes on with thousands of numbers; the first is their sum.
            fields
                .next()
                .and_then(number)
                .ok_or(Flaw::new(line_number, "expected a number"))
        };
        match name {
            b"cpu" => cpu = Some(cpu_time(&mut next_number)?),
            b"intr" => interrupts = Some(next_number()?),
            b"ctxt" => context_switches = Some(next_number()?),
            b"processes" => forks = Some(next_number()?),
            b"procs_blocked" => blocked = u32::try_from(next_number()?).ok(),
            _ => {
                let Some(core) = name.strip_prefix(b"cpu").and_then(number_u32) else {
                    continue;
                };
                online = online.saturating_add(1);
                if detail == Detail::Kept {
                    cores.push((core, cpu_time(&mut next_number)?));
                }
            }
        }
    }
    let flaw = Flaw::new(1, "a line of every kernel's is missing");
    Ok(Cpu {
        total: cpu.ok_or(flaw)?,
        online: Some(online).filter(|online| *online > 0).ok_or(flaw)?,
        cores,
        interrupts: interrupts.ok_or(flaw)?,
        context_switches: context_switches.ok_or(flaw)?,
        forks: forks.ok_or(flaw)?,
        blocked: blocked.ok_or(flaw)?,
    })
}

fn cpu_time(next_number: &mut impl FnMut() -> Result<u64, Flaw>) -> Result<CpuTime, Flaw> {
    Ok(CpuTime {
        user_ticks: next_number()?,
        nice_ticks: next_number()?,
        system_ticks: next_number()?,
        idle_ticks: next_number()?,
        iowait_ticks: next_number()?,
        irq_ticks: next_number()?,
        softirq_ticks: next_number()?,
        steal_ticks: next_number()?,
    })
}

/// A list of ranges such as `0-3,6`.
fn parse_online(text: &[u8]) -> Result<Processors, Flaw> {
    /// `NR_CPUS` of the largest kernels.
    const PROCESSORS_MAX: u32 = 8192;
    let flaw = Flaw::new(1, "expected a list of processors");
    let mut online = 0_u32;
    for range in text.trim_ascii().split(|byte| *byte == b',') {
        let mut ends = range.splitn(2, |byte| *byte == b'-');
        let first = ends.next().and_then(number_u32).ok_or(flaw)?;
        let last = ends.next().map_or(Some(first), number_u32).ok_or(flaw)?;
        let count = last
            .checked_sub(first)
            .and_then(|count| count.checked_add(1))
            .ok_or(flaw)?;
        online = online.saturating_add(count);
    }
    if online > PROCESSORS_MAX {
        return Err(Flaw::new(1, "more processors than a kernel can have"));
    }
    Ok(Processors { online })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn online_processors_are_counted() {
        for (text, expected) in [("0\n", 1), ("0-3\n", 4), ("0-1,4,6-7\n", 5)] {
            assert_eq!(
                parse_online(text.as_bytes()),
                Ok(Processors { online: expected }),
                "{text}"
            );
        }
        for text in ["", "\n", "3-0", "0-", "-1", "0-4294967295", "0,,1", "a"] {
            assert!(parse_online(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    const STAT: &str = "cpu  10 2 3 400 5 6 7 8 0 0\ncpu0 5 1 1 200 2 3 3 4 0 0\n\
        cpu3 5 1 2 200 3 3 4 4 0 0\nintr 900 1 2 3\nctxt 1000\nbtime 1760000000\n\
        processes 77\nprocs_running 1\nprocs_blocked 2\nsoftirq 5 1\n";

    #[test]
    fn a_gap_in_the_processors_is_kept() {
        let cpu = parse(STAT.as_bytes(), Detail::Kept).unwrap();
        assert_eq!(cpu.online, 2);
        assert_eq!(
            cpu.cores.iter().map(|(core, _)| *core).collect::<Vec<_>>(),
            [0, 3]
        );
        assert_eq!((cpu.total.user_ticks, cpu.total.steal_ticks), (10, 8));
        assert_eq!(
            (cpu.interrupts, cpu.context_switches, cpu.forks),
            (900, 1000, 77)
        );
        assert_eq!(cpu.blocked, 2);
        assert_eq!(parse(STAT.as_bytes(), Detail::Dropped).unwrap().cores, []);
    }

    #[test]
    fn an_underflown_counter_fails() {
        let text = STAT.replace("cpu  10 2 3 400", "cpu  10 2 3 18446744073709551615");
        assert!(parse(text.as_bytes(), Detail::Dropped).is_err());
    }
}

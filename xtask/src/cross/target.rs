//! What is built for which boards, and how large it may be.
//!
//! The one list of targets; a test holds `cross.toml`, which serves people with Docker, equal to
//! it.

use anyhow::bail;

use super::elf::{Class, Machine};

/// A processor family with its C library, by the compiler's name for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// What the header of a program for it says.
    pub(crate) class: Class,
    pub(crate) machine: Machine,
    /// The highest ARM version that code may ask for (`Tag_CPU_arch`); `None` for 64 bits,
    /// where a program does not say.
    pub(crate) arm_version_max: Option<u8>,
    /// The architecture as the agent and Go write it.
    pub(crate) architecture: &'static str,
    /// Runs programs for it on another machine.
    pub(crate) emulator: &'static str,
    /// The oldest processor that must do.
    pub(crate) cpu: &'static str,
    /// A board of that kind, to run on.
    pub(crate) fixture: &'static str,
    pub(crate) programs: &'static [&'static Program],
}

/// One of our two programs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) profile: &'static str,
    /// More than this is a failure.
    pub(crate) bytes_max: u64,
    /// Less than this is wanted.
    pub(crate) bytes_aim: Option<u64>,
}

const MEGABYTE: u64 = 1_000_000;

/// On an SD card and in the memory of a board with 512 MB, beside what the board is for.
const AGENT: Program = Program {
    name: "nodling-agent",
    profile: "board",
    bytes_max: 3 * MEGABYTE,
    bytes_aim: Some(2 * MEGABYTE),
};

/// The gateway of a home may well be one of its boards.
const GATEWAY: Program = Program {
    name: "nodling-gateway",
    profile: "release",
    bytes_max: 15 * MEGABYTE,
    bytes_aim: None,
};

const PROGRAMS: &[&Program] = &[&AGENT, &GATEWAY];

/// `Tag_CPU_arch` of the ABI for the Arm architecture: v6, and v7.
const ARM_V6: u8 = 6;
const ARM_V7: u8 = 10;

pub(crate) const TARGETS: &[Target] = &[
    // Raspberry Pi 3 and later with a 64-bit system. The Cortex-A53 lacks the atomics of 8.1.
    Target {
        triple: "aarch64-unknown-linux-musl",
        class: Class::Bits64,
        machine: Machine::Aarch64,
        arm_version_max: None,
        architecture: "arm64",
        emulator: "qemu-aarch64",
        cpu: "cortex-a53",
        fixture: "boards/raspberry-pi-3b/fixtures/idle",
        programs: &[&AGENT, &GATEWAY],
    },
    // Raspberry Pi 2 and later with a 32-bit system, BeagleBone Black.
    Target {
        triple: "armv7-unknown-linux-musleabihf",
        class: Class::Bits32,
        machine: Machine::Arm,
        arm_version_max: Some(ARM_V7),
        architecture: "arm",
        emulator: "qemu-arm",
        cpu: "cortex-a8",
        fixture: "boards/beaglebone-black/fixtures/idle",
        programs: &[&AGENT, &GATEWAY],
    },
    // Raspberry Pi 1 and Zero: one core, and no memory to spare for a gateway.
    Target {
        triple: "arm-unknown-linux-musleabihf",
        class: Class::Bits32,
        machine: Machine::Arm,
        arm_version_max: Some(ARM_V6),
        architecture: "arm",
        emulator: "qemu-arm",
        cpu: "arm1176",
        fixture: "boards/raspberry-pi-zero-w/fixtures/idle",
        programs: &[&AGENT],
    },
];

/// One program for one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) target: &'static Target,
    pub(crate) program: &'static Program,
}

/// The target of that name; clap asks.
pub(crate) fn target_named(name: &str) -> Result<&'static Target, String> {
    let found = TARGETS.iter().find(|target| target.triple == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.triple).collect();
        format!("the targets are {}", names.join(", "))
    })
}

/// The program of that name; clap asks.
pub(crate) fn program_named(name: &str) -> Result<&'static Program, String> {
    let found = PROGRAMS
        .iter()
        .copied()
        .find(|program| program.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        format!("the programs are {}", names.join(" and "))
    })
}

/// What is to be built: everything, or what the named targets and programs have in common.
///
/// An error if a target was named and nothing of what was asked is built for it.
pub(crate) fn jobs(
    targets: &[&'static Target],
    programs: &[&'static Program],
) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for target in TARGETS {
        let is_named = targets.contains(&target);
        if !targets.is_empty() && !is_named {
            continue;
        }
        let before = jobs.len();
        let wanted = target.programs.iter().copied();
        let wanted = wanted.filter(|program| programs.is_empty() || programs.contains(program));
        jobs.extend(wanted.map(|program| Job { target, program }));
        if is_named && jobs.len() == before {
            let built: Vec<&str> = target.programs.iter().map(|program| program.name).collect();
            bail!("for {} there is only {}", target.triple, built.join(", "));
        }
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(jobs: &[Job]) -> Vec<(&str, &str)> {
        let names = jobs.iter().map(|job| (job.target.triple, job.program.name));
        names.collect()
    }

    #[test]
    fn without_a_choice_everything_is_built() {
        assert_eq!(
            names(&jobs(&[], &[]).unwrap()),
            [
                ("aarch64-unknown-linux-musl", "nodling-agent"),
                ("aarch64-unknown-linux-musl", "nodling-gateway"),
                ("armv7-unknown-linux-musleabihf", "nodling-agent"),
                ("armv7-unknown-linux-musleabihf", "nodling-gateway"),
                ("arm-unknown-linux-musleabihf", "nodling-agent"),
            ]
        );
    }

    #[test]
    fn a_choice_of_program_leaves_out_the_targets_without_it() {
        let gateway = program_named("nodling-gateway").unwrap();
        let chosen = jobs(&[], &[gateway]).unwrap();
        assert_eq!(chosen.len(), 2);
        assert!(chosen.iter().all(|job| job.program == gateway));
    }

    #[test]
    fn a_named_target_for_which_nothing_is_built_is_an_error() {
        let zero = target_named("arm-unknown-linux-musleabihf").unwrap();
        let pi = target_named("aarch64-unknown-linux-musl").unwrap();
        let gateway = program_named("nodling-gateway").unwrap();
        assert_eq!(jobs(&[zero], &[]).unwrap().len(), 1);
        let err = jobs(&[pi, zero], &[gateway]).unwrap_err().to_string();
        assert!(err.contains("only nodling-agent"), "{err}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let err = target_named("armv7").unwrap_err();
        assert!(err.contains("armv7-unknown-linux-musleabihf"), "{err}");
        let err = program_named("agent").unwrap_err();
        assert!(err.contains("nodling-agent"), "{err}");
    }

    #[test]
    fn cross_toml_serves_the_same_targets() {
        let text = include_str!("../../../cross.toml");
        let served = text.lines().filter_map(|line| {
            let name = line.strip_prefix("[target.")?;
            name.strip_suffix(']')
        });
        let ours = TARGETS.iter().map(|target| target.triple);
        assert_eq!(served.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
    }
}

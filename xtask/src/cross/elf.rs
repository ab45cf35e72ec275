//! Reads from an ELF file what must hold for a program on a board: its class and machine, that
//! it asks for no loader and no library, and which ARM version its code needs.
//!
//! Layouts from elf(5), and for `.ARM.attributes` from "Addenda to, and Errata in, the ABI for
//! the Arm Architecture". Little-endian only. Not the `file` program: it prints one fact in a
//! different way from version to version.

use super::target::Target;

/// Word size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Bits32,
    Bits64,
}

/// `e_machine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    Aarch64,
    Arm,
    Other(u16),
}

/// What a program says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elf {
    class: Class,
    machine: Machine,
    /// Whether a loader must bring libraries before it can start.
    is_dynamic: bool,
    /// `Tag_CPU_arch`, where there is one.
    arm_version: Option<u8>,
}

/// The file is not a whole little-endian ELF program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotElf(&'static str);

impl std::fmt::Display for NotElf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a program for Linux: {}", self.0)
    }
}

impl std::error::Error for NotElf {}

const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const SHT_ARM_ATTRIBUTES: u64 = 0x7000_0003;

impl Elf {
    /// Reads the headers, the dynamic section and the ARM attributes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NotElf> {
        let file = File::new(bytes)?;
        let mut is_dynamic = false;
        for at in file.table(file.layout.program_headers)? {
            is_dynamic |= match file.number(at, 4)? {
                PT_INTERP => true,
                PT_DYNAMIC => file.needs_libraries(at)?,
                _ => false,
            };
        }
        let mut arm_version = None;
        for at in file.table(file.layout.sections)? {
            if file.number(offset(at, 4)?, 4)? == SHT_ARM_ATTRIBUTES {
                arm_version = cpu_arch(file.section(at)?);
            }
        }
        let machine = match u16::try_from(file.number(18, 2)?).unwrap_or(0) {
            40 => Machine::Arm,
            183 => Machine::Aarch64,
            other => Machine::Other(other),
        };
        Ok(Self {
            class: file.layout.class,
            machine,
            is_dynamic,
            arm_version,
        })
    }

    /// Everything that makes it unfit for the boards of a target.
    pub(crate) fn faults(self, target: &Target) -> Vec<String> {
        let mut faults = Vec::new();
        if (self.class, self.machine) != (target.class, target.machine) {
            faults.push(format!("is for {:?}, {:?}", self.class, self.machine));
        }
        if self.is_dynamic {
            faults.push("is not static".to_owned());
        }
        if let Some(max) = target.arm_version_max {
            match self.arm_version {
                Some(version) if version <= max => {}
                Some(version) => {
                    faults.push(format!("needs Tag_CPU_arch {version}, the board has {max}"));
                }
                None => faults.push("does not say which ARM version it needs".to_owned()),
            }
        }
        faults
    }
}

/// Where the fields are that lie differently in the two classes.
struct Layout {
    class: Class,
    /// Bytes of an address.
    word: usize,
    program_headers: Table,
    sections: Table,
    /// Offset and size in a program header.
    segment: (usize, usize),
    /// Offset and size in a section header.
    section: (usize, usize),
}

/// Where the header says where a table is.
#[derive(Clone, Copy)]
struct Table {
    start: usize,
    entry_size: usize,
    count: usize,
}

const BITS32: Layout = Layout {
    class: Class::Bits32,
    word: 4,
    program_headers: Table {
        start: 28,
        entry_size: 42,
        count: 44,
    },
    sections: Table {
        start: 32,
        entry_size: 46,
        count: 48,
    },
    segment: (4, 16),
    section: (16, 20),
};

const BITS64: Layout = Layout {
    class: Class::Bits64,
    word: 8,
    program_headers: Table {
        start: 32,
        entry_size: 54,
        count: 56,
    },
    sections: Table {
        start: 40,
        entry_size: 58,
        count: 60,
    },
    segment: (8, 32),
    section: (24, 32),
};

struct File<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, NotElf> {
        let identity = bytes.first_chunk::<6>().ok_or(NotElf("it is too short"))?;
        let layout = match identity {
            [0x7f, b'E', b'L', b'F', 1, 1] => BITS32,
            [0x7f, b'E', b'L', b'F', 2, 1] => BITS64,
            [0x7f, b'E', b'L', b'F', ..] => return Err(NotElf("it is not little-endian")),
            _ => return Err(NotElf("it is no ELF file")),
        };
        Ok(Self { bytes, layout })
    }

    fn slice(&self, at: usize, len: usize) -> Result<&'a [u8], NotElf> {
        let end = offset(at, len)?;
        self.bytes.get(at..end).ok_or(NotElf("it is cut off"))
    }

    fn number(&self, at: usize, len: usize) -> Result<u64, NotElf> {
        let bytes = self.slice(at, len)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn length(&self, at: usize, len: usize) -> Result<usize, NotElf> {
        usize::try_from(self.number(at, len)?).map_err(|_| NotElf("it is cut off"))
    }

    /// Where each entry of a table begins.
    fn table(&self, table: Table) -> Result<impl Iterator<Item = usize> + use<>, NotElf> {
        let start = self.length(table.start, self.layout.word)?;
        let entry_size = self.length(table.entry_size, 2)?;
        let count = self.length(table.count, 2)?;
        self.slice(start, entry_size.saturating_mul(count))?;
        Ok((0..count).map(move |index| start + index * entry_size))
    }

    fn part(&self, at: usize, (start, size): (usize, usize)) -> Result<&'a [u8], NotElf> {
        let word = self.layout.word;
        let start = self.length(offset(at, start)?, word)?;
        let size = self.length(offset(at, size)?, word)?;
        self.slice(start, size)
    }

    fn section(&self, at: usize) -> Result<&'a [u8], NotElf> {
        self.part(at, self.layout.section)
    }

    /// A static program that may lie anywhere in memory has a dynamic section too, but names no
    /// library there.
    fn needs_libraries(&self, at: usize) -> Result<bool, NotElf> {
        let word = self.layout.word;
        let dynamic = self.part(at, self.layout.segment)?;
        Ok(dynamic.chunks_exact(2 * word).any(|entry| {
            let tag = entry.iter().take(word).rev();
            tag.fold(0, |tag, byte| (tag << 8) | u64::from(*byte)) == DT_NEEDED
        }))
    }
}

fn offset(at: usize, by: usize) -> Result<usize, NotElf> {
    at.checked_add(by).ok_or(NotElf("it is cut off"))
}

/// Finds `Tag_CPU_arch` among the attributes that hold for the whole file.
fn cpu_arch(section: &[u8]) -> Option<u8> {
    const TAG_FILE: u64 = 1;
    const TAG_CPU_ARCH: u64 = 6;
    // 'A', then the vendor's part: its length, its name, and within it tag and length again.
    let rest = section.strip_prefix(b"A")?.get(4..)?;
    let mut rest = rest.strip_prefix(b"aeabi\0")?;
    if take_uleb(&mut rest)? != TAG_FILE {
        return None;
    }
    rest = rest.get(4..)?;
    while !rest.is_empty() {
        let tag = take_uleb(&mut rest)?;
        if is_text(tag) {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
            continue;
        }
        let value = take_uleb(&mut rest)?;
        if tag == TAG_CPU_ARCH {
            return u8::try_from(value).ok();
        }
    }
    None
}

/// Below 32 only the names of processors are text; from there on every odd tag is.
fn is_text(tag: u64) -> bool {
    matches!(tag, 4 | 5) || (tag > 32 && tag % 2 == 1)
}

fn take_uleb(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;

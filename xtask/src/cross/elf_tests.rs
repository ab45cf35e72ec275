//! Programs made by hand, byte by byte, in both classes.

use super::*;
use crate::cross::target::target_named;

/// What goes into a made program.
struct Made {
    class: Class,
    machine: u16,
    /// Type and content of each segment.
    segments: Vec<(u32, Vec<u8>)>,
    /// Type and content of each section.
    sections: Vec<(u32, Vec<u8>)>,
}

impl Made {
    fn new(class: Class, machine: u16) -> Self {
        Self {
            class,
            machine,
            segments: vec![(1, vec![0; 16])],
            sections: vec![(0, Vec::new()), (1, vec![0; 16])],
        }
    }

    fn segment(mut self, kind: u64, content: Vec<u8>) -> Self {
        self.segments.push((u32::try_from(kind).unwrap(), content));
        self
    }

    fn section(mut self, kind: u64, content: Vec<u8>) -> Self {
        self.sections.push((u32::try_from(kind).unwrap(), content));
        self
    }

    fn word(&self, value: usize) -> Vec<u8> {
        match self.class {
            Class::Bits32 => u32::try_from(value).unwrap().to_le_bytes().to_vec(),
            Class::Bits64 => u64::try_from(value).unwrap().to_le_bytes().to_vec(),
        }
    }

    /// Header, segment headers, section headers, contents.
    fn bytes(&self) -> Vec<u8> {
        let (header, segment, section) = match self.class {
            Class::Bits32 => (52, 32, 40),
            Class::Bits64 => (64, 56, 64),
        };
        let sections_at = header + self.segments.len() * segment;
        let mut content_at = sections_at + self.sections.len() * section;
        let mut headers = Vec::new();
        let mut contents = Vec::new();
        for (kind, content) in &self.segments {
            let (at, len) = (self.word(content_at), self.word(content.len()));
            let zero = self.word(0);
            let kind = kind.to_le_bytes();
            let fields: Vec<&[u8]> = match self.class {
                Class::Bits32 => vec![&kind, &at, &zero, &zero, &len],
                Class::Bits64 => vec![&kind, &[0; 4], &at, &zero, &zero, &len],
            };
            push(&mut headers, &fields, segment);
            contents.extend_from_slice(content);
            content_at += content.len();
        }
        for (kind, content) in &self.sections {
            let (at, len) = (self.word(content_at), self.word(content.len()));
            let (kind, zero) = (kind.to_le_bytes(), self.word(0));
            push(
                &mut headers,
                &[&[0; 4], &kind, &zero, &zero, &at, &len],
                section,
            );
            contents.extend_from_slice(content);
            content_at += content.len();
        }
        let mut bytes = b"\x7fELF".to_vec();
        bytes.push(if self.class == Class::Bits32 { 1 } else { 2 });
        bytes.push(1);
        bytes.resize(18, 0);
        bytes.extend_from_slice(&self.machine.to_le_bytes());
        bytes.resize(24, 0);
        bytes.extend(self.word(0));
        bytes.extend(self.word(header));
        bytes.extend(self.word(sections_at));
        bytes.extend([0; 6]);
        let counts = [segment, self.segments.len(), section, self.sections.len()];
        for count in counts {
            bytes.extend_from_slice(&u16::try_from(count).unwrap().to_le_bytes());
        }
        bytes.resize(header, 0);
        [bytes, headers, contents].concat()
    }

    /// An entry of the dynamic section, which ends with one of zeroes.
    fn dynamic(&self, tag: u64) -> Vec<u8> {
        let tag = self.word(usize::try_from(tag).unwrap());
        [tag, self.word(7), self.word(0), self.word(0)].concat()
    }
}

fn push(headers: &mut Vec<u8>, fields: &[&[u8]], len: usize) {
    let end = headers.len() + len;
    headers.extend(fields.concat());
    headers.resize(end, 0);
}

/// As the linker writes them: a processor's name, `Tag_CPU_arch`, one more.
fn attributes(cpu_arch: u8) -> Vec<u8> {
    let mut section = b"A\0\0\0\0aeabi\0\x01\0\0\0\0\x05cortex\0\x43\x32.09\0\x06".to_vec();
    section.extend([cpu_arch, 8, 1]);
    section
}

fn faults(made: &Made, triple: &str) -> Vec<String> {
    let elf = Elf::parse(&made.bytes()).unwrap();
    elf.faults(target_named(triple).unwrap())
}

const PI: &str = "aarch64-unknown-linux-musl";
const PI_2: &str = "armv7-unknown-linux-musleabihf";
const ZERO: &str = "arm-unknown-linux-musleabihf";

fn arm(cpu_arch: u8) -> Made {
    Made::new(Class::Bits32, 40).section(SHT_ARM_ATTRIBUTES, attributes(cpu_arch))
}

#[test]
fn a_static_program_for_the_board_is_without_fault() {
    assert!(faults(&Made::new(Class::Bits64, 183), PI).is_empty());
    assert!(faults(&arm(10), PI_2).is_empty());
    assert!(faults(&arm(6), ZERO).is_empty());
}

#[test]
fn a_static_program_with_a_dynamic_section_is_static() {
    for made in [Made::new(Class::Bits64, 183), Made::new(Class::Bits32, 183)] {
        const DT_HASH: u64 = 4;
        let dynamic = made.dynamic(DT_HASH);
        let elf = Elf::parse(&made.segment(PT_DYNAMIC, dynamic).bytes()).unwrap();
        assert!(!elf.is_dynamic);
    }
}

#[test]
fn a_program_that_names_a_library_is_not_static() {
    for made in [Made::new(Class::Bits64, 183), Made::new(Class::Bits32, 183)] {
        let dynamic = made.dynamic(DT_NEEDED);
        let elf = Elf::parse(&made.segment(PT_DYNAMIC, dynamic).bytes()).unwrap();
        assert!(elf.is_dynamic);
    }
}

#[test]
fn a_program_that_asks_for_a_loader_is_not_static() {
    let made = arm(6).segment(PT_INTERP, b"/lib/ld-musl-armhf.so.1\0".to_vec());
    assert_eq!(faults(&made, ZERO), ["is not static"]);
}

#[test]
fn a_program_for_another_machine_is_found() {
    assert_eq!(
        faults(&Made::new(Class::Bits64, 62), PI),
        ["is for Bits64, Other(62)"]
    );
    assert_eq!(faults(&arm(6), PI), ["is for Bits32, Arm"]);
}

#[test]
fn code_that_an_older_processor_does_not_know_is_found() {
    assert_eq!(
        faults(&arm(10), ZERO),
        ["needs Tag_CPU_arch 10, the board has 6"]
    );
    let silent = Made::new(Class::Bits32, 40);
    assert_eq!(
        faults(&silent, ZERO),
        ["does not say which ARM version it needs"]
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error_and_never_a_panic() {
    let dynamic = arm(6).dynamic(DT_NEEDED);
    let bytes = arm(6).segment(PT_DYNAMIC, dynamic).bytes();
    assert!(Elf::parse(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert!(Elf::parse(&bytes[..len]).is_err(), "cut to {len}");
    }
}

#[test]
fn absurd_numbers_are_an_error_and_never_a_panic() {
    let bytes = Made::new(Class::Bits64, 183)
        .segment(PT_DYNAMIC, vec![0; 16])
        .bytes();
    for at in 18..bytes.len() {
        let mut broken = bytes.clone();
        let end = bytes.len().min(at + 8);
        broken[at..end].fill(0xff);
        drop(Elf::parse(&broken));
    }
}

#[test]
fn what_is_no_program_is_said_to_be_none() {
    assert_eq!(Elf::parse(b"#!/bin/sh"), Err(NotElf("it is no ELF file")));
    assert_eq!(
        Elf::parse(b"\x7fELF\x01\x02\x01"),
        Err(NotElf("it is not little-endian"))
    );
    assert_eq!(Elf::parse(b"\x7fELF"), Err(NotElf("it is too short")));
}

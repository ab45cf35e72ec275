//! Reads `/proc/pressure/{cpu,memory,io}` (Documentation/accounting/psi.rst), and of
//! `/proc/cmdline` whether they were asked for.
//!
//! A kernel started without psi=1 either has no such files or answers EOPNOTSUPP: both are absent.

use super::root::Root;
use super::text::{Flaw, fields, hundredths, lines, number};
use super::{Errno, ReadError, Reading};

/// Pressure stalls of the three resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Reading<Stalls>,
    /// Waiting for memory.
    pub memory: Reading<Stalls>,
    /// Waiting for storage.
    pub io: Reading<Stalls>,
}

/// One pressure file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// Some tasks waited.
    pub some: Stall,
    /// All tasks waited; a kernel before 5.13 does not write it for the processor.
    pub full: Option<Stall>,
}

/// One line of a pressure file; shares are hundredths of a per cent, 0 to 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Share of the last 10 s.
    pub avg10_hundredths: u16,
    /// Share of the last minute.
    pub avg60_hundredths: u16,
    /// Share of the last five minutes.
    pub avg300_hundredths: u16,
    /// Since boot.
    pub total_us: u64,
}

/// Reads the three pressure files.
pub(super) fn read(root: &mut Root) -> Pressure {
    let mut read = |path| off_is_absent(root.parse(path, parse));
    Pressure {
        cpu: read("proc/pressure/cpu"),
        memory: read("proc/pressure/memory"),
        io: read("proc/pressure/io"),
    }
}

/// Reads what the kernel was told about pressure stalls.
pub(super) fn read_argument(root: &mut Root) -> Reading<bool> {
    root.parse("proc/cmdline", |text| Ok(parse_argument(text)))
        .map(Option::flatten)
}

/// The last one counts; what the kernel does not understand it ignores.
fn parse_argument(text: &[u8]) -> Option<bool> {
    let values = fields(text).filter_map(|argument| argument.strip_prefix(b"psi="));
    values
        .filter_map(|value| match value {
            [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..] => Some(true),
            [b'0' | b'n' | b'N' | b'f' | b'F', ..] | [b'o' | b'O', b'f' | b'F', ..] => Some(false),
            _ => None,
        })
        .last()
}

/// A kernel that was not told psi=1 shows the files and refuses to open them.
fn off_is_absent(reading: Reading<Stalls>) -> Reading<Stalls> {
    match reading {
        Err(ReadError::Refused {
            cause: Errno(libc::EOPNOTSUPP),
            ..
        }) => Ok(None),
        reading => reading,
    }
}

fn parse(text: &[u8]) -> Result<Stalls, Flaw> {
    let (mut some, mut full) = (None, None);
    for (line_number, line) in lines(text) {
        let mut fields = fields(line);
        let stall = match fields.next() {
            Some(b"some") => &mut some,
            Some(b"full") => &mut full,
            Some(_) | None => return Err(Flaw::new(line_number, "expected some or full")),
        };
        let parsed =
            parse_stall(fields).ok_or(Flaw::new(line_number, "expected shares and a total"));
        *stall = Some(parsed?);
    }
    let some = some.ok_or(Flaw::new(1, "the line of some tasks is missing"))?;
    Ok(Stalls { some, full })
}

fn parse_stall<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Option<Stall> {
    let mut share = |key: &[u8]| {
        let share = hundredths(fields.next()?.strip_prefix(key)?)?;
        u16::try_from(share)
            .ok()
            .filter(|share| *share <= 100 * 100)
    };
    let avg10_hundredths = share(b"avg10=")?;
    let avg60_hundredths = share(b"avg60=")?;
    let avg300_hundredths = share(b"avg300=")?;
    let total_us = number(fields.next()?.strip_prefix(b"total=")?)?;
    Some(Stall {
        avg10_hundredths,
        avg60_hundredths,
        avg300_hundredths,
        total_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_writes_no_full_line_for_the_processor() {
        let stalls = parse(b"some avg10=0.15 avg60=3.78 avg300=100.00 total=121546997\n").unwrap();
        assert_eq!(stalls.full, None);
        assert_eq!(stalls.some.avg10_hundredths, 15);
        assert_eq!(stalls.some.avg300_hundredths, 10_000);
        assert_eq!(stalls.some.total_us, 121_546_997);
    }

    #[test]
    fn pressure_that_is_off_is_absent_and_a_forbidden_file_failed() {
        let refused = |errno| {
            Err(ReadError::Refused {
                path: "cpu".into(),
                cause: Errno(errno),
            })
        };
        assert_eq!(off_is_absent(refused(libc::EOPNOTSUPP)), Ok(None));
        assert_eq!(off_is_absent(refused(libc::EACCES)), refused(libc::EACCES));
    }

    #[test]
    fn the_last_argument_that_the_kernel_understands_counts() {
        for (text, expected) in [
            ("console=tty1 root=PARTUUID=1-02 rootwait\n", None),
            ("psi=1 quiet\n", Some(true)),
            ("psi=on psi=off", Some(false)),
            ("psi=0 psi=1 psi=maybe", Some(true)),
            ("psi", None),
            ("xpsi=1", None),
            ("", None),
        ] {
            assert_eq!(parse_argument(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_share_fails() {
        for text in [
            "",
            "some avg10=100.01 avg60=0.00 avg300=0.00 total=0",
            "some avg10=-0.01 avg60=0.00 avg300=0.00 total=0",
            "some avg60=0.00 avg10=0.00 avg300=0.00 total=0",
            "some avg10=0.00 avg60=0.00 avg300=0.00",
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=0",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}

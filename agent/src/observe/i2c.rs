//! An I2C bus: `/dev/i2c-N` through linux-embedded-hal (Documentation/i2c/dev-interface.rst), or
//! what a fixture recorded of one.
//!
//! A recorded bus is a text with a line per exchange, `76 D0 = 60`: the address, what is written,
//! and what is then read, in hexadecimal. Adapters tell a missing device in two ways, ENXIO and,
//! on a Raspberry Pi, EREMOTEIO; both are the same here.

use std::path::Path;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use i2cdev::linux::LinuxI2CError;
use linux_embedded_hal::I2cdev;

use super::Errno;
use super::text::{Flaw, fields, hexadecimal, lines};

/// A bus, and what it last answered instead of obeying.
pub(super) struct Bus {
    wire: Wire,
    /// Of the last exchange that failed.
    pub(super) errno: Option<Errno>,
}

enum Wire {
    Live(I2cdev),
    Recorded { lines: Vec<Line>, written: Vec<u8> },
}

/// One exchange of a recorded bus.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    address: u8,
    written: Vec<u8>,
    read: Vec<u8>,
}

impl Bus {
    /// Opens a bus of this machine.
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        match I2cdev::new(path) {
            Ok(device) => Ok(Self {
                wire: Wire::Live(device),
                errno: None,
            }),
            Err(err) => Err(errno(&err)),
        }
    }

    /// Reads a fixture's.
    pub(super) fn recorded(text: &[u8]) -> Result<Self, Flaw> {
        let lines =
            lines(text)
                .filter(|(_, line)| !line.starts_with(b"#"))
                .map(|(number, line)| {
                    parse_line(line).ok_or(Flaw::new(number, "expected bytes such as 76 D0 = 60"))
                });
        Ok(Self {
            wire: Wire::Recorded {
                lines: lines.collect::<Result<_, _>>()?,
                written: Vec::new(),
            },
            errno: None,
        })
    }

    /// How its devices are waited for.
    pub(super) fn delay(&self) -> Delay {
        match self.wire {
            Wire::Live(_) => Delay::Slept,
            Wire::Recorded { .. } => Delay::Skipped,
        }
    }
}

fn parse_line(line: &[u8]) -> Option<Line> {
    let byte = |field: &[u8]| u8::try_from(hexadecimal(field)?).ok();
    let mut halves = line.splitn(2, |byte| *byte == b'=');
    let mut written = fields(halves.next()?);
    Some(Line {
        address: byte(written.next()?)?,
        written: written.map(byte).collect::<Option<_>>()?,
        read: fields(halves.next()?).map(byte).collect::<Option<_>>()?,
    })
}

impl ErrorType for Bus {
    type Error = BusError;
}

impl I2c for Bus {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), BusError> {
        let result = match &mut self.wire {
            Wire::Live(device) => {
                // Named, because it speaks addresses of ten bits too.
                I2c::<u8>::transaction(device, address, operations)
                    .map_err(|err| errno(err.inner()))
            }
            Wire::Recorded { lines, written } => replay(lines, written, address, operations),
        };
        self.errno = result.err();
        result.map_err(BusError)
    }
}

fn replay(
    lines: &[Line],
    written: &mut Vec<u8>,
    address: u8,
    operations: &mut [Operation<'_>],
) -> Result<(), Errno> {
    if !lines.iter().any(|line| line.address == address) {
        return Err(Errno(libc::ENXIO));
    }
    for operation in operations {
        match operation {
            Operation::Write(bytes) => *written = bytes.to_vec(),
            Operation::Read(buffer) => {
                let line = lines
                    .iter()
                    .find(|line| line.address == address && line.written == *written);
                let read = line.and_then(|line| line.read.get(..buffer.len()));
                buffer.copy_from_slice(read.ok_or(Errno(libc::EIO))?);
            }
        }
    }
    Ok(())
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BusError(Errno);

impl embedded_hal::i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self.0.0 {
            libc::ENXIO | libc::EREMOTEIO => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
            libc::EAGAIN => ErrorKind::ArbitrationLoss,
            _ => ErrorKind::Bus,
        }
    }
}

fn errno(err: &LinuxI2CError) -> Errno {
    match err {
        LinuxI2CError::Errno(errno) => Errno(*errno),
        LinuxI2CError::Io(err) => Errno(err.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// A wait of a driver.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delay {
    /// A recorded bus answers at once.
    Skipped,
    Slept,
}

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        match self {
            Self::Skipped => {}
            Self::Slept => linux_embedded_hal::Delay.delay_ns(ns),
        }
    }

    // Not a thousand waits of a microsecond, which is what the default makes of it.
    fn delay_ms(&mut self, ms: u32) {
        match self {
            Self::Skipped => {}
            Self::Slept => linux_embedded_hal::Delay.delay_ms(ms),
        }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wire = match &self.wire {
            Wire::Live(_) => "live",
            Wire::Recorded { .. } => "recorded",
        };
        f.debug_struct("Bus")
            .field("wire", &wire)
            .field("errno", &self.errno)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::Error as _;

    use super::*;

    #[test]
    fn a_missing_device_is_told_in_two_ways() {
        let kind = |errno| BusError(Errno(errno)).kind();
        for errno in [libc::ENXIO, libc::EREMOTEIO] {
            assert!(matches!(kind(errno), ErrorKind::NoAcknowledge(_)));
        }
        assert_eq!(kind(libc::EAGAIN), ErrorKind::ArbitrationLoss);
        for errno in [libc::EBUSY, libc::EIO, libc::ETIMEDOUT] {
            assert_eq!(kind(errno), ErrorKind::Bus);
        }
    }

    #[test]
    fn a_recorded_bus_answers_what_it_knows() {
        let text = b"# a BME280\n76 D0 = 60\n76 F7 = 01 02 03\n\n44 24 00 = 99\n";
        let mut bus = Bus::recorded(text).unwrap();
        let mut one = [0];
        bus.write_read(0x76, &[0xD0], &mut one).unwrap();
        assert_eq!(one, [0x60]);
        let mut two = [0; 2];
        bus.write_read(0x76, &[0xF7], &mut two).unwrap();
        assert_eq!(two, [1, 2]);
        bus.write(0x44, &[0x24, 0]).unwrap();
        bus.read(0x44, &mut one).unwrap();
        assert_eq!(one, [0x99]);
        assert_eq!(bus.errno, None);
        assert!(bus.write(0x77, &[0]).is_err());
        assert_eq!(bus.errno, Some(Errno(libc::ENXIO)));
        assert!(bus.write_read(0x76, &[0xD1], &mut one).is_err());
        assert_eq!(bus.errno, Some(Errno(libc::EIO)));
    }

    #[test]
    fn a_recording_that_is_wrong_is_refused() {
        for text in ["76", "76 D0", "176 D0 = 60", "76 D0 = 6x", "= 60"] {
            assert!(Bus::recorded(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bus_that_is_not_there_says_so() {
        let err = Bus::open(Path::new("/nonexistent/i2c-1")).unwrap_err();
        assert_eq!(err, Errno(libc::ENOENT));
        // No such ioctl.
        let err = Bus::open(Path::new("/dev/null")).unwrap_err();
        assert_eq!(err, Errno(libc::ENOTTY));
    }
}

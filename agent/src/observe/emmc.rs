//! Reads `/sys/block/mmcblk*/device/{type,life_time,pre_eol_info}`
//! (Documentation/driver-api/mmc/mmc-dev-attrs.rst; the values are JEDEC eMMC 5.1's registers).
//!
//! Cards have no such registers: their wear is absent, not none.

use super::root::Root;
use super::text::{Flaw, fields, hexadecimal, lone_text, number};
use super::{ReadError, Reading};

/// What one eMMC says of its wear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wear {
    /// For example `mmcblk0`.
    pub name: Box<str>,
    /// How much of its life the more worn kind of cell has used.
    pub life: Reading<Life>,
    /// How much of its spare blocks is used.
    pub spare: Reading<Spare>,
}

/// `DEVICE_LIFE_TIME_EST` in tenths: 1 is up to 10 % used, 10 up to 100 %, 11 beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub u8);

/// `PRE_EOL_INFO`: how far the reserved blocks are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spare {
    /// Less than 80 %.
    Normal,
    /// At least 80 %.
    Warning,
    /// At least 90 %.
    Urgent,
}

/// Where one eMMC says it; found once, since it is soldered.
#[derive(Clone, Debug)]
pub(super) struct Known {
    name: Box<str>,
    /// Where it stands, or why it is not known whether this is one.
    registers: Result<Registers, ReadError>,
}

#[derive(Clone, Debug)]
struct Registers {
    life: String,
    spare: String,
}

const DIRECTORY: &str = "sys/block";
const DISKS_MAX: usize = 4;

/// Finds the soldered flash; `None` where there is none.
pub(super) fn find(root: &mut Root) -> Reading<Vec<Known>> {
    let Some(names) = root.list(DIRECTORY)? else {
        return Ok(None);
    };
    // `mmcblk0boot0` and the like are parts of it.
    let is_whole = |name: &String| {
        let digits = name.strip_prefix("mmcblk");
        digits.is_some_and(|digits| number(digits.as_bytes()).is_some())
    };
    let mut known = Vec::new();
    for name in names.into_iter().filter(is_whole).take(DISKS_MAX) {
        let directory = format!("{DIRECTORY}/{name}/device");
        let registers = match root.parse(&format!("{directory}/type"), lone_text) {
            Ok(Some(kind)) if *kind == *"MMC" => Ok(Registers {
                life: format!("{directory}/life_time"),
                spare: format!("{directory}/pre_eol_info"),
            }),
            Ok(_) => continue,
            Err(err) => Err(err),
        };
        known.push(Known {
            name: name.into(),
            registers,
        });
    }
    Ok(Some(known).filter(|known| !known.is_empty()))
}

/// Reads the wear.
pub(super) fn read(root: &mut Root, known: &Reading<Vec<Known>>) -> Reading<Vec<Wear>> {
    let known = known.as_ref().map_err(Clone::clone)?;
    let wear = known.iter().flatten().map(|known| {
        let (life, spare) = match &known.registers {
            Ok(registers) => (
                root.parse(&registers.life, parse_life).map(Option::flatten),
                root.parse(&registers.spare, parse_spare)
                    .map(Option::flatten),
            ),
            Err(err) => (Err(err.clone()), Ok(None)),
        };
        Wear {
            name: known.name.clone(),
            life,
            spare,
        }
    });
    Ok(known.is_some().then(|| wear.collect()))
}

/// Two values, of single-level and of multi-level cells; 0 is "not defined".
fn parse_life(text: &[u8]) -> Result<Option<Life>, Flaw> {
    /// Beyond its life; what lies above is reserved.
    const BEYOND: u8 = 11;
    let flaw = Flaw::new(1, "expected two of 0x00 to 0x0b");
    let mut fields = fields(text).map(|field| register(field).filter(|life| *life <= BEYOND));
    let (single, multi) = (fields.next().flatten(), fields.next().flatten());
    if fields.next().is_some() {
        return Err(flaw);
    }
    let worse = single.ok_or(flaw)?.max(multi.ok_or(flaw)?);
    Ok(Some(Life(worse)).filter(|life| life.0 != 0))
}

fn parse_spare(text: &[u8]) -> Result<Option<Spare>, Flaw> {
    match register(text.trim_ascii()) {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(Spare::Normal)),
        Some(2) => Ok(Some(Spare::Warning)),
        Some(3) => Ok(Some(Spare::Urgent)),
        Some(_) | None => Err(Flaw::new(1, "expected 0x00 to 0x03")),
    }
}

fn register(text: &[u8]) -> Option<u8> {
    u8::try_from(hexadecimal(text.strip_prefix(b"0x")?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_worn_kind_of_cell_counts() {
        for (text, expected) in [
            ("0x01 0x01\n", Some(Life(1))),
            ("0x02 0x0a\n", Some(Life(10))),
            ("0x0b 0x00\n", Some(Life(11))),
            ("0x00 0x00\n", None),
        ] {
            assert_eq!(parse_life(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in [
            "",
            "\n",
            "0x01",
            "0x01 0x0c",
            "0xff 0xff",
            "1 1",
            "0x01 0x01 0x01",
            "0x 0x",
        ] {
            assert!(parse_life(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn spare_blocks_are_normal_short_or_nearly_gone() {
        for (text, expected) in [
            ("0x00\n", None),
            ("0x01\n", Some(Spare::Normal)),
            ("0x02\n", Some(Spare::Warning)),
            ("0x03\n", Some(Spare::Urgent)),
        ] {
            assert_eq!(parse_spare(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in ["", "0x04", "0xff", "2", "0x01 0x01", "-0x1"] {
            assert!(parse_spare(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}

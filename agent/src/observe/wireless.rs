//! Reads the signal level of each line of `/proc/net/wireless`, in dBm.
//!
//! The file is there where the kernel has wireless extensions, as a Raspberry Pi's has. A driver
//! that counts in units of its own shows a level above 0, one that is not associated shows −256:
//! both have no value.

use nodling_protocol::units::Unit;

use super::channel::{Known, Source, word};
use super::root::Root;
use super::text::{Flaw, fields, lines, lone_integer};

const PATH: &str = "proc/net/wireless";
const INTERFACES_MAX: usize = 4;
/// No receiver hears less.
const LEVEL_MIN: i64 = -120;

/// Finds the interfaces.
pub(super) fn find(root: &mut Root) -> Vec<Known> {
    let names = root.parse_table(PATH, |text| {
        let names = rows(text).map(|(_, name, _)| String::from_utf8_lossy(name).into_owned());
        Ok::<Vec<_>, Flaw>(names.take(INTERFACES_MAX).collect())
    });
    let names = names.ok().flatten().unwrap_or_default();
    names
        .into_iter()
        .map(|name| Known {
            name: format!("{}.signal", word(&name)),
            unit: Unit::DecibelMilliwatt,
            exponent: 0,
            path: PATH.to_owned(),
            source: Source::Wireless(name),
        })
        .collect()
}

/// Number, interface and the rest of each line with an interface.
fn rows(text: &[u8]) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
    lines(text).filter_map(|(number, line)| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, rest) = line.split_at_checked(colon)?;
        let name = name.trim_ascii();
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        is_name.then_some((number, name, rest.get(1..)?))
    })
}

/// The level of one interface; absent when it has none.
pub(super) fn parse(text: &[u8], interface: &str) -> Result<Option<i32>, Flaw> {
    let row = rows(text).find(|(_, name, _)| *name == interface.as_bytes());
    let Some((number, _, rest)) = row else {
        return Ok(None);
    };
    // Status, link quality, level; a full stop says that it was measured anew.
    let level = fields(rest).nth(2);
    let level = level.map(|level| level.strip_suffix(b".").unwrap_or(level));
    let level = level.and_then(|level| lone_integer(level).ok());
    let level = level.ok_or(Flaw::new(number, "expected a signal level"))?;
    let is_level = (LEVEL_MIN..0).contains(&level);
    Ok(i32::try_from(level).ok().filter(|_| is_level))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0
 wlan1: 0000    0.  -256. -256        0      0      0      0      0        0
 wlan2: 0000   60    78     0         0      0      0      0      0        0
 wlan3: 0000
";

    #[test]
    fn a_level_is_in_decibels_below_a_milliwatt() {
        let level = |interface| parse(TABLE.as_bytes(), interface);
        assert_eq!(level("wlan0"), Ok(Some(-56)));
        assert_eq!(level("wlan1"), Ok(None), "not associated");
        assert_eq!(level("wlan2"), Ok(None), "in the driver's own units");
        assert!(level("wlan3").is_err());
        assert_eq!(level("wlan9"), Ok(None), "gone");
        let names: Vec<_> = rows(TABLE.as_bytes()).map(|(_, name, _)| name).collect();
        assert_eq!(names, [b"wlan0", b"wlan1", b"wlan2", b"wlan3"]);
    }
}

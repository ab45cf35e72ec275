//! The tables of the file, each turned into the configuration of the stage that owns it.

use std::collections::BTreeSet;

use super::values::{absolute, level, mount_point};
use crate::keys::{KeyError, Keys, Refusal};
use crate::{observe, publish, telemetry};

pub(super) fn tls(keys: &Keys<'_>) -> Result<publish::Config, KeyError> {
    keys.only(&["ca_file", "cert_file", "key_file"])?;
    Ok(publish::Config {
        ca_file: keys.parse("ca_file", absolute)?,
        cert_file: keys.parse("cert_file", absolute)?,
        key_file: keys.parse("key_file", absolute)?,
    })
}

pub(super) fn observe(keys: &Keys<'_>) -> Result<observe::Config, KeyError> {
    keys.only(&["filesystems"])?;
    let default = observe::Config::default();
    let mut seen = BTreeSet::new();
    let filesystems = keys.parse_all("filesystems", |text| {
        let path = mount_point(text)?;
        if seen.insert(path.clone()) {
            Ok(path)
        } else {
            Err(Refusal::new(text, "each mount point once"))
        }
    })?;
    Ok(observe::Config {
        filesystems: filesystems.unwrap_or(default.filesystems),
        ..default
    })
}

pub(super) fn log(keys: &Keys<'_>) -> Result<telemetry::Config, KeyError> {
    keys.only(&["level"])?;
    let default = telemetry::Config::default();
    Ok(telemetry::Config {
        level: keys.parse("level", level)?.unwrap_or(default.level),
    })
}

//! What conditions rest on and could not be read: the readings that are no vitals and no sensors,
//! and therefore stand nowhere else.

use std::borrow::Cow;

use crate::observe::{Observation, ReadError, Reading};

/// Names of readings that failed, and why.
pub fn unread(observation: &Observation) -> Vec<(Cow<'static, str>, &ReadError)> {
    let mut found = Found(Vec::new());
    let links = &observation.links;
    let host = &observation.fixed.host;
    found.add("machine_id", &host.machine_id);
    found.add("system_uuid", &host.system_uuid);
    found.add("boot_id", &host.boot_id);
    found.add("os_image", &host.os_image);
    found.add("filesystems", &observation.filesystems);
    found.add("fstab", &observation.fixed.fstab);
    found.add("links", &links.links);
    found.add("addresses", &links.addresses);
    found.add("routes_v4", &links.routes.v4);
    found.add("routes_v6", &links.routes.v6);
    found.add("ext4", &observation.storage.ext4);
    found.add("emmc", &observation.storage.emmc);
    found.add("under_voltage", &observation.power.is_under_voltage_alarm);
    found.add("clock", &observation.clock.timex);
    found.add("psi_argument", &observation.fixed.psi_argument);
    for filesystem in present(&observation.filesystems) {
        // The root's usage is a vital.
        if *filesystem.mount_point != *"/" {
            found.add(
                format!("usage/{}", filesystem.mount_point),
                &filesystem.usage,
            );
        }
    }
    for link in present(&links.links) {
        found.add(format!("carrier/{}", link.name), &link.has_carrier);
    }
    for errors in present(&observation.storage.ext4) {
        found.add(format!("ext4/{}", errors.name), &errors.count);
        found.add(format!("ext4/{}", errors.name), &errors.device);
        found.add(format!("ext4/{}", errors.name), &errors.last_unix_s);
    }
    for wear in present(&observation.storage.emmc) {
        found.add(format!("emmc/{}", wear.name), &wear.life);
        found.add(format!("emmc/{}", wear.name), &wear.spare);
    }
    found.0
}

struct Found<'o>(Vec<(Cow<'static, str>, &'o ReadError)>);

impl<'o> Found<'o> {
    fn add<T>(&mut self, name: impl Into<Cow<'static, str>>, reading: &'o Reading<T>) {
        if let Err(err) = reading {
            self.0.push((name.into(), err));
        }
    }
}

fn present<T>(reading: &Reading<Vec<T>>) -> &[T] {
    match reading {
        Ok(Some(values)) => values,
        Ok(None) | Err(_) => &[],
    }
}

//! What conditions rest on and could not be read: the readings that are no vitals and no sensors,
//! and therefore stand nowhere else.

use std::borrow::Cow;

use crate::observe::frequency::Policy;
use crate::observe::{Fixed, Links, Observation, ReadError, Reading, Storage};

/// Names of readings that failed, and why.
///
/// Everything that is observed is named here, so that what is added later is not forgotten.
pub fn unread(observation: &Observation) -> Vec<(Cow<'static, str>, &ReadError)> {
    let Observation {
        fixed,
        links,
        storage,
        pid_max,
        threads_max,
        memory,
        memory_cgroup,
        vmstat,
        filesystems,
        frequency,
        power,
        clock,
        // No readings.
        uptime_ms: _,
        container_runtime: _,
        // Vitals.
        cpu: _,
        load: _,
        root_usage: _,
        disks: _,
        interfaces: _,
        pressure: _,
        // A vital and sensors.
        thermal: _,
        // Sensors.
        sensors: _,
        found: _,
    } = observation;
    let mut found = Found(Vec::new());
    found.add_fixed(fixed);
    found.add("pid_max", pid_max);
    found.add("threads_max", threads_max);
    // The available memory is a vital, and fails with all of it.
    if let Ok(Some(memory)) = memory
        && let Some(err) = &memory.flaw
    {
        found.0.push(("meminfo".into(), err));
    }
    found.add("memory_cgroup", memory_cgroup);
    found.add("vmstat", vmstat);
    found.add("filesystems", filesystems);
    found.add_links(links);
    found.add_storage(storage);
    // The bits are a vital.
    found.add("under_voltage", &power.is_under_voltage_alarm);
    found.add("clock", &clock.timex);
    for filesystem in present(filesystems) {
        // The root's usage is a vital.
        if *filesystem.mount_point != *"/" {
            found.add(
                format!("usage/{}", filesystem.mount_point),
                &filesystem.usage,
            );
        }
    }
    // The fastest of those that can be read is a vital.
    let policies = present(frequency);
    let is_read = |policy: &Policy| matches!(policy.current_khz, Ok(Some(_)));
    if policies.iter().any(is_read) {
        for policy in policies {
            found.add(format!("frequency/{}", policy.name), &policy.current_khz);
        }
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

    fn add_fixed(&mut self, fixed: &'o Fixed) {
        let Fixed {
            host,
            board,
            processors,
            huge_pages,
            fstab,
            psi_argument,
            media,
            devices,
            // No readings.
            profile: _,
            page_size_bytes: _,
        } = fixed;
        self.add("machine_id", &host.machine_id);
        self.add("system_uuid", &host.system_uuid);
        self.add("boot_id", &host.boot_id);
        self.add("os_image", &host.os_image);
        self.add("model", &board.model);
        self.add("compatible", &board.compatible);
        self.add("serial", &board.serial);
        self.add("processors", processors);
        self.add("huge_pages", huge_pages);
        for pool in present(huge_pages) {
            self.add(format!("huge_pages/{}kB", pool.page_kib), &pool.count);
        }
        self.add("fstab", fstab);
        self.add("psi_argument", psi_argument);
        self.add("media", media);
        for medium in present(media) {
            self.add(format!("media/{}", medium.name), &medium.device);
            self.add(format!("media/{}", medium.name), &medium.kind);
        }
        for (name, count) in devices.by_resource() {
            self.add(name, count);
        }
    }

    fn add_links(&mut self, links: &'o Links) {
        let Links {
            links,
            unknown,
            addresses,
            routes,
        } = links;
        self.add("links", links);
        let unknown = unknown.iter();
        self.0
            .extend(unknown.map(|(name, err)| (format!("links/{name}").into(), err)));
        self.add("addresses", addresses);
        self.add("routes_v4", &routes.v4);
        self.add("routes_v6", &routes.v6);
        for link in present(links) {
            self.add(format!("carrier/{}", link.name), &link.has_carrier);
        }
    }

    fn add_storage(&mut self, storage: &'o Storage) {
        let Storage { ext4, emmc } = storage;
        self.add("ext4", ext4);
        for errors in present(ext4) {
            self.add(format!("ext4/{}", errors.name), &errors.count);
            self.add(format!("ext4/{}", errors.name), &errors.device);
            self.add(format!("ext4/{}", errors.name), &errors.last_unix_s);
        }
        self.add("emmc", emmc);
        for wear in present(emmc) {
            self.add(format!("emmc/{}", wear.name), &wear.life);
            self.add(format!("emmc/{}", wear.name), &wear.spare);
        }
    }
}

fn present<T>(reading: &Reading<Vec<T>>) -> &[T] {
    match reading {
        Ok(Some(values)) => values,
        Ok(None) | Err(_) => &[],
    }
}

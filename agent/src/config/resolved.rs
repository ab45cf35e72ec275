//! Shows the configuration as it holds in the end, as the TOML that would say so.
//!
//! Secrets are `***`; what is not set stays a comment that names what holds instead.

use std::fmt;
use std::path::Path;

use super::{Config, duration, kubelet};
use crate::assess::rules::Rule;
use crate::observe::sensor;

/// Shows a configuration as TOML.
#[derive(Debug)]
pub struct Resolved<'c> {
    pub(super) config: &'c Config,
    pub(super) node: &'c str,
    pub(super) state_dir: &'c Path,
}

impl fmt::Display for Resolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            fleet,
            broker,
            interval,
            tls,
            observe,
            assess,
            log,
            ..
        } = self.config;
        writeln!(f, "node_name = {:?}", self.node)?;
        super::node::show(f, self.config)?;
        writeln!(f, "fleet = {fleet:?}")?;
        match broker {
            Some(broker) => writeln!(f, "broker = \"{broker}\"")?,
            None => writeln!(f, "# broker is not set: one that announces itself")?,
        }
        writeln!(f, "state_dir = {:?}", self.state_dir.to_string_lossy())?;
        writeln!(f, "interval = \"{}\"", duration::show(*interval))?;
        kubelet::show_keys(f, assess)?;
        let reports = &assess.conditions;
        let out_of_disk = reports.reports_out_of_disk;
        let network_unavailable = reports.reports_network_unavailable;
        writeln!(f, "report_out_of_disk = {out_of_disk}")?;
        writeln!(f, "report_network_unavailable = {network_unavailable}")?;
        writeln!(f, "\n[tls]")?;
        let files = [
            ("ca_file", &tls.ca_file, "the system's certificates"),
            ("cert_file", &tls.cert_file, "none"),
            ("key_file", &tls.key_file, "none"),
        ];
        for (key, path, otherwise) in files {
            match path {
                Some(path) => writeln!(f, "{key} = {:?}", path.to_string_lossy())?,
                None => writeln!(f, "# {key} is not set: {otherwise}")?,
            }
        }
        writeln!(f, "\n[observe]\nfilesystems = {:?}", observe.filesystems)?;
        kubelet::show_tables(f, assess)?;
        writeln!(f, "\n[log]\nlevel = \"{}\"", log.level)?;
        observe
            .sensors
            .iter()
            .try_for_each(|sensor| write_sensor(f, sensor))?;
        assess.rules.iter().try_for_each(|rule| write_rule(f, rule))
    }
}

fn write_sensor(f: &mut fmt::Formatter<'_>, sensor: &sensor::Config) -> fmt::Result {
    let kind = sensor.kind;
    writeln!(f, "\n[[sensor]]\nname = \"{}\"", sensor.name)?;
    writeln!(f, "kind = \"{}\"", kind.name())?;
    writeln!(f, "bus = {:?}", sensor.bus.to_string_lossy())?;
    writeln!(f, "address = {:#04x}", sensor.address)?;
    writeln!(f, "interval = \"{}\"", duration::show(sensor.interval))?;
    if kind.has_shunt() {
        writeln!(f, "shunt_milliohm = {}", sensor.options.shunt.milliohm())?;
    }
    if kind.has_full_scale() {
        let range = sensor.options.full_scale;
        writeln!(f, "range_millivolt = {}", range.millivolt())?;
    }
    Ok(())
}

fn write_rule(f: &mut fmt::Formatter<'_>, rule: &Rule) -> fmt::Result {
    writeln!(f, "\n[[condition]]\ntype = \"{}\"", rule.name)?;
    let when = rule.band.when();
    writeln!(f, "when = \"{when}\"")?;
    writeln!(f, "for = \"{}\"", duration::show(rule.lasting))?;
    match rule.band.clear() {
        Some(clear) => writeln!(f, "clear = \"{clear}\""),
        None => writeln!(f, "# clear is not set: {}", when.negated()),
    }
}

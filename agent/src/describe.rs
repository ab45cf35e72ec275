//! Prints an assessment as JSON, with the field names of the Kubernetes API.
//!
//! What `nodling-agent assess` shows is what a Node will say, before any broker or gateway.

use std::collections::BTreeMap;

use nodling_protocol::facts::{AddressKind, TaintEffect};
use nodling_protocol::{Statuses, Vitals};
use serde_json::{Map, Value, json};

use crate::assess::capacity::Amount;
use crate::assess::{Assessment, Sensor};
use crate::encode::{board, system};
use crate::observe::Observation;
use crate::registration::{Registration, Taint, is_label_value};

/// Label and taint of every node that only reports; the gateway sets them.
const AGENT_ONLY: &str = "nodling.dev/agent-only";

/// Everything that one assessment says.
pub fn describe(
    observation: &Observation,
    assessment: &Assessment,
    registration: &Registration,
) -> Value {
    let board = board(observation);
    json!({
        "status": status(observation, assessment),
        "vitals": vitals(&assessment.vitals)
            .into_iter()
            .map(|vital| (vital.name.to_owned(), vital.value()))
            .collect::<Map<_, _>>(),
        "readings": readings(observation, assessment),
        "board": {
            "name": board.name,
            "model": board.model,
            "soc": board.soc,
        },
        "labels": labels(observation, assessment, registration),
        "taints": taints(registration),
    })
}

/// What the gateway makes labels of, and what is asked for; values that Kubernetes would refuse
/// are left out.
fn labels<'a>(
    observation: &'a Observation,
    assessment: &'a Assessment,
    registration: &'a Registration,
) -> BTreeMap<&'a str, &'a str> {
    let host = &observation.fixed.host;
    let board = board(observation);
    let mut names = assessment.addresses.iter();
    let hostname = names.find(|(kind, _)| *kind == AddressKind::Hostname);
    let hostname = hostname.map_or("", |(_, name)| name.as_ref());
    let (os, arch) = (host.operating_system, host.architecture.as_ref());
    let own = [
        ("kubernetes.io/hostname", hostname),
        ("kubernetes.io/os", os),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", os),
        ("beta.kubernetes.io/arch", arch),
        (AGENT_ONLY, "true"),
        (
            "node.kubernetes.io/exclude-from-external-load-balancers",
            "true",
        ),
        ("nodling.dev/board", board.name),
        ("nodling.dev/soc", board.soc),
    ];
    let mut labels: BTreeMap<_, _> = own
        .into_iter()
        .filter(|(_, value)| !value.is_empty() && is_label_value(value))
        .collect();
    for (key, value) in &registration.node_labels {
        // As for a kubelet: the first three are its owner's to say, the other two are not.
        let is_fixed = labels.contains_key(key.as_ref())
            && !key.starts_with("beta.kubernetes.io/")
            && key.as_ref() != "kubernetes.io/hostname";
        if !is_fixed {
            labels.insert(key, value);
        }
    }
    labels
}

fn taints(registration: &Registration) -> Vec<Value> {
    let own = json!({ "key": AGENT_ONLY, "effect": TaintEffect::NoSchedule.as_str() });
    let asked = registration.taints.iter().map(|taint| {
        let Taint { key, value, effect } = taint;
        json!({ "key": key, "value": value, "effect": effect.as_str() })
    });
    std::iter::once(own).chain(asked).collect()
}

fn status(observation: &Observation, assessment: &Assessment) -> Value {
    let system = system(observation);
    let boot_id = observation
        .fixed
        .host
        .boot_id
        .as_ref()
        .ok()
        .and_then(Option::as_deref);
    let mut node_info = json!({
        "architecture": system.architecture,
        "bootID": boot_id.unwrap_or_default(),
        "containerRuntimeVersion": system.container_runtime_version,
        "kernelVersion": system.kernel_version,
        "kubeProxyVersion": "",
        "kubeletVersion": format!("v{}+nodling", system.agent_version),
        "machineID": system.machine_id,
        "operatingSystem": system.operating_system,
        "osImage": system.os_image,
        "systemUUID": system.system_uuid,
    });
    if let (Some(capacity), Value::Object(fields)) = (system.swap_capacity_bytes, &mut node_info) {
        fields.insert("swap".into(), json!({ "capacity": capacity }));
    }
    json!({
        "addresses": assessment
            .addresses
            .iter()
            .map(|(kind, address)| json!({ "type": kind.as_str(), "address": address }))
            .collect::<Vec<_>>(),
        "allocatable": amounts(&assessment.allocatable),
        "capacity": amounts(&assessment.capacity),
        "conditions": conditions(assessment.conditions, observation.clock.wall_unix_s),
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 0 } },
        "nodeInfo": node_info,
    })
}

fn amounts(amounts: &[Amount]) -> Value {
    let named = amounts
        .iter()
        .map(|has| (has.name.clone().into_owned(), has.to_string().into()));
    Value::Object(named.collect())
}

fn conditions(statuses: Statuses, wall_unix_s: i64) -> Value {
    let now = rfc3339(wall_unix_s);
    let listed = statuses.known().map(|(kind, status)| {
        let words = kind.words(status);
        json!({
            "type": kind.as_str(),
            "status": status.as_str(),
            "reason": words.reason,
            "message": words.message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        })
    });
    listed.collect()
}

/// A vital in the unit that people read.
struct Vital {
    name: &'static str,
    /// An integer, and the power of ten that it is to be divided by.
    scaled: Option<(i64, u8)>,
    unit: &'static str,
}

impl Vital {
    fn value(&self) -> Value {
        self.scaled.map_or(Value::Null, |(value, decimals)| {
            decimal(value, i32::from(decimals))
        })
    }
}

/// Every vital and sensor, and what of the host's identity could not be read.
fn readings(observation: &Observation, assessment: &Assessment) -> Vec<Value> {
    let of_vitals = vitals(&assessment.vitals)
        .into_iter()
        .enumerate()
        .map(|(at, vital)| {
            let failure = assessment.failures.iter().find(|(failed, _)| *failed == at);
            reading(
                vital.name,
                &vital.value(),
                vital.unit,
                failure.map(|(_, err)| err.to_string()),
            )
        });
    let of_sensors = assessment.sensors.iter().map(|sensor| {
        let Sensor {
            name,
            unit,
            exponent,
            reading: result,
        } = sensor;
        match result {
            Ok(value) => {
                let value = value.map_or(Value::Null, |value| {
                    decimal(value.into(), -i32::from(*exponent))
                });
                reading(name, &value, unit.symbol(), None)
            }
            Err(err) => reading(name, &Value::Null, unit.symbol(), Some(err.to_string())),
        }
    });
    let host = &observation.fixed.host;
    let of_host = [
        ("machine_id", &host.machine_id),
        ("system_uuid", &host.system_uuid),
        ("boot_id", &host.boot_id),
        ("os_image", &host.os_image),
    ];
    let of_host = of_host.into_iter().filter_map(|(name, result)| {
        let error = result.as_ref().err()?.to_string();
        Some(reading(name, &Value::Null, "", Some(error)))
    });
    let of_addresses = assessment.address_error.map(|error| {
        let error = Some(error.to_string());
        reading("addresses", &Value::Null, "", error)
    });
    let of_host = of_host.chain(of_addresses);
    of_vitals.chain(of_sensors).chain(of_host).collect()
}

fn reading(name: &str, value: &Value, unit: &str, error: Option<String>) -> Value {
    match error {
        Some(error) => json!({ "name": name, "value": value, "unit": unit, "error": error }),
        None => json!({ "name": name, "value": value, "unit": unit }),
    }
}

/// An exact decimal where a float can hold one; no unit here needs more digits than it has.
#[expect(
    clippy::cast_precision_loss,
    reason = "kibibytes and tenths stay far below 2^53"
)]
fn decimal(value: i64, decimals: i32) -> Value {
    if decimals == 0 {
        value.into()
    } else {
        (value as f64 / 10_f64.powi(decimals)).into()
    }
}

/// In wire order, so that failures find their names.
fn vitals(vitals: &Vitals) -> Vec<Vital> {
    let kib = |value: nodling_protocol::units::Kibibytes| (value.0.cast_signed(), 0);
    let percent = |value: nodling_protocol::units::Permille| (i64::from(value.0), 1);
    let scaled = [
        (vitals.cpu_busy.map(percent), "%"),
        (vitals.load1.map(|load| (i64::from(load.0), 2)), ""),
        (vitals.memory_available.map(kib), "KiB"),
        (vitals.memory_working_set.map(kib), "KiB"),
        (vitals.swap_used.map(kib), "KiB"),
        (vitals.root_available.map(kib), "KiB"),
        (
            vitals
                .temperature
                .map(|temperature| (i64::from(temperature.0), 1)),
            "°C",
        ),
        (
            vitals.throttle.map(|throttle| (i64::from(throttle.0), 0)),
            "",
        ),
        (
            vitals
                .frequency
                .map(|frequency| (i64::from(frequency.0), 0)),
            "MHz",
        ),
        (vitals.cpu_pressure_some.map(percent), "%"),
        (vitals.memory_pressure_some.map(percent), "%"),
        (vitals.memory_pressure_full.map(percent), "%"),
        (vitals.io_pressure_some.map(percent), "%"),
        (vitals.io_pressure_full.map(percent), "%"),
        (vitals.network_received.map(kib), "KiB"),
        (vitals.network_sent.map(kib), "KiB"),
        (vitals.disk_read.map(kib), "KiB"),
        (vitals.disk_written.map(kib), "KiB"),
    ];
    Vitals::NAMES
        .iter()
        .zip(scaled)
        .map(|(&name, (scaled, unit))| Vital { name, scaled, unit })
        .collect()
}

/// Seconds since 1970 as the Kubernetes API writes a time.
fn rfc3339(unix_s: i64) -> String {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    // Howard Hinnant's civil_from_days: years begin in March, eras have 400 of them.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vital_has_a_unit() {
        assert_eq!(vitals(&Vitals::default()).len(), Vitals::NAMES.len());
    }

    #[test]
    fn times_are_the_apis() {
        for (unix_s, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_795_322_096, "2026-11-22T04:34:56Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(unix_s), expected);
        }
    }
}

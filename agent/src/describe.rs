//! Prints an assessment as JSON, with the field names of the Kubernetes API.
//!
//! What `nodling-agent assess` shows is what a Node will say, before any broker or gateway.

use std::collections::BTreeMap;

use nodling_protocol::facts::{AddressKind, TaintEffect};
use nodling_protocol::label::is_label_value;
use nodling_protocol::{ConditionKind, Status, Vitals};
use serde_json::{Map, Value, json};

use crate::assess::Assessment;
use crate::assess::capacity::Amount;
use crate::assess::decimal::Decimal;
use crate::assess::readings::{self, Named, readings};
use crate::assess::stalls::pressure_hint;
use crate::assess::unread::unread;
use crate::encode::{board, storage, system};
use crate::observe::Observation;
use crate::registration::{Registration, Taint};
use crate::unjudged::unjudged;

/// Label and taint of every node that only reports; the gateway sets them.
const AGENT_ONLY: &str = "nodling.dev/agent-only";

/// Everything that one assessment says.
pub fn describe(
    observation: &Observation,
    assessment: &Assessment,
    registration: &Registration,
) -> Value {
    let board = board(observation);
    let vitals = readings(observation, assessment).take(Vitals::NAMES.len());
    let mut description = json!({
        "status": status(observation, assessment),
        "vitals": vitals
            .map(|vital| (vital.name.to_owned(), number(vital.value)))
            .collect::<Map<_, _>>(),
        "readings": all_readings(observation, assessment),
        "board": {
            "name": board.name,
            "model": board.model,
            "soc": board.soc,
            "storage": storage(observation),
        },
        "labels": labels(observation, assessment, registration),
        "taints": taints(registration),
    });
    let unjudged: Vec<_> = unjudged(observation, assessment)
        .map(|unjudged| {
            let rule = unjudged.rule;
            json!({ "type": rule.name, "rule": rule.words, "why": unjudged.to_string() })
        })
        .collect();
    if let (false, Value::Object(fields)) = (unjudged.is_empty(), &mut description) {
        fields.insert("unjudged".into(), unjudged.into());
    }
    description
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
    let hostname = hostname.map_or(&host.hostname, |(_, name)| name).as_ref();
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
        ("nodling.dev/storage", storage(observation)),
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
        "conditions": conditions(assessment, observation.clock.wall_unix_s),
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

/// In the gateway's order: Ready last of all, the owner's before it.
fn conditions(assessment: &Assessment, wall_unix_s: i64) -> Value {
    let now = rfc3339(wall_unix_s);
    let shown = |kind: &str, status: Status, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": status.as_str(),
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        })
    };
    let known = |(kind, status): (ConditionKind, Status)| {
        let words = kind.words_of(status, assessment.vitals.throttle);
        shown(kind.as_str(), status, words.reason, words.message)
    };
    let statuses = assessment.conditions;
    let (ready, others): (Vec<_>, Vec<_>) = statuses
        .known()
        .partition(|(kind, _)| *kind == ConditionKind::Ready);
    let custom = assessment.custom().map(|(rule, status)| {
        let reason = rule.as_custom().reason(status).to_string();
        shown(&rule.name, status, &reason, &rule.words)
    });
    let others = others.into_iter().map(known).chain(custom);
    others.chain(ready.into_iter().map(known)).collect()
}

/// The vital that the kubelet takes from the root cgroup.
const WORKING_SET: &str = "memory_working_set";

/// Every reading; then those that conditions rest on, where they failed.
fn all_readings(observation: &Observation, assessment: &Assessment) -> Vec<Value> {
    let hint = pressure_hint(observation);
    let named = readings(observation, assessment).map(|named| {
        let mut shown = reading(observation, named);
        let is_off = named.name.contains("_pressure_") && named.value == readings::Value::Absent;
        if let (Some(hint), true, Value::Object(fields)) = (hint, is_off, &mut shown) {
            fields.insert("hint".into(), hint.into());
        }
        shown
    });
    let unread = unread(observation).into_iter();
    let unread = unread.map(|(name, err)| failed(&name, &err.to_string()));
    let addresses = assessment.address_error;
    let addresses = addresses.map(|err| failed("node_addresses", &err.to_string()));
    named.chain(unread).chain(addresses).collect()
}

fn failed(name: &str, error: &str) -> Value {
    json!({ "name": name, "value": null, "unit": "", "error": error })
}

/// A reading as people read it; what is not known is null.
fn reading(observation: &Observation, Named { name, unit, value }: Named<'_>) -> Value {
    let mut shown = json!({ "name": name, "value": number(value), "unit": unit });
    let is_kubelets = matches!(observation.memory_cgroup, Ok(Some(_)));
    if let (readings::Value::Known(_), Value::Object(fields)) = (value, &mut shown)
        && name == WORKING_SET
        && !is_kubelets
    {
        fields.insert("source".into(), "/proc/meminfo".into());
    }
    if let (readings::Value::Failed(err), Value::Object(fields)) = (value, &mut shown) {
        fields.insert("error".into(), err.to_string().into());
    }
    shown
}

fn number(value: readings::Value<'_>) -> Value {
    match value {
        readings::Value::Known(number) => decimal(number),
        readings::Value::Absent | readings::Value::Failed(_) | readings::Value::Pending => {
            Value::Null
        }
    }
}

/// An exact decimal where a float can hold one; no unit here needs more digits than it has.
#[expect(
    clippy::cast_precision_loss,
    reason = "kibibytes and tenths stay far below 2^53"
)]
fn decimal(Decimal { digits, exponent }: Decimal) -> Value {
    if exponent == 0 {
        digits.into()
    } else {
        (digits as f64 / 10_f64.powi(-i32::from(exponent))).into()
    }
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

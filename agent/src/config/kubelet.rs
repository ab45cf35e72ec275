//! What is configured in the kubelet's words: eviction, reservations, pods.
//!
//! Keys and values are those of `KubeletConfiguration` in snake case; what the kubelet refuses is
//! refused, and defaults apply when they apply there: a hard threshold drops the other defaults
//! unless they are to be merged. A signal's name holds a dot, so TOML wants it in quotes.

use std::fmt;
use std::time::Duration;

use super::duration;
use crate::assess;
use crate::assess::capacity::{
    CPU, EPHEMERAL_STORAGE, MEMORY, Pods, RESERVABLE, Reserved, Resources,
};
use crate::assess::thresholds::{Limit, Signal, Threshold, Thresholds};
use crate::keys::{KeyError, Keys, Refusal};
use crate::quantity::Quantity;

const PERIOD: &str = "eviction_pressure_transition_period";
const GRACE: &str = "eviction_soft_grace_period";

/// The thresholds of a file.
pub(super) fn thresholds(keys: &Keys<'_>) -> Result<Thresholds, KeyError> {
    let default = Thresholds::default();
    let merges_defaults = keys.boolean("merge_default_eviction_settings")?;
    let merges_defaults = merges_defaults.unwrap_or(default.merges_defaults);
    let period = keys.parse(PERIOD, period)?;
    // The kubelet takes 0 for unset.
    let period = period.filter(|period| !period.is_zero());
    Ok(Thresholds {
        hard: hard(keys, merges_defaults)?,
        soft: soft(keys)?,
        minimum_reclaim: of_signals(&keys.table("eviction_minimum_reclaim")?, reclaim)?,
        merges_defaults,
        transition_period: period.unwrap_or(default.transition_period),
    })
}

fn hard(keys: &Keys<'_>, merges_defaults: bool) -> Result<Vec<Threshold>, KeyError> {
    let mut hard = Thresholds::hard_defaults();
    if keys.has("eviction_hard") {
        let set = of_signals(&keys.table("eviction_hard")?, limit)?;
        hard.retain(|default| {
            merges_defaults && set.iter().all(|(signal, _)| *signal != default.signal)
        });
        hard.extend(set.into_iter().map(|(signal, limit)| Threshold {
            signal,
            limit,
            grace: Duration::ZERO,
        }));
        hard.sort_by_key(|threshold| threshold.signal);
    }
    Ok(hard)
}

fn soft(keys: &Keys<'_>) -> Result<Vec<Threshold>, KeyError> {
    let graces = of_signals(&keys.table(GRACE)?, period)?;
    let table = keys.table("eviction_soft")?;
    table.only(&Signal::ALL.map(Signal::as_str))?;
    let mut soft = Vec::new();
    for signal in Signal::ALL {
        let grace = graces.iter().find(|(of, _)| *of == signal);
        let grace = grace.map(|(_, grace)| *grace);
        let with_grace = |text: &str| match (limit(text)?, grace) {
            // A threshold that is switched off needs none.
            (Limit::Never, _) => Ok(Threshold {
                signal,
                limit: Limit::Never,
                grace: Duration::ZERO,
            }),
            (_, None) => {
                let name = signal.as_str();
                let expected = format!("a grace period for it too: {name:?} in [{GRACE}]");
                Err(Refusal::new(text, expected))
            }
            (limit, Some(grace)) => Ok(Threshold {
                signal,
                limit,
                grace,
            }),
        };
        soft.extend(table.parse(signal.as_str(), with_grace)?);
    }
    Ok(soft)
}

/// What a table says of each signal, in the order of the signals.
fn of_signals<T>(
    table: &Keys<'_>,
    parse: impl Fn(&str) -> Result<T, Refusal>,
) -> Result<Vec<(Signal, T)>, KeyError> {
    table.only(&Signal::ALL.map(Signal::as_str))?;
    let mut all = Vec::new();
    for signal in Signal::ALL {
        let value = table.parse(signal.as_str(), &parse)?;
        all.extend(value.map(|value| (signal, value)));
    }
    Ok(all)
}

/// The reservations of a file.
pub(super) fn reserved(keys: &Keys<'_>) -> Result<Reserved, KeyError> {
    Ok(Reserved {
        system: resources(&keys.table("system_reserved")?)?,
        kube: resources(&keys.table("kube_reserved")?)?,
    })
}

fn resources(table: &Keys<'_>) -> Result<Resources, KeyError> {
    table.only(&RESERVABLE)?;
    let mut all = Resources::new();
    for name in RESERVABLE {
        let quantity = table.parse(name, |text| reservation(name, text))?;
        all.extend(quantity.map(|quantity| (name, quantity)));
    }
    Ok(all)
}

/// The pods that a file offers.
pub(super) fn pods(keys: &Keys<'_>) -> Result<Pods, KeyError> {
    let default = Pods::default();
    Ok(Pods {
        max: keys.count("max_pods")?.unwrap_or(default.max),
        per_core: keys.count("pods_per_core")?.unwrap_or(default.per_core),
    })
}

fn limit(text: &str) -> Result<Limit, Refusal> {
    let expected = "a quantity above 0 or a percentage up to 100%, such as \"100Mi\" or \"10%\"";
    Limit::parse(text).map_err(|err| refusal(text, &err, expected))
}

fn reclaim(text: &str) -> Result<Limit, Refusal> {
    let expected = "a quantity or a percentage above 0%, such as \"500Mi\" or \"5%\"";
    Limit::parse_reclaim(text).map_err(|err| refusal(text, &err, expected))
}

fn period(text: &str) -> Result<Duration, Refusal> {
    let expected = "a duration such as \"1m30s\"";
    duration::parse(text).map_err(|err| refusal(text, &err, expected))
}

fn reservation(resource: &str, text: &str) -> Result<Quantity, Refusal> {
    let example = match resource {
        CPU => "100m",
        MEMORY => "128Mi",
        EPHEMERAL_STORAGE => "1Gi",
        _ => "1000",
    };
    let expected = format!("a quantity from 0 on, such as {example:?}");
    match Quantity::parse(text) {
        Ok(quantity) if quantity.is_negative() => {
            Err(refusal(text, &"less than nothing", &expected))
        }
        Ok(quantity) => Ok(quantity),
        Err(err) => Err(refusal(text, &err, &expected)),
    }
}

fn refusal(text: &str, why: &dyn fmt::Display, expected: &str) -> Refusal {
    Refusal {
        got: format!("{text:?} ({why})"),
        expected: expected.into(),
    }
}

/// Shows the keys that stand before the first table.
pub(super) fn show_keys(f: &mut fmt::Formatter<'_>, config: &assess::Config) -> fmt::Result {
    let assess::Config {
        thresholds, pods, ..
    } = config;
    let merges_defaults = thresholds.merges_defaults;
    writeln!(f, "merge_default_eviction_settings = {merges_defaults}")?;
    let period = duration::show(thresholds.transition_period);
    writeln!(f, "{PERIOD} = {period:?}")?;
    writeln!(f, "max_pods = {}", pods.max)?;
    writeln!(f, "pods_per_core = {}", pods.per_core)
}

/// Shows the tables; one that is empty is left out where that means the same.
pub(super) fn show_tables(f: &mut fmt::Formatter<'_>, config: &assess::Config) -> fmt::Result {
    let assess::Config {
        thresholds,
        reserved,
        ..
    } = config;
    let limits = |thresholds: &[Threshold]| -> Vec<_> {
        let limits = thresholds.iter();
        limits
            .map(|threshold| (threshold.signal.as_str(), threshold.limit.to_string()))
            .collect()
    };
    let with_grace = thresholds
        .soft
        .iter()
        .filter(|soft| soft.limit != Limit::Never);
    let graces = with_grace.map(|soft| (soft.signal.as_str(), duration::show(soft.grace)));
    let reclaims = thresholds.minimum_reclaim.iter();
    let reclaims = reclaims.map(|(signal, limit)| (signal.as_str(), limit.to_string()));
    let resources = |resources: &Resources| -> Vec<_> {
        let resources = resources.iter();
        resources
            .map(|(name, quantity)| (*name, quantity.to_string()))
            .collect()
    };
    writeln!(f, "\n[eviction_hard]")?;
    show_pairs(f, &limits(&thresholds.hard))?;
    for (table, pairs) in [
        ("eviction_soft", limits(&thresholds.soft)),
        (GRACE, graces.collect()),
        ("eviction_minimum_reclaim", reclaims.collect()),
        ("system_reserved", resources(&reserved.system)),
        ("kube_reserved", resources(&reserved.kube)),
    ] {
        if !pairs.is_empty() {
            writeln!(f, "\n[{table}]")?;
            show_pairs(f, &pairs)?;
        }
    }
    Ok(())
}

fn show_pairs(f: &mut fmt::Formatter<'_>, pairs: &[(&str, String)]) -> fmt::Result {
    for (key, value) in pairs {
        writeln!(f, "{key:?} = {value:?}")?;
    }
    Ok(())
}

//! The configuration in the kubelet's words: what it means, and what is refused where.

use std::path::Path;
use std::time::Duration;

use nodling_agent::assess::thresholds::{Limit, Signal, Threshold};
use nodling_agent::config::Config;

fn parse(text: &str) -> Config {
    Config::parse("agent.toml", text).expect(text)
}

fn error(text: &str) -> String {
    Config::parse("agent.toml", text)
        .expect_err(text)
        .to_string()
}

fn shown(thresholds: &[Threshold]) -> String {
    let shown = thresholds
        .iter()
        .map(|threshold| format!("{}<{}", threshold.signal.as_str(), threshold.limit));
    shown.collect::<Vec<_>>().join(",")
}

const DEFAULTS: &str = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,\
                        imagefs.available<15%,imagefs.inodesFree<5%";

#[test]
fn setting_a_hard_threshold_drops_the_other_defaults_unless_they_are_merged() {
    let hard = |text: &str| shown(&parse(text).assess.thresholds.hard);
    assert_eq!(hard(""), DEFAULTS);
    assert_eq!(hard("merge_default_eviction_settings = true"), DEFAULTS);
    assert_eq!(hard("[eviction_hard]"), "");
    let table = "[eviction_hard]\n\"pid.available\" = \"1k\"\n\"memory.available\" = \"150Mi\"\n";
    assert_eq!(hard(table), "memory.available<150Mi,pid.available<1k");
    let merge = "merge_default_eviction_settings = true\n";
    let merged = DEFAULTS.replace("100Mi", "150Mi") + ",pid.available<1k";
    assert_eq!(hard(&format!("{merge}{table}")), merged);
    // A default that is switched off stays off.
    let off = "[eviction_hard]\n\"nodefs.available\" = \"0%\"\n\"imagefs.available\" = \"100%\"\n";
    let merged = DEFAULTS.replace("10%", "0%").replace("15%", "0%");
    assert_eq!(hard(&format!("{merge}{off}")), merged);
    // Soft thresholds drop nothing.
    let soft = "[eviction_soft]\n\"memory.available\" = \"0%\"\n";
    assert_eq!(hard(soft), DEFAULTS);
}

#[test]
fn soft_thresholds_have_their_grace_and_reclaims_their_signal() {
    let config = parse(
        "[eviction_soft]\n\"imagefs.available\" = \"30%\"\n\"memory.available\" = \"300Mi\"\n\
         [eviction_soft_grace_period]\n\"memory.available\" = \"1m30s\"\n\
         \"imagefs.available\" = \"1.5h\"\n\"pid.available\" = \"0\"\n\
         [eviction_minimum_reclaim]\n\"memory.available\" = \"0\"\n\"nodefs.available\" = \"5%\"\n",
    );
    let thresholds = config.assess.thresholds;
    assert_eq!(
        shown(&thresholds.soft),
        "memory.available<300Mi,imagefs.available<30%"
    );
    let graces: Vec<_> = thresholds.soft.iter().map(|soft| soft.grace).collect();
    assert_eq!(graces, [Duration::from_secs(90), Duration::from_mins(90)]);
    let zero = Limit::parse_reclaim("0").unwrap();
    assert_eq!(
        thresholds.minimum_reclaim,
        [
            (Signal::MemoryAvailable, zero),
            (Signal::NodefsAvailable, Limit::Percent(5.0))
        ]
    );
}

#[test]
fn only_what_the_kubelet_calls_never_needs_no_grace() {
    for value in ["0%", "100%"] {
        let text = format!("[eviction_soft]\n\"pid.available\" = {value:?}\n");
        let soft = parse(&text).assess.thresholds.soft;
        assert_eq!(soft.len(), 1);
        assert_eq!(soft[0].limit, Limit::Never, "{value}");
    }
    for value in ["0.0%", "-0%", "00%", "100.0%"] {
        assert_eq!(
            error(&format!("[eviction_soft]\n\"pid.available\" = {value:?}\n")),
            format!(
                "agent.toml:2: eviction_soft.pid.available: got {value:?}, expected a grace period \
                 for it too: \"pid.available\" in [eviction_soft_grace_period]"
            )
        );
    }
}

#[test]
fn a_transition_period_of_nothing_is_the_default_as_the_kubelet_reads_it() {
    let period = |text: &str| {
        let text = format!("eviction_pressure_transition_period = {text:?}");
        parse(&text).assess.thresholds.transition_period
    };
    assert_eq!(period("30s"), Duration::from_secs(30));
    assert_eq!(period("4m0s"), Duration::from_mins(4));
    assert_eq!(period("0s"), Duration::from_mins(5));
}

#[test]
fn reservations_and_pods_are_read() {
    let config = parse(
        "max_pods = 110\npods_per_core = 1_0\n[system_reserved]\ncpu = \"100m\"\n\
         ephemeral-storage = \"1Gi\"\npid = \"1000\"\n[kube_reserved]\nmemory = \"0\"\n",
    );
    assert_eq!(
        (config.assess.pods.max, config.assess.pods.per_core),
        (110, 10)
    );
    let reserved = config.assess.reserved;
    let system: Vec<_> = reserved
        .system
        .iter()
        .map(|(name, quantity)| format!("{name} {quantity}"))
        .collect();
    assert_eq!(system, ["cpu 100m", "ephemeral-storage 1Gi", "pid 1k"]);
    assert_eq!(reserved.kube.len(), 1);
}

/// Values that a table refuses for a key, and why.
type Refused<'t> = (&'t str, &'t str, &'t [(&'t str, &'t str)], &'t str);

#[test]
fn what_the_kubelet_refuses_is_refused_with_its_place() {
    let limit = "a quantity above 0 or a percentage up to 100%, such as \"100Mi\" or \"10%\"";
    let limits: [(&str, &str); 8] = [
        ("-150Mi", "less than nothing"),
        ("0", "nothing"),
        ("-15%", "less than nothing"),
        ("101%", "more than 100%"),
        ("ten%", "not a percentage"),
        ("100MB", "not a quantity"),
        ("1e30", "larger than any quantity"),
        ("", "not a quantity"),
    ];
    let reclaims = [
        ("-300Mi", "less than nothing"),
        ("0%", "nothing"),
        ("a", "not a quantity"),
    ];
    let graces = [
        ("-30s", "less than nothing"),
        ("30", "not a duration"),
        ("1d", "not a duration"),
    ];
    let quantities = [("-1Mi", "less than nothing"), ("1 core", "not a quantity")];
    let refused: [Refused<'_>; 6] = [
        ("eviction_hard", "memory.available", &limits, limit),
        ("eviction_soft", "nodefs.available", &limits, limit),
        (
            "eviction_soft_grace_period",
            "pid.available",
            &graces,
            "a duration such as \"1m30s\"",
        ),
        (
            "eviction_minimum_reclaim",
            "imagefs.inodesFree",
            &reclaims,
            "a quantity or a percentage above 0%, such as \"500Mi\" or \"5%\"",
        ),
        (
            "system_reserved",
            "memory",
            &quantities,
            "a quantity from 0 on, such as \"128Mi\"",
        ),
        (
            "kube_reserved",
            "cpu",
            &quantities,
            "a quantity from 0 on, such as \"100m\"",
        ),
    ];
    for (table, key, values, expected) in refused {
        for (value, why) in values {
            assert_eq!(
                error(&format!("[{table}]\n{key:?} = {value:?}\n")),
                format!("agent.toml:2: {table}.{key}: got {value:?} ({why}), expected {expected}")
            );
        }
    }
}

#[test]
fn what_has_the_wrong_kind_or_name_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "[eviction_hard]\n\"memory.avaliable\" = \"1Mi\"",
            "agent.toml:2: eviction_hard.memory.avaliable: unknown key; did you mean \
             \"memory.available\"?",
        ),
        (
            "[eviction_minimum_reclaim]\n\"nodefs.inodesfree\" = \"1Mi\"",
            "agent.toml:2: eviction_minimum_reclaim.nodefs.inodesfree: unknown key; did you mean \
             \"nodefs.inodesFree\"?",
        ),
        (
            "[eviction_hard]\nmemory.available = \"1Mi\"",
            "agent.toml:2: eviction_hard.memory: unknown key; known here: \"memory.available\", \
             \"nodefs.available\", \"nodefs.inodesFree\", \"imagefs.available\", \
             \"imagefs.inodesFree\", \"containerfs.available\", \"containerfs.inodesFree\", \
             \"allocatableMemory.available\", \"pid.available\"",
        ),
        (
            "[eviction_hard]\n\"memory.available\" = 100",
            "agent.toml:2: eviction_hard.memory.available: got 100, expected a quantity above 0 or \
             a percentage up to 100%, such as \"100Mi\" or \"10%\"",
        ),
        (
            "[eviction_soft]\n\"memory.available\" = \"300Mi\"",
            "agent.toml:2: eviction_soft.memory.available: got \"300Mi\", expected a grace period \
             for it too: \"memory.available\" in [eviction_soft_grace_period]",
        ),
        (
            "[system_reserved]\n\"hugepages-2Mi\" = \"2Mi\"",
            "agent.toml:2: system_reserved.hugepages-2Mi: unknown key; known here: cpu, memory, \
             ephemeral-storage, pid",
        ),
        (
            "eviction_pressure_transition_period = \"-5m\"",
            "agent.toml:1: eviction_pressure_transition_period: got \"-5m\" (less than nothing), \
             expected a duration such as \"1m30s\"",
        ),
        (
            "merge_default_eviction_settings = \"yes\"",
            "agent.toml:1: merge_default_eviction_settings: got \"yes\", expected true or false",
        ),
        (
            "max_pods = -1",
            "agent.toml:1: max_pods: got -1, expected a whole number from 0 to 2147483647",
        ),
        (
            "pods_per_core = 2147483648",
            "agent.toml:1: pods_per_core: got 2147483648, expected a whole number from 0 to \
             2147483647",
        ),
        (
            "eviction_hard = \"memory.available<1Mi\"",
            "agent.toml:1: eviction_hard: got \"memory.available<1Mi\", expected a table: \
             [eviction_hard]",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn what_is_shown_is_read_again() {
    for text in [
        "",
        "[eviction_hard]",
        "merge_default_eviction_settings = true\neviction_pressure_transition_period = \"1500us\"\n\
         max_pods = 110\npods_per_core = 10\n[eviction_hard]\n\"memory.available\" = \"0%\"\n\
         \"nodefs.available\" = \"10.5%\"\n\"imagefs.available\" = \"100.0%\"\n\
         \"imagefs.inodesFree\" = \"0.0%\"\n[eviction_soft]\n\"nodefs.available\" = \"100%\"\n\"pid.available\" = \"0%\"\n\
         \"memory.available\" = \"1.5Gi\"\n[eviction_soft_grace_period]\n\
         \"memory.available\" = \"1h0.5s\"\n\"nodefs.available\" = \"1s\"\n[eviction_minimum_reclaim]\n\"pid.available\" = \"7\"\n\
         [system_reserved]\ncpu = \"0.1\"\n[kube_reserved]\npid = \"1000\"\n",
    ] {
        let config = parse(text);
        let shown = config.resolved("attic", Path::new("/state")).to_string();
        let again = Config::parse("shown.toml", &shown).unwrap();
        assert_eq!(again.assess, config.assess, "{shown}");
    }
}

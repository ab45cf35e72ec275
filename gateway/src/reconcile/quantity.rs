//! Prints amounts exactly as Kubernetes does, so that what is written is what is seen.
//!
//! apimachinery's canonical form: the largest suffix that leaves an integer. Memory and storage
//! are in powers of 1,024 (below that in powers of 1,000), everything else in powers of 1,000,
//! with `m` for thousandths.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nodling_protocol::facts::Resource;

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// A resource's amount as Kubernetes prints it.
pub(super) fn quantity(resource: &Resource<'_>) -> Quantity {
    let amount = resource.amount;
    let text = match resource.name {
        "cpu" if !amount.is_multiple_of(1000) => format!("{amount}m"),
        "cpu" => scaled(amount / 1000, 1000, &DECIMAL),
        name if is_binary(name) && amount >= 1024 => scaled(amount, 1024, &BINARY),
        _ => scaled(amount, 1000, &DECIMAL),
    };
    Quantity(text)
}

fn is_binary(name: &str) -> bool {
    matches!(name, "memory" | "ephemeral-storage" | "storage") || name.starts_with("hugepages-")
}

fn scaled(mut amount: u64, base: u64, suffixes: &[&str]) -> String {
    let mut suffix = "";
    if amount == 0 {
        return "0".to_owned();
    }
    for &larger in suffixes.iter().skip(1) {
        if !amount.is_multiple_of(base) {
            break;
        }
        amount /= base;
        suffix = larger;
    }
    format!("{amount}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_as_kubernetes_prints_them() {
        for (name, amount, text) in [
            ("cpu", 4000, "4"),
            ("cpu", 500, "500m"),
            ("cpu", 1999, "1999m"),
            ("cpu", 0, "0"),
            ("cpu", 1_000_000, "1k"),
            ("memory", 61_255_492 * 1024, "61255492Ki"),
            ("memory", 8 << 30, "8Gi"),
            ("memory", 0, "0"),
            ("memory", 1000, "1k"),
            ("ephemeral-storage", 56_453_061_334, "56453061334"),
            ("hugepages-2Mi", 0, "0"),
            ("hugepages-2Mi", 2 << 20, "2Mi"),
            ("pods", 110, "110"),
            ("pods", 2000, "2k"),
            ("nodling.dev/relay", 3, "3"),
            ("memory", u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(
                quantity(&Resource { name, amount }).0,
                text,
                "{name} {amount}"
            );
        }
    }
}

//! The table for people and `bench.json` for machines.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Bound, Row};

/// A row as a measure's process prints it: values are numbers, bounds carry their direction.
pub(super) fn to_json(row: &Row) -> Value {
    let number = |bound: Option<Bound>| bound.map(Bound::limit);
    let is_most = |bound: Option<Bound>| matches!(bound, Some(Bound::AtMost(_)));
    json!({
        "name": row.name,
        "value": row.value,
        "unit": row.unit,
        "must": number(row.must),
        "aim": number(row.aim),
        "met": row.must.is_none_or(|bound| bound.holds(row.value)),
        "at_most": is_most(row.must.or(row.aim)),
    })
}

/// A measure that came to nothing.
pub(super) fn failure(name: &str) -> Value {
    json!({"name": name, "value": null, "unit": "", "must": null, "aim": null, "met": false})
}

/// Whether a row keeps to what it must.
pub(super) fn is_met(row: &Value) -> bool {
    row.get("met").and_then(Value::as_bool) == Some(true)
}

/// What goes into `bench.json`.
pub(super) fn document(rows: &[Value]) -> Value {
    let keys = ["name", "value", "unit", "must", "aim", "met"];
    let trimmed = |row: &Value| -> Value {
        let member = |key| (key, row.get(key).cloned().unwrap_or(Value::Null));
        json!(std::collections::BTreeMap::from(keys.map(member)))
    };
    rows.iter().map(trimmed).collect()
}

/// The rows in columns.
pub(super) fn table(rows: &[Value]) -> String {
    let head = ["name", "value", "unit", "must", "aim", "met"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head)
        .chain(rows.iter().map(cells))
        .collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        for (index, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Numbers are compared by their right end.
            let written = if matches!(index, 1 | 3 | 4) {
                write!(text, "{cell:>width$}  ")
            } else {
                write!(text, "{cell:<width$}  ")
            };
            written.expect("a string takes everything");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn cells(row: &Value) -> [String; 6] {
    let text = |key: &str| {
        row.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let value = row.get("value").and_then(Value::as_f64);
    let is_most = row.get("at_most").and_then(Value::as_bool).unwrap_or(true);
    let bound = |key: &str| row.get(key).and_then(Value::as_f64);
    let shown = |key: &str| {
        let sign = if is_most { '≤' } else { '≥' };
        bound(key).map(|limit| format!("{sign} {}", number(limit)))
    };
    let holds = |key: &str| {
        let (limit, value) = (bound(key)?, value?);
        Some(if is_most {
            value <= limit
        } else {
            value >= limit
        })
    };
    let met = match (value, holds("must"), holds("aim")) {
        (None, ..) => "FAILED",
        (_, Some(false), _) => "NO",
        (_, _, Some(true)) => "aim",
        (_, Some(true), _) => "must",
        (_, None, Some(false)) => "not the aim",
        (_, None, None) => "",
    };
    [
        text("name"),
        value.map_or_else(|| "-".to_owned(), number),
        text("unit"),
        shown("must").unwrap_or_default(),
        shown("aim").unwrap_or_default(),
        met.to_owned(),
    ]
}

/// Three digits that mean something, thousands set apart.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size.fract() == 0.0 || size >= 1000.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text
        .split_once('.')
        .map_or((&*text, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0
            && (whole.len() - index) % 3 == 0
            && digit.is_ascii_digit()
            && !grouped.ends_with('-')
        {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

impl Bound {
    const fn limit(self) -> f64 {
        match self {
            Self::AtMost(limit) | Self::AtLeast(limit) => limit,
        }
    }

    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_must_is_seen_in_both_forms() {
        let row = |value| {
            let row = Row::new("a/b", value, "B")
                .must(Bound::AtMost(76.0))
                .aim(Bound::AtMost(64.0));
            to_json(&row)
        };
        let rows = [row(60.0), row(70.0), row(77.0)];
        assert_eq!(rows.each_ref().map(is_met), [true, true, false]);
        let table = table(&rows);
        let last: Vec<_> = table
            .lines()
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        assert_eq!(last, ["met", "aim", "must", "NO"]);
        let document = document(&rows);
        assert_eq!(document[2]["met"], false);
        assert_eq!(document[2].as_object().unwrap().len(), 6);
    }

    #[test]
    fn a_failed_measure_is_not_met() {
        assert!(!is_met(&failure("agent-cpu")));
        assert!(table(&[failure("agent-cpu")]).contains("FAILED"));
    }

    #[test]
    fn numbers_are_grouped_and_short() {
        let shown = [0.0, 2.345, 12.34, 999.0, 1_234.5, 2_000_000.0, 100_000.0].map(number);
        assert_eq!(
            shown,
            ["0", "2.35", "12.3", "999", "1,234", "2,000,000", "100,000"]
        );
    }
}

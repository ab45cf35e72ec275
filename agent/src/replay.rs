//! `nodling-agent replay`: what would these settings have done with what was recorded then?
//!
//! Each line in, `{"at_s": 60, "signals": {"memory.available": "1500Mi", …}}`, is one moment;
//! each line out says which conditions were reported and which thresholds met. `run` judges by the
//! same engine. Here every pressure is reported from the first line on, as the kubelet reports it:
//! one whose signals are never observed is False.

use std::io::{self, BufRead, Write};

use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use crate::assess::eviction::{Eviction, Observed, PRESSURES, Signals};
use crate::assess::thresholds::{Signal, Thresholds};
use crate::distinct::Distinct;
use crate::keys::{KeyError, hint, syntax_of_line};
use crate::quantity::Quantity;

/// No line of signals is longer.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Why a replay ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line is not what it should be.
    #[error(transparent)]
    Line(#[from] KeyError),
    /// The input broke.
    #[error("reading {name}")]
    Read {
        /// What it is called.
        name: String,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// Nobody took the output.
    #[error("writing to standard output")]
    Write(#[source] io::Error),
}

/// Judges line by line and writes each judgement before the next line is read; `name` is what
/// errors call the input.
pub fn replay(
    thresholds: &Thresholds,
    name: &str,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<(), ReplayError> {
    let mut timeline = Timeline::new(thresholds);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut limited = io::Read::take(&mut input, LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line);
        let len = read.map_err(|source| ReplayError::Read {
            name: name.into(),
            source,
        })?;
        if len == 0 {
            break;
        }
        let place = Place { name, number };
        let judgement = timeline.judge(&place, &line)?;
        if let Some(judgement) = judgement {
            let mut text = serde_json::to_vec(&judgement).expect("its keys are strings");
            text.push(b'\n');
            output.write_all(&text).map_err(ReplayError::Write)?;
            output.flush().map_err(ReplayError::Write)?;
        }
    }
    Ok(())
}

/// What one moment meant.
#[derive(Debug, Serialize)]
struct Judgement {
    at_s: Number,
    #[serde(serialize_with = "by_name")]
    conditions: [Condition; PRESSURES.len()],
    thresholds_met: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct Condition {
    status: &'static str,
    since_s: Number,
}

fn by_name<S: Serializer>(
    conditions: &[Condition; PRESSURES.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(PRESSURES.iter().map(|kind| kind.as_str()).zip(conditions))
}

/// What must be remembered from one line to the next.
struct Timeline {
    eviction: Eviction,
    /// The line before: when it was, as it was written and in milliseconds.
    before: Option<(Number, u64)>,
    /// What was reported of each of [`PRESSURES`]; nothing at first.
    conditions: [Condition; PRESSURES.len()],
}

impl Timeline {
    fn new(thresholds: &Thresholds) -> Self {
        Self {
            eviction: Eviction::new(thresholds),
            before: None,
            conditions: PRESSURES.map(|_| Condition {
                status: "",
                since_s: 0.into(),
            }),
        }
    }

    /// Judges a line; an empty one is no moment.
    fn judge(&mut self, place: &Place<'_>, line: &[u8]) -> Result<Option<Judgement>, KeyError> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let (at_s, signals) = place.parse(line)?;
        let now_ms = place.milliseconds(&at_s)?;
        if let Some((before_s, _)) = self.before.as_ref().filter(|(_, before)| *before > now_ms) {
            let expected = format!("no earlier time than {before_s} of the line before");
            return Err(place.refuse("at_s", at_s.to_string(), expected));
        }
        self.before = Some((at_s.clone(), now_ms));
        let pressures = self.eviction.update(&signals, now_ms);
        for (pressure, condition) in pressures.into_iter().zip(&mut self.conditions) {
            let status = if pressure.is_reported {
                "True"
            } else {
                "False"
            };
            if condition.status != status {
                *condition = Condition {
                    status,
                    since_s: at_s.clone(),
                };
            }
        }
        Ok(Some(Judgement {
            at_s,
            conditions: self.conditions.clone(),
            thresholds_met: self.eviction.met().map(Signal::as_str).collect(),
        }))
    }
}

/// Where a line stands.
struct Place<'n> {
    name: &'n str,
    number: u64,
}

impl Place<'_> {
    fn parse(&self, line: &[u8]) -> Result<(Number, Signals), KeyError> {
        let is_cut = u64::try_from(line.len()).is_ok_and(|len| len >= LINE_BYTES_MAX);
        if is_cut && !line.ends_with(b"\n") {
            return Err(KeyError::Syntax {
                place: self.to_string(),
                message: format!("the line is longer than {LINE_BYTES_MAX} bytes"),
            });
        }
        let line = line.trim_ascii_end();
        let refused = |err| KeyError::Syntax {
            place: self.to_string(),
            message: syntax_of_line(&err),
        };
        let moment: Map<String, Value> = serde_json::from_slice(line).map_err(refused)?;
        serde_json::from_slice::<Distinct>(line).map_err(refused)?;
        self.only("", &moment, &["at_s", "signals"])?;
        let expected = "seconds, such as 60";
        let Some(Value::Number(at_s)) = moment.get("at_s") else {
            return Err(self.refuse("at_s", shown(moment.get("at_s")), expected));
        };
        let signals = match moment.get("signals") {
            None => Signals::default(),
            Some(Value::Object(named)) => self.signals(named)?,
            other => {
                let expected = "an object such as {\"memory.available\": \"1500Mi\"}";
                return Err(self.refuse("signals", shown(other), expected));
            }
        };
        Ok((at_s.clone(), signals))
    }

    fn signals(&self, named: &Map<String, Value>) -> Result<Signals, KeyError> {
        let known = Signal::ALL.map(|signal| [signal.as_str(), signal.capacity_name()]);
        self.only("signals.", named, known.as_flattened())?;
        let mut signals = Signals::default();
        for (observed, signal) in signals.iter_mut().zip(Signal::ALL) {
            let available = self.amount(named, signal.as_str())?;
            let capacity = self.amount(named, signal.capacity_name())?;
            if let Some(available) = available {
                *observed = Observed::Available {
                    available,
                    capacity,
                };
            }
        }
        Ok(signals)
    }

    /// A number or a quantity; `None` for a signal that was not observed.
    fn amount(&self, named: &Map<String, Value>, name: &str) -> Result<Option<u64>, KeyError> {
        let value = named.get(name);
        let text = match value {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Array(_) | Value::Bool(_) | Value::Object(_)) => None,
        };
        let quantity = text.and_then(|text| Quantity::parse(&text).ok());
        let amount = quantity.and_then(Quantity::to_whole);
        let expected = "a number or a quantity from 0 on, such as \"1500Mi\"";
        let refused = || self.refuse(&format!("signals.{name}"), shown(value), expected);
        amount.map(Some).ok_or_else(refused)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    fn milliseconds(&self, at_s: &Number) -> Result<u64, KeyError> {
        /// Ten thousand years, exact in a float to the millisecond.
        const SECONDS_MAX: f64 = 4e11;
        let seconds = at_s
            .as_f64()
            .filter(|at_s| (0.0..SECONDS_MAX).contains(at_s));
        let expected = "seconds from 0 on";
        seconds
            .map(|seconds| (seconds * 1000.0).round() as u64)
            .ok_or_else(|| self.refuse("at_s", at_s.to_string(), expected))
    }

    /// Refuses every key but these.
    fn only(&self, prefix: &str, map: &Map<String, Value>, known: &[&str]) -> Result<(), KeyError> {
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(unknown) => Err(KeyError::Unknown {
                place: format!("{self}: {prefix}{unknown}"),
                hint: hint(unknown, known),
            }),
        }
    }

    fn refuse(&self, key: &str, got: String, expected: impl Into<String>) -> KeyError {
        KeyError::Value {
            place: format!("{self}: {key}"),
            got,
            expected: expected.into(),
        }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.number)
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::Array(_)) => "a list".into(),
        Some(Value::Object(_)) => "an object".into(),
        Some(value @ (Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_))) => {
            value.to_string()
        }
    }
}

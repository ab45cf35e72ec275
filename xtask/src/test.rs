//! `cargo xtask test`: runs the suites in order and prints each one's time against its budget.
//!
//! Stops at the first failure unless told to keep going, and ends with a table in which every
//! suite stands: passed, with what was left out of it, failed, or not reached. A budget that is
//! overrun is shown, not failed: a busy machine is no defect of the change.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::repo::Repo;
use crate::suites::{Context, Outcome, SUITES, Suite, Tier};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what needs nothing but cargo.
    #[arg(long)]
    quick: bool,
    /// Go on after a failing suite.
    #[arg(long)]
    keep_going: bool,
    /// Only the named suites; may be repeated.
    #[arg(long, value_name = "SUITE", value_parser = suite_named)]
    only: Vec<&'static str>,
}

fn suite_named(name: &str) -> Result<&'static str, String> {
    let found = SUITES
        .iter()
        .map(|suite| suite.name)
        .find(|known| *known == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        format!("the suites are {}", names.join(", "))
    })
}

/// What became of one suite.
enum Verdict {
    Failed(Duration),
    NotReached,
    Passed {
        took: Duration,
        note: Option<String>,
    },
}

/// Runs the chosen suites; an error if any failed.
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    let context = Context {
        repo,
        keep_going: args.keep_going,
    };
    let mut verdicts = Vec::new();
    let mut has_failed = false;
    for suite in SUITES.iter().filter(|suite| is_chosen(suite, args)) {
        let verdict = if has_failed && !args.keep_going {
            Verdict::NotReached
        } else {
            judge(suite, &context)
        };
        has_failed |= matches!(verdict, Verdict::Failed(_));
        verdicts.push((suite, verdict));
    }
    println!("\n{:<10} {:>8} {:>8}", "suite", "took", "budget");
    for (suite, verdict) in &verdicts {
        println!("{}", row(suite, verdict));
    }
    println!("{}", total(&verdicts));
    if has_failed {
        bail!("a suite failed");
    }
    Ok(())
}

fn is_chosen(suite: &Suite, args: &Args) -> bool {
    if args.only.is_empty() {
        suite.tier == Tier::Quick || !args.quick
    } else {
        args.only.contains(&suite.name)
    }
}

fn judge(suite: &Suite, context: &Context<'_>) -> Verdict {
    println!("\n== {}", suite.name);
    let started = Instant::now();
    let outcome = (suite.run)(context);
    let took = started.elapsed();
    let verdict = match outcome {
        Ok(Outcome::Passed) => Verdict::Passed { took, note: None },
        Ok(Outcome::Partly(note)) => Verdict::Passed {
            took,
            note: Some(note),
        },
        Err(err) => {
            println!("{}: {err:#}", suite.name);
            Verdict::Failed(took)
        }
    };
    println!("{}", row(suite, &verdict));
    verdict
}

fn row(suite: &Suite, verdict: &Verdict) -> String {
    let budget = Duration::from_secs(suite.budget_s);
    let (took, word) = match verdict {
        Verdict::Failed(took) => (Some(*took), "FAILED".to_owned()),
        Verdict::NotReached => (None, "not reached".to_owned()),
        Verdict::Passed { took, note } => {
            let mut word = if *took > budget {
                "ok, over budget"
            } else {
                "ok"
            }
            .to_owned();
            if let Some(note) = note {
                word = format!("{word} ({note})");
            }
            (Some(*took), word)
        }
    };
    let took = took.map_or_else(|| "-".to_owned(), seconds);
    format!(
        "{:<10} {took:>8} {:>8}  {word}",
        suite.name,
        seconds(budget)
    )
}

fn total(verdicts: &[(&Suite, Verdict)]) -> String {
    let took = verdicts.iter().map(|(_, verdict)| match verdict {
        Verdict::Failed(took) | Verdict::Passed { took, .. } => *took,
        Verdict::NotReached => Duration::ZERO,
    });
    let budget_s = verdicts.iter().map(|(suite, _)| suite.budget_s).sum();
    let budget = seconds(Duration::from_secs(budget_s));
    format!("{:<10} {:>8} {budget:>8}", "total", seconds(took.sum()))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(quick: bool, only: &[&'static str]) -> Args {
        Args {
            quick,
            keep_going: false,
            only: only.to_vec(),
        }
    }

    fn chosen(args: &Args) -> Vec<&'static str> {
        SUITES
            .iter()
            .filter(|suite| is_chosen(suite, args))
            .map(|suite| suite.name)
            .collect()
    }

    #[test]
    fn quick_leaves_out_what_needs_more_than_cargo() {
        let quick = chosen(&args(true, &[]));
        assert!(quick.contains(&"lint") && !quick.contains(&"deny"));
        assert_eq!(chosen(&args(false, &[])).len(), SUITES.len());
    }

    #[test]
    fn a_named_suite_is_run_alone() {
        assert_eq!(chosen(&args(false, &["tidy"])), ["tidy"]);
        assert!(suite_named("tidi").is_err());
    }

    #[test]
    fn the_quick_suites_fit_their_budget() {
        let quick = SUITES.iter().filter(|suite| suite.tier == Tier::Quick);
        assert!(quick.map(|suite| suite.budget_s).sum::<u64>() <= 300);
    }

    #[test]
    fn a_row_shows_an_overrun_and_a_reason() {
        let suite = SUITES
            .iter()
            .find(|suite| suite.name == "fmt")
            .expect("fmt is a suite");
        let took = Duration::from_secs(suite.budget_s + 1);
        assert!(row(suite, &Verdict::Passed { took, note: None }).contains("over budget"));
        let note = Some("no tool".to_owned());
        assert!(
            row(
                suite,
                &Verdict::Passed {
                    took: Duration::ZERO,
                    note
                }
            )
            .contains("no tool")
        );
    }
}

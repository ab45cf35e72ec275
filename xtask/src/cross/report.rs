//! The table of sizes against limits.

use super::target::{Job, Program};

/// What was built, and what is wrong with it.
pub(super) struct Built {
    pub(super) job: Job,
    pub(super) compiler: &'static str,
    pub(super) bytes: u64,
    pub(super) faults: Vec<String>,
}

impl Built {
    /// Looks at the size as well.
    pub(super) fn new(
        job: Job,
        compiler: &'static str,
        bytes: u64,
        mut faults: Vec<String>,
    ) -> Self {
        if bytes > job.program.bytes_max {
            faults.push("larger than its limit".to_owned());
        }
        Self {
            job,
            compiler,
            bytes,
            faults,
        }
    }

    fn verdict(&self) -> String {
        let Program { bytes_aim, .. } = *self.job.program;
        match bytes_aim {
            _ if !self.faults.is_empty() => format!("FAILED: {}", self.faults.join(", ")),
            Some(aim) if self.bytes > aim => format!("ok, above the aim of {}", megabytes(aim)),
            _ => "ok".to_owned(),
        }
    }
}

/// One line for each program, below a heading.
pub(super) fn table(rows: &[Built]) -> String {
    let heading = line(["target", "program", "std", "size", "limit", ""]);
    let rows = rows.iter().map(|row| {
        let Job { target, program } = row.job;
        line([
            target.triple,
            program.name,
            row.compiler,
            &megabytes(row.bytes),
            &megabytes(program.bytes_max),
            &row.verdict(),
        ])
    });
    let lines: Vec<String> = std::iter::once(heading).chain(rows).collect();
    lines.join("\n")
}

fn line([target, program, compiler, size, limit, verdict]: [&str; 6]) -> String {
    let line = format!("{target:<32}{program:<17}{compiler:<8}{size:>9}{limit:>10}  {verdict}");
    line.trim_end().to_owned()
}

/// Rounded up: what is shown as the limit is not above it.
fn megabytes(bytes: u64) -> String {
    let hundredths = bytes.div_ceil(10_000);
    format!("{}.{:02} MB", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cross::target::jobs;

    fn agent(bytes: u64, faults: &[&str]) -> Built {
        let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
        let jobs = jobs(&[], &[]).unwrap();
        Built::new(jobs[0], "debian", bytes, faults)
    }

    #[test]
    fn a_size_is_rounded_up() {
        assert_eq!(megabytes(3_000_000), "3.00 MB");
        assert_eq!(megabytes(3_000_001), "3.01 MB");
        assert_eq!(megabytes(0), "0.00 MB");
    }

    #[test]
    fn a_program_at_its_limit_passes_and_one_byte_more_does_not() {
        assert!(agent(3_000_000, &[]).faults.is_empty());
        assert_eq!(agent(3_000_001, &[]).faults, ["larger than its limit"]);
    }

    #[test]
    fn the_table_says_what_is_wrong_and_what_could_be_better() {
        let rows = [
            agent(1_849_272, &[]),
            agent(2_500_000, &[]),
            agent(3_100_000, &["is not static"]),
        ];
        assert_eq!(
            table(&rows),
            "\
target                          program          std          size     limit
aarch64-unknown-linux-musl      nodling-agent    debian    1.85 MB   3.00 MB  ok
aarch64-unknown-linux-musl      nodling-agent    debian    2.50 MB   3.00 MB  ok, above the aim of 2.00 MB
aarch64-unknown-linux-musl      nodling-agent    debian    3.10 MB   3.00 MB  FAILED: is not static, larger than its limit"
        );
    }
}

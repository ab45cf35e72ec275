//! Builds a static program for another processor, with what this machine has: the standard
//! library that rustup installed for the target, or else Debian's compiler and its sources.
//!
//! Both link with zig, which brings musl and a C compiler for every target. The builds lie in
//! the user's cache: they take minutes, and all checkouts share what they depend on.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::elf::Class;
use super::target::{Job, Program, Target};
use crate::install::{self, DEBIAN_RUST, DEBIAN_RUSTC};
use crate::repo::Repo;
use crate::shell;

const CARGO_ZIGBUILD: &str = "0.24.0";
const ZIGLANG: &str = "0.17.1";

/// Who brings the standard library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compiler {
    Debian,
    Rustup,
}

impl Compiler {
    /// Rustup's where it has the target, for that is the compiler of everything else. But its
    /// library for 32 bits counts seconds in 32 bits, so there Debian's is better.
    pub(super) fn find(repo: &Repo, target: &Target) -> Self {
        let mut list = repo.program("rustup");
        let installed = shell::output(list.args(["target", "list", "--installed"]));
        let is_debian = Path::new(DEBIAN_RUSTC).is_file();
        Self::given(&installed.unwrap_or_default(), is_debian, target)
    }

    fn given(installed: &str, is_debian: bool, target: &Target) -> Self {
        let is_installed = installed.lines().any(|line| line.trim() == target.triple);
        if is_installed && !(is_debian && target.class == Class::Bits32) {
            Self::Rustup
        } else {
            Self::Debian
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Rustup => "rustup",
        }
    }
}

/// Everything that a build needs, installed.
pub(super) struct Workshop<'a> {
    repo: &'a Repo,
    /// `cargo-zigbuild`, in a directory where it finds zig's Python package.
    zigbuild: PathBuf,
    cache: PathBuf,
}

impl<'a> Workshop<'a> {
    pub(super) fn set_up(repo: &'a Repo) -> anyhow::Result<Self> {
        let zig = format!("ziglang=={ZIGLANG}");
        let zigbuild = install::python_tool_with(repo, "cargo-zigbuild", CARGO_ZIGBUILD, &[&zig])?;
        let cache = repo.cache.join("cross");
        fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
        Ok(Self {
            repo,
            zigbuild,
            cache,
        })
    }

    /// Builds and returns where the program stands now:
    /// `cross/<target>/<program>` in cargo's target directory.
    pub(super) fn build(&self, job: Job, compiler: Compiler) -> anyhow::Result<PathBuf> {
        if compiler == Compiler::Debian
            && let Err(err) = install::packages(DEBIAN_RUST)
        {
            let triple = job.target.triple;
            anyhow::bail!("{err:#}\nor, where rustup has it: rustup target add {triple}");
        }
        // Another checkout may build the same program in the same place; nobody copies the
        // other's.
        let lock = File::create(self.cache.join("lock")).context("locking the cache")?;
        lock.lock().context("locking the cache")?;
        shell::run(&mut self.command(job, compiler)?)?;
        let built = self
            .target_dir(compiler)
            .join(job.target.triple)
            .join(job.program.profile)
            .join(job.program.name);
        let place = self.repo.target.join("cross").join(job.target.triple);
        replace(&built, &place, job.program)
    }

    fn target_dir(&self, compiler: Compiler) -> PathBuf {
        self.cache.join(compiler.name())
    }

    fn command(&self, job: Job, compiler: Compiler) -> anyhow::Result<Command> {
        let mut command = self.repo.cargo();
        command
            .args(["zigbuild", "--locked"])
            .args(["--profile", job.program.profile])
            .args(["--package", job.program.name])
            .args(["--bin", job.program.name])
            .args(["--target", job.target.triple])
            .env("PATH", self.path()?)
            .env("CARGO_TARGET_DIR", self.target_dir(compiler))
            .env("CARGO_ZIGBUILD_CACHE_DIR", self.cache.join("zigbuild"))
            .env("ZIG_GLOBAL_CACHE_DIR", self.cache.join("zig"));
        if compiler == Compiler::Debian {
            // The variable lets a stable compiler build `std`; it reaches nothing else. Debian
            // ships no musl start-up files, so the linker's own are taken.
            command
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", "-C link-self-contained=no")
                .args(["-Zbuild-std=std,panic_abort"])
                .args(["-Zbuild-std-features=optimize_for_size"]);
        }
        if job.target.class == Class::Bits32 {
            // Otherwise libc's `time_t` has 32 bits there, and asking for the time panics from
            // 2038 on; or tomorrow, on a board whose clock is wrong.
            command.env("RUST_LIBC_UNSTABLE_MUSL_V1_2_3", "1");
        }
        Ok(command)
    }

    /// Cargo finds its subcommand here, and that finds the Python which has zig.
    fn path(&self) -> anyhow::Result<OsString> {
        let own = self.zigbuild.parent().map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = own.into_iter().chain(std::env::split_paths(&path));
        std::env::join_paths(all).context("PATH cannot be extended by the cache's directory")
    }
}

/// Puts a copy in place in one step: whoever runs the old one keeps it.
fn replace(built: &Path, place: &Path, program: &Program) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    let copy = place.join(program.name);
    let fresh = place.join(format!("{}.new", program.name));
    fs::copy(built, &fresh).with_context(|| format!("copying {}", built.display()))?;
    fs::rename(&fresh, &copy).with_context(|| format!("writing {}", copy.display()))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cross::target::target_named;

    const INSTALLED: &str = "aarch64-unknown-linux-musl\narmv7-unknown-linux-musleabihf\n";

    fn compiler(is_debian: bool, triple: &str) -> Compiler {
        Compiler::given(INSTALLED, is_debian, target_named(triple).unwrap())
    }

    #[test]
    fn rustup_builds_what_it_has_the_library_for_and_debian_the_rest() {
        let pi_2 = "armv7-unknown-linux-musleabihf";
        assert_eq!(compiler(false, pi_2), Compiler::Rustup);
        // The name is a part of the other's.
        let zero = "arm-unknown-linux-musleabihf";
        assert_eq!(compiler(false, zero), Compiler::Debian);
    }

    #[test]
    fn for_32_bits_a_library_that_counts_beyond_2038_is_preferred() {
        let pi_2 = "armv7-unknown-linux-musleabihf";
        assert_eq!(compiler(true, pi_2), Compiler::Debian);
        let pi_3 = "aarch64-unknown-linux-musl";
        assert_eq!(compiler(true, pi_3), Compiler::Rustup);
    }
}

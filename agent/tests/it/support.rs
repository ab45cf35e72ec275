//! Fixture trees, copies of them, and ways to break a file.

#![expect(
    clippy::disallowed_methods,
    reason = "tests arrange the files that Root then reads"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nodling_agent::observe::root::{Root, RootError};
use nodling_agent::observe::{Config, Detail, Observation, Observer};
use nodling_agent::registration::Registration;
use tempfile::TempDir;

/// Nothing is asked of the Node.
pub(crate) static NO_WISHES: Registration = Registration::new();

/// One `boards/<board>/fixtures/<scenario>`.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) board: String,
    pub(crate) scenario: String,
    pub(crate) path: PathBuf,
}

impl Fixture {
    /// For example `raspberry-pi-4b/idle`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.board, self.scenario)
    }

    /// A copy that a test may break.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in files(&self.path) {
            let to = copy.path().join(&file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(self.path.join(&file), to).unwrap();
        }
        copy
    }

    /// Puts a file of a copy back, whatever stands there now.
    pub(crate) fn restore(&self, copy: &Path, file: &str) {
        let to = copy.join(file);
        let _ = fs::remove_dir(&to);
        let _ = fs::remove_file(&to);
        fs::copy(self.path.join(file), to).unwrap();
    }

    /// The kernel's files, relative to the fixture.
    pub(crate) fn kernel_files(&self) -> Vec<String> {
        let mut files = files(&self.path);
        files.retain(|file| file != "SOURCE" && file != "syscalls.toml");
        files
    }

    /// The kernel's files that no earlier scenario of the board has with the same text; breaking
    /// the others again would tell nothing.
    pub(crate) fn new_files(&self) -> Vec<String> {
        let mut earlier = all_fixtures();
        earlier.retain(|other| other.board == self.board && other.scenario < self.scenario);
        let is_known = |file: &String| {
            let text = read(&self.path, file);
            earlier.iter().any(|other| read(&other.path, file) == text)
        };
        let mut files = self.kernel_files();
        files.retain(|file| !is_known(file));
        files
    }
}

/// Every fixture of every board, sorted by name.
pub(crate) fn all_fixtures() -> Vec<Fixture> {
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
    let mut fixtures = Vec::new();
    for (board, _) in nodling_boards::ALL {
        let directory = boards.join(board).join("fixtures");
        for scenario in names(&directory) {
            let path = directory.join(&scenario);
            fixtures.push(Fixture {
                board: (*board).to_owned(),
                scenario,
                path,
            });
        }
    }
    fixtures.sort_by_key(Fixture::name);
    fixtures
}

/// Every fixture with a copy of it that a test may break.
pub(crate) fn copies() -> Vec<(Fixture, TempDir)> {
    let with_copy = |fixture: Fixture| {
        let copy = fixture.copy();
        (fixture, copy)
    };
    all_fixtures().into_iter().map(with_copy).collect()
}

/// The fixture called `<board>/<scenario>`.
pub(crate) fn fixture(name: &str) -> Fixture {
    all_fixtures()
        .into_iter()
        .find(|fixture| fixture.name() == name)
        .expect(name)
}

/// What a fixture, or a copy of one, shows.
pub(crate) fn observe(root: &Path) -> Observation {
    observer(root).unwrap().observe(Detail::Kept)
}

/// What reads a fixture, or a copy of one, again and again.
pub(crate) fn observer(root: &Path) -> Result<Observer, RootError> {
    Ok(Observer::new(Root::open(root)?, Config::default()))
}

/// Ways in which a kernel file can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakage {
    Binary,
    Deleted,
    Emptied,
    Garbled,
    Long,
    Truncated,
    Unreadable,
}

impl Breakage {
    pub(crate) const ALL: [Self; 7] = [
        Self::Binary,
        Self::Deleted,
        Self::Emptied,
        Self::Garbled,
        Self::Long,
        Self::Truncated,
        Self::Unreadable,
    ];

    pub(crate) fn apply(self, file: &Path) {
        let text = fs::read(file).unwrap();
        match self {
            Self::Binary => fs::write(file, [0, 255, 10, 0, 128, 7, 32, 254]).unwrap(),
            Self::Deleted => fs::remove_file(file).unwrap(),
            Self::Emptied => fs::write(file, "").unwrap(),
            Self::Garbled => {
                let garbled: Vec<u8> = text.iter().rev().map(|byte| byte ^ 0x15).collect();
                fs::write(file, [b"?".as_slice(), &garbled].concat()).unwrap();
            }
            Self::Long => {
                fs::remove_file(file).unwrap();
                fs::hard_link(long_file(), file).unwrap();
            }
            Self::Truncated => fs::write(file, &text[..text.len() / 2]).unwrap(),
            // The tests may run as root, whom no mode stops; no file can be read from a directory.
            Self::Unreadable => {
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
            }
        }
    }
}

/// A file longer than any that a kernel writes; written once, since it is linked thousands of times.
fn long_file() -> &'static Path {
    static LONG: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = LONG.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("long");
        fs::write(&file, "9 ".repeat(400_000)).unwrap();
        (directory, file)
    });
    file
}

/// Writes a file of a copy.
pub(crate) fn write(root: &Path, file: &str, text: impl AsRef<[u8]>) {
    let file = root.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Reads a file of a fixture.
pub(crate) fn read(root: &Path, file: &str) -> Option<Vec<u8>> {
    fs::read(root.join(file)).ok()
}

fn files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for name in names(&root.join(&directory)) {
            let path = if directory.is_empty() {
                name
            } else {
                format!("{directory}/{name}")
            };
            if root.join(&path).is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

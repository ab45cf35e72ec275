//! The agent's identity on disk: the file `instance` in the state directory.
//!
//! Sixteen hexadecimal digits, written once, atomically and synced, and never again. Where it
//! cannot be kept the agent runs on with one that lasts until it ends.
#![expect(
    clippy::disallowed_methods,
    reason = "a store: the one file that the agent writes"
)]

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nodling_protocol::Instance;

/// The file's name.
const FILE: &str = "instance";

/// Why the identity will not survive a restart.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The directory is not writable, or not there.
    #[error("keeping the identity in {path}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The file is there and not readable.
    #[error("reading the identity from {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
}

/// Reads the identity, or makes one of `random` and keeps it.
///
/// A file that is empty or torn, as a power cut leaves it, is replaced.
pub fn load_or_create(state_dir: &Path, random: u64) -> Result<Instance, InstanceError> {
    let path = state_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            if let Some(instance) = Instance::parse(text.trim()) {
                return Ok(instance);
            }
        }
        // Text that is none is torn too.
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {}
        Err(source) => return Err(InstanceError::Unreadable { path, source }),
    }
    let instance = Instance(random);
    match write(state_dir, &path, instance) {
        Ok(()) => Ok(instance),
        Err(source) => Err(InstanceError::Unwritable { path, source }),
    }
}

fn write(state_dir: &Path, path: &Path, instance: Instance) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let new_path = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new_path)?;
    writeln!(file, "{instance}")?;
    file.sync_all()?;
    fs::rename(&new_path, path)?;
    fs::File::open(state_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_identity_survives_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("state");
        let first = load_or_create(&state_dir, 0xFEED).unwrap();
        assert_eq!(first, Instance(0xFEED));
        assert_eq!(load_or_create(&state_dir, 1).unwrap(), first);
        let mode = fs::metadata(state_dir.join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let names = fs::read_dir(&state_dir).unwrap().count();
        assert_eq!(names, 1, "nothing else is left behind");
    }

    #[test]
    fn a_torn_file_is_replaced() {
        for torn in ["", "12", "\u{0}\u{0}\u{0}", "zzzzzzzzzzzzzzzz"] {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join(FILE), torn).unwrap();
            assert_eq!(
                load_or_create(directory.path(), 7).unwrap(),
                Instance(7),
                "{torn:?}"
            );
            assert_eq!(
                load_or_create(directory.path(), 8).unwrap(),
                Instance(7),
                "{torn:?}"
            );
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let err = load_or_create(&file, 7).unwrap_err();
        assert!(err.to_string().contains("file/instance"), "{err}");
    }
}

//! Where the files go: into a folder, or to standard output in sections.
//!
//! Invariant: no file is overwritten, and no half of a pair stays behind.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::error::InitError;

/// The connector file.
const CONNECTOR: &str = "connector.json";

/// The SQL.
const SCRIPT: &str = "source.sql";

/// Where to write.
pub(super) enum Target {
    /// Two files in an existing or a new folder.
    Folder(PathBuf),
    /// Standard output.
    Printed,
}

impl Target {
    /// Refuses a folder that has one of the files, before the source is asked.
    pub(super) fn of(folder: Option<&Path>) -> Result<Self, InitError> {
        let Some(folder) = folder else { return Ok(Self::Printed) };
        for name in [CONNECTOR, SCRIPT] {
            let path = folder.join(name);
            if path.symlink_metadata().is_ok() {
                return Err(InitError::Exists(path));
            }
        }
        Ok(Self::Folder(folder.to_owned()))
    }

    /// Writes both. Gives what is to be printed, and the files that were written.
    pub(super) fn write(
        &self,
        connector: &str,
        script: &str,
    ) -> Result<(String, Vec<PathBuf>), InitError> {
        let Self::Folder(folder) = self else {
            let printed = format!("==> {CONNECTOR} <==\n{connector}\n==> {SCRIPT} <==\n{script}");
            return Ok((printed, Vec::new()));
        };
        std::fs::create_dir_all(folder)
            .map_err(|source| InitError::Write { path: folder.clone(), source })?;
        let paths = [folder.join(CONNECTOR), folder.join(SCRIPT)];
        create(&paths[0], connector)?;
        if let Err(error) = create(&paths[1], script) {
            // It was made a moment ago, by us.
            let _ = std::fs::remove_file(&paths[0]);
            return Err(error);
        }
        Ok((String::new(), paths.into()))
    }
}

fn create(path: &Path, text: &str) -> Result<(), InitError> {
    let path = path.to_owned();
    let mut file = File::create_new(&path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => InitError::Exists(path.clone()),
        _ => InitError::Write { path: path.clone(), source },
    })?;
    file.write_all(text.as_bytes()).map_err(|source| {
        let _ = std::fs::remove_file(&path);
        InitError::Write { path, source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_stays_as_it_is_and_alone() {
        for (there, other) in [(CONNECTOR, SCRIPT), (SCRIPT, CONNECTOR)] {
            let dir = tempfile::tempdir().unwrap();
            // It appears after the first check.
            let target = Target::of(Some(dir.path())).unwrap();
            std::fs::write(dir.path().join(there), "edited").unwrap();
            let refused = target.write("{}", "SELECT 1");
            assert!(matches!(&refused, Err(InitError::Exists(path)) if path.ends_with(there)));
            assert!(matches!(Target::of(Some(dir.path())), Err(InitError::Exists(_))));
            assert_eq!(std::fs::read_to_string(dir.path().join(there)).unwrap(), "edited");
            assert!(!dir.path().join(other).exists(), "{other} beside {there}");
        }
    }
}

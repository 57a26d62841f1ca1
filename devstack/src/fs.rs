//! Directories that servers run in.
//!
//! In: wanted paths. Out: directories that exist and that the server's user can enter.
//! Invariant: no permission of a directory that was there before is changed.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::wait::try_wait_for;

/// Unix socket paths end at 107 bytes; what PostgreSQL appends to its directory needs about 20 of them.
const LONGEST_SOCKET_DIR: usize = 85;

/// The directory that holds the stand-ins for other directories.
const SUBSTITUTES: &str = "/var/tmp/vaultstream";

/// How long the removal of a directory is tried.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(10);

/// Makes `dir` and its parents, readable by all, and returns its absolute path.
pub(crate) fn make_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .with_context(|| format!("cannot make the directory {}", dir.display()))?;
    std::fs::canonicalize(dir)
        .with_context(|| format!("cannot resolve the directory {}", dir.display()))
}

/// Whether any user may pass through `dir` and every directory above it.
pub(crate) fn everybody_can_enter(dir: &Path) -> bool {
    dir.ancestors()
        .all(|dir| std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

/// A directory of our own below the system's temporary directory, which everybody can enter.
pub(crate) fn temp_dir(prefix: &str) -> anyhow::Result<PathBuf> {
    let dir = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .context("cannot make a temporary directory")?;
    Ok(dir.keep())
}

/// Whether `dir` can hold a Unix socket that clients can name.
pub(crate) fn fits_socket(dir: &Path) -> bool {
    dir.as_os_str().len() <= LONGEST_SOCKET_DIR
}

/// Writes `text` to `path`, naming the path on failure.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes `text` to a new file that only we can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::remove_file(path);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// A directory that stands in for `dir`, for a user who cannot reach `dir`: below `/var/tmp`, always the same for the
/// same `dir`, ours alone to change, and named by the link `outside` in `dir`.
pub(crate) fn substitute(dir: &Path) -> anyhow::Result<PathBuf> {
    own_dir(Path::new(SUBSTITUTES))?;
    let place = make_dir(&substitute_path(dir))?;
    let link = dir.join("outside");
    if !link.exists() {
        std::os::unix::fs::symlink(&place, &link)
            .with_context(|| format!("cannot make the link {}", link.display()))?;
    }
    Ok(place)
}

fn substitute_path(dir: &Path) -> PathBuf {
    use sha2::{Digest, Sha256};
    use std::os::unix::ffi::OsStrExt;
    let digest = hex::encode(Sha256::digest(dir.as_os_str().as_bytes()));
    Path::new(SUBSTITUTES).join(&digest[..16])
}

/// What stands in for `dir` since an earlier run, if it was we who made it.
pub(crate) fn own_substitute(dir: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::symlink_metadata(SUBSTITUTES).ok()?;
    let ours = root.is_dir() && root.uid() == rustix::process::geteuid().as_raw();
    Some(substitute_path(dir)).filter(|place| ours && place.is_dir())
}

/// Removes a directory with all that is in it. Tries for a moment, because a process that was killed may still be
/// closing its files.
pub(crate) fn remove(dir: &Path) -> anyhow::Result<()> {
    try_wait_for(REMOVAL_DEADLINE, &format!("{} to be removed", dir.display()), || {
        match std::fs::remove_dir_all(dir) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => Err(err),
            _ => Ok(true),
        }
    })
}

/// A copy of the directory `root` below `/var/tmp` that everybody can enter, made once.
pub(crate) fn public_copy(root: &Path) -> anyhow::Result<PathBuf> {
    let name = root.file_name().context("a directory without a name")?;
    let place = own_dir(Path::new(SUBSTITUTES))?;
    let copy = place.join(name);
    let lock = std::fs::File::create(place.join("copy.lock"))
        .context("cannot make a lock file in /var/tmp/vaultstream")?;
    lock.lock().context("cannot lock /var/tmp/vaultstream")?;
    if copy.is_dir() {
        return Ok(copy);
    }
    let partial = tempfile::Builder::new()
        .prefix("copy-")
        .tempdir_in(&place)
        .context("cannot make a directory for a copy")?;
    let target = partial.path().join(name);
    let output = std::process::Command::new("cp")
        .arg("-a")
        .arg(root)
        .arg(&target)
        .output()
        .context("cannot run cp")?;
    anyhow::ensure!(
        output.status.success(),
        "cannot copy {}: {}",
        root.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::rename(&target, &copy)
        .with_context(|| format!("cannot complete {}", copy.display()))?;
    Ok(copy)
}

/// A directory in a place where others may write, refused unless it is ours.
fn own_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let dir = make_dir(dir)?;
    let meta =
        std::fs::metadata(&dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    let ours =
        meta.uid() == rustix::process::geteuid().as_raw() && meta.permissions().mode() & 0o022 == 0;
    anyhow::ensure!(
        ours,
        "{} belongs to somebody else or is writable by others; remove it",
        dir.display()
    );
    Ok(dir)
}

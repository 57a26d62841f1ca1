//! The WAL archive and the base backups of a server, by pgBackRest.
//!
//! In: a directory. Out: servers that hand every full segment to the archive, and each hour the segment that is not
//! full; base backups; the way back to a point in time (`restore.rs`).
//!
//! A hot backup has the same archive as its primary. It archives nothing as long as it is a standby, and goes on where
//! the primary ended once it is promoted, so the archive has one history. Each server has a file of settings of its
//! own, which names the server's data directory, port and socket, and is written at each start. The superuser's
//! password stands in a file that the server's user alone can read. It is in no argument list, no setting and no log.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::Postgres;
use super::environment::clean_environment;
use crate::account::Account;
use crate::fs;

/// What pgBackRest calls the servers of one archive.
const STANZA: &str = "main";

/// Where Debian's package has it.
const PROGRAM: &str = "/usr/bin/pgbackrest";

/// The newest PostgreSQL that the pinned pgBackRest (Debian 12's, 2.45) knows.
const NEWEST_VERSION: u16 = 15;

/// The longest time for which a commit is in no archived segment.
const ARCHIVE_TIMEOUT: &str = "1h";

/// How many full backups are kept, with the WAL since the oldest of them.
const FULL_BACKUPS: u32 = 2;

/// How much a backup copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupKind {
    /// Everything.
    Full,
    /// What changed since the last full backup.
    Differential,
    /// What changed since the last backup of any kind.
    Incremental,
}

impl BackupKind {
    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Differential => "diff",
            Self::Incremental => "incr",
        }
    }
}

/// A repository of WAL and base backups.
#[derive(Debug, Clone)]
pub struct Archive {
    home: PathBuf,
    account: Option<Account>,
}

impl Archive {
    /// The archive in `dir`, which is made if there is none.
    ///
    /// # Errors
    /// When pgBackRest is not installed, or the directory cannot be made.
    pub fn at(dir: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} does not exist; install pgBackRest: `make setup`, or `apt-get install pgbackrest`"
        );
        let account = Account::for_postgres()?;
        let wanted = fs::make_dir(dir)?;
        let home = match account {
            Some(_) if !fs::everybody_can_enter(&wanted) => fs::substitute(&wanted)?,
            _ => wanted,
        };
        let archive = Self { home, account };
        for part in ["", "repository", "log", "lock"] {
            let dir = fs::make_dir(&archive.home.join(part))?;
            archive.give(&dir)?;
        }
        Ok(archive)
    }

    /// Makes a base backup of a running server of this archive, and removes what is older than the backups that are
    /// kept.
    ///
    /// # Errors
    /// When the server does not run, or is a standby.
    pub fn backup(&self, server: &str, kind: BackupKind) -> anyhow::Result<()> {
        self.run(server, &["backup", &format!("--type={}", kind.word())]).map(drop)
    }

    /// Lets the server end its segment, and waits until the segment is in the archive.
    ///
    /// # Errors
    /// When the segment does not come within a minute, or settings and server contradict each other.
    pub fn check(&self, server: &str) -> anyhow::Result<()> {
        self.run(server, &["check"]).map(drop)
    }

    /// What pgBackRest says of the backups, as text or as JSON.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn info(&self, server: &str, json: bool) -> anyhow::Result<String> {
        self.run(server, &["info", if json { "--output=json" } else { "--output=text" }])
    }

    /// Settings of a server that archives.
    pub(super) fn settings(&self, server: &str) -> [(&'static str, String); 3] {
        let command = format!(
            "{PROGRAM} --config=\"{}\" --stanza={STANZA} archive-push \"%p\"",
            self.file(server).display().to_string().replace('%', "%%")
        );
        [
            ("archive_mode", "on".to_owned()),
            ("archive_command", command),
            ("archive_timeout", ARCHIVE_TIMEOUT.to_owned()),
        ]
    }

    /// Writes what pgBackRest has to know of a server that is about to start.
    pub(super) fn configure(&self, server: &Postgres) -> anyhow::Result<()> {
        let (name, version) = (&server.options.name, server.options.version);
        anyhow::ensure!(
            version <= NEWEST_VERSION,
            "{name} is PostgreSQL {version}, and pgBackRest 2.45 archives PostgreSQL up to {NEWEST_VERSION}"
        );
        let home = self.home.display();
        let address = server.address();
        let text = format!(
            "# Written anew at each start of the server.\n\
             [global]\n\
             repo1-path={home}/repository\n\
             repo1-retention-full={FULL_BACKUPS}\n\
             compress-type=lz4\n\
             log-path={home}/log\n\
             lock-path={home}/lock\n\
             log-level-console=warn\n\
             log-level-file=detail\n\
             start-fast=y\n\
             stop-auto=y\n\
             archive-timeout=60\n\
             \n\
             [{STANZA}]\n\
             pg1-path={}\n\
             pg1-socket-path={}\n\
             pg1-port={}\n\
             pg1-user={}\n\
             pg1-database=postgres\n",
            server.data_dir().display(),
            address.socket_dir.display(),
            address.port,
            address.user,
        );
        let file = self.file(name);
        fs::write(&file, &text)?;
        self.give(&file)?;
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
        let line = format!("*:*:*:{}:{}\n", escaped(&address.user), escaped(&address.password));
        let passwords = self.password_file(name);
        fs::write_secret(&passwords, &line)?;
        self.give(&passwords)
    }

    /// Lets the archive know a running primary. It does nothing where the archive knows it.
    pub(super) fn know(&self, server: &str) -> anyhow::Result<()> {
        self.run(server, &["stanza-create"]).map(drop)
    }

    /// Runs pgBackRest as the server's user, and gives what it printed.
    pub(super) fn run(&self, server: &str, words: &[&str]) -> anyhow::Result<String> {
        let mut all: Vec<OsString> = vec![
            PROGRAM.into(),
            format!("--config={}", self.file(server).display()).into(),
            format!("--stanza={STANZA}").into(),
        ];
        all.extend(words.iter().map(Into::into));
        let all = match self.account {
            Some(account) => account.wrap(all),
            None => all,
        };
        let mut command = Command::new(&all[0]);
        for name in clean_environment() {
            command.env_remove(name);
        }
        let output = command
            .args(&all[1..])
            .env("PGPASSFILE", self.password_file(server))
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .output()
            .context("cannot run pgbackrest")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (printed, said) = (text(&output.stdout), text(&output.stderr));
        let what = words.first().copied().unwrap_or_default();
        anyhow::ensure!(output.status.success(), "pgbackrest {what} of {server}: {printed}{said}");
        Ok(printed)
    }

    /// The file of settings of a server.
    fn file(&self, server: &str) -> PathBuf {
        self.home.join(format!("{}.conf", file_stem(server)))
    }

    fn password_file(&self, server: &str) -> PathBuf {
        self.home.join(format!("{}.pgpass", file_stem(server)))
    }

    fn give(&self, path: &Path) -> anyhow::Result<()> {
        self.account.map_or(Ok(()), |account| account.own(path))
    }
}

/// A server's name as a part of a file's name.
fn file_stem(server: &str) -> String {
    server.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

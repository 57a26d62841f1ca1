//! A streaming replica: a copy of a running server that follows its WAL and answers queries.
//!
//! In: a running primary and options of the same version. Out: a hot standby, copied with `pg_basebackup` where that
//! knows the version. Invariant: the primary keeps no slot for a replica of [`Postgres::start_replica_of`], so one that
//! is gone costs the primary nothing. A named replica, which has a slot, is in `read_replica.rs`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{Postgres, PostgresAddress, PostgresOptions};
use crate::binaries::client_binary;
use crate::fs;
use crate::psql::Psql;

/// What a copy of a primary is told about the primary.
pub(super) struct Follow<'a> {
    /// The primary's `primary_conninfo`.
    pub(super) conninfo: &'a str,
    /// The slot that keeps WAL for the replica.
    pub(super) slot: Option<&'a str>,
}

impl Postgres {
    /// Copies `primary` and starts a hot standby on the copy.
    ///
    /// Superuser and password are the primary's, and so are its settings where `options` sets none.
    pub fn start_replica_of(primary: &Self, options: PostgresOptions) -> anyhow::Result<Self> {
        let source = primary.address();
        // A standby refuses to start with fewer connections or slots than its primary has.
        let mut settings = primary.options.settings.clone();
        settings.push(("hot_standby_feedback".to_owned(), "on".to_owned()));
        settings.extend(options.settings.iter().cloned());
        let options = PostgresOptions {
            user: source.user.clone(),
            password: source.password.clone(),
            settings,
            ..options
        };
        let mut replica = Self::prepare(options)?;
        anyhow::ensure!(
            !replica.data.exists(),
            "{} exists already; a replica starts from a copy of its primary",
            replica.data.display()
        );
        let follow = Follow { conninfo: &source.superuser("postgres"), slot: None };
        replica.copy_primary(source, &follow)?;
        replica.configure()?;
        replica.first_start()?;
        Ok(replica)
    }

    /// Copies the running primary to where our data belongs. A copy that was cut off lies beside that place, and the
    /// next one begins by removing it.
    pub(super) fn copy_primary(
        &self,
        source: &PostgresAddress,
        follow: &Follow<'_>,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.options.version == source.version,
            "a replica of PostgreSQL {} cannot be PostgreSQL {}",
            source.version,
            self.options.version
        );
        let copy = self.data.with_extension("partial");
        fs::remove(&copy)?;
        if source.version <= client_version()? {
            self.base_backup(&copy, follow)?;
        } else {
            self.copy_of_running(source, &copy, follow)?;
        }
        std::fs::rename(&copy, &self.data)
            .with_context(|| format!("cannot move the copy to {}", self.data.display()))
    }

    fn base_backup(&self, copy: &Path, follow: &Follow<'_>) -> anyhow::Result<()> {
        let mut words: Vec<OsString> = vec![
            client_binary("pg_basebackup")?.into_os_string(),
            "--pgdata".into(),
            copy.into(),
            "--dbname".into(),
            follow.conninfo.into(),
            "--write-recovery-conf".into(),
            "--checkpoint=fast".into(),
            "--wal-method=stream".into(),
            "--no-sync".into(),
        ];
        words.extend(follow.slot.map(|slot| format!("--slot={slot}").into()));
        self.run_as_server(words).context("pg_basebackup failed")
    }

    /// Copies a server that is newer than the programs for clients: `pg_basebackup` refuses it. The server's own
    /// functions frame the copy, as the manual's section "Making a Base Backup Using the Low Level API" says.
    fn copy_of_running(
        &self,
        source: &PostgresAddress,
        copy: &Path,
        follow: &Follow<'_>,
    ) -> anyhow::Result<()> {
        let superuser = source.superuser("postgres");
        let from = Psql::new(&superuser)?.run("SHOW data_directory")?;
        let to = copy.display();
        let label = copy.join("backup_label");
        // Files that the server removes meanwhile make cp complain; recovery does not need them.
        let script = format!(
            "SELECT pg_backup_start('replica', true) \\g /dev/null
             \\! cp -a '{from}' '{to}' 2>/dev/null
             SELECT labelfile FROM pg_backup_stop(false) \\g '{}'",
            label.display()
        );
        Psql::new(&superuser)?.run(&script).context("the copy failed")?;
        std::fs::remove_file(copy.join("postmaster.pid"))?;
        for slot in std::fs::read_dir(copy.join("pg_replslot"))? {
            std::fs::remove_dir_all(slot?.path())?;
        }
        let own = copy.join("postgresql.auto.conf");
        let mut text = std::fs::read_to_string(&own)?;
        text.push_str(&format!("primary_conninfo = '{}'\n", follow.conninfo.replace('\'', "''")));
        if let Some(slot) = follow.slot {
            text.push_str(&format!("primary_slot_name = '{slot}'\n"));
        }
        fs::write(&own, &text)?;
        let signal: PathBuf = copy.join("standby.signal");
        fs::write(&signal, "")?;
        for file in [own, label, signal] {
            if let Some(account) = self.account {
                account.own(&file)?;
            }
        }
        Ok(())
    }
}

/// The major version of the programs for clients.
fn client_version() -> anyhow::Result<u16> {
    let output = Command::new(client_binary("pg_basebackup")?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_ascii_whitespace().nth(2).and_then(|word| word.split('.').next());
    version.and_then(|major| major.parse().ok()).context("pg_basebackup does not say its version")
}

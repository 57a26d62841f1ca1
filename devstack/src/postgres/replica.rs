//! A streaming replica: a copy of a running server that follows its WAL and answers queries.
//!
//! In: a running primary and options of the same version. Out: a hot standby, copied with `pg_basebackup` where that
//! knows the version. Invariant: the primary keeps no slot for it, so a replica that is gone costs the primary nothing.

use std::process::Command;

use anyhow::Context;

use super::{Postgres, PostgresOptions};
use crate::binaries::client_binary;
use crate::fs;
use crate::psql::Psql;

impl Postgres {
    /// Copies `primary` and starts a hot standby on the copy.
    ///
    /// Superuser and password are the primary's, and so are its settings where `options` sets none.
    pub fn start_replica_of(primary: &Self, options: PostgresOptions) -> anyhow::Result<Self> {
        let source = primary.address();
        anyhow::ensure!(
            options.version == source.version,
            "a replica of PostgreSQL {} cannot be PostgreSQL {}",
            source.version,
            options.version
        );
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
        if source.version <= client_version()? {
            replica.base_backup_of(primary)?;
        } else {
            replica.copy_of_running(primary)?;
        }
        replica.configure()?;
        replica.first_start()?;
        Ok(replica)
    }

    fn base_backup_of(&self, primary: &Self) -> anyhow::Result<()> {
        self.run_as_server(vec![
            client_binary("pg_basebackup")?.into_os_string(),
            "--pgdata".into(),
            self.data.clone().into_os_string(),
            "--dbname".into(),
            primary.address().superuser("postgres").into(),
            "--write-recovery-conf".into(),
            "--checkpoint=fast".into(),
            "--wal-method=stream".into(),
            "--no-sync".into(),
        ])
        .context("pg_basebackup failed")
    }

    /// Copies a server that is newer than the programs for clients: `pg_basebackup` refuses it. The server's own
    /// functions frame the copy, as the manual's section "Making a Base Backup Using the Low Level API" says.
    fn copy_of_running(&self, primary: &Self) -> anyhow::Result<()> {
        let source = primary.address();
        let (from, to) = (primary.data.display(), self.data.display());
        let label = self.data.join("backup_label");
        // Files that the server removes meanwhile make cp complain; recovery does not need them.
        let script = format!(
            "SELECT pg_backup_start('replica', true) \\g /dev/null
             \\! cp -a '{from}' '{to}' 2>/dev/null
             SELECT labelfile FROM pg_backup_stop(false) \\g '{}'",
            label.display()
        );
        Psql::new(&source.superuser("postgres"))?.run(&script).context("the copy failed")?;
        std::fs::remove_file(self.data.join("postmaster.pid"))?;
        for slot in std::fs::read_dir(self.data.join("pg_replslot"))? {
            std::fs::remove_dir_all(slot?.path())?;
        }
        let own = self.data.join("postgresql.auto.conf");
        let conninfo = source.superuser("postgres").replace('\'', "''");
        let mut text = std::fs::read_to_string(&own)?;
        text.push_str(&format!("primary_conninfo = '{conninfo}'\n"));
        fs::write(&own, &text)?;
        fs::write(&self.data.join("standby.signal"), "")?;
        for file in [own, label, self.data.join("standby.signal")] {
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

//! A streaming replica: a copy of a running server that follows its WAL and answers queries.
//!
//! In: a running primary and options of the same version. Out: a hot standby.
//! Invariant: the primary keeps no slot for it, so a replica that is gone costs the primary nothing.

use anyhow::Context;

use super::{Postgres, PostgresOptions};
use crate::binaries::client_binary;

impl Postgres {
    /// Copies `primary` with `pg_basebackup` and starts a hot standby on the copy.
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
        replica
            .run_as_server(vec![
                client_binary("pg_basebackup")?.into_os_string(),
                "--pgdata".into(),
                replica.data.clone().into_os_string(),
                "--dbname".into(),
                source.superuser("postgres").into(),
                "--write-recovery-conf".into(),
                "--checkpoint=fast".into(),
                "--wal-method=stream".into(),
                "--no-sync".into(),
            ])
            .context("pg_basebackup failed")?;
        replica.configure()?;
        replica.first_start()?;
        Ok(replica)
    }
}

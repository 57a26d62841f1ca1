//! A named replica: it has a physical slot of its own on the primary, and its data outlives it.
//!
//! In: a primary that answers, a role that may replicate, options with a directory. Out: a hot standby under its name
//! in `pg_stat_replication`. The slot keeps the WAL that the replica has not received, up to the primary's
//! `max_slot_wal_keep_size`. So a replica that was away goes on where it was, and a replica that was away for too long
//! is copied anew: its slot is `lost`, and no WAL leads from its data to the primary any more. What decides is the
//! slot's state when the replica starts. A primary that does not answer then is no reason to throw a copy away: the
//! replica starts on what it has. A replica that was promoted has rows that nobody else has. Its data is never removed,
//! and it does not start as a replica any more.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;

use super::replica::Follow;
use super::{Postgres, PostgresAddress, PostgresOptions, Upstream};
use crate::fs;
use crate::psql::Psql;

/// Why a server does not start as a replica: its data may be all that is left of some rows.
#[derive(Debug)]
pub(crate) struct OwnRows {
    name: String,
    data: PathBuf,
}

impl fmt::Display for OwnRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, data) = (&self.name, self.data.display());
        write!(
            f,
            "{name} was promoted, or was a primary: {data} has no standby.signal, and may hold rows that no other server has, so it is \
             not copied anew. Keep the rows by starting it as a server of its own, or by moving {data} away; or remove {data} if nobody \
             needs them. Without {data}, the next start of {name} copies the primary"
        )
    }
}

impl std::error::Error for OwnRows {}

/// What the primary says of a replica's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// All WAL since the replica's last word is there.
    Kept,
    /// WAL that the replica needs has been removed.
    Lost,
    /// There is no such slot.
    Absent,
}

impl Postgres {
    /// Starts the replica that `upstream` names: on the data that it has, or on a new copy of `primary`.
    pub fn start_read_replica(
        primary: &PostgresAddress,
        upstream: &Upstream,
        options: PostgresOptions,
    ) -> anyhow::Result<Self> {
        let mut options = options
            .setting("hot_standby", "on")
            // With it a replica that is away would keep the primary's vacuum from removing rows.
            .setting("hot_standby_feedback", "off")
            .setting("wal_retrieve_retry_interval", "500ms");
        (options.user, options.password) = (primary.user.clone(), primary.password.clone());
        let mut replica = Self::prepare(options)?;
        let passfile = upstream.write_passfile(&replica)?;
        if replica.needs_a_copy(primary, &upstream.name)? {
            fs::remove(&replica.data)?;
            upstream.ensure_role(primary)?;
            renew_slot(primary, &upstream.name)?;
            let conninfo = upstream.conninfo(primary, &passfile);
            let follow = Follow { conninfo: &conninfo, slot: Some(&upstream.name) };
            replica.copy_primary(primary, &follow)?;
        }
        replica.configure()?;
        replica.first_start()?;
        Ok(replica)
    }

    /// Whether the replica has no data, or none that the primary's WAL still leads on from. It is an error when the
    /// replica was promoted.
    fn needs_a_copy(&self, primary: &PostgresAddress, name: &str) -> anyhow::Result<bool> {
        if !self.data.join("PG_VERSION").exists() {
            return Ok(true);
        }
        // A copy has this file from its first moment on, and a promotion removes it.
        if !self.data.join("standby.signal").exists() {
            return Err(OwnRows { name: name.to_owned(), data: self.data.clone() }.into());
        }
        match slot(primary, name) {
            Ok(Slot::Kept) => Ok(false),
            Ok(found) => {
                tracing::warn!(
                    replica = name,
                    slot = ?found,
                    "the primary no longer keeps the WAL that this replica needs; the primary is copied anew"
                );
                Ok(true)
            }
            Err(err) => {
                tracing::warn!(
                    replica = name,
                    error = format!("{err:#}"),
                    "the primary does not answer; the replica starts on the data that it has"
                );
                Ok(false)
            }
        }
    }
}

fn slot(primary: &PostgresAddress, name: &str) -> anyhow::Result<Slot> {
    let query = format!(
        "SELECT coalesce(wal_status, 'lost') FROM pg_replication_slots WHERE slot_name = '{name}'"
    );
    let status = Psql::new(&primary.superuser("postgres"))?.run(&query)?;
    Ok(match status.as_str() {
        "" => Slot::Absent,
        "lost" => Slot::Lost,
        _ => Slot::Kept,
    })
}

/// Makes the slot anew, so that it keeps WAL from now on: from before the copy begins.
fn renew_slot(primary: &PostgresAddress, name: &str) -> anyhow::Result<()> {
    primary
        .execute(
            "postgres",
            &format!(
                "SELECT pg_drop_replication_slot(slot_name)
                 FROM pg_replication_slots
                 WHERE slot_name = '{name}';
                 SELECT pg_create_physical_replication_slot('{name}', true)"
            ),
        )
        .with_context(|| format!("cannot make the slot {name} on the primary"))
}

//! Makes the replication slot with the snapshot that it exports, and finds out why the server does not stream from a
//! slot.

use std::sync::atomic::{AtomicU32, Ordering};

use super::server::Server;
use crate::catalog::{self, Slot};
use crate::connector::Settings;
use crate::context::Context;
use crate::error::SessionError;
use crate::gap::Gap;
use crate::replication::{Client, Mode, ReplicationError, quote_identifier};
use crate::snapshot::ExportedSnapshot;

/// A slot's name has 63 bytes at most, so the name of a temporary slot has this many bytes of the connector's own
/// slot's name.
const PREFIX_CHARS: usize = 30;

/// And it has this many bytes of the id of this run.
const RUN_CHARS: usize = 12;

/// Since this version a standby can copy slots from its primary.
const FAILOVER_SLOTS_SINCE: u32 = 170_000;

/// How long a new slot exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// Until it is dropped: the connector's own slot.
    Permanent,
    /// Until its connection ends; made only for the snapshot that it exports.
    Temporary,
}

/// A slot that was made, and the snapshot that it exports.
pub(super) struct NewSlot {
    name: String,
    pub(super) exported: ExportedSnapshot,
}

/// Makes a slot. Other sessions can use its snapshot as long as the connection runs no other statement.
///
/// # Errors
/// When the connection fails, or the server refuses.
pub(super) fn create(
    client: &mut Client,
    context: &Context,
    kind: SlotKind,
    server_version: u32,
) -> Result<NewSlot, SessionError> {
    let settings = &context.connector.settings;
    let (name, temporary) = match kind {
        SlotKind::Permanent => (settings.slot_name.clone(), ""),
        SlotKind::Temporary => (temporary_name(context), " TEMPORARY"),
    };
    tracing::info!(
        slot = name,
        temporary = kind == SlotKind::Temporary,
        "creating the replication slot; this waits for transactions that are open on the source"
    );
    let is_failover = kind == SlotKind::Permanent && settings.slot_failover;
    let options = if is_failover && server_version >= FAILOVER_SLOTS_SINCE {
        "(SNAPSHOT 'export', FAILOVER true)"
    } else {
        "EXPORT_SNAPSHOT"
    };
    if is_failover && server_version < FAILOVER_SLOTS_SINCE {
        tracing::warn!(
            slot = name,
            "slot.failover needs PostgreSQL 17 or later: the slot is made without it, and no standby copies it"
        );
    }
    let rows = client.query(&format!(
        "CREATE_REPLICATION_SLOT {}{temporary} LOGICAL pgoutput {options}",
        quote_identifier(&name)
    ))?;
    let cell = |index: usize| rows.first().and_then(|row| row.get(index).cloned().flatten());
    let exported = cell(1)
        .and_then(|lsn| lsn.parse().ok())
        .zip(cell(2))
        .map(|(consistent_point, name)| ExportedSnapshot { consistent_point, name });
    let exported =
        exported.ok_or(ReplicationError::Protocol("a new slot without its consistent point"))?;
    Ok(NewSlot { name, exported })
}

/// Says that no standby copies the slot although the settings ask for that: a slot keeps what it was made with.
pub(super) fn warn_of_no_copies(settings: &Settings, server: &Server) {
    if let Some(slot) = &server.slot
        && stays_behind(settings, slot, server.version)
    {
        let slot = &settings.slot_name;
        tracing::warn!(
            slot,
            "slot.failover is true, and the slot was made without it: no standby copies it, and a failover loses it. \
             Run ALTER_REPLICATION_SLOT {} (FAILOVER true) on a replication connection while the reader is stopped",
            quote_identifier(slot)
        );
    }
}

fn stays_behind(settings: &Settings, slot: &Slot, server_version: u32) -> bool {
    settings.slot_failover && server_version >= FAILOVER_SLOTS_SINCE && !slot.is_failover
}

/// Drops a temporary slot, which would keep WAL as long as its connection lasts.
///
/// # Errors
/// When the connection fails, or the server refuses.
pub(super) fn drop_temporary(client: &mut Client, slot: &NewSlot) -> Result<(), SessionError> {
    client.query(&format!("DROP_REPLICATION_SLOT {}", quote_identifier(&slot.name)))?;
    Ok(())
}

/// Each attempt uses another name, because a server may still hold the slot of the attempt before.
fn temporary_name(context: &Context) -> String {
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
    let prefix: String = context.connector.settings.slot_name.chars().take(PREFIX_CHARS).collect();
    let run: String = context.run_id.chars().rev().take(RUN_CHARS).collect();
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_snapshot_{run}_{attempt}")
}

/// Finds out why the server does not stream. It may have invalidated the slot since the session looked at it, for
/// instance during a long snapshot.
pub(super) fn why_refused(
    context: &Context,
    server_version: u32,
    error: ReplicationError,
) -> SessionError {
    let name = &context.connector.settings.slot_name;
    let slot = context
        .connect(Mode::Sql)
        .and_then(|mut sql| catalog::slot(&mut sql, name, server_version));
    match slot.ok().flatten().and_then(|slot| slot.lost()) {
        Some(reason) => SessionError::gap(name, Gap::Invalidated { reason }),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn a_slot_that_no_standby_copies_is_named_only_where_copies_are_wanted_and_possible() {
        let wanted = Settings { slot_failover: true, ..example::settings() };
        let plain = example::slot(Some(70));
        assert!(stays_behind(&wanted, &plain, 180_000));
        assert!(!stays_behind(&wanted, &plain, 160_000));
        assert!(!stays_behind(&example::settings(), &plain, 180_000));
        let copied = Slot { is_failover: true, ..plain };
        assert!(!stays_behind(&wanted, &copied, 180_000));
    }
}

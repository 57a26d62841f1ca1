//! Makes the replication slot with the snapshot that it exports, and finds out why the server does not stream from a
//! slot.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::catalog;
use crate::context::Context;
use crate::error::{LostSlot, SessionError};
use crate::replication::{Client, Mode, ReplicationError, quote_identifier};
use crate::snapshot::ExportedSnapshot;

/// A slot's name has 63 bytes at most, so the name of a temporary slot has this many bytes of the connector's own
/// slot's name.
const PREFIX_CHARS: usize = 30;

/// And it has this many bytes of the id of this run.
const RUN_CHARS: usize = 12;

/// How long a new slot exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// Until it is dropped: the connector's own slot.
    Permanent,
    /// Until its connection ends; made only for the snapshot that it exports.
    Temporary,
}

/// Makes a slot. Other sessions can use its snapshot as long as the connection runs no other statement.
///
/// # Errors
/// When the server cannot be reached, or refuses.
pub(super) fn create(
    context: &Context,
    kind: SlotKind,
) -> Result<(Client, ExportedSnapshot), SessionError> {
    let mut client = context.connect(Mode::Replication)?;
    let (name, temporary) = match kind {
        SlotKind::Permanent => (context.connector.settings.slot_name.clone(), ""),
        SlotKind::Temporary => (temporary_name(context), " TEMPORARY"),
    };
    tracing::info!(
        slot = name,
        temporary = kind == SlotKind::Temporary,
        "creating the replication slot; this waits for transactions that are open on the source"
    );
    let rows = client.query(&format!(
        "CREATE_REPLICATION_SLOT {}{temporary} LOGICAL pgoutput EXPORT_SNAPSHOT",
        quote_identifier(&name)
    ))?;
    let cell = |index: usize| rows.first().and_then(|row| row.get(index).cloned().flatten());
    let exported = cell(1)
        .and_then(|lsn| lsn.parse().ok())
        .zip(cell(2))
        .map(|(consistent_point, name)| ExportedSnapshot { consistent_point, name });
    let exported =
        exported.ok_or(ReplicationError::Protocol("a new slot without its consistent point"))?;
    Ok((client, exported))
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
        Some(reason) => {
            SessionError::SlotLost { slot: name.clone(), reason: LostSlot::Invalidated { reason } }
        }
        None => error.into(),
    }
}

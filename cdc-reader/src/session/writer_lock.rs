//! The writer lock: an advisory lock on the source keeps a second instance of a connector from publishing beside the
//! first.
//!
//! In: the session's replication connection. Out: the lock, which the server releases when that connection ends. While
//! a stream runs, the server lets nobody else read from the slot; the lock also covers the time of a snapshot, when the
//! slot is idle. The lock is named after the slot, so it belongs to whoever reads from that slot.
//!
//! The server notices a client whose machine is gone by TCP's keepalive, which is set here to half a minute.
//! A client that is cut off from the source alone can still have records on their way to Kafka: only transactions in
//! Kafka could exclude that.

use std::time::Duration;

use crate::context::Context;
use crate::ended::Ended;
use crate::replication::{Client, ReplicationError, Row, quote_literal};

/// The first half of the lock's key: the letters `cdcr`. The second half is a hash of the slot's name.
const LOCK_CLASS: i32 = 0x6364_6372;

/// How often a held lock is tried again.
const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long an instance that has waited leaves the other one to notice that its connection has ended. While rows of a
/// snapshot are read, an instance asks every second.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(3);

/// Seconds of silence, seconds between probes, and probes, after which the server gives a client up.
const KEEPALIVE: [(&str, u32); 3] =
    [("tcp_keepalives_idle", 15), ("tcp_keepalives_interval", 5), ("tcp_keepalives_count", 3)];

/// Takes the lock if nobody holds it, on a connection that the server gives up soon after its client is gone.
///
/// # Errors
/// When the connection fails.
pub(super) fn take_at_once(
    client: &mut Client,
    context: &Context,
) -> Result<bool, ReplicationError> {
    for (name, value) in KEEPALIVE {
        client.query(&format!("SET {name} = {value}"))?;
    }
    try_take(client, &context.connector.settings.slot_name)
}

/// Takes the lock that another session holds, however long that session holds it, unless somebody asks for a stop.
///
/// # Errors
/// When the connection fails.
pub(super) fn wait(client: &mut Client, context: &Context) -> Result<Ended, ReplicationError> {
    let slot = &context.connector.settings.slot_name;
    let mut tries = 0u32;
    loop {
        tries += 1;
        if tries.is_power_of_two() {
            say_for_whom(client, context, tries)?;
        }
        if context.pause(TRY_INTERVAL) == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        if try_take(client, slot)? {
            tracing::info!(slot, tries, "the other session has ended: going on");
            return Ok(context.pause(TAKE_OVER_WAIT));
        }
    }
}

/// Takes the lock if nobody holds it.
///
/// # Errors
/// When the connection fails.
pub(crate) fn try_take(client: &mut Client, slot: &str) -> Result<bool, ReplicationError> {
    let rows = client
        .query(&format!("SELECT pg_catalog.pg_try_advisory_lock({LOCK_CLASS}, {})", hash(slot)))?;
    Ok(cell(&rows, 0) == Some("t"))
}

/// Who holds the lock, in words.
///
/// # Errors
/// When the connection fails.
pub(crate) fn holder(client: &mut Client, slot: &str) -> Result<Option<String>, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT l.pid, a.application_name, coalesce(host(a.client_addr), 'a local socket'), a.backend_start::timestamptz(0)
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
           AND l.classid = {LOCK_CLASS}::bigint::oid AND l.objid = ({}::bigint & 4294967295)::oid",
        quote_literal(&hash(slot).to_string())
    ))?;
    Ok(cell(&rows, 0).map(|pid| {
        let word = |index| cell(&rows, index).unwrap_or("unknown");
        format!("process {pid} ({}) from {} since {}", word(1), word(2), word(3))
    }))
}

fn say_for_whom(
    client: &mut Client,
    context: &Context,
    tries: u32,
) -> Result<(), ReplicationError> {
    let slot = &context.connector.settings.slot_name;
    // It may have ended since.
    if let Some(holder) = holder(client, slot)? {
        context.observer.waiting(&format!("another session captures with slot {slot}: {holder}"));
        tracing::warn!(
            slot,
            holder,
            tries,
            "another session captures with this slot: waiting until that session ends"
        );
    }
    Ok(())
}

fn cell(rows: &[Row], index: usize) -> Option<&str> {
    rows.first().and_then(|row| row.get(index)).and_then(Option::as_deref)
}

/// FNV-1a with 32 bits: it has to be the same in every build.
fn hash(name: &str) -> i32 {
    let hash = name
        .bytes()
        .fold(0x811C_9DC5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // The published values of FNV-1a for these texts.
        assert_eq!(hash("").cast_unsigned(), 0x811C_9DC5);
        assert_eq!(hash("a").cast_unsigned(), 0xE40C_292C);
        assert_eq!(hash("foobar").cast_unsigned(), 0xBF9C_F968);
    }
}

//! The advisory lock that keeps to one build of snapshots in a warehouse.
//!
//! A build finds the snapshots that are stale, and would not find one that another build is writing. So a second build
//! waits, whatever its source, and says for whom. `rehash` has the lock while it makes hash keys anew, and `migrate`
//! while it makes or drops tables of snapshots. The lock belongs to the connection: a builder that dies gives it
//! back.

use std::time::Duration;

use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::control::SNAPSHOTS_LOCK;

/// How long a second build waits before it asks again.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes the lock; `false` when a stop came first. `say` is told once for whom this build waits.
pub(super) async fn take(
    client: &Client,
    stop: &CancellationToken,
    mut say: impl FnMut(&str),
) -> Result<bool, Error> {
    let mut is_said = false;
    loop {
        let sql = "SELECT pg_try_advisory_lock($1)";
        if client.query_one(sql, &[&SNAPSHOTS_LOCK]).await?.get(0) {
            return Ok(true);
        }
        if !is_said && let Some(holder) = holder(client).await? {
            say(&format!(
                "waiting for another build of snapshots, for `vault-loader rehash` or for `vault-loader migrate`: {holder}"
            ));
            is_said = true;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Gives the lock back.
pub(super) async fn give_back(client: &Client) -> Result<(), Error> {
    client.query_one("SELECT pg_advisory_unlock($1)", &[&SNAPSHOTS_LOCK]).await.map(drop)
}

/// Who has the lock; none when it was given back meanwhile. The server hides address and time of a session of another
/// role.
async fn holder(client: &Client) -> Result<Option<String>, Error> {
    let sql =
        "SELECT concat(format('the session with process %s of the role %s', a.pid, a.usename),
                              ' at ' || host(a.client_addr),
                              ', connected since ' || date_trunc('second', a.backend_start))
               FROM pg_locks AS l
               JOIN pg_stat_activity AS a ON a.pid = l.pid
               WHERE l.locktype = 'advisory'
                 AND l.granted
                 AND l.objsubid = 1
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (l.classid::bigint << 32) | l.objid::bigint = $1
               LIMIT 1";
    Ok(client.query_opt(sql, &[&SNAPSHOTS_LOCK]).await?.and_then(|row| row.get(0)))
}

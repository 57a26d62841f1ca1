//! How a PostgreSQL server is stopped in order, whoever is connected.
//!
//! In: a server that runs. Out: the server ended in order, or an error that names who holds it up.
//!
//! PostgreSQL's fast shutdown waits until every standby and every reader of a logical slot has all of the WAL. A reader
//! that confirms nothing, because it waits for Kafka, holds it up for as long as it is connected. Its connection is
//! ended after a moment: its slot keeps its position. A server that still does not end is never killed here, because it
//! would not have sent its last commits.

use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::postgres::PostgresAddress;
use crate::process::Identity;
use crate::sql;
use crate::wait::try_wait_for;

/// How long readers of logical slots have to confirm what they were sent.
const READERS_PATIENCE: Duration = Duration::from_secs(5);

/// How long the server may take then. It lets go of a standby that does not answer after a minute
/// (`wal_sender_timeout`).
const DEADLINE: Duration = Duration::from_secs(90);

/// How long the server may take to name its readers.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Stops a server. Stopping a stopped server does nothing.
pub(super) fn stop_in_order(
    name: &str,
    server: &Identity,
    address: Option<&PostgresAddress>,
) -> anyhow::Result<()> {
    // A server that ends answers no question, so its readers are found before.
    let readers = address.map(readers).unwrap_or_default();
    server.signal(Signal::INT);
    let ends_within = |deadline| try_wait_for(deadline, "a server to end", || !server.is_alive());
    if ends_within(READERS_PATIENCE).is_ok() {
        return Ok(());
    }
    for reader in readers.iter().filter(|reader| reader.is_alive()) {
        let reader_title = reader.title();
        tracing::warn!(
            server = name,
            reader = reader_title,
            "a reader confirms nothing; ending its connection"
        );
        reader.signal(Signal::TERM);
    }
    ends_within(DEADLINE).map_err(|_| {
        let left: Vec<String> = server.children().iter().map(Identity::title).collect();
        anyhow::anyhow!(
            "{name} was asked to end {:?} ago and has not; it is left to end by itself, and its processes are: {}",
            READERS_PATIENCE + DEADLINE,
            left.join(", ")
        )
    })
}

/// The server's processes that send to readers of logical slots.
fn readers(address: &PostgresAddress) -> Vec<Identity> {
    let query =
        "SELECT active_pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active";
    let asked =
        sql::column_within(&address.superuser_on_socket("postgres"), query, ANSWER_DEADLINE);
    match asked.context("cannot find the readers of logical slots") {
        Ok(pids) => pids.iter().filter_map(|pid| Identity::of(pid.parse().ok()?).ok()).collect(),
        Err(err) => {
            tracing::warn!("{err:#}");
            Vec::new()
        }
    }
}

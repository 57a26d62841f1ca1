//! What a second connection tells about the source while the stream runs: how much WAL the slot holds back, and whether the server is
//! shutting down.
//!
//! A server that shuts down waits until its walsenders' clients have confirmed everything (`WalSndDone` in PostgreSQL's walsender.c). When
//! Kafka is away that would be until it is back, and nobody could restart the source. So the stream is given up after a while: the slot
//! stands where it stood, and the next session sends again what was not confirmed.

use std::time::{Duration, Instant};

use super::PipelineError;
use super::session::Session;
use crate::catalog;
use crate::replication::{Client, Mode, Patience};

/// How often the source is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a server that shuts down may wait for us: well below the minute that `pg_ctl stop` waits by default.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// SQLSTATE `cannot_connect_now`. From a server whose walsender still serves us it can only mean a shutdown.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// When the source was asked, and since when it has been shutting down.
#[derive(Debug, Default)]
pub(super) struct SourceWatch {
    asked: Option<Instant>,
    shutting_down_since: Option<Instant>,
}

impl SourceWatch {
    /// Asks the source, unless it was asked a moment ago.
    ///
    /// # Errors
    /// When the server has been shutting down for longer than it should have to wait.
    pub(super) fn look(&mut self, session: &mut Session<'_>) -> Result<(), PipelineError> {
        if self.asked.is_some_and(|at| at.elapsed() < INTERVAL) {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        let settings = &session.context.connector.settings;
        let failure = match catalog::slot_lag_bytes(&mut session.sql, &settings.slot_name) {
            Ok(bytes) => {
                bytes.into_iter().for_each(|bytes| session.context.observer.slot_lag(bytes));
                return Ok(());
            }
            Err(failure) => failure,
        };
        // The stream itself will say if anything is wrong; only a shutdown it keeps to itself.
        tracing::debug!(error = %failure, "cannot measure the slot's lag");
        match Client::connect(&settings.database, Mode::Sql, Patience::brief()) {
            Ok(client) => session.sql = client,
            Err(refusal) if refusal.sqlstate() == Some(CANNOT_CONNECT_NOW) => {
                let since = *self.shutting_down_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= SHUTDOWN_PATIENCE {
                    return Err(refusal.into());
                }
                tracing::warn!(
                    unacknowledged = session.publisher.in_flight(),
                    "the source is shutting down and waits for Kafka to acknowledge what was sent"
                );
            }
            Err(error) => tracing::debug!(%error, "cannot connect for another query"),
        }
        Ok(())
    }
}

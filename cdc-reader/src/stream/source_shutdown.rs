//! How long a source that shuts down may wait for the reader. Pure.
//!
//! A server that shuts down waits until its walsenders' clients have confirmed everything (`WalSndDone` in PostgreSQL's
//! walsender.c). When Kafka is away, the server would wait until Kafka is back, and nobody could restart the source. So
//! the stream is given up after a while. The slot's position stays, and the next session sends again what was not
//! confirmed.

use std::time::{Duration, Instant};

use crate::replication::ReplicationError;
use crate::source_watch::Refusals;

/// How long a server that shuts down may wait for the reader: well below the minute that `pg_ctl stop` waits by
/// default.
const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Watches over one stream.
#[derive(Debug)]
pub(super) struct SourceShutdown {
    stream_start: Instant,
    warned: bool,
}

impl SourceShutdown {
    /// For a stream that starts now.
    pub(super) fn new(stream_start: Instant) -> Self {
        Self { stream_start, warned: false }
    }

    /// Checks whether the source waits for the reader before it shuts down. While its walsender still sends the stream,
    /// refused connections can only mean a shutdown. Refusals from before the stream were a server that started.
    ///
    /// # Errors
    /// When the source has waited long enough.
    pub(super) fn check(
        &mut self,
        refusals: Option<Refusals>,
        in_flight: u64,
        now: Instant,
    ) -> Result<(), ReplicationError> {
        let Some(refusals) = refusals.filter(|refusals| refusals.last >= self.stream_start) else {
            return Ok(());
        };
        let since = refusals.first.max(self.stream_start);
        if now.saturating_duration_since(since) >= SHUTDOWN_WAIT_MAX {
            return Err(ReplicationError::ShuttingDown);
        }
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                unacknowledged = in_flight,
                "the source is shutting down and waits for Kafka to acknowledge what was sent"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_source_that_shuts_down_waits_a_while() {
        let start = Instant::now();
        let mut shutdown = SourceShutdown::new(start);
        let refused = |first: u32, last: u32| {
            Some(Refusals { first: start + first * SECOND, last: start + last * SECOND })
        };
        shutdown.check(None, 1, start + 60 * SECOND).unwrap();
        shutdown.check(refused(60, 65), 1, start + 69 * SECOND).unwrap();
        let given_up = shutdown.check(refused(60, 70), 1, start + 70 * SECOND);
        assert!(matches!(given_up, Err(ReplicationError::ShuttingDown)));
    }

    #[test]
    fn refusals_of_a_server_that_started_are_no_shutdown() {
        let early = Instant::now();
        let start = early + 30 * SECOND;
        let mut shutdown = SourceShutdown::new(start);
        let before = Refusals { first: early, last: start - SECOND };
        shutdown.check(Some(before), 1, start + 60 * SECOND).unwrap();
        // The same outage goes on: the time before the stream does not count.
        let on = Refusals { first: early, last: start + SECOND };
        shutdown.check(Some(on), 1, start + 9 * SECOND).unwrap();
    }
}

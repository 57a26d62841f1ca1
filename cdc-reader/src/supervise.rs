//! Starts sessions until one ends for good.

use std::time::{Duration, Instant};

use shared::backoff::Backoff;

use crate::context::Context;
use crate::disposition::Disposition;
use crate::ended::Ended;
use crate::error::SessionError;
use crate::{clock, session};

/// The first wait after a failure; a server that restarts is back within a second or two.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// A session that lasted this long ends a row of failures.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// Runs until the process shall end or a failure is final.
///
/// # Errors
/// The failure that ended it.
pub fn run(context: &Context) -> Result<(), SessionError> {
    let settings = &context.connector.settings;
    let mut backoff = Backoff::new(BACKOFF_FIRST, settings.retry_delay_max.max(BACKOFF_FIRST));
    let first_start = Instant::now();
    let mut was_connected = false;
    loop {
        let session_start = Instant::now();
        let result = session::run(context, || {
            was_connected = true;
            context.observer.running();
        });
        context.observer.streaming(false);
        let error = match result {
            Ok(Ended::Done | Ended::Stopped) => return Ok(()),
            Err(_) if context.cancel.is_cancelled() => return Ok(()),
            Err(error) => error,
        };
        if error.disposition() == Disposition::Stop {
            return Err(error);
        }
        if !was_connected && first_start.elapsed() > context.startup_timeout {
            return Err(SessionError::Startup {
                what: "source and Kafka did not both answer",
                seconds: context.startup_timeout.as_secs(),
                cause: error.chain(),
            });
        }
        if session_start.elapsed() > HEALTHY_AFTER {
            backoff.reset();
        }
        let wait = backoff.next_delay();
        context.observer.restarting(error.peer());
        if settings.errors_max_retries.is_some_and(|max| backoff.attempts() > max) {
            return Err(error);
        }
        if backoff.should_log() {
            tracing::warn!(
                error = error.chain(),
                attempt = backoff.attempts(),
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "session ended, trying again"
            );
        }
        clock::sleep(&context.cancel, wait);
    }
}

//! Starts sessions until one of them ends the reader.

use std::time::{Duration, Instant};

use shared::backoff::Backoff;

use crate::context::Context;
use crate::disposition::Disposition;
use crate::ended::Ended;
use crate::error::SessionError;
use crate::{clock, session};

/// The first wait after a failure. A server that restarts is back within a second or two.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// After a session that lasted this long, the count of failures begins again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// What follows from a session's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Waiting does not help.
    Final,
    /// Source and Kafka have never both answered, for as long as a start may take.
    NotStarted,
    /// Sessions failed as often in a row as the configuration allows.
    Exhausted,
    /// Another session follows after a wait.
    Retry { wait: Duration },
}

/// Decides what follows from failures. Pure, apart from the jitter in the waits.
#[derive(Debug)]
struct Retries {
    backoff: Backoff,
    startup_timeout: Duration,
    retries_max: Option<u32>,
}

impl Retries {
    /// A session failed after it had `lasted`. Source and Kafka have both answered once, or have not for the time
    /// `starting`.
    fn judge(
        &mut self,
        disposition: Disposition,
        lasted: Duration,
        starting: Option<Duration>,
    ) -> Verdict {
        if disposition == Disposition::Stop {
            return Verdict::Final;
        }
        if starting.is_some_and(|starting| starting > self.startup_timeout) {
            return Verdict::NotStarted;
        }
        if lasted > HEALTHY_AFTER {
            self.backoff.reset();
        }
        let wait = self.backoff.next_delay();
        if self.retries_max.is_some_and(|max| self.backoff.attempts() > max) {
            return Verdict::Exhausted;
        }
        Verdict::Retry { wait }
    }
}

/// Runs until the process has to end or a failure is final.
///
/// # Errors
/// The failure that ended it.
pub fn run(context: &Context) -> Result<(), SessionError> {
    let settings = &context.connector.settings;
    let mut retries = Retries {
        backoff: Backoff::new(BACKOFF_FIRST, settings.retry_delay_max.max(BACKOFF_FIRST)),
        startup_timeout: context.startup_timeout,
        retries_max: settings.errors_max_retries,
    };
    let first_start = Instant::now();
    let mut was_connected = false;
    let mut delivery = None;
    loop {
        let session_start = Instant::now();
        let result = session::run(context, &mut delivery, || {
            was_connected = true;
            context.observer.running();
        });
        context.observer.streaming(false);
        let error = match result {
            Ok(Ended::Done | Ended::Stopped) => return Ok(()),
            Err(_) if context.cancel.is_cancelled() => return Ok(()),
            Err(error) => error,
        };
        let starting = (!was_connected).then(|| first_start.elapsed());
        match retries.judge(error.disposition(), session_start.elapsed(), starting) {
            Verdict::Final => return Err(error),
            Verdict::NotStarted => {
                return Err(SessionError::Startup {
                    seconds: context.startup_timeout.as_secs(),
                    cause: error.chain(),
                });
            }
            Verdict::Exhausted => {
                context.observer.restarting(error.peer(), error.chain());
                return Err(error);
            }
            Verdict::Retry { wait } => {
                context.observer.restarting(error.peer(), error.chain());
                if retries.backoff.should_log() {
                    tracing::warn!(
                        error = error.chain(),
                        attempt = retries.backoff.attempts(),
                        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        "session ended, trying again"
                    );
                }
                clock::sleep(&context.cancel, wait);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use Disposition::{Retry, Stop};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn retries(retries_max: Option<u32>) -> Retries {
        Retries {
            backoff: Backoff::new(BACKOFF_FIRST, 10 * SECOND),
            startup_timeout: 60 * SECOND,
            retries_max,
        }
    }

    #[test]
    fn a_failure_that_time_does_not_mend_is_final_at_once() {
        let mut retries = retries(None);
        assert_eq!(retries.judge(Stop, SECOND, None), Verdict::Final);
        assert_eq!(retries.judge(Stop, SECOND, Some(61 * SECOND)), Verdict::Final);
    }

    #[test]
    fn a_first_start_has_its_time_and_a_later_outage_any() {
        let mut retries = retries(None);
        let verdict = retries.judge(Retry, SECOND, Some(60 * SECOND));
        assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
        assert_eq!(retries.judge(Retry, SECOND, Some(61 * SECOND)), Verdict::NotStarted);
        let verdict = retries.judge(Retry, SECOND, None);
        assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
    }

    #[test]
    fn retries_in_a_row_are_counted_and_a_healthy_session_ends_the_row() {
        let mut retries = retries(Some(2));
        for lasted in [SECOND, SECOND, 11 * SECOND, SECOND] {
            let verdict = retries.judge(Retry, lasted, None);
            assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
        }
        assert_eq!(retries.judge(Retry, 10 * SECOND, None), Verdict::Exhausted);
    }

    #[test]
    fn waits_grow() {
        let mut retries = retries(None);
        let mut wait = || match retries.judge(Retry, SECOND, None) {
            Verdict::Retry { wait } => wait,
            other => panic!("{other:?}"),
        };
        assert!(wait() <= BACKOFF_FIRST);
        let last = (0..10).map(|_| wait()).last();
        assert!(last.is_some_and(|last| last >= 5 * SECOND), "{last:?}");
    }
}

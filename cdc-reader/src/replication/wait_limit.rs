//! How long to wait for an answer, and who may end the wait earlier.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::ReplicationError;

/// A catalog query answers at once.
const BRIEF: Duration = Duration::from_secs(10);

/// When a connection stops waiting for an answer.
#[derive(Debug, Clone)]
pub struct WaitLimit {
    deadline: Option<Duration>,
    stop: Option<CancellationToken>,
}

impl WaitLimit {
    /// For statements that may have to wait for others: until `stop` is cancelled.
    ///
    /// There is no deadline. A new slot waits for every transaction that was open before it, and reading a large table
    /// may give no visible row for a long time. A second attempt would wait from the beginning again. TCP notices a
    /// server that is gone.
    #[must_use]
    pub fn until_stopped(stop: &CancellationToken) -> Self {
        Self { deadline: None, stop: Some(stop.clone()) }
    }

    /// For statements that answer at once, on a thread that has other work. They also run while the process drains.
    #[must_use]
    pub fn brief() -> Self {
        Self::of(BRIEF)
    }

    /// The same, until `stop` is cancelled.
    #[must_use]
    pub fn or_stopped(self, stop: &CancellationToken) -> Self {
        Self { stop: Some(stop.clone()), ..self }
    }

    /// The same, with this deadline where it has none or a later one.
    pub(super) fn at_most(&self, deadline: Duration) -> Self {
        let deadline = self.deadline.map_or(deadline, |own| own.min(deadline));
        Self { deadline: Some(deadline), stop: self.stop.clone() }
    }

    pub(super) fn of(deadline: Duration) -> Self {
        Self { deadline: Some(deadline), stop: None }
    }

    /// An error when a wait that began at `start` has lasted long enough.
    pub(super) fn check(&self, start: Instant) -> Result<(), ReplicationError> {
        if self.stop.as_ref().is_some_and(CancellationToken::is_cancelled) {
            return Err(ReplicationError::Stopped);
        }
        match self.deadline {
            Some(deadline) if start.elapsed() > deadline => {
                Err(ReplicationError::Silent { seconds: deadline.as_secs() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_by_a_stop_or_by_its_deadline() {
        let stop = CancellationToken::new();
        let start = Instant::now();
        WaitLimit::until_stopped(&stop).check(start).unwrap();
        assert!(matches!(
            WaitLimit::of(Duration::ZERO).check(start - Duration::from_secs(1)),
            Err(ReplicationError::Silent { seconds: 0 })
        ));
        stop.cancel();
        assert!(matches!(
            WaitLimit::until_stopped(&stop).check(start),
            Err(ReplicationError::Stopped)
        ));
        WaitLimit::brief().check(start).unwrap();
        let stopped = WaitLimit::until_stopped(&stop).at_most(BRIEF).check(start);
        assert!(matches!(stopped, Err(ReplicationError::Stopped)));
        let late = WaitLimit::of(Duration::ZERO).at_most(BRIEF);
        let late = late.check(start - Duration::from_secs(1));
        assert!(matches!(late, Err(ReplicationError::Silent { seconds: 0 })));
    }
}

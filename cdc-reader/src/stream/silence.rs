//! Whether a server that does not answer is busy or gone. Pure.
//!
//! In: how long the server has owed an answer, and when its views last said that the walsender works. Out: whether the
//! stream goes on, and a warning, less and less often.
//!
//! A walsender reads the socket only when it sends. While it decodes a transaction of which nothing is published, it
//! sends nothing and answers nothing, for as long as that takes. Cutting the connection would not help, because the
//! next walsender begins at the same transaction. So silence alone is no reason to cut. The connection is cut when
//! nobody has seen the walsender at work for [`SEEN_MAX`]: the walsender has ended, it waits for the socket and would
//! have answered, or the server answers no question at all. TCP notices a machine that is gone earlier than that
//! (`replication/transport`).

use std::time::Duration;

use crate::replication::ReplicationError;

/// How long an answer is waited for before it matters whether the walsender is at work.
const UNANSWERED_MAX: Duration = Duration::from_secs(45);

/// How long the word of the server counts that its walsender works. The server is asked every 5 s.
const SEEN_MAX: Duration = Duration::from_secs(30);

/// What follows from a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is too early to tell.
    Wait,
    /// The walsender works on something that takes long.
    AtWork,
    /// The walsender, or the connection to it, is gone.
    Gone,
}

/// Decides from the time for which the server has owed an answer, and the time since it was last known to work.
fn judge(unanswered: Duration, since_at_work: Option<Duration>) -> Verdict {
    if unanswered < UNANSWERED_MAX {
        return Verdict::Wait;
    }
    match since_at_work {
        Some(since) if since < SEEN_MAX => Verdict::AtWork,
        Some(_) | None => Verdict::Gone,
    }
}

/// Waits for a server that is busy, and says so.
#[derive(Debug)]
pub(super) struct Silence {
    /// The next warning is due when the server has owed an answer for this long.
    warning_at: Duration,
}

impl Silence {
    pub(super) fn new() -> Self {
        Self { warning_at: UNANSWERED_MAX }
    }

    /// Checks whether a server that has owed an answer for so long is still there.
    ///
    /// # Errors
    /// When the walsender is gone, or its connection is dead.
    pub(super) fn check(
        &mut self,
        unanswered: Duration,
        since_at_work: Option<Duration>,
    ) -> Result<(), ReplicationError> {
        let seconds = unanswered.as_secs();
        match judge(unanswered, since_at_work) {
            Verdict::Wait => self.warning_at = UNANSWERED_MAX,
            Verdict::AtWork if unanswered >= self.warning_at => {
                self.warning_at = unanswered * 2;
                tracing::warn!(
                    seconds,
                    "the source is silent because its walsender is at work; the stream goes on when it sends again"
                );
            }
            Verdict::AtWork => {}
            Verdict::Gone => return Err(ReplicationError::Silent { seconds }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unanswered: u64, since_at_work: Option<u64>, expected: Verdict) {
        let seconds = Duration::from_secs;
        assert_eq!(judge(seconds(unanswered), since_at_work.map(seconds)), expected);
    }

    #[test]
    fn a_short_silence_means_nothing() {
        check(0, None, Verdict::Wait);
        check(44, None, Verdict::Wait);
        check(44, Some(1000), Verdict::Wait);
    }

    #[test]
    fn a_walsender_that_works_may_be_silent_for_hours() {
        check(45, Some(5), Verdict::AtWork);
        check(36_000, Some(29), Verdict::AtWork);
    }

    #[test]
    fn a_walsender_that_nobody_sees_at_work_is_gone() {
        check(45, None, Verdict::Gone);
        check(36_000, Some(30), Verdict::Gone);
    }
}

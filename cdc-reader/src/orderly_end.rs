//! How long an orderly end may take: one time for all, which its steps share. Pure.
//!
//! ```text
//! signal      5 s           14 s            17 s               22 s       24 s          25 s
//!   │ open     │ in flight    │ last offset   │ end of the       │ given    │ HTTP, runtime │
//!   │ transaction ends        │               │ stream           │ up       │               │
//! ```
//!
//! A step that begins early has more time, and no step prolongs the whole. A call that cannot be interrupted, such as
//! a look-up of a host name, is not waited for beyond [`GIVE_UP_AFTER`]. Kubernetes kills a container 30 s after the
//! signal unless told otherwise, so the end comes before that.

use std::time::{Duration, Instant};

/// How long the end of an open transaction may be waited for.
const TRANSACTION: Duration = Duration::from_secs(5);

/// When what is in flight is no longer waited for.
const DRAIN: Duration = Duration::from_secs(14);

/// When the last offset is no longer waited for. The end of the stream has five seconds of its own after that.
const LAST_OFFSET: Duration = Duration::from_secs(17);

/// When the process ends although its work has not ended. The next start publishes again what was not confirmed.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24);

/// The times of one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderlyEnd {
    began: Instant,
}

impl OrderlyEnd {
    /// An end that was asked for, or came, at this time.
    #[must_use]
    pub fn began(at: Instant) -> Self {
        Self { began: at }
    }

    /// When an open transaction is no longer waited for.
    #[must_use]
    pub fn transaction_until(self) -> Instant {
        self.began + TRANSACTION
    }

    /// When what is in flight is no longer waited for.
    #[must_use]
    pub fn drain_until(self) -> Instant {
        self.began + DRAIN
    }

    /// When the last offset is no longer waited for.
    #[must_use]
    pub fn last_offset_until(self) -> Instant {
        self.began + LAST_OFFSET
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::STREAM_END_DEADLINE;

    #[test]
    fn the_steps_follow_each_other_and_end_within_twenty_five_seconds() {
        let now = Instant::now();
        let end = OrderlyEnd::began(now);
        let times = [
            now,
            end.transaction_until(),
            end.drain_until(),
            end.last_offset_until(),
            end.last_offset_until() + STREAM_END_DEADLINE,
            now + GIVE_UP_AFTER,
            now + Duration::from_secs(25),
        ];
        assert!(times.is_sorted_by(|before, after| before < after), "{times:?}");
    }
}

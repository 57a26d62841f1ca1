//! How often the intake tries what may help against Kafka's answers, or against none. Pure: the caller gives the time.
//!
//! In: what happened, and when. Out: whether another client is due, whether all partitions are looked at once more, and
//! whether a loader that was fenced joins its group again.

use std::time::{Duration, Instant};

use crate::readiness::KAFKA_SILENT_MAX;

/// After so long without an answer of any broker another client is tried. A broker that restarts in order is back
/// sooner.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// The longest time between two further clients while Kafka is away.
const SILENT_PAUSE_MAX: Duration = Duration::from_secs(600);

/// The shortest time between two looks at all partitions.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// So many looks in a row may change nothing.
const LOOKS_MAX: u32 = 5;

/// A static member that is fenced twice within this time has a namesake. Two loaders of one name fence each other
/// within some heartbeats.
const FENCED_AGAIN: Duration = Duration::from_secs(30);

/// When the silence of all brokers is a reason for a new client. Pure. The wait doubles, so that few clients are made
/// while Kafka is away.
#[derive(Debug)]
pub(super) struct Silence {
    next: Duration,
}

impl Default for Silence {
    fn default() -> Self {
        Self { next: SILENT_MAX }
    }
}

impl Silence {
    /// Whether a new client is due after so long without an answer.
    pub(super) fn is_too_long(&mut self, silent: Duration) -> bool {
        if silent < KAFKA_SILENT_MAX {
            self.next = SILENT_MAX;
        }
        if silent < self.next {
            return false;
        }
        self.next = silent + silent.min(SILENT_PAUSE_MAX);
        true
    }
}

/// How often all partitions were taken over again because of an offset, since that helped. Pure: the caller gives the
/// time.
#[derive(Debug, Default)]
pub(super) struct Looks {
    count: u32,
    last: Option<Instant>,
}

impl Looks {
    /// Whether the next look may come now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= LOOK_PAUSE)
    }

    /// Notes a look; false when there were too many.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        self.count += 1;
        self.last = Some(now);
        self.count <= LOOKS_MAX
    }

    /// Notes that a record came, or that a look found a table that has to stand still.
    pub(super) fn helped(&mut self) {
        self.count = 0;
    }
}

/// When a static member was fenced last.
///
/// The group may take a member for another one of the same name although there is none: a client that has heard nothing
/// of the broker for the session's time-out joins anew, and the broker may still get what the client had sent before.
/// librdkafka gives up then, so it takes another client to join. A loader that really has a namesake is fenced again at
/// once, and ends, so that one of the two is left.
#[derive(Debug, Default)]
pub(super) struct Fencings {
    last: Option<Instant>,
}

impl Fencings {
    /// Notes that the loader was fenced. Whether it may join its group again.
    pub(super) fn may_join_again(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now);
        before.is_none_or(|last| now.saturating_duration_since(last) >= FENCED_AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_brings_another_client_now_and_then() {
        let mut silence = Silence::default();
        let due: Vec<u64> =
            (0..4000).filter(|&second| silence.is_too_long(Duration::from_secs(second))).collect();
        assert_eq!(due, [30, 60, 120, 240, 480, 960, 1560, 2160, 2760, 3360, 3960]);
        assert!(!silence.is_too_long(Duration::from_secs(1)), "a broker has answered");
        assert!(silence.is_too_long(Duration::from_secs(30)));
    }

    #[test]
    fn looks_come_one_after_the_other_and_not_for_ever() {
        let start = Instant::now();
        let mut looks = Looks::default();
        for number in 0..LOOKS_MAX {
            let now = start + LOOK_PAUSE * number;
            assert!(looks.is_due(now));
            assert!(looks.note(now));
            assert!(!looks.is_due(now + LOOK_PAUSE / 2), "the errors of other partitions wait");
        }
        let later = start + LOOK_PAUSE * LOOKS_MAX;
        assert!(!looks.note(later));
        looks.helped();
        assert!(!looks.is_due(later), "one that helped does not bring the next one forward");
        assert!(looks.note(later + LOOK_PAUSE));
    }

    #[test]
    fn who_is_fenced_once_joins_again_and_who_is_fenced_twice_has_a_namesake() {
        let (mut fencings, start) = (Fencings::default(), Instant::now());
        assert!(fencings.may_join_again(start));
        assert!(fencings.may_join_again(start + FENCED_AGAIN));
        assert!(!fencings.may_join_again(start + FENCED_AGAIN + FENCED_AGAIN / 2));
    }
}

//! Lets a clock pass the times that earlier heartbeats have called complete.
//!
//! In: the connector's topic of heartbeats, and the clock that stamps events. Out: a clock that never says such a time
//! again, however the machine's clock was set. Hard cases: a heartbeat of a clock that was far ahead, and a Kafka that
//! does not answer.

use std::time::Duration;

use shared::kafka::Cluster;
use tokio_util::sync::CancellationToken;

use crate::clock::{PublishClock, now_us};
use crate::publish::{HeartbeatTopic, last_published};

/// From when on a clock that is behind the last heartbeat is worth a warning. Between two machines some difference is
/// usual.
const CLOCK_BEHIND_WARNED: Duration = Duration::from_secs(1);

/// A heartbeat that is further ahead is not believed. Events that are published with such a time would pause their
/// tables in a loader (`batch.clock_ahead_max_ms`) for as long as the clock was ahead.
const CLAIM_AHEAD_MAX_US: i64 = 3_600_000_000;

/// Lets the clock pass the times that heartbeats of earlier processes have called complete. Without an answer of Kafka
/// the caller goes on: only a clock that was set back meanwhile could say such a time again.
pub(crate) fn pass_published_times(
    clock: &PublishClock,
    cluster: &Cluster,
    topic: &HeartbeatTopic,
    stop: &CancellationToken,
) {
    match last_published(cluster, topic, stop) {
        Ok(published) => {
            let ahead = published.filter(|time_us| *time_us > now_us() + CLAIM_AHEAD_MAX_US);
            if ahead.is_some() {
                tracing::warn!(
                    "the last heartbeat is more than an hour ahead of this machine's clock, and is not believed: the clock was wrong \
                     then, or is wrong now; a loader does not believe such a heartbeat either"
                );
            }
            published
                .filter(|_| ahead.is_none())
                .into_iter()
                .for_each(|time_us| clock.pass(time_us));
            let behind = clock.behind();
            if behind >= CLOCK_BEHIND_WARNED {
                tracing::warn!(
                    seconds = behind.as_secs(),
                    "this machine's clock is behind the last heartbeat: events are published with the heartbeat's time until the clock has passed it"
                );
            }
        }
        Err(error) => tracing::warn!(
            topic = topic.name,
            %error,
            "the heartbeats of earlier starts cannot be read: a clock that was set back since then is not noticed"
        ),
    }
}

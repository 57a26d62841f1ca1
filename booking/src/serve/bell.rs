//! The bell of the chat: an instance rings it after it has stored a message, and every instance looks.
//!
//! In: flights whose chat has a new message. Out: flights to look for. There are two channels: one within the process,
//! for a service of one instance, and Redis, which leads to all instances. The bell carries no message, so that a ring
//! which is lost costs time and no message: whoever hears it reads the table. Rings that nobody has heard yet are one
//! set, so that a burst of messages is one look.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::live_metrics::LiveMetrics;
use super::redis_link::Link;

/// The channel of Redis on which instances ring.
const CHANNEL: &str = "booking:chat";

/// How a ring gets to other instances.
#[derive(Debug)]
enum Channel {
    /// Not at all.
    InProcess,
    /// By Redis; the flag says whether it is heard.
    Redis { link: Box<Link>, up: AtomicBool },
}

/// What was rung.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Flights with new messages.
    pub(crate) flights: BTreeSet<i32>,
    /// Rings may have been lost, or a room is new: look everywhere.
    pub(crate) all: bool,
}

/// The bell of one instance.
#[derive(Debug)]
pub(crate) struct Bell {
    channel: Channel,
    heard: Mutex<Heard>,
    somebody_rang: Notify,
    metrics: LiveMetrics,
}

impl Bell {
    pub(crate) fn new(link: Option<Link>, metrics: LiveMetrics) -> Self {
        let channel = match link {
            Some(link) => Channel::Redis { link: Box::new(link), up: AtomicBool::new(false) },
            None => Channel::InProcess,
        };
        Self { channel, heard: Mutex::default(), somebody_rang: Notify::new(), metrics }
    }

    /// Rings here and, if there is a way, at all other instances.
    pub(crate) async fn ring(&self, flight_id: i32) {
        self.look_at(flight_id);
        if let Channel::Redis { link, .. } = &self.channel {
            let command = redis::cmd("PUBLISH").arg(CHANNEL).arg(flight_id).take();
            // Whoever does not hear it finds the message by looking now and then.
            let _: Option<i64> = link.ask(&command).await;
        }
    }

    /// Has this instance look at a flight.
    pub(crate) fn look_at(&self, flight_id: i32) {
        self.note(|heard| {
            heard.flights.insert(flight_id);
        });
    }

    /// Has this instance look everywhere.
    pub(crate) fn ring_all(&self) {
        self.note(|heard| heard.all = true);
    }

    /// Waits for a ring, and gives all that were rung since the last time.
    pub(crate) async fn hear(&self) -> Heard {
        self.somebody_rang.notified().await;
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether other instances are heard. Where they are not, the table is looked at more often.
    pub(crate) fn hears_others(&self) -> bool {
        match &self.channel {
            Channel::InProcess => false,
            Channel::Redis { up, .. } => up.load(Ordering::Relaxed),
        }
    }

    /// What health says of the channel.
    pub(crate) fn state(&self) -> &'static str {
        match &self.channel {
            Channel::InProcess => "none",
            Channel::Redis { .. } if self.hears_others() => "up",
            Channel::Redis { .. } => "away",
        }
    }

    /// Hears other instances, for ever.
    pub(crate) async fn listen(&self) {
        let Channel::Redis { link, up } = &self.channel else {
            return std::future::pending().await;
        };
        let turn = |is_up| {
            up.store(is_up, Ordering::Relaxed);
            self.metrics.redis_is(is_up);
            // What was rung meanwhile was heard by nobody.
            self.ring_all();
        };
        let hear = |text: &str| match text.parse() {
            Ok(flight_id) => self.look_at(flight_id),
            Err(_) => tracing::warn!("a ring names no flight"),
        };
        link.listen(CHANNEL, turn, hear).await;
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        self.somebody_rang.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_of_rings_is_heard_once_and_none_is_lost() {
        let bell = Bell::new(None, LiveMetrics::default());
        for flight_id in [3, 1, 3, 2] {
            bell.ring(flight_id).await;
        }
        assert_eq!(bell.hear().await, Heard { flights: BTreeSet::from([1, 2, 3]), all: false });
        bell.ring_all();
        assert_eq!(bell.hear().await, Heard { flights: BTreeSet::new(), all: true });
        assert_eq!((bell.state(), bell.hears_others()), ("none", false));
    }
}

//! Which faults come, and when. Pure: a seed gives the same list again.
//!
//! In: a seed, the number of faults, the number of loaders. Out: a list in which each kind of fault has its share, and
//! stands at least once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use devstack::StopMode;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How long the group waits for a member that says nothing.
const SESSION_MS: u64 = 6_000;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A loader is killed, and started again after a while.
    Kill { loader: usize, away: Duration },
    /// All loaders are killed at once.
    KillAll { away: Duration },
    /// A loader is asked to end, and started again after a while.
    End { loader: usize, away: Duration },
    /// A loader is stopped, and goes on before its session has timed out.
    Pause { loader: usize, away: Duration },
    /// A loader is stopped, and wakes up when others have its partitions.
    PauseLong { loader: usize, away: Duration },
    /// The server ends one session of a loader, one in a transaction if there is any.
    EndSession { which: usize },
    /// The server ends all sessions of all loaders.
    EndSessions,
    /// The reader is killed, and started again after a while.
    KillReader { away: Duration },
    /// The broker ends in order, or is killed, and comes back.
    RestartBroker { in_order: bool },
    /// The warehouse ends in this way, and comes back.
    RestartWarehouse { mode: StopMode },
}

impl Fault {
    /// The word under which faults of this kind are counted.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "loader killed",
            Self::KillAll { .. } => "all loaders killed",
            Self::End { .. } => "loader ended",
            Self::Pause { .. } => "loader stopped for less than the session time-out",
            Self::PauseLong { .. } => "loader stopped for longer than the session time-out",
            Self::EndSession { .. } => "session terminated",
            Self::EndSessions => "all sessions terminated",
            Self::KillReader { .. } => "reader killed",
            Self::RestartBroker { .. } => "broker restarted",
            Self::RestartWarehouse { .. } => "warehouse restarted",
        }
    }
}

/// A fault, and how long after the one before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) after: Duration,
    pub(crate) fault: Fault,
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} ms: {:?}", self.after.as_millis(), self.fault)
    }
}

/// One of 200 faults each: how a fault is drawn, and how many of it there are.
type Share = (fn(&mut Draw) -> Fault, usize);

const SHARES: [Share; 10] = [
    (Draw::kill, 56),
    (Draw::kill_all, 6),
    (Draw::end, 32),
    (Draw::pause, 30),
    (Draw::pause_long, 20),
    (Draw::end_session, 28),
    (|_| Fault::EndSessions, 8),
    (Draw::kill_reader, 12),
    (Draw::restart_broker, 3),
    (Draw::restart_warehouse, 5),
];

struct Draw {
    rng: ChaCha8Rng,
    loaders: usize,
}

impl Draw {
    fn loader(&mut self) -> usize {
        self.rng.random_range(0..self.loaders)
    }

    /// Mostly short; now and then so long that the group notices.
    fn away(&mut self) -> Duration {
        let long = self.rng.random_ratio(1, 5);
        let range = if long { SESSION_MS..SESSION_MS * 3 / 2 } else { 0..1_500 };
        Duration::from_millis(self.rng.random_range(range))
    }

    fn kill(&mut self) -> Fault {
        Fault::Kill { loader: self.loader(), away: self.away() }
    }

    fn kill_all(&mut self) -> Fault {
        Fault::KillAll { away: self.away() }
    }

    fn end(&mut self) -> Fault {
        Fault::End { loader: self.loader(), away: self.away() }
    }

    fn pause(&mut self) -> Fault {
        let away = Duration::from_millis(self.rng.random_range(300..SESSION_MS * 3 / 4));
        Fault::Pause { loader: self.loader(), away }
    }

    fn pause_long(&mut self) -> Fault {
        let away =
            Duration::from_millis(self.rng.random_range(SESSION_MS + 500..SESSION_MS * 3 / 2));
        Fault::PauseLong { loader: self.loader(), away }
    }

    fn end_session(&mut self) -> Fault {
        Fault::EndSession { which: self.rng.random_range(0..1_000) }
    }

    fn kill_reader(&mut self) -> Fault {
        Fault::KillReader { away: Duration::from_millis(self.rng.random_range(0..2_000)) }
    }

    fn restart_broker(&mut self) -> Fault {
        Fault::RestartBroker { in_order: self.rng.random_bool(0.5) }
    }

    fn restart_warehouse(&mut self) -> Fault {
        let modes = [StopMode::Fast, StopMode::Immediate, StopMode::Kill];
        Fault::RestartWarehouse { mode: modes[self.rng.random_range(0..modes.len())] }
    }
}

/// Draws `count` faults, but at least one of each kind.
pub(crate) fn draw(seed: u64, count: usize, loaders: usize) -> Vec<Drawn> {
    let mut draw = Draw { rng: ChaCha8Rng::seed_from_u64(seed), loaders };
    let all: usize = SHARES.iter().map(|(_, share)| share).sum();
    let mut faults = Vec::with_capacity(count);
    for (make, share) in SHARES {
        let wanted = (share * count / all).max(1);
        faults.extend((0..wanted).map(|_| make(&mut draw)));
    }
    while faults.len() < count {
        let fault = draw.kill();
        faults.push(fault);
    }
    faults.shuffle(&mut draw.rng);
    let drawn = |fault| {
        let after = Duration::from_millis(draw.rng.random_range(100..1_600));
        Drawn { after, fault }
    };
    faults.into_iter().map(drawn).collect()
}

/// How many faults of each kind there are.
pub(crate) fn counts(faults: &[Drawn]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for drawn in faults {
        *counts.entry(drawn.fault.kind()).or_default() += 1;
    }
    counts
}

#[test]
fn a_seed_gives_the_same_list_again_with_each_kind_in_it() {
    for (count, loaders) in [(12, 4), (20, 2), (200, 2), (200, 4)] {
        let faults = draw(7, count, loaders);
        assert_eq!(faults.len(), count);
        assert_eq!(counts(&faults).len(), SHARES.len(), "{faults:?}");
        assert_eq!(faults, draw(7, count, loaders));
        assert_ne!(faults, draw(8, count, loaders));
    }
}

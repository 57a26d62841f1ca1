//! How fast life goes: rates by kind of event, pause, bursts, and the most changes a second.
//!
//! In: settings, the time, and how many rows transactions changed. Out: which event is due. Each kind earns credit for
//! the time that passes, and an event costs one. The kind that has waited longest comes first, so that all kinds are
//! slowed down alike when there are too many. Time that a slow server has cost is made up for only within
//! [`CATCH_UP_S`], so that no burst follows a pause.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::kind::{KIND_COUNT, KINDS, Kind};

/// Most changes a second that can be asked for.
pub const CHANGES_MAX: f64 = 1_000.0;

/// Highest rate of a kind, events a second.
pub const RATE_MAX: f64 = 1_000.0;

/// Highest speed, and highest factor of a burst.
pub const SPEED_MAX: f64 = 1_000.0;

/// Longest burst.
pub const BURST_MAX: Duration = Duration::from_secs(600);

/// Seconds of lost time that are made up for.
const CATCH_UP_S: f64 = 1.0;

/// What is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Events a second of each kind at speed 1, in the order of [`KINDS`].
    pub rates: [f64; KIND_COUNT],
    /// By what all rates are multiplied.
    pub speed: f64,
    /// Most rows that are changed in a second, on the average.
    pub changes_max: f64,
    /// Whether nothing happens.
    pub is_paused: bool,
    /// A burst, if one is under way.
    pub burst: Option<Burst>,
}

/// A while in which everything happens more often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// By what all rates are multiplied beside the speed.
    pub factor: f64,
    /// Its end.
    pub until: Instant,
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} {value} is not a number between 0 and {most}")]
pub struct OutOfRange {
    /// What was set.
    pub name: String,
    /// What was given.
    pub value: f64,
    /// The most that is possible.
    pub most: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rates: KINDS.map(|(_, rate)| rate),
            speed: 1.0,
            changes_max: CHANGES_MAX,
            is_paused: false,
            burst: None,
        }
    }
}

impl Settings {
    /// Checks every number.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn checked(self) -> Result<Self, OutOfRange> {
        let rates = KINDS
            .iter()
            .zip(self.rates)
            .map(|((kind, _), rate)| (format!("the rate of {}", kind.title()), rate, RATE_MAX));
        let others = [
            ("the speed".to_owned(), self.speed, SPEED_MAX),
            ("the limit of changes".to_owned(), self.changes_max, CHANGES_MAX),
            (
                "the factor of the burst".to_owned(),
                self.burst.map_or(1.0, |burst| burst.factor),
                SPEED_MAX,
            ),
        ];
        for (name, value, most) in rates.chain(others) {
            if !(0.0..=most).contains(&value) {
                return Err(OutOfRange { name, value, most });
            }
        }
        Ok(self)
    }

    /// Events a second of a kind at a moment.
    #[must_use]
    pub fn rate(&self, kind: Kind, now: Instant) -> f64 {
        if self.is_paused {
            return 0.0;
        }
        let burst = self.burst.filter(|burst| now < burst.until).map_or(1.0, |burst| burst.factor);
        self.rates[kind.index()] * self.speed * burst
    }
}

/// Which events are due.
#[derive(Debug)]
struct Schedule {
    credits: [f64; KIND_COUNT],
    /// Rows that may still be changed; below zero after a large transaction.
    changes: f64,
    seen: Instant,
}

impl Schedule {
    fn new(now: Instant) -> Self {
        Self { credits: [0.0; KIND_COUNT], changes: 0.0, seen: now }
    }

    /// The event that is due at a moment, if one is.
    fn take(&mut self, settings: &Settings, now: Instant) -> Option<Kind> {
        let passed = now.saturating_duration_since(self.seen).as_secs_f64();
        self.seen = now;
        let most = (settings.changes_max * CATCH_UP_S).max(1.0);
        self.changes = (self.changes + passed * settings.changes_max).min(most);
        for (kind, _) in KINDS {
            let rate = settings.rate(kind, now);
            let credit = &mut self.credits[kind.index()];
            *credit = (*credit + passed * rate).min((rate * CATCH_UP_S).max(1.0));
            if rate <= 0.0 {
                *credit = 0.0;
            }
        }
        if settings.is_paused || self.changes < 1.0 {
            return None;
        }
        let (kind, _) = KINDS
            .into_iter()
            .filter(|(kind, _)| self.credits[kind.index()] >= 1.0)
            .max_by(|(one, _), (other, _)| {
                let waited = |kind: Kind| self.credits[kind.index()] / settings.rate(kind, now);
                waited(*one).total_cmp(&waited(*other))
            })?;
        self.credits[kind.index()] -= 1.0;
        // What it will cost is not known yet; one row at least.
        self.changes -= 1.0;
        Some(kind)
    }
}

/// Settings and schedule, which workers and the page share.
#[derive(Debug)]
pub struct Control {
    inner: Mutex<(Settings, Schedule)>,
}

impl Control {
    /// Life with these settings, from now on.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { inner: Mutex::new((settings, Schedule::new(Instant::now()))) }
    }

    /// What is set.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.locked(|settings, _| *settings)
    }

    /// Changes the settings, if the changed ones are in range.
    ///
    /// # Errors
    /// What is out of range. Nothing is changed then.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<(), OutOfRange> {
        self.locked(|settings, _| {
            let mut changed = *settings;
            change(&mut changed);
            *settings = changed.checked()?;
            Ok(())
        })
    }

    /// The event that is due, if one is.
    pub(super) fn take(&self, now: Instant) -> Option<Kind> {
        self.locked(|settings, schedule| schedule.take(settings, now))
    }

    /// Counts the rows that a transaction changed.
    pub(super) fn changed(&self, row_count: u64) {
        let beyond = u32::try_from(row_count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.locked(|_, schedule| schedule.changes -= f64::from(beyond));
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Settings, &mut Schedule) -> T) -> T {
        let mut inner = self.inner.lock().expect("nothing panics while it holds the lock");
        let (settings, schedule) = &mut *inner;
        work(settings, schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of each kind in ten seconds, and of all, when each changes `rows` rows.
    fn ten_seconds(settings: Settings, rows: f64) -> ([u32; KIND_COUNT], u32) {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let mut counts = [0; KIND_COUNT];
        for step in 0..10_000 {
            let now = start + Duration::from_millis(step);
            while let Some(kind) = schedule.take(&settings, now) {
                counts[kind.index()] += 1;
                schedule.changes -= rows - 1.0;
            }
        }
        (counts, counts.iter().sum())
    }

    #[test]
    fn every_kind_comes_as_often_as_its_rate_says() {
        let settings = Settings { speed: 10.0, ..Settings::default() };
        let (counts, _) = ten_seconds(settings, 1.0);
        for (kind, rate) in KINDS {
            let difference = f64::from(counts[kind.index()]) - rate * 100.0;
            assert!(difference.abs() <= 2.0, "{}: {counts:?}", kind.name());
        }
    }

    #[test]
    fn changes_stay_below_their_limit_and_no_kind_starves() {
        let settings = Settings { speed: 1_000.0, changes_max: 200.0, ..Settings::default() };
        let (counts, all) = ten_seconds(settings, 5.0);
        assert!((390..=440).contains(&all), "{all}");
        assert!(counts.iter().filter(|count| **count > 0).count() > 10, "{counts:?}");
    }

    #[test]
    fn nothing_is_due_in_a_pause_and_little_is_made_up_for_after_it() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let paused = Settings { is_paused: true, ..Settings::default() };
        let hour = start + Duration::from_secs(3_600);
        assert_eq!(schedule.take(&paused, hour), None);
        let running = Settings::default();
        let first = (0..).take_while(|_| schedule.take(&running, hour).is_some()).count();
        assert_eq!(first, 0);
        let later = hour + Duration::from_secs(3_600);
        let made_up = (0..).take_while(|_| schedule.take(&running, later).is_some()).count();
        assert!(made_up <= 2 * KIND_COUNT, "{made_up}");
    }

    #[test]
    fn a_burst_ends_by_itself() {
        let now = Instant::now();
        let until = now + Duration::from_secs(5);
        let settings =
            Settings { burst: Some(Burst { factor: 20.0, until }), ..Settings::default() };
        let usual = Settings::default().rate(Kind::Order, now);
        assert_eq!(settings.rate(Kind::Order, now), usual * 20.0);
        assert_eq!(settings.rate(Kind::Order, until), usual);
    }

    #[test]
    fn what_is_out_of_range_is_named_and_changes_nothing() {
        let control = Control::new(Settings::default());
        for value in [-1.0, f64::NAN, f64::INFINITY, 1_001.0] {
            let refusal = control.change(|settings| settings.rates[0] = value).unwrap_err();
            assert!(refusal.to_string().contains("the rate of orders"), "{refusal}");
        }
        assert_eq!(control.settings(), Settings::default());
    }
}

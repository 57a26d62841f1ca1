//! Asks reader and loaders all the time whether they live, whether they are ready, and how far they are behind.
//!
//! In: their addresses. Out: each time in which one was not ready, with its reason; the largest lag; an error when one
//! did not say that it lives.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use devstack::http;

/// How often everybody is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A time in which a program was not ready.
#[derive(Debug, Clone)]
pub(crate) struct Spell {
    pub(crate) who: String,
    pub(crate) begun: Instant,
    pub(crate) ended: Option<Instant>,
    /// what the program said, each reason once
    pub(crate) reasons: Vec<String>,
}

impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.ended.unwrap_or_else(Instant::now);
        let time = ended.duration_since(self.begun).as_secs_f64();
        write!(f, "{} was not ready for {time:.1} s: {}", self.who, self.reasons.join("; "))
    }
}

#[derive(Debug, Default)]
struct Seen {
    spells: Vec<Spell>,
    lag: f64,
    stalled: f64,
    failure: Option<String>,
}

/// The look at everybody's health, which ends when it is dropped.
pub(crate) struct Health {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen since it was asked last.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) spells: Vec<Spell>,
    /// the most events that were published and not loaded
    pub(crate) lag: f64,
    /// the longest time for which Kafka acknowledged nothing of what waited
    pub(crate) stalled: Duration,
}

impl Health {
    /// Begins to ask: names and addresses.
    pub(crate) fn start(of: Vec<(String, String)>) -> Self {
        let (seen, stop) =
            (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (ours, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut lag = 0.0;
                for (who, address) in &of {
                    lag += ask(&ours, who, address);
                }
                let mut seen = ours.lock().unwrap_or_else(PoisonError::into_inner);
                seen.lag = seen.lag.max(lag);
                drop(seen);
                std::thread::sleep(ASK_EVERY);
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// Who is not ready now.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let open = seen.spells.iter().filter(|spell| spell.ended.is_none());
        open.map(|spell| spell.who.clone()).collect()
    }

    /// What was seen since the last question; everybody has to be ready again.
    ///
    /// # Errors
    /// When somebody did not live at one time.
    pub(crate) fn told(&self) -> anyhow::Result<Told> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = std::mem::take(&mut *seen);
        match seen.failure {
            Some(failure) => anyhow::bail!("{failure}"),
            None => Ok(Told {
                spells: seen.spells,
                lag: seen.lag,
                stalled: Duration::from_secs_f64(seen.stalled),
            }),
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Asks one of them, notes what it says, and gives how many events it has not loaded.
fn ask(seen: &Mutex<Seen>, who: &str, address: &str) -> f64 {
    let get = |path| http::get(&format!("http://{address}/{path}"));
    let alive = match get("health") {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(format!("{who} does not live: {} {}", answer.status, answer.body)),
        Err(error) => Some(format!("{who} does not live: {error:#}")),
    };
    let reason = match get("ready") {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(answer.body.trim().to_owned()),
        Err(error) => Some(format!("{error:#}")),
    };
    let metrics = get("metrics").map(|answer| sums(&answer.body)).unwrap_or_default();
    let metric = |name: &str| metrics.get(name).copied().unwrap_or_default();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = alive {
        seen.failure.get_or_insert(failure);
    }
    seen.stalled = seen.stalled.max(metric("cdc_reader_publish_stalled_seconds"));
    note(&mut seen.spells, who, reason);
    metric("vault_loader_lag_events")
}

/// Begins, goes on with, or ends the time in which somebody is not ready.
fn note(spells: &mut Vec<Spell>, who: &str, reason: Option<String>) {
    let open = spells.iter_mut().find(|spell| spell.who == who && spell.ended.is_none());
    match (open, reason) {
        (Some(spell), None) => spell.ended = Some(Instant::now()),
        (Some(spell), Some(reason)) => {
            let words = without_numbers(&reason);
            if !spell.reasons.iter().any(|known| without_numbers(known) == words) {
                spell.reasons.push(reason);
            }
        }
        (None, Some(reason)) => spells.push(Spell {
            who: who.to_owned(),
            begun: Instant::now(),
            ended: None,
            reasons: vec![reason],
        }),
        (None, None) => {}
    }
}

/// A reason that counts seconds is the same reason a second later.
fn without_numbers(reason: &str) -> String {
    reason.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// The sum of each metric over its labels.
fn sums(text: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let name = name.split('{').next().unwrap_or(name);
        if let Ok(value) = value.parse::<f64>() {
            *sums.entry(name.to_owned()).or_default() += value;
        }
    }
    sums
}

#[test]
fn a_time_without_readiness_has_a_begin_an_end_and_each_reason_once() {
    let mut spells = Vec::new();
    note(&mut spells, "reader", None);
    note(&mut spells, "reader", Some("waits for 15 s".to_owned()));
    note(&mut spells, "reader", Some("waits for 16 s".to_owned()));
    note(&mut spells, "loader", Some("no leader".to_owned()));
    note(&mut spells, "reader", None);
    note(&mut spells, "reader", Some("waits for 15 s".to_owned()));
    let ended: Vec<_> =
        spells.iter().map(|spell| (spell.who.as_str(), spell.ended.is_some())).collect();
    assert_eq!(ended, [("reader", true), ("loader", false), ("reader", false)]);
    assert_eq!(spells[0].reasons, ["waits for 15 s"]);
    let text = "# HELP a\nlag{partition=\"0\"} 3\nlag{partition=\"1\"} 4\nother 1.5\n";
    assert_eq!(
        sums(text).into_iter().collect::<Vec<_>>(),
        [("lag".into(), 7.0), ("other".into(), 1.5)]
    );
}

//! Found flights, kept in Redis for all instances.
//!
//! In: a search. Out: the answer that an earlier search of any instance had, or the database's. Nothing is sold by it:
//! a sale reads the database. Invariants and hard cases:
//!
//! * Every route and day (of UTC) has a version in Redis, a random number. An entry's name holds the versions of the
//!   days that the searched day touches. A change through the service, after its commit and before its answer, gives
//!   the touched days new versions. So whoever has the answer of a sale finds it in every search, at every instance.
//! * A search that began before a sale and ends after it stores its old state under the old versions, where nobody
//!   looks any more. A version that Redis forgets is replaced by a new random one, so no old entry comes back.
//! * An instance that dies between commit and new version, a change while Redis is away, and what the airline's own
//!   programs change: the entry lasts `search_time`, a few seconds, and no longer.
//! * Many equal searches at once: one asks the database, the others of the instance wait for it.
//! * A replica that lags would put the state before a sale under the version after it. So what is kept is read from the
//!   primary.
//! * Redis is away: the database answers everything, as without Redis. When Redis goes while equal searches wait for
//!   the one that asks, nothing will be stored for them, and they ask the database at the same time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::{Days, NaiveDate};
use rand::RngExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedMutexGuard;

use super::live_metrics::LiveMetrics;
use super::problem::Problem;
use super::redis_link::Link;
use super::touched::RouteDay;

/// How long a version is remembered at least.
const VERSION_TIME: Duration = Duration::from_secs(60);
/// How many times as long as an entry a version is remembered at least: each search that needs a new one makes a miss.
const ENTRY_TIMES: u32 = 10;

/// The cache of one instance.
#[derive(Debug)]
pub(crate) struct Cache {
    link: Option<Link>,
    time: Duration,
    metrics: LiveMetrics,
    /// Searches that are under way.
    under_way: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// A search: its route and day, and all that makes it another search.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The day by the clock of the airport of departure.
    pub(crate) date: NaiveDate,
    pub(crate) rest: String,
}

/// What becomes of the database's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is kept for others.
    Kept,
    /// It is shown to the one who asked.
    Shown,
}

/// Redis does not answer.
#[derive(Debug, Clone, Copy)]
struct Away;

/// What a look into the cache gives.
enum Looked<T> {
    /// The answer of an earlier search.
    Found(T),
    /// The turn to search, and the name under which the answer is kept.
    Turn { name: String, turn: OwnedMutexGuard<()> },
}

impl Cache {
    pub(crate) fn new(link: Option<Link>, time: Duration, metrics: LiveMetrics) -> Self {
        Self { link, time, metrics, under_way: Mutex::default() }
    }

    /// The answer of an earlier search, or that of `search`.
    pub(crate) async fn find<T: Serialize + DeserializeOwned, F>(
        &self,
        wanted: &Wanted,
        search: impl FnOnce(Answer) -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let Some(link) = &self.link else {
            self.metrics.search("off");
            return search(Answer::Shown).await;
        };
        match self.look(link, wanted).await {
            Ok(Looked::Found(found)) => Ok(found),
            Ok(Looked::Turn { name, turn }) => {
                self.metrics.search("miss");
                let found = search(Answer::Kept).await?;
                self.store(link, &name, &found).await;
                drop(turn);
                Ok(found)
            }
            Err(Away) => {
                self.metrics.search("away");
                search(Answer::Shown).await
            }
        }
    }

    /// Looks for an answer, and for one that comes while others search the same.
    async fn look<T: DeserializeOwned>(
        &self,
        link: &Link,
        wanted: &Wanted,
    ) -> Result<Looked<T>, Away> {
        let name = self.name(link, wanted).await.ok_or(Away)?;
        if let Some(found) = read(link, &name).await? {
            self.metrics.search("hit");
            return Ok(Looked::Found(found));
        }
        let turn = self.turn(&name).lock_owned().await;
        // Whoever waited for the turn finds what was stored meanwhile.
        if let Some(found) = read(link, &name).await? {
            self.metrics.search("shared");
            return Ok(Looked::Found(found));
        }
        Ok(Looked::Turn { name, turn })
    }

    async fn store(&self, link: &Link, name: &str, found: &impl Serialize) {
        let Ok(text) = serde_json::to_string(found) else { return };
        let time_ms = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX).max(1);
        let command = redis::cmd("SET").arg(name).arg(text).arg("PX").arg(time_ms).take();
        let _: Option<String> = link.ask(&command).await;
    }

    /// The turn of those who make one search.
    fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = under_way.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        under_way.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        under_way.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// The name of an entry, with the versions of the days that a local day touches. `None` when Redis is away.
    async fn name(&self, link: &Link, wanted: &Wanted) -> Option<String> {
        let Wanted { from, to, date, rest } = wanted;
        let day_before = date.checked_sub_days(Days::new(1)).unwrap_or(*date);
        let day_after = date.checked_add_days(Days::new(1)).unwrap_or(*date);
        let names = [day_before, *date, day_after].map(|day| version_name(from, to, day));
        let mut versions: Vec<Option<String>> = ask_versions(link, &names).await?;
        if versions.iter().any(Option::is_none) {
            for (name, _) in names.iter().zip(&versions).filter(|(_, version)| version.is_none()) {
                let command = redis::cmd("SET")
                    .arg(name)
                    .arg(random())
                    .arg("NX")
                    .arg("EX")
                    .arg(self.version_s())
                    .take();
                // Another instance may have been faster; its version is as good.
                link.ask::<redis::Value>(&command).await?;
            }
            versions = ask_versions(link, &names).await?;
        }
        let versions: Option<Vec<String>> = versions.into_iter().collect();
        Some(format!("booking:search:{from}:{to}:{date}:{}:{rest}", versions?.join(".")))
    }

    /// How long a version is remembered, in seconds.
    fn version_s(&self) -> u64 {
        VERSION_TIME.max(self.time.saturating_mul(ENTRY_TIMES)).as_secs()
    }

    /// Makes all instances forget what they found on these routes and days.
    pub(crate) async fn forget(&self, touched: &BTreeSet<RouteDay>) {
        let Some(link) = &self.link else { return };
        for route_day in touched {
            let version = version_name(&route_day.from, &route_day.to, route_day.day);
            let command =
                redis::cmd("SET").arg(version).arg(random()).arg("EX").arg(self.version_s()).take();
            let _: Option<String> = link.ask(&command).await;
        }
    }
}

async fn ask_versions(link: &Link, names: &[String; 3]) -> Option<Vec<Option<String>>> {
    link.ask(&redis::cmd("MGET").arg(&names[..]).take()).await
}

/// The entry of a name, if there is one.
async fn read<T: DeserializeOwned>(link: &Link, name: &str) -> Result<Option<T>, Away> {
    let text: Option<Option<String>> = link.ask(&redis::cmd("GET").arg(name).take()).await;
    Ok(text.ok_or(Away)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn version_name(from: &str, to: &str, day: NaiveDate) -> String {
    format!("booking:version:{from}:{to}:{day}")
}

fn random() -> String {
    hex::encode(rand::rng().random::<[u8; 8]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_outlives_the_entries_under_it() {
        let version_s = |time| Cache::new(None, time, LiveMetrics::default()).version_s();
        assert_eq!(version_s(Duration::from_secs(2)), 60);
        assert_eq!(version_s(Duration::from_secs(3600)), 36_000);
    }
}

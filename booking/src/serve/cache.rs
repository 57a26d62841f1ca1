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
//! * Redis is away: the database answers everything, as without Redis.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::{Days, NaiveDate};
use rand::RngExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::live_metrics::LiveMetrics;
use super::problem::Problem;
use super::redis_link::Link;
use super::touched::RouteDay;

/// How long a version is remembered; a search of a day asks for it again.
const VERSION_S: u64 = 24 * 3600;

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

impl Cache {
    pub(crate) fn new(link: Option<Link>, time: Duration, metrics: LiveMetrics) -> Self {
        Self { link, time, metrics, under_way: Mutex::default() }
    }

    /// The answer of an earlier search, or that of `search`.
    pub(crate) async fn find<T: Serialize + DeserializeOwned>(
        &self,
        wanted: &Wanted,
        search: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let Some(link) = &self.link else {
            self.metrics.search("off");
            return search.await;
        };
        let Some(name) = name(link, wanted).await else {
            self.metrics.search("away");
            return search.await;
        };
        if let Some(found) = read(link, &name).await {
            self.metrics.search("hit");
            return Ok(found);
        }
        let turn = self.turn(&name);
        let turn = turn.lock().await;
        // Whoever waited for the turn finds what was stored meanwhile.
        if let Some(found) = read(link, &name).await {
            self.metrics.search("shared");
            return Ok(found);
        }
        self.metrics.search("miss");
        let found = search.await?;
        self.store(link, &name, &found).await;
        drop(turn);
        Ok(found)
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

    /// Makes all instances forget what they found on these routes and days.
    pub(crate) async fn forget(&self, touched: &BTreeSet<RouteDay>) {
        let Some(link) = &self.link else { return };
        for route_day in touched {
            let version = version_name(&route_day.from, &route_day.to, route_day.day);
            let command =
                redis::cmd("SET").arg(version).arg(random()).arg("EX").arg(VERSION_S).take();
            let _: Option<String> = link.ask(&command).await;
        }
    }
}

/// The name of an entry, with the versions of the days that a local day touches. `None` when Redis is away.
async fn name(link: &Link, wanted: &Wanted) -> Option<String> {
    let Wanted { from, to, date, rest } = wanted;
    let day_before = date.checked_sub_days(Days::new(1)).unwrap_or(*date);
    let day_after = date.checked_add_days(Days::new(1)).unwrap_or(*date);
    let names = [day_before, *date, day_after].map(|day| version_name(from, to, day));
    let mut versions: Vec<Option<String>> = ask_versions(link, &names).await?;
    if versions.iter().any(Option::is_none) {
        for (name, _) in names.iter().zip(&versions).filter(|(_, version)| version.is_none()) {
            let command =
                redis::cmd("SET").arg(name).arg(random()).arg("NX").arg("EX").arg(VERSION_S).take();
            // Another instance may have been faster; its version is as good.
            link.ask::<redis::Value>(&command).await?;
        }
        versions = ask_versions(link, &names).await?;
    }
    let versions: Option<Vec<String>> = versions.into_iter().collect();
    Some(format!("booking:search:{from}:{to}:{date}:{}:{rest}", versions?.join(".")))
}

async fn ask_versions(link: &Link, names: &[String; 3]) -> Option<Vec<Option<String>>> {
    link.ask(&redis::cmd("MGET").arg(&names[..]).take()).await
}

async fn read<T: DeserializeOwned>(link: &Link, name: &str) -> Option<T> {
    let text: Option<String> = link.ask(&redis::cmd("GET").arg(name).take()).await?;
    serde_json::from_str(&text?).ok()
}

fn version_name(from: &str, to: &str, day: NaiveDate) -> String {
    format!("booking:version:{from}:{to}:{day}")
}

fn random() -> String {
    hex::encode(rand::rng().random::<[u8; 8]>())
}

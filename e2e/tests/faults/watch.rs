//! Looks at the warehouse all the time: whether loading goes on, and whether a rule of the vault is broken.
//!
//! In: the addresses of warehouse and server log. Out: how long nothing was loaded, deadlocks, and the first broken
//! rule or standstill, for the loop of faults to fail on. The warehouse may be away: then the watch connects again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::{oracle, sql};
use tokio_postgres::Client;

/// How often the watch looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often it asks for the rules.
const RULES_EVERY: Duration = Duration::from_secs(15);

/// From here on nothing loaded counts as a standstill.
const STANDSTILL_MIN: Duration = Duration::from_secs(2);

/// So long nothing is loaded while there is something to load, and the group counts as stuck. Faults come every second
/// or so and each may cost a session's time-out, so it is not short.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// Faults that took longer prove nothing when no rule was asked meanwhile.
const ASKED_WITHIN: Duration = Duration::from_secs(60);

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(60);

/// The rule that only holds when nobody loads between the refresh of the star schema and the look.
const OF_THE_STAR: &str = "star_equals_vault";

/// What was seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// the sum of all times of at least [`STANDSTILL_MIN`] in which nothing was loaded
    pub(crate) standstill: Duration,
    /// the longest of them
    pub(crate) longest: Duration,
    /// how often all rules were asked
    pub(crate) rules_asked: u32,
    /// why a look failed last that was to ask for the rules
    not_asked: Option<String>,
    /// a reason to end the run
    failure: Option<String>,
}

impl Seen {
    /// Proves that the watch could ask for the rules in the time that the faults took.
    ///
    /// # Errors
    /// When it never could.
    pub(crate) fn proves_rules(&self, disturbed: Duration) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.rules_asked > 0 || disturbed <= ASKED_WITHIN,
            "the faults took {disturbed:.0?}, and all rules could never be asked meanwhile; the last try: {}",
            self.not_asked.as_deref().unwrap_or("none was made")
        );
        Ok(())
    }
}

/// The watch, which ends when it is dropped.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Begins to look at a warehouse database, by a connection string.
    pub(crate) fn start(warehouse: String) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let look = Look { warehouse, seen: Arc::clone(&seen), moved: Instant::now(), sum: -1 };
        Self { seen, task: tokio::spawn(look.run()) }
    }

    /// What was seen so far.
    ///
    /// # Errors
    /// When a rule was broken or the group is stuck.
    pub(crate) fn seen(&self) -> anyhow::Result<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match &seen.failure {
            None => Ok(seen),
            Some(failure) => anyhow::bail!("{failure}"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Look {
    warehouse: String,
    seen: Arc<Mutex<Seen>>,
    /// when an offset moved last
    moved: Instant,
    /// sum of all offsets then
    sum: i64,
}

impl Look {
    async fn run(mut self) {
        let (mut client, mut ruled) = (None, Instant::now());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let is_due = ruled.elapsed() > RULES_EVERY;
            let looked = tokio::time::timeout(QUESTION, self.look(&mut client, is_due)).await;
            let failed = match looked {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some(format!("no answer within {QUESTION:?}")),
            };
            match failed {
                None if is_due => ruled = Instant::now(),
                None => {}
                Some(why) => {
                    client = None; // the warehouse is away, or comes back
                    self.note_failed(why, is_due);
                }
            }
            if self.moved.elapsed() > STUCK_AFTER {
                self.fail(format!("nothing was loaded for {STUCK_AFTER:?}"));
            }
        }
    }

    async fn look(&mut self, kept: &mut Option<Client>, rules: bool) -> anyhow::Result<()> {
        let client = match kept.take() {
            Some(client) => client,
            None => sql::connect(&self.warehouse).await?,
        };
        let sum = "SELECT coalesce(sum(next_offset), 0) FROM dwh_control.offsets";
        self.note(sql::one(&client, sum).await?.parse()?);
        if rules {
            self.ask_rules(&client).await?;
        }
        *kept = Some(client);
        Ok(())
    }

    fn note(&mut self, sum: i64) {
        if sum == self.sum {
            return;
        }
        let still = self.moved.elapsed();
        if still >= STANDSTILL_MIN && self.sum >= 0 {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.standstill += still;
            seen.longest = seen.longest.max(still);
        }
        (self.sum, self.moved) = (sum, Instant::now());
    }

    async fn ask_rules(&self, client: &Client) -> anyhow::Result<()> {
        for (name, query) in oracle::checks(client).await? {
            if name == OF_THE_STAR {
                continue;
            }
            let asked = sql::rows(client, &query).await;
            let broken = asked.with_context(|| format!("the rule {name} cannot be asked"))?;
            if !broken.is_empty() {
                self.fail(format!("the rule {name} is broken under load: {broken:?}"));
            }
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).rules_asked += 1;
        Ok(())
    }

    /// Keeps why the rules could not be asked. A warehouse that is away is no news when they were not due.
    fn note_failed(&self, why: String, is_due: bool) {
        if is_due {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).not_asked = Some(why);
        }
    }

    fn fail(&self, failure: String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.failure.get_or_insert(failure);
    }
}

/// How many deadlocks the warehouse's server has resolved: its statistics do not survive a crash, its log does.
pub(crate) fn deadlocks(log: &Path) -> anyhow::Result<usize> {
    let text = std::fs::read(log).context("cannot read the warehouse's log")?;
    Ok(String::from_utf8_lossy(&text).matches("deadlock detected").count())
}

/// Waits until no session waits for a lock.
pub(crate) async fn nobody_waits(client: &Client) -> anyhow::Result<()> {
    let waiting = "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted";
    devstack::try_wait_for_async(Duration::from_secs(30), "all locks to be granted", async || {
        anyhow::Ok(sql::one(client, waiting).await? == "0")
    })
    .await
}

/// Sessions and locks of the warehouse, for a message.
pub(crate) async fn dump(warehouse: &str) -> String {
    let queries = [
        "SELECT pid, state, wait_event_type, wait_event, pg_blocking_pids(pid), now() - xact_start, now() - state_change, left(query, 100)
         FROM pg_catalog.pg_stat_activity WHERE datname = current_database() ORDER BY xact_start",
        "SELECT pid, locktype, relation::regclass, objid, transactionid, mode, granted
         FROM pg_catalog.pg_locks WHERE NOT granted OR locktype IN ('advisory', 'transactionid') ORDER BY pid",
        "SELECT topic, partition, next_offset, epoch, parking_version FROM dwh_control.offsets ORDER BY 1, 2",
        "SELECT topic, reason FROM dwh_control.paused_tables",
    ];
    let Ok(client) = sql::connect(warehouse).await else {
        return "the warehouse does not answer\n".to_owned();
    };
    let mut text = String::new();
    for query in queries {
        match sql::rows(&client, query).await {
            Ok(rows) => rows.iter().for_each(|row| {
                let values = row.iter().map(|value| value.as_deref().unwrap_or("-"));
                text.push_str(&values.collect::<Vec<_>>().join(" | "));
                text.push('\n');
            }),
            Err(error) => text.push_str(&format!("{error:#}\n")),
        }
        text.push_str("---\n");
    }
    text
}

#[test]
fn long_faults_during_which_no_rule_could_be_asked_prove_nothing() {
    let why = Some("the rule hubs cannot be asked: no such function".to_owned());
    let mut seen = Seen { not_asked: why, ..Seen::default() };
    seen.proves_rules(ASKED_WITHIN).unwrap();
    let long = ASKED_WITHIN + Duration::from_secs(1);
    let error = seen.proves_rules(long).unwrap_err().to_string();
    assert!(error.contains("61s") && error.contains("the rule hubs cannot be asked"), "{error}");
    seen.rules_asked = 1;
    seen.proves_rules(long).unwrap();
}

#[test]
fn only_a_look_that_was_to_ask_for_the_rules_says_why_they_were_not_asked() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let look =
        Look { warehouse: String::new(), seen: Arc::clone(&seen), moved: Instant::now(), sum: -1 };
    look.note_failed("the rule hubs cannot be asked".to_owned(), true);
    look.note_failed("the warehouse is away".to_owned(), false);
    let said = seen.lock().unwrap().not_asked.clone();
    assert_eq!(said.as_deref(), Some("the rule hubs cannot be asked"));
}

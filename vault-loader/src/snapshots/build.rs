//! Builds what is due: every snapshot in a transaction of its own, oldest first.
//!
//! In: a [`Scope`] and a connection that has the lock of builds. Out: the tables' rows, and what still waits.
//!
//! A snapshot is built when every source that feeds its tables is loaded up to it, because then no version with its
//! load date or an earlier one can still come. So a snapshot that was built once never changes, with one exception:
//! events that waited in the quarantine, or rows that an operator closes, are loaded later with old load dates. Such a
//! load notes itself ([`control::note_late_load`]), and the snapshots that lack it are made anew.
//!
//! A snapshot of a point-in-time table is derived from the table's snapshot before it. Snapshots are built in order of
//! time, so the one before is there, and it is not a stale one. The transaction also removes snapshots that the
//! calendar does not keep any more, a bounded number of them. A build that is killed leaves whole snapshots, and the
//! next one goes on behind them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use tokio_postgres::{Client, IsolationLevel, Transaction};
use tokio_util::sync::CancellationToken;

use super::calendar;
use super::error::SnapshotsError;
use super::scope::{LoadedUpTo, Scope};
use crate::control::{self, BuiltSnapshot};
use crate::migrate::business::Filling;

/// How many old snapshots of a table one transaction removes.
const REMOVED_MAX: usize = 8;

/// Builds the snapshots of one scope.
pub(super) struct Builder<'b> {
    pub(super) client: &'b mut Client,
    pub(super) scope: &'b Scope,
    /// up to when sources are loaded of which the warehouse does not know it, by the word of an operator
    pub(super) assumed: Option<DateTime<Utc>>,
}

/// A snapshot that is to be built.
struct Due {
    calendar_time: NaiveDateTime,
    /// places of the tables among the fillings
    tables: Vec<usize>,
}

/// What one table got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) table: String,
    pub(super) rows: i64,
    /// none for a bridge
    pub(super) versions: Option<i64>,
    /// how many old snapshots were removed
    pub(super) removed: usize,
}

/// A snapshot that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Built {
    pub(super) date: DateTime<Utc>,
    pub(super) calendar_time: NaiveDateTime,
    pub(super) tables: Vec<Filled>,
    pub(super) took: Duration,
}

/// What is not built yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// up to when everything is loaded
    pub(super) loaded: LoadedUpTo,
    /// snapshots whose time has come, and that have to wait for the loader
    pub(super) times: Vec<(DateTime<Utc>, NaiveDateTime)>,
    /// the next snapshot whose time has not come
    pub(super) next: Option<(DateTime<Utc>, NaiveDateTime)>,
}

impl Builder<'_> {
    /// Builds everything that is due, until a stop. `say` is told about each snapshot. Returns how many were built.
    pub(super) async fn build(
        &mut self,
        stop: &CancellationToken,
        say: &mut impl FnMut(&Built),
    ) -> Result<usize, SnapshotsError> {
        control::mark_late(self.client).await?;
        let due = self.due().await?;
        let mut count = 0;
        for (date, due) in due {
            if stop.is_cancelled() {
                return Ok(count);
            }
            let Some(built) = self.build_one(date, &due).await? else { break };
            say(&built);
            count += 1;
        }
        while self.remove_old().await? > 0 && !stop.is_cancelled() {}
        Ok(count)
    }

    /// Marks snapshots as stale from a time on, by the calendar's clock; all of them without a time. Returns how many
    /// there are.
    pub(super) async fn mark(
        &mut self,
        from: Option<NaiveDateTime>,
    ) -> Result<u64, SnapshotsError> {
        let zone = &self.scope.calendar.time_zone;
        let from = match from {
            Some(from) => control::instants(self.client, zone, &[from]).await?.pop(),
            None => None,
        };
        let from = from.unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        Ok(control::mark_stale(self.client, &self.scope.tables(), from).await?)
    }

    /// What is due, by time: stale snapshots, and those that a table does not have yet.
    async fn due(&self) -> Result<BTreeMap<DateTime<Utc>, Due>, SnapshotsError> {
        let mut due: BTreeMap<DateTime<Utc>, Due> = BTreeMap::new();
        let loaded = self.scope.loaded_up_to(self.client, self.assumed).await?;
        let Some(until) = loaded.known() else { return Ok(due) };
        let tables = self.scope.tables();
        let built = control::built_snapshots(self.client, &tables).await?;
        let mut newest = vec![None; tables.len()];
        for snapshot in &built {
            let Some(table) = tables.iter().position(|table| *table == snapshot.table) else {
                continue;
            };
            newest[table] = newest[table].max(Some(snapshot.date));
            if snapshot.is_stale && snapshot.date <= until {
                add(&mut due, snapshot.date, snapshot.calendar_time, table);
            }
        }
        if newest.contains(&None) {
            // Nothing can be seen before the first load date.
            let earliest = self.client.query_one(&self.scope.earliest, &[]).await?;
            let before = |first: DateTime<Utc>| first - TimeDelta::microseconds(1);
            let earliest = earliest.get::<_, Option<DateTime<Utc>>>(0).map(before);
            newest.iter_mut().for_each(|newest| *newest = newest.or(earliest));
        }
        let Some(from) = newest.iter().flatten().min().copied() else { return Ok(due) };
        for (date, calendar_time) in self.times(from, until).await? {
            for (table, newest) in newest.iter().enumerate() {
                if newest.is_some_and(|newest| newest < date) {
                    add(&mut due, date, calendar_time, table);
                }
            }
        }
        Ok(due)
    }

    /// The snapshots behind `from` and up to `until` that the calendar keeps when the last of them is the newest one.
    async fn times(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<(DateTime<Utc>, NaiveDateTime)>, SnapshotsError> {
        let (calendar, zone) = (&self.scope.calendar, &self.scope.calendar.time_zone);
        let first = control::local_time(self.client, zone, from).await?.date();
        let last = control::local_time(self.client, zone, until).await?.date();
        let day_before = calendar::day_before;
        let newest =
            calendar::times(calendar, day_before(day_before(last)), calendar::day_after(last));
        let newest = self.instants(newest.collect()).await?;
        let newest = newest.into_iter().rfind(|(date, _)| *date <= until);
        let Some((_, newest)) = newest else { return Ok(Vec::new()) };
        let kept = calendar::times(calendar, day_before(first), newest.date())
            .filter(|time| calendar::is_kept(calendar, *time, newest));
        let mut found = self.instants(kept.collect()).await?;
        found.retain(|(date, _)| from < *date && *date <= until);
        // Where clocks leave out an hour, two times can be one.
        found.dedup_by_key(|(date, _)| *date);
        Ok(found)
    }

    async fn instants(
        &self,
        times: Vec<NaiveDateTime>,
    ) -> Result<Vec<(DateTime<Utc>, NaiveDateTime)>, SnapshotsError> {
        let dates = control::instants(self.client, &self.scope.calendar.time_zone, &times).await?;
        let mut found: Vec<_> = dates.into_iter().zip(times).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Builds one snapshot; none when the warehouse says that it is not complete after all.
    async fn build_one(
        &mut self,
        date: DateTime<Utc>,
        due: &Due,
    ) -> Result<Option<Built>, SnapshotsError> {
        let started = Instant::now();
        let scope = self.scope;
        let transaction = self
            .client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .start()
            .await?;
        let loaded = scope.loaded_up_to(&transaction, self.assumed).await?;
        if loaded.known().is_none_or(|loaded| loaded < date) {
            return Ok(None);
        }
        let record_sources: Vec<&str> = scope.record_sources.iter().map(String::as_str).collect();
        let waiting_events = control::waiting_events(&transaction, &record_sources).await?;
        let mut tables = Vec::with_capacity(due.tables.len());
        for &table in &due.tables {
            let filling = &scope.fillings[table];
            remove(&transaction, filling, date).await?;
            let calendar_time = due.calendar_time;
            let (rows, versions) =
                fill(&transaction, filling, date, calendar_time, waiting_events).await?;
            let removed = remove_old(&transaction, scope, filling).await?;
            tables.push(Filled { table: filling.table.name.clone(), rows, versions, removed });
        }
        transaction.commit().await?;
        let calendar_time = due.calendar_time;
        Ok(Some(Built { date, calendar_time, tables, took: started.elapsed() }))
    }

    /// Removes snapshots that are not kept any more, a bounded number of them. Returns how many.
    async fn remove_old(&mut self) -> Result<usize, SnapshotsError> {
        let transaction = self.client.transaction().await?;
        let mut removed = 0;
        for filling in &self.scope.fillings {
            removed += remove_old(&transaction, self.scope, filling).await?;
        }
        transaction.commit().await?;
        Ok(removed)
    }

    /// What is not built, and why.
    pub(super) async fn waiting(&self) -> Result<Waiting, SnapshotsError> {
        let loaded = self.scope.loaded_up_to(self.client, self.assumed).await?;
        let now = control::warehouse_now(self.client).await?;
        let built = control::built_snapshots(self.client, &self.scope.tables()).await?;
        let newest = built.last().map(|snapshot| snapshot.date);
        let from = match newest.or(loaded.known()) {
            Some(from) => from,
            // Nobody knows anything: what would have been seen by now.
            None => now - TimeDelta::days(1),
        };
        let mut times = Vec::new();
        if from < now {
            times = self.times(from, now).await?;
        }
        let last = from.max(now);
        let next = self.times(last, last + TimeDelta::days(2)).await?.into_iter().next();
        Ok(Waiting { loaded, times, next })
    }
}

/// Adds a table to those that get a snapshot.
fn add(
    due: &mut BTreeMap<DateTime<Utc>, Due>,
    date: DateTime<Utc>,
    calendar_time: NaiveDateTime,
    table: usize,
) {
    due.entry(date).or_insert(Due { calendar_time, tables: Vec::new() }).tables.push(table);
}

/// Writes a table's rows of a snapshot, and notes the snapshot. Returns how many rows were written, and how many
/// versions were read.
async fn fill(
    transaction: &Transaction<'_>,
    filling: &Filling,
    date: DateTime<Utc>,
    calendar_time: NaiveDateTime,
    waiting_events: i64,
) -> Result<(i64, Option<i64>), SnapshotsError> {
    let table = filling.table.name.as_str();
    let (row, derived_from) = if filling.is_derived {
        let built = control::built_snapshots(transaction, &[table]).await?;
        let before = built.iter().map(|built| built.date).rfind(|built| *built < date);
        // No version has this load date or an earlier one.
        let from = before.unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        (transaction.query_one(&filling.sql, &[&date, &from]).await?, before)
    } else {
        (transaction.query_one(&filling.sql, &[&date]).await?, None)
    };
    let (versions_read, rows_written) = (row.get(0), row.get(1));
    let built = BuiltSnapshot {
        table: table.to_owned(),
        date,
        calendar_time,
        derived_from,
        versions_read,
        rows_written,
        waiting_events,
        is_stale: false,
        built_at: date, // the warehouse's clock tells it
    };
    let sources: Vec<&str> = filling.sources.iter().map(String::as_str).collect();
    control::note_snapshot(transaction, &built, &sources).await?;
    Ok((rows_written, versions_read))
}

/// Removes the rows of a snapshot, if there are any.
async fn remove(
    transaction: &Transaction<'_>,
    filling: &Filling,
    date: DateTime<Utc>,
) -> Result<(), SnapshotsError> {
    let sql = format!("DELETE FROM {} WHERE snapshot_date = $1", filling.table.qualified());
    transaction.execute(&sql, &[&date]).await?;
    control::forget_snapshot(transaction, &filling.table.name, date).await?;
    Ok(())
}

/// Removes a table's oldest snapshots that the calendar does not keep beside the newest one.
async fn remove_old(
    transaction: &Transaction<'_>,
    scope: &Scope,
    filling: &Filling,
) -> Result<usize, SnapshotsError> {
    let built = control::built_snapshots(transaction, &[filling.table.name.as_str()]).await?;
    let Some(newest) = built.last() else { return Ok(0) };
    let is_old = |built: &&BuiltSnapshot| {
        !calendar::is_kept(&scope.calendar, built.calendar_time, newest.calendar_time)
    };
    let old: Vec<DateTime<Utc>> =
        built.iter().filter(is_old).map(|built| built.date).take(REMOVED_MAX).collect();
    for date in &old {
        remove(transaction, filling, *date).await?;
    }
    Ok(old.len())
}

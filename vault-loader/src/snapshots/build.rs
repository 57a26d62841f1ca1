//! Builds what is due: every snapshot in a transaction of its own, oldest first.
//!
//! In: a [`Scope`] and a connection that has the lock of builds. Out: the tables' rows, and what still waits.
//!
//! A snapshot is built when every source that feeds its tables is loaded up to it, because then no version with its
//! load date or an earlier one can still come. So a snapshot that was built once never changes, with two exceptions.
//! Events that waited in the quarantine, rows that an operator closes and tables that are new in a model are loaded
//! later with old load dates. Such a load notes itself ([`control::note_late_load`]), and the snapshots that lack it
//! are made anew. So are snapshots that were filled in another way than the models say now, because a table or a source
//! has come that feeds them.
//!
//! The calendar may change, so a snapshot that it keeps is due wherever a table lacks it, and not only behind the
//! newest one.
//!
//! A snapshot of a point-in-time table is derived from the table's snapshot before it. Snapshots are built in order of
//! time, so the one before is there, and it is not a stale one. The transaction also removes snapshots that the
//! calendar does not keep any more, a bounded number of them. A build that is killed leaves whole snapshots, and the
//! next one goes on behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use tokio_postgres::{Client, IsolationLevel, Transaction};
use tokio_util::sync::CancellationToken;

use super::calendar;
use super::error::SnapshotsError;
use super::scope::{LoadedUpTo, Scope};
use crate::control::{self, BuiltSnapshot};
use crate::migrate::business::Filling;

/// A snapshot, and the same by the calendar's clock.
type Time = (DateTime<Utc>, NaiveDateTime);

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
    pub(super) times: Vec<Time>,
    /// the next snapshot whose time has not come
    pub(super) next: Option<Time>,
}

impl Builder<'_> {
    /// Builds everything that is due, until a stop. `say` is told about each snapshot. Returns how many were built.
    pub(super) async fn build(
        &mut self,
        stop: &CancellationToken,
        say: &mut impl FnMut(&Built),
    ) -> Result<usize, SnapshotsError> {
        control::mark_late(self.client).await?;
        let loaded = self.scope.loaded_up_to(self.client, self.assumed).await?;
        let due = match loaded.known() {
            Some(until) => self.due(until).await?,
            None => BTreeMap::new(),
        };
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

    /// What is due up to a time, by time: stale snapshots, and those that the calendar keeps and a table does not have.
    async fn due(
        &self,
        until: DateTime<Utc>,
    ) -> Result<BTreeMap<DateTime<Utc>, Due>, SnapshotsError> {
        let tables = self.scope.tables();
        let built = self.scope.built(self.client).await?;
        let mut has = vec![BTreeSet::new(); tables.len()];
        let mut stale = Vec::new();
        for snapshot in &built {
            let Some(table) = tables.iter().position(|table| *table == snapshot.table) else {
                continue;
            };
            let time = (snapshot.date, snapshot.calendar_time);
            has[table].insert(time);
            if snapshot.is_stale && snapshot.date <= until {
                stale.push((time, table));
            }
        }
        let kept = self.kept(until).await?;
        let mut due = BTreeMap::new();
        for (time, table) in self.missing(&kept, &has).await?.into_iter().chain(stale) {
            add(&mut due, time, table);
        }
        Ok(due)
    }

    /// The kept snapshots that tables lack, each with the place of its table. Nothing can be seen before the first load
    /// date, so the vault is asked for it, up to the last time that it may decide about.
    async fn missing(
        &self,
        kept: &[Time],
        has: &[BTreeSet<Time>],
    ) -> Result<Vec<(Time, usize)>, SnapshotsError> {
        let (mut found, mut doubtful) = (Vec::new(), Vec::new());
        for (table, has) in has.iter().enumerate() {
            let newest = has.last();
            for &time in kept.iter().filter(|time| !has.contains(time)) {
                match newest {
                    Some(newest) if newest.0 < time.0 => found.push((time, table)),
                    // It would be removed at once.
                    Some((_, newest))
                        if !calendar::is_kept(&self.scope.calendar, time.1, *newest) => {}
                    _ => doubtful.push((time, table)),
                }
            }
        }
        let Some(last) = doubtful.iter().map(|((date, _), _)| *date).max() else {
            return Ok(found);
        };
        let earliest = self.client.query_one(&self.scope.earliest, &[&last]).await?;
        let earliest: Option<DateTime<Utc>> = earliest.get(0);
        doubtful.retain(|((date, _), _)| earliest.is_some_and(|earliest| earliest <= *date));
        found.extend(doubtful);
        Ok(found)
    }

    /// The snapshots up to a time that the calendar keeps when the last of them is the newest one, in order.
    async fn kept(&self, until: DateTime<Utc>) -> Result<Vec<Time>, SnapshotsError> {
        let (calendar, zone) = (&self.scope.calendar, &self.scope.calendar.time_zone);
        let last = control::local_time(self.client, zone, until).await?.date();
        let day_before = calendar::day_before;
        let newest =
            calendar::times(calendar, day_before(day_before(last)), calendar::day_after(last));
        let newest = self.instants(newest.collect()).await?;
        let newest = newest.into_iter().rfind(|(date, _)| *date <= until);
        let Some((_, newest)) = newest else { return Ok(Vec::new()) };
        let first = calendar::first_kept(calendar, newest.date());
        let kept = calendar::times(calendar, first, newest.date())
            .filter(|time| calendar::is_kept(calendar, *time, newest));
        let mut found = self.instants(kept.collect()).await?;
        found.retain(|(date, _)| *date <= until);
        // Where clocks leave out an hour, two times can be one.
        found.dedup_by_key(|(date, _)| *date);
        Ok(found)
    }

    /// The first snapshot behind a time.
    async fn next(&self, after: DateTime<Utc>) -> Result<Option<Time>, SnapshotsError> {
        let (calendar, zone) = (&self.scope.calendar, &self.scope.calendar.time_zone);
        let day = control::local_time(self.client, zone, after).await?.date();
        let last = calendar::day_after(calendar::day_after(day));
        let times = calendar::times(calendar, calendar::day_before(day), last);
        let times = self.instants(times.collect()).await?;
        Ok(times.into_iter().find(|(date, _)| after < *date))
    }

    async fn instants(&self, times: Vec<NaiveDateTime>) -> Result<Vec<Time>, SnapshotsError> {
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
        let due = self.due(now).await?;
        let mut times: Vec<Time> =
            due.into_iter().map(|(date, due)| (date, due.calendar_time)).collect();
        let is_empty =
            || async { self.scope.built(self.client).await.map(|built| built.is_empty()) };
        if times.is_empty() && loaded.known().is_none() && is_empty().await? {
            // Nobody knows anything: what would have been seen by now.
            times = self.kept(now).await?;
            times.retain(|(date, _)| now - TimeDelta::days(1) < *date);
        }
        let next = self.next(now).await?;
        Ok(Waiting { loaded, times, next })
    }
}

/// Adds a table to those that get a snapshot.
fn add(due: &mut BTreeMap<DateTime<Utc>, Due>, (date, calendar_time): Time, table: usize) {
    let due = due.entry(date).or_insert(Due { calendar_time, tables: Vec::new() });
    if !due.tables.contains(&table) {
        due.tables.push(table);
    }
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
        digest: filling.digest(),
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

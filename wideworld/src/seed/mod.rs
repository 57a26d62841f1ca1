//! Fills the wholesaler's database with a history.
//!
//! In: options and a connection. Out: rows of all 31 tables and of the archives by COPY, in one transaction. The same
//! seed, scale and days always give the same rows. First come the masters as they are at the end, because everything
//! refers to them, with their ended versions; then the documents, some days at a time; then the readings, which are
//! made while they are sent. So memory does not grow with the history.

mod error;

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use shared::postgres::ConnectOptions;
use synthetic::copy::copy_lines;
use tokio_postgres::{Client, Transaction};

use crate::connection::connect;
use crate::history::{Batch, History};
use crate::masters::Masters;
use crate::plan::{Plan, moment};
use crate::readings::{cold_room_day, vehicle_day};
use crate::tables::{self, ALL, Table};

pub use self::error::{DAYS_MAX, SCALE_MAX, SeedError};

/// Rows of documents that are kept before they are sent.
const BATCH_ROWS: usize = 40_000;

/// Ended versions of masters that are kept before they are sent; some have a photo.
const ENDED_ROWS: usize = 2_000;

/// What to generate, and what to do with rows that exist.
#[derive(Debug, Clone, Copy)]
pub struct SeedOptions {
    /// Days of the history.
    pub days: u64,
    /// The day after the last of them.
    pub until: NaiveDate,
    /// Size: 1 is about 400 orders a day and 600 customers.
    pub scale: f64,
    /// Start of the random numbers.
    pub seed: u64,
    /// Seconds between two readings of a cold room, before the last day.
    pub reading_interval: u32,
    /// Seconds between two readings of a cold room on the last day.
    pub recent_interval: u32,
    /// Whether rows that are there are removed first.
    pub existing: Existing,
}

/// What to do with rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to seed.
    Refuse,
    /// Truncate all tables in the seeding transaction.
    Truncate,
}

/// Rows by table, archives included, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct SeedSummary {
    /// Rows of each table.
    pub row_counts: BTreeMap<String, u64>,
}

impl SeedSummary {
    /// All rows.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.row_counts.values().sum()
    }
}

/// Where the writer is.
struct Writer<'run, 'caller> {
    tx: &'run Transaction<'run>,
    summary: SeedSummary,
    progress: &'caller mut dyn FnMut(&str, u64),
}

impl Writer<'_, '_> {
    async fn copy(
        &mut self,
        name: &str,
        columns: &str,
        lines: impl Iterator<Item = String>,
    ) -> Result<(), SeedError> {
        let before = self.summary.row_count();
        let progress = &mut self.progress;
        let mut sent = 0;
        let written = copy_lines(self.tx, name, columns, lines, |rows| {
            sent += rows;
            progress(name, before + sent);
        })
        .await
        .map_err(SeedError::at(format!("copy into table {name}")))?;
        *self.summary.row_counts.entry(name.to_owned()).or_default() += written;
        Ok(())
    }

    async fn table(&mut self, table: Table, lines: Vec<String>) -> Result<(), SeedError> {
        self.copy(table.name, table.columns, lines.into_iter()).await
    }

    async fn batch(&mut self, batch: Batch) -> Result<(), SeedError> {
        for (table, lines) in batch.into_tables() {
            self.table(table, lines).await?;
        }
        Ok(())
    }

    async fn ended(&mut self, masters: &mut Masters) -> Result<(), SeedError> {
        let mut by_table: BTreeMap<&str, (Table, Vec<String>)> = BTreeMap::new();
        for ended in masters.take_ended() {
            by_table
                .entry(ended.table.name)
                .or_insert((ended.table, Vec::new()))
                .1
                .push(ended.line);
        }
        for (table, lines) in by_table.into_values() {
            if let Some(archive) = table.archive() {
                self.copy(&archive, table.columns, lines.into_iter()).await?;
            }
        }
        Ok(())
    }
}

/// Generates the history and writes it in one transaction. `progress` hears which table is being filled, and how many
/// rows were sent.
///
/// # Errors
/// See [`SeedError`].
pub async fn seed(
    database: &ConnectOptions,
    options: &SeedOptions,
    progress: &mut dyn FnMut(&str, u64),
) -> Result<SeedSummary, SeedError> {
    let plan = checked(options)?;
    let mut client = connect(database).await?;
    require_tables(&client).await?;
    let tx = client.transaction().await.map_err(SeedError::at("begin"))?;
    clear(&tx, options.existing).await?;
    let summary = {
        let mut writer = Writer { tx: &tx, summary: SeedSummary::default(), progress };
        write_masters(&mut writer, plan, options.days).await?;
        write_documents(&mut writer, plan, options.days).await?;
        write_readings(&mut writer, plan, options).await?;
        writer.summary
    };
    advance_sequences(&tx).await?;
    tx.commit().await.map_err(SeedError::at("commit"))?;
    analyze(&client).await?;
    Ok(summary)
}

fn checked(options: &SeedOptions) -> Result<Plan, SeedError> {
    let SeedOptions { days, until, scale, seed, .. } = *options;
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(SeedError::Days(days));
    }
    if !(scale > 0.0 && scale <= SCALE_MAX) {
        return Err(SeedError::Scale(scale));
    }
    for interval in [options.reading_interval, options.recent_interval] {
        if !(1..=86_400).contains(&interval) {
            return Err(SeedError::Interval(interval));
        }
    }
    let first_day = until.checked_sub_days(Days::new(days));
    let first_day = first_day.ok_or(SeedError::Calendar { days, until })?;
    Ok(Plan { seed, first_day, scale })
}

/// All tables, archives included.
fn all_names() -> impl Iterator<Item = String> {
    ALL.into_iter().flat_map(|table| [Some(table.name.to_owned()), table.archive()]).flatten()
}

async fn require_tables(client: &Client) -> Result<(), SeedError> {
    for name in all_names() {
        let row = client
            .query_one("SELECT pg_catalog.to_regclass($1) IS NOT NULL", &[&name])
            .await
            .map_err(SeedError::at("look for the tables"))?;
        if !row.get::<_, bool>(0) {
            return Err(SeedError::NoTable(name));
        }
    }
    Ok(())
}

/// Locks the tables against other writers, so that they stay as they were found, and empties them if that was asked
/// for.
async fn clear(tx: &Transaction<'_>, existing: Existing) -> Result<(), SeedError> {
    let names = all_names().collect::<Vec<_>>().join(", ");
    match existing {
        Existing::Truncate => tx
            .batch_execute(&format!("TRUNCATE {names} RESTART IDENTITY"))
            .await
            .map_err(SeedError::at("truncate the tables (only their owner may)")),
        Existing::Refuse => {
            let tables = ALL.map(|table| table.name).join(", ");
            tx.batch_execute(&format!("LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))
                .await
                .map_err(SeedError::at("lock the tables"))?;
            for name in all_names() {
                let row = tx
                    .query_one(&format!("SELECT EXISTS (SELECT FROM {name})"), &[])
                    .await
                    .map_err(SeedError::at(format!("read table {name}")))?;
                if row.get(0) {
                    return Err(SeedError::NotEmpty(name));
                }
            }
            Ok(())
        }
    }
}

async fn write_masters(
    writer: &mut Writer<'_, '_>,
    plan: Plan,
    days: u64,
) -> Result<(), SeedError> {
    let mut masters = Masters::begin(plan);
    for day in 0..days {
        masters.advance(day);
        if masters.ended_count() >= ENDED_ROWS {
            writer.ended(&mut masters).await?;
        }
    }
    writer.ended(&mut masters).await?;
    for table in ALL {
        let lines = masters.lines(table);
        if !lines.is_empty() {
            writer.table(table, lines).await?;
        }
    }
    Ok(())
}

async fn write_documents(
    writer: &mut Writer<'_, '_>,
    plan: Plan,
    days: u64,
) -> Result<(), SeedError> {
    let mut batch = Batch::default();
    let mut history = History::begin(plan, &mut batch);
    for day in 0..days {
        history.day(day, &mut batch);
        if batch.len() >= BATCH_ROWS {
            writer.batch(std::mem::take(&mut batch)).await?;
        }
    }
    history.end(&mut batch);
    writer.batch(batch).await
}

async fn write_readings(
    writer: &mut Writer<'_, '_>,
    plan: Plan,
    options: &SeedOptions,
) -> Result<(), SeedError> {
    let days = options.days;
    let readings = |day: u64| {
        let is_last = day + 1 == days;
        let interval = if is_last { options.recent_interval } else { options.reading_interval };
        let next = (!is_last).then(|| moment(plan.date(day + 1), 0));
        cold_room_day(plan.seed, plan.date(day), interval, next)
    };
    let cold_rooms = tables::COLD_ROOM_TEMPERATURES;
    if let Some(archive) = cold_rooms.archive() {
        let ended = (0..days).flat_map(readings).filter(|(has_ended, _)| *has_ended);
        writer.copy(&archive, cold_rooms.columns, ended.map(|(_, line)| line)).await?;
    }
    let current = readings(days - 1).filter(|(has_ended, _)| !has_ended);
    writer.copy(cold_rooms.name, cold_rooms.columns, current.map(|(_, line)| line)).await?;
    let mut next_key = 1;
    let vehicles = (0..days).flat_map(|day| {
        let lines: Vec<String> = vehicle_day(plan.seed, plan.date(day), next_key).collect();
        next_key += i64::try_from(lines.len()).unwrap_or_default();
        lines
    });
    let table = tables::VEHICLE_TEMPERATURES;
    writer.copy(table.name, table.columns, vehicles).await
}

/// Moves each sequence beyond the keys that were written.
async fn advance_sequences(tx: &Transaction<'_>) -> Result<(), SeedError> {
    let step = "advance the sequences";
    for table in ALL {
        let key = table.columns.split(',').next().unwrap_or_default();
        let sequence = match table {
            // These tables have no sequence of their own.
            tables::STOCK_ITEM_HOLDINGS
            | tables::CUSTOMER_TRANSACTIONS
            | tables::SUPPLIER_TRANSACTIONS
            | tables::STOCK_ITEM_TRANSACTIONS => continue,
            tables::VEHICLE_TEMPERATURES | tables::COLD_ROOM_TEMPERATURES => {
                format!("pg_catalog.pg_get_serial_sequence('{}', '{key}')", table.name)
            }
            _ => format!("'sequences.{key}'"),
        };
        let statement =
            format!("SELECT setval({sequence}, (SELECT max({key}) FROM {}))", table.name);
        tx.batch_execute(&statement).await.map_err(SeedError::at(step))?;
    }
    tx.batch_execute(
        "SELECT setval(
             'sequences.transaction_id',
             greatest(
                 (SELECT max(customer_transaction_id) FROM sales.customer_transactions),
                 (SELECT max(supplier_transaction_id) FROM purchasing.supplier_transactions),
                 (SELECT max(stock_item_transaction_id) FROM warehouse.stock_item_transactions)
             )
         )",
    )
    .await
    .map_err(SeedError::at(step))
}

/// Gives the planner statistics at once, because the simulation starts before autovacuum does. Only the owner of a
/// table may do so. For other roles autovacuum makes the statistics.
async fn analyze(client: &Client) -> Result<(), SeedError> {
    let step = "analyze the tables";
    for name in all_names() {
        let owns = "SELECT pg_has_role(relowner, 'USAGE')
                    FROM pg_catalog.pg_class
                    WHERE oid = $1::text::regclass";
        let row = client.query_one(owns, &[&name]).await.map_err(SeedError::at(step))?;
        if row.get(0) {
            client.batch_execute(&format!("ANALYZE {name}")).await.map_err(SeedError::at(step))?;
        }
    }
    Ok(())
}

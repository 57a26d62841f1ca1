//! What the source says of the rows: whether it has them again, and how it prints their keys.
//!
//! In: the connector's settings, the file's head and rows. Out: the connections, one of which holds the writer lock,
//! and for each table its plan and the rows that the source does not have.
//!
//! A key comes as the vault prints it. The source casts it to the column's type and prints it, so that it stands in the
//! event as the stream would send it. A cast can cut a text off or round a number; it is compared with the value of the
//! type without a length, and a row that differs is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use shared::vanished::{Absence, VanishedRow};
use tokio_util::sync::CancellationToken;

use super::error::ReconcileError;
use crate::catalog::{self, CatalogTable, PublishedPart};
use crate::connector::Settings;
use crate::context::plan_options;
use crate::envelope::{TableInfo, TablePlan};
use crate::replication::{
    Client, Mode, ReplicationError, SourceIdentity, SystemIdentifier, Timeline, WaitLimit,
    quote_identifier, quote_literal,
};
use crate::session::{Server, writer_lock};
use crate::table::{Capture, captured_tables, with_changes_of_their_own};

/// How often an open transaction is asked for.
const OPEN_INTERVAL: Duration = Duration::from_millis(100);

/// How long a stopped connector's slot may still be in use.
const SLOT_WAIT: Duration = Duration::from_secs(5);

/// Rows that are asked for together.
const CHUNK: usize = 500;

/// The rows of one table.
pub(super) struct Table {
    pub(super) capture: Capture,
    /// Rows of the file.
    pub(super) rows: usize,
    /// Those that the source does not have.
    pub(super) absent: Vec<AbsentRow>,
}

/// A row that the source does not have.
pub(super) struct AbsentRow {
    pub(super) row: VanishedRow,
    /// The texts of the key's columns as the source prints them, in the order of the event's key.
    pub(super) key: Vec<String>,
}

/// A look at the source in one snapshot.
pub(super) struct Look<'c> {
    settings: &'c Settings,
    /// Holds the writer lock, if anything is to be published.
    pub(super) lock: Client,
    sql: Client,
    version: u32,
}

impl<'c> Look<'c> {
    /// Connects, takes the connector's writer lock if something is to be published, and takes the snapshot.
    pub(super) fn begin(
        settings: &'c Settings,
        absence: &Absence,
        publish: bool,
        wait: Duration,
    ) -> Result<Self, ReconcileError> {
        let mut lock = Client::connect(&settings.database, Mode::Replication, WaitLimit::brief())?;
        let server = Server::look(&mut lock, &settings.slot_name)?;
        if server.is_in_recovery {
            return Err(ReconcileError::Standby);
        }
        let file = SourceIdentity {
            system: SystemIdentifier(absence.system_identifier),
            timeline: Timeline(absence.timeline),
        };
        if file != server.identity {
            return Err(ReconcileError::OtherSource { file, source_now: server.identity });
        }
        if publish {
            take_lock(&mut lock, &settings.slot_name)?;
        }
        // No statement of this connection waits for a lock for long: it reads as a snapshot of the reader does.
        let limit = WaitLimit::until_stopped(&CancellationToken::new());
        let mut sql = Client::connect(&settings.database, Mode::Sql, limit)?;
        snapshot(&mut sql, wait)?;
        Ok(Self { settings, lock, sql, version: server.version })
    }

    /// The rows that the source does not have, by table. Ends the snapshot.
    pub(super) fn absent(&mut self, rows: Vec<VanishedRow>) -> Result<Vec<Table>, ReconcileError> {
        let publication = &self.settings.publication_name;
        let mut captured = captured_tables(&mut self.sql, self.settings)?;
        let parents = catalog::partition_parents(&mut self.sql)?;
        if let Some(found) = catalog::publication(&mut self.sql, publication, self.version)? {
            captured = with_changes_of_their_own(captured, &found, &parents);
        }
        let parts = catalog::published_parts(&mut self.sql, publication, self.version)?;
        let mut by_table: BTreeMap<(String, String), Vec<VanishedRow>> = BTreeMap::new();
        for row in rows {
            by_table.entry((row.schema.clone(), row.table.clone())).or_default().push(row);
        }
        let mut tables = Vec::with_capacity(by_table.len());
        for ((schema, name), rows) in by_table {
            let is_it = |t: &&CatalogTable| t.info.schema == schema && t.info.name == name;
            let table = captured
                .iter()
                .find(is_it)
                .ok_or_else(|| ReconcileError::NotCaptured { table: format!("{schema}.{name}") })?;
            let (count, display) = (rows.len(), table.info.display());
            tables.push(self.table(table, parts.get(&table.oid), rows)?);
            eprintln!("{display}: {count} rows looked up");
        }
        self.sql.query("COMMIT")?;
        Ok(tables)
    }

    fn table(
        &mut self,
        table: &CatalogTable,
        part: Option<&PublishedPart>,
        rows: Vec<VanishedRow>,
    ) -> Result<Table, ReconcileError> {
        let mut published = table.clone();
        if let Some(columns) = part.and_then(|part| part.columns.as_ref()) {
            catalog::keep_published(&mut published, columns);
        }
        let names = key_names(&published.info);
        check_key(&published.info, &names, &rows)?;
        let types = self.types(table.oid)?;
        let types: Vec<&ColumnTypes> = names.iter().filter_map(|name| types.get(*name)).collect();
        let from = match part.and_then(|part| part.row_filter.as_ref()) {
            Some(filter) => format!("(SELECT * FROM {} WHERE {filter})", table.in_statement()),
            None => table.in_statement(),
        };
        let count = rows.len();
        let mut absent = Vec::new();
        let mut rows = rows.into_iter();
        loop {
            let chunk: Vec<VanishedRow> = rows.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            let answers = self.sql.query(&question(&from, &names, &types, &chunk))?;
            for (row, answer) in chunk.into_iter().zip(answers) {
                let is =
                    |place: usize| answer.get(place).cloned().flatten().as_deref() == Some("t");
                if !is(0) {
                    let (table, hash_key) = (published.info.display(), row.hash_key);
                    return Err(ReconcileError::OtherType { table, hash_key });
                }
                if is(1) {
                    let key = answer.into_iter().skip(2).flatten().collect();
                    absent.push(AbsentRow { row, key });
                }
            }
        }
        let plan = TablePlan::new(published.info, &plan_options(self.settings))?;
        let capture = Capture { topic: plan.topic().into(), plan };
        Ok(Table { capture, rows: count, absent })
    }

    /// The types of a table's columns.
    fn types(&mut self, oid: u32) -> Result<HashMap<String, ColumnTypes>, ReplicationError> {
        let rows = self.sql.query(&format!(
            "SELECT attname, pg_catalog.format_type(atttypid, atttypmod), pg_catalog.format_type(atttypid, -1)
             FROM pg_catalog.pg_attribute
             WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped"
        ))?;
        let of_row = |row: Vec<Option<String>>| match <[Option<String>; 3]>::try_from(row) {
            Ok([Some(name), Some(exact), Some(any)]) => Ok((name, ColumnTypes { exact, any })),
            _ => Err(ReplicationError::Protocol("a column without a type")),
        };
        rows.into_iter().map(of_row).collect()
    }
}

/// The type of a column, and the same without its length.
struct ColumnTypes {
    exact: String,
    any: String,
}

/// For each row: whether the types hold its key, whether the table lacks it, and the key as the source prints it.
fn question(from: &str, names: &[&str], types: &[&ColumnTypes], rows: &[VanishedRow]) -> String {
    let given: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let texts = names.iter().map(|name| row.key.get(*name).map_or("", String::as_str));
            let (mut values, mut held) = (String::new(), Vec::new());
            for (text, ColumnTypes { exact, any }) in texts.zip(types) {
                let text = quote_literal(text);
                values.push_str(&format!(", {text}::{exact}"));
                held.push(format!("{text}::{exact} = {text}::{any}"));
            }
            format!("({number}, {}{values})", held.join(" AND "))
        })
        .collect();
    let places = 0..names.len();
    let columns: String = places.clone().map(|place| format!(", k{place}")).collect();
    let shown: String = places.map(|place| format!(", given.k{place}")).collect();
    let equal: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, name)| format!("present.{} = given.k{place}", quote_identifier(name)))
        .collect();
    format!(
        "SELECT given.held, NOT EXISTS (SELECT FROM {from} AS present WHERE {}){shown}
         FROM (VALUES {}) AS given (number, held{columns})
         ORDER BY given.number",
        equal.join(" AND "),
        given.join(", ")
    )
}

fn key_names(info: &TableInfo) -> Vec<&str> {
    info.key.iter().map(|&column| info.columns[column].name.as_str()).collect()
}

/// Refuses rows whose key has other columns than the table's.
fn check_key(info: &TableInfo, names: &[&str], rows: &[VanishedRow]) -> Result<(), ReconcileError> {
    let wanted: BTreeSet<&str> = names.iter().copied().collect();
    let differs =
        |row: &&VanishedRow| !row.key.keys().map(String::as_str).eq(wanted.iter().copied());
    match rows.iter().find(differs) {
        None => Ok(()),
        Some(row) => Err(ReconcileError::OtherKey {
            table: info.display(),
            found: names.join(", "),
            expected: row.key.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// Takes the connector's lock. A real Debezium takes none, so nobody may read from the slot either.
fn take_lock(client: &mut Client, slot: &str) -> Result<(), ReconcileError> {
    let running = |holder: Option<String>| ReconcileError::Running {
        slot: slot.to_owned(),
        holder: holder.unwrap_or_else(|| "another session".to_owned()),
    };
    if !writer_lock::try_take(client, slot)? {
        return Err(running(writer_lock::holder(client, slot)?));
    }
    let begun = Instant::now();
    loop {
        let rows = client.query(&format!(
            "SELECT active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
            quote_literal(slot)
        ))?;
        let Some(pid) = rows.into_iter().flatten().flatten().next() else { return Ok(()) };
        if begun.elapsed() >= SLOT_WAIT {
            return Err(running(Some(format!("process {pid}"))));
        }
        std::thread::sleep(OPEN_INTERVAL);
    }
}

/// Begins a transaction whose snapshot has every change that was ever published: a change is published once its commit
/// is in the log, and for a moment longer, such as for a synchronous standby, it is not visible. So the snapshot shows
/// no transaction as open that is older than one of our own.
fn snapshot(sql: &mut Client, wait: Duration) -> Result<(), ReconcileError> {
    sql.query("SET idle_in_transaction_session_timeout = 0")?;
    let number = number(sql, "SELECT pg_catalog.txid_current()")?;
    let begun = Instant::now();
    loop {
        sql.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let least_open = "SELECT pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot())";
        if self::number(sql, least_open)? >= number {
            return Ok(());
        }
        sql.query("ROLLBACK")?;
        if begun.elapsed() >= wait {
            return Err(ReconcileError::Open { number, seconds: wait.as_secs() });
        }
        std::thread::sleep(OPEN_INTERVAL);
    }
}

fn number(sql: &mut Client, query: &str) -> Result<u64, ReplicationError> {
    let rows = sql.query(query)?;
    let text = rows.into_iter().flatten().flatten().next();
    text.and_then(|text| text.parse().ok()).ok_or(ReplicationError::Protocol("no number"))
}

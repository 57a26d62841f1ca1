//! `vault-loader checksum`: a digest for each table of the vault that does not depend on the order of its rows.
//!
//! In: the warehouse. Out: a report on standard output, or its difference from an earlier one. All tables are read in
//! one REPEATABLE READ transaction, so the digests belong to one moment. `tables` says what counts, `digest` adds up,
//! `report` prints and compares. Rows come by binary COPY and are hashed here, in bounded memory: measured on a
//! satellite of a million rows, that takes less time than the server needs for the same sum in SQL (docs/PROOFS.md).
//!
//! Hard cases: a satellite that has grown columns in another order than another vault; a hub that keeps the spelling
//! that was loaded first; a file of another version of digests.

mod digest;
mod report;
mod tables;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use shared::postgres::ConnectOptions;
use tokio_postgres::Client;

use self::digest::Sum;
use self::report::{Report, TableSum, VERSION};
use self::tables::{CountedTable, Places};
use crate::copy_out::BinaryRows;
use crate::model::VAULT_SCHEMA;
use crate::proof::{Format, ProofError};
use crate::warehouse::WarehouseError;

/// What is summed up, and how it is told.
#[derive(Debug, Args)]
pub struct ChecksumArguments {
    /// Table of the vault; several times for several [default: all that `migrate` made, of all sources]
    #[arg(long = "table")]
    tables: Vec<String>,
    /// Report of an earlier run with --format json. Names the tables that differ, and ends with exit code 1 if one does
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Leave out at which partition and offset of its topic each version was. Then vaults are comparable whose topics
    /// hold the same changes in other numbers of partitions
    #[arg(long)]
    without_places: bool,
    /// How the checksums are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How often the rows of a long table are told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Sums up the vault's tables, prints the digests, and compares them when that was asked for.
///
/// # Errors
/// When the warehouse or the file cannot be read, and when a table differs.
pub async fn run(
    arguments: &ChecksumArguments,
    warehouse: &ConnectOptions,
) -> Result<(), ProofError> {
    let before = arguments.compare.as_deref().map(read_report).transpose()?;
    let client = shared::postgres::connect(warehouse).await.map_err(WarehouseError::Connect)?;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut sums = Vec::new();
    let places = if arguments.without_places { Places::LeftOut } else { Places::Count };
    for table in chosen(tables::read(&client, places).await?, &arguments.tables)? {
        sums.push(sum_of(&client, VAULT_SCHEMA, table).await?);
    }
    client.batch_execute("COMMIT").await?;
    let report = Report { checksum_version: VERSION, tables: sums };
    match arguments.format {
        Format::Text => print!("{}", report.lines()),
        Format::Json => println!("{}", serde_json::json!(report)),
    }
    let Some(before) = before else { return Ok(()) };
    let differences = report.differences(&before, &arguments.tables);
    if differences.is_empty() {
        eprintln!("{} tables are equal", report.tables.len());
        return Ok(());
    }
    for difference in &differences {
        eprintln!("{difference}");
    }
    Err(ProofError::Found(format!("{} tables differ", differences.len())))
}

/// A table of the vault, and whether the one of the same name in another schema holds the same.
pub(crate) struct ComparedTable {
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) other_rows: u64,
    pub(crate) is_equal: bool,
}

/// Compares the vault's tables with those of the same names in another schema, as the transaction of this connection
/// sees both.
///
/// # Errors
/// When a table cannot be read.
pub(crate) async fn compare_schemas(
    client: &Client,
    other: &str,
) -> Result<Vec<ComparedTable>, ProofError> {
    let mut compared = Vec::new();
    for table in tables::read(client, Places::Count).await? {
        let here = sum_of(client, VAULT_SCHEMA, table.clone()).await?;
        let there = sum_of(client, other, table).await?;
        compared.push(ComparedTable {
            is_equal: here.digest == there.digest && here.rows == there.rows,
            table: here.table,
            rows: here.rows,
            other_rows: there.rows,
        });
    }
    Ok(compared)
}

fn read_report(path: &Path) -> Result<Report, ProofError> {
    let named = path.display();
    let unreadable = |why: String| ProofError::Usage(format!("cannot read {named}: {why}"));
    let text = std::fs::read_to_string(path).map_err(|err| unreadable(err.to_string()))?;
    let report: Report = serde_json::from_str(&text).map_err(|_| {
        unreadable("it is no report of `vault-loader checksum --format json`".to_owned())
    })?;
    if report.checksum_version != VERSION {
        let version = report.checksum_version;
        return Err(unreadable(format!(
            "its digests are of version {version}, this build makes {VERSION}: make the report anew with this build"
        )));
    }
    Ok(report)
}

fn chosen(tables: Vec<CountedTable>, names: &[String]) -> Result<Vec<CountedTable>, ProofError> {
    if tables.is_empty() {
        let usage = "the warehouse has no vault: run `vault-loader migrate` first";
        return Err(ProofError::Usage(usage.to_owned()));
    }
    if let Some(unknown) =
        names.iter().find(|name| !tables.iter().any(|table| table.name == **name))
    {
        return Err(ProofError::Usage(format!(
            "--table {unknown}: `vault-loader migrate` has made no such table in this vault"
        )));
    }
    let is_chosen = |table: &CountedTable| names.is_empty() || names.contains(&table.name);
    Ok(tables.into_iter().filter(is_chosen).collect())
}

async fn sum_of(
    client: &Client,
    schema: &str,
    table: CountedTable,
) -> Result<TableSum, ProofError> {
    let mut sum = Sum::default();
    let mut told = Instant::now();
    let mut rows = BinaryRows::of(client, &table.copy(schema)).await?;
    while let Some(row) = rows.next().await? {
        sum.add(&row);
        if sum.rows.is_multiple_of(1 << 16) && told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            eprintln!("{}: {} rows so far", table.name, sum.rows);
        }
    }
    eprintln!("{}: {} rows", table.name, sum.rows);
    let CountedTable { name, kind, columns, left_out } = table;
    Ok(TableSum { table: name, kind, rows: sum.rows, digest: sum.hex(), columns, left_out })
}

//! `vault-loader reconcile`: the rows that the vault holds and the running source does not have any more.
//!
//! In: the source, a model, the warehouse. Out: for each table of the source how many of its rows vanished, the first
//! of them, and on demand a file with the primary keys of all of them ([`shared::vanished`]). Nothing is written to the
//! warehouse or to a topic: `cdc-reader reconcile` publishes the deletes, from where the source's tables, the
//! connector's properties and the right to write topics are.
//!
//! # Which position the file names
//!
//! A row vanished when the vault has it at the moment of a snapshot and the snapshot does not ([`super::moment`]). The
//! file names P, below which the snapshot has every change, and a time T by the source's clock, which was before the
//! snapshot. Of the key of a vanished row the following is true:
//!
//! 1. Every change of it below P is loaded, so it stands in the topic, and a delete that is published now comes behind
//!    it. The command has waited for the watermark. The last of these changes leaves the row open.
//! 2. Every other change of it lies at or behind P and was committed after T, because the snapshot does not have it.
//!    The first of these is an insert, because the row is not there.
//!
//! So a delete with the position P and the time T is right wherever it arrives. Before the insert it ends the row, and
//! the insert begins it again. Behind the insert it is at or below the key's bound and was not committed later, so it
//! counts as a repeat and changes nothing (`vault::fold`, rule 2). The same holds when it is published twice.
//!
//! Hard cases: keys that change while the snapshot is taken; keys whose events wait in the quarantine; a source that is
//! not the one of the topics; columns of keys that the vault holds as another type.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use shared::postgres::ConnectOptions;
use shared::source_url::source_options;
use shared::vanished::{self, Absence, VanishedRow};

use super::findings::{Difference, Finding};
use super::versions::Versions;
use super::{Sides, SourceArguments, tables_of};
use crate::control;
use crate::copy_out::TextRows;
use crate::decode::{Value, Values, from_stored};
use crate::migrate::views::current_tables;
use crate::model::{Plan, TableId};
use crate::proof::{Format, ProofError};
use crate::vault::projection::Projector;
use crate::warehouse::WarehouseError;

/// What `pg_stat_activity` of the source shows.
const APPLICATION_NAME: &str = "vault-loader reconcile";

/// Keys that are read together.
const CHUNK: usize = 500;

/// What is looked for, and where it goes.
#[derive(Args)]
pub struct ReconcileArguments {
    /// The two sides.
    #[command(flatten)]
    sides: SourceArguments,
    /// File for the primary keys of the rows, which must not exist yet; `cdc-reader reconcile` reads it
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Write no file when more rows vanished than this
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_deletes: u64,
}

/// Finds the rows that vanished, prints them, and writes the file if one is asked for.
///
/// # Errors
/// When one side cannot be read, the loader does not come to the snapshot in time, the vault does not fit the source,
/// and when a row vanished.
pub async fn run(
    arguments: &ReconcileArguments,
    warehouse: &ConnectOptions,
    plan: &Plan,
) -> anyhow::Result<()> {
    let source = source_options(&arguments.sides.source, APPLICATION_NAME)?;
    let sides = Sides::take(&arguments.sides, &[], &source, warehouse, plan).await?;
    let search = Search { arguments, sides: &sides };
    let (report, rows) = search.find().await?;
    match arguments.sides.format {
        Format::Text => print!("{}", report.lines()),
        Format::Json => println!("{}", serde_json::json!(report)),
    }
    report.check(arguments)?;
    if let Some(path) = &arguments.to
        && !rows.is_empty()
    {
        write_file(path, &absence(&sides), &rows)?;
        eprintln!("{} rows written to {}", rows.len(), path.display());
    }
    Ok(report.judge()?)
}

/// Rows of one table that vanished.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Vanished {
    source_table: String,
    /// its status satellite
    vault_table: String,
    /// rows of the source
    rows: u64,
    vanished: u64,
    /// keys that the source has and the vault does not
    missing: u64,
    /// keys that differ and have events in the quarantine
    waiting: u64,
    /// the first ones
    shown: Vec<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Shown {
    hash_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Report {
    source: String,
    /// position in the source's log that the deletes will have
    log_position: String,
    tables: Vec<Vanished>,
}

struct Search<'s> {
    arguments: &'s ReconcileArguments,
    sides: &'s Sides,
}

impl Search<'_> {
    async fn find(&self) -> Result<(Report, Vec<VanishedRow>), ProofError> {
        let Sides { warehouse, plan, moment, waiting, .. } = self.sides;
        let sources: Vec<&str> =
            plan.tables.iter().map(|table| table.record_source.as_str()).collect();
        let mut epochs = control::read_epochs(warehouse, &sources).await?;
        let (mut tables, mut all) = (Vec::new(), Vec::new());
        for table in tables_of(waiting) {
            let waiting = waiting.get(&table).cloned().unwrap_or_default();
            // A key that waits stands among the findings, too.
            let most = self.arguments.max_deletes.saturating_add(1);
            let show = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(waiting.len());
            let versions = Versions {
                warehouse,
                plan,
                table,
                columns: &self.sides.columns,
                moment: *moment,
                epochs: epochs.remove(&plan.tables[table].record_source).unwrap_or_default(),
                waiting,
                show,
            };
            let compared = versions.status().await?;
            let mut keys: Vec<String> = compared
                .shown
                .into_iter()
                .filter(is_vanished)
                .map(|found| found.hash_key)
                .collect();
            keys.sort_unstable();
            if u64::try_from(keys.len()).ok() != Some(compared.extra) && compared.extra < most {
                let vault_table = compared.vault_table;
                return Err(ProofError::Found(format!(
                    "{vault_table} has rows that differ otherwise, so not all vanished rows can be listed: see \
                     `vault-loader verify`"
                )));
            }
            let rows = self.rows(table, &keys).await?;
            let shown = rows.iter().take(self.arguments.sides.show).map(|row| self.shown(row));
            tables.push(Vanished {
                source_table: compared.source_table.unwrap_or_default(),
                vault_table: compared.vault_table,
                rows: compared.rows,
                vanished: compared.extra,
                missing: compared.missing,
                waiting: compared.waiting,
                shown: shown.collect(),
            });
            eprintln!("{}: compared", plan.model.tables[table].label);
            all.extend(rows);
        }
        let source = plan.model.source.name.clone();
        Ok((Report { source, log_position: moment.known.to_string(), tables }, all))
    }

    fn shown(&self, row: &VanishedRow) -> Shown {
        let columns = row.key.iter().map(|(name, value)| format!("{name}={value}"));
        let key = self.arguments.sides.show_keys.then(|| columns.collect::<Vec<_>>().join(", "));
        Shown { hash_key: row.hash_key.clone(), key }
    }

    /// The primary keys of rows.
    async fn rows(
        &self,
        table: TableId,
        hash_keys: &[String],
    ) -> Result<Vec<VanishedRow>, ProofError> {
        let Sides { warehouse, plan, .. } = self.sides;
        let of_model = &plan.model.tables[table];
        let mut found = Vec::with_capacity(hash_keys.len());
        for chunk in hash_keys.chunks(CHUNK) {
            let query = current_tables::primary_keys(&plan.model, of_model, chunk);
            let before = found.len();
            let mut rows = TextRows::of(warehouse, &format!("COPY ({query}) TO STDOUT")).await?;
            while rows.next().await? {
                found.push(self.row(table, &rows)?);
            }
            if found.len() - before != chunk.len() {
                return Err(self.unknown(table, "a row of it that vanished"));
            }
        }
        found.sort_unstable_by(|one, other| one.hash_key.cmp(&other.hash_key));
        Ok(found)
    }

    /// A row, once its primary key gives its hash key.
    fn row(&self, table: TableId, row: &TextRows) -> Result<VanishedRow, ProofError> {
        let plan = &self.sides.plan;
        let of_model = &plan.model.tables[table];
        let hash_key = row.field(0).unwrap_or_default().to_owned();
        let named = format!("the row with hash key {hash_key}");
        let mut values: Values<'static> = Values::default();
        let start = values.next_id();
        values.items_mut().extend(of_model.columns.iter().map(|_| Value::Null));
        let mut key = BTreeMap::new();
        for (place, &id) in of_model.key.iter().enumerate() {
            let column = &of_model.columns[id];
            let text = row.field(place + 1).ok_or_else(|| self.unknown(table, &named))?;
            values[start + id] = from_stored(column.kind, text).map_err(|err| {
                let why = format!("{named} holds what its column's type does not print: {err}");
                ProofError::from(WarehouseError::Stop(why))
            })?;
            key.insert(column.name.clone(), text.to_owned());
        }
        let hashed = Projector::new(plan, &values).parent(table, start);
        if hashed.map(hex::encode).as_ref() != Some(&hash_key) {
            return Err(self.unknown(table, &named));
        }
        let (schema, table) = (of_model.schema.clone(), of_model.name.clone());
        Ok(VanishedRow { schema, table, hash_key, key })
    }

    fn unknown(&self, table: TableId, what: &str) -> ProofError {
        let table = &self.sides.plan.model.tables[table];
        ProofError::Usage(format!(
            "table {}.{}: the vault has no primary key for {what}, or one that does not give its hash key: \
             `vault-loader verify` and `vault-loader check` say what is wrong",
            table.schema, table.name
        ))
    }
}

fn is_vanished(finding: &Finding) -> bool {
    finding.difference == Difference::Extra && !finding.waits
}

impl Report {
    fn total(&self, count: impl Fn(&Vanished) -> u64) -> u64 {
        self.tables.iter().map(count).sum()
    }

    /// Refuses deletes that nobody should publish.
    fn check(&self, arguments: &ReconcileArguments) -> Result<(), ProofError> {
        let strange = self.tables.iter().find(|table| table.missing > 0 && table.vanished > 0);
        if let Some(Vanished { source_table, missing, .. }) = strange {
            return Err(ProofError::Found(format!(
                "{source_table}: the vault also lacks {missing} rows of the source, so it is not loaded, or --source is another \
                 database, or keys are changed on the way: no row of it counts as vanished until `vault-loader verify` finds none missing"
            )));
        }
        let (vanished, most) = (self.total(|table| table.vanished), arguments.max_deletes);
        if vanished > most {
            return Err(ProofError::Found(format!(
                "{vanished} rows of the vault are gone from the source, which is more than --max-deletes {most}: see whether --source is \
                 the right database, and whether somebody has emptied a table; then allow as many"
            )));
        }
        Ok(())
    }

    fn judge(&self) -> Result<(), ProofError> {
        let waiting = self.total(|table| table.waiting);
        match self.total(|table| table.vanished) {
            0 if waiting == 0 => Ok(()),
            0 => Err(ProofError::Found(format!(
                "{waiting} keys differ because their events wait in the quarantine: retry or drop them, and look again"
            ))),
            count => Err(ProofError::Found(format!(
                "{count} rows of the vault are gone from the source: publish their deletes with `cdc-reader reconcile`, from the file that \
                 --to writes"
            ))),
        }
    }

    /// Lines for people.
    fn lines(&self) -> String {
        let mut text = format!("source {} at log position {}\n", self.source, self.log_position);
        let width = self.tables.iter().map(|table| table.source_table.len()).max().unwrap_or(0);
        for table in &self.tables {
            let Vanished { source_table, rows, vanished, missing, waiting, .. } = table;
            let mut line = format!("{source_table:width$}  {rows:>10} rows  {vanished} vanished");
            for (count, word) in [(missing, "missing"), (waiting, "waiting in the quarantine")] {
                if *count > 0 {
                    let _ = write!(line, ", {count} {word}");
                }
            }
            let _ = writeln!(text, "{line}");
            for Shown { hash_key, key } in &table.shown {
                let key = key.as_ref().map_or(String::new(), |key| format!(" ({key})"));
                let _ = writeln!(text, "    hash key {hash_key}{key}");
            }
        }
        text
    }
}

fn absence(sides: &Sides) -> Absence {
    let Sides { plan, moment, server, .. } = sides;
    Absence {
        source: plan.model.source.name.clone(),
        topic_prefix: plan.model.source.topic_prefix.clone(),
        system_identifier: server.system_identifier,
        timeline: server.timeline.cast_unsigned(),
        lsn: moment.known,
        time_us: server.time_us,
    }
}

/// Writes the file for its owner alone, because it holds keys in clear text.
fn write_file(path: &Path, absence: &Absence, rows: &[VanishedRow]) -> Result<(), ProofError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let refused = |err: std::io::Error| {
        let path = path.display();
        ProofError::Usage(format!(
            "cannot write {path}: {err}; give --to a file that does not exist"
        ))
    };
    let mut file = BufWriter::new(file.map_err(refused)?);
    vanished::write(&mut file, absence, rows).map_err(refused)
}

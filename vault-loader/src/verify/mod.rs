//! `vault-loader verify`: every row of the source against the vault, both at one moment of the running source.
//!
//! In: the source, a model, the warehouse. Out: for each table of the vault how many keys are missing, extra or
//! different, and the first of them.
//!
//! ```text
//! moment      a snapshot of the source, and its place in the source's log
//! staging     the snapshot's rows, decoded, projected and hashed by the loader's code, into temporary tables
//! loaded      the warehouse has loaded everything up to that place
//! versions    the versions that hold at that place, joined with what was staged
//! keys        the same for hubs and links
//! findings    what differs
//! ```
//!
//! The warehouse role needs the rights of `run` and no others: reading the vault, and temporary tables. The source role
//! needs to read the tables. Values leave the source for this program alone; the warehouse gets hashes of them.
//!
//! Hard cases: transactions that are open while the snapshot is taken; keys that change all the time; keys whose events
//! wait in the quarantine; rows and columns that the publication holds back; columns that the source has dropped,
//! widened or renamed; types that are printed otherwise than the vault prints them; a source that was restored.

mod findings;
mod loaded;
mod moment;
mod source_tables;

mod staging;

mod keys;
mod versions;

pub mod reconcile;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use clap::Args;
use shared::postgres::{ConnectOptions, connect};
use shared::source_url::source_options;
use tokio_postgres::Client;

use self::findings::{Compared, Report, WaitingKeys};
use self::keys::Keys;
use self::loaded::SourceLog;
use self::moment::Moment;
use self::source_tables::SourceTable;
use self::staging::{ComparedColumns, Staging};
use self::versions::Versions;
use crate::control;
use crate::model::{ColumnId, Plan, SatelliteKind, TableId};
use crate::proof::{Format, ProofError};
use crate::vault::hash::{HASH_VERSION, Hash, fingerprint};
use crate::warehouse::WarehouseError;

/// What `pg_stat_activity` of the source shows.
const APPLICATION_NAME: &str = "vault-loader verify";

/// What is compared with what, and how it is told. The source may hold a password, so they cannot be printed.
#[derive(Args)]
pub struct SourceArguments {
    /// The source: postgres://user:password@host:port/database?sslmode=…&sslrootcert=…; better in the variable,
    /// because every user of the machine sees arguments. The role needs to read the tables. The primary, not a standby
    #[arg(long, env = "VAULT_LOADER_SOURCE", hide_env_values = true)]
    source: String,
    /// Publication of the connector: rows and columns that it holds back are not expected in the vault
    #[arg(long)]
    publication: Option<String>,
    /// Source table, as schema.table; several times for several [default: all of the model]
    #[arg(long = "table")]
    tables: Vec<String>,
    /// Seconds to wait, for open transactions of the source and then for the loader
    #[arg(long, default_value_t = 300)]
    wait: u64,
    /// Compare at once, for a source that is at rest and loaded: whether the loader is behind is not looked at
    #[arg(long)]
    no_wait: bool,
    /// So many keys of each table of the vault are shown; all are counted
    #[arg(long, default_value_t = 10)]
    show: usize,
    /// Show business keys beside hash keys
    #[arg(long)]
    show_keys: bool,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What is compared, and how it is told.
#[derive(Args)]
pub struct VerifyArguments {
    /// The two sides.
    #[command(flatten)]
    sides: SourceArguments,
    /// Column that is not compared, as schema.table.column; for columns that the connector masks
    #[arg(long = "ignore", value_name = "COLUMN")]
    ignored: Vec<String>,
}

/// Both sides at one moment: the source's rows are staged, and the warehouse has loaded everything up to there.
struct Sides {
    warehouse: Client,
    /// the model with the columns by which its satellites have grown
    plan: Plan,
    columns: ComparedColumns,
    not_compared: Vec<String>,
    moment: Moment,
    /// which source it is, and when it was
    server: SourceServer,
    /// the keys of each table whose events wait
    waiting: HashMap<TableId, WaitingKeys>,
}

/// Compares the source with the vault, and prints what differs.
///
/// # Errors
/// When one of the two cannot be read, the loader does not come to the snapshot in time, and when a key differs.
pub async fn run(
    arguments: &VerifyArguments,
    warehouse: &ConnectOptions,
    plan: &Plan,
) -> anyhow::Result<()> {
    let source = source_options(&arguments.sides.source, APPLICATION_NAME)?;
    let report = compare(arguments, &source, warehouse, plan).await?;
    match arguments.sides.format {
        Format::Text => print!("{}", report.lines()),
        Format::Json => println!("{}", serde_json::json!(report)),
    }
    Ok(judge(&report)?)
}

fn judge(report: &Report) -> Result<(), ProofError> {
    let (found, waiting) = (report.found(), report.waiting());
    let waits = format!("{waiting} differ because their events wait in the quarantine");
    match (found, waiting) {
        (0, 0) => Ok(()),
        (0, _) => Err(ProofError::Found(format!("the vault is not the source: {waits}"))),
        (_, 0) => {
            Err(ProofError::Found(format!("the vault is not the source: {found} keys differ")))
        }
        _ => Err(ProofError::Found(format!(
            "the vault is not the source: {found} keys differ, and {waits}"
        ))),
    }
}

async fn compare(
    arguments: &VerifyArguments,
    source: &ConnectOptions,
    warehouse: &ConnectOptions,
    plan: &Plan,
) -> Result<Report, ProofError> {
    let sides = Sides::take(&arguments.sides, &arguments.ignored, source, warehouse, plan).await?;
    let Sides { warehouse, plan, columns, moment, waiting, not_compared, .. } = sides;
    let arguments = &arguments.sides;
    let vault = Vault { arguments, warehouse: &warehouse, plan: &plan, columns: &columns, moment };
    Ok(Report {
        source: plan.model.source.name.clone(),
        log_position: moment.end.to_string(),
        is_exact: moment.is_exact(),
        not_compared,
        tables: vault.compare(waiting).await?,
    })
}

impl Sides {
    /// Takes a snapshot of the source, stages its rows, and waits until the warehouse has loaded everything up to it.
    async fn take(
        arguments: &SourceArguments,
        ignored: &[String],
        source: &ConnectOptions,
        warehouse: &ConnectOptions,
        plan: &Plan,
    ) -> Result<Self, ProofError> {
        let warehouse = connect(warehouse).await.map_err(WarehouseError::Connect)?;
        check_warehouse(&warehouse, plan).await?;
        let plan = plan.grown(&control::read_grown(&warehouse).await?);
        let tables = chosen_tables(&plan, &arguments.tables)?;
        let (columns, mut not_compared) = compared_columns(&plan, ignored)?;
        let waiting = waiting_keys(&warehouse, &plan, &tables).await?;

        let client = connect(source).await.map_err(ProofError::SourceConnect)?;
        let second = connect(source).await.map_err(ProofError::SourceConnect)?;
        source_tables::check(&client, &plan, &tables).await?;
        let wait = Duration::from_secs(arguments.wait);
        let names: Vec<String> =
            tables.iter().map(|&table| source_tables::name_of(&plan.model.tables[table])).collect();
        let (system_identifier, time_us) = before_snapshot(&client).await?;
        let moment = moment::take(&client, &second, &names, wait).await?;
        drop(second);
        tell(moment);
        let publication = arguments.publication.as_deref();
        let read = source_tables::read(&client, &plan, &tables, publication).await?;
        not_compared.extend(read.iter().flat_map(|table| {
            let label = &table.label;
            table.unknown.iter().map(move |column| format!("{label}.{column} is in no satellite"))
        }));
        let staging = Staging {
            source: &client,
            warehouse: &warehouse,
            plan: &plan,
            columns: &columns,
            show_keys: arguments.show_keys,
        };
        stage(&staging, &read, &waiting).await?;
        let log = source_log(&client).await?;
        moment::execute(&client, "COMMIT").await?;
        drop(client);
        if !arguments.no_wait {
            loaded::wait(&warehouse, &plan, moment, log, wait).await?;
        }
        // What was parked since the rows were staged waits too.
        let waiting = waiting_keys(&warehouse, &plan, &tables).await?;
        let server = SourceServer { system_identifier, timeline: log.timeline, time_us };
        Ok(Self { warehouse, plan, columns, not_compared, moment, server, waiting })
    }
}

fn tell(moment: Moment) {
    if moment.is_exact() {
        eprintln!("snapshot of the source at log position {}", moment.end);
    } else {
        eprintln!(
            "snapshot of the source between the log positions {} and {}: for keys that changed in between, each of their states is right",
            moment.known, moment.end
        );
    }
}

async fn stage(
    staging: &Staging<'_>,
    tables: &[SourceTable],
    waiting: &HashMap<TableId, WaitingKeys>,
) -> Result<(), ProofError> {
    staging.make_tables(tables).await?;
    let none = WaitingKeys::new();
    for table in tables {
        let rows = staging.read(table, waiting.get(&table.table).unwrap_or(&none)).await?;
        eprintln!("{}: {rows} rows read", table.label);
    }
    staging.finish(tables).await
}

/// What was staged is compared with this.
struct Vault<'c> {
    arguments: &'c SourceArguments,
    warehouse: &'c Client,
    plan: &'c Plan,
    columns: &'c ComparedColumns,
    moment: Moment,
}

impl Vault<'_> {
    /// Compares hubs and links, and then the satellites of each table.
    async fn compare(
        &self,
        mut waiting: HashMap<TableId, WaitingKeys>,
    ) -> Result<Vec<Compared>, ProofError> {
        let Self { arguments, warehouse, plan, columns, moment } = *self;
        let tables = tables_of(&waiting);
        let keys = Keys { warehouse, plan, tables: &tables, show: arguments.show };
        let mut found = keys.compare().await?;
        let sources: Vec<&str> =
            plan.tables.iter().map(|table| table.record_source.as_str()).collect();
        let mut epochs = control::read_epochs(warehouse, &sources).await?;
        for &table in &tables {
            let record_source = &plan.tables[table].record_source;
            let versions = Versions {
                warehouse,
                plan,
                table,
                columns,
                moment,
                epochs: epochs.remove(record_source).unwrap_or_default(),
                waiting: waiting.remove(&table).unwrap_or_default(),
                show: arguments.show,
            };
            let mut compared = versions.compare().await?;
            if arguments.show_keys {
                let shown = compared.iter_mut().flat_map(|compared| &mut compared.shown);
                for finding in shown.filter(|finding| finding.key.is_none()) {
                    finding.key = keys.business_key(table, &finding.hash_key).await?;
                }
            }
            eprintln!("{}: compared", plan.model.tables[table].label);
            found.extend(compared);
        }
        Ok(found)
    }
}

/// The tables that are compared, in the model's order.
fn tables_of(waiting: &HashMap<TableId, WaitingKeys>) -> Vec<TableId> {
    let mut tables: Vec<TableId> = waiting.keys().copied().collect();
    tables.sort_unstable();
    tables
}

/// Refuses a warehouse that is not what the model and the secret make.
async fn check_warehouse(warehouse: &Client, plan: &Plan) -> Result<(), ProofError> {
    let fingerprint = plan.key_secret.as_ref().map(fingerprint);
    let fingerprint = fingerprint.as_ref().map(Hash::as_slice);
    if let Some(problem) = control::key_secret_problem(warehouse, fingerprint).await? {
        return Err(ProofError::Usage(problem.to_owned()));
    }
    match control::registered(warehouse, &plan.model, HASH_VERSION).await? {
        Some(_) => Ok(()),
        None => Err(ProofError::Usage(control::made_from_another(&plan.model))),
    }
}

fn chosen_tables(plan: &Plan, names: &[String]) -> Result<Vec<TableId>, ProofError> {
    let name = |id: TableId| {
        let table = &plan.model.tables[id];
        format!("{}.{}", table.schema, table.name)
    };
    let ids = || plan.model.tables.ids();
    if let Some(unknown) = names.iter().find(|wanted| !ids().any(|id| name(id) == **wanted)) {
        return Err(ProofError::Usage(format!(
            "--table {unknown}: the model has no such table: write schema.table"
        )));
    }
    Ok(ids().filter(|&id| names.is_empty() || names.contains(&name(id))).collect())
}

/// The columns of each descriptive satellite that are compared, and a note for each one that is not.
fn compared_columns(
    plan: &Plan,
    ignored: &[String],
) -> Result<(ComparedColumns, Vec<String>), ProofError> {
    let mut unused: HashSet<&str> = ignored.iter().map(String::as_str).collect();
    let mut columns = ComparedColumns::new();
    for (id, satellite) in plan.satellites.with_ids() {
        let SatelliteKind::Descriptive { hash_order, .. } = &satellite.kind else { continue };
        let table = &plan.model.tables[satellite.table];
        let mut is_compared = |column: &ColumnId| {
            let name = &table.columns[*column].name;
            let name = format!("{}.{}.{name}", table.schema, table.name);
            unused.remove(name.as_str());
            !ignored.contains(&name)
        };
        columns.insert(id, hash_order.iter().copied().filter(&mut is_compared).collect());
    }
    if let Some(unknown) = unused.iter().min() {
        return Err(ProofError::Usage(format!(
            "--ignore {unknown}: no satellite of the model has such a column: write schema.table.column; columns of keys cannot be left out"
        )));
    }
    Ok((columns, ignored.iter().map(|column| format!("{column}, by --ignore")).collect()))
}

/// The keys of each table whose events wait in the quarantine.
async fn waiting_keys(
    warehouse: &Client,
    plan: &Plan,
    tables: &[TableId],
) -> Result<HashMap<TableId, WaitingKeys>, ProofError> {
    let mut waiting = HashMap::new();
    for &table in tables {
        let keys = control::waiting_parents(warehouse, &plan.tables[table].record_source).await?;
        let keys = keys.into_iter().filter_map(|key| Hash::try_from(key).ok()).collect();
        waiting.insert(table, keys);
    }
    Ok(waiting)
}

/// The timeline and the size of a page of the source's log. A file of the log has its timeline in its name.
async fn source_log(source: &Client) -> Result<SourceLog, ProofError> {
    let sql = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer,
                      current_setting('wal_block_size')";
    let row = source.query_one(sql, &[]).await.map_err(ProofError::Source)?;
    let block_size = row.get::<_, &str>(1).parse().unwrap_or(8192);
    Ok(SourceLog { timeline: row.get(0), block_size })
}

/// Which source it is, and a time before its snapshot.
struct SourceServer {
    system_identifier: u64,
    timeline: i32,
    /// by its clock, microseconds since the epoch: what is not in the snapshot was committed later
    time_us: i64,
}

/// The identifier of the cluster, and the time by its clock. Every transaction that the snapshot does not show gets its
/// number afterwards, and so is committed later.
async fn before_snapshot(source: &Client) -> Result<(u64, i64), ProofError> {
    let sql = "SELECT system_identifier, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
               FROM pg_control_system()";
    let row = source.query_one(sql, &[]).await.map_err(ProofError::Source)?;
    Ok((row.get::<_, i64>(0).cast_unsigned(), row.get(1)))
}

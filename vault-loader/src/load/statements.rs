//! A connection that is ready to load: session settings, staging tables, prepared statements.
//!
//! In: connection options and the plan. Out: a [`LoadingSession`]. Everything that a session needs is made here once.
//! After an error that is an event's own fault, its transaction is rolled back. After any other error the whole session
//! is dropped.

use shared::postgres::{ConnectOptions, connect};
use tokio_postgres::{Client, Statement};

use crate::control::ControlStatements;
use crate::model::{
    ColumnId, ColumnType, HubId, Id, IdVec, KEY_COLUMNS, LinkId, PayloadType, Plan, SatelliteId,
    SatelliteKind, SatellitePlan, ScalarType, VAULT_SCHEMA, VERSION_COLUMNS, ident,
};
use crate::warehouse::WarehouseError;

/// Settings of a loading session.
///
/// - A loader that is paused between two statements of a transaction must not hold its locks for ever. The server ends
///   its session after 30 s.
/// - Inside a COPY the server waits for the client without any limit, so it has to notice by itself that the client's
///   machine is gone. It does so within 25 s. A process that is frozen while its machine answers holds its locks until
///   it goes on or is ended.
/// - A wait of more than 10 s for a lock means that another loader hangs. The statement fails, and the batch is tried
///   again.
/// - Stored values are read in the text form in which events are written.
/// - A query by key must use the primary key, also when the table was empty at the time of planning.
const SETTINGS: &str = "
    SET synchronous_commit = on;
    SET idle_in_transaction_session_timeout = '30s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET lock_timeout = '10s';
    SET statement_timeout = '10min';
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;
    SET search_path = pg_catalog, pg_temp;
    SET datestyle = 'ISO';
    SET timezone = 'UTC';
    SET bytea_output = 'hex';
    SET extra_float_digits = 1;";

/// Columns that every satellite begins with, in the order in which they are written.
pub(super) fn satellite_columns() -> String {
    [KEY_COLUMNS.as_slice(), VERSION_COLUMNS.as_slice()].concat().join(", ")
}

/// A table that is loaded through staging.
pub(super) struct Staged {
    pub(super) copy: Statement,
    pub(super) merge: Statement,
}

/// A satellite's statements.
pub(super) struct SatelliteStatements {
    pub(super) states: Statement,
    pub(super) copy: Statement,
    /// for a status satellite: reads the inserts that have given positions
    pub(super) inserts: Option<Statement>,
    /// reads the values of the last version that an event may have left out
    pub(super) stored: Option<StoredPayload>,
}

/// How to read stored values, and which columns of the source table they are.
pub(super) struct StoredPayload {
    pub(super) statement: Statement,
    /// the same, of the last version before a log position
    pub(super) before: Statement,
    pub(super) columns: Vec<ColumnId>,
}

/// A connection and its statements.
pub(super) struct LoadingSession {
    pub(super) client: Client,
    pub(super) statements: Statements,
}

/// Everything that is prepared.
pub(super) struct Statements {
    pub(super) control: ControlStatements,
    pub(super) hubs: IdVec<HubId, Staged>,
    pub(super) links: IdVec<LinkId, Staged>,
    pub(super) satellites: IdVec<SatelliteId, SatelliteStatements>,
}

impl LoadingSession {
    pub(super) async fn open(
        options: &ConnectOptions,
        plan: &Plan,
    ) -> Result<Self, WarehouseError> {
        let client = connect(options).await?;
        client.batch_execute(SETTINGS).await?;
        let mut hubs = IdVec::new();
        for (id, hub) in plan.model.hubs.with_ids() {
            let keys: Vec<_> = hub.key.iter().map(|column| ident(&column.name)).collect();
            let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
            let stage = format!("stage_hub_{}", id.to_index());
            hubs.push(staged(&client, &stage, &hub.name, &keys).await?);
        }
        let mut links = IdVec::new();
        for (id, link) in plan.model.links.with_ids() {
            let roles: Vec<String> =
                link.roles.iter().map(crate::model::LinkRole::column).collect();
            let dependent: Vec<_> =
                link.dependent_key.iter().map(|column| ident(&column.name)).collect();
            let dependent = dependent.iter().map(AsRef::as_ref);
            let columns: Vec<&str> = roles.iter().map(String::as_str).chain(dependent).collect();
            let stage = format!("stage_link_{}", id.to_index());
            links.push(staged(&client, &stage, &link.name, &columns).await?);
        }
        let mut satellites = IdVec::new();
        for satellite in &plan.satellites {
            satellites.push(satellite_statements(&client, plan, satellite).await?);
        }
        let statements = Statements {
            control: ControlStatements::prepare(&client).await?,
            hubs,
            links,
            satellites,
        };
        Ok(Self { client, statements })
    }
}

async fn staged(
    client: &Client,
    stage: &str,
    table: &str,
    columns: &[&str],
) -> Result<Staged, WarehouseError> {
    let create = format!(
        "CREATE TEMPORARY TABLE {stage} (LIKE {VAULT_SCHEMA}.{table}) ON COMMIT DELETE ROWS"
    );
    client.batch_execute(&create).await?;
    let all = [KEY_COLUMNS.as_slice(), columns].concat().join(", ");
    let copy = format!("COPY {stage} ({all}) FROM STDIN (FORMAT binary)");
    let assign: Vec<String> =
        columns.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let side = |alias: &str| -> String {
        let rest = columns.iter().map(|name| format!(", {alias}.{name}"));
        format!("({alias}.load_date, {alias}.record_source{})", rest.collect::<String>())
    };
    // The rows are sorted by key, so that two loaders that share hubs lock rows in the same order. Rows that exist
    // already are left out before, because a conflict locks its row and writes WAL even when it updates nothing.
    let merge = format!(
        "INSERT INTO {VAULT_SCHEMA}.{table} AS known ({all})
         SELECT {all}
         FROM {stage} AS new
         WHERE NOT EXISTS (
             SELECT
             FROM {VAULT_SCHEMA}.{table} AS old
             WHERE old.hash_key = new.hash_key
               AND {} <= {}
         )
         ORDER BY hash_key
         ON CONFLICT (hash_key) DO UPDATE
         SET load_date = excluded.load_date,
             record_source = excluded.record_source,
             source_system_id = excluded.source_system_id,
             {}
         WHERE {} < {}",
        side("old"),
        side("new"),
        assign.join(",\n             "),
        side("excluded"),
        side("known"),
    );
    Ok(Staged { copy: client.prepare(&copy).await?, merge: client.prepare(&merge).await? })
}

async fn satellite_statements(
    client: &Client,
    plan: &Plan,
    satellite: &SatellitePlan,
) -> Result<SatelliteStatements, WarehouseError> {
    let table = &satellite.qualified;
    let record_lsn = match satellite.kind {
        SatelliteKind::Status => "s.record_lsn",
        SatelliteKind::Descriptive { .. } | SatelliteKind::Effectivity { .. } => "NULL::bigint",
    };
    let columns = format!(
        "s.load_date, s.hashdiff, s.source_lsn, s.kafka_partition, s.kafka_offset, {record_lsn}"
    );
    let states = last_version(table, &columns);
    let payload = plan.payload(satellite);
    let names: Vec<_> = payload.iter().map(|(name, _)| ident(name)).collect();
    let copy = format!(
        "COPY {table} ({}, {}) FROM STDIN (FORMAT binary)",
        satellite_columns(),
        names.join(", ")
    );
    let inserts = match satellite.kind {
        SatelliteKind::Status => Some(client.prepare(&inserts(table)).await?),
        SatelliteKind::Descriptive { .. } | SatelliteKind::Effectivity { .. } => None,
    };
    let stored = match &satellite.kind {
        SatelliteKind::Descriptive { columns, .. } => {
            stored_payload(client, table, columns, &payload).await?
        }
        SatelliteKind::Status | SatelliteKind::Effectivity { .. } => None,
    };
    Ok(SatelliteStatements {
        states: client.prepare(&states).await?,
        copy: client.prepare(&copy).await?,
        inserts,
        stored,
    })
}

/// How to read the values that an update may leave out. `None` when every update has all of the satellite's values.
async fn stored_payload(
    client: &Client,
    table: &str,
    columns: &[ColumnId],
    payload: &[(String, PayloadType)],
) -> Result<Option<StoredPayload>, WarehouseError> {
    let toasted: Vec<(ColumnId, String)> = columns
        .iter()
        .zip(payload)
        .filter_map(|(&column, (name, kind))| match kind {
            PayloadType::Column(ColumnType::Scalar(ScalarType::Bytea)) => {
                Some((column, format!("s.{}", ident(name))))
            }
            PayloadType::Column(kind) if kind.may_be_toasted() => {
                Some((column, format!("s.{}::text", ident(name))))
            }
            _ => None,
        })
        .collect();
    if toasted.is_empty() {
        return Ok(None);
    }
    let list: Vec<&str> = toasted.iter().map(|(_, sql)| sql.as_str()).collect();
    let list = list.join(", ");
    Ok(Some(StoredPayload {
        statement: client.prepare(&last_version(table, &list)).await?,
        before: client.prepare(&last_version_before(table, &list)).await?,
        columns: toasted.iter().map(|(column, _)| *column).collect(),
    }))
}

/// The last version.
fn last_version(table: &str, columns: &str) -> String {
    format!(
        "SELECT k.hash_key, {columns}
         FROM unnest($1::bytea[]) AS k (hash_key)
         CROSS JOIN LATERAL (
             SELECT *
             FROM {table} AS v
             WHERE v.hash_key = k.hash_key
             ORDER BY v.load_date DESC
             LIMIT 1
         ) AS s"
    )
}

/// The last version before a log position.
fn last_version_before(table: &str, columns: &str) -> String {
    format!(
        "SELECT k.place, s.kafka_partition, {columns}
         FROM unnest($1::bytea[], $2::bigint[]) WITH ORDINALITY AS k (hash_key, lsn, place)
         CROSS JOIN LATERAL (
             SELECT *
             FROM {table} AS v
             WHERE v.hash_key = k.hash_key AND (v.source_lsn IS NULL OR v.source_lsn < k.lsn)
             ORDER BY v.load_date DESC
             LIMIT 1
         ) AS s"
    )
}

/// Rows from before the record's position was stored came from inserts in order. For these the bound is the position.
fn inserts(table: &str) -> String {
    format!(
        "SELECT k.place, s.source_lsn, s.kafka_partition, s.kafka_offset
         FROM unnest($1::bytea[], $2::bigint[]) WITH ORDINALITY AS k (hash_key, lsn, place)
         CROSS JOIN LATERAL (
             SELECT *
             FROM {table} AS v
             WHERE v.hash_key = k.hash_key
               AND v.op = 'c'
               AND COALESCE(v.record_lsn, v.source_lsn) = k.lsn
             ORDER BY v.load_date
             LIMIT 1
         ) AS s"
    )
}

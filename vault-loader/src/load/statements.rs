//! A connection that is ready to load: session settings, staging tables, prepared statements.
//!
//! In: connection options and the plan. Out: a [`LoadingSession`]. Everything that a session needs is made here once.
//! After an error that is an event's own fault, its transaction is rolled back. After any other error the whole session
//! is dropped.

use shared::postgres::{ConnectOptions, connect};
use tokio_postgres::{Client, Statement};

use crate::control::ControlStatements;
use crate::model::{
    Column, ColumnId, ColumnType, Hub, HubId, Id, IdVec, KEY_COLUMNS, Link, LinkId, PayloadType,
    Plan, SatelliteId, SatelliteKind, SatellitePlan, ScalarType, Schemas, VERSION_COLUMNS, ident,
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

/// Columns that a satellite begins with, in the order in which they are written: the technical ones, and those of its
/// parent's key.
pub(super) fn satellite_columns(satellite: &SatellitePlan) -> String {
    let technical = KEY_COLUMNS.iter().chain(&VERSION_COLUMNS).map(|&name| name.into());
    let carried = satellite.carried.iter().map(|carried| ident(&carried.name));
    technical.chain(carried).collect::<Vec<_>>().join(", ")
}

/// A table that is loaded through staging.
pub(super) struct Staged {
    pub(super) copy: Statement,
    /// inserts the missing rows; returns how many were missing, and how many were inserted
    pub(super) merge: Statement,
    /// finds a staged row whose hash key stands for another key
    pub(super) collision: Statement,
    /// copies rows straight into the table
    pub(super) direct: Statement,
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
    /// none for a reference, which has no table
    pub(super) hubs: IdVec<HubId, Option<Staged>>,
    /// none for a link whose key stands in satellites
    pub(super) links: IdVec<LinkId, Option<Staged>>,
    pub(super) satellites: IdVec<SatelliteId, SatelliteStatements>,
}

impl LoadingSession {
    pub(super) async fn open(
        options: &ConnectOptions,
        plan: &Plan,
    ) -> Result<Self, WarehouseError> {
        let client = connect(options).await?;
        client.batch_execute(SETTINGS).await?;
        if plan.schemas != Schemas::LIVE {
            // The commit that puts these rows in place waits for the disk, and so for all commits before it.
            client.batch_execute("SET synchronous_commit = off").await?;
        }
        let qualified = |name: &str| format!("{}.{name}", plan.schemas.vault);
        let mut hubs = IdVec::new();
        for (id, hub) in plan.model.hubs.with_ids() {
            if hub.is_carried {
                hubs.push(None);
                continue;
            }
            let stage = format!("stage_hub_{}", id.to_index());
            hubs.push(Some(
                staged(&client, &stage, &qualified(&hub.name), &hub_columns(hub)).await?,
            ));
        }
        let mut links = IdVec::new();
        for (id, link) in plan.model.links.with_ids() {
            if link.is_carried() {
                links.push(None);
                continue;
            }
            let stage = format!("stage_link_{}", id.to_index());
            links.push(Some(
                staged(&client, &stage, &qualified(&link.name), &link_columns(link)).await?,
            ));
        }
        let mut satellites = IdVec::new();
        for satellite in &plan.satellites {
            satellites.push(satellite_statements(&client, plan, satellite).await?);
        }
        let statements = Statements {
            control: ControlStatements::prepare(&client, plan.schemas).await?,
            hubs,
            links,
            satellites,
        };
        Ok(Self { client, statements })
    }
}

/// A column that a hub or link has beside the technical ones.
struct KeyColumn {
    /// the name as it stands in statements
    name: String,
    /// whether rows of one hash key must agree in it
    is_exact: bool,
}

/// Statements that insert what is missing in a hub or link.
///
/// The rows are inserted in the order of their keys, so that two loaders that share hubs wait for each other in one
/// order. Rows that exist already are left out before, because a conflict costs more than a look into the index. A row
/// whose hash key stands for another key is not left out. It cannot be inserted either, and the difference of the two
/// counts shows it.
async fn staged(
    client: &Client,
    stage: &str,
    table: &str,
    columns: &[KeyColumn],
) -> Result<Staged, WarehouseError> {
    let create = format!("CREATE TEMPORARY TABLE {stage} (LIKE {table}) ON COMMIT DELETE ROWS");
    client.batch_execute(&create).await?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let all = [KEY_COLUMNS.as_slice(), &names].concat().join(", ");
    let copy = format!("COPY {stage} ({all}) FROM STDIN (FORMAT binary)");
    let exact = columns.iter().filter(|column| column.is_exact);
    let same: String = exact
        .map(|column| format!(" AND known.{0} IS NOT DISTINCT FROM new.{0}", column.name))
        .collect();
    let merge = format!(
        "WITH unknown AS MATERIALIZED (
             SELECT {all}
             FROM {stage} AS new
             WHERE NOT EXISTS (
                 SELECT
                 FROM {table} AS known
                 WHERE known.hash_key = new.hash_key{same}
             )
         ),
         added AS (
             INSERT INTO {table} ({all})
             SELECT {all}
             FROM unknown
             ORDER BY hash_key
             ON CONFLICT (hash_key) DO NOTHING
             RETURNING 1
         )
         SELECT (SELECT count(*) FROM unknown), (SELECT count(*) FROM added)"
    );
    let collision = format!(
        "SELECT known.hash_key, known.record_source, new.record_source
         FROM {stage} AS new
         JOIN {table} AS known USING (hash_key)
         WHERE NOT (true{same})
         LIMIT 1"
    );
    let direct = format!("COPY {table} ({all}) FROM STDIN (FORMAT binary)");
    Ok(Staged {
        copy: client.prepare(&copy).await?,
        merge: client.prepare(&merge).await?,
        collision: client.prepare(&collision).await?,
        direct: client.prepare(&direct).await?,
    })
}

/// The key columns of a hub.
fn hub_columns(hub: &Hub) -> Vec<KeyColumn> {
    let columns = hub.key.iter().zip(&hub.folded);
    columns.map(|(column, folded)| key_column(column, *folded)).collect()
}

/// The hubs' keys and the dependent key of a link.
fn link_columns(link: &Link) -> Vec<KeyColumn> {
    let roles = link.roles.iter().map(|role| KeyColumn { name: role.column(), is_exact: true });
    roles.chain(link.dependent_key.iter().map(|column| key_column(column, false))).collect()
}

/// PostgreSQL cannot compare `json` and `point`, and equal documents can be written in several ways.
fn key_column(column: &Column, folded: bool) -> KeyColumn {
    let comparable = !matches!(
        column.kind,
        ColumnType::Scalar(ScalarType::Json | ScalarType::Jsonb | ScalarType::Point)
            | ColumnType::Array(_)
    );
    KeyColumn { name: ident(&column.name).into_owned(), is_exact: comparable && !folded }
}

async fn satellite_statements(
    client: &Client,
    plan: &Plan,
    satellite: &SatellitePlan,
) -> Result<SatelliteStatements, WarehouseError> {
    let table = &satellite.qualified;
    let record_lsn = match satellite.kind {
        SatelliteKind::Status | SatelliteKind::Tracking => "s.record_lsn",
        SatelliteKind::Descriptive { .. } | SatelliteKind::Effectivity { .. } => "NULL::bigint",
    };
    let columns = format!(
        "s.load_date, s.hashdiff, s.source_lsn, s.kafka_partition, s.kafka_offset, {record_lsn}, s.source_epoch,
         s.applied_date"
    );
    let states = last_version(table, &columns);
    let payload = plan.payload(satellite);
    let names: Vec<_> = payload.iter().map(|(name, _)| ident(name)).collect();
    let copy = format!(
        "COPY {table} ({}, {}) FROM STDIN (FORMAT binary)",
        satellite_columns(satellite),
        names.join(", ")
    );
    let inserts = match satellite.kind {
        SatelliteKind::Status => Some(client.prepare(&inserts(table)).await?),
        SatelliteKind::Descriptive { .. }
        | SatelliteKind::Tracking
        | SatelliteKind::Effectivity { .. } => None,
    };
    let stored = match &satellite.kind {
        SatelliteKind::Descriptive { columns, .. } => {
            stored_payload(client, table, columns, &payload).await?
        }
        SatelliteKind::Status | SatelliteKind::Tracking | SatelliteKind::Effectivity { .. } => None,
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
         FROM unnest($1::bytea[], $2::bigint[], $3::integer[]) WITH ORDINALITY AS k (hash_key, lsn, since, place)
         CROSS JOIN LATERAL (
             SELECT *
             FROM {table} AS v
             WHERE v.hash_key = k.hash_key
               AND v.op = 'c'
               AND v.source_epoch >= k.since
               AND COALESCE(v.record_lsn, v.source_lsn) = k.lsn
             ORDER BY v.load_date
             LIMIT 1
         ) AS s"
    )
}

//! The control schema's numbered, forward-only migrations.
//!
//! In: a transaction. Out: the list of what was applied in it. A migration is applied once and never edited.

use tokio_postgres::Transaction;

pub(crate) use crate::model::CONTROL_SCHEMA;

/// Number, name and text of every migration, in order.
const MIGRATIONS: [(i32, &str, &str); 14] = [
    (1, "control", include_str!("../../migrations/0001_control.sql")),
    (2, "event minutes", include_str!("../../migrations/0002_event_minutes.sql")),
    (3, "epochs", include_str!("../../migrations/0003_epochs.sql")),
    (4, "parking", include_str!("../../migrations/0004_parking.sql")),
    (5, "paused tables", include_str!("../../migrations/0005_paused_tables.sql")),
    (6, "sources", include_str!("../../migrations/0006_sources.sql")),
    (7, "numbers of truncates", include_str!("../../migrations/0007_truncate_numbers.sql")),
    (8, "grown columns", include_str!("../../migrations/0008_grown_columns.sql")),
    (10, "gaps", include_str!("../../migrations/0010_gaps.sql")),
    (11, "growing by right", include_str!("../../migrations/0011_growing_by_right.sql")),
    (12, "hashing", include_str!("../../migrations/0012_hashing.sql")),
    (13, "made views", include_str!("../../migrations/0013_made_views.sql")),
    (14, "watermark", include_str!("../../migrations/0014_watermark.sql")),
    (15, "snapshots", include_str!("../../migrations/0015_snapshots.sql")),
];

/// The last migration that makes what a comparison with a model reads.
pub(crate) const COMPARABLE_FROM: i32 = 8;

/// The migrations that were not applied yet, each with its name. Needs no right while the schema is not there.
pub(crate) async fn pending_migrations(
    transaction: &Transaction<'_>,
) -> Result<Vec<(i32, &'static str)>, tokio_postgres::Error> {
    let sql = "SELECT EXISTS (
                   SELECT FROM pg_class
                   WHERE relname = 'schema_migrations'
                     AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
               )";
    let exists: bool = transaction.query_one(sql, &[&CONTROL_SCHEMA]).await?.get(0);
    let applied = if exists { read_applied(transaction).await? } else { Vec::new() };
    let pending = MIGRATIONS.iter().filter(|(version, ..)| !applied.contains(version));
    Ok(pending.map(|(version, name, _)| (*version, *name)).collect())
}

async fn read_applied(transaction: &Transaction<'_>) -> Result<Vec<i32>, tokio_postgres::Error> {
    let sql = "SELECT version FROM dwh_control.schema_migrations";
    Ok(transaction.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// Applies what is missing.
pub(crate) async fn apply_migrations(
    transaction: &Transaction<'_>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut done = Vec::new();
    let exists: bool = transaction
        .query_one("SELECT to_regclass('dwh_control.schema_migrations') IS NOT NULL", &[])
        .await?
        .get(0);
    if !exists {
        transaction
            .batch_execute(
                "CREATE TABLE dwh_control.schema_migrations (
                    version    integer     NOT NULL,
                    name       text        NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
                );
                COMMENT ON TABLE dwh_control.schema_migrations IS 'migrations of this schema that were applied';
                COMMENT ON COLUMN dwh_control.schema_migrations.version IS 'number of the migration';
                COMMENT ON COLUMN dwh_control.schema_migrations.name IS 'what it does';
                COMMENT ON COLUMN dwh_control.schema_migrations.applied_at IS 'when';",
            )
            .await?;
    }
    let applied = read_applied(transaction).await?;
    for (version, name, text) in MIGRATIONS {
        if !applied.contains(&version) {
            transaction.batch_execute(text).await?;
            transaction
                .execute(
                    "INSERT INTO dwh_control.schema_migrations (version, name)
                     VALUES ($1, $2)",
                    &[&version, &name],
                )
                .await?;
            done.push(format!("applied control migration {version} ({name})"));
        }
    }
    Ok(done)
}

/// The statements that give a role what loading needs of this schema.
pub(crate) fn grants(role: &str) -> String {
    format!(
        "GRANT USAGE ON SCHEMA {CONTROL_SCHEMA} TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA {CONTROL_SCHEMA} TO {role};
         GRANT INSERT, UPDATE ON {CONTROL_SCHEMA}.offsets, {CONTROL_SCHEMA}.event_minutes TO {role};
         GRANT INSERT, UPDATE, DELETE ON {CONTROL_SCHEMA}.paused_tables, {CONTROL_SCHEMA}.watermark TO {role};
         GRANT EXECUTE ON FUNCTION {CONTROL_SCHEMA}.grow_satellite(text, text, text, text, text) TO {role};
         GRANT INSERT ON {CONTROL_SCHEMA}.quarantine, {CONTROL_SCHEMA}.truncations, {CONTROL_SCHEMA}.epochs TO {role};
         GRANT INSERT, DELETE ON {CONTROL_SCHEMA}.epoch_starts TO {role};
         GRANT INSERT, UPDATE, DELETE ON {CONTROL_SCHEMA}.snapshots TO {role};
         GRANT INSERT, DELETE ON {CONTROL_SCHEMA}.late_loads TO {role};\n"
    )
}

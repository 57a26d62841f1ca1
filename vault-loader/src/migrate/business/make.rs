//! Makes the tables of the business vault, and keeps them as the model wants them.
//!
//! In: a model and the warehouse. Out: a line for each thing done. A table whose definition has changed is dropped and
//! made anew, and a table that the model names no more is dropped: the next build fills a table from the vault. Where
//! only comments differ, the comments are corrected. What somebody else made is left alone, and a table on which
//! somebody's view depends is not dropped.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Transaction};

use super::super::ddl::quote;
use super::{BUSINESS_SCHEMA, BusinessTable, SCHEMA_COMMENT, fillings, tables};
use crate::control::{self, SnapshotTable};
use crate::model::Model;

/// Why the tables cannot be made.
#[derive(Debug)]
pub(in crate::migrate) enum Refused {
    /// somebody or something stands in the way
    Conflicts(Vec<String>),
    /// the warehouse refused this step
    Sql(String, Error),
}

/// One thing to do.
struct Change {
    /// what it does, for the operator
    told: String,
    sql: String,
    table: String,
    after: After,
}

/// What is left of a table behind a change.
enum After {
    /// an empty table that is known by this
    Made(Vec<u8>),
    Gone,
    /// the table with its snapshots
    Kept,
}

/// What the warehouse has.
struct Existing {
    has_schema: bool,
    relations: BTreeSet<String>,
    /// by table, and by column or an empty name
    comments: BTreeMap<(String, String), String>,
    made: BTreeMap<String, SnapshotTable>,
}

/// Makes what is missing, and replaces what has changed, in the transaction of the caller.
pub(in crate::migrate) async fn make(
    transaction: &Transaction<'_>,
    model: &Model,
    others: &[Model],
) -> Result<Vec<String>, Refused> {
    let existing = read(transaction).await.map_err(reading)?;
    let changes = judge(transaction, model, others, &existing).await?;
    let mut told = Vec::new();
    if !existing.has_schema && !changes.is_empty() {
        let comment = quote(SCHEMA_COMMENT);
        let sql = format!(
            "CREATE SCHEMA {BUSINESS_SCHEMA};\nCOMMENT ON SCHEMA {BUSINESS_SCHEMA} IS {comment};"
        );
        transaction.batch_execute(&sql).await.map_err(no_schema)?;
        told.push(created_schema());
    }
    for Change { told: step, sql, table, after } in changes {
        let done = transaction.batch_execute(&sql).await;
        done.map_err(|error| not_changed(&table, &step, error))?;
        let noted = match &after {
            After::Made(digest) => {
                let source = &model.source.name;
                control::note_snapshot_table(transaction, &table, source, digest).await
            }
            After::Gone => control::forget_snapshot_table(transaction, &table).await,
            After::Kept => Ok(()),
        };
        noted.map_err(|error| Refused::Sql(step.clone(), error))?;
        told.push(step);
    }
    Ok(told)
}

/// Whether [`make`] would make or drop a table. Then no build of snapshots may run beside it. What [`make`] would
/// refuse, it says itself.
pub(in crate::migrate) async fn replaces(
    transaction: &Transaction<'_>,
    model: &Model,
    others: &[Model],
) -> Result<bool, Refused> {
    let existing = read(transaction).await.map_err(reading)?;
    match judge(transaction, model, others, &existing).await {
        Ok(changes) => Ok(changes.iter().any(|change| !matches!(change.after, After::Kept))),
        Err(Refused::Conflicts(_)) => Ok(false),
        Err(failed) => Err(failed),
    }
}

/// Says what [`make`] would do, and does nothing. `has_schema` is whether an earlier model would have made the schema,
/// and then whether this one would have.
pub(in crate::migrate) async fn foretell(
    transaction: &Transaction<'_>,
    model: &Model,
    others: &[Model],
    has_schema: &mut bool,
) -> Result<Vec<String>, Refused> {
    let existing = read(transaction).await.map_err(reading)?;
    let changes = judge(transaction, model, others, &existing).await?;
    let is_missing = !existing.has_schema && !*has_schema && !changes.is_empty();
    *has_schema |= is_missing;
    let schema = is_missing.then(created_schema);
    Ok(schema.into_iter().chain(changes.into_iter().map(|change| change.told)).collect())
}

fn created_schema() -> String {
    format!("created schema {BUSINESS_SCHEMA}")
}

fn reading(error: Error) -> Refused {
    Refused::Sql(format!("reading the tables of {BUSINESS_SCHEMA}"), error)
}

fn no_schema(error: Error) -> Refused {
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return Refused::Sql(format!("schema {BUSINESS_SCHEMA}"), error);
    }
    Refused::Conflicts(vec![format!(
        "this role may not make the schema {BUSINESS_SCHEMA}, which the model's point-in-time tables and bridges need: let a \
         superuser apply sql/warehouse/010_roles.sql, or run CREATE SCHEMA {BUSINESS_SCHEMA} AUTHORIZATION with the name of \
         this role"
    )])
}

fn not_changed(table: &str, step: &str, error: Error) -> Refused {
    if error.code() != Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) {
        return Refused::Sql(step.to_owned(), error);
    }
    let detail = error.as_db_error().and_then(|error| error.detail()).unwrap_or("an object");
    Refused::Conflicts(vec![format!(
        "{BUSINESS_SCHEMA}.{table} has to be made anew, and somebody's object depends on it ({}): drop that, migrate again, and \
         make it anew",
        detail.lines().collect::<Vec<_>>().join(", ")
    )])
}

async fn read(transaction: &Transaction<'_>) -> Result<Existing, Error> {
    let sql = "SELECT c.relname::text
               FROM pg_catalog.pg_namespace AS n
               LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind <> 'i'
               WHERE n.nspname = $1";
    let rows = transaction.query(sql, &[&BUSINESS_SCHEMA]).await?;
    let relations = rows.iter().filter_map(|row| row.get(0)).collect();
    let made = control::snapshot_tables(transaction).await?;
    let comments = read_comments(transaction).await?;
    Ok(Existing { has_schema: !rows.is_empty(), relations, comments, made })
}

async fn read_comments(
    transaction: &Transaction<'_>,
) -> Result<BTreeMap<(String, String), String>, Error> {
    let sql = "SELECT c.relname::text, COALESCE(a.attname::text, ''), d.description
               FROM pg_catalog.pg_namespace AS n
               JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid
               JOIN pg_catalog.pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
               LEFT JOIN pg_catalog.pg_attribute AS a
                   ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
               WHERE n.nspname = $1";
    let rows = transaction.query(sql, &[&BUSINESS_SCHEMA]).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect())
}

/// Whether the warehouse has a table's comments as the model wants them.
fn has_comments(table: &BusinessTable, existing: &Existing) -> bool {
    let own = [("", &table.comment)];
    let columns = table.columns.iter().map(|column| (column.name.as_str(), &column.comment));
    own.into_iter().chain(columns).all(|(column, comment)| {
        existing.comments.get(&(table.name.clone(), column.to_owned())) == Some(comment)
    })
}

/// What has to be done, or every reason against it.
async fn judge(
    transaction: &Transaction<'_>,
    model: &Model,
    others: &[Model],
    existing: &Existing,
) -> Result<Vec<Change>, Refused> {
    let mut conflicts = Vec::new();
    if let Some(calendar) = &model.snapshots.calendar {
        let zone = &calendar.time_zone;
        if !control::knows_time_zone(transaction, zone).await.map_err(reading)? {
            conflicts.push(format!(
                "the warehouse knows no time zone {zone}: correct snapshots.time_zone; pg_timezone_names has the names"
            ));
        }
    }
    if let Err(not_fed) = fillings(model, others) {
        conflicts.push(not_fed.to_string());
    }
    let wanted = tables(model);
    let mut changes = Vec::new();
    for table in &wanted {
        match change(&model.source.name, table, existing) {
            Ok(change) => changes.extend(change),
            Err(conflict) => conflicts.push(conflict),
        }
    }
    let is_wanted = |name: &str| wanted.iter().any(|table| table.name == name);
    for (name, made) in &existing.made {
        if made.source == model.source.name && !is_wanted(name) {
            changes.push(Change {
                told: format!("dropped {BUSINESS_SCHEMA}.{name}, which the model does not name"),
                sql: format!("DROP TABLE IF EXISTS {BUSINESS_SCHEMA}.{name}"),
                table: name.clone(),
                after: After::Gone,
            });
        }
    }
    if conflicts.is_empty() { Ok(changes) } else { Err(Refused::Conflicts(conflicts)) }
}

fn change(
    source: &str,
    table: &BusinessTable,
    existing: &Existing,
) -> Result<Option<Change>, String> {
    let (qualified, digest) = (table.qualified(), table.digest());
    let is_there = existing.relations.contains(&table.name);
    let (told, sql) = match existing.made.get(&table.name) {
        Some(made) if made.source != source => {
            let owner = &made.source;
            return Err(format!("{qualified} belongs to the source {owner}: choose another name"));
        }
        Some(made) if is_there && made.digest == digest => {
            let is_right = has_comments(table, existing);
            return Ok((!is_right).then(|| Change {
                told: format!("corrected the comments of {qualified}"),
                sql: table.comment_on(),
                table: table.name.clone(),
                after: After::Kept,
            }));
        }
        Some(_) if is_there => (
            format!(
                "made {qualified} anew, because its definition changed; the next build fills it"
            ),
            format!("DROP TABLE {qualified};\n{}", table.create()),
        ),
        None if is_there => {
            return Err(format!(
                "{qualified} exists, and migrate did not make it: rename it, or choose another name"
            ));
        }
        Some(_) | None => (format!("created {qualified}"), table.create()),
    };
    Ok(Some(Change { told, sql, table: table.name.clone(), after: After::Made(digest) }))
}

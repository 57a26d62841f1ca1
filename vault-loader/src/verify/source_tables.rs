//! What is read of a source's tables, and as which types.
//!
//! In: the source's catalog inside the snapshot, the model, and the publication when one is named. Out: a statement for
//! each table that reads the model's columns of the rows that are published, and the type of each column.
//!
//! Hard cases: a column that the source does not have (any more), or does not publish, is NULL, as in an event; a
//! column whose type has become narrower or wider is read by its own type, if the vault's column holds that; a
//! partitioned table is read with its partitions, any other one without the tables that inherit from it, because each
//! row stands in one topic.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;

use crate::infer::{COLUMNS, in_model};
use crate::model::{ColumnType, Id as _, Plan, Table, TableId};
use crate::proof::{ProofError, quoted};

/// A table of the source, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceTable {
    pub(super) table: TableId,
    /// for messages
    pub(super) label: String,
    /// the statement that reads its rows
    pub(super) copy: String,
    /// the types of the columns in the source, in the model's order of columns
    pub(super) types: Vec<ColumnType>,
    /// columns of the source that the vault does not have
    pub(super) unknown: Vec<String>,
}

/// A table's column.
struct CatalogColumn {
    name: String,
    kind: String,
}

/// The rows and columns of a table that are published.
#[derive(Default, serde::Deserialize)]
struct Published {
    schemaname: String,
    tablename: String,
    /// none before PostgreSQL 15: all columns
    attnames: Option<Vec<String>>,
    rowfilter: Option<String>,
}

/// The table's name as it may stand in a statement.
pub(super) fn name_of(table: &Table) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

/// Refuses tables that the source does not have, and a source that cannot give a snapshot.
pub(super) async fn check(
    client: &Client,
    plan: &Plan,
    tables: &[TableId],
) -> Result<(), ProofError> {
    let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await;
    if row.map_err(ProofError::Source)?.get(0) {
        let usage = "--source is a standby, whose log has no end of its own: give the primary";
        return Err(ProofError::Usage(usage.to_owned()));
    }
    for &table in tables {
        let table = &plan.model.tables[table];
        let sql = "SELECT to_regclass($1) IS NOT NULL";
        let row = client.query_one(sql, &[&name_of(table)]).await.map_err(ProofError::Source)?;
        if !row.get::<_, bool>(0) {
            return Err(ProofError::Usage(format!(
                "the source has no table {}.{} that this role can see: see whether --source is the database that the model is about",
                table.schema, table.name
            )));
        }
    }
    Ok(())
}

/// Reads how each of these tables has to be read.
pub(super) async fn read(
    client: &Client,
    plan: &Plan,
    tables: &[TableId],
    publication: Option<&str>,
) -> Result<Vec<SourceTable>, ProofError> {
    let published = match publication {
        Some(name) => Some(read_published(client, name).await?),
        None => None,
    };
    let mut found = Vec::new();
    for &id in tables {
        let table = &plan.model.tables[id];
        let sql = "SELECT oid, relkind = 'p' FROM pg_class WHERE oid = to_regclass($1)";
        let row = client.query_one(sql, &[&name_of(table)]).await.map_err(ProofError::Source)?;
        let (oid, is_partitioned): (u32, bool) = (row.get(0), row.get(1));
        let mut columns = catalog_columns(client, oid).await?;
        let mut filter = None;
        if let Some(published) = &published {
            let part = part_of(published, table, publication.unwrap_or_default())?;
            filter.clone_from(&part.rowfilter);
            if let Some(names) = &part.attnames {
                columns.retain(|column| names.contains(&column.name));
            }
        }
        let from = if is_partitioned { name_of(table) } else { format!("ONLY {}", name_of(table)) };
        let condition = filter.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        found.push(source_table(id, table, &columns, &format!("{from}{condition}"))?);
    }
    Ok(found)
}

async fn read_published(client: &Client, name: &str) -> Result<Vec<Published>, ProofError> {
    let sql = "SELECT to_jsonb(p)::text FROM pg_publication_tables AS p WHERE pubname = $1";
    let rows = client.query(sql, &[&name]).await.map_err(ProofError::Source)?;
    if rows.is_empty() {
        let usage = format!("the source has no publication {name}, or it publishes no table");
        return Err(ProofError::Usage(usage));
    }
    let part = |row: &tokio_postgres::Row| serde_json::from_str(row.get(0));
    rows.iter().map(part).collect::<Result<_, _>>().map_err(|_| {
        ProofError::Usage("the source's pg_publication_tables has another form".to_owned())
    })
}

fn part_of<'p>(
    published: &'p [Published],
    table: &Table,
    publication: &str,
) -> Result<&'p Published, ProofError> {
    let is_it = |part: &&Published| part.schemaname == table.schema && part.tablename == table.name;
    published.iter().find(is_it).ok_or_else(|| {
        ProofError::Usage(format!(
            "the publication {publication} does not publish {}.{}: add it, or name the other tables with --table",
            table.schema, table.name
        ))
    })
}

async fn catalog_columns(client: &Client, oid: u32) -> Result<Vec<CatalogColumn>, ProofError> {
    let rows = client.query(COLUMNS, &[&vec![oid]]).await.map_err(ProofError::Source)?;
    Ok(rows.iter().map(|row| CatalogColumn { name: row.get(2), kind: row.get(3) }).collect())
}

fn source_table(
    id: TableId,
    table: &Table,
    columns: &[CatalogColumn],
    from: &str,
) -> Result<SourceTable, ProofError> {
    let by_name: HashMap<&str, &CatalogColumn> =
        columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let mut known: HashSet<&str> = table.ignored.iter().map(String::as_str).collect();
    let (mut expressions, mut types) = (Vec::new(), Vec::new());
    for (place, column) in table.columns.iter().enumerate() {
        let others = table.also_named.iter().filter(|(_, id)| id.to_index() == place);
        let names =
            std::iter::once(column.name.as_str()).chain(others.map(|(name, _)| name.as_str()));
        let Some(found) = names.into_iter().find_map(|name| by_name.get(name)) else {
            expressions.push("NULL".to_owned());
            types.push(column.kind);
            continue;
        };
        known.insert(&found.name);
        types.push(readable(table, &column.name, column.kind, &found.kind)?);
        let name = quoted(&found.name);
        // How an amount is printed depends on the locale.
        let is_money = found.kind == "money";
        expressions.push(if is_money { format!("{name}::numeric(19,2)") } else { name });
    }
    let unknown = columns.iter().map(|column| &column.name);
    let unknown = unknown.filter(|name| !known.contains(name.as_str())).cloned().collect();
    let label = format!("{}.{}", table.schema, table.name);
    let copy = format!("COPY (SELECT {} FROM {from}) TO STDOUT", expressions.join(", "));
    Ok(SourceTable { table: id, label, copy, types, unknown })
}

/// The type by which a column's values are read.
fn readable(
    table: &Table,
    column: &str,
    wanted: ColumnType,
    found: &str,
) -> Result<ColumnType, ProofError> {
    match ColumnType::parse(&in_model(found)) {
        Some(kind) if wanted.holds(kind) => Ok(kind),
        _ => Err(ProofError::Usage(format!(
            "column {column} of {}.{} is {found} at the source, and the vault's {} does not hold that: change the model and migrate",
            table.schema,
            table.name,
            wanted.vault_type(),
        ))),
    }
}

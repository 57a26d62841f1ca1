//! What a first look at a source asks the catalog: which tables there are at all, what a role may do, and how much room
//! the server has.
//!
//! In: names of schemas and of a role that need not exist yet. Out: what the catalog says. Every role may ask, because
//! the catalog shows all tables to everybody.

use std::collections::{HashMap, HashSet};

use super::cells::{SHAPE, parsed, text};
use super::publication::NamedTable;
use super::tables::oid_array;
use crate::replication::{Client, ReplicationError, quote_literal};

/// A table of any kind that holds rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The name.
    pub named: NamedTable,
    /// Whether its rows are on another server.
    pub is_foreign: bool,
    /// Whether its changes are written to the WAL.
    pub is_logged: bool,
    /// Whether it is a partition of another table.
    pub is_partition: bool,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Whether it may log in.
    pub can_log_in: bool,
    /// Powers over the whole server that reading changes does not need, as `ALTER ROLE` names them.
    pub powers: Vec<&'static str>,
    /// Whether it may connect to the database.
    pub may_connect: bool,
}

/// What a role may do with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whether it has `SELECT` on the table.
    pub may_select: bool,
    /// Whether it has `USAGE` on the table's schema.
    pub may_use_schema: bool,
    /// Whether policies decide which rows it sees.
    pub hides_rows: bool,
}

/// How much room the server has for another reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many slots exist.
    pub slots_used: u32,
    /// How many WAL senders run.
    pub wal_senders_used: u32,
    /// `wal_sender_timeout` in milliseconds; none when the role has a value of its own.
    pub wal_sender_timeout_ms: Option<u64>,
}

/// What a table's description does not say about a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDetail {
    /// The column.
    pub name: String,
    /// Its type, as PostgreSQL prints it.
    pub type_name: String,
    /// Whether PostgreSQL computes it from others.
    pub is_generated: bool,
}

/// The names of all schemas outside the system's.
///
/// # Errors
/// When the query fails.
pub fn schema_names(client: &mut Client) -> Result<HashSet<String>, ReplicationError> {
    client
        .query(
            "SELECT nspname FROM pg_catalog.pg_namespace
             WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'",
        )?
        .iter()
        .map(|row| Ok(text(row, 0)?.to_owned()))
        .collect()
}

/// Ordinary, partitioned and foreign tables, by schema and name, without those of the system and of extensions.
///
/// # Errors
/// When the query fails.
pub fn relations(client: &mut Client) -> Result<Vec<Relation>, ReplicationError> {
    let rows = client.query(
        "SELECT c.oid, n.nspname, c.relname, c.relkind = 'f', c.relpersistence = 'p', c.relispartition
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence IN ('p', 'u')
           AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_depend d
               WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
         ORDER BY 2, 3",
    )?;
    let relation = |row| {
        Ok(Relation {
            named: NamedTable {
                oid: parsed(row, 0)?,
                schema: text(row, 1)?.to_owned(),
                name: text(row, 2)?.to_owned(),
            },
            is_foreign: text(row, 3)? == "t",
            is_logged: text(row, 4)? == "t",
            is_partition: text(row, 5)? == "t",
        })
    };
    rows.iter().map(relation).collect()
}

/// Reads a role. `None` when no role has that name.
///
/// # Errors
/// When the query fails.
pub fn role(client: &mut Client, name: &str) -> Result<Option<Role>, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT rolcanlogin, pg_catalog.has_database_privilege(oid, current_database(), 'CONNECT'), rolsuper, rolcreatedb, rolcreaterole
         FROM pg_catalog.pg_roles WHERE rolname = {}",
        quote_literal(name)
    ))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut powers = Vec::new();
    for (index, power) in [(2, "SUPERUSER"), (3, "CREATEDB"), (4, "CREATEROLE")] {
        if text(row, index)? == "t" {
            powers.push(power);
        }
    }
    let (can_log_in, may_connect) = (text(row, 0)? == "t", text(row, 1)? == "t");
    Ok(Some(Role { can_log_in, powers, may_connect }))
}

/// What a role may do with tables, by oid. A role that does not exist may do nothing, and every policy holds for it.
///
/// # Errors
/// When the query fails.
pub fn access(
    client: &mut Client,
    role: &str,
    oids: &[u32],
) -> Result<HashMap<u32, Access>, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT c.oid,
                coalesce(pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT'), false),
                coalesce(pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'USAGE'), false),
                c.relrowsecurity AND NOT coalesce(
                    r.rolsuper OR r.rolbypassrls
                    OR NOT c.relforcerowsecurity AND pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'), false)
         FROM pg_catalog.pg_class c
         LEFT JOIN pg_catalog.pg_roles r ON r.rolname = {}
         WHERE c.oid = ANY ({})",
        quote_literal(role),
        oid_array(oids)
    ))?;
    rows.iter()
        .map(|row| {
            let access = Access {
                may_select: text(row, 1)? == "t",
                may_use_schema: text(row, 2)? == "t",
                hides_rows: text(row, 3)? == "t",
            };
            Ok((parsed(row, 0)?, access))
        })
        .collect()
}

/// How much room the server has. A role's own `wal_sender_timeout` is not looked at any further: somebody decided it.
///
/// # Errors
/// When the query fails.
pub fn room(client: &mut Client, role: &str) -> Result<Room, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT (SELECT count(*) FROM pg_catalog.pg_replication_slots),
                (SELECT count(*) FROM pg_catalog.pg_stat_replication),
                (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'),
                EXISTS (
                    SELECT FROM pg_catalog.pg_db_role_setting s
                    JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
                    CROSS JOIN unnest(s.setconfig) AS config (line)
                    WHERE r.rolname = {} AND config.line LIKE 'wal\\_sender\\_timeout=%')",
        quote_literal(role)
    ))?;
    let row = rows.first().ok_or(SHAPE)?;
    Ok(Room {
        slots_used: parsed(row, 0)?,
        wal_senders_used: parsed(row, 1)?,
        wal_sender_timeout_ms: if text(row, 3)? == "t" { None } else { Some(parsed(row, 2)?) },
    })
}

/// The columns of tables, by the tables' oids.
///
/// # Errors
/// When the query fails.
pub fn column_details(
    client: &mut Client,
    oids: &[u32],
) -> Result<HashMap<u32, Vec<ColumnDetail>>, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT attrelid, attname, pg_catalog.format_type(atttypid, atttypmod), attgenerated <> ''
         FROM pg_catalog.pg_attribute
         WHERE attrelid = ANY ({}) AND attnum > 0 AND NOT attisdropped
         ORDER BY attrelid, attnum",
        oid_array(oids)
    ))?;
    let mut columns: HashMap<u32, Vec<ColumnDetail>> = HashMap::new();
    for row in &rows {
        columns.entry(parsed(row, 0)?).or_default().push(ColumnDetail {
            name: text(row, 1)?.to_owned(),
            type_name: text(row, 2)?.to_owned(),
            is_generated: text(row, 3)? == "t",
        });
    }
    Ok(columns)
}

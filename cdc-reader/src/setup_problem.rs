//! Why a source cannot be captured as it is set up, and what PostgreSQL does not send of a table. Each is one line that
//! names its remedy.

use std::fmt;

use crate::catalog::{CatalogTable, NamedTable};
use crate::publish::StoredOffset;
use crate::replication::quote_identifier as quoted;

/// A table's name, as messages show it and as statements need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

impl TableName {
    /// The name in a statement.
    #[must_use]
    pub fn in_statement(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl From<&CatalogTable> for TableName {
    fn from(table: &CatalogTable) -> Self {
        Self { schema: table.info.schema.clone(), name: table.info.name.clone() }
    }
}

impl From<&NamedTable> for TableName {
    fn from(table: &NamedTable) -> Self {
        Self { schema: table.schema.clone(), name: table.name.clone() }
    }
}

/// A problem in the set-up of the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupProblem {
    /// The server lacks what the reader needs.
    #[error("PostgreSQL {major} is too old: version {major_min} or later is needed")]
    ServerTooOld {
        /// Its major version.
        major: u32,
        /// The first one that will do.
        major_min: u32,
    },
    /// The server's WAL cannot be decoded.
    #[error(
        "wal_level is {wal_level}, logical decoding needs wal_level = logical: set it in postgresql.conf and restart PostgreSQL"
    )]
    WalLevel {
        /// `wal_level`.
        wal_level: String,
    },
    /// `max_wal_senders` is 0.
    #[error("max_wal_senders is 0: set it to 4 or more and restart PostgreSQL")]
    NoWalSenders,
    /// `max_replication_slots` is 0.
    #[error("max_replication_slots is 0: set it to 4 or more and restart PostgreSQL")]
    NoSlots,
    /// The role lacks `REPLICATION`.
    #[error("role {role} may not replicate: ALTER ROLE {} REPLICATION", quoted(.role))]
    MayNotReplicate {
        /// The role.
        role: String,
    },
    /// The database's text is not UTF-8.
    #[error("database {database} is encoded in {encoding}: only UTF8 is supported")]
    Encoding {
        /// The database.
        database: String,
        /// `server_encoding`.
        encoding: String,
    },
    /// The publication is not there, and may not be made.
    #[error(
        "publication {publication} does not exist in database {database}: create it (CREATE PUBLICATION {} FOR TABLE ...) or set \
         publication.autocreate.mode",
        quoted(.publication)
    )]
    NoPublication {
        /// The publication.
        publication: String,
        /// The database.
        database: String,
    },
    /// A captured table's changes would never arrive.
    #[error(
        "table {table} is captured but not in publication {publication}, its changes would never arrive: ALTER PUBLICATION {} ADD TABLE \
         {}, or leave it out with table.exclude.list",
        quoted(.publication),
        .table.in_statement()
    )]
    TableNotPublished {
        /// The table.
        table: TableName,
        /// The publication.
        publication: String,
    },
    /// The changes of a partitioned table arrive as those of partitions that are not captured.
    #[error(
        "table {table} is partitioned, publication {publication} publishes its changes as those of its partitions, and none of these is \
         captured: name them in table.include.list, or ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
        quoted(.publication)
    )]
    PartitionsNotCaptured {
        /// The table.
        table: String,
        /// The publication.
        publication: String,
    },
    /// The changes of a partition arrive as those of a table that is not captured.
    #[error(
        "publication {publication} publishes the changes of table {table} as those of table {root}, which is not captured: name {root} in \
         table.include.list, or ALTER PUBLICATION {} SET (publish_via_partition_root = false)",
        quoted(.publication)
    )]
    RootNotCaptured {
        /// The partition.
        table: String,
        /// The topmost published table above it.
        root: String,
        /// The publication.
        publication: String,
    },
    /// One kind of change would never arrive.
    #[error(
        "publication {publication} does not publish {operation}: ALTER PUBLICATION {} SET (publish = ...), or name it in \
         skipped.operations",
        quoted(.publication)
    )]
    OperationNotPublished {
        /// The publication.
        publication: String,
        /// insert, update, delete or truncate.
        operation: &'static str,
    },
    /// A snapshot could not read the table.
    #[error(
        "role {role} may not read table {table}: GRANT SELECT ON {} TO {}",
        .table.in_statement(),
        quoted(.role)
    )]
    TableNotReadable {
        /// The role.
        role: String,
        /// The table.
        table: TableName,
    },
    /// The server has no room for the locks of a snapshot.
    #[error(
        "the server has no room for the locks that reading table {table} takes: raise max_locks_per_transaction and restart PostgreSQL"
    )]
    TooManyLocks {
        /// The table.
        table: String,
    },
    /// The slot hands out prepared transactions before they are committed.
    #[error(
        "replication slot {slot} was made with two_phase: it hands out prepared transactions before they are committed, and those are not \
         read; choose another slot.name, or from PostgreSQL 18 on ALTER_REPLICATION_SLOT {} (TWO_PHASE false) over a replication \
         connection",
        quoted(.slot)
    )]
    TwoPhaseSlot {
        /// The slot.
        slot: String,
    },
    /// The slot is a standby's.
    #[error("replication slot {slot} is a physical slot: choose another slot.name")]
    PhysicalSlot {
        /// The slot.
        slot: String,
    },
    /// The slot is decoded by another plugin.
    #[error(
        "replication slot {slot} belongs to plugin {plugin}, not pgoutput: choose another slot.name"
    )]
    SlotOfOtherPlugin {
        /// The slot.
        slot: String,
        /// Its plugin.
        plugin: String,
    },
    /// The slot is another database's.
    #[error(
        "replication slot {slot} belongs to database {database}, not {captured}: choose another slot.name"
    )]
    SlotOfOtherDatabase {
        /// The slot.
        slot: String,
        /// Its database.
        database: String,
        /// The database that is captured.
        captured: String,
    },
}

/// What PostgreSQL does not send of a table that is captured, or does not let others do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableWarning {
    /// No change of it is in the WAL.
    #[error(
        "the table is unlogged: a snapshot reads its rows, and later changes are not published"
    )]
    Unlogged,
    /// Updates and deletes fail at the source once the table is published.
    #[error(
        "no replica identity: PostgreSQL refuses updates and deletes of published tables without one; add a primary key or set REPLICA \
         IDENTITY FULL"
    )]
    NoIdentity,
    /// A delete does not say the key.
    #[error(
        "the replica identity is an index that does not contain the primary key: a delete names default values as its key, as in Debezium; \
         set REPLICA IDENTITY DEFAULT or FULL"
    )]
    IdentityWithoutKey,
}

/// What is to be warned of at a table.
pub(crate) fn table_warnings(table: &CatalogTable) -> Vec<TableWarning> {
    if !table.is_logged {
        return vec![TableWarning::Unlogged];
    }
    let identity = (!table.is_identified).then_some(TableWarning::NoIdentity);
    let key = (!table.identity_has_key).then_some(TableWarning::IdentityWithoutKey);
    identity.into_iter().chain(key).collect()
}

/// What a start finds in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No stored offset.
    FirstStart,
    /// A stored offset: everything before it has been published.
    Resume,
}

impl From<StoredOffset> for Stage {
    fn from(offset: StoredOffset) -> Self {
        match offset {
            StoredOffset::None => Self::FirstStart,
            StoredOffset::Resume { .. } => Self::Resume,
        }
    }
}

impl SetupProblem {
    /// Whether the problem ends a start. On a resume, what concerns one table alone does not hold up the other tables.
    pub(crate) fn is_final(&self, stage: Stage) -> bool {
        match self {
            Self::TableNotPublished { .. }
            | Self::PartitionsNotCaptured { .. }
            | Self::RootNotCaptured { .. }
            | Self::TableNotReadable { .. } => stage == Stage::FirstStart,
            Self::ServerTooOld { .. }
            | Self::WalLevel { .. }
            | Self::NoWalSenders
            | Self::NoSlots
            | Self::MayNotReplicate { .. }
            | Self::Encoding { .. }
            | Self::NoPublication { .. }
            | Self::OperationNotPublished { .. }
            | Self::TooManyLocks { .. }
            | Self::TwoPhaseSlot { .. }
            | Self::PhysicalSlot { .. }
            | Self::SlotOfOtherPlugin { .. }
            | Self::SlotOfOtherDatabase { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_stand_in_a_statement() {
        let problem = SetupProblem::MayNotReplicate { role: "Reader".to_owned() };
        assert_eq!(
            problem.to_string(),
            "role Reader may not replicate: ALTER ROLE \"Reader\" REPLICATION"
        );
        let problem = SetupProblem::TableNotPublished {
            table: TableName { schema: "public".to_owned(), name: "Odd".to_owned() },
            publication: "All".to_owned(),
        };
        assert_eq!(
            problem.to_string(),
            "table public.Odd is captured but not in publication All, its changes would never arrive: ALTER PUBLICATION \"All\" ADD \
             TABLE \"public\".\"Odd\", or leave it out with table.exclude.list"
        );
    }
}

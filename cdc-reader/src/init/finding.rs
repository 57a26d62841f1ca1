//! What is missing at a source, with its remedy, and what is worth knowing about it. Each is one line.

use crate::envelope::PlanError;
use crate::replication::quote_identifier as quoted;
use crate::setup_problem::{SetupProblem, TableName};

use super::script::PSQL_VARIABLE;

/// What has to be done before the reader can capture what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// What would end a start of the reader, or leave out a table.
    #[error(transparent)]
    Setup(#[from] SetupProblem),
    /// The server is a standby.
    #[error(
        "the server is a standby, on which no role and no publication can be made: let the source's address lead to the primary, or run the \
         SQL there"
    )]
    Standby,
    /// All slots are taken.
    #[error(
        "all {max} replication slots of the server are taken: drop one that nobody needs (pg_replication_slots lists them), or raise \
         max_replication_slots and restart PostgreSQL"
    )]
    NoFreeSlot {
        /// `max_replication_slots`.
        max: u32,
    },
    /// All WAL senders work.
    #[error(
        "all {max} WAL senders of the server are at work: raise max_wal_senders to {} or more and restart PostgreSQL",
        max.saturating_add(2)
    )]
    NoFreeWalSender {
        /// `max_wal_senders`.
        max: u32,
    },
    /// The server never notices that a reader is gone.
    #[error(
        "wal_sender_timeout is 0, so the server does not notice that a reader is gone, and the next reader waits for the slot: ALTER ROLE {} \
         SET wal_sender_timeout = '60s'",
        quoted(.role)
    )]
    NoSenderTimeout {
        /// The reader's role.
        role: String,
    },
    /// A schema that was named.
    #[error(
        "schema {schema} does not exist: look at --schema, which takes a name as it is, with its capitals and without quotes"
    )]
    NoSchema {
        /// As it was named.
        schema: String,
    },
    /// A table that was named.
    #[error(
        "there is no table {table}, or it is a partition: look at --exclude-table, which takes schema.table as this command prints it"
    )]
    NotThere {
        /// As it was named.
        table: String,
    },
    /// No table is left.
    #[error(
        "no table of database {database} can be captured, so nothing is written: look at --schema, and at the other lines"
    )]
    NoTable {
        /// The database.
        database: String,
    },
    /// A table's changes are not in the WAL.
    #[error(
        "table {table} is left out, because it is unlogged and its changes are not in the WAL: ALTER TABLE {} SET LOGGED, or {}",
        .table.in_statement(),
        accept(.table)
    )]
    Unlogged {
        /// The table.
        table: TableName,
    },
    /// A table's rows are on another server.
    #[error(
        "table {table} is left out, because it is a foreign table and its changes are on another server: capture it there, or {}",
        accept(.table)
    )]
    Foreign {
        /// The table.
        table: TableName,
    },
    /// PostgreSQL would refuse updates and deletes.
    #[error(
        "table {table} is left out, because {without} has no replica identity and PostgreSQL refuses updates and deletes of published tables \
         without one: add a primary key that is not deferrable, or ALTER TABLE {} REPLICA IDENTITY FULL, or {}",
        .without.in_statement(),
        accept(.table)
    )]
    NoIdentity {
        /// The table.
        table: TableName,
        /// The table itself or its partition.
        without: TableName,
    },
    /// The key has no form in an event.
    #[error("{0}; until then the table is left out, and --exclude-table accepts that")]
    Key(PlanError),
    /// The role is not there.
    #[error(
        "role {role} does not exist: run the SQL with psql, where the variable {PSQL_VARIABLE} is its password"
    )]
    NoRole {
        /// The role.
        role: String,
    },
    /// The role is one that nobody can connect as.
    #[error("role {role} may not log in: run the SQL, or ALTER ROLE {} LOGIN", quoted(.role))]
    MayNotLogIn {
        /// The role.
        role: String,
    },
    /// The role may do more than it needs.
    #[error(
        "role {role} exists and may do more than a reader needs ({}): ALTER ROLE {} {}, or choose another --role",
        .powers.join(", "),
        quoted(.role),
        .powers.iter().map(|power| format!("NO{power}")).collect::<Vec<_>>().join(" ")
    )]
    TooPowerful {
        /// The role.
        role: String,
        /// As `ALTER ROLE` names them.
        powers: Vec<&'static str>,
    },
    /// The role is kept out of the database.
    #[error(
        "role {role} may not connect to database {database}: run the SQL, or GRANT CONNECT ON DATABASE {} TO {}",
        quoted(.database),
        quoted(.role)
    )]
    MayNotConnect {
        /// The role.
        role: String,
        /// The database.
        database: String,
    },
    /// The role cannot look into a schema.
    #[error(
        "role {role} may not use schema {schema}: run the SQL, or GRANT USAGE ON SCHEMA {} TO {}",
        quoted(.schema),
        quoted(.role)
    )]
    MayNotUseSchema {
        /// The role.
        role: String,
        /// The schema.
        schema: String,
    },
    /// Policies decide what a snapshot sees.
    #[error(
        "row-level security of table {table} applies to role {role}: a snapshot would end at it, because the stream shows rows that the \
         policies hide: ALTER ROLE {} BYPASSRLS, or {}",
        quoted(.role),
        accept(.table)
    )]
    RowsHidden {
        /// The table.
        table: TableName,
        /// The role.
        role: String,
    },
    /// The publication is not there.
    #[error("publication {publication} does not exist: run the SQL with psql")]
    NoPublication {
        /// The publication.
        publication: String,
    },
    /// The publication cannot be made to hold some tables only.
    #[error(
        "publication {publication} exists and differs: it is FOR ALL TABLES, which no statement can change: choose another --publication, or \
         DROP PUBLICATION {} and run the SQL",
        quoted(.publication)
    )]
    PublishesAll {
        /// The publication.
        publication: String,
    },
    /// The publication has a table too much.
    #[error(
        "publication {publication} exists and differs: it publishes table {table}, which is not captured: run the SQL, which takes the table \
         out, or choose another --publication"
    )]
    PublishesMore {
        /// The publication.
        publication: String,
        /// The table.
        table: String,
    },
    /// The publication holds back a part of a table.
    #[error(
        "publication {publication} exists and differs: it holds back {part} of table {table}: run the SQL, which publishes all of the table, \
         or choose another --publication"
    )]
    PublishesPart {
        /// The publication.
        publication: String,
        /// Rows or columns.
        part: &'static str,
        /// The table.
        table: String,
    },
    /// Nothing can be read from the slot.
    #[error(
        "replication slot {slot} exists, and the server has invalidated it ({reason}): SELECT pg_drop_replication_slot('{slot}'), or choose \
         another --slot"
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// Why.
        reason: String,
    },
}

/// How an operator says that a table is not to be captured.
fn accept(table: &TableName) -> String {
    format!("accept that with --exclude-table {}", shell_word(&table.to_string()))
}

/// A word of a command line.
fn shell_word(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// A text as one line: a name may hold a line feed, or what changes a terminal.
pub(super) fn one_line(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(shown).collect()
}

/// What needs no remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Note {
    /// Nobody but the server knows its access rules.
    #[error(
        "pg_hba.conf cannot be seen from here: check that it lets role {role} connect to database {database} from the reader's machine. The \
         line must name that database or `all`; the word `replication` there means standbys and not this reader"
    )]
    AccessRules {
        /// The role.
        role: String,
        /// The database.
        database: String,
    },
    /// The slot is there.
    #[error(
        "replication slot {slot} exists and can be read: it is right when this connector has made it, and otherwise choose another --slot"
    )]
    SlotExists {
        /// The slot.
        slot: String,
    },
    /// A partition whose changes do not arrive.
    #[error(
        "partition {partition} of table {table} is {}: its changes are not published",
        if *.is_foreign { "a foreign table" } else { "unlogged" }
    )]
    PartitionApart {
        /// The partition.
        partition: String,
        /// The partitioned table.
        table: String,
        /// Whether it is foreign, or else unlogged.
        is_foreign: bool,
    },
    /// Events without a key.
    #[error(
        "table {table} has no key: its events have none either, so Kafka does not keep the order of a row's changes, and no vault can hold \
         the table"
    )]
    NoKey {
        /// The table.
        table: String,
    },
    /// What a start of the reader warns of.
    #[error("table {table}: {warning}")]
    Table {
        /// The table.
        table: String,
        /// The warning.
        warning: String,
    },
    /// Columns that PostgreSQL computes.
    #[error("table {table} has generated columns, which PostgreSQL does not publish: {columns}")]
    Generated {
        /// The table.
        table: String,
        /// The columns.
        columns: String,
    },
    /// Types of extensions, and types without a form.
    #[error("columns of type {kind} {treatment}: {columns}")]
    Type {
        /// The type, as PostgreSQL prints it.
        kind: String,
        /// What becomes of the values.
        treatment: String,
        /// The columns with their tables.
        columns: String,
    },
    /// Tables whose events cannot be told apart by their topic.
    #[error(
        "these tables share topic {topic}, because their names differ only in characters that Kafka does not allow: {tables}"
    )]
    SharedTopic {
        /// The topic.
        topic: String,
        /// The tables.
        tables: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_look_like_another_line() {
        let table = "a\nmissing: b\u{1b}[0m ü".to_owned();
        let line = one_line(&Note::NoKey { table }.to_string());
        assert!(line.starts_with("table a\\nmissing: b\\u{1b}[0m ü has no key"), "{line}");
    }

    #[test]
    fn names_stand_in_remedies_as_a_shell_and_a_server_need_them() {
        let table = TableName { schema: "s".to_owned(), name: "It's \"$1\"".to_owned() };
        assert_eq!(
            Missing::Unlogged { table }.to_string(),
            "table s.It's \"$1\" is left out, because it is unlogged and its changes are not in the WAL: ALTER TABLE \"s\".\"It's \"\"$1\"\"\" \
             SET LOGGED, or accept that with --exclude-table 's.It'\\''s \"$1\"'"
        );
        let powers = vec!["SUPERUSER", "CREATEDB"];
        let line = Missing::TooPowerful { role: "R".to_owned(), powers }.to_string();
        assert!(line.contains("ALTER ROLE \"R\" NOSUPERUSER NOCREATEDB,"), "{line}");
    }
}

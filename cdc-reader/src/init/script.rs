//! The SQL that an administrator runs: the role, its rights, and the publication.
//!
//! In: names, and the tables that are captured. Out: a script for `psql`. It may run again, it takes no right from a
//! role that exists, and it holds no password. Comments hold no name, because a name may hold a line feed.

use crate::catalog::CatalogTable;
use crate::replication::{quote_identifier, quote_literal};

use super::connector_file::PASSWORD_VARIABLE;
use super::names::Names;

/// The psql variable that holds the password.
pub(super) const PSQL_VARIABLE: &str = "reader_password";

/// Writes the script.
pub(super) fn write(database: &str, names: &Names, included: &[CatalogTable]) -> String {
    let mut script = head();
    script.push_str(&role(&names.role));
    script.push_str(&rights(database, &names.role, included));
    script.push_str(&publication(&names.publication, included));
    script.push_str("\nCOMMIT;\n");
    script
}

fn head() -> String {
    format!(
        "-- What cdc-reader needs at the source: a role, its rights, and a publication. Written by `cdc-reader init`.
-- A superuser runs this file with psql on the database that is captured:
--     {PASSWORD_VARIABLE}=... psql --file source.sql DATABASE
-- The password of the role comes from that variable, or from the psql variable {PSQL_VARIABLE}.
-- The file may run again. It sets the password and the tables of the publication anew, and takes no right away.

-- The first error ends the file.
\\set ON_ERROR_STOP on
-- Notices about what is already as it should be are not shown.
SET client_min_messages = warning;

-- Where the psql variable is not set, the variable of the environment counts.
\\if :{{?{PSQL_VARIABLE}}}
\\else
    \\getenv {PSQL_VARIABLE} {PASSWORD_VARIABLE}
\\endif
\\if :{{?{PSQL_VARIABLE}}}
\\else
    -- Without a password the file ends here.
    DO 'BEGIN RAISE EXCEPTION ''set the variable {PASSWORD_VARIABLE} to the password of the role''; END';
\\endif

-- Everything or nothing.
BEGIN;
"
    )
}

fn role(role: &str) -> String {
    let (quoted, literal) = (quote_identifier(role), quote_literal(role));
    let creation = quote_literal(&format!("CREATE ROLE {quoted}"));
    let guard = quote_literal(&format!(
        "BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal} AND rolsuper) THEN
        RAISE EXCEPTION 'role % is a superuser, whose password is not changed here: choose another role', {literal};
    END IF;
END"
    ));
    format!(
        "
-- A mistyped name must not change the password of an administrator.
DO {guard};

-- The role that cdc-reader connects as. A role of that name that is already there stays.
SELECT {creation}
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal})
\\gexec

-- The statement with the password must not stand in the server's log. Only a superuser may decide that.
SELECT 'SET LOCAL ' || quiet.setting
FROM (
    VALUES ('log_statement = none'), ('log_min_duration_statement = -1'), ('log_min_error_statement = panic')
) AS quiet (setting)
WHERE EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper)
\\gexec

-- LOGIN lets the role connect, and REPLICATION lets it read the changes of the publication.
ALTER ROLE {quoted} LOGIN REPLICATION PASSWORD :'{PSQL_VARIABLE}';
"
    )
}

fn rights(database: &str, role: &str, included: &[CatalogTable]) -> String {
    let (database, role) = (quote_identifier(database), quote_identifier(role));
    let mut schemas: Vec<String> =
        included.iter().map(|table| quote_identifier(&table.info.schema)).collect();
    schemas.sort_unstable();
    schemas.dedup();
    let tables = included.iter().map(|table| {
        let (schema, name) = (&table.info.schema, &table.info.name);
        format!("{}.{}", quote_identifier(schema), quote_identifier(name))
    });
    format!(
        "
-- The role may connect to this database.
GRANT CONNECT ON DATABASE {database} TO {role};

-- The role may look up tables in these schemas. It may not make any.
GRANT USAGE ON SCHEMA {} TO {role};

-- A snapshot reads the rows that exist. The role may not change them.
GRANT SELECT ON TABLE
    {}
TO {role};
",
        schemas.join(", "),
        tables.collect::<Vec<_>>().join(",\n    ")
    )
}

fn publication(publication: &str, included: &[CatalogTable]) -> String {
    let (quoted, literal) = (quote_identifier(publication), quote_literal(publication));
    let creation = quote_literal(&format!("CREATE PUBLICATION {quoted}"));
    let tables: Vec<String> = included.iter().map(CatalogTable::in_statement).collect();
    format!(
        "
-- The publication says which changes the server sends. It belongs to whoever runs this file, and not to the role.
SELECT {creation}
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = {literal})
\\gexec

-- The publication holds exactly these tables, with all their rows and columns.
ALTER PUBLICATION {quoted} SET TABLE
    {};

-- Every kind of change is sent. A change of a partition is sent as one of its partitioned table.
ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);
",
        tables.join(",\n    ")
    )
}

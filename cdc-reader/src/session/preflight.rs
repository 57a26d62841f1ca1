//! Is the source set up for it? One clear line a problem, each with its remedy.

use crate::catalog::{self, CatalogTable, Publication, ServerSettings};
use crate::connector::{PublicationAutocreate, Settings};
use crate::error::SessionError;
use crate::replication::{Client, quote_identifier};
use crate::table::captured_tables;

/// What the source is like, as far as the session needs it.
pub(super) struct Source {
    pub(super) settings: ServerSettings,
    /// The captured tables.
    pub(super) tables: Vec<CatalogTable>,
}

/// The oldest server whose catalog says whether a slot is lost (`wal_status`).
const VERSION_MIN: u32 = 130_000;

/// Checks everything that can be known before streaming, and makes the publication if asked.
pub(super) fn check(sql: &mut Client, settings: &Settings) -> Result<Source, SessionError> {
    let server = catalog::server_settings(sql)?;
    if server.version < VERSION_MIN {
        return Err(SessionError::Setup(vec![format!(
            "PostgreSQL {} is too old: version {} or later is needed",
            server.version / 10_000,
            VERSION_MIN / 10_000
        )]));
    }
    let mut problems = server_problems(&server, settings);
    let tables = captured_tables(sql, settings)?;
    let publication = ensure_publication(sql, settings, &tables, server.version)?;
    match publication {
        None => problems.push(format!(
            "publication {} does not exist in database {}: create it (CREATE PUBLICATION {} FOR TABLE ...) or set \
             publication.autocreate.mode",
            settings.publication_name,
            settings.database.database,
            quote_identifier(&settings.publication_name)
        )),
        Some(publication) => {
            problems.extend(publication_problems(&publication, settings, &tables));
        }
    }
    problems.extend(table_problems(&tables, settings));
    if !problems.is_empty() {
        return Err(SessionError::Setup(problems));
    }
    if tables.is_empty() {
        tracing::warn!(
            "no table is captured yet: check schema.include.list and table.include.list"
        );
    }
    Ok(Source { settings: server, tables })
}

fn server_problems(server: &ServerSettings, settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    if server.wal_level != "logical" {
        problems.push(format!(
            "wal_level is {}, logical decoding needs wal_level = logical: set it in postgresql.conf and restart PostgreSQL",
            server.wal_level
        ));
    }
    if server.wal_senders == 0 {
        problems
            .push("max_wal_senders is 0: set it to 4 or more and restart PostgreSQL".to_owned());
    }
    if server.slots.0 == 0 {
        problems.push(
            "max_replication_slots is 0: set it to 4 or more and restart PostgreSQL".to_owned(),
        );
    }
    if !server.may_replicate {
        problems.push(format!(
            "role {} may not replicate: ALTER ROLE {} REPLICATION",
            settings.database.user,
            quote_identifier(&settings.database.user)
        ));
    }
    if server.encoding != "UTF8" {
        problems.push(format!(
            "database {} is encoded in {}: only UTF8 is supported",
            settings.database.database, server.encoding
        ));
    }
    problems
}

fn ensure_publication(
    sql: &mut Client,
    settings: &Settings,
    tables: &[CatalogTable],
    version: u32,
) -> Result<Option<Publication>, SessionError> {
    let name = quote_identifier(&settings.publication_name);
    let existing = catalog::publication(sql, &settings.publication_name, version)?;
    let list = || {
        let names: Vec<String> = tables
            .iter()
            .map(|t| {
                format!("{}.{}", quote_identifier(&t.info.schema), quote_identifier(&t.info.name))
            })
            .collect();
        names.join(", ")
    };
    let statement = match (settings.publication_autocreate, &existing) {
        (PublicationAutocreate::Disabled, _)
        | (PublicationAutocreate::AllTables | PublicationAutocreate::NoTables, Some(_)) => {
            return Ok(existing);
        }
        (PublicationAutocreate::AllTables, None) => {
            format!("CREATE PUBLICATION {name} FOR ALL TABLES")
        }
        (PublicationAutocreate::NoTables, None) => format!("CREATE PUBLICATION {name}"),
        (PublicationAutocreate::Filtered, _) if tables.is_empty() => return Ok(existing),
        (PublicationAutocreate::Filtered, None) => {
            format!("CREATE PUBLICATION {name} FOR TABLE {}", list())
        }
        (PublicationAutocreate::Filtered, Some(publication)) => {
            let held = |t: &CatalogTable| {
                publication.tables.iter().any(|(s, n)| *s == t.info.schema && *n == t.info.name)
            };
            if publication.tables.len() == tables.len() && tables.iter().all(held) {
                return Ok(existing);
            }
            format!("ALTER PUBLICATION {name} SET TABLE {}", list())
        }
    };
    tracing::info!(publication = settings.publication_name, "creating or altering the publication");
    sql.query(&statement)?;
    Ok(catalog::publication(sql, &settings.publication_name, version)?)
}

fn publication_problems(
    publication: &Publication,
    settings: &Settings,
    tables: &[CatalogTable],
) -> Vec<String> {
    let mut problems = Vec::new();
    for table in tables {
        let published = publication
            .tables
            .iter()
            .any(|(schema, name)| *schema == table.info.schema && *name == table.info.name);
        if !published {
            problems.push(format!(
                "table {} is captured but not in publication {}, its changes would never arrive: ALTER PUBLICATION {} ADD TABLE \
                 {}, or leave it out with table.exclude.list",
                table.info.display(),
                settings.publication_name,
                quote_identifier(&settings.publication_name),
                table.info.display()
            ));
        }
    }
    let skipped = settings.skipped_operations;
    let wanted = [!skipped.creates, !skipped.updates, !skipped.deletes, !skipped.truncates];
    for ((published, wanted), name) in
        publication.operations.iter().zip(wanted).zip(["insert", "update", "delete", "truncate"])
    {
        if wanted && !published {
            problems.push(format!(
                "publication {} does not publish {name}: ALTER PUBLICATION {} SET (publish = ...), or name it in \
                 skipped.operations",
                settings.publication_name,
                quote_identifier(&settings.publication_name)
            ));
        }
    }
    problems
}

fn table_problems(tables: &[CatalogTable], settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    for table in tables {
        let name = table.info.display();
        if !table.readable {
            problems.push(format!(
                "role {} may not read table {name}: GRANT SELECT ON {name} TO {}",
                settings.database.user,
                quote_identifier(&settings.database.user)
            ));
        }
        let identifies = match table.replica_identity {
            'd' => !table.info.key.is_empty(),
            'n' => false,
            _ => true,
        };
        if !identifies {
            tracing::warn!(
                table = name,
                "no replica identity: PostgreSQL refuses updates and deletes of published tables without one; add a primary key or \
                 set REPLICA IDENTITY FULL"
            );
        }
    }
    problems
}

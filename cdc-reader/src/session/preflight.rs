//! Checks whether the source is set up for capturing. Each problem is one line that names its remedy.

use crate::catalog::{self, CatalogTable, Publication, ServerSettings};
use crate::connector::{PublicationAutocreate, Settings};
use crate::error::SessionError;
use crate::replication::{Client, quote_identifier};
use crate::setup_problem::SetupProblem;
use crate::table::captured_tables;

/// What a session needs to know about the source.
pub(super) struct Source {
    /// The captured tables.
    pub(super) tables: Vec<CatalogTable>,
}

/// The oldest server version whose catalog says whether a slot is lost (`wal_status`).
const VERSION_MIN: u32 = 130_000;

/// `server_version_num` counts this far from one major version to the next.
const VERSIONS_PER_MAJOR: u32 = 10_000;

/// Checks everything that can be known before streaming, and makes the publication if the settings ask for it.
pub(super) fn check(sql: &mut Client, settings: &Settings) -> Result<Source, SessionError> {
    let server = catalog::server_settings(sql)?;
    if server.version < VERSION_MIN {
        return Err(SessionError::Setup(vec![SetupProblem::ServerTooOld {
            major: server.version / VERSIONS_PER_MAJOR,
            major_min: VERSION_MIN / VERSIONS_PER_MAJOR,
        }]));
    }
    let mut problems = server_problems(&server, settings);
    let tables = captured_tables(sql, settings)?;
    let publication = ensure_publication(sql, settings, &tables, server.version)?;
    match publication {
        None => problems.push(SetupProblem::NoPublication {
            publication: settings.publication_name.clone(),
            database: settings.database.database.clone(),
        }),
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
    Ok(Source { tables })
}

fn server_problems(server: &ServerSettings, settings: &Settings) -> Vec<SetupProblem> {
    let mut problems = Vec::new();
    if server.wal_level != "logical" {
        problems.push(SetupProblem::WalLevel { wal_level: server.wal_level.clone() });
    }
    if server.wal_senders == 0 {
        problems.push(SetupProblem::NoWalSenders);
    }
    if server.slots.0 == 0 {
        problems.push(SetupProblem::NoSlots);
    }
    if !server.may_replicate {
        problems.push(SetupProblem::MayNotReplicate { role: settings.database.user.clone() });
    }
    if server.encoding != "UTF8" {
        problems.push(SetupProblem::Encoding {
            database: settings.database.database.clone(),
            encoding: server.encoding.clone(),
        });
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
            .filter(|t| t.is_logged)
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
        (PublicationAutocreate::Filtered, _) if !tables.iter().any(|t| t.is_logged) => {
            return Ok(existing);
        }
        (PublicationAutocreate::Filtered, None) => {
            format!("CREATE PUBLICATION {name} FOR TABLE {}", list())
        }
        (PublicationAutocreate::Filtered, Some(publication)) => {
            let held = |t: &CatalogTable| {
                publication.tables.iter().any(|(s, n)| *s == t.info.schema && *n == t.info.name)
            };
            let logged = || tables.iter().filter(|t| t.is_logged);
            if publication.tables.len() == logged().count() && logged().all(held) {
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
) -> Vec<SetupProblem> {
    let mut problems = Vec::new();
    // PostgreSQL publishes no unlogged table.
    for table in tables.iter().filter(|table| table.is_logged) {
        let published = publication
            .tables
            .iter()
            .any(|(schema, name)| *schema == table.info.schema && *name == table.info.name);
        if !published {
            problems.push(SetupProblem::TableNotPublished {
                table: table.info.display(),
                publication: settings.publication_name.clone(),
            });
        }
    }
    let skipped = settings.skipped_operations;
    let wanted = [!skipped.creates, !skipped.updates, !skipped.deletes, !skipped.truncates];
    for ((published, wanted), operation) in
        publication.operations.iter().zip(wanted).zip(["insert", "update", "delete", "truncate"])
    {
        if wanted && !published {
            problems.push(SetupProblem::OperationNotPublished {
                publication: settings.publication_name.clone(),
                operation,
            });
        }
    }
    problems
}

fn table_problems(tables: &[CatalogTable], settings: &Settings) -> Vec<SetupProblem> {
    let mut problems = Vec::new();
    for table in tables {
        let name = table.info.display();
        if !table.readable {
            problems.push(SetupProblem::TableNotReadable {
                role: settings.database.user.clone(),
                table: name.clone(),
            });
        }
        if !table.is_logged {
            tracing::warn!(
                table = name,
                "the table is unlogged: a snapshot reads its rows, and later changes are not published"
            );
            continue;
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

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::connector::SkippedOperations;
    use crate::envelope::TableInfo;

    fn server() -> ServerSettings {
        ServerSettings {
            version: 180_004,
            wal_level: "logical".to_owned(),
            slots: (4, 0),
            wal_senders: 4,
            may_replicate: true,
            encoding: "UTF8".to_owned(),
        }
    }

    fn table(name: &str) -> CatalogTable {
        CatalogTable {
            info: TableInfo {
                schema: "public".to_owned(),
                name: name.to_owned(),
                columns: Vec::new(),
                key: Vec::new(),
            },
            oid: 1,
            replica_identity: 'f',
            readable: true,
            has_primary_key: false,
            is_logged: true,
        }
    }

    fn publication(tables: &[&str], operations: [bool; 4]) -> Publication {
        let tables = tables.iter().map(|name| ("public".to_owned(), (*name).to_owned())).collect();
        Publication { operations, tables }
    }

    #[test]
    fn a_server_that_fits_has_no_problem() {
        assert_eq!(server_problems(&server(), &example::settings()), []);
    }

    #[test]
    fn every_problem_of_a_server_is_named_at_once() {
        let server = ServerSettings {
            wal_level: "replica".to_owned(),
            slots: (0, 0),
            wal_senders: 0,
            may_replicate: false,
            encoding: "LATIN1".to_owned(),
            ..server()
        };
        assert_eq!(
            server_problems(&server, &example::settings()),
            [
                SetupProblem::WalLevel { wal_level: "replica".to_owned() },
                SetupProblem::NoWalSenders,
                SetupProblem::NoSlots,
                SetupProblem::MayNotReplicate { role: "reader".to_owned() },
                SetupProblem::Encoding {
                    database: "inventory".to_owned(),
                    encoding: "LATIN1".to_owned()
                },
            ]
        );
    }

    #[test]
    fn a_table_or_an_operation_that_is_not_published_is_a_problem() {
        let (settings, tables) = (example::settings(), [table("a"), table("b")]);
        let full = publication(&["a", "b", "c"], [true; 4]);
        assert_eq!(publication_problems(&full, &settings, &tables), []);
        let part = publication(&["a"], [true, true, false, true]);
        let expected = [
            SetupProblem::TableNotPublished {
                table: tables[1].info.display(),
                publication: "inventory".to_owned(),
            },
            SetupProblem::OperationNotPublished {
                publication: "inventory".to_owned(),
                operation: "delete",
            },
        ];
        assert_eq!(publication_problems(&part, &settings, &tables), expected);
    }

    #[test]
    fn an_operation_that_is_left_out_need_not_be_published() {
        let skipped_operations =
            SkippedOperations { creates: false, updates: false, deletes: true, truncates: true };
        let settings = Settings { skipped_operations, ..example::settings() };
        let part = publication(&["a"], [true, true, false, false]);
        assert_eq!(publication_problems(&part, &settings, &[table("a")]), []);
    }

    #[test]
    fn a_table_that_may_not_be_read_is_a_problem() {
        let hidden = CatalogTable { readable: false, ..table("a") };
        let expected = SetupProblem::TableNotReadable {
            role: "reader".to_owned(),
            table: hidden.info.display(),
        };
        assert_eq!(table_problems(&[table("b"), hidden], &example::settings()), [expected]);
    }
}

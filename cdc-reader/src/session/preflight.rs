//! Checks whether the source is set up for capturing. Each problem is one line that names its remedy.

use std::collections::{HashMap, HashSet};

use crate::catalog::{self, CatalogTable, Publication, ServerSettings, TableHead};
use crate::connector::{PublicationAutocreate, Settings};
use crate::context::Context;
use crate::error::SessionError;
use crate::observe::Observer;
use crate::replication::{Client, Mode, ReplicationError, quote_identifier};
use crate::setup_problem::{SetupProblem, Stage, TableName, table_warnings};
use crate::table::{Standing, above, captured_tables, standings, with_changes_of_their_own};

/// What a session needs to know about the source.
pub(super) struct Source {
    /// The captured tables whose changes arrive under their own names. Their columns are not kept, because a session
    /// may last for months, and a snapshot reads the catalog again.
    pub(super) tables: Vec<TableHead>,
    /// What is wrong with single tables.
    problems: Vec<SetupProblem>,
}

/// The oldest server version whose catalog says whether a slot is lost (`wal_status`).
const VERSION_MIN: u32 = 130_000;

/// `server_version_num` counts this far from one major version to the next.
const VERSIONS_PER_MAJOR: u32 = 10_000;

/// The role may not do this with the object, for instance because it does not own the table.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Checks everything that can be known before streaming, and makes the publication if the settings ask for it. What is
/// wrong with single tables waits for [`Source::judge`].
pub(super) fn check(sql: &mut Client, settings: &Settings) -> Result<Source, SessionError> {
    let found = Found::look(sql, settings)?;
    let publication = ensure_publication(sql, settings, &found)?;
    let problems = found.problems(publication.as_ref(), settings);
    let Some(publication) = publication.filter(|_| !is_final(&problems)) else {
        return Err(SessionError::Setup(problems));
    };
    let tables = with_changes_of_their_own(found.tables, &publication, &found.parents);
    warn_of_tables(&tables);
    if tables.is_empty() {
        tracing::warn!(
            "no table is captured yet: check schema.include.list and table.include.list"
        );
    }
    let tables = tables.iter().map(CatalogTable::head).collect();
    Ok(Source { tables, problems })
}

/// Why the server refuses a replication connection, or does not answer it as it should: what is wrong with its set-up,
/// if that is known, and otherwise the error itself. Nothing is changed on the server, because the writer lock is not
/// held.
pub(super) fn explain(context: &Context, error: ReplicationError) -> SessionError {
    if !matches!(error, ReplicationError::Server(_) | ReplicationError::Rejected(_)) {
        return error.into();
    }
    let settings = &context.connector.settings;
    let asked = context.connect(Mode::Sql).map_err(SessionError::from);
    match asked.and_then(|mut sql| problems_now(&mut sql, settings)) {
        Ok(problems) if is_final(&problems) => SessionError::Setup(problems),
        Err(setup @ SessionError::Setup(_)) => setup,
        _ => error.into(),
    }
}

/// What is wrong with the source as it is. A publication that a start would make is not missing.
fn problems_now(sql: &mut Client, settings: &Settings) -> Result<Vec<SetupProblem>, SessionError> {
    let found = Found::look(sql, settings)?;
    let publication = catalog::publication(sql, &settings.publication_name, found.server.version)?;
    if publication.is_none() && creation(settings, &found.tables).is_some() {
        return Ok(server_problems(&found.server, settings));
    }
    Ok(found.problems(publication.as_ref(), settings))
}

fn is_final(problems: &[SetupProblem]) -> bool {
    problems.iter().any(|problem| problem.is_final(Stage::Resume))
}

/// What a look at the source finds beside its publication.
pub(crate) struct Found {
    pub(crate) server: ServerSettings,
    /// The tables that the connector's filters take.
    pub(crate) tables: Vec<CatalogTable>,
    /// The table directly above each partition.
    pub(crate) parents: HashMap<u32, u32>,
}

impl Found {
    fn look(sql: &mut Client, settings: &Settings) -> Result<Self, SessionError> {
        let server = catalog::server_settings(sql, None)?;
        if let Some(problem) = version_problem(server.version) {
            return Err(SessionError::Setup(vec![problem]));
        }
        let tables = captured_tables(sql, settings)?;
        let parents = catalog::partition_parents(sql)?;
        Ok(Self { server, tables, parents })
    }

    /// Everything that is wrong, with this publication or without any.
    pub(crate) fn problems(
        &self,
        publication: Option<&Publication>,
        settings: &Settings,
    ) -> Vec<SetupProblem> {
        let mut problems = server_problems(&self.server, settings);
        let Some(publication) = publication else {
            problems.push(SetupProblem::NoPublication {
                publication: settings.publication_name.clone(),
                database: settings.database.database.clone(),
            });
            problems.extend(self.tables.iter().filter_map(|table| not_readable(table, settings)));
            return problems;
        };
        problems.extend(operation_problems(publication, settings));
        let standings = standings(&self.tables, publication, &self.parents);
        problems.extend(standing_problems(&self.tables, standings, settings));
        problems
    }
}

impl Source {
    /// Ends a first start when anything is wrong. A resume is only warned: one table must not hold up the others.
    pub(super) fn judge(&self, stage: Stage, observer: &Observer) -> Result<(), SessionError> {
        observer.table_problems(self.problems.len());
        if self.problems.iter().any(|problem| problem.is_final(stage)) {
            return Err(SessionError::Setup(self.problems.clone()));
        }
        for problem in &self.problems {
            tracing::warn!(%problem, "a captured table is not set up; the other tables go on");
        }
        Ok(())
    }
}

/// A server whose catalog lacks what is asked of it cannot be looked at any further.
pub(crate) fn version_problem(version: u32) -> Option<SetupProblem> {
    (version < VERSION_MIN).then_some(SetupProblem::ServerTooOld {
        major: version / VERSIONS_PER_MAJOR,
        major_min: VERSION_MIN / VERSIONS_PER_MAJOR,
    })
}

fn server_problems(server: &ServerSettings, settings: &Settings) -> Vec<SetupProblem> {
    let mut problems = Vec::new();
    if server.wal_level != "logical" {
        problems.push(SetupProblem::WalLevel { wal_level: server.wal_level.clone() });
    }
    if server.wal_senders == 0 {
        problems.push(SetupProblem::NoWalSenders);
    }
    if server.slots == 0 {
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
    found: &Found,
) -> Result<Option<Publication>, SessionError> {
    let Found { server: ServerSettings { version, .. }, tables, parents } = found;
    let name = &settings.publication_name;
    let existing = catalog::publication(sql, name, *version)?;
    match &existing {
        Some(publication) if settings.publication_autocreate == PublicationAutocreate::Filtered => {
            let statements = alterations(publication, settings, tables, parents);
            if statements.is_empty() {
                return Ok(existing);
            }
            for statement in statements {
                tracing::info!(publication = name, statement, "altering the publication");
                alter(sql, &statement)?;
            }
        }
        Some(_) => return Ok(existing),
        None => {
            let Some(statement) = creation(settings, tables) else { return Ok(None) };
            tracing::info!(publication = name, "creating the publication");
            sql.query(&statement)?;
        }
    }
    Ok(catalog::publication(sql, name, *version)?)
}

/// Alters a publication. A role that may not add this one table leaves it out, and the table is named as not published.
fn alter(sql: &mut Client, statement: &str) -> Result<(), ReplicationError> {
    match sql.query(statement) {
        Err(error) if error.sqlstate() == Some(INSUFFICIENT_PRIVILEGE) => {
            tracing::warn!(%error, statement, "the publication stays as it is");
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The statement that makes the publication; none when it must not be made, or has no table yet.
fn creation(settings: &Settings, tables: &[CatalogTable]) -> Option<String> {
    let name = quote_identifier(&settings.publication_name);
    let what = match settings.publication_autocreate {
        PublicationAutocreate::Disabled => return None,
        PublicationAutocreate::AllTables => " FOR ALL TABLES".to_owned(),
        PublicationAutocreate::NoTables => String::new(),
        PublicationAutocreate::Filtered => {
            let logged = tables.iter().filter(|table| table.is_logged);
            let list: Vec<String> = logged.map(CatalogTable::in_statement).collect();
            if list.is_empty() {
                return None;
            }
            format!(" FOR TABLE {}", list.join(", "))
        }
    };
    let with = if settings.publish_via_partition_root {
        " WITH (publish_via_partition_root = true)"
    } else {
        ""
    };
    Some(format!("CREATE PUBLICATION {name}{what}{with}"))
}

/// The statements that make a publication hold the captured tables and no others. Row filters, column lists and schemas
/// that somebody gave it stay, because no table that stays is named again. A publication of all tables stays as it is.
fn alterations(
    publication: &Publication,
    settings: &Settings,
    tables: &[CatalogTable],
    parents: &HashMap<u32, u32>,
) -> Vec<String> {
    if publication.all_tables {
        return Vec::new();
    }
    let name = quote_identifier(&settings.publication_name);
    let standings = standings(tables, publication, parents);
    let missing = std::iter::zip(tables, standings)
        .filter(|(_, standing)| *standing == Standing::NotPublished)
        .map(|(table, _)| format!("ALTER PUBLICATION {name} ADD TABLE {}", table.in_statement()));
    // A table above a captured partition publishes the partition.
    let mut needed: HashSet<u32> = tables.iter().map(|table| table.oid).collect();
    needed.extend(tables.iter().flat_map(|table| above(table.oid, parents)));
    let others =
        publication.members.iter().filter(|member| !needed.contains(&member.oid)).map(|member| {
            let (schema, table) =
                (quote_identifier(&member.schema), quote_identifier(&member.name));
            format!("ALTER PUBLICATION {name} DROP TABLE ONLY {schema}.{table}")
        });
    missing.chain(others).collect()
}

fn operation_problems(publication: &Publication, settings: &Settings) -> Vec<SetupProblem> {
    let skipped = settings.skipped_operations;
    let wanted = [!skipped.creates, !skipped.updates, !skipped.deletes, !skipped.truncates];
    let names = ["insert", "update", "delete", "truncate"];
    std::iter::zip(publication.operations.iter().zip(wanted), names)
        .filter(|((published, wanted), _)| *wanted && !**published)
        .map(|(_, operation)| SetupProblem::OperationNotPublished {
            publication: settings.publication_name.clone(),
            operation,
        })
        .collect()
}

fn standing_problems(
    tables: &[CatalogTable],
    standings: Vec<Standing>,
    settings: &Settings,
) -> Vec<SetupProblem> {
    let problems = |(table, standing): (&CatalogTable, Standing)| {
        let unreadable = not_readable(table, settings);
        let (name, table) = (TableName::from(table), table.info.display());
        let publication = settings.publication_name.clone();
        match standing {
            Standing::Own => unreadable.into_iter().collect(),
            Standing::InPartitions | Standing::InRoot => Vec::new(),
            Standing::NotPublished => {
                let unpublished = SetupProblem::TableNotPublished { table: name, publication };
                std::iter::once(unpublished).chain(unreadable).collect()
            }
            Standing::InPartitionsNotCaptured => {
                vec![SetupProblem::PartitionsNotCaptured { table, publication }]
            }
            Standing::InRootNotCaptured(root) => {
                vec![SetupProblem::RootNotCaptured { table, root, publication }]
            }
        }
    };
    std::iter::zip(tables, standings).flat_map(problems).collect()
}

fn not_readable(table: &CatalogTable, settings: &Settings) -> Option<SetupProblem> {
    (!table.readable).then(|| SetupProblem::TableNotReadable {
        role: settings.database.user.clone(),
        table: table.into(),
    })
}

/// Warns of what PostgreSQL does not send of a table.
fn warn_of_tables(tables: &[CatalogTable]) {
    for table in tables {
        for warning in table_warnings(table) {
            tracing::warn!(table = table.info.display(), "{warning}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::catalog::NamedTable;
    use crate::connector::SkippedOperations;
    use crate::envelope::TableInfo;

    fn server() -> ServerSettings {
        ServerSettings {
            version: 180_004,
            wal_level: "logical".to_owned(),
            slots: 4,
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
            is_partitioned: false,
            identity_has_key: true,
            is_identified: true,
        }
    }

    fn publication(operations: [bool; 4]) -> Publication {
        let (tables, members) = (Vec::new(), Vec::new());
        Publication { operations, all_tables: false, via_root: false, tables, members }
    }

    fn named(table: &CatalogTable) -> NamedTable {
        let (schema, name) = (table.info.schema.clone(), table.info.name.clone());
        NamedTable { oid: table.oid, schema, name }
    }

    #[test]
    fn a_server_that_fits_has_no_problem() {
        assert_eq!(server_problems(&server(), &example::settings()), []);
    }

    #[test]
    fn every_problem_of_a_server_is_named_at_once() {
        let server = ServerSettings {
            wal_level: "replica".to_owned(),
            slots: 0,
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
        let standings = || vec![Standing::Own, Standing::NotPublished];
        let expected = SetupProblem::TableNotPublished {
            table: (&tables[1]).into(),
            publication: "inventory".to_owned(),
        };
        assert_eq!(standing_problems(&tables, standings(), &settings), [expected]);
        assert_eq!(operation_problems(&publication([true; 4]), &settings), []);
        let part = publication([true, true, false, true]);
        let expected = SetupProblem::OperationNotPublished {
            publication: "inventory".to_owned(),
            operation: "delete",
        };
        assert_eq!(operation_problems(&part, &settings), [expected]);
    }

    #[test]
    fn an_operation_that_is_left_out_need_not_be_published() {
        let skipped_operations =
            SkippedOperations { creates: false, updates: false, deletes: true, truncates: true };
        let settings = Settings { skipped_operations, ..example::settings() };
        let part = publication([true, true, false, false]);
        assert_eq!(operation_problems(&part, &settings), []);
    }

    #[test]
    fn a_publication_is_altered_by_what_is_missing_and_what_is_too_much() {
        let settings = example::settings();
        let held = CatalogTable { oid: 1, ..table("held") };
        let new = CatalogTable { oid: 2, ..table("New") };
        let leaf = CatalogTable { oid: 3, ..table("leaf") };
        let other = CatalogTable { oid: 4, ..table("other") };
        let root = CatalogTable { oid: 5, ..table("root") };
        let before = Publication {
            tables: vec![named(&held), named(&leaf), named(&other)],
            members: vec![named(&held), named(&other), named(&root)],
            ..publication([true; 4])
        };
        let tables = [held, new, leaf];
        let parents = HashMap::from([(3, 5)]);
        assert_eq!(
            alterations(&before, &settings, &tables, &parents),
            [
                "ALTER PUBLICATION \"inventory\" ADD TABLE ONLY \"public\".\"New\"",
                "ALTER PUBLICATION \"inventory\" DROP TABLE ONLY \"public\".\"other\""
            ]
        );
        let all = Publication { all_tables: true, ..before };
        assert!(alterations(&all, &settings, &tables, &parents).is_empty());
    }

    #[test]
    fn on_a_resume_the_trouble_of_one_table_is_not_final() {
        let (table, publication) = ("public.t".to_owned(), "inventory".to_owned());
        let role = "reader".to_owned();
        let name = || TableName { schema: "public".to_owned(), name: "t".to_owned() };
        let of_one_table = [
            SetupProblem::TableNotPublished { table: name(), publication: publication.clone() },
            SetupProblem::TableNotReadable { role: role.clone(), table: name() },
            SetupProblem::PartitionsNotCaptured {
                table: table.clone(),
                publication: publication.clone(),
            },
            SetupProblem::RootNotCaptured {
                root: table.clone(),
                table,
                publication: publication.clone(),
            },
        ];
        for problem in of_one_table {
            assert!(
                problem.is_final(Stage::FirstStart) && !problem.is_final(Stage::Resume),
                "{problem}"
            );
        }
        let of_all = [
            SetupProblem::NoPublication {
                publication: publication.clone(),
                database: "d".to_owned(),
            },
            SetupProblem::OperationNotPublished { publication, operation: "delete" },
            SetupProblem::WalLevel { wal_level: "replica".to_owned() },
            SetupProblem::MayNotReplicate { role },
            SetupProblem::Encoding { database: "d".to_owned(), encoding: "LATIN1".to_owned() },
            SetupProblem::NoSlots,
        ];
        for problem in of_all {
            assert!(
                problem.is_final(Stage::FirstStart) && problem.is_final(Stage::Resume),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_table_that_may_not_be_read_is_a_problem() {
        let hidden = CatalogTable { readable: false, ..table("a") };
        let expected =
            SetupProblem::TableNotReadable { role: "reader".to_owned(), table: (&hidden).into() };
        let standings = vec![Standing::Own, Standing::Own];
        let problems = standing_problems(&[table("b"), hidden], standings, &example::settings());
        assert_eq!(problems, [expected]);
    }
}

//! A first look at a source: what has to be set up there, and the connector file for it.
//!
//! In: the address of a database, and names. Out: a connector file, the SQL for the role and the publication, and what
//! is missing, each with its remedy. `choose` decides which tables are captured, `connector_file` and `script` write,
//! `judge` compares the source with what was written; these are pure. `output` writes the files.
//!
//! Invariants: nothing is changed at the source, because the one transaction that asks is read-only; no password is in
//! anything that is written or printed, because only the connection gets it. What was written is read back as a start
//! of the reader reads it, so a name that the file cannot hold is found here.
//!
//! Hard cases: names with capitals, quotes, dots, commas, dollar signs and blanks in regular expressions that ignore
//! case; a table whose updates PostgreSQL would refuse once it is published; a partition whose replica identity is not
//! that of its table; a role or a publication that exists and differs; policies that hide rows.

mod choose;
mod connector_file;
mod error;
mod finding;
mod judge;
mod names;
mod output;
mod script;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use choose::{Choice, Wanted, choose};
pub use error::InitError;
use finding::{Missing, Note, one_line};
use judge::{Judged, Look, judge};
use names::Names;
use output::Target;
use shared::postgres::ConnectOptions;
use shared::source_url::source_options;

use crate::catalog::{self, CatalogTable, NamedTable, Relation};
use crate::cli::InitArgs;
use crate::connector::{self, Settings};
use crate::exit;
use crate::replication::{Client, Mode, WaitLimit};
use crate::session::{Found, version_problem};

/// What `pg_stat_activity` shows.
const APPLICATION_NAME: &str = "cdc-reader init";

/// What a look at a source came to.
#[derive(Debug)]
pub struct Report {
    /// For standard output; empty when files were written.
    pub printed: String,
    missing: Vec<Missing>,
    notes: Vec<Note>,
    written: Vec<PathBuf>,
}

impl Report {
    /// 0 when nothing is missing, 1 when something must be done.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.missing.is_empty() { exit::OK } else { exit::FAILED }
    }
}

/// A line for each thing, for standard error.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in &self.written {
            writeln!(f, "written: {}", path.display())?;
        }
        for note in &self.notes {
            writeln!(f, "note: {}", one_line(&note.to_string()))?;
        }
        for missing in &self.missing {
            writeln!(f, "missing: {}", one_line(&missing.to_string()))?;
        }
        if self.missing.is_empty() {
            writeln!(f, "nothing is missing")?;
        }
        Ok(())
    }
}

/// Looks at a source, and writes.
///
/// # Errors
/// See [`InitError`].
pub fn run(args: &InitArgs) -> Result<Report, InitError> {
    let source = source_options(args.source.expose(), APPLICATION_NAME)?;
    let names = Names::of(args, &source.database);
    let target = Target::of(args.output_dir.as_deref())?;
    let mut client = Client::connect(&source, Mode::Sql, WaitLimit::brief())?;
    client.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
    // Which types are printed with their schema must not depend on what the asking role may use.
    client.query("SET LOCAL search_path = pg_catalog")?;
    let (version, is_standby) = catalog::version_and_recovery(&mut client)?;
    if let Some(problem) = version_problem(version) {
        let missing = vec![Missing::Setup(problem)];
        return Ok(Report { printed: String::new(), missing, notes: Vec::new(), written: vec![] });
    }
    let wanted = Wanted { schemas: &args.schemas, excluded: &args.excluded };
    let Choice { included, mut missing, mut notes } = choice(&mut client, &wanted)?;
    if included.is_empty() {
        missing.push(Missing::NoTable { database: source.database });
        return Ok(Report { printed: String::new(), missing, notes, written: vec![] });
    }
    let all = catalog::table_names(&mut client)?;
    let file = connector_file::write(&source, &names, &included, &all);
    let settings = read_back(&file, &source, &names)?;
    check_list(&settings, &included, &all)?;
    let script = script::write(&source.database, &names, &included);
    let look = look(&mut client, &settings, included, version, is_standby)?;
    let judged = judge(&look, &settings);
    let Judged { missing: further, notes: more } = judged;
    missing.extend(further);
    notes.extend(more);
    let (printed, written) = target.write(&file, &script)?;
    Ok(Report { printed, missing, notes, written })
}

/// Reads the catalog's tables, and chooses among them.
fn choice(client: &mut Client, wanted: &Wanted<'_>) -> Result<Choice, InitError> {
    let relations = catalog::relations(client)?;
    let schemas = catalog::schema_names(client)?;
    let parents = catalog::partition_parents(client)?;
    let is_local = |relation: &&Relation| {
        !relation.is_foreign && (relation.is_partition || wanted.takes(&relation.named.schema))
    };
    let oids: Vec<u32> =
        relations.iter().filter(is_local).map(|relation| relation.named.oid).collect();
    let mut tables = catalog::tables(client, &oids)?;
    catalog::resolve_types(client, tables.iter_mut().map(|table| &mut table.info))?;
    let tables: HashMap<u32, CatalogTable> =
        tables.into_iter().map(|table| (table.oid, table)).collect();
    let mut choice = choose(&relations, &tables, &parents, wanted);
    let unknown = wanted.schemas.iter().filter(|schema| !schemas.contains(*schema));
    choice.missing.extend(unknown.map(|schema| Missing::NoSchema { schema: schema.clone() }));
    Ok(choice)
}

/// Reads the connector file as the reader does, with a password that is not the real one.
fn read_back(file: &str, source: &ConnectOptions, names: &Names) -> Result<Settings, InitError> {
    let settings = connector::parse(file, &connector_file::NoPassword)?.settings;
    let database = &settings.database;
    for (property, written, read) in [
        ("database.hostname", &source.host, &database.host),
        ("database.dbname", &source.database, &database.database),
        ("database.user", &names.role, &database.user),
        ("publication.name", &names.publication, &settings.publication_name),
    ] {
        if written != read {
            return Err(InitError::Reference(property));
        }
    }
    Ok(settings)
}

/// The list has to take the tables that are captured, and no others.
fn check_list(
    settings: &Settings,
    included: &[CatalogTable],
    all: &[NamedTable],
) -> Result<(), InitError> {
    let included: HashSet<u32> = included.iter().map(|table| table.oid).collect();
    let wrong = all.iter().find(|table| {
        settings.tables.captures(&table.schema, &table.name) != included.contains(&table.oid)
    });
    wrong.map_or(Ok(()), |table| Err(InitError::List(table.display())))
}

/// What the source says beside its tables.
fn look(
    client: &mut Client,
    settings: &Settings,
    tables: Vec<CatalogTable>,
    version: u32,
    is_standby: bool,
) -> Result<Look, InitError> {
    let (role, publication) = (settings.database.user.as_str(), &settings.publication_name);
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    Ok(Look {
        is_standby,
        role: catalog::role(client, role)?,
        access: catalog::access(client, role, &oids)?,
        room: catalog::room(client, role)?,
        slot: catalog::slot(client, &settings.slot_name, version)?,
        publication: catalog::publication(client, publication, version)?,
        parts: catalog::published_parts(client, publication, version)?,
        details: catalog::column_details(client, &oids)?,
        found: Found {
            server: catalog::server_settings(client, Some(role))?,
            tables,
            parents: catalog::partition_parents(client)?,
        },
    })
}

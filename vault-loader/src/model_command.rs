//! The commands on a model: infer one, check it, and print or write what follows from it.
//!
//! In: arguments and, but for `infer`, a compiled model. Out: text on standard output, or files. `infer` alone asks a
//! server here.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use shared::source_url::source_options;

use crate::document;
use crate::infer::{self, InferOptions};
use crate::migrate::scaled::{self, UnknownName};
use crate::migrate::{business, ddl, views};
use crate::model::Plan;

/// What `pg_stat_activity` of a source shows while a model is inferred from it.
const APPLICATION_NAME: &str = "vault-loader model infer";

/// A command on a model. It may hold a password, so it cannot be printed.
#[derive(Subcommand)]
pub enum ModelCommand {
    /// Write a model from the primary, unique and foreign keys of a source database. It loads as it is
    Infer(InferArguments),
    /// Write a page about the model, as Markdown, and a picture of its tables, as SVG. It needs no server
    Docs(DocsArguments),
    /// Compare the model with the warehouse and change nothing: what `migrate` would do, what it would refuse and why,
    /// and which columns satellites have grown that the model does not name. Runs with the rights of `run` or of
    /// `migrate`. Exit codes: 0 no difference, 1 a difference, 2 the two cannot be compared
    Diff,
    /// Print the JSON Schema of a model file, by which editors complete and check it. It needs no --model
    Schema,
    /// What needs no server
    #[command(flatten)]
    Look(LookCommand),
}

/// What a model says.
#[derive(Debug, Clone, Subcommand)]
pub enum LookCommand {
    /// Print the vault's tables as SQL; or, for more than one disk can hold, what distributes or partitions the tables
    /// that `migrate` has made (docs/SCALING.md)
    Ddl(DdlArguments),
    /// Print the views that `migrate` makes as SQL: what holds now, histories, and the rules of the vault
    Views,
    /// Check the model and say what it feeds
    Check,
}

/// Which tables are printed.
#[derive(Debug, Clone, Default, Args)]
pub struct DdlArguments {
    /// Print the statements that distribute the tables over a Citus cluster by their hash keys
    #[arg(long)]
    distributed: bool,
    /// With --distributed: a hub or link that is small; every node gets a copy of it and of its satellites; several
    /// times for several
    #[arg(long, value_name = "HUB", requires = "distributed")]
    small: Vec<String>,
    /// Print the statements that replace the empty satellites by ones with so many partitions by hash key
    #[arg(long, value_name = "N", conflicts_with = "distributed", value_parser = clap::value_parser!(u16).range(2..=1024))]
    partitions: Option<u16>,
    /// With --partitions: a satellite to be partitioned; several times for several [default: all]
    #[arg(long, value_name = "SATELLITE", requires = "partitions")]
    satellite: Vec<String>,
}

/// From where a model is inferred. The source may hold a password, so they cannot be printed.
#[derive(Args)]
pub struct InferArguments {
    /// The source: postgres://user:password@host:port/database?sslmode=…&sslrootcert=…; better in the variable,
    /// because every user of the machine sees arguments. The role needs no rights on the tables
    #[arg(long, env = "VAULT_LOADER_SOURCE", hide_env_values = true)]
    source: String,
    /// The connector's topic.prefix
    #[arg(long)]
    topic_prefix: String,
    /// The source's own name in the warehouse: part of hash keys and of every record_source [default: the topic prefix]
    #[arg(long)]
    name: Option<String>,
    /// Word before the names of all hubs, links and satellites: hub_WORD_…. For a source whose tables are called like
    /// those of another source in the same warehouse
    #[arg(long, value_name = "WORD", value_parser = prefix)]
    prefix: Option<String>,
    /// Schema to look at; several times for several [default: all but the system's]
    #[arg(long = "schema")]
    schemas: Vec<String>,
    /// The source's number in the warehouse, the value of source_system_id. Each source has another one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i16).range(1..))]
    system_id: i16,
    /// File for the model, which must not exist yet [default: standard output]
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Where the documentation of a model is written.
#[derive(Debug, Args)]
pub struct DocsArguments {
    /// Directory for DWH_SCHEMA.md and dwh_schema.svg. It is made if it is missing, and older files of these names are
    /// replaced [default: the page goes to standard output, and no picture is drawn]
    #[arg(long)]
    output_dir: Option<PathBuf>,
}

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", .path.display())]
pub struct OutputError {
    path: PathBuf,
    source: std::io::Error,
}

/// How long the word before all names may be.
const PREFIX_MAX: usize = 16;

/// Reads a word that names of vault tables can begin with.
fn prefix(word: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = word.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && word.len() <= PREFIX_MAX && word.chars().all(is_plain) {
        Ok(word.to_owned())
    } else {
        Err(format!("give at most {PREFIX_MAX} lower-case letters, digits and _, a letter first"))
    }
}

/// Infers a model, and writes it.
///
/// # Errors
/// When the source cannot be read, when it has no table that a vault can hold, or when the file exists or cannot be
/// written.
pub async fn infer_model(arguments: &InferArguments) -> anyhow::Result<()> {
    let source = source_options(&arguments.source, APPLICATION_NAME)?;
    let client = shared::postgres::connect(&source).await?;
    let options = InferOptions {
        name: arguments.name.clone().unwrap_or_else(|| arguments.topic_prefix.clone()),
        topic_prefix: arguments.topic_prefix.clone(),
        system_id: arguments.system_id,
        prefix: arguments.prefix.clone(),
        schemas: arguments.schemas.clone(),
        database: source.database.clone(),
    };
    let inferred = infer::infer(&client, &options).await?;
    for (table, reason) in &inferred.left_out {
        eprintln!("left out: table {table}: {reason}");
    }
    let Some(path) = &arguments.output else {
        print!("{}", inferred.text);
        return Ok(());
    };
    // An edited model must not be lost.
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(inferred.text.as_bytes()))
        .map_err(|source| OutputError { path: path.clone(), source })?;
    eprintln!("written: {}", path.display());
    Ok(())
}

/// Writes the page about a model and the picture of its tables.
///
/// # Errors
/// When a file cannot be written.
pub fn write_docs(arguments: &DocsArguments, plan: &Plan) -> Result<(), OutputError> {
    let page = document::page(plan);
    let Some(directory) = &arguments.output_dir else {
        print!("{page}");
        return Ok(());
    };
    let failed = |path: &Path, source| OutputError { path: path.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(|err| failed(directory, err))?;
    for (name, text) in [(document::PAGE, page), (document::PICTURE, document::picture(plan))] {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|err| failed(&path, err))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Prints what a model says.
///
/// # Errors
/// When the arguments name what the model does not have.
pub fn look(command: &LookCommand, plan: &Plan) -> Result<(), UnknownName> {
    match command {
        LookCommand::Ddl(arguments) => print!("{}", ddl_script(arguments, plan)?),
        LookCommand::Views => {
            for schema in [views::MART_SCHEMA, views::CHECK_SCHEMA] {
                println!("CREATE SCHEMA IF NOT EXISTS {schema};");
            }
            for view in views::all(plan, &[]) {
                print!("\n{}", view.create());
            }
        }
        LookCommand::Check => {
            let model = &plan.model;
            let references = model.hubs.iter().filter(|hub| hub.is_carried).count();
            let of_references = match references {
                0 => String::new(),
                count => format!(" {count} references,"),
            };
            println!(
                "valid: {} tables feed {} hubs,{of_references} {} links, {} satellites",
                model.tables.len(),
                model.hubs.len() - references,
                model.links.iter().filter(|link| link.has_table()).count(),
                plan.satellites.iter().filter(|satellite| !satellite.is_link).count()
            );
            let snapshots = &model.snapshots;
            if snapshots.calendar.is_some() {
                let (pits, bridges) = (snapshots.pits.len(), snapshots.bridges.len());
                println!("at snapshots: {pits} point-in-time tables, {bridges} bridges");
            }
        }
    }
    Ok(())
}

fn ddl_script(arguments: &DdlArguments, plan: &Plan) -> Result<String, UnknownName> {
    if arguments.distributed {
        return scaled::distributed(plan, &arguments.small);
    }
    match arguments.partitions {
        Some(count) => scaled::partitioned(plan, count, &arguments.satellite),
        None => Ok(ddl::script(plan) + &business::script(plan)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn docs_replace_older_ones_and_name_the_file_that_cannot_be_written() {
        let plan =
            Plan::new(model::parse(include_str!("../../connectors/airline/vault.toml")).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        let arguments = DocsArguments { output_dir: Some(below.clone()) };
        write_docs(&arguments, &plan).unwrap();
        std::fs::write(below.join(document::PICTURE), "older").unwrap();
        write_docs(&arguments, &plan).unwrap();
        let read = |name: &str| std::fs::read_to_string(below.join(name)).unwrap();
        assert_eq!(read(document::PAGE), document::page(&plan));
        assert_eq!(read(document::PICTURE), document::picture(&plan));
        let file = DocsArguments { output_dir: Some(below.join(document::PAGE)) };
        let err = write_docs(&file, &plan).unwrap_err().to_string();
        assert!(err.contains("a/b/DWH_SCHEMA.md"), "{err}");
    }
}

//! The commands on a model: infer one, check it, and print what follows from it.
//!
//! In: arguments and, but for `infer`, a compiled model. Out: text on standard output. `infer` alone asks a server.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use shared::source_url::source_options;

use crate::infer::{self, InferOptions};
use crate::migrate::{ddl, views};
use crate::model::Plan;

/// What `pg_stat_activity` of a source shows while a model is inferred from it.
const APPLICATION_NAME: &str = "vault-loader model infer";

/// A command on a model. It may hold a password, so it cannot be printed.
#[derive(Subcommand)]
pub enum ModelCommand {
    /// Write a model from the primary, unique and foreign keys of a source database. It loads as it is
    Infer(InferArguments),
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
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum LookCommand {
    /// Print the vault's tables as SQL
    Ddl,
    /// Print the views that `migrate` makes as SQL: what holds now, histories, and the rules of the vault
    Views,
    /// Check the model and say what it feeds
    Check,
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

/// The model cannot be written to its file.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", .path.display())]
pub struct OutputError {
    path: PathBuf,
    source: std::io::Error,
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

/// Prints what a model says.
pub fn look(command: LookCommand, plan: &Plan) {
    match command {
        LookCommand::Ddl => print!("{}", ddl::script(plan)),
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
            println!(
                "valid: {} tables feed {} hubs, {} links, {} satellites",
                model.tables.len(),
                model.hubs.len(),
                model.links.len(),
                plan.satellites.len()
            );
        }
    }
}

//! One migration run: lock, control schema, comparison, statements, grants, all in one transaction.
//!
//! In: a connection and the model file's text. Out: an [`MigrationOutcome`]. Of two runs at once, one waits for the
//! other at an advisory lock. A run that is refused changes nothing.

use tokio_postgres::{Client, Transaction};

use super::catalog::{self, Existing};
use super::compat;
use super::ddl::{self, TableSpec};
use super::first_mentions;
use crate::control::{self, CONTROL_SCHEMA, StoredModel};
use crate::model::{self, ColumnType, Model, ModelError, Plan, VAULT_SCHEMA};
use crate::vault::hash::HASH_VERSION;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationOutcome {
    /// one line for each thing done; empty when the warehouse was as the model wants it
    pub steps: Vec<String>,
    /// something the operator should know
    pub notes: Vec<String>,
}

/// Why a run changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The model is invalid.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The change would destroy stored rows or change their meaning.
    #[error(
        "refused, nothing was changed:\n{}\nremedy: undo these in the model, or build a second warehouse from the topics",
        .0.join("\n")
    )]
    Destructive(Vec<String>),
    /// Rows that are loaded already would be missing in the new tables.
    #[error(
        "refused, nothing was changed:\n{}\nremedy: stop the loader and migrate with --reload, which loads these topics anew from their beginning \
         (what is there stays and is not doubled), or build a second warehouse from the topics",
        .0.join("\n")
    )]
    Incomplete(Vec<String>),
    /// The warehouse refused a statement.
    #[error("the warehouse refused {step}")]
    Sql {
        /// what was being done
        step: String,
        /// its answer
        #[source]
        source: tokio_postgres::Error,
    },
}

fn failed(step: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> MigrateError {
    let step = step.into();
    |source| MigrateError::Sql { step, source }
}

/// Changes the warehouse so that it fits the model. `grantee` gets the rights that `run` needs. With `reload`, topics
/// whose tables feed something new are set back to their beginning. Without it, such topics are a reason to refuse.
///
/// # Errors
/// When the model is invalid, the change would destroy or reinterpret stored rows or leave something new incomplete, or
/// the warehouse refuses a statement. Then nothing was changed.
pub async fn migrate(
    client: &mut Client,
    text: &str,
    grantee: &str,
    reload: bool,
) -> Result<MigrationOutcome, MigrateError> {
    let plan = Plan::new(model::parse(text)?);
    let transaction = client.transaction().await.map_err(failed("a transaction"))?;
    control::lock_migrations(&transaction).await.map_err(failed("the migration lock"))?;
    let mut steps = create_schemas(&transaction).await?;
    let applied = control::apply_migrations(&transaction).await;
    steps.extend(applied.map_err(failed("a control migration"))?);
    let last = control::last_model(&transaction).await.map_err(failed("reading the last model"))?;
    if last.as_ref().is_none_or(|last| last.hash != control::model_hash(text)) {
        control::keep_loaders_out(&transaction).await.map_err(failed("to keep loaders out"))?;
    }
    if let Some(old) = check_last_model(last.as_ref(), &plan)? {
        steps.extend(complete(&transaction, &old, &plan, reload).await?);
    }
    // What satellites have grown stays theirs, whether the new model names it or not.
    let grown =
        control::read_grown(&transaction).await.map_err(failed("reading its grown columns"))?;
    let plan = plan.grown(&grown);
    let existing = catalog::read(&transaction).await.map_err(failed("reading its catalog"))?;
    for (step, sql) in difference(&ddl::tables(&plan), &existing)? {
        transaction.batch_execute(&sql).await.map_err(failed(step.clone()))?;
        steps.push(step);
    }
    steps.extend(create_views(&transaction, &plan, steps.is_empty()).await?);
    steps.extend(store_model(&transaction, text).await.map_err(failed("storing the model"))?);
    let notes = grant(&transaction, &plan, grantee).await?;
    transaction.commit().await.map_err(failed("the commit"))?;
    Ok(MigrationOutcome { steps, notes })
}

async fn create_schemas(transaction: &Transaction<'_>) -> Result<Vec<String>, MigrateError> {
    let mut steps = Vec::new();
    let schemas = [
        (CONTROL_SCHEMA, "where the loader stands, and what it could not load"),
        (VAULT_SCHEMA, "the Data Vault: hubs, links, satellites; insert-only"),
    ];
    for (schema, comment) in schemas {
        let exists = transaction
            .query_one("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", &[&schema])
            .await
            .map_err(failed("reading its catalog"))?
            .get::<_, bool>(0);
        if !exists {
            let sql =
                format!("CREATE SCHEMA {schema};\nCOMMENT ON SCHEMA {schema} IS '{comment}';");
            transaction.batch_execute(&sql).await.map_err(failed(format!("schema {schema}")))?;
            steps.push(format!("created schema {schema}"));
        }
    }
    Ok(steps)
}

/// The catalog shows columns. The model that was applied last shows what the hash keys are made of.
fn check_last_model(
    last: Option<&StoredModel>,
    plan: &Plan,
) -> Result<Option<Model>, MigrateError> {
    let Some(last) = last else { return Ok(None) };
    let version = last.hash_version;
    let mut found = Vec::new();
    if version != i32::from(HASH_VERSION) {
        found.push(format!("hash keys are of version {version}, this build makes {HASH_VERSION}"));
    }
    let old = model::parse(&last.text).ok();
    match &old {
        Some(old) => found.extend(compat::destructive(old, &plan.model)),
        None => found
            .push("the model stored in dwh_control.models cannot be read by this build".to_owned()),
    }
    if found.is_empty() { Ok(old) } else { Err(MigrateError::Destructive(found)) }
}

/// Sets back the topics whose tables feed something new, so that the events that were loaded before get there too. A
/// replay adds the rows that a satellite lacks, and no others.
async fn complete(
    transaction: &Transaction<'_>,
    old: &Model,
    plan: &Plan,
    reload: bool,
) -> Result<Vec<String>, MigrateError> {
    let mut steps = Vec::new();
    let mut refused = Vec::new();
    for (table, fed) in compat::newly_fed(old, &plan.model) {
        let topic = &plan.tables[table].topic;
        let loaded = if reload {
            control::set_back(transaction, topic).await
        } else {
            control::is_loaded(transaction, topic).await
        };
        if !loaded.map_err(failed("the offsets"))? {
            continue;
        }
        let fed = fed.join(", ");
        if reload {
            let forgotten = control::forget_minutes(transaction, topic).await;
            forgotten.map_err(failed("the events by minute"))?;
            steps.push(format!("set {topic} back to its beginning, for {fed}"));
        } else {
            refused.push(format!("{topic} is loaded already, and would be missing in {fed}"));
        }
    }
    if refused.is_empty() { Ok(steps) } else { Err(MigrateError::Incomplete(refused)) }
}

/// The statements that change the existing tables into the wanted ones, or all reasons against that.
fn difference(
    wanted: &[TableSpec],
    existing: &std::collections::BTreeMap<String, Existing>,
) -> Result<Vec<(String, String)>, MigrateError> {
    let mut steps = Vec::new();
    let mut refused = Vec::new();
    for table in wanted {
        match existing.get(&table.name) {
            None => steps.push((format!("created {}", table.qualified()), table.create())),
            Some(found) => compare(table, found, &mut steps, &mut refused),
        }
    }
    for name in existing.keys() {
        if !wanted.iter().any(|table| table.name == *name) {
            refused.push(format!("{VAULT_SCHEMA}.{name} exists, but the model does not name it"));
        }
    }
    if refused.is_empty() { Ok(steps) } else { Err(MigrateError::Destructive(refused)) }
}

fn compare(
    table: &TableSpec,
    found: &Existing,
    steps: &mut Vec<(String, String)>,
    refused: &mut Vec<String>,
) {
    let name = table.qualified();
    if found.primary_key != table.primary_key {
        refused.push(format!("{name}: its primary key is ({})", found.primary_key.join(", ")));
    }
    for column in &table.columns {
        match found.columns.iter().find(|(existing, _)| *existing == column.name) {
            None if column.not_null => {
                refused.push(format!("{name}: column {} is missing", column.name));
            }
            None => steps.push((format!("added {name}.{}", column.name), table.add_column(column))),
            Some((_, kind)) if widens(kind, &column.kind) => steps.push((
                format!("widened {name}.{} from {kind} to {}", column.name, column.kind),
                table.widen_column(column),
            )),
            Some((_, kind)) if *kind != column.kind => refused
                .push(format!("{name}.{} is {kind}, the model wants {}", column.name, column.kind)),
            Some(_) => {}
        }
    }
    for (column, _) in &found.columns {
        if !table.columns.iter().any(|wanted| wanted.name == *column) {
            refused.push(format!("{name}.{column} exists, but the model does not name it"));
        }
    }
}

/// Makes the views that are missing, and all of them when a table has changed.
async fn create_views(
    transaction: &Transaction<'_>,
    plan: &Plan,
    tables_unchanged: bool,
) -> Result<Vec<String>, MigrateError> {
    let mut steps = Vec::new();
    for view in first_mentions::views(plan) {
        let exists: bool = transaction
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&view.qualified])
            .await
            .map_err(failed("reading its catalog"))?
            .get(0);
        if exists && tables_unchanged {
            continue;
        }
        let step = format!("created {}", view.qualified);
        transaction.batch_execute(&view.create).await.map_err(failed(step.clone()))?;
        steps.push(step);
    }
    Ok(steps)
}

/// Whether a column of one type may become one of another type without a change of any value.
fn widens(from: &str, to: &str) -> bool {
    let [from, to] = [from, to].map(ColumnType::parse);
    from != to && from.zip(to).is_some_and(|(from, to)| to.holds(from))
}

async fn store_model(
    transaction: &Transaction<'_>,
    text: &str,
) -> Result<Option<String>, tokio_postgres::Error> {
    let stored = control::store_model(transaction, text, HASH_VERSION).await?;
    let hash = hex::encode(&control::model_hash(text)[..6]);
    Ok(stored.then(|| format!("stored the model ({hash}…)")))
}

/// Grants exactly the rights that loading needs. Granting them again changes nothing, so it is not reported as a step.
async fn grant(
    transaction: &Transaction<'_>,
    plan: &Plan,
    grantee: &str,
) -> Result<Vec<String>, MigrateError> {
    let exists: bool = transaction
        .query_one("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", &[&grantee])
        .await
        .map_err(failed("reading its roles"))?
        .get(0);
    if !exists {
        return Ok(vec![format!("role {grantee} does not exist, so nothing was granted to it")]);
    }
    let role = format!("\"{}\"", grantee.replace('"', "\"\""));
    let mut sql = control::grants(&role);
    sql.push_str(&format!("GRANT USAGE ON SCHEMA {VAULT_SCHEMA} TO {role};\n"));
    for table in ddl::tables(plan) {
        sql.push_str(&format!("GRANT SELECT, INSERT ON {} TO {role};\n", table.qualified()));
    }
    transaction.batch_execute(&sql).await.map_err(failed(format!("grants to {grantee}")))?;
    Ok(Vec::new())
}

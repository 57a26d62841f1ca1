//! One migration run: lock, control schema, comparison, statements, grants, all in one transaction.
//!
//! In: a connection and a model file. Out: an [`MigrationOutcome`]. Of two runs at once, one waits for the
//! other at an advisory lock. A run that is refused changes nothing.

use shared::secret::Secret;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::agree::{self, Named};
use super::difference::{Refusals, Step, difference};
use super::make_views::{self, Made};
use super::views::{self, CHECK_SCHEMA, MART_SCHEMA};
use super::{business, catalog, compat, ddl, indexes, locks};
use crate::control::{self, CONTROL_SCHEMA, StoredModel};
use crate::model::{self, Model, ModelError, ModelText, Plan, SourceSystem, VAULT_SCHEMA};
use crate::vault::hash::{HASH_VERSION, fingerprint};

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
    /// The model wants what another source or somebody else has.
    #[error("refused, nothing was changed:\n{}", .0.join("\n"))]
    Conflicting(Vec<String>),
    /// The secret of the hash keys is not the warehouse's.
    #[error("refused, nothing was changed: {0}")]
    KeySecret(&'static str),
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

pub(super) fn failed(
    step: impl Into<String>,
) -> impl FnOnce(tokio_postgres::Error) -> MigrateError {
    let step = step.into();
    |source| MigrateError::Sql { step, source }
}

impl From<Refusals> for MigrateError {
    fn from(refused: Refusals) -> Self {
        if refused.destructive.is_empty() {
            Self::Conflicting(refused.conflicting)
        } else {
            Self::Destructive([refused.destructive, refused.conflicting].concat())
        }
    }
}

/// One try of a migration.
///
/// # Errors
/// See [`MigrateError`]. After an error nothing was changed.
pub(super) async fn migrate_once(
    client: &mut Client,
    file: &ModelText,
    grantee: &str,
    reload: bool,
    key_secret: Option<&Secret>,
) -> Result<MigrationOutcome, MigrateError> {
    let plan = Plan::new(model::parse(&file.text)?);
    let source = plan.model.source.name.as_str();
    let transaction = client.transaction().await.map_err(failed("a transaction"))?;
    control::lock_migrations(&transaction).await.map_err(failed("the migration lock"))?;
    locks::wait_briefly(&transaction).await.map_err(failed("a setting"))?;
    let mut steps = create_schemas(&transaction).await?;
    let applied = control::apply_migrations(&transaction).await;
    steps.extend(applied.map_err(failed("a control migration"))?);
    let last = control::last_models(&transaction).await;
    let last = last.map_err(failed("reading the last models"))?;
    agree_on_secret(&transaction, last.is_empty(), key_secret).await?;
    let (ours, others): (Vec<_>, Vec<_>) = last.into_iter().partition(|m| m.source == source);
    let last = ours.first();
    keep_builders_out(&transaction, &others, &plan, file).await?;
    if last.is_none_or(|last| last.hash != control::model_hash(&plan.model)) {
        // A loader's attempt may take longer.
        locks::wait_long(&transaction).await.map_err(failed("a setting"))?;
        let alone = control::keep_loaders_out(&transaction, source).await;
        alone.map_err(failed("to keep loaders out"))?;
    }
    let old = check_last_model(last, &plan)?;
    let others = check_other_sources(&transaction, &others, &plan, file).await?;
    if let Some(old) = old {
        steps.extend(complete(&transaction, &old, &plan, reload).await?);
        note_new_tables(&transaction, &old, &plan.model).await?;
    }
    // What satellites have grown stays theirs, whether the new model names it or not.
    let grown =
        control::read_grown(&transaction).await.map_err(failed("reading its grown columns"))?;
    let grown_plan = plan.grown(&grown);
    locks::wait_briefly(&transaction).await.map_err(failed("a setting"))?;
    let mut rights = Vec::new();
    steps.extend(change_tables(&transaction, &grown_plan, &mut rights).await?);
    steps.extend(add_indexes(&transaction, &grown_plan).await?);
    let business = business::make(&transaction, &plan.model, &others).await;
    steps.extend(business.map_err(not_made)?);
    let made = create_views(&transaction, &grown_plan, &others).await?;
    steps.extend(made.steps);
    rights.extend(made.rights);
    let given = make_views::give_back(&transaction, &rights).await;
    given.map_err(failed("rights on a view"))?;
    let stored = store_model(&transaction, &plan.model, file).await;
    steps.extend(stored.map_err(failed("storing the model"))?);
    let mut notes = grant(&transaction, &grown_plan, &others, grantee).await?;
    notes.extend(made.notes);
    transaction.commit().await.map_err(failed("the commit"))?;
    Ok(MigrationOutcome { steps, notes })
}

/// The first migration of a warehouse decides about the secret of its hash keys. Each further one needs the same
/// secret, or again none.
async fn agree_on_secret(
    transaction: &Transaction<'_>,
    is_first: bool,
    secret: Option<&Secret>,
) -> Result<(), MigrateError> {
    let fingerprint = secret.map(fingerprint);
    let fingerprint = fingerprint.as_ref().map(<[u8; 32]>::as_slice);
    if is_first {
        let noted = control::note_key_secret(transaction, fingerprint).await;
        noted.map_err(failed("to remember the secret's fingerprint"))?;
    }
    let problem = control::key_secret_problem(transaction, fingerprint).await;
    let problem = problem.map_err(failed("reading the secret's fingerprint"))?;
    problem.map_or(Ok(()), |problem| Err(MigrateError::KeySecret(problem)))
}

/// Makes and changes the tables of the model, and remembers which tables were made. `rights` gets the statements that
/// give back the rights on views that were dropped, because a column of theirs gets another type.
async fn change_tables(
    transaction: &Transaction<'_>,
    plan: &Plan,
    rights: &mut Vec<String>,
) -> Result<Vec<String>, MigrateError> {
    let source = plan.model.source.name.as_str();
    let existing = catalog::read(transaction).await.map_err(failed("reading its catalog"))?;
    let made = control::made_tables(transaction).await.map_err(failed("the tables it made"))?;
    let wanted = ddl::tables(plan);
    let mut told = Vec::new();
    for Step { told: step, sql, made, retyped } in difference(source, &wanted, &existing, &made)? {
        if let Some(table) = retyped {
            let dropped = make_views::drop_views_of(transaction, &table).await;
            match dropped.map_err(failed(step.clone()))? {
                Ok(further) => rights.extend(further),
                Err(strange) => return Err(is_used(&table, &strange)),
            }
        }
        transaction.batch_execute(&sql).await.map_err(failed(step.clone()))?;
        if let Some(table) = made {
            let owner = wanted.iter().any(|other| other.name == table && !other.is_shared());
            let noted =
                control::note_made_table(transaction, &table, owner.then_some(source)).await;
            noted.map_err(failed("to remember a table"))?;
        }
        told.push(step);
    }
    Ok(told)
}

/// A column of a table cannot get another type.
pub(super) fn is_used(table: &str, strange: &str) -> MigrateError {
    MigrateError::Conflicting(vec![format!(
        "no column of {table} can get another type, because {strange} depends on it: drop that, migrate again, and make it anew"
    )])
}

/// Makes the indexes that older tables lack.
async fn add_indexes(
    transaction: &Transaction<'_>,
    plan: &Plan,
) -> Result<Vec<String>, MigrateError> {
    let missing = indexes::missing(transaction, &ddl::tables(plan)).await;
    let mut told = Vec::new();
    for (step, sql) in missing.map_err(failed("reading its indexes"))? {
        transaction.batch_execute(&sql).await.map_err(failed(step.clone()))?;
        told.push(step);
    }
    Ok(told)
}

/// The models of the other sources must agree about hubs and links, and leave this source what is its own. Returns
/// them.
async fn check_other_sources(
    transaction: &Transaction<'_>,
    others: &[StoredModel],
    plan: &Plan,
    file: &ModelText,
) -> Result<Vec<Model>, MigrateError> {
    let source = &plan.model.source;
    let (mut found, models) = judge_other_sources(others, plan, file);
    let registered = control::register_source(transaction, &source.name, source.system_id).await;
    if let Err(holder) = registered.map_err(failed("registering the source"))? {
        found.push(number_is_taken(&plan.model, &holder));
    }
    if found.is_empty() { Ok(models) } else { Err(MigrateError::Conflicting(found)) }
}

/// Another source has the number of this one.
pub(super) fn number_is_taken(model: &Model, holder: &str) -> String {
    let SourceSystem { name, system_id, .. } = &model.source;
    format!(
        "source.system_id {system_id} is the number of the source {holder}: give {name} a number of its own"
    )
}

/// What the models of other sources contradict this one in, and these models.
pub(super) fn judge_other_sources(
    others: &[StoredModel],
    plan: &Plan,
    file: &ModelText,
) -> (Vec<String>, Vec<Model>) {
    let (mut found, mut models) = (Vec::new(), Vec::new());
    for other in others {
        let name = &other.source;
        let path = other.file.as_deref().unwrap_or("the model file");
        if other.hash_version != i32::from(HASH_VERSION) {
            let version = other.hash_version;
            found.push(format!(
                "the source {name}: its hash keys are of version {version}, this build makes {HASH_VERSION}: \
                 build a second warehouse from the topics"
            ));
        }
        match model::parse(&other.text) {
            Ok(other) => {
                found.extend(agree::contradictions(
                    Named { model: &other, file: path },
                    Named { model: &plan.model, file: &file.path },
                ));
                models.push(other);
            }
            Err(_) => found.push(format!(
                "the source {name}: its model in dwh_control.models cannot be read by this build, so nobody knows whether the two agree: \
                 build a second warehouse from the topics"
            )),
        }
    }
    found.extend(agree::unknown_owner(&models, Named { model: &plan.model, file: &file.path }));
    (found, models)
}

fn no_right_to(schema: &str) -> MigrateError {
    MigrateError::Conflicting(vec![format!(
        "this role may not make the schema {schema}: let a superuser apply sql/warehouse/010_roles.sql, or run \
         CREATE SCHEMA {schema} AUTHORIZATION with the name of this role"
    )])
}

async fn create_schemas(transaction: &Transaction<'_>) -> Result<Vec<String>, MigrateError> {
    let mut steps = Vec::new();
    let schemas = [
        (CONTROL_SCHEMA, "where the loader stands, and what it could not load"),
        (VAULT_SCHEMA, "the Data Vault: hubs, links, satellites; insert-only"),
        (MART_SCHEMA, "what people look at: views over the vault, and what is built on them"),
        (CHECK_SCHEMA, "rules of the vault: each view shows the rows that break its rule"),
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
            transaction.batch_execute(&sql).await.map_err(|err| match err.code() {
                Some(&SqlState::INSUFFICIENT_PRIVILEGE) => no_right_to(schema),
                _ => failed(format!("schema {schema}"))(err),
            })?;
            steps.push(format!("created schema {schema}"));
        }
    }
    Ok(steps)
}

/// The catalog shows columns. The model that was applied last shows what the hash keys are made of.
pub(super) fn check_last_model(
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
pub(super) async fn complete(
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
            // The new table gets versions with old load dates, which snapshots lack.
            let source = &plan.model.source.name;
            let noted = control::note_late_load(transaction, source, 0).await;
            noted.map_err(failed("to note a late load"))?;
            steps.push(format!("set {topic} back to its beginning, for {fed}"));
        } else {
            refused.push(format!("{topic} is loaded already, and would be missing in {fed}"));
        }
    }
    if refused.is_empty() { Ok(steps) } else { Err(MigrateError::Incomplete(refused)) }
}

/// What a table that is new in the model loads, snapshots that were built may lack, because it has old load dates.
async fn note_new_tables(
    transaction: &Transaction<'_>,
    old: &Model,
    new: &Model,
) -> Result<(), MigrateError> {
    let is_new = |table: &&model::Table| !old.tables.iter().any(|before| before.is(table));
    if new.tables.iter().any(|table| is_new(&table)) {
        let noted = control::note_late_load(transaction, &new.source.name, 0).await;
        noted.map_err(failed("to note a late load"))?;
    }
    Ok(())
}

/// A build of snapshots that runs beside the making of their tables would leave holes in them. As in `rehash`, the
/// lock comes behind the one of migrations, and before the loaders' one.
async fn keep_builders_out(
    transaction: &Transaction<'_>,
    others: &[StoredModel],
    plan: &Plan,
    file: &ModelText,
) -> Result<(), MigrateError> {
    let (_, models) = judge_other_sources(others, plan, file);
    if business::replaces(transaction, &plan.model, &models).await.map_err(not_made)? {
        let alone = control::keep_builders_out(transaction).await;
        alone.map_err(failed("to wait for the end of a build of snapshots"))?;
    }
    Ok(())
}

/// Makes the views that follow from the models.
async fn create_views(
    transaction: &Transaction<'_>,
    plan: &Plan,
    others: &[Model],
) -> Result<Made, MigrateError> {
    let made = make_views::make_views(transaction, &views::all(plan, others)).await;
    let made = made.map_err(|error| failed(format!("the view {}", error.view))(error.source))?;
    if made.conflicts.is_empty() {
        Ok(made)
    } else {
        Err(MigrateError::Conflicting(made.conflicts))
    }
}

async fn store_model(
    transaction: &Transaction<'_>,
    model: &Model,
    file: &ModelText,
) -> Result<Option<String>, tokio_postgres::Error> {
    let stored = control::store_model(transaction, model, file, HASH_VERSION).await?;
    if stored {
        // Another model may have further topics, and a replay brings versions of the past.
        control::forget_watermark(transaction, model.source.system_id).await?;
    }
    let hash = hex::encode(&control::model_hash(model)[..6]);
    Ok(stored.then(|| format!("stored the model ({hash}…)")))
}

/// Why the tables of the business vault are not made.
pub(super) fn not_made(refused: business::Refused) -> MigrateError {
    match refused {
        business::Refused::Conflicts(found) => MigrateError::Conflicting(found),
        business::Refused::Sql(step, source) => MigrateError::Sql { step, source },
    }
}

/// Grants exactly the rights that loading this source needs. Granting them again changes nothing, so it is not reported
/// as a step.
async fn grant(
    transaction: &Transaction<'_>,
    plan: &Plan,
    others: &[Model],
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
    sql.push_str(&business::grants(&plan.model, others, &role));
    transaction.batch_execute(&sql).await.map_err(failed(format!("grants to {grantee}")))?;
    Ok(Vec::new())
}

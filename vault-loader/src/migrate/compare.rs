//! What a migration would do, without doing it: a model beside the warehouse as it is.
//!
//! In: a connection and model files. Out: a [`Comparison`] for each file, in which the files before it count as
//! migrated. Everything is read in one read-only transaction, so the server itself would refuse a change. The
//! judgements are those of the migration itself. Rights are not compared, because a migration grants them each time.
//!
//! The loader's role may read all of it, and so may the owner. On a warehouse that was never migrated, everybody may.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use tokio_postgres::{Client, IsolationLevel, Transaction};

use super::apply::{self, MigrateError, failed};
use super::business;
use super::catalog::{self, Existing, ExistingColumn};
use super::ddl::{self, TableSpec};
use super::difference::difference;
use super::indexes;
use super::make_views::{self, Dependent, Foretold};
use super::views::{self, CHECK_SCHEMA, MART_SCHEMA, ViewSpec};
use crate::control::{self, CONTROL_SCHEMA, MadeTables, StoredModel};
use crate::model::{self, GrownColumn, Model, ModelText, Plan, VAULT_SCHEMA};
use crate::vault::hash::HASH_VERSION;

/// The control migration since which the warehouse knows the views that migrate has made.
const MADE_VIEWS: i32 = 13;

/// A model beside the warehouse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// the model's source
    pub source: String,
    /// the model's file
    pub file: String,
    /// why a migration would change nothing
    pub refusals: Vec<String>,
    /// what a migration would report as done; nothing when it refuses
    pub steps: Vec<String>,
    /// columns that satellites have grown by themselves and that the model does not name
    pub grown: Vec<String>,
    /// what is no difference, and still worth knowing
    pub notes: Vec<String>,
    /// what could not be compared, and why
    pub not_compared: Vec<String>,
}

impl Comparison {
    /// Whether the warehouse is not what the model says.
    #[must_use]
    pub fn differs(&self) -> bool {
        !(self.refusals.is_empty() && self.steps.is_empty() && self.grown.is_empty())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, file, refusals, steps, grown, notes, not_compared } = self;
        let end = if self.differs() { "" } else { " no difference" };
        writeln!(f, "source {source}, {file}:{end}")?;
        for (head, lines) in [
            ("migrate would refuse this model and change nothing:", refusals),
            ("migrate would report:", steps),
            ("columns that satellites have grown and that the model does not name:", grown),
            ("no difference, and left alone by migrate:", notes),
            ("not compared:", not_compared),
        ] {
            if !lines.is_empty() {
                writeln!(f, "  {head}")?;
            }
            for line in lines {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

/// The warehouse as it is, and as it would be behind the files that were compared already.
#[derive(Default)]
struct Standing {
    missing_schemas: Vec<&'static str>,
    pending: Vec<(i32, &'static str)>,
    models: Vec<StoredModel>,
    numbers: BTreeMap<String, i16>,
    existing: BTreeMap<String, Existing>,
    made: MadeTables,
    grown: Vec<GrownColumn>,
    /// tables that only a model which was compared already would make
    not_yet: BTreeSet<String>,
    /// the views that the models which were compared already would make
    views: Foretold,
    /// whether a model which was compared already would make the schema of the business vault
    makes_business: bool,
}

/// Compares the warehouse with each model. Nothing is changed.
///
/// # Errors
/// When a model is invalid, or the warehouse cannot be read by this role.
pub async fn compare(
    client: &mut Client,
    files: &[ModelText],
) -> Result<Vec<Comparison>, MigrateError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(failed("a transaction"))?;
    let mut standing = Standing::read(&transaction).await?;
    let mut compared = Vec::with_capacity(files.len());
    for file in files {
        compared.push(compare_one(&transaction, &mut standing, file).await?);
    }
    Ok(compared)
}

impl Standing {
    async fn read(transaction: &Transaction<'_>) -> Result<Self, MigrateError> {
        let schemas: Vec<String> = transaction
            .query("SELECT nspname::text FROM pg_namespace", &[])
            .await
            .map_err(failed("reading its catalog"))?
            .iter()
            .map(|row| row.get(0))
            .collect();
        let missing = |schema: &&str| !schemas.iter().any(|existing| existing == schema);
        let pending = control::pending_migrations(transaction);
        let mut standing = Self {
            missing_schemas: [CONTROL_SCHEMA, VAULT_SCHEMA, MART_SCHEMA, CHECK_SCHEMA]
                .into_iter()
                .filter(missing)
                .collect(),
            pending: pending.await.map_err(failed("reading its control migrations"))?,
            existing: catalog::read(transaction).await.map_err(failed("reading its catalog"))?,
            ..Self::default()
        };
        if standing.is_readable() {
            standing.models =
                control::last_models(transaction).await.map_err(failed("the last models"))?;
            let numbers = control::source_numbers(transaction).await;
            standing.numbers = numbers.map_err(failed("reading its sources"))?;
            let made = control::made_tables(transaction).await;
            standing.made = made.map_err(failed("the tables it made"))?;
            let grown = control::read_grown(transaction).await;
            standing.grown = grown.map_err(failed("reading its grown columns"))?;
        }
        Ok(standing)
    }

    /// Whether the control schema has the tables that a comparison reads.
    fn is_readable(&self) -> bool {
        self.pending.iter().all(|(version, _)| *version > control::COMPARABLE_FROM)
    }

    /// Whether no migration ever ran here.
    fn is_new(&self) -> bool {
        self.pending.iter().any(|(version, _)| *version == 1)
    }

    /// What a migration reports about schemas.
    fn schema_steps(&self) -> Vec<String> {
        let schemas = self.missing_schemas.iter().map(|schema| format!("created schema {schema}"));
        let migrations = self
            .pending
            .iter()
            .map(|(version, name)| format!("applied control migration {version} ({name})"));
        schemas.chain(migrations).collect()
    }

    /// Another source may have the number of this one.
    fn number_conflict(&self, model: &Model) -> Option<String> {
        let source = &model.source;
        let is_theirs = |(name, number): &(&String, &i16)| {
            **number == source.system_id && **name != source.name
        };
        let (holder, _) = self.numbers.iter().find(is_theirs)?;
        Some(apply::number_is_taken(model, holder))
    }

    /// From here on the model counts as migrated.
    fn migrate(&mut self, plan: &Plan, file: &ModelText, tables: &[TableSpec]) {
        let source = &plan.model.source;
        self.missing_schemas.clear();
        self.pending.clear();
        self.models.retain(|model| model.source != source.name);
        self.models.push(StoredModel {
            source: source.name.clone(),
            file: Some(file.path.clone()),
            text: file.text.clone(),
            hash_version: i32::from(HASH_VERSION),
            hash: control::model_hash(&plan.model),
        });
        self.numbers.insert(source.name.clone(), source.system_id);
        for table in tables {
            let owner = (!table.is_shared()).then(|| source.name.clone());
            self.made.entry(table.name.clone()).or_insert(owner);
            if self.existing.insert(table.name.clone(), made_of(table)).is_none() {
                self.not_yet.insert(table.name.clone());
            }
        }
    }
}

async fn compare_one(
    transaction: &Transaction<'_>,
    standing: &mut Standing,
    file: &ModelText,
) -> Result<Comparison, MigrateError> {
    let plan = Plan::new(model::parse(&file.text)?);
    let source = plan.model.source.name.clone();
    let mut found = Comparison {
        source: source.clone(),
        file: file.path.clone(),
        steps: standing.schema_steps(),
        ..Comparison::default()
    };
    if !standing.is_readable() && !standing.is_new() {
        let why = "everything else, because the control schema is of an older build: run migrate, which brings it up to date";
        found.not_compared.push(why.to_owned());
        return Ok(found);
    }
    let (ours, others): (Vec<_>, Vec<_>) =
        standing.models.iter().cloned().partition(|stored| stored.source == source);
    found.with_last_model(transaction, ours.first(), &plan).await?;
    let (mut conflicts, others) = apply::judge_other_sources(&others, &plan, file);
    conflicts.extend(standing.number_conflict(&plan.model));
    if !conflicts.is_empty() {
        found.refuse(MigrateError::Conflicting(conflicts))?;
    }
    let grown = plan.grown(&standing.grown);
    let tables = ddl::tables(&grown);
    let mut dropped = HashSet::new();
    match difference(&source, &tables, &standing.existing, &standing.made) {
        Ok(steps) => {
            for step in steps {
                if let Some(table) = step.retyped {
                    found.with_retyped(transaction, standing, &table, &mut dropped).await?;
                }
                found.steps.push(step.told);
            }
        }
        Err(refused) => found.refuse(refused.into())?,
    }
    found.with_indexes(transaction, standing, &tables).await?;
    found.with_business(transaction, standing, &plan.model, &others).await?;
    found.with_views(transaction, standing, &views::all(&grown, &others), &dropped).await?;
    let hash = control::model_hash(&plan.model);
    if ours.first().is_none_or(|last| last.hash != hash) {
        found.steps.push(format!("stored the model ({}…)", hex::encode(&hash[..6])));
    }
    found.grown = unnamed(&plan, &standing.grown);
    found.notes.extend(tables.iter().flat_map(|table| further(table, &standing.existing)));
    if found.refusals.is_empty() {
        standing.migrate(&plan, file, &tables);
    } else {
        found.steps.clear();
    }
    Ok(found)
}

impl Comparison {
    /// Notes why a migration would refuse. What is no refusal is handed back.
    fn refuse(&mut self, refused: MigrateError) -> Result<(), MigrateError> {
        match refused {
            MigrateError::Model(_) | MigrateError::Sql { .. } => Err(refused),
            MigrateError::KeySecret(_)
            | MigrateError::Destructive(_)
            | MigrateError::Conflicting(_)
            | MigrateError::Incomplete(_) => {
                // The first line only says that a migration refuses.
                self.refusals.extend(refused.to_string().lines().skip(1).map(str::to_owned));
                Ok(())
            }
        }
    }

    /// Compares with the model that the vault was made from.
    async fn with_last_model(
        &mut self,
        transaction: &Transaction<'_>,
        last: Option<&StoredModel>,
        plan: &Plan,
    ) -> Result<(), MigrateError> {
        match apply::check_last_model(last, plan) {
            Ok(None) => Ok(()),
            Ok(Some(old)) => match apply::complete(transaction, &old, plan, false).await {
                Ok(_) => Ok(()),
                Err(refused) => self.refuse(refused),
            },
            Err(refused) => self.refuse(refused),
        }
    }

    /// A column of a table gets another type: the views of the table are dropped and made again.
    async fn with_retyped(
        &mut self,
        transaction: &Transaction<'_>,
        standing: &Standing,
        table: &str,
        dropped: &mut HashSet<(String, String)>,
    ) -> Result<(), MigrateError> {
        if standing.pending.iter().any(|(version, _)| *version <= MADE_VIEWS) {
            return Ok(()); // a warehouse without views of migrate
        }
        let upon = make_views::views_upon(transaction, table).await;
        let upon = upon.map_err(failed("reading its views"))?;
        if let Some(strange) = make_views::strangers(&upon) {
            return self.refuse(apply::is_used(table, &strange));
        }
        dropped.extend(upon.iter().map(Dependent::key));
        Ok(())
    }

    /// Indexes come behind the tables.
    async fn with_indexes(
        &mut self,
        transaction: &Transaction<'_>,
        standing: &Standing,
        tables: &[TableSpec],
    ) -> Result<(), MigrateError> {
        let exists = |name: &str| standing.existing.contains_key(name);
        // Only of tables that the warehouse has: the statements that make a table make its index, too.
        let here =
            |table: &&TableSpec| exists(&table.name) && !standing.not_yet.contains(&table.name);
        let here: Vec<TableSpec> = tables.iter().filter(here).cloned().collect();
        let indexes = indexes::missing(transaction, &here).await;
        let indexes = indexes.map_err(failed("reading its indexes"))?;
        self.steps.extend(indexes.into_iter().map(|(told, _)| told));
        Ok(())
    }

    /// The business vault comes behind indexes.
    async fn with_business(
        &mut self,
        transaction: &Transaction<'_>,
        standing: &mut Standing,
        model: &Model,
        others: &[Model],
    ) -> Result<(), MigrateError> {
        let made = &mut standing.makes_business;
        let foretold = business::foretell(transaction, model, others, made).await;
        match foretold.map_err(apply::not_made) {
            Ok(steps) => {
                self.steps.extend(steps);
                Ok(())
            }
            Err(refused) => self.refuse(refused),
        }
    }

    /// Views come behind indexes.
    async fn with_views(
        &mut self,
        transaction: &Transaction<'_>,
        standing: &mut Standing,
        wanted: &[ViewSpec],
        dropped: &HashSet<(String, String)>,
    ) -> Result<(), MigrateError> {
        let made = make_views::foretell(transaction, wanted, dropped, &mut standing.views).await;
        let made = made.map_err(failed("reading its views"))?;
        if made.conflicts.is_empty() {
            self.steps.extend(made.steps);
            Ok(())
        } else {
            self.refuse(MigrateError::Conflicting(made.conflicts))
        }
    }
}

/// The columns that the satellites of this model have grown and that the model does not name, each with what to do.
fn unnamed(plan: &Plan, grown: &[GrownColumn]) -> Vec<String> {
    let mut lines = Vec::new();
    for GrownColumn { topic, satellite, column, kind } in grown {
        let Some(id) = plan.tables.find_id(|table| table.topic == *topic) else { continue };
        let table = &plan.model.tables[id];
        if !table.columns.iter().any(|known| known.name == *column) {
            lines.push(format!(
                "{VAULT_SCHEMA}.{satellite}.{column}: add {column} = \"{kind}\" to the columns of the table {}, and the name to {satellite}",
                table.label
            ));
        }
    }
    lines
}

/// Columns of a vault table that neither the model nor the loader has made.
fn further(table: &TableSpec, existing: &BTreeMap<String, Existing>) -> Vec<String> {
    let Some(found) = existing.get(&table.name) else { return Vec::new() };
    let is_known = |name: &str| table.columns.iter().any(|column| column.name == name);
    let further = found.columns.iter().filter(|column| !column.not_null && !is_known(&column.name));
    further
        .map(|column| format!("{}.{} is a further column", table.qualified(), column.name))
        .collect()
}

/// A table as it is behind the statements that make it.
fn made_of(table: &TableSpec) -> Existing {
    let columns = table.columns.iter().map(|column| ExistingColumn {
        name: column.name.clone(),
        kind: column.kind.clone(),
        not_null: column.not_null,
    });
    Existing { columns: columns.collect(), primary_key: table.primary_key.clone() }
}

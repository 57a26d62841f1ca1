//! The command `vault-loader rehash`: what hash keys are made of changes, and all hash keys of the warehouse follow,
//! without the topics.
//!
//! In: the secret that hash keys are made with from now on, and the one before; either may be none. Out: how many rows
//! of which tables got, or would get, another hash key; or why nothing was changed.
//!
//! Everything happens in one transaction. A killed command, a lost connection or a full disk leave the warehouse as it
//! was, and who reads meanwhile sees the old keys.
//!
//! 1. Migrations wait, loaders of all sources are kept out, and nobody writes into the vault's tables.
//! 2. `keys.rs`: every row of every hub, then of every link, is read in portions. Its hash key is computed with the old
//!    secret and must be the one that stands there. The one with the new secret goes into a temporary table beside it.
//!    The secrets stay in this process.
//! 3. `rows.rs`: each key of each satellite must be in the table of its parent. Then the server replaces the keys.
//! 4. `waiting.rs`: the quarantine follows. An event whose key the vault does not know is hashed from its own key.
//! 5. Snapshots of point-in-time tables and bridges are removed. They follow from the vault, and the next build makes them
//!    anew.
//! 6. The fingerprint is the new secret's, and each source's model is stored again under a new number. A loader that
//!    runs on with the old secret is stopped by that number before it writes, and the star schema is built anew by it.
//!
//! An `UPDATE` is used and no second table, so that rights, views and indexes stay what they are, and so that a reader
//! with an older snapshot sees all old keys.

mod error;
mod keys;
mod rows;
mod vault;
mod waiting;

use std::fmt;

use tokio_postgres::{Client, IsolationLevel, Transaction};

use crate::config::Config;
use crate::control;
use crate::model::{self, Model, Plan};
use crate::vault::hash::{HASH_VERSION, Hash, fingerprint};
use crate::warehouse::WarehouseError;

pub use error::RehashError;

use keys::Keys;
use vault::{Secrets, Vault};

/// Settings of the transaction. Values are read in the text form in which the loader reads stored values. The temporary
/// tables are read in whole, so memory for joins is worth more than here and there an index. The server looks whether
/// this process is still there, because its statements may run for long.
const SETTINGS: &str = "
    SET LOCAL search_path = pg_catalog, pg_temp;
    SET LOCAL datestyle = 'ISO';
    SET LOCAL timezone = 'UTC';
    SET LOCAL bytea_output = 'hex';
    SET LOCAL extra_float_digits = 1;
    SET LOCAL jit = off;
    SET LOCAL work_mem = '64MB';
    SET LOCAL lock_timeout = 0;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL client_connection_check_interval = '5s';";

const NOT_SET: &str = "key_secret is not set: set VAULT_LOADER__KEY_SECRET to the secret that the hash keys get, or \
                       give --remove-secret";
const SET: &str = "key_secret is set, and --remove-secret was given: unset VAULT_LOADER__KEY_SECRET, and set \
                   VAULT_LOADER__KEY_SECRET_BEFORE to the secret until now";

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Change what has to be changed.
    Apply,
    /// Do everything that can fail because of what stands in the warehouse, and change nothing.
    DryRun,
}

/// What the hash keys are to be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The secret that is set.
    Secret,
    /// None. That has to be said, because a variable that somebody forgot looks the same.
    NoSecret,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// what the hash keys are to be made with
    pub target: Target,
    /// whether anything is changed
    pub mode: Mode,
    /// hubs whose values were erased by hand, so that the old keys are no longer those of the values
    pub erased: &'a [String],
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The hash keys are made with the new secret already.
    AlreadyDone,
    /// Rows with another hash key, by table.
    Rehashed {
        /// whether the tables have the new keys now
        mode: Mode,
        /// tables with their schema, and how many of their rows
        tables: Vec<(String, u64)>,
        /// events in the quarantine, or dropped from it, whose hash key is no longer known
        forgotten: u64,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mode, tables, forgotten) = match self {
            Self::AlreadyDone => {
                return writeln!(
                    f,
                    "nothing to do: the hash keys are made with this secret already"
                );
            }
            Self::Rehashed { mode, tables, forgotten } => (mode, tables, forgotten),
        };
        for (table, rows) in tables {
            writeln!(f, "{table}: {rows} rows")?;
        }
        let rows: u64 = tables.iter().map(|(_, rows)| rows).sum();
        let have = match mode {
            Mode::Apply => "have new hash keys",
            Mode::DryRun => "would get new hash keys; nothing was changed",
        };
        writeln!(f, "{rows} rows of {} tables {have}", tables.len())?;
        if *forgotten > 0 {
            writeln!(
                f,
                "note: {forgotten} events that were dropped, or whose content was removed, no longer say to which row they belong"
            )?;
        }
        Ok(())
    }
}

/// Gives the warehouse hash keys that are made with `key_secret` of the configuration instead of `key_secret_before`.
///
/// # Errors
/// When a secret is not the right one, the warehouse holds a hash key that the old secret does not give, or the
/// warehouse does not answer. Then nothing was changed.
pub async fn rehash(config: &Config, wanted: Wanted<'_>) -> Result<Outcome, RehashError> {
    let Wanted { target, mode, .. } = wanted;
    let is_set = config.key_secret.is_some();
    match target {
        Target::Secret if !is_set => return Err(RehashError::Secret(NOT_SET)),
        Target::NoSecret if is_set => return Err(RehashError::Secret(SET)),
        Target::Secret | Target::NoSecret => {}
    }
    let mut client =
        shared::postgres::connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    let secrets =
        Secrets { before: config.key_secret_before.clone(), after: config.key_secret.clone() };
    if !is_migrated(&client).await? {
        return Err(RehashError::NoModel);
    }
    // A trial waits for nobody and keeps nobody waiting, so it needs one state of everything.
    let isolation = match mode {
        Mode::Apply => IsolationLevel::ReadCommitted,
        Mode::DryRun => IsolationLevel::RepeatableRead,
    };
    let transaction = client.build_transaction().isolation_level(isolation).start().await?;
    let outcome = rehash_in(&transaction, &secrets, wanted).await?;
    match (mode, &outcome) {
        (Mode::Apply, Outcome::Rehashed { .. }) => transaction.commit().await?,
        _ => transaction.rollback().await?,
    }
    Ok(outcome)
}

async fn is_migrated(client: &Client) -> Result<bool, RehashError> {
    let sql = "SELECT to_regclass('dwh_control.warehouse') IS NOT NULL";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

async fn rehash_in(
    transaction: &Transaction<'_>,
    secrets: &Secrets,
    wanted: Wanted<'_>,
) -> Result<Outcome, RehashError> {
    let mode = wanted.mode;
    transaction.batch_execute(SETTINGS).await?;
    if mode == Mode::Apply {
        control::lock_migrations(transaction).await?;
        control::keep_builders_out(transaction).await?;
    }
    if !control::pending_migrations(transaction).await?.is_empty() {
        return Err(RehashError::NotMigrated);
    }
    let prints = [&secrets.before, &secrets.after].map(|secret| secret.as_ref().map(fingerprint));
    let [before, after] = prints.each_ref().map(|print| print.as_ref().map(Hash::as_slice));
    if control::key_secret_problem(transaction, after).await?.is_none() {
        return Ok(Outcome::AlreadyDone);
    }
    if control::key_secret_problem(transaction, before).await?.is_some() {
        return Err(RehashError::Secret(not_the_secret_before(secrets)));
    }
    let plans = plans(transaction).await?;
    if let Some(name) = plans.iter().find_map(|plan| carried_key(&plan.model)) {
        return Err(RehashError::Carried(name.to_owned()));
    }
    let vault = Vault::new(&plans);
    if let Some(name) = wanted.erased.iter().find(|name| !vault.has_hub(name)) {
        return Err(RehashError::NoHub(name.clone()));
    }
    if mode == Mode::Apply {
        for plan in &plans {
            control::keep_loaders_out(transaction, &plan.model.source.name).await?;
        }
        rows::keep_writers_out(transaction, &vault).await?;
    }
    let mut strange = rows::tables_of_nobody(transaction, &vault).await?;
    let mut keys = Keys::new(transaction, &vault, secrets, wanted.erased);
    keys.stage().await?;
    strange.append(&mut keys.strange);
    let counts = rows::check(transaction, &vault, &mut strange).await?;
    let waiting = waiting::read(transaction, &vault, &plans, secrets, &mut strange).await?;
    if !strange.is_empty() {
        return Err(RehashError::Strange(strange));
    }
    let tables = [keys.counts, counts].concat();
    let forgotten = waiting.forgotten();
    if mode == Mode::Apply {
        rows::replace(transaction, &vault, &tables).await?;
        waiting.replace(transaction).await?;
        control::note_key_secret(transaction, after).await?;
        control::store_models_again(transaction).await?;
        let snapshots = rows::remove_snapshots(transaction).await?;
        if snapshots > 0 {
            tracing::info!(
                snapshots,
                "snapshots with the old keys removed: `vault-loader snapshots build` makes them anew"
            );
        }
    }
    let schema = model::VAULT_SCHEMA;
    let tables = tables.into_iter().map(|(name, rows)| (format!("{schema}.{name}"), rows));
    Ok(Outcome::Rehashed { mode, tables: tables.collect(), forgotten })
}

/// The name of a hub or link whose keys stand in satellites alone, if there is one.
fn carried_key(model: &Model) -> Option<&str> {
    let references = model.hubs.iter().filter(|hub| hub.is_carried).map(|hub| hub.name.as_str());
    let links = model.links.iter().filter(|link| link.is_carried()).map(|link| link.name.as_str());
    references.chain(links).next()
}

fn not_the_secret_before(secrets: &Secrets) -> &'static str {
    if secrets.before.is_some() {
        "key_secret_before is not the secret that the hash keys of this warehouse are made with: set \
         VAULT_LOADER__KEY_SECRET_BEFORE to that one, or unset it when they are made without a secret"
    } else {
        "the hash keys of this warehouse are made with another secret, and key_secret_before is not set: set \
         VAULT_LOADER__KEY_SECRET_BEFORE to that secret"
    }
}

/// The models of all sources, as the warehouse was migrated to them last.
async fn plans(transaction: &Transaction<'_>) -> Result<Vec<Plan>, RehashError> {
    let stored = control::last_models(transaction).await?;
    if stored.is_empty() {
        return Err(RehashError::NoModel);
    }
    let plan = |stored: control::StoredModel| {
        if stored.hash_version != i32::from(HASH_VERSION) {
            return Err(RehashError::Version(stored.source, stored.hash_version));
        }
        let parsed = model::parse(&stored.text);
        parsed.map(Plan::new).map_err(|error| RehashError::Model(stored.source, error))
    };
    stored.into_iter().map(plan).collect()
}

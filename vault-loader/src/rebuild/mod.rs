//! `vault-loader rebuild`: loads the vault anew from the topics, beside the live one, and puts it in its place.
//!
//! In: the warehouse, Kafka, and the models that the warehouse was migrated to. Out: a vault that is what the topics
//! say, under the same names, with the same rights, while loaders run. Or the reason why the live vault stays as it is.
//!
//! 1. `preflight`: whether everything that was loaded is still in the topics, and whether whatever hangs on the vault's
//!    tables can hang on others.
//! 2. `fresh`: empty tables in schemas of their own, as the catalog describes the live ones.
//! 3. `writers`: the topics are read without the group, in parallel over partitions, up to where the live vault is.
//!    While that goes on, loaders go on. So there are several rounds, each shorter than the one before.
//! 4. The loads are kept for a moment by a lock on the offsets. The writers load the rest, which takes a few seconds at
//!    most, and then both vaults are at the same offsets. Loaders wait for the lock.
//! 5. `swap`, in the transaction that has the lock. With `--keep` the two vaults are compared instead.
//!
//! A loader that goes on afterwards finds another parking version at its partitions. It forgets what it remembers of
//! the vault, as after a retry, and repeats its batch. Its prepared statements are made anew by the server.
//!
//! Until the commit the live vault is not touched, so a rebuild that is killed leaves nothing but schemas that the next
//! one takes away.

mod copies;
mod dependents;
mod edited;
mod error;
mod fresh;
mod preflight;
mod progress;
mod swap;
mod vault;
mod writers;

use std::time::{Duration, Instant};

use clap::Args;
use shared::postgres::connect;
use tokio_postgres::{Client, Transaction};
use tokio_util::sync::CancellationToken;

use crate::checksum::compare_schemas;
use crate::config::{Config, WRITERS_MAX};
use crate::consume::asking_client;
use crate::control;
use crate::model::Schemas;
use crate::warehouse::WarehouseError;

pub use error::RebuildError;

use progress::{Progress, per_second, words};
use vault::Vault;
use writers::Crew;

/// What is wanted.
#[derive(Debug, Clone, Args)]
pub struct RebuildArguments {
    /// How many writers load at a time, each with partitions of its own
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=i64::from(WRITERS_MAX)))]
    writers: u16,
    /// Check whether the vault can be rebuilt, say what there is to do, and change nothing
    #[arg(long, conflicts_with_all = ["keep", "discard"])]
    dry_run: bool,
    /// Leave the live vault as it is and the rebuilt one beside it, in the schema dwh_rebuild, and compare their
    /// checksums. Ends with exit code 1 when a table differs
    #[arg(long, conflicts_with = "discard")]
    keep: bool,
    /// Rows of hubs whose values somebody has replaced get the values of the topics again. Without it the vault is not
    /// rebuilt when there is such a row, because it may be that of a person who was erased
    #[arg(long, conflicts_with_all = ["keep", "discard"])]
    restore_edited: bool,
    /// Take away what --keep, or a rebuild that was killed, has left, and end
    #[arg(long)]
    discard: bool,
}

/// Settings of the session that keeps the loads. Nothing of it may end because it waits for the writers.
const SETTINGS: &str = "
    SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0;
    SET jit = off;";

/// How long the locks of a session that was killed are waited for.
const LOCKS_WAIT: Duration = Duration::from_secs(15);

/// A round of so few events is the last one before the loads are kept.
const NEAR: u64 = 2_000;

/// So is a round that took no longer.
const NEAR_TIME: Duration = Duration::from_secs(2);

/// After so many rounds the loads are kept, however many events there are.
const ROUNDS_MAX: u32 = 12;

/// How long the writers may take while the loads are kept: at first, and at most. A loader's wait for a lock ends after
/// 10 s, and it tries again.
const KEPT: Duration = Duration::from_secs(8);
const KEPT_MAX: Duration = Duration::from_secs(60);

/// How often the vault is tried to be put in place.
const TRIES_MAX: u32 = 15;

/// The pause between two tries. Readers and loaders go on meanwhile.
const PAUSE: Duration = Duration::from_secs(2);

/// Rebuilds the vault.
///
/// # Errors
/// When the vault cannot be rebuilt, a table differs, or a server does not answer. Then the live vault is as it was.
pub async fn run(
    arguments: &RebuildArguments,
    config: &Config,
    stop: &CancellationToken,
) -> Result<(), RebuildError> {
    let mut client = connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    client.batch_execute(SETTINGS).await?;
    take_locks(&client).await?;
    if arguments.discard {
        match fresh::remove(&client).await?.as_slice() {
            [] => println!("nothing to discard"),
            removed => println!("discarded {}", removed.join(", ")),
        }
        return Ok(());
    }
    let vault = Vault::read(&mut client, config).await?;
    let found = preflight::check(&mut client, config, &vault).await?;
    println!(
        "{} tables of {} sources, {} MiB with their indexes, are made anew from {} records; {} views read them",
        vault.tables.len(),
        vault.plans.len(),
        found.bytes / (1 << 20) + 1,
        found.events,
        found.views,
    );
    if arguments.dry_run {
        println!("nothing was changed");
        return Ok(());
    }
    fresh::remove(&client).await?;
    let outcome = rebuild(&mut client, arguments, config, vault, stop).await;
    if matches!(&outcome, Err(error) if !matches!(error, RebuildError::Differs(_)))
        && let Err(error) = fresh::remove(&client).await
    {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "what was rebuilt is left behind: `vault-loader rebuild --discard` takes it away"
        );
    }
    outcome
}

/// Takes the locks that a rebuild has until its session ends.
async fn take_locks(client: &Client) -> Result<(), RebuildError> {
    let begun = Instant::now();
    for (key, holder) in control::REBUILD_LOCKS {
        while !control::try_session_lock(client, key).await? {
            if begun.elapsed() >= LOCKS_WAIT {
                return Err(RebuildError::Busy(format!("{holder} is at work: wait for its end")));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

async fn rebuild(
    client: &mut Client,
    arguments: &RebuildArguments,
    config: &Config,
    vault: Vault,
    stop: &CancellationToken,
) -> Result<(), RebuildError> {
    let begun = Instant::now();
    fresh::make(client, &vault.plans, &vault.tables).await?;
    let side = connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    side.batch_execute(SETTINGS).await?;
    let kafka = asking_client(config).await?;
    let crew = Crew { config, kafka, writers: arguments.writers };
    let mut rebuild = Rebuild { vault, crew, side, stop: stop.clone(), rounds: 0, events: 0 };
    rebuild.catch_up().await?;
    fresh::analyze(&rebuild.side, &rebuild.vault.tables).await?;
    rebuild.catch_up().await?;
    if !arguments.keep && !arguments.restore_edited {
        let edited = edited::hubs(&rebuild.side, &rebuild.vault.plans).await?;
        if !edited.is_empty() {
            return Err(RebuildError::Refused(edited));
        }
    }
    let kept = rebuild.finish(client, arguments.keep).await?;
    let took = words(begun.elapsed());
    if arguments.keep {
        let differing = rebuild.compare().await?;
        println!(
            "{} events loaded in {took}. The rebuilt vault is in {}, and the live one is as it was; \
             `vault-loader rebuild --discard` takes the rebuilt one away",
            rebuild.events,
            Schemas::REBUILT.vault
        );
        return if differing == 0 { Ok(()) } else { Err(RebuildError::Differs(differing)) };
    }
    println!(
        "{} events loaded in {took}. The rebuilt vault has taken the place of the live one; loaders waited for {} ms",
        rebuild.events,
        kept.as_millis()
    );
    Ok(())
}

/// A rebuild that is under way.
struct Rebuild<'c> {
    vault: Vault,
    crew: Crew<'c>,
    /// the session beside the one that keeps the loads
    side: Client,
    stop: CancellationToken,
    rounds: u32,
    events: u64,
}

impl Rebuild<'_> {
    /// Loads until the live vault is near.
    async fn catch_up(&mut self) -> Result<(), RebuildError> {
        for _ in 0..ROUNDS_MAX {
            let begun = Instant::now();
            let events = self.round(&self.stop.clone()).await?;
            if events <= NEAR || begun.elapsed() <= NEAR_TIME {
                return Ok(());
            }
        }
        tracing::warn!(
            "the loaders load about as fast as this command, so they have to wait for it for longer"
        );
        Ok(())
    }

    /// Loads up to where the live vault is now. Returns how many events that was.
    async fn round(&mut self, stop: &CancellationToken) -> Result<u64, RebuildError> {
        let (vault, side) = (&self.vault, &self.side);
        let live = control::loaded_partitions(side, Schemas::LIVE, &vault.topics).await?;
        // What satellites have grown was stored before any event with a new column was loaded. The tables are asked
        // last, so that they have every column that was stored.
        let grown = control::read_grown(side).await?;
        fresh::follow(side, &vault.tables).await?;
        control::begin_partitions(side, Schemas::REBUILT, &vault.beginnings(&live)).await?;
        let rebuilt = control::rebuilt_offsets(side, Schemas::REBUILT).await?;
        let sources: Vec<&str> = vault.record_sources.iter().map(String::as_str).collect();
        let epochs = control::read_epochs(side, &sources).await?;
        let work = vault.work(&live, &rebuilt, &grown, epochs);
        let total = work.iter().map(writers::Work::event_count).sum();
        self.rounds += 1;
        let (progress, begun) = (Progress::default(), Instant::now());
        let loaded = tokio::select! {
            loaded = self.crew.load(&work, &progress, stop) => loaded,
            () = progress.tell(self.rounds, total) => Ok(()),
        };
        self.events += progress.loaded();
        loaded?;
        let took = begun.elapsed();
        if total > 0 {
            let rate = per_second(progress.loaded(), took);
            let (round, took) = (self.rounds, words(took));
            eprintln!("round {round}: {} events in {took}, {rate} events/s", progress.loaded());
        }
        Ok(total)
    }

    /// Brings both vaults to the same offsets while the loads are kept, and puts the rebuilt one in place unless it is
    /// to be kept beside. Returns how long the loads were kept.
    async fn finish(&mut self, client: &mut Client, keep: bool) -> Result<Duration, RebuildError> {
        let mut may_take = KEPT;
        for number in 1.. {
            let begun = Instant::now();
            let outcome = self.attempt(client, keep, may_take).await;
            match outcome {
                Ok(true) => return Ok(begun.elapsed()),
                Ok(false) => tracing::warn!(
                    number,
                    "the rest took too long to load, the loaders go on, trying again"
                ),
                Err(error) if error.is_locked() => tracing::warn!(
                    number,
                    error = &error as &dyn std::error::Error,
                    "somebody has a lock on what is to be replaced, trying again"
                ),
                Err(error) => return Err(error),
            }
            if number >= TRIES_MAX {
                return Err(RebuildError::Busy(
                    "the tables of the vault were in use all the time: end the sessions that read them for long, and run the command \
                     again"
                        .to_owned(),
                ));
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(RebuildError::Stopped),
                () = tokio::time::sleep(PAUSE) => {}
            }
            self.catch_up().await?;
            may_take = (may_take * 2).min(KEPT_MAX);
        }
        Ok(Duration::ZERO) // never reached: the loop ends by an outcome or by too many tries
    }

    /// One try; `false` when the rest took too long.
    async fn attempt(
        &mut self,
        client: &mut Client,
        keep: bool,
        may_take: Duration,
    ) -> Result<bool, RebuildError> {
        let transaction = client.transaction().await?;
        transaction.batch_execute("SET LOCAL lock_timeout = '5s'").await?;
        if !keep {
            control::keep_builders_out(&transaction).await?;
        }
        control::keep_loads(&transaction).await?;
        if self.vault.is_decided_anew(&self.side).await? {
            return Err(RebuildError::Busy(
                "an operator has dropped an event, accepted a gap, or changed an epoch meanwhile: run the command again"
                    .to_owned(),
            ));
        }
        if !self.load_rest(may_take).await? {
            return Ok(false);
        }
        if keep {
            self.side.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            self.side.query("SELECT FROM dwh_control.warehouse", &[]).await?; // from here on it sees this moment
            transaction.rollback().await?;
        } else {
            self.put_in_place(transaction).await?;
        }
        Ok(true)
    }

    /// Loads what is left; `false` when that took too long.
    async fn load_rest(&mut self, may_take: Duration) -> Result<bool, RebuildError> {
        let ending = self.stop.child_token();
        let alarm = ending.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(may_take).await;
            alarm.cancel();
        });
        let loaded = self.round(&ending).await;
        timer.abort();
        match loaded {
            Err(RebuildError::Stopped) if !self.stop.is_cancelled() => return Ok(false),
            loaded => loaded?,
        };
        let live =
            control::loaded_partitions(&self.side, Schemas::LIVE, &self.vault.topics).await?;
        let rebuilt = control::rebuilt_offsets(&self.side, Schemas::REBUILT).await?;
        Ok(self.vault.is_complete(&live, &rebuilt))
    }

    async fn put_in_place(&self, transaction: Transaction<'_>) -> Result<(), RebuildError> {
        swap::swap(&transaction, &self.vault).await?;
        if self.stop.is_cancelled() {
            return Err(RebuildError::Stopped);
        }
        Ok(transaction.commit().await?)
    }

    /// Compares the two vaults as they were when the loads were kept. Returns how many tables differ.
    async fn compare(&self) -> Result<usize, RebuildError> {
        let compared = compare_schemas(&self.side, Schemas::REBUILT.vault).await?;
        self.side.batch_execute("COMMIT").await?;
        let width = compared.iter().map(|table| table.table.len()).max().unwrap_or_default();
        for table in &compared {
            let verdict = match (table.is_equal, table.rows == table.other_rows) {
                (true, _) => "equal".to_owned(),
                (false, true) => "as many rows, other content".to_owned(),
                (false, false) => format!("{} rows rebuilt", table.other_rows),
            };
            println!("{:width$}  {:>12}  {verdict}", table.table, table.rows);
        }
        Ok(compared.iter().filter(|table| !table.is_equal).count())
    }
}

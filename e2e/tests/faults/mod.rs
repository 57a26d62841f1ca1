//! Loaders of one group under random faults: no row twice, none missing, no deadlock left.
//!
//! In: a seed and a number of faults. Out: each fault as it comes, and at the end the project's own proofs: every state
//! of every key against the workload's own log, `check`, `verify` on the live source, and `checksum` against a vault
//! that one loader builds from the same topics without any fault.
//!
//! The work at the source never stops meanwhile. One table, whose topic has one partition, is truncated now and then;
//! all others have several partitions, where an event has no place relative to a truncate. After so many faults the
//! group has to load what Kafka had at that moment, so a partition that nobody reads is noticed soon.
//!
//! `VAULTSTREAM_TEST_FAULTS` is the number of faults (`make test-faults` says 200), `VAULTSTREAM_TEST_SEED` the seed.
//! The same seed gives the same list of faults; what they meet depends on the machine.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod drawn;
mod group;
pub(crate) mod proofs;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use devstack::{Kafka, KafkaOptions, Postgres, PostgresOptions, shared};
use e2e::rig::{Rig, RigOptions, loaded_offsets};
use e2e::sql;
use e2e::workload::{Options, Workload, loosen};

use crate::workload::seed;
use drawn::{Drawn, Fault};
use group::Group;
use watch::Watch;

/// The table that is truncated.
const TRUNCATED: &str = "boarding_passes";

/// Partitions of every other table's topic.
const PARTITIONS: u32 = 3;

/// One round of work, after which the source rests for a moment, so that the loaders can keep pace.
const ROUND: Options = Options { seed: 0, workers: 4, transactions: 6, truncates: true };
const REST: Duration = Duration::from_millis(400);

/// So many rounds work on the same keys: later ones bring rows of hubs and links that no loader has seen.
const ROUNDS_OF_KEYS: u32 = 5;
const KEYS_OF_ROUNDS: u32 = 10;

/// After so many faults the group has to catch up.
const CATCH_UP_EVERY: usize = 25;

/// How long that may take: some session time-outs, and a pile of events on a slow machine.
const CATCH_UP_MAX: Duration = Duration::from_secs(180);

/// How soon a process is started again, or goes on, after its time has come.
const TICK: Duration = Duration::from_millis(20);

/// The servers of a run. The source is one of those that all tests share: nothing happens to it.
struct Servers {
    kafka: Kafka,
    warehouse: Postgres,
}

impl Servers {
    fn start() -> anyhow::Result<Self> {
        let warehouse = PostgresOptions::new(15).name("the warehouse of the faults").fsync(false);
        Ok(Self {
            kafka: Kafka::start(KafkaOptions::default())?,
            warehouse: Postgres::start(warehouse)?,
        })
    }

    fn rig(&self, name: &str) -> anyhow::Result<Rig> {
        let stack = shared::stack();
        let unique = format!("{name}_{}", std::process::id());
        Rig::create(RigOptions {
            dir: stack.dir.join("e2e").join(&unique),
            name: unique,
            source: stack.postgres15.clone(),
            warehouse: self.warehouse.address().clone(),
            bootstrap: self.kafka.bootstrap(),
            partitions: PARTITIONS,
        })
    }
}

/// The work at the source, in a task of its own.
pub(crate) struct Work {
    workload: Arc<Workload>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Work {
    /// Work before the snapshot, of which the snapshot sees the outcome.
    pub(crate) async fn prepare(rig: &Rig, seed: u64) -> anyhow::Result<Arc<Workload>> {
        let source = sql::connect(&rig.source()).await?;
        loosen(&source).await?;
        let full =
            "ALTER TABLE airports REPLICA IDENTITY FULL; ALTER TABLE tickets REPLICA IDENTITY FULL";
        source.batch_execute(full).await?;
        rig.make_topic_with(TRUNCATED, 1).await?;
        let workload = Workload::truncating_only(TRUNCATED);
        workload.run(&rig.source(), Options { seed, ..ROUND }).await?;
        workload.forget_past().await;
        Ok(Arc::new(workload))
    }

    pub(crate) fn start(rig: &Rig, workload: Arc<Workload>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (source, ours, stopped) = (rig.source(), Arc::clone(&workload), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut round = 1;
            while !stopped.load(Ordering::Relaxed) {
                let options = Options { seed: seed + u64::from(round), ..ROUND };
                let first_key = round / ROUNDS_OF_KEYS * KEYS_OF_ROUNDS;
                ours.run_on(&source, options, first_key).await?;
                tokio::time::sleep(REST).await;
                round += 1;
            }
            Ok(())
        });
        Self { workload, stop, task }
    }

    pub(crate) async fn end(self) -> anyhow::Result<Arc<Workload>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.context("the work at the source panicked")??;
        Ok(self.workload)
    }
}

/// A run under faults.
struct Run<'r> {
    rig: &'r Rig,
    servers: &'r mut Servers,
    group: Group<'r>,
    watch: Watch,
}

impl Run<'_> {
    /// Lets time pass, and looks after everything meanwhile.
    async fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            self.group.tick()?;
            self.watch.seen()?;
            if begun.elapsed() >= time {
                return Ok(());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn disturb(&mut self, faults: &[Drawn]) -> anyhow::Result<()> {
        for (number, drawn) in faults.iter().enumerate() {
            self.pass(drawn.after).await?;
            println!("fault {number} {drawn}");
            let happened = self.happen(drawn.fault).await;
            happened.with_context(|| format!("fault {number}, {drawn}"))?;
            if number % CATCH_UP_EVERY == CATCH_UP_EVERY - 1 {
                let took =
                    self.catch_up().await.with_context(|| format!("behind fault {number}"))?;
                println!("caught up within {took:.1?}");
            }
        }
        Ok(())
    }

    async fn happen(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill { loader, away } => self.group.kill(loader, away),
            Fault::KillAll { away } => self.group.kill_all(away),
            Fault::End { loader, away } => self.group.end(loader, away),
            Fault::Pause { loader, away } | Fault::PauseLong { loader, away } => {
                self.group.pause(loader, away);
            }
            Fault::KillReader { away } => self.group.kill_reader(away),
            Fault::EndSession { which } => self.end_sessions(Some(which)).await?,
            Fault::EndSessions => self.end_sessions(None).await?,
            Fault::RestartBroker { in_order: true } => self.servers.kafka.restart()?,
            Fault::RestartBroker { in_order: false } => {
                self.servers.kafka.kill9();
                self.servers.kafka.start_again()?;
            }
            Fault::RestartWarehouse { mode } => self.servers.warehouse.restart(mode)?,
        }
        Ok(())
    }

    /// Lets the server end sessions of loaders: one of those in a transaction if there are any, or all.
    async fn end_sessions(&self, which: Option<usize>) -> anyhow::Result<()> {
        let warehouse = sql::connect(&self.rig.warehouse(self.rig.name())).await?;
        let sessions = "SELECT pid FROM pg_catalog.pg_stat_activity
                        WHERE usename = 'vault_loader' AND datname = current_database() AND pid <> pg_backend_pid()
                        ORDER BY (xact_start IS NULL), pid";
        let pids: Vec<String> =
            sql::rows(&warehouse, sessions).await?.into_iter().flatten().flatten().collect();
        let chosen = match which {
            Some(which) if !pids.is_empty() => vec![pids[which % pids.len().min(3)].clone()],
            Some(_) => Vec::new(),
            None => pids,
        };
        for pid in chosen {
            sql::one(&warehouse, &format!("SELECT pg_terminate_backend({pid})")).await?;
        }
        Ok(())
    }

    /// Waits until all processes run and everything is loaded that Kafka has now.
    async fn catch_up(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut wanted = None;
        let mut last = String::new();
        while begun.elapsed() < CATCH_UP_MAX {
            self.pass(TICK * 10).await?;
            if !self.group.is_whole() {
                continue;
            }
            match self.behind(&mut wanted).await {
                Ok(None) => return Ok(begun.elapsed()),
                Ok(Some(behind)) => last = behind,
                Err(error) => last = format!("{error:#}"), // a server comes back
            }
        }
        anyhow::bail!("the group did not catch up within {CATCH_UP_MAX:?}: {last}")
    }

    /// A partition that is not loaded up to where it is wanted.
    async fn behind(
        &self,
        wanted: &mut Option<BTreeMap<(String, i32), i64>>,
    ) -> anyhow::Result<Option<String>> {
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => wanted.insert(self.rig.high_watermarks()?),
        };
        let warehouse = sql::connect(&self.rig.warehouse(self.rig.name())).await?;
        let loaded = loaded_offsets(&warehouse).await?;
        let at = |place| loaded.get(place).copied().unwrap_or(0);
        let behind = wanted.iter().find(|&(place, &end)| at(place) < end);
        Ok(behind.map(|(place, end)| format!("{place:?} is at {} of {end}", at(place))))
    }
}

/// Starts everything, disturbs it, and proves that nothing came of it.
async fn run(name: &str, loaders: usize, seed: u64, faults: &[Drawn]) -> anyhow::Result<String> {
    let mut servers = Servers::start()?;
    let rig = servers.rig(name)?;
    let workload = Work::prepare(&rig, seed).await?;
    let watch = Watch::start(rig.warehouse(rig.name()));
    let group = Group::new(&rig, loaders, seed);
    let mut run = Run { rig: &rig, servers: &mut servers, group, watch };
    run.pass(Duration::ZERO).await?;
    rig.wait_until_streaming(run.group.reader()?)?;
    let work = Work::start(&rig, workload, seed);
    let begun = Instant::now();
    let mut outcome = run.disturb(faults).await;
    if outcome.is_ok() {
        outcome = run.catch_up().await.map(drop);
    }
    let disturbed = begun.elapsed();
    if outcome.is_ok() {
        outcome = run.watch.seen().and_then(|seen| seen.proves_rules(disturbed));
    }
    let proven = match outcome {
        Ok(()) => proofs::prove(&mut run, work).await,
        Err(error) => Err(error),
    };
    let figures = match proven {
        Ok(figures) => figures,
        Err(error) => {
            let told = watch::dump(&rig.warehouse(rig.name())).await;
            anyhow::bail!("{error:#}\n{told}{}", run.group.last_lines());
        }
    };
    Ok(format!("{disturbed:.0?} of faults, {figures}"))
}

/// The number of faults, unless it is set.
fn fault_count(otherwise: usize) -> usize {
    match std::env::var("VAULTSTREAM_TEST_FAULTS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("VAULTSTREAM_TEST_FAULTS is {text}")),
        Err(_) => otherwise,
    }
}

async fn loaders_under_faults(name: &str, loaders: usize, count: usize) {
    let (seed, count) = (seed(), fault_count(count));
    let faults = drawn::draw(seed, count, loaders);
    let counts = drawn::counts(&faults);
    println!("{} faults for {loaders} loaders: {counts:?}", faults.len());
    match run(name, loaders, seed, &faults).await {
        Ok(figures) => println!("seed {seed}, {loaders} loaders, {counts:?}: {figures}"),
        Err(error) => {
            let list: Vec<String> = faults.iter().map(Drawn::to_string).collect();
            panic!(
                "{error:#}\nrun again with VAULTSTREAM_TEST_SEED={seed} VAULTSTREAM_TEST_FAULTS={count}; the faults are\n{}",
                list.join("\n")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_loaders_that_are_killed_ended_and_stopped_lose_and_repeat_nothing() {
    loaders_under_faults("faults2", 2, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_loaders_that_are_killed_ended_and_stopped_lose_and_repeat_nothing() {
    loaders_under_faults("faults4", 4, 12).await;
}

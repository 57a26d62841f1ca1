//! A pipeline under load on three brokers: the cluster, a reader, two loaders, and who looks at them.
//!
//! In: what happens to the brokers. Out: figures of what reader and loaders did meanwhile, and proofs that nothing came
//! of it. Invariant: reader and loaders are started once and end when they are asked to: one that ends by itself is an
//! error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use devstack::topics::Topics;
use devstack::{KafkaCluster, KafkaClusterOptions, Process, free_port, shared, try_wait_for_async};
use e2e::oracle::{self, Repeats};
use e2e::rig::{
    self, Access, LOADER, Member, OPERATOR, READER, REBUILDER, Rig, RigOptions, loaded_offsets,
};
use e2e::sql;
use e2e::workload::Workload;
use serde_json::Value;

use super::health::{Health, Told};
use crate::faults::Work;
use crate::faults::proofs::{difference, rebuild, succeeded};
use crate::faults::watch::Watch;

/// Partitions of each topic.
const PARTITIONS: u32 = 6;

/// How long the pipeline may take until it has loaded so much more, or everything that there was.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long a program may take to end in order.
const END_MAX: Duration = Duration::from_secs(45);

const PASSWORD: &str = "brokers_password";

/// Everything that runs.
pub(crate) struct Scene {
    pub(crate) cluster: KafkaCluster,
    pub(crate) rig: Rig,
    programs: Vec<(String, Process)>,
    pub(crate) health: Health,
    watch: Watch,
    work: Work,
    begun: Instant,
}

fn cluster() -> anyhow::Result<KafkaCluster> {
    let users = [READER, LOADER, REBUILDER, OPERATOR];
    let options = users
        .iter()
        .fold(KafkaClusterOptions::default(), |options, user| options.user(user, PASSWORD));
    KafkaCluster::start(options)
}

fn rig_on(cluster: &KafkaCluster, name: &str) -> anyhow::Result<Rig> {
    let stack = shared::stack();
    let unique = format!("{name}_{}", std::process::id());
    rig::allow(cluster, &unique)?;
    let options = RigOptions {
        dir: stack.dir.join("e2e").join(&unique),
        name: unique,
        source: stack.postgres15.clone(),
        warehouse: stack.warehouse.clone(),
        bootstrap: cluster.bootstrap(),
        partitions: PARTITIONS,
    };
    Rig::create_with(options, Access::of(cluster)?)
}

impl Scene {
    /// Starts everything, and waits until the reader streams and both loaders load.
    pub(crate) async fn start(name: &str, seed: u64) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let cluster = cluster()?;
        println!("three brokers answer after {:.1?}", begun.elapsed());
        let rig = rig_on(&cluster, name)?;
        let workload: Arc<Workload> = Work::prepare(&rig, seed).await?;
        let listen = || free_port().map(|port| format!("127.0.0.1:{port}"));
        let mut addresses = vec![("reader".to_owned(), listen()?)];
        let mut programs = vec![("reader".to_owned(), rig.start_reader_at(&addresses[0].1)?)];
        for number in 1..=2 {
            let (name, listen) = (format!("loader{number}"), listen()?);
            let member = Member {
                database: rig.name(),
                name: &name,
                is_static: true,
                rows_max: 500,
                writers: 2,
            };
            programs.push((name.clone(), rig.start_member_at(&member, &listen)?));
            addresses.push((name, listen));
        }
        rig.wait_until_streaming(&programs[0].1)?;
        let work = Work::start(&rig, workload, seed);
        let watch = Watch::start(rig.warehouse(rig.name()));
        let health = Health::start(addresses);
        let mut scene = Self { cluster, rig, programs, health, watch, work, begun };
        scene.load_on(200).await?;
        scene.wait_until_ready().await?;
        scene.health.told()?;
        println!("under load after {:.1?}", scene.begun.elapsed());
        Ok(scene)
    }

    /// Everybody runs, no rule is broken, loading goes on.
    fn look(&mut self) -> anyhow::Result<()> {
        for (name, process) in &mut self.programs {
            if let Some(code) = process.exit_code()? {
                anyhow::bail!("{name} ended with {code}:\n{}", process.last_lines(25));
            }
        }
        self.watch.seen().map(drop)
    }

    async fn loaded(&self) -> anyhow::Result<BTreeMap<(String, i32), i64>> {
        let warehouse = sql::connect(&self.rig.warehouse(self.rig.name())).await?;
        loaded_offsets(&warehouse).await
    }

    /// Waits until so many more events are loaded. Returns how long it took.
    pub(crate) async fn load_on(&mut self, events: i64) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let first: i64 = self.loaded().await?.values().sum();
        let what = format!("{events} more events to be loaded");
        try_wait_for_async(PATIENCE, &what, async || {
            let now: i64 = self.loaded().await?.values().sum();
            anyhow::Ok(now >= first + events)
        })
        .await?;
        self.look()?;
        Ok(begun.elapsed())
    }

    /// Waits until everybody is ready.
    pub(crate) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        try_wait_for_async(PATIENCE, "reader and loaders to be ready", async || {
            let waiting = self.health.not_ready();
            anyhow::ensure!(waiting.is_empty(), "{waiting:?} are not ready");
            anyhow::Ok(true)
        })
        .await
    }

    /// Waits until somebody is not ready.
    pub(crate) async fn wait_until_not_ready(&self, who: &str) -> anyhow::Result<()> {
        let what = format!("{who} not to be ready");
        try_wait_for_async(PATIENCE, &what, async || {
            self.health.not_ready().iter().any(|name| name == who)
        })
        .await
    }

    /// Waits until all is loaded that Kafka has now, then compares the source, which is at work, with the vault.
    /// Prints what was seen since the last time.
    pub(crate) async fn nothing_came_of(&mut self, what: &str) -> anyhow::Result<Told> {
        let begun = Instant::now();
        let wanted = self.rig.high_watermarks()?;
        try_wait_for_async(PATIENCE, "everything in Kafka to be loaded", async || {
            let loaded = self.loaded().await?;
            let at = |place| loaded.get(place).copied().unwrap_or(0);
            let behind = wanted.iter().find(|&(place, &end)| at(place) < end);
            anyhow::ensure!(behind.is_none(), "{behind:?} is not loaded");
            anyhow::Ok(true)
        })
        .await?;
        self.wait_until_ready().await?;
        let caught_up = begun.elapsed();
        self.look()?;
        succeeded(&self.rig.prove(&["verify", "--format", "json"])?)
            .with_context(|| format!("verify after {what}"))?;
        let told = self.health.told()?;
        println!(
            "{what}: caught up within {:.1} s; at most {} events waited, Kafka acknowledged nothing for {:.1} s at most",
            caught_up.as_secs_f64(),
            told.lag,
            told.stalled.as_secs_f64(),
        );
        told.spells.iter().for_each(|spell| println!("  {spell}"));
        Ok(told)
    }

    /// Ends the work, proves that every state of every key arrived once, and ends the programs.
    pub(crate) async fn prove(mut self) -> anyhow::Result<String> {
        let workload = self.work.end().await?;
        self.rig.settle().await?;
        let seen = self.watch.seen()?;
        let rig = &self.rig;
        let warehouse = sql::connect(&rig.warehouse(rig.name())).await?;
        let source = sql::connect(&rig.source()).await?;
        let log = workload.log().await;
        oracle::verify(&log, &source, &warehouse, Repeats::None).await?;
        succeeded(&rig.check()?).context("check")?;
        for (name, process) in &mut self.programs {
            process.terminate();
            let code = process.wait_exit(END_MAX)?;
            anyhow::ensure!(code == 0, "{name} ended with {code}:\n{}", process.last_lines(25));
        }
        let checksum = succeeded(&rig.prove(&["checksum", "--format", "json"])?)?;
        let rebuilt = rebuild(rig).await?;
        anyhow::ensure!(
            checksum == rebuilt,
            "one loader built another vault from the same topics: {}",
            difference(&checksum, &rebuilt)
        );
        let (events, repeats) = published(&self.cluster, rig)?;
        let states: usize = log.values().map(Vec::len).sum();
        Ok(format!(
            "{states} states of {} keys, {events} events, of which {repeats} stand twice in Kafka; \
             standstills of the loaders {:.1} s, the longest {:.1} s; {:.0?} in all",
            log.len(),
            seen.standstill.as_secs_f64(),
            seen.longest.as_secs_f64(),
            self.begun.elapsed()
        ))
    }

    /// The ends of all logs, for a failure.
    pub(crate) fn last_lines(&self) -> String {
        let lines = self.programs.iter();
        lines.map(|(name, process)| format!("--- {name}\n{}\n", process.last_lines(25))).collect()
    }
}

/// How many events the topics have, and how many of them are repeats of another one.
fn published(cluster: &KafkaCluster, rig: &Rig) -> anyhow::Result<(usize, usize)> {
    let topics = Topics::with(&cluster.client("admin")?)?;
    let (mut events, mut known) = (0, BTreeSet::new());
    for topic in topics.named(&format!("{}.", rig.name()))? {
        for record in topics.records(&topic)? {
            let value: Value = record.json();
            if value.is_null() {
                continue; // a tombstone
            }
            events += 1;
            let place = (value["source"]["lsn"].to_string(), value["op"].to_string());
            known.insert((topic.clone(), record.key, place));
        }
    }
    Ok((events, events - known.len()))
}

//! Failovers of a highly available source under load: no confirmed booking is lost, no seat is sold twice, writes go on
//! within 15 s each, and the pipeline neither loses nor repeats a change.
//!
//! In: real etcd, Patroni, PostgreSQL 18, HAProxy and Kafka, three instances of the booking service, one reader and one
//! loader; `VAULTSTREAM_FAILOVERS` (50 in `make test-failover`), `VAULTSTREAM_TEST_SEED`, `VAULTSTREAM_BOOKING_RATE`.
//! Out: a line for each failover, and the figures of the run. Reader and loader are never started again: one process of
//! each lives through all failovers. A node is cut off in its network namespace, which needs root; where there is no
//! root, its processes are stopped instead, and the run says so.
//!
//! `make test` leaves these tests out: Patroni and etcd are no components of the other tests.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod ledger;
mod proofs;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use devstack::{
    CLUSTER_NODES, Cluster, ClusterNetwork, ClusterOptions, CompanionOptions, Haproxy, Process,
    try_wait_for,
};
use e2e::rig::{Rig, RigOptions};
use e2e::service::Service;
use e2e::sql;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::workload::seed;
use ledger::Load;

/// Within this time writes go on. It is the claim of the test.
const WRITES_WITHIN: Duration = Duration::from_secs(15);

/// How long the cluster may take to be whole again.
const WHOLE_WITHIN: Duration = Duration::from_secs(180);

/// How long the run waits for writes to go on, so that it can tell how long they took.
const WRITES_PATIENCE: Duration = Duration::from_secs(90);

/// Bookings that show that writes go on.
const BOOKINGS_AFTER: usize = 20;

/// Instances of the booking service.
const INSTANCES: usize = 3;

/// What happens to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failover {
    /// Patroni and the server are killed; the node is started when writes go on.
    Kill,
    /// Nobody reaches the node, and it reaches nobody, until writes go on.
    CutOff,
    /// A standby takes over in order.
    SwitchOver,
    /// Patroni and the server are killed and started again at once: the old primary comes back into the failover.
    ComeBack,
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "primary killed",
            Self::CutOff => "primary cut off",
            Self::SwitchOver => "switchover",
            Self::ComeBack => "primary killed and back at once",
        })
    }
}

const KINDS: [Failover; 4] =
    [Failover::Kill, Failover::CutOff, Failover::SwitchOver, Failover::ComeBack];

/// The failovers of a run: each kind equally often, in an order that the seed decides.
fn drawn(seed: u64, count: usize) -> Vec<Failover> {
    let mut kinds: Vec<Failover> = KINDS.into_iter().cycle().take(count).collect();
    kinds.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    kinds
}

/// Everything that runs.
struct Run {
    cluster: Cluster,
    rig: Rig,
    reader: Process,
    loader: Process,
    rng: ChaCha8Rng,
}

impl Run {
    /// Waits until one failover may come: three servers, and the reader's slot on each of them.
    fn wait_until_ready(&self) -> anyhow::Result<()> {
        self.cluster.wait_until_whole(WHOLE_WITHIN)?;
        self.cluster.wait_until_copied(self.rig.name(), WHOLE_WITHIN)
    }

    /// Lets a failover happen. Returns how long nothing was confirmed, and who is the primary.
    fn fail_over(&mut self, kind: Failover, load: &Load) -> anyhow::Result<(Duration, String)> {
        let old = self.cluster.primary().context("there is no primary")?;
        let begun = Instant::now();
        match kind {
            Failover::Kill => {
                self.cluster.kill(old)?;
                self.wait_for_writes(old, load)?;
                let gap = load.longest_pause(begun, Instant::now());
                self.cluster.start_node(old)?;
                return self.told(gap);
            }
            Failover::ComeBack => {
                self.cluster.kill(old)?;
                self.cluster.start_node(old)?;
            }
            Failover::CutOff if network() == ClusterNetwork::Loopback => {
                let frozen = self.cluster.freeze(old)?;
                self.wait_for_writes(old, load)?;
                let gap = load.longest_pause(begun, Instant::now());
                drop(frozen);
                return self.told(gap);
            }
            Failover::CutOff => {
                self.cluster.cut_off(old)?;
                self.wait_for_writes(old, load)?;
                let gap = load.longest_pause(begun, Instant::now());
                self.cluster.reconnect(old)?;
                return self.told(gap);
            }
            Failover::SwitchOver => {
                let new = (old + self.rng.random_range(1..CLUSTER_NODES)) % CLUSTER_NODES;
                self.cluster.switch_over(old, new)?;
            }
        }
        self.wait_for_writes(old, load)?;
        self.told(load.longest_pause(begun, Instant::now()))
    }

    fn told(&self, gap: Duration) -> anyhow::Result<(Duration, String)> {
        let new = self.cluster.primary().context("there is no primary")?;
        Ok((gap, self.cluster.name(new).to_owned()))
    }

    /// Waits until another server is the primary, and bookings are confirmed that were asked for since then.
    fn wait_for_writes(&self, old: usize, load: &Load) -> anyhow::Result<()> {
        try_wait_for(WRITES_PATIENCE, "another primary", || {
            self.cluster.primary().filter(|new| *new != old)
        })?;
        let promoted = Instant::now();
        try_wait_for(WRITES_PATIENCE, "writes to go on", || {
            load.check()?;
            let count = load.confirmed_since(promoted);
            anyhow::ensure!(count >= BOOKINGS_AFTER, "{count} bookings");
            anyhow::Ok(true)
        })
    }

    /// Reader and loader are the processes that they were.
    fn check_processes(&mut self) -> anyhow::Result<()> {
        for (name, process) in [("the reader", &mut self.reader), ("the loader", &mut self.loader)]
        {
            if let Some(code) = process.exit_code()? {
                anyhow::bail!("{name} has ended with {code}:\n{}", process.last_lines(15));
            }
        }
        Ok(())
    }
}

/// The instances of the service, and HAProxy before them.
struct Services {
    instances: Vec<Service>,
    proxy: Haproxy,
}

impl Services {
    fn start(rig: &Rig) -> anyhow::Result<Self> {
        let instances =
            (0..INSTANCES).map(|_| rig.start_service(&[])).collect::<anyhow::Result<Vec<_>>>()?;
        let ports: Vec<u16> = instances.iter().map(Service::port).collect();
        Ok(Self { proxy: Haproxy::start(&CompanionOptions::default(), &ports)?, instances })
    }
}

fn network() -> ClusterNetwork {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| {
        use std::os::unix::fs::MetadataExt as _;
        meta.uid() == 0
    });
    if is_root { ClusterNetwork::Namespaces } else { ClusterNetwork::Loopback }
}

/// A number from the environment.
fn number(variable: &str, otherwise: u32) -> u32 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is {text}, no number")),
        Err(_) => otherwise,
    }
}

async fn start(name: &str, seed: u64) -> anyhow::Result<Run> {
    let options = ClusterOptions { network: network(), fsync: false, ..ClusterOptions::default() };
    let cluster = Cluster::start(options)?;
    let source = cluster.write_address();
    let rig = Rig::create(RigOptions { source, ..RigOptions::of_stack(name) })?;
    rig.let_standbys_copy_the_slot()?;
    let source = sql::connect(&rig.source()).await?;
    source.batch_execute(&ledger::flights()).await?;
    let (reader, loader) = (rig.start_reader()?, rig.start_loader()?);
    rig.wait_until_streaming(&reader)?;
    Ok(Run { cluster, rig, reader, loader, rng: ChaCha8Rng::seed_from_u64(seed) })
}

async fn failovers(name: &str, kinds: &[Failover], seed: u64) -> anyhow::Result<()> {
    let mut run = start(name, seed).await?;
    let services = Services::start(&run.rig)?;
    let rate = number("VAULTSTREAM_BOOKING_RATE", 200);
    let load = Load::start(&services.instances[0], services.proxy.address(), rate)?;
    let begun = Instant::now();
    let mut slow = Vec::new();
    let mut gaps = Vec::new();
    for (place, &kind) in kinds.iter().enumerate() {
        let happened = run.wait_until_ready().and_then(|()| run.fail_over(kind, &load));
        let (gap, new) = happened.with_context(|| {
            let told = run.cluster.last_words(25);
            format!(
                "failover {}, {kind}\n{told}--- reader\n{}",
                place + 1,
                run.reader.last_lines(25)
            )
        })?;
        println!(
            "failover {}: {kind}, nothing confirmed for {:.1} s, the primary is {new}",
            place + 1,
            gap.as_secs_f64()
        );
        run.check_processes()?;
        gaps.push((kind, gap));
        if gap > WRITES_WITHIN {
            slow.push(format!("failover {} ({kind}) took {gap:.1?}", place + 1));
        }
    }
    run.wait_until_ready()?;
    let seconds = begun.elapsed().as_secs_f64();
    let (sales, repeats) = load.end()?;
    run.rig.settle().await?;
    run.check_processes()?;
    let source = sql::connect(&run.rig.source()).await?;
    proofs::nothing_confirmed_is_lost(&source, &sales).await?;
    let events = proofs::pipeline_is_exact(&run.rig, &source).await?;
    println!(
        "seed {seed}: {} failovers in {seconds:.0} s, {} confirmed bookings ({:.0} a second), {repeats} requests sent again, \
         {events} events; {}",
        kinds.len(),
        sales.len(),
        sales.len() as f64 / seconds,
        summary(&gaps)
    );
    anyhow::ensure!(slow.is_empty(), "writes did not go on within {WRITES_WITHIN:?}: {slow:?}");
    Ok(())
}

/// The longest and the middle pause of each kind.
fn summary(gaps: &[(Failover, Duration)]) -> String {
    let of = |kind: Failover| {
        let mut gaps: Vec<f64> =
            gaps.iter().filter(|gap| gap.0 == kind).map(|gap| gap.1.as_secs_f64()).collect();
        gaps.sort_unstable_by(f64::total_cmp);
        let longest = gaps.last()?;
        Some(format!(
            "{kind}: {} times, middle {:.1} s, longest {longest:.1} s",
            gaps.len(),
            gaps[gaps.len() / 2]
        ))
    };
    KINDS.into_iter().filter_map(of).collect::<Vec<_>>().join("; ")
}

async fn run(name: &str, kinds: &[Failover], seed: u64) {
    println!("the network is {:?}", network());
    if let Err(error) = failovers(name, kinds, seed).await {
        panic!("{error:#}\nrun again with VAULTSTREAM_TEST_SEED={seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_switchover_and_a_kill_lose_and_repeat_nothing() {
    run("ha", &[Failover::SwitchOver, Failover::Kill], seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_failovers_of_four_kinds_lose_and_repeat_nothing() {
    let count = usize::try_from(number("VAULTSTREAM_FAILOVERS", 50)).unwrap();
    let seed = seed();
    run("ha_many", &drawn(seed, count), seed).await;
}

#[test]
fn each_kind_of_failover_has_its_share() {
    let kinds = drawn(7, 50);
    assert_eq!((kinds.len(), kinds.clone()), (50, drawn(7, 50)));
    for kind in KINDS {
        assert!(kinds.iter().filter(|drawn| **drawn == kind).count() >= 12, "{kind}");
    }
}

//! Where the runs take place: a PostgreSQL server with a data set, and the journeys that the customers want.
//!
//! In: options. Out: for each run a database with the same rows, and what stands before it and beside it.

use std::path::PathBuf;
use std::time::Duration;

use devstack::jmeter::write_trips;
use devstack::{
    CompanionOptions, Pgbouncer, Postgres, PostgresAddress, Process, ProcessOptions, Redis, binary,
    workspace_root,
};

use super::{Options, Variant};
use crate::bench::airline::{self, DATABASE, PASSWORD};
use crate::bench::sql::Sql;
use crate::bench::{interrupt, say, servers};

/// The role of the service.
const SERVICE: &str = "booking_service";

/// Journeys that are drawn: more than a run makes, so that few are made twice.
const TRIPS: u32 = 20_000;

/// A server with a data set.
pub(super) struct Place {
    pub(super) source: Postgres,
    pub(super) trips: PathBuf,
    pub(super) dir: tempfile::TempDir,
    pooler_size: u16,
}

/// What a variant adds; it ends when it is dropped.
pub(super) struct Beside {
    /// The URL of the database, for the service.
    pub(super) database: String,
    /// The URL of Redis, if there is one.
    pub(super) redis: Option<String>,
    _pooler: Option<Pgbouncer>,
    _redis: Option<Redis>,
}

impl Place {
    pub(super) fn start(options: &Options) -> anyhow::Result<Self> {
        let root = options.run_dir.clone().unwrap_or_else(|| workspace_root().join(".run"));
        let dir = servers::run_dir(&root)?;
        say("starting PostgreSQL");
        let source = servers::postgres(dir.path(), "source")?;
        interrupt::check()?;
        airline::create(&source)?;
        say(&format!("seeding it at scale {}", options.scale));
        let address = source.address();
        let seeding = ProcessOptions::new(binary("booking")?, dir.path().join("seed.log"))
            .args(["seed", "--scale", &options.scale.to_string()])
            .env("BOOKING_DATABASE_URL", address.url(DATABASE, "booking_app", PASSWORD));
        let mut seeding = Process::start(&seeding)?;
        let code = seeding.wait_exit(Duration::from_secs(options.deadline))?;
        anyhow::ensure!(code == 0, "booking seed ended with {code}: {}", seeding.last_lines(3));
        let analyze = Sql::connect(&address.superuser(DATABASE))?;
        analyze.execute("VACUUM ANALYZE")?;
        let trips = dir.path().join("trips.csv");
        write_trips(&address.superuser(DATABASE), options.seed, TRIPS, &trips)?;
        Ok(Self { source, trips, dir, pooler_size: options.pooler_size })
    }

    /// Makes a database with the rows of the data set.
    pub(super) fn copy(&self, name: &str) -> anyhow::Result<()> {
        let copy = format!("CREATE DATABASE {name} TEMPLATE {DATABASE}");
        self.address().execute("postgres", &copy)?;
        let sql = Sql::connect(&self.address().superuser(name))?;
        sql.execute("CHECKPOINT")
    }

    /// Starts what a variant adds.
    pub(super) fn beside(&self, variant: Variant, database: &str) -> anyhow::Result<Beside> {
        let options = CompanionOptions::default();
        let pooler = variant
            .has_pooler()
            .then(|| Pgbouncer::start(&options, self.address(), &[SERVICE], self.pooler_size));
        let pooler = pooler.transpose()?;
        let redis = variant.has_redis().then(|| Redis::start(&options, PASSWORD)).transpose()?;
        let mut server = self.address().clone();
        if let Some(pooler) = &pooler {
            server.port = pooler.port();
        }
        Ok(Beside {
            database: server.url(database, SERVICE, PASSWORD),
            redis: redis.as_ref().map(Redis::url),
            _pooler: pooler,
            _redis: redis,
        })
    }

    pub(super) fn address(&self) -> &PostgresAddress {
        self.source.address()
    }

    pub(super) fn server_version(&self) -> anyhow::Result<String> {
        Sql::connect(&self.address().superuser(DATABASE))?.value("SELECT version()")
    }
}

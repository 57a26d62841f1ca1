//! The servers of a profile while they are being brought up.
//!
//! In: a profile. Out: running servers, their record for the state file.
//! Invariant: they end with the value that holds them until it lets them go.

use std::path::Path;

use anyhow::Context;

use super::plan::{Planned, Profile};
use crate::availability::{Cluster, Role, Running};
use crate::kafka::Kafka;
use crate::postgres::{OwnRows, Postgres, PostgresAddress};
use crate::process::Identity;
use crate::state::{Kind, Locked, Record, State};

/// The servers of a profile, which end with this value.
pub(super) struct Servers {
    kafka: Option<Kafka>,
    databases: Vec<(&'static str, Postgres)>,
    /// Earlier primaries whose data nobody may copy over. They do not run.
    left_out: Vec<Record>,
    cluster: Option<Cluster>,
}

impl Servers {
    pub(super) fn start(profile: Profile, locked: &Locked) -> anyhow::Result<Self> {
        let dir = locked.dir();
        let promotion = locked.promotion()?;
        let kafka_options = profile.kafka(dir)?;
        let plan = profile.postgres_now(dir, promotion.as_ref())?;
        let cluster_options = profile.cluster(dir)?;
        std::thread::scope(|scope| {
            let kafka = kafka_options.map(|options| scope.spawn(|| Kafka::start(options)));
            let mut databases: Vec<(&'static str, Postgres)> = Vec::new();
            let mut left_out = Vec::new();
            for planned in plan {
                let primary = databases.first().map(|(_, server)| server.address());
                let name = planned.name;
                let is_replaced =
                    promotion.as_ref().is_some_and(|promotion| promotion.replaces(name));
                match start_planned(planned, primary) {
                    Ok(server) => databases.push((name, server)),
                    // It is not needed any more, and no reason to do without the server that was promoted.
                    Err(err) if is_replaced && err.is::<OwnRows>() => {
                        tracing::warn!("{err:#}");
                        left_out.push(left_out_record(name, dir)?);
                    }
                    Err(err) => return Err(err),
                }
            }
            let cluster = cluster_options.map(Cluster::start).transpose()?;
            let kafka = kafka
                .map(|thread| {
                    let started = thread
                        .join()
                        .map_err(|_| anyhow::anyhow!("the thread that starts kafka panicked"))?;
                    started.context("cannot start kafka")
                })
                .transpose()?;
            Ok(Self { kafka, databases, left_out, cluster })
        })
    }

    /// What the state file says of them.
    pub(super) fn state(&self, profile: Profile) -> anyhow::Result<State> {
        let mut state = State {
            profile: profile.name().to_owned(),
            kafka_bootstrap: self.kafka.as_ref().map(Kafka::bootstrap).unwrap_or_default(),
            ..State::default()
        };
        for (name, server) in &self.databases {
            state.processes.push(record(name, server)?);
            state.postgres.insert((*name).to_owned(), server.address().clone());
        }
        state.processes.extend(self.left_out.iter().cloned());
        if let Some(kafka) = &self.kafka {
            state.processes.push(Record {
                name: "kafka".to_owned(),
                kind: Kind::Kafka,
                identity: kafka.identity()?,
                endpoint: kafka.bootstrap(),
                log: kafka.log(),
                data: None,
            });
        }
        if let Some(cluster) = &self.cluster {
            state.processes.extend(cluster.processes()?.into_iter().map(part));
            state.postgres.insert("writes".to_owned(), cluster.write_address());
            state.postgres.insert("reads".to_owned(), cluster.read_address());
        }
        Ok(state)
    }

    /// Lets them live on after us.
    pub(super) fn detach(self) -> anyhow::Result<()> {
        for (_, server) in self.databases {
            server.detach()?;
        }
        self.cluster.map_or(Ok(()), Cluster::detach)?;
        self.kafka.map_or(Ok(()), Kafka::detach)
    }
}

/// Starts one server of a plan; a replica needs the primary's address.
pub(super) fn start_planned(
    planned: Planned,
    primary: Option<&PostgresAddress>,
) -> anyhow::Result<Postgres> {
    let Planned { name, options, database, upstream } = planned;
    let started = match &upstream {
        Some(upstream) => {
            let primary = primary
                .with_context(|| format!("{name} is a replica of a primary that is unknown"))?;
            Postgres::start_read_replica(primary, upstream, options)
        }
        None => Postgres::start(options),
    };
    let server = started.with_context(|| format!("cannot start {name}"))?;
    if let Some(database) = database {
        server.address().ensure_database(database)?;
    }
    Ok(server)
}

/// What the state file says of a part of a cluster.
fn part(running: Running) -> Record {
    let Running { name, role, identity, endpoint, log, data } = running;
    let kind = match role {
        Role::Proxy => Kind::Companion,
        Role::Patroni => Kind::Patroni,
        Role::Etcd => Kind::Etcd,
    };
    Record { name, kind, identity, endpoint, log, data }
}

/// What the state file says of a server that was not started: that it has ended.
fn left_out_record(name: &str, dir: &Path) -> anyhow::Result<Record> {
    Ok(Record {
        name: name.to_owned(),
        kind: Kind::Postgres,
        identity: Identity::of_nobody()?,
        endpoint: String::new(),
        log: dir.join(name).join("postgres.log"),
        data: None,
    })
}

/// What the state file says of a PostgreSQL server.
pub(super) fn record(name: &str, server: &Postgres) -> anyhow::Result<Record> {
    Ok(Record {
        name: name.to_owned(),
        kind: Kind::Postgres,
        identity: server.identity()?,
        endpoint: format!("{}:{}", server.host(), server.port()),
        log: server.log().to_owned(),
        data: None,
    })
}

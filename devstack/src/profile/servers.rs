//! The servers of a profile while they are being brought up.
//!
//! In: a profile. Out: running servers, their record for the state file.
//! Invariant: they end with the value that holds them until it lets them go.

use std::path::Path;

use anyhow::Context;

use super::plan::{Planned, Profile};
use crate::availability::{Cluster, Role, Running};
use crate::kafka::Kafka;
use crate::postgres::{Postgres, PostgresAddress};
use crate::state::{Kind, Record, State};

/// The servers of a profile, which end with this value.
pub(super) struct Servers {
    kafka: Option<Kafka>,
    databases: Vec<(&'static str, Postgres)>,
    cluster: Option<Cluster>,
}

impl Servers {
    pub(super) fn start(profile: Profile, dir: &Path) -> anyhow::Result<Self> {
        let kafka_options = profile.kafka(dir)?;
        let postgres_options = profile.postgres(dir)?;
        let cluster_options = profile.cluster(dir)?;
        std::thread::scope(|scope| {
            let kafka = kafka_options.map(|options| scope.spawn(|| Kafka::start(options)));
            let mut databases: Vec<(&'static str, Postgres)> = Vec::new();
            for planned in postgres_options {
                let primary = databases.first().map(|(_, server)| server.address());
                let name = planned.name;
                databases.push((name, start_planned(planned, primary)?));
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
            Ok(Self { kafka, databases, cluster })
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
        if let Some(kafka) = &self.kafka {
            state.processes.push(Record {
                name: "kafka".to_owned(),
                kind: Kind::Kafka,
                identity: kafka.identity()?,
                endpoint: kafka.bootstrap(),
                log: kafka.log(),
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
    let Running { name, role, identity, endpoint, log } = running;
    let kind = match role {
        Role::Proxy => Kind::Companion,
        Role::Patroni => Kind::Patroni,
        Role::Etcd => Kind::Etcd,
    };
    Record { name, kind, identity, endpoint, log }
}

/// What the state file says of a PostgreSQL server.
pub(super) fn record(name: &str, server: &Postgres) -> anyhow::Result<Record> {
    Ok(Record {
        name: name.to_owned(),
        kind: Kind::Postgres,
        identity: server.identity()?,
        endpoint: format!("{}:{}", server.host(), server.port()),
        log: server.log().to_owned(),
    })
}

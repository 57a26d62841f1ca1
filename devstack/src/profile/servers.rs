//! The servers of a profile while they are being brought up.
//!
//! In: a profile. Out: running servers, their record for the state file.
//! Invariant: they end with the value that holds them until it lets them go.

use std::path::Path;

use anyhow::Context;

use super::plan::Profile;
use crate::kafka::Kafka;
use crate::postgres::Postgres;
use crate::state::{Kind, Record, State};

/// The servers of a profile, which end with this value.
pub(super) struct Servers {
    kafka: Kafka,
    databases: Vec<(&'static str, Postgres)>,
}

impl Servers {
    pub(super) fn start(profile: Profile, dir: &Path) -> anyhow::Result<Self> {
        let kafka_options = profile.kafka(dir)?;
        let postgres_options = profile.postgres(dir)?;
        std::thread::scope(|scope| {
            let kafka = scope.spawn(|| Kafka::start(kafka_options));
            let databases = postgres_options
                .into_iter()
                .map(|(name, options, database)| {
                    let server =
                        Postgres::start(options).with_context(|| format!("cannot start {name}"))?;
                    if let Some(database) = database {
                        server.address().ensure_database(database)?;
                    }
                    Ok((name, server))
                })
                .collect::<anyhow::Result<_>>()?;
            let kafka = kafka
                .join()
                .map_err(|_| anyhow::anyhow!("the thread that starts kafka panicked"))?;
            Ok(Self { kafka: kafka.context("cannot start kafka")?, databases })
        })
    }

    /// What the state file says of them.
    pub(super) fn state(&self, profile: Profile) -> anyhow::Result<State> {
        let mut state = State {
            profile: profile.name().to_owned(),
            kafka_bootstrap: self.kafka.bootstrap(),
            ..State::default()
        };
        for (name, server) in &self.databases {
            state.processes.push(Record {
                name: (*name).to_owned(),
                kind: Kind::Postgres,
                identity: server.identity()?,
                endpoint: format!("{}:{}", server.host(), server.port()),
                log: server.log().to_owned(),
            });
            state.postgres.insert((*name).to_owned(), server.address().clone());
        }
        state.processes.push(Record {
            name: "kafka".to_owned(),
            kind: Kind::Kafka,
            identity: self.kafka.identity()?,
            endpoint: self.kafka.bootstrap(),
            log: self.kafka.log(),
        });
        Ok(state)
    }

    /// Lets them live on after us.
    pub(super) fn detach(self) -> anyhow::Result<()> {
        for (_, server) in self.databases {
            server.detach()?;
        }
        self.kafka.detach()
    }
}

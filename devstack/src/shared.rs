//! The servers that all tests of a run share.
//!
//! In: `VAULTSTREAM_TEST_STACK`, the run directory (default `.run/test` of the workspace). Out: the addresses of its
//! servers.
//! Invariant: the first test that asks brings them up, under a lock; they stay until `devstack down`. A test makes its
//! own databases, slots and topic prefixes, and stops none of these servers. A test that has to stop a server starts
//! one of its own. When a shared server ends all the same, the next test that asks for the servers fails and names it.
//! It leaves the other servers running, because other tests may use them.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context;

use crate::binaries::workspace_root;
use crate::connect::{Connect, ConnectOptions, ConnectRest};
use crate::postgres::PostgresAddress;
use crate::profile::{self, Kind, Profile, Record, State};
use crate::state::Locked;

/// The shared servers.
#[derive(Debug)]
pub struct Stack {
    /// The run directory.
    pub dir: PathBuf,
    /// A PostgreSQL 15, the machine's own if it has one.
    pub postgres15: PostgresAddress,
    /// A PostgreSQL 18.
    pub postgres18: PostgresAddress,
    /// A PostgreSQL 15 to load into.
    pub warehouse: PostgresAddress,
    /// Kafka's `host:port`.
    pub kafka_bootstrap: String,
}

impl Stack {
    /// The REST interface of a Kafka Connect with Debezium, started by the first test that asks.
    ///
    /// Its own topics begin with `shared-connect`. Connectors and topic prefixes are each test's own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn connect(&self) -> ConnectRest {
        match self.try_connect() {
            Ok(rest) => rest,
            Err(err) => panic!("kafka connect cannot be had: {err:#}"),
        }
    }

    fn try_connect(&self) -> anyhow::Result<ConnectRest> {
        const NAME: &str = "connect";
        let locked = Locked::take(&self.dir)?;
        let mut state =
            locked.load()?.context("the shared test servers were ended under a running test")?;
        let runs = |record: &Record| record.name == NAME && record.identity.is_alive();
        if let (Some(url), true) = (&state.connect_url, state.processes.iter().any(runs)) {
            return Ok(ConnectRest::new(url));
        }
        let options = ConnectOptions::new(&self.kafka_bootstrap)
            .dir(locked.dir().join(NAME))
            .topic_prefix("shared-connect");
        let connect = Connect::start(options)?;
        let rest = connect.rest();
        state.processes.retain(|record| record.name != NAME);
        state.processes.push(Record {
            name: NAME.to_owned(),
            kind: Kind::Connect,
            identity: connect.identity()?,
            endpoint: rest.to_string(),
            log: connect.log(),
            data: None,
        });
        state.connect_url = Some(rest.to_string());
        locked.save(&state)?;
        connect.detach()?;
        Ok(rest)
    }
}

/// The run directory of the shared servers.
pub fn run_dir() -> PathBuf {
    match std::env::var_os("VAULTSTREAM_TEST_STACK") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => workspace_root().join(".run/test"),
    }
}

/// The shared servers, brought up if they are not.
///
/// # Panics
/// When they cannot be brought up, because a test without its servers has to fail.
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| match try_stack() {
        Ok(stack) => stack,
        Err(err) => panic!("the shared test servers cannot be had: {err:#}"),
    })
}

fn try_stack() -> anyhow::Result<Stack> {
    let dir = run_dir();
    let mut state = profile::join(Profile::Test, &dir)?;
    Ok(Stack {
        postgres15: take(&mut state, "postgres15")?,
        postgres18: take(&mut state, "postgres18")?,
        warehouse: take(&mut state, "warehouse")?,
        kafka_bootstrap: state.kafka_bootstrap,
        dir,
    })
}

fn take(state: &mut State, name: &str) -> anyhow::Result<PostgresAddress> {
    state.postgres.remove(name).with_context(|| format!("the state file names no {name}"))
}

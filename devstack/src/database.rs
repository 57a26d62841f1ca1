//! A database of one test alone, on a server that many tests share.
//!
//! In: a server and a name. Out: a database, and ways to talk to it.
//! Invariant: the database goes with its value, together with its replication slots and its sessions.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::Client;

use crate::postgres::PostgresAddress;
use crate::psql::Psql;
use crate::sql;

/// A name that no other test has: fit for a database, a slot, a connector and a topic prefix.
pub fn unique(stem: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{stem}_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A database; removed when it is dropped.
#[derive(Debug)]
pub struct Database {
    /// Its server.
    pub server: PostgresAddress,
    /// Its name.
    pub name: String,
}

impl Database {
    /// Makes an empty database.
    pub fn create(server: &PostgresAddress, name: &str) -> anyhow::Result<Self> {
        server.create_database(name)?;
        Ok(Self { server: server.clone(), name: name.to_owned() })
    }

    /// A libpq connection string for TCP, as the superuser.
    pub fn superuser(&self) -> String {
        self.server.superuser(&self.name)
    }

    /// Connects as the superuser.
    ///
    /// # Errors
    /// What the server said.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        sql::connect(&self.superuser()).await.map_err(sql::readable)
    }

    /// A run of `psql` as the superuser, by the socket: that way in is open whatever TCP clients are asked for.
    pub fn psql(&self) -> anyhow::Result<Psql> {
        Psql::new(&self.server.superuser_on_socket(&self.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server of the test's own may be down, and a database that stays behind harms nobody: a test that failed for
        // another reason must not fail for this one.
        if let Err(err) = self.server.drop_database(&self.name) {
            eprintln!("cannot drop database {}: {err:#}", self.name);
        }
    }
}

//! A database of one test alone, gone with its slots at the end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::ops::Deref;
use std::process::{Child, ChildStdout};

use devstack::{Database, PostgresAddress, wait_for, workspace_root};

use super::PATIENCE;

/// A database and its server.
pub(crate) struct Source(Database);

impl Deref for Source {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.0
    }
}

impl Source {
    /// An empty database.
    pub(crate) fn create(server: &PostgresAddress, name: &str) -> Self {
        Self(Database::create(server, name).unwrap())
    }

    /// The database of this name on another server, which has a copy of it.
    pub(crate) fn at(server: &PostgresAddress, name: &str) -> Self {
        Self(Database { server: server.clone(), name: name.to_owned() })
    }

    /// A database with the airline's eight tables.
    pub(crate) fn airline(server: &PostgresAddress, name: &str) -> Self {
        let source = Self::create(server, name);
        let schema = workspace_root().join("sql/source/010_schema.sql");
        source.run(&std::fs::read_to_string(schema).unwrap());
        source
    }

    /// Runs a script as `psql` does: each statement is a transaction unless the script says otherwise.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) {
        self.value(script);
    }

    /// The text of the one value that a query yields.
    #[track_caller]
    pub(crate) fn value(&self, query: &str) -> String {
        self.psql().unwrap().run(query).unwrap()
    }

    /// A session that stays open.
    pub(crate) fn session(&self) -> Session {
        let mut psql = self.psql().unwrap().start().unwrap();
        let said = BufReader::new(psql.stdout.take().unwrap());
        let mut session = Session { psql, said };
        session.run("SELECT 1;");
        session
    }

    /// Begins a transaction, runs a statement in it, and leaves it open.
    #[track_caller]
    pub(crate) fn open_transaction(&self, statement: &str) -> Session {
        let mut session = self.session();
        session.run(&format!("BEGIN; {statement}"));
        session
    }

    /// Waits until somebody streams from the slot.
    #[track_caller]
    pub(crate) fn wait_until_active(&self, slot: &str) {
        wait_for(PATIENCE, &format!("somebody to stream from slot {slot}"), || {
            self.is_active(slot)
        });
    }

    /// Waits until nobody streams from the slot.
    #[track_caller]
    pub(crate) fn wait_until_free(&self, slot: &str) {
        wait_for(PATIENCE, &format!("slot {slot} to be free"), || !self.is_active(slot));
    }

    pub(crate) fn is_active(&self, slot: &str) -> bool {
        let query = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
        self.value(&query) == "t"
    }
}

/// A session of psql; when it is dropped it ends, and rolls back what is open.
pub(crate) struct Session {
    psql: Child,
    said: BufReader<ChildStdout>,
}

impl Session {
    /// Runs a script to its end.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) {
        writeln!(self.psql.stdin.as_mut().unwrap(), "{script}\n\\echo done").unwrap();
        let said = self.said.by_ref().lines().map_while(Result::ok);
        assert!(said.into_iter().any(|line| line == "done"), "psql ended at: {script}");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The end of its input ends psql, and its session.
        drop(self.psql.stdin.take());
        let _ = self.psql.wait();
    }
}

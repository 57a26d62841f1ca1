//! Plain SQL over one connection, from code that blocks.
//!
//! In: a connection string, statements. Out: values of single rows.
//! Invariant: an error shows the server's own words.

use anyhow::Context;
use devstack::sql::{self, readable};
use tokio::runtime::Runtime;
use tokio_postgres::Client;
use tokio_postgres::types::{FromSqlOwned, ToSql};

/// A connection; closed when dropped.
pub(super) struct Sql {
    runtime: Runtime,
    client: Client,
}

impl Sql {
    /// Connects.
    pub(super) fn connect(connection_string: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime for SQL")?;
        let client = runtime.block_on(sql::connect(connection_string)).map_err(readable)?;
        Ok(Self { runtime, client })
    }

    /// Runs a script.
    pub(super) fn execute(&self, script: &str) -> anyhow::Result<()> {
        self.runtime.block_on(self.client.batch_execute(script)).map_err(readable)
    }

    /// The first value of the only row.
    pub(super) fn value<T: FromSqlOwned>(&self, query: &str) -> anyhow::Result<T> {
        let row = self.runtime.block_on(self.client.query_one(query, &[])).map_err(readable)?;
        Ok(row.try_get(0)?)
    }

    /// The connection, for what is asynchronous.
    pub(super) fn parts(&mut self) -> (&Runtime, &mut Client) {
        (&self.runtime, &mut self.client)
    }

    /// All values of a query's first column.
    pub(super) fn values<T: FromSqlOwned>(&self, query: &str) -> anyhow::Result<Vec<T>> {
        let rows = self.runtime.block_on(self.client.query(query, &[])).map_err(readable)?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Runs one statement again and again, once for each pair of arguments; each time as a transaction of its own,
    /// unless one is open.
    pub(super) fn repeat(
        &self,
        statement: &str,
        arguments: impl IntoIterator<Item = (i64, i64)>,
    ) -> anyhow::Result<u64> {
        let prepared = self.runtime.block_on(self.client.prepare(statement)).map_err(readable)?;
        let mut row_count = 0;
        for (first, last) in arguments {
            super::interrupt::check()?;
            let values: [&(dyn ToSql + Sync); 2] = [&first, &last];
            row_count +=
                self.runtime.block_on(self.client.execute(&prepared, &values)).map_err(readable)?;
        }
        Ok(row_count)
    }
}

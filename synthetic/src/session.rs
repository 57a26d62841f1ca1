//! A connection that prepares each statement once and counts the rows it changes.
//!
//! In: statements and values. Out: rows. Rows count only when their transaction commits.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// Values of a statement's parameters.
pub type Values<'values> = &'values [&'values (dyn ToSql + Sync)];

/// One connection.
#[derive(Debug)]
pub struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    uncommitted_row_count: u64,
}

impl Session {
    /// Statements go over this connection.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, statements: HashMap::new(), uncommitted_row_count: 0 }
    }

    /// Whether the connection is lost.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn begin(&mut self) -> Result<(), Error> {
        self.uncommitted_row_count = 0;
        self.client.batch_execute("BEGIN").await
    }

    /// Commits, and tells how many rows the transaction changed.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn commit(&mut self) -> Result<u64, Error> {
        self.client.batch_execute("COMMIT").await?;
        Ok(std::mem::take(&mut self.uncommitted_row_count))
    }

    /// Takes the transaction back.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        self.uncommitted_row_count = 0;
        self.client.batch_execute("ROLLBACK").await
    }

    /// Takes the transaction back after an error, which is the one that is reported. A lost connection cannot be rolled
    /// back, so a failure here is only noted.
    pub async fn rollback_after_error(&mut self) {
        if let Err(second) = self.rollback().await {
            tracing::debug!(error = %second, "cannot roll back");
        }
    }

    /// `SAVEPOINT`, `ROLLBACK TO` and `RELEASE`.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn control(&mut self, statement: &'static str) -> Result<(), Error> {
        self.client.batch_execute(statement).await
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn rows(
        &mut self,
        query: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Error> {
        let statement = self.statement(query).await?;
        self.client.query(&statement, values).await
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn first(
        &mut self,
        query: &'static str,
        values: Values<'_>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.rows(query, values).await?.into_iter().next())
    }

    /// Runs a statement that changes rows and tells how many.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn change(
        &mut self,
        command: &'static str,
        values: Values<'_>,
    ) -> Result<u64, Error> {
        let statement = self.statement(command).await?;
        let changed = self.client.execute(&statement, values).await?;
        self.uncommitted_row_count += changed;
        Ok(changed)
    }

    /// Counts rows that a query changed, which gave rows as well.
    pub const fn note(&mut self, row_count: u64) {
        self.uncommitted_row_count += row_count;
    }

    async fn statement(&mut self, text: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(text).await?;
        self.statements.insert(text, statement.clone());
        Ok(statement)
    }
}

//! One server as the menu sees it: a connection that is made when it is needed, and answers within a time or not at
//! all.
//!
//! In: a connection string and a patience. Out: rows, or the reason why there are none. A server may be stopped,
//! started and frozen while the menu is open: that is what the menu is for. So a connection that has ended is made anew
//! before the next statement. A statement that was under way when the connection ended is not repeated, because it may
//! have been done; and within a transaction no new connection is made, because the transaction went with the old one. A
//! server that accepts a connection and says nothing counts as silent when the patience is over, and its connection is
//! given up.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, Row};

use super::statement::Statement;
use crate::database::Database;

/// The name of a server. A replica's is its `application_name` on the primary and the name of its slot there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(String);

/// Why a text is no name of a server.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is no name of a replica: use lower-case letters, digits and _, as in the name of its slot"
)]
pub struct NoServerName(String);

impl FromStr for ServerName {
    type Err = NoServerName;

    fn from_str(name: &str) -> Result<Self, NoServerName> {
        let fits = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
        if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
            return Err(NoServerName(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl ServerName {
    /// The name of the server that takes writes.
    pub(super) fn primary() -> Self {
        Self("primary".to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// There is no connection, or it ended under a statement.
    #[error("{server} cannot be reached at {place}: {reason}")]
    Unreachable { server: ServerName, place: String, reason: String },
    /// It did not answer in time.
    #[error("{server} does not answer: waited {patience:?} for {place}")]
    Silent { server: ServerName, place: String, patience: Duration },
    /// It answered with an error.
    #[error("{server} refuses: {message} (SQLSTATE {sqlstate})")]
    Refused { server: ServerName, sqlstate: String, message: String },
}

/// What was sent to which server, in order.
pub(super) type Trace = Arc<Mutex<Vec<(ServerName, String)>>>;

/// A server, and a connection to it while there is one.
pub(super) struct Server {
    name: ServerName,
    database: Database,
    patience: Duration,
    trace: Trace,
    live: Option<Live>,
    /// Between `BEGIN` and the end of the transaction.
    in_transaction: bool,
}

struct Live {
    client: Client,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn new(
        name: ServerName,
        database: Database,
        patience: Duration,
        trace: Trace,
    ) -> Self {
        Self { name, database, patience, trace, live: None, in_transaction: false }
    }

    pub(super) fn name(&self) -> &ServerName {
        &self.name
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The rows that a statement gives.
    pub(super) async fn rows(
        &mut self,
        statement: Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Trouble> {
        self.note(statement.text);
        self.connect().await?;
        let Some(live) = &self.live else { return Err(self.silent()) };
        let answer = timeout(self.patience, live.client.query(statement.text, values)).await;
        self.settle(answer.ok())
    }

    /// How many rows a statement has changed.
    pub(super) async fn change(
        &mut self,
        statement: Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Trouble> {
        self.note(statement.text);
        self.connect().await?;
        let Some(live) = &self.live else { return Err(self.silent()) };
        let answer = timeout(self.patience, live.client.execute(statement.text, values)).await;
        self.settle(answer.ok())
    }

    /// A command without values, such as `BEGIN`.
    pub(super) async fn command(&mut self, command: &str) -> Result<(), Trouble> {
        self.note(command);
        self.connect().await?;
        let Some(live) = &self.live else { return Err(self.silent()) };
        let answer = timeout(self.patience, live.client.batch_execute(command)).await;
        self.settle(answer.ok())
    }

    /// Begins a transaction whose commit waits as `synchronous_commit` says.
    pub(super) async fn begin(&mut self, synchronous_commit: &str) -> Result<(), Trouble> {
        self.command("BEGIN").await?;
        self.in_transaction = true;
        self.command(&format!("SET LOCAL synchronous_commit = {synchronous_commit}")).await
    }

    /// Takes the transaction back. Where there is no connection any more, the server has done that.
    pub(super) async fn rollback(&mut self) {
        if self.live.is_some() {
            self.command("ROLLBACK").await.ok();
        }
        self.in_transaction = false;
    }

    /// Commits, and waits for `limit` at most. Gives whether the wait was cancelled, and what the server remarked.
    pub(super) async fn commit(&mut self, limit: Duration) -> Result<(bool, Vec<String>), Trouble> {
        let outcome = self.command_within("COMMIT", limit).await;
        self.in_transaction = false;
        outcome
    }

    /// A command that may take `limit`. When the time is over it is cancelled, and gets the usual patience to end.
    /// Gives whether it was cancelled, and what the server remarked.
    async fn command_within(
        &mut self,
        command: &str,
        limit: Duration,
    ) -> Result<(bool, Vec<String>), Trouble> {
        self.note(command);
        self.connect().await?;
        let Some(live) = &self.live else { return Err(self.silent()) };
        lock(&live.notices).clear();
        let mut running = Box::pin(live.client.batch_execute(command));
        let (cancelled, answer) = match timeout(limit, &mut running).await {
            Ok(answer) => (false, Some(answer)),
            Err(_) => {
                // Its own error is one of the network, and then the command's answer says so too.
                let cancel = live.client.cancel_token();
                timeout(self.patience, cancel.cancel_query(NoTls)).await.ok();
                (true, timeout(self.patience, &mut running).await.ok())
            }
        };
        drop(running);
        let notices = Arc::clone(&live.notices);
        self.settle(answer)?;
        // A notice comes before the answer that it belongs to.
        let remarks = std::mem::take(&mut *lock(&notices));
        Ok((cancelled, remarks))
    }

    /// Connects unless there is a connection.
    async fn connect(&mut self) -> Result<(), Trouble> {
        if self.live.as_ref().is_some_and(|live| !live.client.is_closed()) {
            return Ok(());
        }
        self.live = None;
        if self.in_transaction {
            return Err(Trouble::Unreachable {
                server: self.name.clone(),
                place: self.database.to_string(),
                reason: "the connection has ended within a transaction".to_owned(),
            });
        }
        let connecting = self.database.config().connect(NoTls);
        let (client, mut connection) = match timeout(self.patience, connecting).await {
            Err(_) => return Err(self.silent()),
            Ok(Err(err)) => return Err(self.unreachable(&err)),
            Ok(Ok(made)) => made,
        };
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notices);
        // Ends when the client is dropped or the server goes away; the client then reports the error.
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message {
                    let detail =
                        notice.detail().map(|text| format!(". {text}")).unwrap_or_default();
                    lock(&kept).push(format!(
                        "{}: {}{detail}",
                        notice.severity(),
                        notice.message()
                    ));
                }
            }
        });
        self.live = Some(Live { client, notices });
        Ok(())
    }

    /// What an answer, or none in time, means.
    fn settle<T>(&mut self, answer: Option<Result<T, Error>>) -> Result<T, Trouble> {
        match answer {
            Some(Ok(value)) => Ok(value),
            Some(Err(err)) => {
                let trouble = self.trouble(&err);
                if matches!(trouble, Trouble::Unreachable { .. }) {
                    self.live = None;
                }
                Err(trouble)
            }
            None => {
                self.live = None;
                Err(self.silent())
            }
        }
    }

    fn trouble(&self, err: &Error) -> Trouble {
        match err.as_db_error() {
            // Class 57P is a server that ends or is not up yet.
            Some(said) if !said.code().code().starts_with("57P") => Trouble::Refused {
                server: self.name.clone(),
                sqlstate: said.code().code().to_owned(),
                message: said.message().to_owned(),
            },
            _ => self.unreachable(err),
        }
    }

    fn unreachable(&self, err: &Error) -> Trouble {
        Trouble::Unreachable {
            server: self.name.clone(),
            place: self.database.to_string(),
            reason: reason(err),
        }
    }

    fn silent(&self) -> Trouble {
        Trouble::Silent {
            server: self.name.clone(),
            place: self.database.to_string(),
            patience: self.patience,
        }
    }

    fn note(&self, text: &str) {
        lock(&self.trace).push((self.name.clone(), text.trim_end().to_owned()));
    }
}

/// The innermost cause, which says most: the server's words, or the system's.
fn reason(err: &Error) -> String {
    if let Some(said) = err.as_db_error() {
        return said.message().to_owned();
    }
    let mut cause: &dyn std::error::Error = err;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What is behind a lock that guards a list only: nobody leaves it half changed.
pub(super) fn lock<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::ServerName;

    #[test]
    fn a_name_that_no_slot_can_have_is_refused_and_repeated() {
        for name in ["", "Replica", "replica-one", "a, b", "a\"b"] {
            let error = name.parse::<ServerName>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{name}'")), "{error}");
        }
        assert_eq!("replica_1".parse::<ServerName>().unwrap().as_str(), "replica_1");
    }
}

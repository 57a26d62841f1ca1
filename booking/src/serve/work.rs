//! Work on the database: one transaction, again when the database asks for that.
//!
//! In: a pool and a piece of work. Out: what the work gives, or a problem. Hard cases:
//!
//! * A failover ends connections (57P01, a closed socket) or leaves a server that takes no writes (25006). The work is
//!   done again on a new connection, because nothing of it was committed.
//! * A connection that is lost at the commit leaves the outcome open. The work is done again only if it can tell what
//!   happened: it has an idempotency key, or it only reads. Otherwise the client is told that nobody knows.
//! * Two transactions that block each other, or a reference that is taken (40001, 40P01): the work is done again.
//! * A lock or a statement that takes too long is no fault of the client; the client is told to come again.
//!
//! The connection is not used for anything else between `BEGIN` and the end. Statements are unnamed, as a pooler in
//! transaction mode needs them.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, IsolationLevel, Transaction};

use super::metrics::Metrics;
use super::pool::{Connection, Lack, Pool};
use super::problem::{Kind, Problem};

/// The pause before work is done again; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause: a failover takes seconds, and the pool asks at least so often.
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// Why work did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service refuses.
    Refused(Problem),
    /// The database failed or refused.
    Database(Error),
    /// A random reference was taken by somebody else.
    Again,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// What is done in one transaction.
pub(crate) trait Work: Send + Sync {
    /// What it gives.
    type Output: Send;

    /// Does it; whatever is refused is rolled back.
    fn run(
        &self,
        tx: &Transaction<'_>,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;

    /// What it does to the database.
    fn mode(&self) -> Mode;
}

/// What work does to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It reads, and sees one state of the database.
    Read,
    /// It writes, and does nothing when it was committed before.
    Again,
    /// It writes, and must not be committed twice.
    Once,
}

/// How long work may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// One statement; a lock is waited for half as long, so that it is known what took so long.
    pub(crate) statement: Duration,
    /// How long work is begun again after the database failed.
    pub(crate) again: Duration,
}

/// What becomes of work that failed.
enum Verdict {
    Tell(Problem),
    Again { abandon: bool },
}

/// Runs work, as often as it takes within the patience.
pub(crate) async fn run<W: Work>(
    pool: &Pool,
    patience: Patience,
    metrics: &Metrics,
    work: &W,
) -> Result<W::Output, Problem> {
    let ends = Instant::now() + patience.again;
    let mut pause = PAUSE;
    loop {
        let verdict = match pool.connection().await {
            Ok(mut connection) => {
                let outcome = attempt(&mut connection, patience, work).await;
                let (failure, at_commit) = match outcome {
                    Ok(output) => return Ok(output),
                    Err(failed) => failed,
                };
                let verdict = judge(failure, at_commit && work.mode() == Mode::Once, &connection);
                if matches!(verdict, Verdict::Again { abandon: true }) || connection.is_closed() {
                    pool.abandon(connection);
                }
                verdict
            }
            Err(Lack::Busy) => return Err(Lack::Busy.into()),
            Err(Lack::Unreachable) => Verdict::Again { abandon: false },
        };
        match verdict {
            Verdict::Tell(problem) => return Err(problem),
            Verdict::Again { .. } if Instant::now() + pause >= ends => {
                return Err(Lack::Unreachable.into());
            }
            Verdict::Again { .. } => {
                metrics.count_repeat();
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// One transaction. The second value says whether the failure is the commit's.
async fn attempt<W: Work>(
    connection: &mut Connection,
    patience: Patience,
    work: &W,
) -> Result<W::Output, (Failure, bool)> {
    let before = |error| (Failure::Database(error), false);
    let builder = connection.build_transaction();
    let builder = match work.mode() {
        Mode::Read => builder.isolation_level(IsolationLevel::RepeatableRead).read_only(true),
        Mode::Again | Mode::Once => builder,
    };
    let tx = builder.start().await.map_err(before)?;
    let statement_ms = patience.statement.as_millis();
    tx.batch_execute(&format!(
        "SET LOCAL statement_timeout = {statement_ms};
         SET LOCAL lock_timeout = {};
         SET LOCAL idle_in_transaction_session_timeout = {}",
        statement_ms / 2,
        statement_ms * 2
    ))
    .await
    .map_err(before)?;
    match work.run(&tx).await {
        Ok(output) => match tx.commit().await {
            Ok(()) => Ok(output),
            Err(error) => Err((Failure::Database(error), true)),
        },
        Err(failure) => {
            // The first failure counts. A lost connection cannot be rolled back.
            if let Err(error) = tx.rollback().await {
                tracing::debug!(%error, "cannot roll back");
            }
            Err((failure, false))
        }
    }
}

fn judge(failure: Failure, outcome_is_open: bool, connection: &Connection) -> Verdict {
    let error = match failure {
        Failure::Refused(problem) => return Verdict::Tell(problem),
        Failure::Again => return Verdict::Again { abandon: false },
        Failure::Database(error) => error,
    };
    let code = error.code();
    let lost = error.is_closed()
        || connection.is_closed()
        || is_of_the_socket(&error)
        || code.is_some_and(|code| code.code().starts_with("57P") || code.code().starts_with("08"));
    if lost && outcome_is_open {
        let detail = "the connection was lost at the commit; look whether the change was made";
        return Verdict::Tell(Problem::new(Kind::OutcomeUnknown, detail));
    }
    match code {
        _ if lost => Verdict::Again { abandon: true },
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            Verdict::Again { abandon: true }
        }
        Some(code)
            if *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::T_R_DEADLOCK_DETECTED =>
        {
            Verdict::Again { abandon: false }
        }
        Some(code)
            if *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::QUERY_CANCELED =>
        {
            Verdict::Tell(Problem::new(Kind::Unavailable, "the database is too busy"))
        }
        _ => {
            // The server's words may hold values; its codes and names do not.
            let server = error.as_db_error();
            tracing::error!(
                sqlstate = code.map_or("", SqlState::code),
                table = server.and_then(|server| server.table()),
                constraint = server.and_then(|server| server.constraint()),
                "the database refused a statement"
            );
            Verdict::Tell(Problem::new(Kind::Internal, "the database refused a statement"))
        }
    }
}

fn is_of_the_socket(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    cause.is_some_and(|cause| cause.downcast_ref::<std::io::Error>().is_some())
}

/// Whether the database refused because of this constraint.
pub(crate) fn breaks(error: &Error, constraint: &str) -> bool {
    error.as_db_error().and_then(|server| server.constraint()) == Some(constraint)
}

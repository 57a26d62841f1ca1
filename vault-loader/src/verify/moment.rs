//! The moment at which a source is compared: a snapshot of it, and the log positions between which the snapshot lies.
//!
//! In: a connection to the source. Out: an open REPEATABLE READ transaction, and a [`Moment`]: every change with a
//! position below `known` whose transaction committed is visible in the snapshot, and no change at or above `end` is.
//! What lies between is visible or not; for these changes alone the comparison takes both for right.
//!
//! # How the two positions are found
//!
//! A version holds the position of its change, not that of its commit. So a change below any position can belong to a
//! transaction that is still open there. What tells is the order in which transactions get their numbers:
//!
//! 1. On a second connection, note the end A of the log, then let a transaction of our own take the next number N and
//!    end. Whoever has a greater number got it after A, so all his changes lie at or above A: a change has the
//!    position at which its record begins, and the end of the log is where the next record begins.
//! 2. Take the snapshot, and note the end B of the log. What it sees was committed before, so it lies below B.
//! 3. Take another number on the second connection.
//!
//! If the snapshot shows no transaction below N as open, all changes below A are decided: `known` is A, of this attempt
//! or of the last one before whose number passes. If, beyond that, the number of step 3 is the one behind N, no other
//! transaction has begun to write since N, so none was open at all: every change below B is visible, and `known` is B.
//! On a source with hundreds of transactions a second such an instant comes after a few attempts, and each takes about
//! a millisecond. On a busier source the stretch since the oldest open transaction began lies between `known` and
//! `end`. A transaction that was open before the first attempt has to be waited for.
//!
//! A replication slot would leave the same stretch, and needs the right to replicate, a free slot, and the same wait
//! for open transactions (`docs/decisions/0022-verify-takes-a-snapshot-without-a-slot.md`).

use std::time::{Duration, Instant};

use shared::position::Lsn;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::proof::ProofError;

/// The snapshot's place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// changes of committed transactions below this position are in the snapshot
    pub(super) known: Lsn,
    /// no change at or behind this position is
    pub(super) end: Lsn,
}

impl Moment {
    /// Whether the snapshot has exactly the changes up to one position.
    pub(super) fn is_exact(self) -> bool {
        self.known == self.end
    }
}

/// What one attempt has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attempt {
    /// the end of the log before a number was taken
    before: Lsn,
    /// that number
    number: u64,
    /// the least number of an open transaction in the snapshot, or else the next number
    least_open: u64,
    /// the end of the log behind the snapshot
    end: Lsn,
    /// the number that was taken behind the snapshot
    next_number: u64,
}

/// The attempts so far, by what later ones need of them.
#[derive(Debug, Default)]
struct Attempts {
    /// numbers, and the end of the log before each
    numbers: Vec<(u64, Lsn)>,
}

impl Attempts {
    /// The place of the snapshot of this attempt, if one can be told yet.
    fn judge(&mut self, attempt: Attempt) -> Option<Moment> {
        let Attempt { before, number, least_open, end, next_number } = attempt;
        self.numbers.push((number, before));
        if least_open > number && next_number == number + 1 {
            return Some(Moment { known: end, end });
        }
        let decided = self.numbers.iter().filter(|(number, _)| *number < least_open);
        let known = decided.map(|(_, before)| *before).max()?;
        self.numbers.retain(|(_, before)| *before >= known);
        Some(Moment { known, end })
    }
}

/// For how long an instant without open transactions is looked for.
const QUIET_WAIT: Duration = Duration::from_secs(5);

/// How long to wait between two attempts, while an instant without open transactions is looked for and afterwards. Each
/// attempt takes two transaction numbers.
const PAUSES: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(250)];

/// Takes the snapshot. Afterwards `source` is inside the transaction that sees it, and the tables stay as they are
/// until that transaction ends. `tables` are names as they may stand in a statement.
pub(super) async fn take(
    source: &Client,
    second: &Client,
    tables: &[String],
    wait: Duration,
) -> Result<Moment, ProofError> {
    let begun = Instant::now();
    let mut attempts = Attempts::default();
    // Somebody who changes a table holds it alone, and would be waited for with everybody else behind.
    execute(source, "SET lock_timeout = '10s'; SET row_security = off").await?;
    execute(source, "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        .await?;
    execute(second, "SET synchronous_commit = off").await?;
    loop {
        let (before, number) = next_number(second).await?;
        let (least_open, end) = begin(source, tables).await?;
        let (_, next_number) = next_number(second).await?;
        let attempt = Attempt { before, number, least_open, end, next_number };
        let moment = attempts.judge(attempt);
        let is_late = begun.elapsed() >= QUIET_WAIT.min(wait);
        match moment {
            Some(moment) if moment.is_exact() || is_late => return Ok(moment),
            _ => execute(source, "ROLLBACK").await?,
        }
        if begun.elapsed() >= wait {
            return Err(ProofError::Late(format!(
                "the source's transaction {least_open} has been open for {} s, and nobody can tell whether its changes are \
                 in a snapshot until it ends: run again when it has ended, or wait longer with --wait",
                wait.as_secs()
            )));
        }
        tokio::time::sleep(PAUSES[usize::from(is_late)]).await;
    }
}

/// The end of the log, and then the next transaction's number, which a transaction of our own takes.
async fn next_number(second: &Client) -> Result<(Lsn, u64), ProofError> {
    let sql = "SELECT pg_current_wal_insert_lsn(); SELECT pg_current_xact_id()";
    match answers(second, sql).await?.as_slice() {
        [before, number] => Ok((parsed(before)?, parsed(number)?)),
        _ => Err(strange()),
    }
}

/// Begins the transaction: the least number of an open transaction in its snapshot, and the end of the log.
async fn begin(source: &Client, tables: &[String]) -> Result<(u64, Lsn), ProofError> {
    // A lock takes no snapshot. A table that is rewritten between snapshot and reading would look empty.
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
         LOCK TABLE {} IN ACCESS SHARE MODE;
         SELECT pg_snapshot_xmin(pg_current_snapshot()) || ' ' || pg_current_wal_insert_lsn()",
        tables.join(", ")
    );
    let found = answers(source, &sql).await?;
    let (least_open, end) =
        found.first().and_then(|answer| answer.split_once(' ')).ok_or_else(strange)?;
    Ok((parsed(least_open)?, parsed(end)?))
}

/// Runs statements at the source.
pub(super) async fn execute(client: &Client, sql: &str) -> Result<(), ProofError> {
    client.batch_execute(sql).await.map_err(ProofError::Source)
}

/// The first value of each row that statements answer with.
async fn answers(client: &Client, sql: &str) -> Result<Vec<String>, ProofError> {
    let messages = client.simple_query(sql).await.map_err(ProofError::Source)?;
    let value = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(messages.iter().filter_map(value).collect())
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, ProofError> {
    text.parse().map_err(|_| strange())
}

fn strange() -> ProofError {
    ProofError::Usage("the source answers as no PostgreSQL from version 14 on does".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(before: u64, number: u64, least_open: u64, end: u64, next_number: u64) -> Attempt {
        Attempt { before: Lsn(before), number, least_open, end: Lsn(end), next_number }
    }

    fn moment(known: u64, end: u64) -> Option<Moment> {
        Some(Moment { known: Lsn(known), end: Lsn(end) })
    }

    #[test]
    fn nobody_else_wrote_so_everything_up_to_the_end_is_known() {
        let found = Attempts::default().judge(attempt(100, 7, 8, 140, 8));
        assert_eq!(found, moment(140, 140));
        assert!(found.unwrap().is_exact());
    }

    #[test]
    fn somebody_who_began_meanwhile_may_have_written_behind_the_first_position() {
        assert_eq!(Attempts::default().judge(attempt(100, 7, 8, 140, 9)), moment(100, 140));
        // He has the number 8 and is open.
        assert_eq!(Attempts::default().judge(attempt(100, 7, 8, 140, 12)), moment(100, 140));
    }

    #[test]
    fn an_older_open_transaction_is_waited_for() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.judge(attempt(100, 7, 5, 140, 8)), None);
        assert_eq!(attempts.judge(attempt(200, 9, 5, 240, 10)), None);
        // Number 5 has ended, and 8 is open: it began behind position 100 and before 200.
        assert_eq!(attempts.judge(attempt(300, 11, 8, 340, 12)), moment(100, 340));
        assert_eq!(attempts.judge(attempt(400, 13, 10, 440, 15)), moment(200, 440));
        assert_eq!(attempts.judge(attempt(500, 16, 17, 540, 17)), moment(540, 540));
    }
}

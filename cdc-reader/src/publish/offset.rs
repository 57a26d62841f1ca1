//! The record in Kafka Connect's offset topic that says how far everything has been published. Pure.
//!
//! The value that is written has the keys that Debezium 3.6 writes after a commit, and behind them three keys that
//! Debezium ignores: `system_identifier` and `timeline` name the history of the cluster that the position belongs to,
//! and `transaction_end` is the end of the transaction that `txId` and `ts_usec` describe. A fourth key, `sent_until`,
//! is there only after the reader has found that the source lacks a transaction of which it has sent a part: the commit
//! of that transaction. The value that is read may be any offset of Debezium's: after a commit, or in the middle of a
//! transaction or a snapshot.

use serde_json::{Map, Value, json};
use shared::position::Lsn;

use super::ledger::{Position, Transaction};
use crate::replication::{SourceIdentity, Timeline};

const SYSTEM_IDENTIFIER: &str = "system_identifier";
const TIMELINE: &str = "timeline";
const TRANSACTION_END: &str = "transaction_end";
const SENT_UNTIL: &str = "sent_until";

/// An offset to be written: everything that committed before a position has been published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// The position, and the last transaction before it.
    pub position: Position,
    /// Commit time of that transaction, or the time of the start when there is none; microseconds since the epoch.
    pub ts_us: i64,
    /// The history that the position belongs to.
    pub source: SourceIdentity,
    /// The commit of a transaction beyond the position of which something was sent, where the source lacks that
    /// transaction.
    pub sent_until: Option<Lsn>,
}

impl Offset {
    /// The record's value.
    #[must_use]
    pub fn value(&self) -> Value {
        let lsn = self.position.end_lsn.0;
        let transaction = self.position.transaction;
        let mut value = json!({
            "lsn_proc": lsn,
            "messageType": "COMMIT",
            "lsn_commit": lsn,
            "lsn": lsn,
            "txId": transaction.map(|transaction| transaction.xid),
            "ts_usec": self.ts_us,
            // A text, because Java's numbers end before this one.
            SYSTEM_IDENTIFIER: self.source.system.to_string(),
            TIMELINE: self.source.timeline.0,
        });
        if let Some(transaction) = transaction {
            value[TRANSACTION_END] = transaction.end_lsn.0.into();
        }
        if let Some(sent_until) = self.sent_until {
            value[SENT_UNTIL] = sent_until.0.into();
        }
        value
    }
}

/// Where a connector stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredOffset {
    /// Nothing is stored, or a snapshot that was not finished.
    None,
    /// Everything that committed before a position has been published.
    Resume(Resume),
}

/// A stored offset from which a connector can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Everything that committed before has been published.
    pub position: Lsn,
    /// The offset's `lsn_commit`: the end of the last commit that was published, or the end of WAL without changes
    /// after that commit. None when Debezium wrote the offset before the first commit.
    pub last_commit: Option<Lsn>,
    /// The commit of a transaction of which something was sent, and which the source lacked when this was stored.
    pub sent_until: Option<Lsn>,
    /// What this reader wrote beside Debezium's keys. None in an offset that Debezium wrote.
    pub history: Option<History>,
}

/// To which history a stored position belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The cluster and its timeline.
    pub source: SourceIdentity,
    /// The last published transaction; none when there was none since the snapshot.
    pub transaction: Option<Transaction>,
}

impl Resume {
    /// The end of the last transaction that is known to be published.
    #[must_use]
    pub fn published(&self) -> Lsn {
        let transaction = self.history.and_then(|history| history.transaction);
        transaction.map_or(self.position, |last| last.end_lsn)
    }
}

impl StoredOffset {
    /// The last published transaction, if the offset names it.
    #[must_use]
    pub fn transaction(&self) -> Option<Transaction> {
        match self {
            Self::Resume(Resume { history: Some(history), .. }) => history.transaction,
            Self::Resume(Resume { history: None, .. }) | Self::None => None,
        }
    }
}

/// Reads the record's value.
///
/// `lsn_commit` is the end of the last commit seen. An offset without `lsn_commit` was written inside the first
/// transaction after a snapshot or a new slot. Every transaction that committed before the row at `lsn` was written has
/// been delivered. So starting at `lsn` is safe, and the open transaction comes again as a whole.
pub(super) fn parse(bytes: &[u8]) -> Result<StoredOffset, &'static str> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| "not JSON")?;
    let map = match value {
        Value::Null => return Ok(StoredOffset::None),
        Value::Object(map) => map,
        _ => return Err("not a map"),
    };
    let truth = |name: &str| map.get(name).and_then(Value::as_bool);
    let in_snapshot = map.get("snapshot").is_some_and(|mark| !mark.is_null() && mark != false);
    let finished = truth("snapshot_completed").or_else(|| truth("last_snapshot_record"));
    if in_snapshot && finished != Some(true) {
        return Ok(StoredOffset::None);
    }
    let last_commit = lsn(&map, "lsn_commit");
    let position = last_commit.or_else(|| lsn(&map, "lsn")).ok_or("it has no lsn")?;
    let sent_until = lsn(&map, SENT_UNTIL);
    Ok(StoredOffset::Resume(Resume { position, last_commit, sent_until, history: history(&map)? }))
}

fn lsn(map: &Map<String, Value>, name: &str) -> Option<Lsn> {
    map.get(name).and_then(Value::as_u64).filter(|&lsn| lsn > 0).map(Lsn)
}

fn history(map: &Map<String, Value>) -> Result<Option<History>, &'static str> {
    let Some(system) = map.get(SYSTEM_IDENTIFIER) else { return Ok(None) };
    let system = system.as_str().and_then(|text| text.parse().ok());
    let timeline = map.get(TIMELINE).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let (Some(system), Some(timeline)) = (system, timeline) else {
        return Err("its system_identifier or its timeline is not a number");
    };
    let transaction = lsn(map, TRANSACTION_END).and_then(|end_lsn| {
        Some(Transaction {
            end_lsn,
            xid: u32::try_from(map.get("txId")?.as_u64()?).ok()?,
            commit_ts_us: map.get("ts_usec")?.as_i64()?,
        })
    });
    let source = SourceIdentity { system, timeline: Timeline(timeline) };
    Ok(Some(History { source, transaction }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::SystemIdentifier;

    const SOURCE: SourceIdentity =
        SourceIdentity { system: SystemIdentifier(u64::MAX), timeline: Timeline(3) };

    fn transaction() -> Transaction {
        Transaction {
            end_lsn: Lsn(1_467_071_700),
            xid: 25_566,
            commit_ts_us: 1_795_228_672_325_479,
        }
    }

    fn offset(transaction: Option<Transaction>) -> Offset {
        let position = Position { end_lsn: Lsn(1_467_071_720), transaction };
        Offset { position, ts_us: 1_795_228_672_325_479, source: SOURCE, sent_until: None }
    }

    #[test]
    fn offsets_have_debeziums_keys_and_then_our_own() {
        assert_eq!(
            offset(Some(transaction())).value().to_string(),
            concat!(
                r#"{"lsn_proc":1467071720,"messageType":"COMMIT","lsn_commit":1467071720,"lsn":1467071720,"txId":25566,"#,
                r#""ts_usec":1795228672325479,"system_identifier":"18446744073709551615","timeline":3,"transaction_end":1467071700}"#
            )
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for (transaction, sent_until) in [
            (None, None),
            (Some(transaction()), None),
            (Some(transaction()), Some(Lsn(1_467_071_900))),
        ] {
            let text = Offset { sent_until, ..offset(transaction) }.value().to_string();
            let read = parse(text.as_bytes()).unwrap();
            let position = Lsn(1_467_071_720);
            let history = Some(History { source: SOURCE, transaction });
            let expected = Resume { position, last_commit: Some(position), sent_until, history };
            assert_eq!(read, StoredOffset::Resume(expected));
            assert_eq!(read.transaction(), transaction);
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Result<StoredOffset, &'static str>) {
        assert_eq!(parse(text.as_bytes()), expected, "{text}");
    }

    fn resume(position: u64, last_commit: Option<u64>) -> StoredOffset {
        let last_commit = last_commit.map(Lsn);
        let position = Lsn(position);
        StoredOffset::Resume(Resume { position, last_commit, sent_until: None, history: None })
    }

    #[test]
    fn debeziums_offsets_are_understood_wherever_they_were_written() {
        check(
            r#"{"lsn_proc":9,"messageType":"COMMIT","lsn_commit":9,"lsn":9,"txId":1,"ts_usec":1}"#,
            Ok(resume(9, Some(9))),
        );
        // Inside a transaction the row's LSN is greater than the position up to which everything is complete.
        check(
            r#"{"lsn_proc":20,"messageType":"INSERT","lsn_commit":9,"lsn":20,"txId":1,"ts_usec":1}"#,
            Ok(resume(9, Some(9))),
        );
        check(r#"{"lsn":20,"txId":1,"ts_usec":1}"#, Ok(resume(20, None)));
        check(r#"{"snapshot":"INITIAL","snapshot_completed":true,"lsn":20}"#, Ok(resume(20, None)));
        check(r#"{"snapshot":true,"last_snapshot_record":false,"lsn":20}"#, Ok(StoredOffset::None));
        check("null", Ok(StoredOffset::None));
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        check("x", Err("not JSON"));
        check("[]", Err("not a map"));
        check("{}", Err("it has no lsn"));
        check(r#"{"lsn":"x"}"#, Err("it has no lsn"));
        let half = "its system_identifier or its timeline is not a number";
        check(r#"{"lsn":1,"system_identifier":"x","timeline":1}"#, Err(half));
        check(r#"{"lsn":1,"system_identifier":"1"}"#, Err(half));
    }
}

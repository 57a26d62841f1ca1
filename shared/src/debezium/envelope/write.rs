//! Writing the parts of an envelope that do not depend on a table's columns.
//!
//! The order of fields and the forms of numbers are those of Debezium 3.6: `before, after, source, transaction, op,
//! ts_ms, ts_us, ts_ns`. The constant parts of a table's events are ready as bytes, so an event costs a few copies and
//! a few integers to print.

use super::Op;
use crate::debezium::types::text::write_json_string;
use crate::position::Lsn;

/// The place of a row in a snapshot, or [`SnapshotMark::Streaming`] when the row comes from the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMark {
    /// From the replication stream.
    Streaming,
    /// The first row of the whole snapshot.
    First,
    /// The first row of a table.
    FirstInDataCollection,
    /// A row in the middle.
    True,
    /// The last row of a table.
    LastInDataCollection,
    /// The last row of the whole snapshot.
    Last,
}

/// Where a transaction was first committed, when it came here by replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'o> {
    /// Name of the replication origin.
    pub name: &'o str,
    /// Position of the commit there.
    pub lsn: Lsn,
}

/// What the source block says about one event.
#[derive(Debug, Clone, Copy)]
pub struct SourceInfo<'o> {
    /// Commit time, or the time at which a snapshot read the row, in microseconds since the epoch.
    pub ts_us: i64,
    /// Where in a snapshot.
    pub snapshot: SnapshotMark,
    /// Transaction id; `None` outside of any transaction.
    pub tx_id: Option<u32>,
    /// Position of the row's WAL record.
    pub lsn: Lsn,
    /// End of the last commit before this event. `None` after a first start, until a commit has been seen.
    pub last_commit: Option<Lsn>,
    /// Where the transaction comes from; `None` when it was made on the source itself.
    pub origin: Option<Origin<'o>>,
}

/// Writes source blocks of one table.
#[derive(Debug, Clone)]
pub struct SourceWriter {
    head: Vec<u8>,
    database: Vec<u8>,
    table: Vec<u8>,
    streaming: &'static [u8],
}

impl SourceWriter {
    /// A writer for `schema.table` of `database`, captured by the connector `name` that calls itself `version`.
    #[must_use]
    pub fn new(version: &str, name: &str, database: &str, schema: &str, table: &str) -> Self {
        let mut head = b"{\"version\":".to_vec();
        write_json_string(&mut head, version);
        head.extend_from_slice(b",\"connector\":\"postgresql\",\"name\":");
        write_json_string(&mut head, name);
        head.extend_from_slice(b",\"ts_ms\":");
        let mut db = b",\"db\":".to_vec();
        write_json_string(&mut db, database);
        db.extend_from_slice(b",\"sequence\":\"[");
        let mut tail = b",\"schema\":".to_vec();
        write_json_string(&mut tail, schema);
        tail.extend_from_slice(b",\"table\":");
        write_json_string(&mut tail, table);
        tail.extend_from_slice(b",\"txId\":");
        Self { head, database: db, table: tail, streaming: b"\"false\"" }
    }

    /// Marks streamed events with `null`, as a converter does that does not replace a NULL by the schema's default.
    #[must_use]
    pub fn without_default_mark(mut self) -> Self {
        self.streaming = b"null";
        self
    }

    /// Appends a source block.
    pub fn write(&self, out: &mut Vec<u8>, info: &SourceInfo<'_>) {
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(&self.head);
        out.extend_from_slice(number.format(info.ts_us.div_euclid(1000)).as_bytes());
        out.extend_from_slice(b",\"snapshot\":");
        match info.snapshot {
            SnapshotMark::Streaming => out.extend_from_slice(self.streaming),
            SnapshotMark::First => out.extend_from_slice(b"\"first\""),
            SnapshotMark::FirstInDataCollection => {
                out.extend_from_slice(b"\"first_in_data_collection\"");
            }
            SnapshotMark::True => out.extend_from_slice(b"\"true\""),
            SnapshotMark::LastInDataCollection => {
                out.extend_from_slice(b"\"last_in_data_collection\"");
            }
            SnapshotMark::Last => out.extend_from_slice(b"\"last\""),
        }
        out.extend_from_slice(&self.database);
        match info.last_commit {
            Some(commit) => {
                out.extend_from_slice(b"\\\"");
                out.extend_from_slice(number.format(commit.0).as_bytes());
                out.extend_from_slice(b"\\\",\\\"");
            }
            None => out.extend_from_slice(b"null,\\\""),
        }
        out.extend_from_slice(number.format(info.lsn.0).as_bytes());
        out.extend_from_slice(b"\\\"]\",\"ts_us\":");
        out.extend_from_slice(number.format(info.ts_us).as_bytes());
        out.extend_from_slice(b",\"ts_ns\":");
        out.extend_from_slice(number.format(info.ts_us).as_bytes());
        out.extend_from_slice(b"000");
        out.extend_from_slice(&self.table);
        match info.tx_id {
            Some(id) => out.extend_from_slice(number.format(id).as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"lsn\":");
        out.extend_from_slice(number.format(info.lsn.0).as_bytes());
        match info.origin {
            None => out.extend_from_slice(b",\"xmin\":null,\"origin\":null,\"origin_lsn\":null}"),
            Some(origin) => {
                out.extend_from_slice(b",\"xmin\":null,\"origin\":");
                write_json_string(out, origin.name);
                out.extend_from_slice(b",\"origin_lsn\":");
                out.extend_from_slice(number.format(origin.lsn.0).as_bytes());
                out.push(b'}');
            }
        }
    }
}

/// Appends the members that follow the source block: an empty `transaction`, the operation, and the event's own time in
/// three units.
///
/// `now_ns` is in nanoseconds since the epoch.
pub fn write_tail(out: &mut Vec<u8>, op: Op, now_ns: i64) {
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b",\"transaction\":null,\"op\":\"");
    out.extend_from_slice(op.as_str().as_bytes());
    out.extend_from_slice(b"\",\"ts_ms\":");
    out.extend_from_slice(number.format(now_ns.div_euclid(1_000_000)).as_bytes());
    out.extend_from_slice(b",\"ts_us\":");
    out.extend_from_slice(number.format(now_ns.div_euclid(1000)).as_bytes());
    out.extend_from_slice(b",\"ts_ns\":");
    out.extend_from_slice(number.format(now_ns).as_bytes());
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_block_is_debeziums_byte_for_byte() {
        let writer = SourceWriter::new("3.6.0.Final", "obs", "obs", "public", "flights");
        let mut out = Vec::new();
        writer.write(
            &mut out,
            &SourceInfo {
                ts_us: 1_795_228_672_314_623,
                snapshot: SnapshotMark::Streaming,
                tx_id: Some(25_562),
                lsn: Lsn(1_467_067_560),
                last_commit: Some(Lsn(1_467_067_560)),
                origin: None,
            },
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"version":"3.6.0.Final","connector":"postgresql","name":"obs","ts_ms":1795228672314,"snapshot":"false","db":"obs","sequence":"[\"1467067560\",\"1467067560\"]","ts_us":1795228672314623,"ts_ns":1795228672314623000,"schema":"public","table":"flights","txId":25562,"lsn":1467067560,"xmin":null,"origin":null,"origin_lsn":null}"#
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let writer = SourceWriter::new("v", "airline", "db", "public", "t\"x");
        let mut out = b"{\"before\":null,\"after\":{\"id\":1},\"source\":".to_vec();
        let info = SourceInfo {
            ts_us: 5_000_001,
            snapshot: SnapshotMark::Last,
            tx_id: Some(9),
            lsn: Lsn(77),
            last_commit: None,
            origin: None,
        };
        writer.write(&mut out, &info);
        write_tail(&mut out, Op::Read, 1_234_567_891);
        let event = super::super::parse(&out).unwrap();
        assert_eq!((event.op, event.ts_us), (Op::Read, 1_234_567));
        assert!(event.source.snapshot);
        assert_eq!(event.source.table, "t\"x");
        assert_eq!((event.source.lsn, event.source.ts_us), (Some(Lsn(77)), 5_000_001));
    }
}

//! Taking an envelope apart: bytes in, borrowed parts out.

use std::borrow::Cow;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Op;
use crate::position::Lsn;

/// Why bytes are not a change event. The error never repeats the bytes, because they hold rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON, or JSON of another shape; with the place, counted from 1.
    #[error("not a Debezium envelope: line {line}, column {column}")]
    Shape {
        /// Line of the first byte that does not fit.
        line: usize,
        /// Column of it.
        column: usize,
    },
    /// A field that every event needs is missing.
    #[error("envelope has no {0:?}")]
    Missing(&'static str),
    /// The letter in `op` stands for no operation.
    #[error("envelope has an unknown op")]
    UnknownOp,
}

/// One change event. Its rows stay JSON text.
#[derive(Debug)]
pub struct Event<'a> {
    /// The operation.
    pub op: Op,
    /// The row before the change. Under the default replica identity only its key columns hold values.
    pub before: Option<&'a RawValue>,
    /// The row after the change.
    pub after: Option<&'a RawValue>,
    /// Where the change comes from.
    pub source: Source<'a>,
    /// When the event was made, microseconds since the epoch.
    pub ts_us: i64,
}

/// The parts of the source block that a consumer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source<'a> {
    /// `topic.prefix` of the connector.
    pub name: Cow<'a, str>,
    /// Schema of the table.
    pub schema: Cow<'a, str>,
    /// Table.
    pub table: Cow<'a, str>,
    /// Whether a snapshot read the row.
    pub snapshot: bool,
    /// Commit time at the source, or the time at which a snapshot read the row, in microseconds since the epoch.
    pub ts_us: i64,
    /// Transaction id, absent in incremental snapshots.
    pub tx_id: Option<i64>,
    /// Position of the row's WAL record; never to be compared across keys.
    pub lsn: Option<Lsn>,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<WireSource<'a>>,
    #[serde(borrow, default)]
    op: Option<Text<'a>>,
    #[serde(default)]
    ts_ms: Option<i64>,
    #[serde(default)]
    ts_us: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSource<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    schema: Option<Text<'a>>,
    #[serde(borrow, default)]
    table: Option<Text<'a>>,
    // Debezium writes a string since 1.x, some old versions wrote a boolean, and some converters write null for a
    // streamed event.
    #[serde(borrow, default)]
    snapshot: Option<&'a RawValue>,
    #[serde(rename = "ts_ms", default)]
    ts_ms: Option<i64>,
    #[serde(rename = "ts_us", default)]
    ts_us: Option<i64>,
    #[serde(default)]
    tx_id: Option<i64>,
    #[serde(default)]
    lsn: Option<u64>,
}

/// Text that is borrowed where JSON needs no unescaping. Inside an [`Option`], serde copies a [`Cow`] always.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// Takes a value's bytes apart, with or without the schema part (`{"schema":…,"payload":…}`).
///
/// # Errors
/// See [`EnvelopeError`].
pub fn parse(bytes: &[u8]) -> Result<Event<'_>, EnvelopeError> {
    // One check of the whole text takes less time than one of each string. The other way tells where it is no text.
    let wire = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(bytes),
    };
    let mut wire: WireEvent<'_> = wire.map_err(|e| shape(&e))?;
    if let (Some(payload), None) = (wire.payload, &wire.op) {
        wire = serde_json::from_str(payload.get()).map_err(|e| shape(&e))?;
    }
    let letter = wire.op.ok_or(EnvelopeError::Missing("op"))?;
    let op = Op::from_wire(&letter.0).ok_or(EnvelopeError::UnknownOp)?;
    let source = wire.source.ok_or(EnvelopeError::Missing("source"))?;
    let ts_us = micros(wire.ts_us, wire.ts_ms).ok_or(EnvelopeError::Missing("ts_us"))?;
    Ok(Event {
        op,
        before: wire.before,
        after: wire.after,
        source: Source {
            name: source.name.ok_or(EnvelopeError::Missing("source.name"))?.0,
            schema: source.schema.ok_or(EnvelopeError::Missing("source.schema"))?.0,
            table: source.table.ok_or(EnvelopeError::Missing("source.table"))?.0,
            snapshot: source
                .snapshot
                .is_some_and(|raw| !matches!(raw.get(), "\"false\"" | "false")),
            ts_us: micros(source.ts_us, source.ts_ms)
                .ok_or(EnvelopeError::Missing("source.ts_ms"))?,
            tx_id: source.tx_id,
            lsn: source.lsn.map(Lsn),
        },
        ts_us,
    })
}

/// Debezium before 2.5 writes milliseconds only.
fn micros(us: Option<i64>, ms: Option<i64>) -> Option<i64> {
    us.or_else(|| ms.and_then(|ms| ms.checked_mul(1000)))
}

fn shape(error: &serde_json::Error) -> EnvelopeError {
    EnvelopeError::Shape { line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = r#"{"before":null,"after":{"id":1},"source":{"version":"3.6.0.Final","connector":"postgresql","name":"airline","ts_ms":1700000000123,"snapshot":"false","db":"a","sequence":"[null,\"7\"]","ts_us":1700000000123456,"ts_ns":1700000000123456000,"schema":"public","table":"t","txId":5,"lsn":7,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"c","ts_ms":1700000000200,"ts_us":1700000000200321,"ts_ns":1700000000200321654}"#;

    #[test]
    fn an_envelope_reads_the_same_with_and_without_its_schema() {
        let wrapped = format!(r#"{{"schema":{{"type":"struct","fields":[]}},"payload":{BARE}}}"#);
        for text in [BARE, &wrapped] {
            let event = parse(text.as_bytes()).unwrap();
            assert_eq!(event.op, Op::Create);
            assert!(event.before.is_none());
            assert_eq!(event.after.unwrap().get(), r#"{"id":1}"#);
            assert_eq!(event.ts_us, 1_700_000_000_200_321);
            assert_eq!(event.source.ts_us, 1_700_000_000_123_456);
            assert_eq!(event.source.lsn, Some(Lsn(7)));
            assert_eq!(event.source.tx_id, Some(5));
            assert_eq!((&*event.source.name, &*event.source.table), ("airline", "t"));
            assert!(!event.source.snapshot);
        }
    }

    #[test]
    fn every_mark_but_false_is_a_snapshot() {
        for (mark, expected) in [
            ("\"last\"", true),
            ("\"incremental\"", true),
            ("true", true),
            ("false", false),
            ("null", false),
        ] {
            let text = BARE.replace(r#""snapshot":"false""#, &format!(r#""snapshot":{mark}"#));
            assert_eq!(parse(text.as_bytes()).unwrap().source.snapshot, expected, "{mark}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_named_without_showing_it() {
        assert!(matches!(parse(b"secret row").unwrap_err(), EnvelopeError::Shape { .. }));
        assert_eq!(parse(b"{}").unwrap_err(), EnvelopeError::Missing("op"));
        let unknown = BARE.replace(r#""op":"c""#, r#""op":"z""#);
        assert_eq!(parse(unknown.as_bytes()).unwrap_err(), EnvelopeError::UnknownOp);
        assert!(!parse(b"secret row").unwrap_err().to_string().contains("secret"));
    }
}

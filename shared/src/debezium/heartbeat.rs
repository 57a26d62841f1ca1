//! Heartbeats: the record that Debezium writes, and headers of our own that say how far Kafka has everything.
//!
//! The reader writes them, and the loader reads those of both programs. Key and value are Debezium's, byte for byte.
//! The headers of a heartbeat of the reader are a claim about all topics of its connector, which was true before the
//! record was sent. Debezium has no such headers.

use serde_json::{Value, json};

use crate::position::Lsn;

/// `topic.heartbeat.prefix`, unless it is set.
pub const HEARTBEAT_PREFIX: &str = "__debezium-heartbeat";

/// The partition that has all heartbeats of a topic.
pub const HEARTBEAT_PARTITION: i32 = 0;

/// Header: the position in the source's log, in decimal digits.
pub const POSITION_HEADER: &str = "__vaultstream.position";

/// Header: the timeline of the source's log that the position belongs to, in decimal digits.
pub const TIMELINE_HEADER: &str = "__vaultstream.timeline";

/// Header: the commit time there, microseconds since the epoch.
pub const COMMITTED_HEADER: &str = "__vaultstream.committed";

/// Header: the publish time, microseconds since the epoch.
pub const PUBLISHED_HEADER: &str = "__vaultstream.published";

/// The topic of a connector's heartbeats, as Debezium's `AbstractTopicNamingStrategy` names it.
#[must_use]
pub fn heartbeat_topic(heartbeat_prefix: &str, topic_prefix: &str) -> String {
    format!("{heartbeat_prefix}.{topic_prefix}")
}

/// What a heartbeat says about all topics of its connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Every event of each transaction whose commit ends at or before this position is acknowledged by Kafka.
    pub position: Lsn,
    /// The timeline that the position belongs to. After a promotion, other changes may stand at positions that the server
    /// before had passed.
    pub timeline: u32,
    /// When the last known transaction before that position committed, microseconds since the epoch.
    pub committed_us: Option<i64>,
    /// Every event that was published at or before this time is acknowledged by Kafka, and each later event is
    /// published later; microseconds since the epoch. None while the reader does not know such a time.
    pub published_us: Option<i64>,
}

impl Reached {
    /// The headers that say it.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let known = |name, time: Option<i64>| Some((name, time?.to_string()));
        let position = (POSITION_HEADER, self.position.0.to_string());
        let timeline = (TIMELINE_HEADER, self.timeline.to_string());
        [
            Some(position),
            Some(timeline),
            known(COMMITTED_HEADER, self.committed_us),
            known(PUBLISHED_HEADER, self.published_us),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What these headers say; none without a position and its timeline.
    fn read<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Option<Self> {
        let (mut position, mut timeline) = (None, None);
        let (mut committed_us, mut published_us) = (None, None);
        for (name, value) in headers {
            let text = || std::str::from_utf8(value).ok();
            match name {
                POSITION_HEADER => position = text().and_then(|text| text.parse().ok()),
                TIMELINE_HEADER => timeline = text().and_then(|text| text.parse().ok()),
                COMMITTED_HEADER => committed_us = text().and_then(|text| text.parse().ok()),
                PUBLISHED_HEADER => published_us = text().and_then(|text| text.parse().ok()),
                _ => {}
            }
        }
        Some(Self { position: Lsn(position?), timeline: timeline?, committed_us, published_us })
    }
}

/// The key of the heartbeats of the connector with this topic prefix.
#[must_use]
pub fn heartbeat_key(topic_prefix: &str) -> Vec<u8> {
    json!({ "serverName": topic_prefix }).to_string().into_bytes()
}

/// The value of a heartbeat that is sent at this time, milliseconds since the epoch.
#[must_use]
pub fn heartbeat_value(sent_ms: i64) -> Vec<u8> {
    json!({ "ts_ms": sent_ms }).to_string().into_bytes()
}

/// A heartbeat that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The topic prefix of its connector. Several connectors may share one topic of heartbeats.
    pub server: String,
    /// When it was sent, milliseconds since the epoch.
    pub sent_ms: i64,
    /// What it says about the connector's topics; none when Debezium has sent it.
    pub reached: Option<Reached>,
}

/// Reads a heartbeat, with or without the schema part; none when the record is no heartbeat.
#[must_use]
pub fn read_heartbeat<'h>(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
) -> Option<Heartbeat> {
    let payload = |bytes: Option<&[u8]>| {
        let value: Value = serde_json::from_slice(bytes?).ok()?;
        Some(value.get("payload").cloned().unwrap_or(value))
    };
    Some(Heartbeat {
        server: payload(key)?.get("serverName")?.as_str()?.to_owned(),
        sent_ms: payload(value)?.get("ts_ms")?.as_i64()?,
        reached: Reached::read(headers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &[u8], value: &[u8], headers: &[(&'static str, String)]) -> Option<Heartbeat> {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        read_heartbeat(Some(key), Some(value), headers)
    }

    #[test]
    fn key_value_and_topic_are_debeziums() {
        assert_eq!(heartbeat_topic(HEARTBEAT_PREFIX, "obs"), "__debezium-heartbeat.obs");
        assert_eq!(heartbeat_key("obs"), br#"{"serverName":"obs"}"#);
        assert_eq!(heartbeat_value(1_795_228_664_643), br#"{"ts_ms":1795228664643}"#);
    }

    #[test]
    fn what_is_written_is_read() {
        for (committed_us, published_us) in [(None, None), (Some(-5), None), (Some(7), Some(9))] {
            let position = Lsn(u64::MAX);
            let reached = Reached { position, timeline: 3, committed_us, published_us };
            let found = read(&heartbeat_key("a"), &heartbeat_value(3), &reached.headers()).unwrap();
            let expected = Heartbeat { server: "a".to_owned(), sent_ms: 3, reached: Some(reached) };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn debeziums_heartbeats_say_nothing_of_topics_with_and_without_a_schema() {
        let key = br#"{"schema":{"type":"struct"},"payload":{"serverName":"obs"}}"#;
        let value = br#"{"schema":{"type":"struct"},"payload":{"ts_ms":12}}"#;
        let expected = Heartbeat { server: "obs".to_owned(), sent_ms: 12, reached: None };
        assert_eq!(read(key, value, &[]), Some(expected.clone()));
        assert_eq!(read(br#"{"serverName":"obs"}"#, br#"{"ts_ms":12}"#, &[]), Some(expected));
    }

    #[test]
    fn what_is_no_heartbeat_is_none() {
        assert_eq!(read(b"{}", br#"{"ts_ms":1}"#, &[]), None);
        assert_eq!(read(br#"{"serverName":"a"}"#, b"x", &[]), None);
        assert_eq!(read_heartbeat(None, None, std::iter::empty()), None);
        let broken = [(POSITION_HEADER, "x".to_owned()), (PUBLISHED_HEADER, "1".to_owned())];
        let found = read(&heartbeat_key("a"), &heartbeat_value(3), &broken).unwrap();
        assert_eq!(found.reached, None);
        let found = read(&heartbeat_key("a"), &heartbeat_value(3), &broken[1..]).unwrap();
        assert_eq!(found.reached, None);
    }
}

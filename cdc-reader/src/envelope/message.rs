//! The records of logical decoding messages (`pg_logical_emit_message`), in the form of Debezium's `MessageKey` and
//! `MessageValue`.
//!
//! In: prefix and content of a message, and where it was written. Out: the bytes of key and value. The source block
//! names no table.

use shared::debezium::envelope::{Op, SourceInfo, SourceWriter};
use shared::debezium::types::text::{push_base64, write_json_string};

use super::plan::PlanOptions;
use crate::pgoutput::LogicalMessage;

/// What follows the topic prefix in the name of the topic.
const TOPIC_SUFFIX: &str = ".message";

/// Writes the records of messages. Everything that does not change from message to message is ready as bytes.
#[derive(Debug, Clone)]
pub struct MessagePlan {
    topic: String,
    source: SourceWriter,
}

impl MessagePlan {
    /// Compiles the plan.
    #[must_use]
    pub fn new(options: &PlanOptions) -> Self {
        Self {
            topic: format!("{}{TOPIC_SUFFIX}", options.topic_prefix),
            source: options.source_writer("", ""),
        }
    }

    /// The topic that all messages go to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Appends the key of a message: its prefix.
    pub fn write_key(out: &mut Vec<u8>, message: &LogicalMessage<'_>) {
        out.extend_from_slice(b"{\"prefix\":");
        write_json_string(out, message.prefix);
        out.push(b'}');
    }

    /// Appends the value of a message. `now_ms` is in milliseconds since the epoch.
    pub fn write_value(
        &self,
        out: &mut Vec<u8>,
        message: &LogicalMessage<'_>,
        source: &SourceInfo<'_>,
        now_ms: i64,
    ) {
        out.extend_from_slice(b"{\"op\":\"");
        out.extend_from_slice(Op::Message.as_str().as_bytes());
        out.extend_from_slice(b"\",\"ts_ms\":");
        out.extend_from_slice(itoa::Buffer::new().format(now_ms).as_bytes());
        out.extend_from_slice(b",\"source\":");
        self.source.write(out, source);
        out.extend_from_slice(b",\"transaction\":null,\"message\":{\"prefix\":");
        write_json_string(out, message.prefix);
        out.extend_from_slice(b",\"content\":\"");
        push_base64(out, message.content);
        out.extend_from_slice(b"\"}}");
    }
}

#[cfg(test)]
mod tests {
    use shared::debezium::envelope::SnapshotMark;
    use shared::position::Lsn;

    use super::super::plan::WithoutForm;
    use super::*;

    #[test]
    fn a_message_outside_a_transaction_has_no_transaction_id_and_names_no_table() {
        let plan = MessagePlan::new(&PlanOptions {
            topic_prefix: "p".to_owned(),
            database: "d".to_owned(),
            version: "v".to_owned(),
            unavailable_value_placeholder: String::new(),
            replace_null_with_default: true,
            column_types_header: false,
            without_form: WithoutForm::Null,
        });
        let source = SourceInfo {
            ts_us: 1_000_001,
            snapshot: SnapshotMark::Streaming,
            tx_id: None,
            lsn: Lsn(9),
            last_commit: Some(Lsn(9)),
            origin: None,
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let message = LogicalMessage {
            transactional: false,
            lsn: Lsn(9),
            prefix: "a\"b",
            content: b"\x00hi",
        };
        MessagePlan::write_key(&mut key, &message);
        plan.write_value(&mut value, &message, &source, 7);
        assert_eq!(plan.topic(), "p.message");
        assert_eq!(String::from_utf8(key).unwrap(), r#"{"prefix":"a\"b"}"#);
        assert_eq!(
            String::from_utf8(value).unwrap(),
            r#"{"op":"m","ts_ms":7,"source":{"version":"v","connector":"postgresql","name":"p","ts_ms":1000,"snapshot":"false","db":"d","sequence":"[\"9\",\"9\"]","ts_us":1000001,"ts_ns":1000001000,"schema":"","table":"","txId":null,"lsn":9,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"message":{"prefix":"a\"b","content":"AGhp"}}"#
        );
    }
}

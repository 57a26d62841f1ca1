//! A message as the loader reads it.
//!
//! In: a message of librdkafka. Out: its place, its time, and the parts that a batch keeps, all borrowed.

use rdkafka::message::{BorrowedMessage, Headers, Message};
use shared::debezium::columns::COLUMNS_HEADER;

use crate::batch::{Content, OLD_KEY_HEADER};

/// A message's parts.
pub(super) struct Incoming<'m> {
    pub(super) topic: &'m str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) published_ms: Option<i64>,
    pub(super) content: Content<'m>,
}

pub(super) fn borrow<'m>(message: &'m BorrowedMessage<'_>) -> Incoming<'m> {
    Incoming {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        published_ms: message.timestamp().to_millis(),
        content: Content {
            key: message.key(),
            value: message.payload(),
            old_key: header(message, OLD_KEY_HEADER),
            columns: header(message, COLUMNS_HEADER),
        },
    }
}

fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m [u8]> {
    message.headers()?.iter().find(|header| header.key == name)?.value
}

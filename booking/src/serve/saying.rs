//! Saying something in the chat of a flight, by a WebSocket or by the form of a page.
//!
//! In: a customer, a flight, a key, a text. Out: the id of the stored message, for which the bell was rung. The key is
//! an idempotency key of the customer: the same message again, with the same key, is stored once.

use std::time::Instant;

use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;

use super::answer::Answer;
use super::idempotency::{Change, Once};
use super::problem::{Kind, Problem};
use super::request::Key;
use super::state::Service;
use super::store::live::store_message;
use super::work::Failure;

/// Characters of a message at most.
pub(crate) const TEXT_CHARS_MAX: usize = 2000;
/// Characters of a key at most.
const KEY_CHARS_MAX: usize = 64;

/// A message that is stored once, under the key of whoever says it.
struct Say {
    flight_id: i32,
    text: String,
}

impl Change for Say {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let id = store_message(tx, self.flight_id, account_id, &self.text).await?;
        Ok(Answer::tagged(StatusCode::CREATED, &id)?)
    }
}

/// Stores a message once and rings.
///
/// # Errors
/// When key or text are none, the customer says too much, the key is another message's, or the database is away.
pub(crate) async fn say(
    service: &Service,
    account_id: i64,
    flight_id: i32,
    key: &str,
    text: &str,
) -> Result<i64, Problem> {
    let is_key =
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key {
        let reason = format!(
            "must have 1 to {KEY_CHARS_MAX} ASCII characters without spaces, such as a UUID"
        );
        return Err(Problem::field("key", reason));
    }
    // Browsers send lines of a form with a carriage return.
    let text = text.replace("\r\n", "\n").trim().to_owned();
    let is_text = (1..=TEXT_CHARS_MAX).contains(&text.chars().count())
        && !text.chars().any(|char| char.is_control() && char != '\n');
    if !is_text {
        let reason = format!("must have 1 to {TEXT_CHARS_MAX} characters and no control ones");
        return Err(Problem::field("text", reason));
    }
    if let Some(limit) = service.messages() {
        limit.take_for(account_id, Instant::now()).map_err(Problem::too_many)?;
    }
    let digest = Sha256::new()
        .chain_update(flight_id.to_be_bytes())
        .chain_update(text.as_bytes())
        .finalize()
        .to_vec();
    let key = Some(Key { key: format!("chat/{key}"), digest });
    let change = Say { flight_id, text };
    let answer = service.on_primary(&Once { account_id, key, change }).await?;
    if !answer.replayed {
        service.metrics().live().stored();
    }
    service.bell().ring(flight_id).await;
    let wrong = |_| Problem::new(Kind::Internal, "a stored message has no id");
    answer.body.parse().map_err(wrong)
}

//! Changes that are made once, however often they are asked for.
//!
//! In: a change, and perhaps a key with the digest of the request. Out: the answer of the change, or the stored answer
//! of an earlier request. The key is inserted before the change and in its transaction:
//!
//! * Of two requests with one key that run at the same time, the second waits at the key's unique index until the first
//!   ends. Then it finds the stored answer, or makes the change itself if the first was refused.
//! * A request that is refused stores nothing, so it may be sent again under its key.
//! * A connection that is lost at the commit is no danger: the change is asked for again, and the key tells.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::answer::Answer;
use super::problem::{Kind, Problem};
use super::request::Key;
use super::work::{Failure, Mode, Work};

/// A change that gives an answer.
pub(crate) trait Change: Send + Sync {
    /// Makes it.
    fn make(
        &self,
        tx: &Transaction<'_>,
        account_id: i64,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// A change under a key, or without one.
#[derive(Debug)]
pub(crate) struct Once<C> {
    pub(crate) account_id: i64,
    pub(crate) key: Option<Key>,
    pub(crate) change: C,
}

impl<C: Change> Work for Once<C> {
    type Output = Answer;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Answer, Failure> {
        let Some(key) = &self.key else { return self.change.make(tx, self.account_id).await };
        if !take(tx, self.account_id, key).await? {
            return replay(tx, self.account_id, key).await;
        }
        let answer = self.change.make(tx, self.account_id).await?;
        store(tx, self.account_id, key, &answer).await?;
        Ok(answer)
    }

    fn mode(&self) -> Mode {
        if self.key.is_some() { Mode::Again } else { Mode::Once }
    }
}

/// Whether this request is the first with its key.
async fn take(tx: &Transaction<'_>, account_id: i64, key: &Key) -> Result<bool, Failure> {
    let inserted = tx
        .execute_typed(
            "INSERT INTO service.idempotency_keys (account_id, key, digest)
             VALUES ($1, $2, $3)
             ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING",
            &[(&account_id, Type::INT8), (&key.key, Type::TEXT), (&key.digest, Type::BYTEA)],
        )
        .await;
    match inserted {
        Ok(rows) => Ok(rows == 1),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            let detail = "a request with this key is under way: send it again later";
            Err(Problem::new(Kind::InProgress, detail).into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn replay(tx: &Transaction<'_>, account_id: i64, key: &Key) -> Result<Answer, Failure> {
    let row = tx
        .query_typed_opt(
            "SELECT digest, status, etag, location, body
             FROM service.idempotency_keys
             WHERE account_id = $1
               AND key = $2",
            &[(&account_id, Type::INT8), (&key.key, Type::TEXT)],
        )
        .await?;
    // It was removed for its age in between.
    let Some(row) = row else { return Err(Failure::Again) };
    if row.get::<_, Vec<u8>>(0) != key.digest {
        let detail = "this Idempotency-Key came with another request: take a new key";
        return Err(Problem::new(Kind::KeyReused, detail).into());
    }
    let status: Option<i16> = row.get(1);
    let (Some(status), Some(body)) = (status, row.get::<_, Option<String>>(4)) else {
        return Err(Problem::new(Kind::Internal, "an idempotency key has no answer").into());
    };
    let status = u16::try_from(status).unwrap_or_default();
    Ok(Answer { status, etag: row.get(2), location: row.get(3), body, replayed: true })
}

async fn store(
    tx: &Transaction<'_>,
    account_id: i64,
    key: &Key,
    answer: &Answer,
) -> Result<(), Failure> {
    let status = i16::try_from(answer.status).unwrap_or_default();
    tx.execute_typed(
        "UPDATE service.idempotency_keys
         SET status = $3, etag = $4, location = $5, body = $6
         WHERE account_id = $1
           AND key = $2",
        &[
            (&account_id, Type::INT8),
            (&key.key, Type::TEXT),
            (&status, Type::INT2),
            (&answer.etag, Type::TEXT),
            (&answer.location, Type::TEXT),
            (&answer.body, Type::TEXT),
        ],
    )
    .await?;
    Ok(())
}

//! Whose session a browser has.
//!
//! In: the hash of a token. Out: the customer as every page shows them, and the name of the session, which ends it.

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::super::work::{Failure, Mode, Work};

/// A customer at a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Browser {
    pub(crate) account_id: i64,
    pub(crate) session_id: String,
    pub(crate) name: String,
}

/// Who is signed in with a token.
#[derive(Debug)]
pub(crate) struct SignedInAs {
    pub(crate) token_hash: Vec<u8>,
}

impl Work for SignedInAs {
    type Output = Option<Browser>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<Browser>, Failure> {
        let row = tx
            .query_typed_opt(
                "SELECT a.account_id, s.session_id, a.full_name
                 FROM service.sessions AS s
                 JOIN service.accounts AS a ON a.account_id = s.account_id
                 WHERE s.token_hash = $1
                   AND s.expires_at > now()",
                &[(&self.token_hash, Type::BYTEA)],
            )
            .await?;
        Ok(row.map(|row| Browser {
            account_id: row.get(0),
            session_id: row.get(1),
            name: row.get(2),
        }))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

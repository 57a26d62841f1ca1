//! Who may edit reference data on the pages of the service.
//!
//! In: the database as its owner, an e-mail address. Out: rows of `service.staff`. The service itself can make nobody
//! staff, so that no fault of it can.

use tokio_postgres::types::Type;

use crate::database::{ConnectError, Database};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StaffError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database refused.
    #[error(
        "the database refused; it needs sql/source/072_staff.sql, and the owner of service.staff"
    )]
    Database(#[from] tokio_postgres::Error),
    /// Nobody has this address.
    #[error("no account has this e-mail address: its owner signs up first")]
    NoAccount,
}

/// Lets an account edit reference data. Doing so again changes nothing.
///
/// # Errors
/// When there is no such account, or the database cannot be changed.
pub async fn grant(database: &Database, email: &str) -> Result<(), StaffError> {
    let found = one(
        database,
        "WITH account AS (
             SELECT account_id
             FROM service.accounts
             WHERE email = lower($1)
         ),
         granted AS (
             INSERT INTO service.staff (account_id)
             SELECT account_id FROM account
             ON CONFLICT ON CONSTRAINT staff_pkey DO NOTHING
         )
         SELECT count(*) FROM account",
        email,
    );
    if found.await? == 1 { Ok(()) } else { Err(StaffError::NoAccount) }
}

/// Takes the right back. Returns whether the account had it.
///
/// # Errors
/// When the database cannot be changed.
pub async fn revoke(database: &Database, email: &str) -> Result<bool, StaffError> {
    let taken = one(
        database,
        "WITH taken AS (
             DELETE FROM service.staff AS s
             USING service.accounts AS a
             WHERE a.account_id = s.account_id
               AND a.email = lower($1)
             RETURNING s.account_id
         )
         SELECT count(*) FROM taken",
        email,
    );
    Ok(taken.await? == 1)
}

async fn one(database: &Database, query: &str, email: &str) -> Result<i64, StaffError> {
    let client = database.connect().await?;
    let rows = client.query_typed(query, &[(&email, Type::TEXT)]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

//! Accounts, credentials and sessions.
//!
//! In: addresses, hashes. Out: customers. A password or a token never comes here, only its hash.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::super::answer::IfMatch;
use super::super::model::{Customer, time};
use super::super::problem::{Kind, Problem};
use super::super::work::{Failure, Mode, Work, breaks};

/// Who is signed in with a token.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) token_hash: Vec<u8>,
}

impl Work for SignedIn {
    type Output = Option<i64>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<i64>, Failure> {
        let row = tx
            .query_typed_opt(
                "SELECT account_id
                 FROM service.sessions
                 WHERE token_hash = $1
                   AND expires_at > now()",
                &[(&self.token_hash, Type::BYTEA)],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// A new account with its credentials.
pub(crate) struct NewAccount {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) phone: Option<String>,
    pub(crate) password_hash: String,
}

impl Work for NewAccount {
    type Output = Customer;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Customer, Failure> {
        let row = tx
            .query_typed_opt(
                "INSERT INTO service.accounts (email, full_name, phone)
                 VALUES ($1, $2, $3)
                 ON CONFLICT ON CONSTRAINT accounts_email_key DO NOTHING
                 RETURNING account_id, email, full_name, phone, created_at",
                &[(&self.email, Type::TEXT), (&self.name, Type::TEXT), (&self.phone, Type::TEXT)],
            )
            .await?;
        let customer = row.as_ref().map(customer).ok_or_else(email_taken)?;
        tx.execute_typed(
            "INSERT INTO service.credentials (account_id, password_hash)
             VALUES ($1, $2)",
            &[(&customer.customer_id, Type::INT8), (&self.password_hash, Type::TEXT)],
        )
        .await?;
        Ok(customer)
    }

    fn mode(&self) -> Mode {
        Mode::Once
    }
}

/// One account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) account_id: i64,
}

impl Work for Account {
    type Output = Option<Customer>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<Customer>, Failure> {
        let row = tx
            .query_typed_opt(
                "SELECT account_id, email, full_name, phone, created_at
                 FROM service.accounts
                 WHERE account_id = $1",
                &[(&self.account_id, Type::INT8)],
            )
            .await?;
        Ok(row.as_ref().map(customer))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// A change of an account. What is `None` stays.
pub(crate) struct AccountChange {
    pub(crate) account_id: i64,
    pub(crate) if_match: IfMatch,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) phone: Option<Option<String>>,
}

impl Work for AccountChange {
    type Output = Customer;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Customer, Failure> {
        let row = tx
            .query_typed_opt(
                "SELECT account_id, email, full_name, phone, created_at
                 FROM service.accounts
                 WHERE account_id = $1
                 FOR UPDATE",
                &[(&self.account_id, Type::INT8)],
            )
            .await?;
        let now = row.as_ref().map(customer).ok_or_else(|| Problem::not_found("customer"))?;
        self.if_match.check(&now)?;
        let phone = self.phone.clone().unwrap_or(now.phone);
        let changed = tx
            .query_typed_one(
                "UPDATE service.accounts
                 SET email = coalesce($2, email),
                     full_name = coalesce($3, full_name),
                     phone = $4,
                     changed_at = now()
                 WHERE account_id = $1
                 RETURNING account_id, email, full_name, phone, created_at",
                &[
                    (&self.account_id, Type::INT8),
                    (&self.email, Type::TEXT),
                    (&self.name, Type::TEXT),
                    (&phone, Type::TEXT),
                ],
            )
            .await;
        match changed {
            Ok(row) => Ok(customer(&row)),
            Err(error) if breaks(&error, "accounts_email_key") => Err(email_taken().into()),
            Err(error) => Err(error.into()),
        }
    }

    fn mode(&self) -> Mode {
        Mode::Once
    }
}

/// The account and the password's hash of an address.
#[derive(Debug)]
pub(crate) struct CredentialsOf {
    pub(crate) email: String,
}

impl Work for CredentialsOf {
    type Output = Option<(i64, String)>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Output, Failure> {
        let row = tx
            .query_typed_opt(
                "SELECT a.account_id, c.password_hash
                 FROM service.accounts AS a
                 JOIN service.credentials AS c ON c.account_id = a.account_id
                 WHERE a.email = $1",
                &[(&self.email, Type::TEXT)],
            )
            .await?;
        Ok(row.map(|row| (row.get(0), row.get(1))))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// A session that begins.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) token_hash: Vec<u8>,
    pub(crate) session_id: String,
    pub(crate) account_id: i64,
    pub(crate) expires_at: DateTime<Utc>,
}

impl Work for NewSession {
    type Output = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        // The token is this request's own: a row that is there was written by an attempt that was committed.
        tx.execute_typed(
            "INSERT INTO service.sessions (token_hash, session_id, account_id, expires_at)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT ON CONSTRAINT sessions_pkey DO NOTHING",
            &[
                (&self.token_hash, Type::BYTEA),
                (&self.session_id, Type::TEXT),
                (&self.account_id, Type::INT8),
                (&self.expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        Ok(())
    }

    fn mode(&self) -> Mode {
        Mode::Again
    }
}

/// The end of a session.
#[derive(Debug)]
pub(crate) struct EndSession {
    pub(crate) session_id: String,
    pub(crate) account_id: i64,
}

impl Work for EndSession {
    type Output = bool;

    async fn run(&self, tx: &Transaction<'_>) -> Result<bool, Failure> {
        let ended = tx
            .execute_typed(
                "DELETE FROM service.sessions
                 WHERE session_id = $1
                   AND account_id = $2",
                &[(&self.session_id, Type::TEXT), (&self.account_id, Type::INT8)],
            )
            .await?;
        Ok(ended == 1)
    }

    fn mode(&self) -> Mode {
        Mode::Once
    }
}

/// Removes what is too old: sessions that have ended, and idempotency keys.
#[derive(Debug)]
pub(crate) struct Tidy {
    pub(crate) keys_before: DateTime<Utc>,
}

impl Work for Tidy {
    type Output = u64;

    async fn run(&self, tx: &Transaction<'_>) -> Result<u64, Failure> {
        let keys = tx
            .execute_typed(
                "DELETE FROM service.idempotency_keys
                 WHERE created_at < $1",
                &[(&self.keys_before, Type::TIMESTAMPTZ)],
            )
            .await?;
        let sessions =
            tx.execute_typed("DELETE FROM service.sessions WHERE expires_at < now()", &[]).await?;
        Ok(keys + sessions)
    }

    fn mode(&self) -> Mode {
        Mode::Again
    }
}

fn customer(row: &Row) -> Customer {
    Customer {
        customer_id: row.get(0),
        email: row.get(1),
        name: row.get(2),
        phone: row.get(3),
        created_at: time(row.get(4)),
    }
}

fn email_taken() -> Problem {
    Problem::new(Kind::EmailTaken, "sign in with this address, or take another one")
}

//! Rows of uploads. The files themselves are in the store of `uploads`.
//!
//! In: what was stored, keys. Out: uploads of an account. Invariant: the files of an account are no more, and have no
//! more bytes together, than they may: the account's row is locked while they are counted and one is added.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::super::model::{Upload, UploadKind, time};
use super::super::problem::{Kind, Problem};
use super::super::work::{Failure, Mode, Work};

/// Files of an account at most.
const FILES_MAX: i64 = 500;

/// Columns of an upload, in the order in which [`found`] reads them.
const COLUMNS: &str =
    "upload_id::text, kind, title, description, book_ref, original_name, media_type, byte_count,
     encode(sha256, 'hex'), uploaded_at, object_key";

/// An upload with what clients do not see.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) upload: Upload,
    pub(crate) uploaded_at: DateTime<Utc>,
    pub(crate) object_key: String,
}

fn found(row: &Row) -> Found {
    let (upload_id, uploaded_at): (String, DateTime<Utc>) = (row.get(0), row.get(9));
    let upload = Upload {
        content: format!("/api/v1/uploads/{upload_id}/content"),
        upload_id,
        kind: UploadKind::of_column(row.get(1)),
        title: row.get(2),
        description: row.get(3),
        book_ref: row.get(4),
        name: row.get(5),
        media_type: row.get(6),
        byte_count: row.get(7),
        sha256: row.get(8),
        uploaded_at: time(uploaded_at),
    };
    Found { upload, uploaded_at, object_key: row.get(10) }
}

/// A file that is in the store and has no row yet.
#[derive(Debug)]
pub(crate) struct NewUpload {
    pub(crate) kind: UploadKind,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) book_ref: Option<String>,
    pub(crate) original_name: String,
    pub(crate) media_type: &'static str,
    pub(crate) byte_count: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) object_key: String,
    /// Bytes that the account's files may have together.
    pub(crate) account_bytes_max: i64,
}

impl NewUpload {
    /// Makes its row.
    pub(crate) async fn insert(
        &self,
        tx: &Transaction<'_>,
        account_id: i64,
    ) -> Result<Upload, Failure> {
        tx.execute_typed(
            "SELECT FROM service.accounts
             WHERE account_id = $1
             FOR NO KEY UPDATE",
            &[(&account_id, Type::INT8)],
        )
        .await?;
        used(tx, account_id).await?.check(self.byte_count, self.account_bytes_max)?;
        let book_date = match &self.book_ref {
            None => None,
            Some(book_ref) => Some(booked_at(tx, account_id, book_ref).await?),
        };
        let row = tx
            .query_typed_one(
                &format!(
                    "INSERT INTO service.uploads (account_id, kind, title, description, book_ref, book_date,
                         original_name, media_type, byte_count, sha256, object_key)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                     RETURNING {COLUMNS}"
                ),
                &[
                    (&account_id, Type::INT8),
                    (&self.kind.as_str(), Type::TEXT),
                    (&self.title, Type::TEXT),
                    (&self.description, Type::TEXT),
                    (&self.book_ref, Type::BPCHAR),
                    (&book_date, Type::TIMESTAMPTZ),
                    (&self.original_name, Type::TEXT),
                    (&self.media_type, Type::TEXT),
                    (&self.byte_count, Type::INT8),
                    (&self.sha256, Type::BYTEA),
                    (&self.object_key, Type::TEXT),
                ],
            )
            .await?;
        Ok(found(&row).upload)
    }
}

/// When a booking of the account was made; the newest one, where a reference was given again.
async fn booked_at(
    tx: &Transaction<'_>,
    account_id: i64,
    book_ref: &str,
) -> Result<DateTime<Utc>, Failure> {
    let row = tx
        .query_typed_opt(
            "SELECT book_date
             FROM service.orders
             WHERE book_ref = $1
               AND account_id = $2
             ORDER BY book_date DESC
             LIMIT 1",
            &[(&book_ref, Type::BPCHAR), (&account_id, Type::INT8)],
        )
        .await?;
    let row = row.ok_or_else(|| Problem::field("/book_ref", "is none of your bookings"))?;
    Ok(row.get(0))
}

/// The files that an account has, and their bytes.
struct Used {
    files: i64,
    bytes: i64,
}

impl Used {
    /// Refuses one more file of this size.
    fn check(&self, byte_count: i64, account_bytes_max: i64) -> Result<(), Problem> {
        let most = if self.files >= FILES_MAX {
            format!("you may have {FILES_MAX} files")
        } else if self.bytes.saturating_add(byte_count) > account_bytes_max {
            format!("your files may have {account_bytes_max} bytes together")
        } else {
            return Ok(());
        };
        let detail = format!("{most}: remove one before you add another");
        Err(Problem::new(Kind::StoreFull, detail))
    }
}

async fn used(tx: &Transaction<'_>, account_id: i64) -> Result<Used, Failure> {
    let row = tx
        .query_typed_one(
            "SELECT count(*), coalesce(sum(byte_count), 0)::bigint
             FROM service.uploads
             WHERE account_id = $1",
            &[(&account_id, Type::INT8)],
        )
        .await?;
    Ok(Used { files: row.get(0), bytes: row.get(1) })
}

/// Refuses an account that has no room for one more byte, before a file comes.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) account_id: i64,
    pub(crate) account_bytes_max: i64,
}

impl Work for Room {
    type Output = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        Ok(used(tx, self.account_id).await?.check(1, self.account_bytes_max)?)
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// Uploads of an account, newest first.
#[derive(Debug)]
pub(crate) struct Uploads {
    pub(crate) account_id: i64,
    /// Only those of this booking.
    pub(crate) book_ref: Option<String>,
    /// The upload after which the page begins.
    pub(crate) before: Option<(DateTime<Utc>, String)>,
    pub(crate) limit: i64,
}

impl Work for Uploads {
    type Output = Vec<Found>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Found>, Failure> {
        let (at, id) = self.before.as_ref().map(|(at, id)| (at, id)).unzip();
        let rows = tx
            .query_typed(
                &format!(
                    "SELECT {COLUMNS}
                     FROM service.uploads
                     WHERE account_id = $1
                       AND ($2::bpchar IS NULL OR book_ref = $2)
                       AND ($3::timestamptz IS NULL OR (uploaded_at, upload_id) < ($3, $4::text::uuid))
                     ORDER BY uploaded_at DESC, upload_id DESC
                     LIMIT $5"
                ),
                &[
                    (&self.account_id, Type::INT8),
                    (&self.book_ref, Type::BPCHAR),
                    (&at, Type::TIMESTAMPTZ),
                    (&id, Type::TEXT),
                    (&(self.limit + 1), Type::INT8),
                ],
            )
            .await?;
        Ok(rows.iter().map(found).collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// One upload of an account.
#[derive(Debug)]
pub(crate) struct OneUpload {
    pub(crate) account_id: i64,
    pub(crate) upload_id: String,
}

impl Work for OneUpload {
    type Output = Option<Found>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<Found>, Failure> {
        let row = tx
            .query_typed_opt(
                &format!(
                    "SELECT {COLUMNS}
                     FROM service.uploads
                     WHERE account_id = $1
                       AND upload_id = $2::text::uuid"
                ),
                &[(&self.account_id, Type::INT8), (&self.upload_id, Type::TEXT)],
            )
            .await?;
        Ok(row.as_ref().map(found))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// Removes an upload's row; gives the place of its file.
#[derive(Debug)]
pub(crate) struct EndUpload {
    pub(crate) account_id: i64,
    pub(crate) upload_id: String,
}

impl Work for EndUpload {
    type Output = Option<String>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<String>, Failure> {
        let row = tx
            .query_typed_opt(
                "DELETE FROM service.uploads
                 WHERE account_id = $1
                   AND upload_id = $2::text::uuid
                 RETURNING object_key",
                &[(&self.account_id, Type::INT8), (&self.upload_id, Type::TEXT)],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    fn mode(&self) -> Mode {
        Mode::Once
    }
}

/// What tells this database from any other one: its server's cluster, and its name.
#[derive(Debug)]
pub(crate) struct Identity;

impl Work for Identity {
    type Output = String;

    async fn run(&self, tx: &Transaction<'_>) -> Result<String, Failure> {
        let identity = "SELECT system_identifier || '/' || current_database()
                        FROM pg_catalog.pg_control_system()";
        Ok(tx.query_typed_one(identity, &[]).await?.get(0))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// Which of these objects have a row.
#[derive(Debug)]
pub(crate) struct WithRow {
    pub(crate) object_keys: Vec<String>,
}

impl Work for WithRow {
    type Output = HashSet<String>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<HashSet<String>, Failure> {
        let rows = tx
            .query_typed(
                "SELECT object_key
                 FROM service.uploads
                 WHERE object_key = ANY ($1)",
                &[(&self.object_keys, Type::TEXT_ARRAY)],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

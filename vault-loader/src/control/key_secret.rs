//! With which secret the hash keys of a warehouse are made: the warehouse remembers a fingerprint, never the secret.
//!
//! In: the fingerprint of the secret that is set, if one is. Out: why it cannot be used. The first migration of a
//! warehouse decides whether there is a secret and which. Afterwards only `vault-loader rehash` changes it, together
//! with all hash keys: two secrets would give one key two hashes.

use tokio_postgres::{Error, GenericClient, Transaction};

/// Remembers with which secret, or without one, all hash keys of this warehouse are made.
pub(crate) async fn note_key_secret(
    transaction: &Transaction<'_>,
    fingerprint: Option<&[u8]>,
) -> Result<(), Error> {
    let sql = "UPDATE dwh_control.warehouse SET key_secret_fingerprint = $1";
    transaction.execute(sql, &[&fingerprint]).await.map(drop)
}

/// What is wrong with the secret that is set, or with there being none; nothing when it is the warehouse's.
pub(crate) async fn key_secret_problem<C: GenericClient>(
    client: &C,
    fingerprint: Option<&[u8]>,
) -> Result<Option<&'static str>, Error> {
    let sql = "SELECT key_secret_fingerprint FROM dwh_control.warehouse";
    let row = client.query_one(sql, &[]).await?;
    let stored: Option<&[u8]> = row.get(0);
    Ok(match (stored, fingerprint) {
        (None, None) => None,
        (Some(stored), Some(set)) if stored == set => None,
        (Some(_), Some(_)) => Some(
            "key_secret is another secret than the one that the hash keys of this warehouse are made with: \
             set VAULT_LOADER__KEY_SECRET to that one, or make all hash keys anew with `vault-loader rehash`",
        ),
        (Some(_), None) => Some(
            "the hash keys of this warehouse are made with a secret, and key_secret is not set: \
             set VAULT_LOADER__KEY_SECRET to that secret, or make all hash keys anew with `vault-loader rehash`",
        ),
        (None, Some(_)) => Some(
            "key_secret is set, and the hash keys of this warehouse are made without a secret: \
             unset VAULT_LOADER__KEY_SECRET, or make all hash keys anew with `vault-loader rehash`",
        ),
    })
}

//! What `vault-loader status` reads of the control schema beside the offsets.

use tokio_postgres::{Client, Error};

/// Events in quarantine, by topic.
pub(crate) async fn quarantine_counts(
    client: &Client,
    topics: &[String],
) -> Result<Vec<(String, i64)>, Error> {
    let rows = client
        .query(
            "SELECT topic, count(*)
             FROM dwh_control.quarantine
             WHERE topic = ANY ($1)
             GROUP BY topic
             ORDER BY topic",
            &[&topics],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

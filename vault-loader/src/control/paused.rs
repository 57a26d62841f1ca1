//! Tables whose loading stands still, with the place and the reason.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error};

use crate::model::Schemas;
use crate::paused::TablePause;

/// Stores a pause. Returns when the table first stopped at this record.
pub(crate) async fn store_pause(
    client: &Client,
    schemas: Schemas,
    topic: &str,
    pause: &TablePause,
) -> Result<DateTime<Utc>, Error> {
    let sql = format!(
        "INSERT INTO {}.paused_tables AS known (topic, partition, kafka_offset, reason, remedy)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT ON CONSTRAINT paused_tables_pkey DO UPDATE
             SET kafka_offset = excluded.kafka_offset,
                 reason = excluded.reason,
                 remedy = excluded.remedy,
                 since = CASE
                             WHEN known.kafka_offset = excluded.kafka_offset THEN known.since
                             ELSE excluded.since
                         END
             RETURNING since",
        schemas.control
    );
    let row = client
        .query_one(
            &sql,
            &[&topic, &pause.from.partition, &pause.offset, &pause.reason, &pause.remedy],
        )
        .await?;
    Ok(row.get(0))
}

/// Takes out the pauses of these topics whose record has been loaded. Returns the topics that go on, each once.
pub(crate) async fn end_pauses(
    client: &Client,
    schemas: Schemas,
    topics: &[&str],
) -> Result<Vec<String>, Error> {
    let control = schemas.control;
    let sql = format!(
        "WITH ended AS (
                 DELETE FROM {control}.paused_tables AS p
                 USING {control}.offsets AS o
                 WHERE p.topic = ANY ($1)
                   AND o.topic = p.topic
                   AND o.partition = p.partition
                   AND o.next_offset > p.kafka_offset
                 RETURNING p.topic
             )
             SELECT DISTINCT topic FROM ended ORDER BY topic"
    );
    let rows = client.query(&sql, &[&topics]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A table that stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPause {
    pub(crate) topic: String,
    pub(crate) reason: String,
    pub(crate) remedy: String,
    pub(crate) since: DateTime<Utc>,
}

/// The pauses of these topics, one for each partition that holds a fault.
pub(crate) async fn read_pauses(
    client: &Client,
    topics: &[String],
) -> Result<Vec<StoredPause>, Error> {
    let sql = "SELECT topic, reason, remedy, since
               FROM dwh_control.paused_tables
               WHERE topic = ANY ($1)
               ORDER BY topic, partition";
    let rows = client.query(sql, &[&topics]).await?;
    let pause = |row: &tokio_postgres::Row| StoredPause {
        topic: row.get(0),
        reason: row.get(1),
        remedy: row.get(2),
        since: row.get(3),
    };
    Ok(rows.iter().map(pause).collect())
}

/// Which of these topics have a pause.
pub(crate) async fn paused_topics(
    client: &Client,
    schemas: Schemas,
    topics: &[&str],
) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT DISTINCT topic FROM {}.paused_tables WHERE topic = ANY ($1) ORDER BY topic",
        schemas.control
    );
    Ok(client.query(&sql, &[&topics]).await?.iter().map(|row| row.get(0)).collect())
}

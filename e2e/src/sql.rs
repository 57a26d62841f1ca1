//! Questions whose answers are compared as the texts that PostgreSQL prints.
//!
//! In: a connection string, a query. Out: rows of texts.
//! Invariant: every connection has the same settings for what values look like, so equal values are equal texts.

use anyhow::Context;
use tokio_postgres::{Client, SimpleQueryMessage};

/// A row as text.
pub type Row = Vec<Option<String>>;

/// Connects with the settings that decide what values look like.
pub async fn connect(parameters: &str) -> anyhow::Result<Client> {
    let client = devstack::sql::connect(parameters).await.context("cannot connect")?;
    client
        .batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1")
        .await?;
    Ok(client)
}

/// The rows of a query.
pub async fn rows(client: &Client, sql: &str) -> anyhow::Result<Vec<Row>> {
    let messages = client.simple_query(sql).await.with_context(|| sql.to_owned())?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect())
}

/// The only value of a query.
pub async fn one(client: &Client, sql: &str) -> anyhow::Result<String> {
    let rows = rows(client, sql).await?;
    rows.into_iter()
        .next()
        .and_then(|row| row.into_iter().next().flatten())
        .with_context(|| format!("no value: {sql}"))
}

//! SQL to a server: connections, and a few words as its superuser.
//!
//! In: connection parameters and a script. Out: a connection, or done, or the server's error.
//! Invariant: what blocks works from inside an async test too, for it runs on a thread with a runtime of its own.

use std::time::Duration;

use anyhow::Context;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// How long one attempt of [`execute`] to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects without TLS. The connection's driver runs as a task of the caller's runtime and ends with the client.
///
/// # Errors
/// What the server or the network said.
pub async fn connect(connection_string: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(connection_string, NoTls).await?;
    // Its error, if any, is also that of the statement under way.
    tokio::spawn(connection);
    Ok(client)
}

/// The server's own words, which `tokio_postgres::Error` hides behind "db error".
pub fn readable(err: tokio_postgres::Error) -> anyhow::Error {
    match err.as_db_error() {
        Some(server) => anyhow::anyhow!("{}: {}", server.severity(), server.message()),
        None => anyhow::Error::new(err),
    }
}

/// Runs `script` over a connection of its own.
pub(crate) fn execute(connection_string: &str, script: &str) -> anyhow::Result<()> {
    column(connection_string, script).map(drop)
}

/// Runs `script` over a connection of its own, and gives the first column of all rows as text.
pub(crate) fn column(connection_string: &str, script: &str) -> anyhow::Result<Vec<String>> {
    on_own_thread(run(connection_string, script))
}

/// Like [`column()`], for a server that may never answer.
pub(crate) fn column_within(
    connection_string: &str,
    script: &str,
    deadline: Duration,
) -> anyhow::Result<Vec<String>> {
    on_own_thread(async {
        tokio::time::timeout(deadline, run(connection_string, script))
            .await
            .with_context(|| format!("the server does not answer within {deadline:?}"))?
    })
}

fn on_own_thread<T: Send>(
    work: impl Future<Output = anyhow::Result<T>> + Send,
) -> anyhow::Result<T> {
    let on_own_runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime for SQL")?
            .block_on(work)
    };
    std::thread::scope(|scope| {
        scope
            .spawn(on_own_runtime)
            .join()
            .map_err(|_| anyhow::anyhow!("the SQL thread panicked"))?
    })
}

async fn run(connection_string: &str, script: &str) -> anyhow::Result<Vec<String>> {
    let mut config: tokio_postgres::Config =
        connection_string.parse().context("a malformed connection string")?;
    config.connect_timeout(CONNECT_TIMEOUT);
    let (client, connection) = config.connect(NoTls).await.map_err(readable)?;
    let driver = tokio::spawn(connection);
    let outcome = client.simple_query(script).await.map_err(readable);
    drop(client);
    driver.await.context("the connection's task panicked")?.ok();
    let texts = outcome?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
        _ => None,
    });
    Ok(texts.collect())
}

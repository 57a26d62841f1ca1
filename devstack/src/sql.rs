//! A few words of SQL to a server, as its superuser: is it ready, make a database.
//!
//! In: connection parameters and a script. Out: done, or the server's error.
//! Invariant: works from inside an async test too, for it runs on a thread with a runtime of its own.

use std::time::Duration;

use anyhow::Context;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `script` over a connection of its own.
pub(crate) fn execute(connection_string: &str, script: &str) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| on_own_runtime(connection_string, script))
            .join()
            .map_err(|_| anyhow::anyhow!("the SQL thread panicked"))?
    })
}

fn on_own_runtime(connection_string: &str, script: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime for SQL")?;
    runtime.block_on(async {
        let mut config: tokio_postgres::Config =
            connection_string.parse().context("a malformed connection string")?;
        config.connect_timeout(CONNECT_TIMEOUT);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(readable)?;
        let driver = tokio::spawn(connection);
        let outcome = client.batch_execute(script).await.map_err(readable);
        drop(client);
        driver.await.context("the connection's task panicked")?.ok();
        outcome
    })
}

/// The server's own words, which `tokio_postgres::Error` hides behind "db error".
fn readable(err: tokio_postgres::Error) -> anyhow::Error {
    match err.as_db_error() {
        Some(server) => anyhow::anyhow!("{}: {}", server.severity(), server.message()),
        None => anyhow::Error::new(err),
    }
}

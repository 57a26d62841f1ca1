//! Bare COPY as a contender: the least that anybody has to do who writes these rows to these tables.
//!
//! In: the rows of a finished load, an empty vault. Out: what copying took.
//! Invariant: the same rows, in the same order, in transactions of the same rows, over one connection.
//!
//! It includes: reading the rows from files, one `COPY … FROM STDIN (FORMAT binary)` for each table in each
//! transaction, the upkeep of primary keys and indexes, and a durable commit. It does not include: Kafka, decoding,
//! hashing, looking up what is there already, offsets, minutes, locks, and what stands before the clock: connecting and
//! preparing the statements.

use std::io::Cursor;

use anyhow::Context;
use devstack::sql::readable;
use futures_util::SinkExt as _;
use tokio_postgres::{Client, Statement, Transaction};

use super::rows::{Piece, Taken};
use super::run::Measured;
use super::warehouse::Warehouse;
use crate::bench::interrupt;
use crate::bench::usage::Usage;

/// Copies the rows.
pub(super) fn copy(warehouse: &Warehouse<'_>, taken: &Taken) -> anyhow::Result<Measured> {
    let rows_before = warehouse.rows()?;
    let mut sql = warehouse.connect()?;
    let (runtime, client) = sql.parts();
    let own = i32::try_from(std::process::id())?;
    let statements = runtime.block_on(prepare(client, taken)).map_err(readable)?;
    let before = Usage::of(own).context("we do not run")?;
    let clock = warehouse.place.clock(&warehouse.sql)?;
    for batch in &taken.batches {
        interrupt::check()?;
        runtime.block_on(copy_batch(client, &statements, taken, batch))?;
    }
    let cost = clock.stop()?;
    let usage = Usage::of(own).context("we do not run")?.since(&before);
    let rows = warehouse.rows()? - rows_before;
    anyhow::ensure!(rows == taken.rows(), "{rows} rows are copied instead of {}", taken.rows());
    // The peak is that of the bench, which does more than this.
    let usage = Usage { peak_resident_bytes: 0, ..usage };
    Ok(Measured { cost, usage, first_commit_seconds: None, rows })
}

async fn prepare(client: &Client, taken: &Taken) -> Result<Vec<Statement>, tokio_postgres::Error> {
    let mut statements = Vec::new();
    for table in &taken.tables {
        let copy = format!("COPY {table} FROM STDIN (FORMAT binary)");
        statements.push(client.prepare(&copy).await?);
    }
    Ok(statements)
}

async fn copy_batch(
    client: &mut Client,
    statements: &[Statement],
    taken: &Taken,
    batch: &[Piece],
) -> anyhow::Result<()> {
    let transaction = client.transaction().await.map_err(readable)?;
    for piece in batch {
        let bytes = taken.read(*piece)?;
        let count = copy_piece(&transaction, &statements[piece.table], bytes).await;
        let count = count.map_err(readable)?;
        anyhow::ensure!(count == piece.rows, "{count} rows are copied instead of {}", piece.rows);
    }
    transaction.commit().await.map_err(readable)
}

async fn copy_piece(
    transaction: &Transaction<'_>,
    statement: &Statement,
    bytes: Vec<u8>,
) -> Result<u64, tokio_postgres::Error> {
    let sink = transaction.copy_in(statement).await?;
    tokio::pin!(sink);
    sink.send(Cursor::new(bytes)).await?;
    sink.finish().await
}

//! Rows into a table by COPY, in large blocks.
//!
//! In: lines of COPY's text format without their ends. Out: rows in the table. The lines come from an iterator, so a
//! table is never whole in memory.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{Error, Transaction};

/// Bytes of COPY text sent at once: large enough that a message's overhead vanishes, small enough to stay in cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// Copies lines into a table. `sent` hears of the rows of each block. Gives the number of rows that the server took.
///
/// # Errors
/// What the server or the network said.
pub async fn copy_lines(
    tx: &Transaction<'_>,
    table: &str,
    columns: &str,
    lines: impl Iterator<Item = String>,
    mut sent: impl FnMut(u64),
) -> Result<u64, Error> {
    let statement = format!("COPY {table} ({columns}) FROM STDIN");
    let sink = tx.copy_in::<_, Bytes>(&statement).await?;
    let mut sink = std::pin::pin!(sink);
    let mut block = BytesMut::with_capacity(BLOCK_BYTES + 1024);
    let mut rows = 0;
    for line in lines {
        block.put_slice(line.as_bytes());
        block.put_u8(b'\n');
        rows += 1;
        if block.len() >= BLOCK_BYTES {
            sink.send(block.split().freeze()).await?;
            sent(rows);
            rows = 0;
        }
    }
    sink.send(block.freeze()).await?;
    let written = sink.finish().await?;
    sent(rows);
    Ok(written)
}

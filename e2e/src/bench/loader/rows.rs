//! The rows that a loader has written, as files of `COPY … (FORMAT binary)`.
//!
//! In: a warehouse in which one writer has loaded. Out: for each of the loader's transactions, in their order, the rows
//! that it wrote to each table, in the order in which it wrote them.
//! Invariant: nothing but rows of that load is taken. A row's `xmin` names the transaction that wrote it, and the order
//! of rows in a table's file is the order of writing, because nothing was deleted from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context;
use devstack::sql::readable;
use futures_util::StreamExt as _;

use super::warehouse::Warehouse;

/// What every file begins with: a signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What every file ends with: a row of -1 columns.
const TRAILER: &[u8] = &[0xff, 0xff];

/// The loader writes ghosts and zero keys only when it migrates; every other row says where it came from.
const FROM_EVENTS: &str = "record_source <> 'SYSTEM'";

/// A scan must return rows in the order of the file.
const IN_ORDER: &str = "SET synchronize_seqscans = off; SET max_parallel_workers_per_gather = 0";

/// Rows of one table and transaction: a piece of the file that is a whole binary COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Place of the table in [`Taken::tables`].
    pub(super) table: usize,
    pub(super) rows: u64,
    offset: u64,
    length: usize,
}

/// What a load has written.
pub(super) struct Taken {
    /// Tables and their columns, as a COPY statement names them.
    pub(super) tables: Vec<String>,
    /// For each transaction its pieces.
    pub(super) batches: Vec<Vec<Piece>>,
    file: File,
}

/// The number of the next transaction: a load that begins now has no lower one.
pub(super) fn next_transaction(warehouse: &Warehouse<'_>) -> anyhow::Result<i64> {
    warehouse.sql.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
}

impl Taken {
    /// Takes what transactions from `since` on have written, into a file that goes with the directory.
    pub(super) fn take(warehouse: &Warehouse<'_>, since: i64, path: &Path) -> anyhow::Result<Self> {
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        let mut tables = Vec::new();
        let mut batches: BTreeMap<u32, Vec<Piece>> = BTreeMap::new();
        let mut offset = 0;
        for (table, name) in warehouse.tables()?.into_iter().enumerate() {
            tables.push(format!("dwh_detailed.{name}"));
            for (transaction, (rows, data)) in read(warehouse, &name, since)? {
                let bytes = [HEADER, &data, TRAILER].concat();
                file.write_all(&bytes).context("cannot write rows")?;
                let piece = Piece { table, rows, offset, length: bytes.len() };
                offset += bytes.len() as u64;
                batches.entry(transaction).or_default().push(piece);
            }
        }
        Ok(Self { tables, batches: batches.into_values().collect(), file })
    }

    /// The bytes of a piece.
    pub(super) fn read(&self, piece: Piece) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; piece.length];
        self.file.read_exact_at(&mut bytes, piece.offset).context("cannot read rows")?;
        Ok(bytes)
    }

    /// Rows in all.
    pub(super) fn rows(&self) -> u64 {
        self.batches.iter().flatten().map(|piece| piece.rows).sum()
    }
}

/// How many rows a transaction has written to a table, and the rows in the form of COPY.
type Written = BTreeMap<u32, (u64, Vec<u8>)>;

fn read(warehouse: &Warehouse<'_>, table: &str, since: i64) -> anyhow::Result<Written> {
    let mut sql = warehouse.connect()?;
    sql.execute(IN_ORDER)?;
    let query = format!(
        "COPY (
             SELECT t.xmin, t.*
             FROM dwh_detailed.{table} AS t
             WHERE {FROM_EVENTS} AND t.xmin::text::bigint >= {since}
         ) TO STDOUT (FORMAT binary)"
    );
    let (runtime, client) = sql.parts();
    runtime.block_on(async {
        let stream = client.copy_out(&query).await.map_err(readable)?;
        tokio::pin!(stream);
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(readable)?);
        }
        by_transaction(&bytes).with_context(|| format!("COPY of {table} is malformed"))
    })
}

/// Sorts the rows of a COPY, whose first column is `xmin`, by transaction, and leaves that column out.
fn by_transaction(bytes: &[u8]) -> anyhow::Result<Written> {
    let mut rest = bytes.get(HEADER.len()..).context("no header")?;
    let mut written = Written::new();
    loop {
        let columns = take(&mut rest, 2)?;
        if columns == TRAILER {
            anyhow::ensure!(rest.is_empty(), "something follows the end");
            return Ok(written);
        }
        let columns = u16::from_be_bytes(columns.try_into()?);
        anyhow::ensure!(take(&mut rest, 4)? == 4_u32.to_be_bytes(), "the first column is no xid");
        let transaction = u32::from_be_bytes(take(&mut rest, 4)?.try_into()?);
        let (rows, data) = written.entry(transaction).or_default();
        *rows += 1;
        let left = columns.checked_sub(1).context("a row without columns")?;
        data.extend_from_slice(&left.to_be_bytes());
        for _ in 0..left {
            let length = take(&mut rest, 4)?;
            data.extend_from_slice(length);
            // A NULL has the length -1 and no bytes.
            if let Ok(length) = usize::try_from(i32::from_be_bytes(length.try_into()?)) {
                data.extend_from_slice(take(&mut rest, length)?);
            }
        }
    }
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> anyhow::Result<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(length).context("it ends too early")?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of `xmin` and of values.
    fn row(transaction: u32, values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = u16::try_from(values.len() + 1).unwrap().to_be_bytes().to_vec();
        bytes.extend([4_u32.to_be_bytes(), transaction.to_be_bytes()].concat());
        bytes.extend(fields(values));
        bytes
    }

    fn fields(values: &[Option<&[u8]>]) -> Vec<u8> {
        let field = |value: &Option<&[u8]>| match value {
            None => (-1_i32).to_be_bytes().to_vec(),
            Some(value) => [&u32::try_from(value.len()).unwrap().to_be_bytes(), *value].concat(),
        };
        values.iter().flat_map(field).collect()
    }

    #[test]
    fn rows_go_to_their_transactions_in_order_and_lose_their_first_column() {
        let rows = [
            row(7, &[Some(b"a"), None]),
            row(9, &[Some(b""), Some(b"b")]),
            row(7, &[Some(b"c"), Some(b"d")]),
        ];
        let bytes = [HEADER, &rows.concat(), TRAILER].concat();
        let written = by_transaction(&bytes).unwrap();
        let own = |values: &[Option<&[u8]>]| [&[0, 2], fields(values).as_slice()].concat();
        let seven = [own(&[Some(b"a"), None]), own(&[Some(b"c"), Some(b"d")])].concat();
        assert_eq!(written[&7], (2, seven));
        assert_eq!(written[&9], (1, own(&[Some(b""), Some(b"b")])));
    }

    #[test]
    fn what_was_cut_off_is_an_error() {
        let bytes = [HEADER, &row(7, &[Some(b"abc")])].concat();
        assert!(by_transaction(&bytes).is_err(), "no trailer");
        assert!(by_transaction(&bytes[..bytes.len() - 1]).is_err(), "half a value");
    }
}

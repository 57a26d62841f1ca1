//! The work that every contender reads: one table's inserts, then an update of each of its rows.
//!
//! In: a number of rows. Out: WAL, written once, behind a slot that every contender gets a copy of.
//! Invariant: twice as many events as rows, in transactions of equal size, of one table and of nothing else.

use devstack::Postgres;
use serde::Serialize;

use crate::bench::airline::{self, DATABASE};
use crate::bench::interrupt;
use crate::bench::sql::Sql;

/// The slot that keeps the WAL and is never read itself.
const BASE_SLOT: &str = "bench_base";

/// Tickets have this many segments.
const SEGMENTS_PER_TICKET: u64 = 3;

/// Flights over which segments are spread.
const FLIGHTS: u64 = 1000;

/// What a segment hangs on: the foreign keys are those of the real schema.
const PARENTS: &str = "
INSERT INTO airports
VALUES
    ('AAA', 'First Airport', 'First City', 37.4, 55.9, 'Europe/Moscow'),
    ('BBB', 'Second Airport', 'Second City', 30.3, 59.8, 'Europe/Moscow');
INSERT INTO aircrafts
VALUES ('320', 'Airbus A320-200', 5700);
INSERT INTO bookings
VALUES ('00000A', '2026-01-01 00:00:00+00', 0);
INSERT INTO flights (
    flight_id, flight_no, scheduled_departure, scheduled_arrival,
    departure_airport, arrival_airport, status, aircraft_code
)
SELECT
    i,
    'VS' || lpad(i::text, 4, '0'),
    '2026-02-01 08:00:00+00',
    '2026-02-01 10:00:00+00',
    'AAA',
    'BBB',
    'Scheduled',
    '320'
FROM generate_series(0, {flights} - 1) AS i;
INSERT INTO tickets
SELECT
    lpad(i::text, 13, '0'),
    '00000A',
    '4510 ' || lpad(i::text, 6, '0'),
    'IVAN IVANOV',
    NULL
FROM generate_series(0, {tickets} - 1) AS i;
ANALYZE;
";

/// Row `i` is a segment of ticket `i / 3`; three rows that follow each other are on three flights.
const INSERTS: &str = "
INSERT INTO ticket_flights
SELECT
    lpad((i / {segments})::text, 13, '0'),
    i % {flights},
    'Economy',
    10000 + i % 5000
FROM generate_series($1::bigint, $2::bigint) AS i
";

const UPDATES: &str = "
UPDATE ticket_flights AS t
SET amount = t.amount + 0.25
FROM generate_series($1::bigint, $2::bigint) AS i
WHERE t.ticket_no = lpad((i / {segments})::text, 13, '0')::char(13)
    AND t.flight_id = i % {flights}
";

/// The work that has been done.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Work {
    /// Inserts, and as many updates.
    pub(super) rows: u64,
    /// Rows in a transaction.
    pub(super) transaction_rows: u64,
    /// Bytes of WAL from the slot to the end.
    pub(super) wal_bytes: i64,
    /// Where the last commit ends: all is read when this is confirmed.
    pub(super) end_lsn: String,
}

impl Work {
    /// Fills the database, makes the slot, writes the WAL.
    pub(super) fn write(
        server: &Postgres,
        rows: u64,
        transaction_rows: u64,
    ) -> anyhow::Result<Self> {
        airline::create(server)?;
        let sql = Sql::connect(&server.address().superuser(DATABASE))?;
        sql.execute(&spell(PARENTS, rows))?;
        interrupt::check()?;
        sql.execute(&format!(
            "SELECT pg_create_logical_replication_slot('{BASE_SLOT}', 'pgoutput')"
        ))?;
        let begin: String = sql.value("SELECT pg_current_wal_lsn()::text")?;
        let inserted = sql.repeat(&spell(INSERTS, rows), transactions(rows, transaction_rows)?)?;
        // By the primary key, a thousand times, whatever the statistics say.
        sql.execute("ANALYZE ticket_flights; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")?;
        let updated = sql.repeat(&spell(UPDATES, rows), transactions(rows, transaction_rows)?)?;
        anyhow::ensure!(
            (inserted, updated) == (rows, rows),
            "the work went wrong: {inserted} inserts and {updated} updates instead of {rows} each"
        );
        let end_lsn: String = sql.value("SELECT pg_current_wal_lsn()::text")?;
        let wal_bytes =
            sql.value(&format!("SELECT pg_wal_lsn_diff('{end_lsn}', '{begin}')::bigint"))?;
        sql.execute("CHECKPOINT")?;
        Ok(Self { rows, transaction_rows, wal_bytes, end_lsn })
    }

    /// Events that a contender has to read.
    pub(super) fn events(&self) -> u64 {
        2 * self.rows
    }
}

/// A slot from which the work can be read; dropped when it goes.
pub(super) struct Slot<'s> {
    sql: &'s Sql,
    pub(super) name: String,
}

impl<'s> Slot<'s> {
    /// Copies the slot that keeps the WAL.
    pub(super) fn copy(sql: &'s Sql, name: &str) -> anyhow::Result<Self> {
        sql.execute(&format!("SELECT pg_copy_logical_replication_slot('{BASE_SLOT}', '{name}')"))?;
        Ok(Self { sql, name: name.to_owned() })
    }

    /// Whether everything up to the end of the work is confirmed.
    pub(super) fn is_confirmed(&self, work: &Work) -> anyhow::Result<bool> {
        self.sql.value(&format!(
            "SELECT confirmed_flush_lsn >= '{}'::pg_lsn FROM pg_replication_slots WHERE slot_name = '{}'",
            work.end_lsn, self.name
        ))
    }

    /// Whether nobody reads from it.
    pub(super) fn is_free(&self) -> anyhow::Result<bool> {
        self.sql.value(&format!(
            "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{}'",
            self.name
        ))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // One that is still read from after a failure goes with its server.
        let _ = self.sql.execute(&format!("SELECT pg_drop_replication_slot('{}')", self.name));
    }
}

fn spell(statement: &str, rows: u64) -> String {
    statement
        .replace("{segments}", &SEGMENTS_PER_TICKET.to_string())
        .replace("{flights}", &FLIGHTS.to_string())
        .replace("{tickets}", &rows.div_ceil(SEGMENTS_PER_TICKET).to_string())
}

/// First and last row of each transaction.
fn transactions(rows: u64, transaction_rows: u64) -> anyhow::Result<Vec<(i64, i64)>> {
    let (rows, step) = (i64::try_from(rows)?, usize::try_from(transaction_rows)?);
    let size = i64::try_from(transaction_rows)?;
    Ok((0..rows).step_by(step).map(|first| (first, (first + size).min(rows) - 1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_hold_every_row_once() {
        assert_eq!(transactions(5, 2).unwrap(), [(0, 1), (2, 3), (4, 4)]);
        assert_eq!(transactions(4, 2).unwrap(), [(0, 1), (2, 3)]);
        assert_eq!(transactions(1, 1000).unwrap(), [(0, 0)]);
    }

    #[test]
    fn there_are_tickets_for_all_rows() {
        assert!(spell(PARENTS, 10).contains("generate_series(0, 4 - 1)"));
    }
}

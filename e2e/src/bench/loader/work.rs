//! What happens at the source: segments (`ticket_flights`) appear, every one changes, then a mixture of everything.
//!
//! In: a number of rows. Out: the statements' effects on the airline's database, and what a vault must hold afterwards.
//! Invariant: how many rows each scenario adds to the vault is known before anything is loaded, so that a load which
//! lost or doubled a row is no measurement.

use devstack::Postgres;

use super::scenario::Scenario;
use crate::bench::airline::{self, DATABASE};
use crate::bench::sql::Sql;

/// Rows of a transaction, and the unit of all numbers of rows here.
pub(super) const TRANSACTION_ROWS: u64 = 1000;

/// Tickets have this many segments.
const SEGMENTS_PER_TICKET: u64 = 3;

/// A flight has about this many segments.
const SEGMENTS_PER_FLIGHT: u64 = 40;

/// The flights of three segments that follow each other lie this far apart.
const FLIGHT_STRIDE: u64 = 7919;

/// Of each transaction of the mixture: new segments, changed prices, updates that change nothing, deletes.
const MIXTURE: [u64; 4] = [500, 300, 100, 100];

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
    'VS' || lpad((i % 10000)::text, 4, '0'),
    '2026-02-01 08:00:00+00'::timestamptz + i / 10000 * interval '1 day',
    '2026-02-01 10:00:00+00'::timestamptz + i / 10000 * interval '1 day',
    'AAA',
    'BBB',
    'Scheduled',
    '320'
FROM generate_series(0, {flights} - 1) AS i;
INSERT INTO tickets
SELECT
    lpad(i::text, 13, '0'),
    '00000A',
    '4510 ' || lpad(i::text, 7, '0'),
    'IVAN IVANOV',
    NULL
FROM generate_series(0, {tickets} - 1) AS i;
";

/// Row `i` is a segment of ticket `i / 3`.
const INSERT: &str = "
INSERT INTO ticket_flights
SELECT
    lpad((i / {segments})::text, 13, '0'),
    i * {stride} % {flights},
    'Economy',
    10000 + i % 5000
FROM generate_series($1::bigint, $2::bigint) AS i
";

const CHANGE_PRICE: &str = "
UPDATE ticket_flights AS t
SET amount = t.amount + 0.25
FROM generate_series($1::bigint, $2::bigint) AS i
WHERE t.ticket_no = lpad((i / {segments})::text, 13, '0')::char(13)
    AND t.flight_id = i * {stride} % {flights}
";

const CHANGE_NOTHING: &str = "
UPDATE ticket_flights AS t
SET amount = t.amount
FROM generate_series($1::bigint, $2::bigint) AS i
WHERE t.ticket_no = lpad((i / {segments})::text, 13, '0')::char(13)
    AND t.flight_id = i * {stride} % {flights}
";

const DELETE: &str = "
DELETE FROM ticket_flights AS t
USING generate_series($1::bigint, $2::bigint) AS i
WHERE t.ticket_no = lpad((i / {segments})::text, 13, '0')::char(13)
    AND t.flight_id = i * {stride} % {flights}
";

/// The sizes of the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Segments at first, a whole number of transactions.
    pub(super) rows: u64,
}

/// What a scenario is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Changes of rows.
    pub(super) events: u64,
    /// Records in Kafka: a delete has a tombstone behind it.
    pub(super) records: u64,
    /// Rows that the vault has more afterwards.
    pub(super) vault_rows: u64,
}

impl Work {
    /// What a scenario consists of.
    pub(super) fn size(self, scenario: Scenario) -> Size {
        let rows = self.rows;
        let all = Size { events: rows, records: rows, vault_rows: 0 };
        match scenario {
            // A segment is a row of the link, of its satellite and of its status satellite.
            Scenario::First => {
                Size { vault_rows: 3 * rows + self.tickets(rows) + self.flights(), ..all }
            }
            Scenario::Repeats => all,
            Scenario::Updates => Size { vault_rows: rows, ..all },
            Scenario::Mixed => {
                let [inserts, changes, _, deletes] = MIXTURE.map(|part| self.transactions() * part);
                let tickets = self.tickets(rows + inserts) - self.tickets(rows);
                let vault_rows = 3 * inserts + tickets + changes + deletes;
                Size { records: rows + deletes, vault_rows, ..all }
            }
        }
    }

    /// Makes the airline with its segments.
    pub(super) fn seed(self, server: &Postgres) -> anyhow::Result<()> {
        airline::create(server)?;
        let sql = Self::sql(server)?;
        sql.execute(&self.spell(PARENTS))?;
        self.repeat(&sql, INSERT)?;
        sql.execute("ANALYZE")
    }

    /// Changes the price of every segment.
    pub(super) fn update(self, server: &Postgres) -> anyhow::Result<()> {
        self.repeat(&Self::sql(server)?, CHANGE_PRICE)
    }

    /// Writes the mixture. Each transaction has its part of each kind, and no segment is changed twice.
    pub(super) fn mix(self, server: &Postgres) -> anyhow::Result<()> {
        let sql = Self::sql(server)?;
        let [inserts, changes, same, deletes] = MIXTURE;
        let mut first_touched = 0;
        let mut parts = vec![(INSERT, inserts, self.rows)];
        for (statement, count) in
            [(CHANGE_PRICE, changes), (CHANGE_NOTHING, same), (DELETE, deletes)]
        {
            parts.push((statement, count, first_touched));
            first_touched += count * self.transactions();
        }
        for number in 0..self.transactions() {
            sql.execute("BEGIN")?;
            for (statement, count, first) in &parts {
                let from = first + number * count;
                let range = (i64::try_from(from)?, i64::try_from(from + count)? - 1);
                let written = sql.repeat(&self.spell(statement), [range])?;
                anyhow::ensure!(written == *count, "{written} rows written instead of {count}");
            }
            sql.execute("COMMIT")?;
        }
        Ok(())
    }

    /// Runs a statement over all segments.
    fn repeat(self, sql: &Sql, statement: &str) -> anyhow::Result<()> {
        let mut ranges = Vec::new();
        for number in 0..self.transactions() {
            let from = i64::try_from(number * TRANSACTION_ROWS)?;
            ranges.push((from, from + i64::try_from(TRANSACTION_ROWS)? - 1));
        }
        let written = sql.repeat(&self.spell(statement), ranges)?;
        anyhow::ensure!(written == self.rows, "{written} rows written instead of {}", self.rows);
        Ok(())
    }

    fn sql(server: &Postgres) -> anyhow::Result<Sql> {
        let sql = Sql::connect(&server.address().superuser(DATABASE))?;
        // By the primary key, a thousand times, whatever the statistics say.
        sql.execute(
            "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
        )?;
        Ok(sql)
    }

    fn transactions(self) -> u64 {
        self.rows / TRANSACTION_ROWS
    }

    /// Tickets that so many segments belong to.
    fn tickets(self, segments: u64) -> u64 {
        segments.div_ceil(SEGMENTS_PER_TICKET)
    }

    /// Flights in all. Their number and the stride have no common divisor, so each flight has its part of the segments.
    fn flights(self) -> u64 {
        let flights = self.rows / SEGMENTS_PER_FLIGHT;
        if flights.is_multiple_of(FLIGHT_STRIDE) { flights + 1 } else { flights }
    }

    fn spell(self, statement: &str) -> String {
        statement
            .replace("{segments}", &SEGMENTS_PER_TICKET.to_string())
            .replace("{stride}", &FLIGHT_STRIDE.to_string())
            .replace("{flights}", &self.flights().to_string())
            .replace("{tickets}", &self.tickets(2 * self.rows).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixture_fills_a_transaction() {
        assert_eq!(MIXTURE.iter().sum::<u64>(), TRANSACTION_ROWS);
    }

    #[test]
    fn the_rows_of_a_vault_are_those_of_each_kind_of_change() {
        let work = Work { rows: 3000 };
        let of = |scenario| work.size(scenario).vault_rows;
        assert_eq!(of(Scenario::First), 3 * 3000 + 1000 + 75);
        assert_eq!(of(Scenario::Repeats), 0);
        assert_eq!(of(Scenario::Updates), 3000);
        assert_eq!(of(Scenario::Mixed), 3 * 1500 + 500 + 900 + 300);
        assert_eq!(work.size(Scenario::Mixed).records, 3300);
    }

    #[test]
    fn flights_and_stride_have_no_common_divisor() {
        let work = Work { rows: FLIGHT_STRIDE * SEGMENTS_PER_FLIGHT };
        assert_eq!(work.flights(), FLIGHT_STRIDE + 1);
    }
}

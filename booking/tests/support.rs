//! Databases with the airline's schema, and questions to them.
//!
//! In: a server. Out: a prepared database or an answer. Only the tests of the rights create the roles, on servers of
//! their own, because roles belong to the whole server.

use std::ops::Deref;
use std::path::PathBuf;

use booking::database::Database;
use booking::seed::{Existing, SeedOptions, SeedSummary, seed};
use chrono::{DateTime, NaiveDate, Utc};
use devstack::{PostgresAddress, unique, workspace_root};
use tokio_postgres::Client;

/// The day on which every data set of the tests is made.
pub(crate) const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();

/// Passwords of the four roles, in the order reader, application, read-only, service. One holds a quote on purpose.
pub(crate) const PASSWORDS: [&str; 4] =
    ["reader's secret", "app_secret", "readonly_secret", "service_secret"];

/// Noon of [`TODAY`]: half a day of flights is due.
pub(crate) fn noon() -> DateTime<Utc> {
    TODAY.and_hms_opt(12, 0, 0).unwrap().and_utc()
}

/// A database of this test alone.
pub(crate) struct Airline(devstack::Database);

impl Deref for Airline {
    type Target = devstack::Database;

    fn deref(&self) -> &devstack::Database {
        &self.0
    }
}

impl Airline {
    /// A new database with schema and views on the shared server.
    pub(crate) fn create() -> Self {
        Self::create_on(&devstack::shared::stack().postgres15)
    }

    /// The same on a server of the test's own.
    pub(crate) fn create_on(server: &PostgresAddress) -> Self {
        Self::create_with(server, &unique("booking"), &["010_schema.sql", "020_views.sql"])
    }

    /// A new database of this name, to which these files of sql/source are applied.
    pub(crate) fn create_with(
        server: &PostgresAddress,
        name: &str,
        files: &[impl AsRef<str>],
    ) -> Self {
        let airline = Self(devstack::Database::create(server, name).unwrap());
        for file in files {
            airline.apply(file.as_ref());
        }
        airline
    }

    /// Applies one file of sql/source, as a user would.
    #[track_caller]
    pub(crate) fn apply(&self, file: &str) {
        let [reader, app, readonly, service] = PASSWORDS;
        let complaints = self
            .psql()
            .unwrap()
            .variable("reader_password", reader)
            .variable("app_password", app)
            .variable("readonly_password", readonly)
            .variable("service_password", service)
            .run_files([source_folder().join(file)])
            .unwrap();
        assert!(complaints.is_empty(), "{file}: {complaints}");
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name, &self.server.user, &self.server.password)
    }

    pub(crate) fn database(&self) -> Database {
        self.url().parse().unwrap()
    }

    /// A connection as the superuser.
    pub(crate) async fn client(&self) -> Client {
        self.connect().await.unwrap()
    }

    /// Seeds the database; the day is always the same.
    pub(crate) async fn seed(&self, scale: f64, seed_no: u64) -> SeedSummary {
        seed(&self.database(), &options(scale, seed_no), |_| ()).await.unwrap()
    }

    /// One number that a query gives.
    #[track_caller]
    pub(crate) fn number(&self, query: &str) -> impl Future<Output = i64> {
        let query = query.to_owned();
        async move { self.client().await.query_one(&query, &[]).await.unwrap().get(0) }
    }

    /// One text for everything in the eight tables: the same if and only if all rows are.
    pub(crate) async fn checksum(&self) -> String {
        let client = self.client().await;
        let mut sums = Vec::new();
        for table in booking::tables::Table::ALL {
            let name = table.name();
            let query = format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '')
                 FROM public.{name} AS t"
            );
            let sum: String = client.query_one(&query, &[]).await.unwrap().get(0);
            sums.push(format!("{name} {sum}"));
        }
        sums.join("\n")
    }

    /// What must hold whatever happened: each query counts the rows that break a rule.
    pub(crate) async fn assert_sound(&self) {
        for (rule, query) in RULES {
            let broken = self.number(&format!("SELECT count(*) FROM ({query}) AS broken")).await;
            assert_eq!(broken, 0, "{rule}");
        }
    }
}

/// Rules beyond the constraints, as queries for rows that break them.
const RULES: [(&str, &str); 7] = [
    (
        "a booking's total is the sum of its segments",
        "SELECT b.book_ref
         FROM bookings AS b
         LEFT JOIN tickets AS t ON t.book_ref = b.book_ref
         LEFT JOIN ticket_flights AS tf ON tf.ticket_no = t.ticket_no
         GROUP BY b.book_ref
         HAVING b.total_amount <> coalesce(sum(tf.amount), 0)",
    ),
    (
        "no class of a flight is sold beyond its seats",
        "SELECT f.flight_id
         FROM ticket_flights AS tf
         JOIN flights AS f ON f.flight_id = tf.flight_id
         GROUP BY f.flight_id, tf.fare_conditions
         HAVING count(*) > (
             SELECT count(*)
             FROM seats AS s
             WHERE s.aircraft_code = f.aircraft_code
               AND s.fare_conditions = tf.fare_conditions
         )",
    ),
    (
        "a status goes with the times it needs",
        "SELECT flight_id
         FROM flights
         WHERE (status IN ('Departed', 'Arrived')) <> (actual_departure IS NOT NULL)
            OR (status = 'Arrived') <> (actual_arrival IS NOT NULL)
            OR actual_departure < scheduled_departure",
    ),
    (
        "every booking has a ticket and every ticket a segment",
        "SELECT b.book_ref
         FROM bookings AS b
         LEFT JOIN tickets AS t ON t.book_ref = b.book_ref
         LEFT JOIN ticket_flights AS tf ON tf.ticket_no = t.ticket_no
         WHERE tf.ticket_no IS NULL",
    ),
    (
        "a boarding pass names a seat of the aircraft, in the class that was bought",
        "SELECT bp.ticket_no
         FROM boarding_passes AS bp
         JOIN flights AS f ON f.flight_id = bp.flight_id
         JOIN ticket_flights AS tf
             ON tf.ticket_no = bp.ticket_no
             AND tf.flight_id = bp.flight_id
         LEFT JOIN seats AS s
             ON s.aircraft_code = f.aircraft_code
             AND s.seat_no = bp.seat_no
         WHERE s.fare_conditions IS DISTINCT FROM tf.fare_conditions",
    ),
    (
        "flights of one number share the route",
        "SELECT flight_no
         FROM flights
         GROUP BY flight_no
         HAVING count(DISTINCT (departure_airport, arrival_airport)) > 1",
    ),
    (
        "nobody boards a cancelled flight",
        "SELECT bp.ticket_no
         FROM boarding_passes AS bp
         JOIN flights AS f ON f.flight_id = bp.flight_id
         WHERE f.status = 'Cancelled'",
    ),
];

pub(crate) fn options(scale: f64, seed_no: u64) -> SeedOptions {
    SeedOptions { scale, seed: seed_no, today: TODAY, existing: Existing::Refuse }
}

pub(crate) fn source_folder() -> PathBuf {
    workspace_root().join("sql/source")
}

/// An error with everything that caused it, as the command line shows it.
pub(crate) fn full_text(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

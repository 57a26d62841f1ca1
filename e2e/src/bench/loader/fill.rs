//! The topics that are loaded: a seeded airline, captured by `cdc-reader`; then a change of every segment.
//!
//! In: a source server, a broker, a topic prefix. Out: topics whose numbers of events are known exactly.
//! Invariant: the events are real ones, written by the reader that is delivered; nothing writes while something is
//! measured.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use devstack::{Kafka, Postgres, binary};

use crate::airline::{TABLES, topic};
use crate::bench::airline::{self, APP, DATABASE, PASSWORD};
use crate::bench::interrupt::{self, Patience, wait};
use crate::bench::sql::Sql;
use crate::bench::topics::Topics;

/// One change of each segment, in transactions of as many segments as there are in a range of tickets.
const CHANGE: &str = "
UPDATE ticket_flights
SET amount = amount + 0.25
WHERE ticket_no IN (
    SELECT ticket_no
    FROM bench_tickets
    WHERE number BETWEEN $1::bigint AND $2::bigint
)
";

/// Tickets whose segments change in one transaction: about a thousand segments.
const TICKETS_PER_TRANSACTION: i64 = 350;

/// The source, and where its events go.
pub(super) struct Source<'a> {
    pub(super) server: &'a Postgres,
    pub(super) kafka: &'a Kafka,
    pub(super) topics: &'a Topics,
    pub(super) dir: &'a Path,
    pub(super) patience: Patience,
}

impl Source<'_> {
    /// Makes the airline and fills it.
    pub(super) fn seed(&self, scale: f64) -> anyhow::Result<()> {
        airline::create(self.server)?;
        let output = Command::new(binary("booking")?)
            .args(["seed", "--scale", &scale.to_string()])
            .env("BOOKING_DATABASE_URL", self.server.address().url(DATABASE, APP, PASSWORD))
            .output()
            .context("cannot run booking")?;
        anyhow::ensure!(
            output.status.success(),
            "booking seed failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.sql()?.execute(
            "CREATE TABLE public.bench_tickets AS
             SELECT row_number() OVER (ORDER BY ticket_no) AS number, ticket_no
             FROM public.tickets;
             ALTER TABLE public.bench_tickets ADD PRIMARY KEY (number);
             ANALYZE",
        )
    }

    /// Rows of all captured tables.
    pub(super) fn rows(&self) -> anyhow::Result<u64> {
        let counts: Vec<String> =
            TABLES.iter().map(|table| format!("(SELECT count(*) FROM {})", table.name)).collect();
        let rows: i64 = self.sql()?.value(&format!("SELECT {}", counts.join(" + ")))?;
        Ok(u64::try_from(rows)?)
    }

    /// Changes every segment once; returns how many there are.
    pub(super) fn change_segments(&self) -> anyhow::Result<u64> {
        let sql = self.sql()?;
        let tickets: i64 = sql.value("SELECT count(*) FROM bench_tickets")?;
        let step = usize::try_from(TICKETS_PER_TRANSACTION)?;
        let ranges =
            (1..=tickets).step_by(step).map(|first| (first, first + TICKETS_PER_TRANSACTION - 1));
        sql.repeat(CHANGE, ranges)
    }

    /// Lets the reader publish until `events` lie in the topics of `prefix`, and ends it.
    pub(super) fn publish(&self, prefix: &str, events: u64) -> anyhow::Result<()> {
        interrupt::check()?;
        let changes = [
            ("topic.prefix", prefix),
            ("slot.name", prefix),
            ("snapshot.mode", "initial"),
            // The helper table of this bench is no part of the airline.
            ("table.exclude.list", "public.bench_tickets"),
        ];
        let connector = airline::connector(self.server.address(), prefix, &changes)?;
        let mut reader =
            airline::start_reader(&binary("cdc-reader")?, self.kafka, &connector, self.dir)?;
        let topics = topics_of(prefix);
        let found = wait(self.patience, &format!("{events} events of {prefix}"), || {
            airline::require_alive(&mut reader, "cdc-reader")?;
            let found = self.topics.events_of_all(&topics)?;
            Ok((found >= events).then_some(found))
        })
        .with_context(|| airline::log_end(reader.log()))?;
        airline::end(reader, "cdc-reader")?;
        anyhow::ensure!(found == events, "{found} events of {prefix} instead of {events}");
        Ok(())
    }

    /// Lets the server forget what the topics of `prefix` were filled from.
    pub(super) fn forget(&self, prefix: &str) -> anyhow::Result<()> {
        let sql = self.sql()?;
        wait(self.patience, "the reader's slot to be free", || {
            let free: bool = sql.value(&format!(
                "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{prefix}'"
            ))?;
            Ok(free.then_some(()))
        })?;
        sql.execute(&format!("SELECT pg_drop_replication_slot('{prefix}')"))
    }

    fn sql(&self) -> anyhow::Result<Sql> {
        Sql::connect(&self.server.address().superuser(DATABASE))
    }
}

/// The topics of all captured tables.
pub(super) fn topics_of(prefix: &str) -> Vec<String> {
    TABLES.iter().map(|table| topic(prefix, table.name)).collect()
}

//! The source goes back, or another server takes its place, under a running pipeline: a recovery to the transaction
//! before a `DROP TABLE`, and the promotion of a hot backup. The reader says what it has to, publishes nothing, and
//! goes on as `docs/BACKUP.md` says. Nothing is missing afterwards, and nothing else is there.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod point_in_time;
mod promotion;

use std::time::Duration;

use devstack::{Postgres, Process, wait_for};
use e2e::airline::TABLES;
use e2e::rig::{Rig, RigOptions};
use e2e::{oracle, sql};
use tokio_postgres::Client;

use crate::proofs::told;

const PATIENCE: Duration = Duration::from_secs(90);

/// Rows of every table.
const ROWS: &str = "
    INSERT INTO airports VALUES ('AAA', 'A', 'Omsk', 1, 2, 'UTC'), ('BBB', 'B', 'Tomsk', 0, 0, 'UTC'), ('CCC', 'C', 'Perm', 1, 1, 'UTC');
    INSERT INTO aircrafts VALUES ('773', 'Boeing', 11100);
    INSERT INTO seats VALUES ('773', '1A', 'Business'), ('773', '2A', 'Economy');
    INSERT INTO flights VALUES (1, 'PG0001', '2026-01-02 03:04:05+00', '2026-01-02 05:00+00', 'AAA', 'BBB', 'Scheduled', '773');
    INSERT INTO bookings VALUES ('B00000', '2026-01-01 00:00:00+00', 12.50);
    INSERT INTO tickets VALUES ('0000000000001', 'B00000', 'P 1', 'ANN', NULL);
    INSERT INTO ticket_flights VALUES ('0000000000001', 1, 'Economy', 7.00);
    INSERT INTO boarding_passes VALUES ('0000000000001', 1, 1, '1A')";

/// A pipeline on a server of the test's own.
fn rig(name: &str, server: &Postgres) -> Rig {
    let source = server.address().clone();
    Rig::create(RigOptions { source, ..RigOptions::of_stack(name) }).unwrap()
}

/// Books, a transaction for each booking with its ticket.
async fn book(source: &Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let booking = format!(
            "BEGIN;
             INSERT INTO bookings VALUES ('R{number:05}', '2026-02-01 00:00+00', {number});
             INSERT INTO tickets VALUES ('9{number:012}', 'R{number:05}', 'P {number}', 'BOB', NULL);
             COMMIT"
        );
        source.batch_execute(&booking).await.unwrap();
    }
}

/// Every row of every captured table, by table.
async fn contents(source: &Client) -> Vec<(String, Vec<sql::Row>)> {
    let mut found = Vec::new();
    for table in TABLES {
        let rows = format!("SELECT t::text FROM {} AS t ORDER BY 1", table.name);
        found.push((table.name.to_owned(), sql::rows(source, &rows).await.unwrap()));
    }
    found
}

/// The vault shows what the source holds, row for row, and no rule of the vault is broken.
async fn assert_equal(rig: &Rig) {
    rig.settle().await.unwrap();
    let output = rig.prove(&["verify"]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    oracle::verify_checks(&warehouse).await.unwrap();
    for table in ["paused_tables", "quarantine"] {
        let count = format!("SELECT count(*) FROM dwh_control.{table}");
        assert_eq!(sql::one(&warehouse, &count).await.unwrap(), "0", "{table}");
    }
}

/// A reader, and what its log held before it was started.
struct Reader {
    process: Process,
    before: String,
}

impl Reader {
    fn start(rig: &Rig) -> Self {
        let log = rig.directory().join("reader.log");
        let before = std::fs::read_to_string(log).unwrap_or_default();
        Self { process: rig.start_reader().unwrap(), before }
    }

    fn printed(&self) -> String {
        self.process.printed()[self.before.len()..].to_owned()
    }

    fn wait_until_streaming(&self) {
        wait_for(PATIENCE, "the reader to stream", || self.printed().contains("\"streaming\""));
    }

    fn stop(mut self) {
        stop(&mut self.process);
    }
}

/// The reader ends by itself, because an operator has to decide. It has said all of these words, and published nothing.
#[track_caller]
fn assert_asks_an_operator(rig: &Rig, mut reader: Reader, words: &[&str]) {
    let published = rig.high_watermarks().unwrap();
    assert_eq!(reader.process.wait_exit(PATIENCE).unwrap(), 3, "{}", reader.printed());
    let printed = reader.printed();
    for words in words {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    assert_eq!(rig.high_watermarks().unwrap(), published);
}

fn stop(process: &mut Process) {
    process.terminate();
    assert_eq!(process.wait_exit(PATIENCE).unwrap(), 0, "{}", process.printed());
}

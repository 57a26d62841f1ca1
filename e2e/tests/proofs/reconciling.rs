//! A real gap from end to end: a slot is lost, rows are deleted meanwhile, a new snapshot brings what is there. Then
//! `reconcile` of both programs makes the vault, and every rebuild of it, what the source is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use devstack::Process;
use e2e::rig::Rig;
use e2e::{oracle, sql};
use serde_json::Value;
use tokio_postgres::Client;

use super::{differing, report, rig, told};

const PATIENCE: Duration = Duration::from_secs(60);

/// Rows before the gap: keys of one column and of several, of hubs and of links.
const ROWS: &str = "
    INSERT INTO airports VALUES ('AAA', 'A', 'Omsk', 1, 2, 'UTC'), ('BBB', 'B', 'Tomsk', 0, 0, 'UTC'), ('CCC', 'C', 'Perm', 1, 1, 'UTC'),
                                ('DDD', 'D', 'Ufa', 1, 1, 'UTC'), ('EEE', 'E', 'Tver', 1, 1, 'UTC');
    INSERT INTO aircrafts VALUES ('773', 'Boeing', 11100), ('SU9', 'Sukhoi', 3000);
    INSERT INTO seats VALUES ('773', '1A', 'Business'), ('773', '2A', 'Economy'), ('SU9', '1A', 'Economy');
    INSERT INTO flights VALUES (1, 'PG0001', '2026-01-02 03:04:05+00', '2026-01-02 05:00+00', 'AAA', 'BBB', 'Scheduled', '773'),
                               (2, 'PG0002', '2026-01-03 03:00+00', '2026-01-03 05:00+00', 'BBB', 'AAA', 'Scheduled', '773');
    INSERT INTO bookings VALUES ('B00001', '2026-01-01 00:00:00+00', 12.50), ('B00002', '2026-01-01 12:00+00', 0);
    INSERT INTO tickets VALUES ('0000000000001', 'B00001', 'P 1', 'ANN', NULL), ('0000000000002', 'B00002', 'P 2', 'BOB', '{\"a\": 1}');
    INSERT INTO ticket_flights VALUES ('0000000000001', 1, 'Economy', 7.00), ('0000000000001', 2, 'Economy', 7.00),
                                      ('0000000000002', 1, 'Business', 8.01);
    INSERT INTO boarding_passes VALUES ('0000000000001', 1, 1, '1A'), ('0000000000002', 1, 2, '2A')";

/// What nobody publishes: deletes, a row that is deleted and inserted again, a row that changes, and new ones.
const GAP: &str = "
    DELETE FROM boarding_passes;
    DELETE FROM ticket_flights WHERE ticket_no = '0000000000001';
    DELETE FROM seats WHERE seat_no = '1A';
    DELETE FROM airports WHERE airport_code IN ('CCC', 'DDD', 'EEE');
    INSERT INTO airports VALUES ('DDD', 'D', 'Moscow', 1, 1, 'UTC'), ('FFF', 'F', 'Kazan', 1, 1, 'UTC');
    UPDATE airports SET city = 'Biysk' WHERE airport_code = 'AAA'";

/// The rows that vanished in the gap, by table.
const VANISHED: [(&str, u64); 4] = [
    ("public.airports", 2),
    ("public.boarding_passes", 2),
    ("public.seats", 2),
    ("public.ticket_flights", 2),
];

/// A pipeline whose slot was dropped while its reader was stopped, and which has a new slot and a new snapshot.
struct AfterGap {
    rig: Rig,
    source: Client,
    reader: Process,
    loader: Process,
    warehouse: Client,
    file: PathBuf,
}

impl AfterGap {
    async fn of(name: &str, partitions: u32) -> Self {
        let rig = rig(name, partitions);
        let source = sql::connect(&rig.source()).await.unwrap();
        source.batch_execute("ALTER TABLE seats REPLICA IDENTITY FULL").await.unwrap();
        source.batch_execute(ROWS).await.unwrap();
        let mut reader = rig.start_reader().unwrap();
        let loader = rig.start_loader().unwrap();
        rig.wait_until_streaming(&reader).unwrap();
        source.batch_execute("UPDATE airports SET city = city || '!'").await.unwrap();
        rig.settle().await.unwrap();
        stop(&mut reader);
        let slot = rig.name();
        source.batch_execute(&format!("SELECT pg_drop_replication_slot('{slot}')")).await.unwrap();
        source.batch_execute(GAP).await.unwrap();
        rig.offset("delete").unwrap();
        let reader = rig.start_reader().unwrap();
        rig.settle().await.unwrap();
        let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
        let file = rig.directory().join("vanished.jsonl");
        Self { rig, source, reader, loader, warehouse, file }
    }

    async fn run(&self, sql: &str) {
        self.source.batch_execute(sql).await.unwrap();
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// Stops the reader, lets it publish the deletes of the file, and starts it again.
    async fn publish(&mut self, words: &[&str]) -> Value {
        stop(&mut self.reader);
        let words = [&["--publish", "--format", "json"], words].concat();
        let output = self.rig.reconcile(&self.file, &words).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        self.reader = self.rig.start_reader().unwrap();
        self.rig.settle().await.unwrap();
        report(&output)
    }

    /// Nothing differs, in this vault and in one that is loaded from the same topics.
    async fn is_right(&mut self) {
        let output = self.rig.prove(&["verify"]).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let output = self.rig.prove(&["reconcile", "--to", &format!("{}2", self.file())]).unwrap();
        assert_eq!(output.status.code(), Some(0), "a second run finds nothing: {}", told(&output));
        assert!(!Path::new(&format!("{}2", self.file())).exists(), "and writes no file");
        let paused = "SELECT count(*) FROM dwh_control.paused_tables";
        assert_eq!(sql::one(&self.warehouse, paused).await.unwrap(), "0");
        let waiting = "SELECT count(*) FROM dwh_control.quarantine";
        assert_eq!(sql::one(&self.warehouse, waiting).await.unwrap(), "0");
        oracle::verify_checks(&self.warehouse).await.unwrap();
        self.rebuild_is_identical().await;
    }

    async fn rebuild_is_identical(&mut self) {
        stop(&mut self.reader);
        stop(&mut self.loader);
        let second = format!("{}_rebuilt", self.rig.name());
        self.rig.create_warehouse(&second).unwrap();
        let mut loader = self.rig.start_loader_on(&second).unwrap();
        self.rig.settle_loader(&second).await.unwrap();
        stop(&mut loader);
        let rebuilt = sql::connect(&self.rig.warehouse(&second)).await.unwrap();
        assert_eq!(
            oracle::checksum(&self.warehouse).await.unwrap(),
            oracle::checksum(&rebuilt).await.unwrap(),
            "the rebuilt vault differs"
        );
    }
}

fn stop(process: &mut Process) {
    process.terminate();
    assert_eq!(process.wait_exit(PATIENCE).unwrap(), 0, "{}", process.printed());
}

/// How many rows vanished, by table.
fn vanished(report: &Value) -> Vec<(String, u64)> {
    let tables = report["tables"].as_array().unwrap().iter();
    let count = |table: &Value| table["vanished"].as_u64().unwrap();
    let found = tables.filter(|table| count(table) > 0);
    let mut found: Vec<(String, u64)> = found
        .map(|table| (table["source_table"].as_str().unwrap().to_owned(), count(table)))
        .collect();
    found.sort_unstable();
    found
}

async fn reconcile(name: &str, partitions: u32) {
    let mut gap = AfterGap::of(name, partitions).await;
    let output = gap.rig.prove(&["verify", "--format", "json"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let found: Vec<String> = differing(&report(&output)).into_iter().collect();
    let status = ["airports", "boarding_passes", "seats", "ticket_flights"];
    assert_eq!(found, status.map(|table| format!("sat_{table}_status")), "{}", told(&output));

    // Without --to nothing is written, and no key in clear text is shown.
    let output = gap.rig.prove(&["reconcile", "--format", "json"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let wanted: Vec<_> =
        VANISHED.iter().map(|(table, count)| ((*table).to_owned(), *count)).collect();
    assert_eq!(vanished(&report(&output)), wanted);
    assert!(!told(&output).contains("CCC"), "{}", told(&output));
    // Too many rows.
    let words = ["reconcile", "--to", gap.file(), "--max-deletes", "7"];
    let output = gap.rig.prove(&words).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("more than --max-deletes 7"), "{}", told(&output));
    assert!(!gap.file.exists());
    let output = gap.rig.prove(&["reconcile", "--to", gap.file(), "--show-keys"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("(aircraft_code=773, seat_no=1A)"), "{}", told(&output));
    assert!(told(&output).contains("8 rows written to"), "{}", told(&output));

    // While the reader runs nothing is published.
    let output = gap.rig.reconcile(&gap.file, &["--publish"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("the connector runs"), "{}", told(&output));
    let done = gap.publish(&[]).await;
    let tables = done["tables"].as_array().unwrap();
    assert!(tables.iter().all(|table| table["deletes"] == 2), "{done}");
    gap.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_vanished_in_a_gap_go_from_the_vault_and_from_every_rebuild() {
    reconcile("vanished", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_vanished_go_from_topics_with_partitions() {
    reconcile("vanished_parts", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_again_after_the_comparison_lives() {
    let mut gap = AfterGap::of("vanished_race", 1).await;
    let output = gap.rig.prove(&["reconcile", "--to", gap.file()]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    // CCC comes again and is loaded. EEE comes again, is changed and goes again. 773 1A comes again unseen, because the
    // reader is stopped, and SU9 1A comes and goes while it is.
    gap.run("INSERT INTO airports VALUES ('CCC', 'C', 'Chita', 1, 1, 'UTC'), ('EEE', 'E', 'Elista', 1, 1, 'UTC')").await;
    gap.run("UPDATE airports SET city = 'Elets' WHERE airport_code = 'EEE'").await;
    gap.run("DELETE FROM airports WHERE airport_code = 'EEE'").await;
    gap.rig.settle().await.unwrap();
    stop(&mut gap.reader);
    gap.run("INSERT INTO seats VALUES ('773', '1A', 'Economy'), ('SU9', '1A', 'Business')").await;
    gap.run("DELETE FROM seats WHERE aircraft_code = 'SU9'").await;
    gap.reader = gap.rig.start_reader().unwrap();
    gap.rig.settle().await.unwrap();
    let done = gap.publish(&[]).await;
    let again = |table: &Value| table["exist_again"].as_u64().unwrap();
    let tables = done["tables"].as_array().unwrap();
    let of = |name: &str| tables.iter().find(|table| table["table"] == name).unwrap();
    assert_eq!((again(of("public.airports")), again(of("public.seats"))), (1, 1), "{done}");
    // Twice is as once.
    gap.publish(&[]).await;
    let alive = "SELECT string_agg(airport_code || city, ' ' ORDER BY airport_code) FROM dwh_marts.current_airports";
    let alive = sql::one(&gap.warehouse, alive).await.unwrap();
    assert_eq!(alive, "AAABiysk BBBTomsk! CCCChita DDDMoscow FFFKazan");
    gap.is_right().await;
}

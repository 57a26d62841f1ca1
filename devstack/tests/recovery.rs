//! A server is recovered to a point in time from its archive, and a hot backup is promoted by one command. In both
//! cases what was committed before is there, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use devstack::profile::State;
use devstack::{
    Archive, BackupKind, Postgres, PostgresAddress, PostgresOptions, Process, ProcessOptions,
    RecoveryPoint, RecoveryTarget, StopMode, free_port, sql, wait_for,
};

use crate::command::{devstack, printed, refused};

const PATIENCE: Duration = Duration::from_secs(60);

/// The variables of the ports that these tests choose.
const VARIABLES: [&str; 10] = [
    "VAULTSTREAM_PRIMARY_PORT",
    "VAULTSTREAM_REPLICA_PORT",
    "VAULTSTREAM_DWH_PORT",
    "VAULTSTREAM_KAFKA_PORT",
    "VAULTSTREAM_READER_PORT",
    "VAULTSTREAM_BOOKING_READER_PORT",
    "VAULTSTREAM_LOADER_PORT",
    "VAULTSTREAM_BOOKING_PORT",
    "VAULTSTREAM_REDIS_PORT",
    "VAULTSTREAM_PGBOUNCER_PORT",
];

/// A secret that no list of processes, no log and no setting may show.
const PASSWORD: &str = "it's: a secret";

/// What the archive does to the server's own figures.
const ARCHIVED: &str =
    "SELECT concat_ws(' ', last_archived_wal IS NOT NULL, failed_count) FROM pg_stat_archiver";

async fn text(server: &Postgres, query: &str) -> String {
    let client = sql::connect(&server.address().superuser("postgres")).await.unwrap();
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// A server with an archive below `dir`.
fn archiving(dir: &Path) -> (Postgres, Archive) {
    let archive = Archive::at(&dir.join("archive")).unwrap();
    let options = PostgresOptions::new(15).fsync(false).name("primary").dir(dir.join("primary"));
    let options = options.superuser("admin", PASSWORD).archive(&archive);
    (Postgres::start(options).unwrap(), archive)
}

/// The names of the tables that the test made.
async fn tables(server: &Postgres) -> String {
    text(
        server,
        "SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '')
         FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    )
    .await
}

#[tokio::test]
async fn a_dropped_table_comes_back_by_transaction_by_time_and_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, archive) = archiving(dir.path());
    archive.backup("primary", BackupKind::Full).unwrap();
    let backed_up = text(&server, "SELECT clock_timestamp()::text").await;
    let rows = "SELECT format('%s %s', count(*), sum(number)) FROM kept";
    server
        .execute("postgres", "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        .unwrap();
    server.execute("postgres", "SELECT pg_create_restore_point('before the accident')").unwrap();
    // pgBackRest knows in which second a backup ended, and takes one that ended before the second of the target.
    let has_passed = format!(
        "SELECT 1 / (date_trunc('second', clock_timestamp()) > '{backed_up}'::timestamptz)::int"
    );
    wait_for(PATIENCE, "the second of the backup to pass", || {
        server.execute("postgres", &has_passed).map(|()| true)
    });
    let time = text(&server, "SELECT clock_timestamp()::text").await;
    let client = sql::connect(&server.address().superuser("postgres")).await.unwrap();
    client.batch_execute("BEGIN; DROP TABLE kept").await.unwrap();
    let xid: String =
        client.query_one("SELECT pg_current_xact_id()::text", &[]).await.unwrap().get(0);
    client.batch_execute("COMMIT").await.unwrap();
    drop(client);
    server.execute("postgres", "CREATE TABLE later ()").unwrap();
    assert_eq!(tables(&server).await, "later");

    let points = [
        RecoveryPoint::before_transaction(&xid),
        RecoveryPoint::to(RecoveryTarget::Time(time)),
        RecoveryPoint::to(RecoveryTarget::Name("before the accident".to_owned())),
    ];
    for (timeline, point) in (2..).zip(points) {
        // After the first recovery the accident stands on an old timeline, and recovery follows the newest.
        let point = RecoveryPoint { timeline: Some("1".to_owned()), ..point };
        let kept = server.restore(&point).unwrap();
        assert_eq!(tables(&server).await, "kept", "{point:?}");
        assert_eq!(text(&server, rows).await, "1000 500500", "{point:?}");
        let id = "SELECT timeline_id::text FROM pg_control_checkpoint()";
        server.execute("postgres", "CHECKPOINT").unwrap();
        assert_eq!(text(&server, id).await, timeline.to_string(), "{point:?}");
        assert!(kept.join("PG_VERSION").exists(), "the earlier data is kept");
        let left = "SELECT count(*)::text FROM pg_file_settings WHERE name LIKE 'recovery%' OR name = 'restore_command'";
        assert_eq!(text(&server, left).await, "0", "a standby would recover to the point, too");
        // The recovered server archives on, on a timeline of its own.
        archive.check("primary").unwrap();
    }
}

#[tokio::test]
async fn a_point_that_is_not_reached_leaves_the_server_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, archive) = archiving(dir.path());
    archive.backup("primary", BackupKind::Full).unwrap();
    server.execute("postgres", "CREATE TABLE later ()").unwrap();
    let error = server.restore(&RecoveryPoint::before_transaction("4000000")).unwrap_err();
    let told = format!("{error:#}");
    assert!(told.contains("its data is as it was before"), "{told}");
    assert!(
        told.contains("recovery ended before configured recovery target was reached"),
        "{told}"
    );
    server.start_again().unwrap();
    assert_eq!(tables(&server).await, "later");
}

#[tokio::test]
async fn what_a_crashed_server_had_not_archived_is_recovered_too() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, archive) = archiving(dir.path());
    archive.backup("primary", BackupKind::Full).unwrap();
    archive.check("primary").unwrap();
    server.execute("postgres", "CREATE TABLE in_no_archive ()").unwrap();
    server.stop(StopMode::Kill).unwrap();
    server.restore(&RecoveryPoint::to(RecoveryTarget::Latest)).unwrap();
    assert_eq!(tables(&server).await, "in_no_archive");
}

#[tokio::test]
async fn a_segment_that_is_full_is_archived_and_no_secret_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (server, archive) = archiving(dir.path());
    assert_eq!(text(&server, "SHOW archive_timeout").await, "1h");
    let client = sql::connect(&server.address().superuser("postgres")).await.unwrap();
    client.execute("SELECT pg_switch_wal()", &[]).await.unwrap();
    wait_for(PATIENCE, "the segment to be archived", || {
        server
            .execute(
                "postgres",
                "SELECT 1 / (last_archived_wal IS NOT NULL)::int FROM pg_stat_archiver",
            )
            .map(|()| true)
    });
    assert_eq!(text(&server, ARCHIVED).await, "t 0");
    archive.backup("primary", BackupKind::Full).unwrap();
    archive.backup("primary", BackupKind::Differential).unwrap();
    let info = archive.info("primary", false).unwrap();
    assert!(info.contains("full backup: ") && info.contains("diff backup: "), "{info}");
    let command = text(&server, "SHOW archive_command").await;
    let log = std::fs::read_to_string(server.log()).unwrap();
    for shown in [command, log, info] {
        assert!(!shown.contains("a secret"), "{shown}");
    }
}

/// Servers of this test's own, which end with it, however it ends.
struct Stack {
    dir: tempfile::TempDir,
    ports: Vec<u16>,
}

impl Stack {
    fn new() -> Self {
        let ports = (0..10).map(|_| free_port().unwrap()).collect();
        Self { dir: tempfile::tempdir().unwrap(), ports }
    }

    fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    fn run(&self, words: &[&str]) -> Output {
        devstack(&self.run_dir(), &VARIABLES, &self.ports, words)
    }

    fn state(&self) -> State {
        serde_json::from_slice(&std::fs::read(self.run_dir().join("state.json")).unwrap()).unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let output = self.run(&["down", "--purge"]);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// A reader of a logical slot that confirms nothing, as one that waits for Kafka. It lacks a change.
fn stuck_reader(dir: &Path, primary: &PostgresAddress) -> Process {
    let database = "airline_tickets";
    let slot = "SELECT pg_create_logical_replication_slot('stuck', 'test_decoding')";
    primary.execute(database, slot).unwrap();
    let options =
        ProcessOptions::new(primary.bin_dir.join("pg_recvlogical"), dir.join("pg_recvlogical.log"))
            .args(["--start", "--slot=stuck", "--file=-", "--dbname"])
            .args([primary.superuser(database)]);
    let reader = Process::start(&options).unwrap();
    let is_active =
        "SELECT 1 / count(*) FROM pg_replication_slots WHERE active AND slot_name = 'stuck'";
    wait_for(PATIENCE, "the reader to be connected", || {
        primary.execute(database, is_active).map(|()| true)
    });
    reader.pause();
    primary.execute(database, "CREATE TABLE not_confirmed ()").unwrap();
    reader
}

#[tokio::test]
async fn the_hot_backup_is_promoted_by_one_command_and_the_old_primary_comes_back_as_its_replica() {
    let stack = Stack::new();
    let run = |words: &[&str]| stack.run(words);
    printed(&run(&["up", "--profile", "backup"]));
    let servers = stack.state().postgres;
    let (primary, backup) = (&servers["primary"], &servers["hot_backup"]);
    printed(&run(&["archive", "backup"]));

    // A standby that does not stream would lack commits.
    printed(&run(&["stop", "hot_backup"]));
    let said = refused(&run(&["promote", "hot_backup"]));
    assert!(said.contains("hot_backup does not run"), "{said}");
    primary.execute("airline_tickets", "CREATE TABLE while_it_was_away ()").unwrap();
    printed(&run(&["start", "hot_backup"]));
    wait_until_streams(primary);
    primary
        .execute("airline_tickets", "CREATE TABLE last_of_all AS SELECT 'kept' AS word")
        .unwrap();

    let _stuck = stuck_reader(stack.dir.path(), primary);
    let promoted = run(&["promote", "hot_backup"]);
    let told = String::from_utf8_lossy(&promoted.stderr);
    assert!(told.contains("a reader confirms nothing"), "{told}");
    let said = printed(&promoted);
    assert!(
        said.contains("hot_backup is the primary") && said.contains("no commit is lost"),
        "{said}"
    );
    backup
        .execute(
            "airline_tickets",
            "TABLE while_it_was_away; INSERT INTO last_of_all VALUES ('new')",
        )
        .unwrap();
    let said = refused(&run(&["promote", "hot_backup"]));
    assert!(said.contains("hot_backup is the primary already"), "{said}");
    promotion_outlives_the_servers(&stack, primary, backup);
    earlier_primary_comes_back(&stack, primary);

    // What is deleted by mistake on the promoted server comes back, too.
    let lsn = sql_text(backup, "SELECT pg_current_wal_insert_lsn()::text").await;
    backup.execute("airline_tickets", "DROP TABLE last_of_all").unwrap();
    let said = printed(&run(&["archive", "restore", "--target-lsn", &lsn]));
    assert!(said.contains("hot_backup is process"), "{said}");
    backup.execute("airline_tickets", "SELECT 1 / (count(*) = 3)::int FROM last_of_all").unwrap();

    promotion_that_was_cut_off(&stack, primary, backup);

    printed(&run(&["down", "--purge"]));
    for address in servers.values() {
        assert!(address.execute("postgres", "SELECT 1").is_err(), "{address:?} runs");
    }
}

/// The promoted server archives where the earlier primary ended, and is the primary after every start.
fn promotion_outlives_the_servers(
    stack: &Stack,
    primary: &PostgresAddress,
    backup: &PostgresAddress,
) {
    let run = |words: &[&str]| stack.run(words);
    printed(&run(&["archive", "check"]));
    printed(&run(&["stop", "hot_backup"]));
    printed(&run(&["start", "hot_backup"]));
    let said = refused(&run(&["up", "--profile", "demo"]));
    assert!(said.contains("runs the profile backup"), "{said}");
    printed(&run(&["down"]));
    printed(&run(&["up", "--profile", "backup"]));
    backup.execute("airline_tickets", "INSERT INTO last_of_all VALUES ('newer')").unwrap();
    printed(&run(&["archive", "check"]));
    assert!(primary.execute("postgres", "SELECT 1").is_err(), "there are two primaries");
}

/// The earlier primary never runs beside the promoted server. Without its data it comes back as a replica.
fn earlier_primary_comes_back(stack: &Stack, primary: &PostgresAddress) {
    let run = |words: &[&str]| stack.run(words);
    let said = refused(&run(&["start", "primary"]));
    assert!(said.contains("primary was promoted, or was a primary"), "{said}");
    let data = primary.socket_dir.join("data");
    std::fs::rename(&data, data.with_extension("earlier")).unwrap();
    printed(&run(&["start", "primary"]));
    wait_for(PATIENCE, "the earlier primary to follow", || {
        primary
            .execute("airline_tickets", "SELECT 1 / (count(*) = 3)::int FROM last_of_all")
            .map(|()| true)
    });
    let err =
        primary.execute("airline_tickets", "DELETE FROM last_of_all").unwrap_err().to_string();
    assert!(err.contains("read-only transaction"), "{err}");
}

/// A promotion that was cut off after it was recorded is made by the same command. Here it leads back to the first
/// primary.
fn promotion_that_was_cut_off(stack: &Stack, primary: &PostgresAddress, backup: &PostgresAddress) {
    // The recovered server has no slots: its replica is copied anew.
    printed(&stack.run(&["stop", "primary"]));
    printed(&stack.run(&["start", "primary"]));
    let begun = r#"{"server": "primary", "replaced": ["hot_backup"]}"#;
    std::fs::write(stack.run_dir().join("promoted.json"), begun).unwrap();
    wait_until_streams(backup);
    let said = printed(&stack.run(&["promote", "primary"]));
    assert!(said.contains("no commit is lost"), "{said}");
    primary.execute("airline_tickets", "INSERT INTO last_of_all VALUES ('newest')").unwrap();
    assert!(backup.execute("postgres", "SELECT 1").is_err(), "there are two primaries");
}

/// Waits until a standby streams from this primary.
fn wait_until_streams(primary: &PostgresAddress) {
    let streams = "SELECT 1 / count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    wait_for(PATIENCE, "the standby to stream", || {
        primary.execute("postgres", streams).map(|()| true)
    });
}

async fn sql_text(address: &PostgresAddress, query: &str) -> String {
    let client = sql::connect(&address.superuser("postgres")).await.unwrap();
    client.query_one(query, &[]).await.unwrap().get(0)
}

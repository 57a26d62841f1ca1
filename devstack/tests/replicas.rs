//! Named read replicas: they follow over slots of their own, come back after a kill, and are copied anew after their
//! slot was lost. One that was promoted keeps its data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use devstack::profile::State;
use devstack::{Postgres, PostgresOptions, StopMode, Upstream, free_port, sql, wait_for};

use crate::command::{devstack, printed};

const PATIENCE: Duration = Duration::from_secs(60);

/// The variables of the ports that these tests choose.
const VARIABLES: [&str; 3] =
    ["VAULTSTREAM_REPLICATED_PORT", "VAULTSTREAM_REPLICA_ONE_PORT", "VAULTSTREAM_REPLICA_TWO_PORT"];

fn quick(version: u16) -> PostgresOptions {
    PostgresOptions::new(version).fsync(false)
}

fn upstream(name: &str) -> Upstream {
    Upstream::new(name, "replicator", "it's: a secret").unwrap()
}

/// A replica with its data in `dir`.
fn replica(primary: &Postgres, name: &str, dir: &Path) -> Postgres {
    let options = quick(primary.address().version).name(name).dir(dir.join(name));
    Postgres::start_read_replica(primary.address(), &upstream(name), options).unwrap()
}

/// The one text value that `query` yields.
async fn text(server: &Postgres, query: &str) -> String {
    let client = sql::connect(&server.address().superuser("postgres")).await.unwrap();
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// Waits until `table` is on the replica.
fn wait_for_table(replica: &Postgres, table: &str) {
    wait_for(PATIENCE, &format!("{table} on the replica"), || {
        replica.execute("postgres", &format!("SELECT FROM {table}")).map(|()| true)
    });
}

/// Leaves a file in the replica's data that no copy of the primary has.
fn mark(replica: &Postgres) -> PathBuf {
    let mark = replica.data_dir().join("of-this-copy");
    std::fs::write(&mark, "").unwrap();
    mark
}

async fn two_follow(version: u16) {
    let dir = tempfile::tempdir().unwrap();
    let primary = Postgres::start(quick(version)).unwrap();
    let one = replica(&primary, "replica_one", dir.path());
    let two = replica(&primary, "replica_two", dir.path());
    primary.execute("postgres", "CREATE TABLE followed AS SELECT 'seen' AS word").unwrap();
    for replica in [&one, &two] {
        wait_for_table(replica, "followed");
        assert_eq!(text(replica, "SELECT word FROM followed").await, "seen");
        let err = replica.execute("postgres", "DELETE FROM followed").unwrap_err().to_string();
        assert!(err.contains("read-only transaction"), "{err}");
        assert_eq!(text(replica, "SHOW hot_standby_feedback").await, "off");
        let conninfo = text(replica, "SHOW primary_conninfo").await;
        assert!(conninfo.contains("passfile") && !conninfo.contains("secret"), "{conninfo}");
    }
    let senders = "SELECT string_agg(concat_ws(' ', application_name, usename, state, slot_name, slot_type, active), ', '
                                     ORDER BY application_name)
                   FROM pg_stat_replication
                   JOIN pg_replication_slots ON active_pid = pid";
    assert_eq!(
        text(&primary, senders).await,
        "replica_one replicator streaming replica_one physical t, \
         replica_two replicator streaming replica_two physical t"
    );
    let rights = "SELECT concat_ws(' ', rolreplication, rolsuper, rolcreaterole, rolcreatedb)
                  FROM pg_roles WHERE rolname = 'replicator'";
    assert_eq!(text(&primary, rights).await, "t f f f");
}

#[tokio::test]
async fn two_replicas_follow_over_slots_of_their_own_on_15() {
    two_follow(15).await;
}

#[tokio::test]
async fn two_replicas_follow_over_slots_of_their_own_on_18() {
    two_follow(18).await;
}

#[tokio::test]
async fn a_killed_and_a_paused_replica_go_on_where_they_were_with_no_new_copy() {
    let dir = tempfile::tempdir().unwrap();
    let primary = Postgres::start(quick(15)).unwrap();
    for (mode, pause) in [(StopMode::Kill, false), (StopMode::Fast, true)] {
        let mut away = replica(&primary, "replica_one", dir.path());
        let mark = mark(&away);
        if pause {
            away.execute("postgres", "SELECT pg_wal_replay_pause()").unwrap();
        }
        away.stop(mode).unwrap();
        drop(away);
        primary.execute("postgres", &format!("CREATE TABLE meanwhile_{mode:?} ()")).unwrap();

        let back = replica(&primary, "replica_one", dir.path());
        wait_for_table(&back, &format!("meanwhile_{mode:?}"));
        assert!(mark.exists(), "the primary was copied anew");
        assert_eq!(text(&back, "SELECT pg_get_wal_replay_pause_state()").await, "not paused");
    }
}

async fn lost_slot(version: u16) {
    let dir = tempfile::tempdir().unwrap();
    let bounded = quick(version).setting("max_slot_wal_keep_size", "16MB");
    let primary = Postgres::start(bounded.setting("min_wal_size", "32MB")).unwrap();
    let away = replica(&primary, "replica_one", dir.path());
    let mark = mark(&away);
    drop(away);
    let status = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'replica_one'";
    let client = sql::connect(&primary.address().superuser("postgres")).await.unwrap();
    for number in 0..20 {
        if text(&primary, status).await == "lost" {
            break;
        }
        primary.execute("postgres", &format!("CREATE TABLE filled_{number} ()")).unwrap();
        client.execute("SELECT pg_switch_wal()", &[]).await.unwrap();
        client.execute("CHECKPOINT", &[]).await.unwrap();
    }
    assert_eq!(text(&primary, status).await, "lost", "the bound does not hold");

    let back = replica(&primary, "replica_one", dir.path());
    wait_for_table(&back, "filled_0");
    assert!(!mark.exists(), "it runs on data that no WAL leads on from");
    assert_eq!(text(&primary, status).await, "reserved");
    primary.execute("postgres", "CREATE TABLE afterwards ()").unwrap();
    wait_for_table(&back, "afterwards");
}

#[tokio::test]
async fn a_replica_whose_slot_was_lost_is_copied_anew_on_15() {
    lost_slot(15).await;
}

#[tokio::test]
async fn a_replica_whose_slot_was_lost_is_copied_anew_on_18() {
    lost_slot(18).await;
}

#[test]
fn a_replica_starts_on_what_it_has_while_its_primary_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut primary = Postgres::start(quick(15)).unwrap();
    primary.execute("postgres", "CREATE TABLE before ()").unwrap();
    let first = replica(&primary, "replica_one", dir.path());
    wait_for_table(&first, "before");
    drop(first);
    primary.stop(StopMode::Fast).unwrap();
    let alone = replica(&primary, "replica_one", dir.path());
    wait_for_table(&alone, "before");
    primary.start_again().unwrap();
    primary.execute("postgres", "CREATE TABLE afterwards ()").unwrap();
    wait_for_table(&alone, "afterwards");
}

#[tokio::test]
async fn a_replica_that_was_promoted_keeps_its_rows_and_is_not_started_as_a_replica() {
    let dir = tempfile::tempdir().unwrap();
    let primary = Postgres::start(quick(15)).unwrap();
    let mut promoted = replica(&primary, "replica_one", dir.path());
    promoted.execute("postgres", "SELECT pg_promote(true, 60)").unwrap();
    promoted.execute("postgres", "CREATE TABLE kept AS SELECT 'only here' AS word").unwrap();
    promoted.stop(StopMode::Fast).unwrap();
    drop(promoted);
    let options = || quick(15).name("replica_one").dir(dir.path().join("replica_one"));
    let start = || {
        Postgres::start_read_replica(primary.address(), &upstream("replica_one"), options())
            .err()
            .map(|err| format!("{err:#}"))
            .unwrap()
    };
    let refused = start();
    assert!(refused.contains("replica_one was promoted, or was a primary"), "{refused}");
    assert!(refused.contains("starting it as a server of its own"), "{refused}");
    assert!(refused.contains("copies the primary"), "{refused}");
    primary.execute("postgres", "SELECT pg_drop_replication_slot('replica_one')").unwrap();
    assert_eq!(start(), refused, "a slot that is gone changes nothing");

    // As the message says.
    let on_its_own = Postgres::start(options()).unwrap();
    assert_eq!(text(&on_its_own, "SELECT word FROM kept").await, "only here");
    let data = on_its_own.data_dir().to_owned();
    drop(on_its_own);
    std::fs::rename(&data, data.with_extension("of-the-promoted-one")).unwrap();
    let copied = replica(&primary, "replica_one", dir.path());
    primary.execute("postgres", "CREATE TABLE afterwards ()").unwrap();
    wait_for_table(&copied, "afterwards");
}

#[tokio::test]
async fn the_profile_stops_and_starts_one_replica_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let ports = [free_port().unwrap(), free_port().unwrap(), free_port().unwrap()];
    let run = |words: &[&str]| devstack(&run_dir, &VARIABLES, &ports, words);
    printed(&run(&["up", "--profile", "replicas"]));
    let state = std::fs::read(run_dir.join("state.json")).unwrap();
    let state: State = serde_json::from_slice(&state).unwrap();
    let primary = &state.postgres["primary"];
    assert_eq!(state.processes.len(), 3);

    printed(&run(&["stop", "replica_two"]));
    let status = run(&["status"]);
    let shown = String::from_utf8_lossy(&status.stdout);
    assert!(!status.status.success() && shown.contains("ENDED"), "{shown}");
    primary.execute("airline_tickets", "CREATE TABLE while_two_was_away ()").unwrap();
    printed(&run(&["start", "replica_two"]));
    printed(&run(&["status"]));
    wait_for(PATIENCE, "the restarted replica to follow", || {
        state.postgres["replica_two"]
            .execute("airline_tickets", "TABLE while_two_was_away")
            .map(|()| true)
    });

    let err = run(&["start", "replica_two"]);
    assert!(String::from_utf8_lossy(&err.stderr).contains("runs already"), "{err:?}");
    let err = run(&["stop", "replica_three"]);
    let said = String::from_utf8_lossy(&err.stderr);
    assert!(said.contains("replica_three") && said.contains("replica_one"), "{said}");

    // Nobody but the role for it replicates, not even the superuser.
    let replication = primary.superuser("postgres") + " replication=true";
    let output = Command::new(devstack::client_binary("psql").unwrap())
        .args(["--no-psqlrc", "--dbname", &replication, "--command", "IDENTIFY_SYSTEM"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("pg_hba.conf rejects replication connection"), "{said}");

    printed(&run(&["down", "--purge"]));
    for (name, address) in &state.postgres {
        assert!(!address.socket_dir.join("data").exists(), "{name} is left");
        assert!(address.execute("postgres", "SELECT 1").is_err(), "{name} runs");
    }
}

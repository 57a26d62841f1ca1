//! PostgreSQL: versions, access, settings, crashes.

use std::time::Duration;

use devstack::{
    PasswordAuth, Postgres, PostgresOptions, StopMode, Tls, require_free, sql, wait_for,
};

fn quick(version: u16) -> PostgresOptions {
    PostgresOptions::new(version).fsync(false)
}

/// The one text value that `query` yields.
async fn text(server: &Postgres, query: &str) -> String {
    let client = sql::connect(&server.address().superuser("postgres")).await.unwrap();
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn check_version(version: u16) {
    let server = Postgres::start(quick(version)).unwrap();
    let found = text(&server, "SELECT current_setting('server_version_num')").await;
    assert_eq!(found[..2], version.to_string(), "{found}");
    assert_eq!(text(&server, "SHOW wal_level").await, "logical");
    assert!(server.socket_dir().join(format!(".s.PGSQL.{}", server.port())).exists());
}

#[tokio::test]
async fn postgresql_14_starts() {
    check_version(14).await;
}

#[tokio::test]
async fn postgresql_16_starts() {
    check_version(16).await;
}

#[tokio::test]
async fn postgresql_17_starts() {
    check_version(17).await;
}

#[tokio::test]
async fn postgresql_18_starts() {
    check_version(18).await;
}

#[tokio::test]
async fn committed_rows_survive_every_way_to_stop_on_the_same_port() {
    let mut server = Postgres::start(quick(15)).unwrap();
    let port = server.port();
    server.execute("postgres", "CREATE TABLE kept (how text)").unwrap();
    for mode in [StopMode::Fast, StopMode::Immediate, StopMode::Kill] {
        server.execute("postgres", &format!("INSERT INTO kept VALUES ('{mode:?}')")).unwrap();
        server.restart(mode).unwrap();
        assert_eq!(server.port(), port);
    }
    let kept = text(&server, "SELECT string_agg(how, ' ' ORDER BY how) FROM kept").await;
    assert_eq!(kept, "Fast Immediate Kill");
}

#[tokio::test]
async fn a_replica_follows_its_primary_and_refuses_writes() {
    let primary = Postgres::start(quick(15).setting("max_connections", "150")).unwrap();
    let replica = Postgres::start_replica_of(&primary, quick(15)).unwrap();
    primary.execute("postgres", "CREATE TABLE followed AS SELECT 'seen' AS word").unwrap();
    wait_for(Duration::from_secs(30), "the replica to follow", || {
        replica.execute("postgres", "SELECT word FROM followed").map(|()| true)
    });
    assert_eq!(text(&replica, "SELECT word FROM followed").await, "seen");
    let err = replica.execute("postgres", "DELETE FROM followed").unwrap_err().to_string();
    assert!(err.contains("read-only transaction"), "{err}");
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = Postgres::start(quick(15)).unwrap();
    let wrong = server.connection_string("postgres", "admin", "not it");
    let err = sql::connect(&wrong).await.err().unwrap();
    assert_eq!(err.code(), Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD), "{err}");
}

#[tokio::test]
async fn a_server_that_demands_tls_has_a_certificate_its_authority_signed() {
    let options = quick(15).tls(Tls::Generate);
    let server = Postgres::start(options).unwrap();
    let ca = server.address().ca.clone().unwrap();
    let port = server.port();
    let output = std::process::Command::new("openssl")
        .args(["s_client", "-starttls", "postgres", "-verify_return_error", "-brief"])
        .args(["-verify_ip", "127.0.0.1", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"])
        .arg(ca)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Verification: OK"), "{said}");
}

#[tokio::test]
async fn without_tls_nobody_enters_a_server_that_demands_it() {
    let options = quick(15).tls(Tls::Generate).auth(PasswordAuth::ScramOverTlsOnly);
    let server = Postgres::start(options).unwrap();
    let plain = server.address().superuser("postgres") + " sslmode=disable";
    let err = sql::connect(&plain).await.err().unwrap();
    let server_said = err.as_db_error().unwrap().message();
    assert!(server_said.contains("no encryption"), "{server_said}");
}

#[tokio::test]
async fn a_setting_of_the_caller_wins() {
    let server = Postgres::start(quick(15).setting("wal_level", "replica")).unwrap();
    assert_eq!(text(&server, "SHOW wal_level").await, "replica");
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("server");
    let options = quick(15).dir(&home).setting("max_connections", "many");
    let err = format!("{:#}", Postgres::start(options).unwrap_err());
    assert!(err.contains("invalid value for parameter \"max_connections\""), "{err}");
    let needle = home.display().to_string();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let command = entry.unwrap().path().join("cmdline");
        let words = std::fs::read(command).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(!words.contains(&needle), "left behind: {words}");
    }
}

#[test]
fn a_taken_port_is_named_before_anything_starts() {
    let first = Postgres::start(quick(15)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = quick(15).name("the warehouse").port(first.port()).dir(dir.path());
    let err =
        Postgres::start(options.port_variable("VAULTSTREAM_DWH_PORT")).unwrap_err().to_string();
    assert!(err.contains(&format!("port {}", first.port())), "{err}");
    assert!(err.contains("the warehouse") && err.contains("VAULTSTREAM_DWH_PORT"), "{err}");
    assert!(!dir.path().join("postgres.log").exists(), "a server was started");
    let port = first.port();
    drop(first);
    require_free(port, "nothing", None).unwrap();
}

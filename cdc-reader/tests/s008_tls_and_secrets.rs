//! SCRAM over TLS in every mode, the bad cases refused, and the password nowhere to be seen.

use std::path::Path;
use std::process::Command;

use devstack::{PasswordAuth, Postgres, PostgresOptions, Tls, shared};

use crate::support::load::transactions;
use crate::support::{Connector, Launch, PATIENCE, Source, unique};

const PASSWORD: &str = "hide-me-7f3a";

/// A server that lets nobody in over TCP without TLS.
fn server(tls: Tls) -> Postgres {
    let options = PostgresOptions::new(15)
        .fsync(false)
        .superuser("keeper", PASSWORD)
        .auth(PasswordAuth::ScramOverTlsOnly)
        .tls(tls);
    Postgres::start(options).unwrap()
}

/// A certificate of an authority of its own, for another host than ours.
fn for_another_host(dir: &Path) -> Tls {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let openssl = |args: &str| {
        let args: Vec<String> = args.split(' ').map(|word| word.replace('@', &path(""))).collect();
        let output = Command::new("openssl").args(&args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 -days 30 -subj /CN=another -keyout @ca.key -out @ca.crt {key}"));
    openssl(&format!("req -subj /CN=elsewhere.example -keyout @server.key -out @server.csr {key}"));
    std::fs::write(path("ext"), "subjectAltName = DNS:elsewhere.example\n").unwrap();
    openssl(
        "x509 -req -days 30 -CAcreateserial -in @server.csr -CA @ca.crt -CAkey @ca.key -extfile @ext -out @server.crt",
    );
    Tls::Files { ca: dir.join("ca.crt"), cert: dir.join("server.crt"), key: dir.join("server.key") }
}

/// Whether the reader streams from the server in this mode, trusting this authority; what it says hides the password
/// either way.
#[track_caller]
fn outcome(server: &Postgres, mode: &str, ca: Option<&Path>) -> Result<(), (i32, String)> {
    let id = unique("tls");
    let source = Source::with_load(server.address(), &id);
    let mut connector = Connector::new(&source, &id).set("database.sslmode", mode);
    if let Some(ca) = ca {
        connector = connector.set("database.sslrootcert", ca.to_str().unwrap());
    }
    let mut reader = Launch::new(&connector, &shared::stack().kafka_bootstrap)
        .startup_timeout(3)
        .env("RUST_LOG", "cdc_reader=trace,info")
        .start();
    let streams = devstack::try_wait_for(PATIENCE, "an outcome", || {
        let ended = reader.process.exit_code().unwrap().is_some();
        let streams = !reader.said("streaming").is_empty();
        (ended || streams).then_some(streams)
    });
    if !streams.unwrap() {
        let (code, log) = reader.wait_for_end(PATIENCE);
        assert!(!log.contains(PASSWORD), "the log shows the password");
        return Err((code, log));
    }
    source.run(&transactions(1, 5));
    source.wait_until_published(&shared::stack().kafka_bootstrap, &id);
    let encrypted =
        source.value("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)");
    assert_eq!(encrypted, "t");
    let pages =
        ["/", "/connectors", "/metrics", "/health", "/connectors?expand=info&expand=status"];
    let one = ["", "/config", "/status", "/offsets", "/topics", "/tasks"]
        .map(|p| format!("/connectors/{id}{p}"));
    for path in pages.iter().map(|page| (*page).to_owned()).chain(one) {
        assert!(!reader.get(&path).body.contains(PASSWORD), "{path} shows the password");
    }
    let log = reader.stop();
    assert!(!log.contains(PASSWORD), "the log shows the password");
    Ok(())
}

#[track_caller]
fn check_refused(outcome: Result<(), (i32, String)>, words: &str) {
    let (code, log) = outcome.expect_err("it must not connect");
    assert_eq!(code, 2, "{log}");
    assert!(log.contains(words), "{words:?} in:\n{log}");
}

#[test]
fn every_tls_mode_connects_or_refuses_as_libpq_does() {
    let ours = server(Tls::Generate);
    let ca = ours.address().ca.clone().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let theirs = server(for_another_host(dir.path()));
    let other_ca = dir.path().join("ca.crt");

    assert_eq!(outcome(&ours, "require", None), Ok(()));
    assert_eq!(outcome(&ours, "verify-ca", Some(&ca)), Ok(()));
    assert_eq!(outcome(&ours, "verify-full", Some(&ca)), Ok(()));
    assert_eq!(outcome(&theirs, "verify-ca", Some(&other_ca)), Ok(()));
    check_refused(outcome(&ours, "disable", None), "no pg_hba.conf entry");
    check_refused(outcome(&ours, "verify-ca", Some(&other_ca)), "cannot set up TLS");
    check_refused(outcome(&ours, "verify-full", Some(&other_ca)), "cannot set up TLS");
    check_refused(outcome(&theirs, "verify-full", Some(&other_ca)), "cannot set up TLS");
    check_refused(
        outcome(&ours, "verify-full", Some(Path::new("/no/such/ca.crt"))),
        "/no/such/ca.crt",
    );
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let id = unique("plain");
    let stack = shared::stack();
    let source = Source::with_load(&stack.postgres15, &id);
    let connector = Connector::new(&source, &id).set("database.sslmode", "require");
    let (code, log) =
        Launch::new(&connector, &stack.kafka_bootstrap).start().wait_for_end(PATIENCE);
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("does not offer TLS"), "{log}");
}

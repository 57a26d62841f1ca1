//! The server lets the reader wait, and the reader is asked to stop: it ends at once, and the server with it.

use std::time::Duration;

use devstack::{Postgres, PostgresOptions, shared, wait_for};

use crate::support::load::rows;
use crate::support::{Connector, Launch, PATIENCE, Source, unique};

/// A slot is ready only when every transaction that was open before it has ended, which may take hours.
#[test]
fn a_stop_is_heard_while_a_new_slot_waits_for_an_open_transaction() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    // A server of its own: its open transaction would hold up every new slot of the shared one.
    let server = Postgres::start(PostgresOptions::new(18).fsync(false)).unwrap();
    let id = unique("waiting");
    let source = Source::with_load(server.address(), &id);
    source.run(&rows(1, 10));
    let open = source.open_transaction("INSERT INTO load VALUES (1000, 1);");

    let launch = Launch::new(&Connector::new(&source, &id), bootstrap);
    let mut reader = launch.start();
    let walsenders = |condition: &str| {
        source.value(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND {condition}"
        ))
    };
    wait_for(PATIENCE, "the slot to wait for a transaction", || {
        walsenders("wait_event_type = 'Lock'") == "1"
    });
    reader.process.terminate();
    let (code, log) = reader.wait_for_end(Duration::from_secs(15));
    assert_eq!(code, 0, "{log}");
    wait_for(PATIENCE, "the server to give up the slot", || walsenders("true") == "0");
    assert_eq!(source.value("SELECT count(*) FROM pg_replication_slots"), "0");

    drop(open);
    let reader = launch.start();
    source.wait_until_published(bootstrap, &id);
    reader.stop();
}

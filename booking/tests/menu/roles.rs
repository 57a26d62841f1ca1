//! `sql/replicas`: the role that reads replicas and the role that steers them can do their work and nothing else.

use devstack::sql::connect;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::servers::{AIRLINE, PASSWORD, Servers};

async fn as_role(server: &devstack::Postgres, role: &str) -> Client {
    connect(&server.connection_string(AIRLINE, role, PASSWORD)).await.unwrap()
}

async fn assert_refused(client: &Client, statement: &str) {
    let err = client.batch_execute(statement).await.err();
    let code = err.as_ref().and_then(|err| err.code());
    assert_eq!(code, Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
}

async fn least_rights(version: u16) {
    let servers = Servers::start(version).await;
    for server in [&servers.primary, &servers.one] {
        let reader = as_role(server, "read_replica").await;
        for table in booking::tables::Table::ALL {
            reader.batch_execute(&format!("SELECT FROM public.{}", table.name())).await.unwrap();
        }
        reader.batch_execute("SELECT FROM public.airport_traffic").await.unwrap();
        assert_refused(&reader, "SELECT pg_wal_replay_pause()").await;
    }
    let reader = as_role(&servers.primary, "read_replica").await;
    let err = reader.batch_execute("DELETE FROM public.bookings").await.unwrap_err();
    assert_eq!(err.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION), "{err}");
    reader.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    for statement in [
        "DELETE FROM public.bookings",
        "CREATE TEMPORARY TABLE mine ()",
        "SELECT pg_create_physical_replication_slot('mine')",
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
    ] {
        assert_refused(&reader, statement).await;
    }

    let operator = as_role(&servers.primary, "replica_operator").await;
    for statement in [
        "SELECT FROM public.bookings",
        "ALTER SYSTEM SET fsync = off",
        "SELECT pg_create_physical_replication_slot('mine')",
        "SELECT pg_promote()",
        "SELECT pg_switch_wal()",
    ] {
        assert_refused(&operator, statement).await;
    }
    let seen = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn IS NOT NULL";
    let seen: i64 = operator.query_one(seen, &[]).await.unwrap().get(0);
    assert_eq!(seen, 2);

    // The role of the replicas is neither of them, and it may do nothing else.
    let replicator =
        connect(&servers.primary.connection_string("postgres", "replicator", PASSWORD))
            .await
            .unwrap();
    assert_refused(&replicator, "SELECT pg_switch_wal()").await;
    let refused =
        connect(&servers.primary.connection_string(AIRLINE, "replicator", PASSWORD)).await;
    assert_eq!(refused.err().unwrap().code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    assert!(servers.dir().join("replica_one").exists());
}

#[tokio::test]
async fn each_role_has_the_least_rights_that_work_on_15() {
    least_rights(15).await;
}

#[tokio::test]
async fn each_role_has_the_least_rights_that_work_on_18() {
    least_rights(18).await;
}

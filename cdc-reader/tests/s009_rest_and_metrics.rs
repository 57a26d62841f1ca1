//! A running reader answers as a Kafka Connect worker, is healthy, and its metrics move.

use devstack::{shared, wait_for};
use serde_json::json;

use crate::support::load::{rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, unique};

#[test]
fn the_status_pages_and_metrics_of_a_running_reader_are_true() {
    let stack = shared::stack();
    let id = unique("rest");
    let source = Source::with_load(&stack.postgres15, &id);
    source.run(&rows(1, 7));
    let reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    let json = |path: &str| {
        let answer = reader.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json().unwrap()
    };
    assert!(json("/")["kafka_cluster_id"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(json("/connectors"), json!([id]));
    let info = json(&format!("/connectors/{id}"));
    assert_eq!(info["config"]["topic.prefix"], json!(id));
    assert_eq!(info["tasks"], json!([{"connector": id, "task": 0}]));
    let status = json(&format!("/connectors/{id}/status"));
    assert_eq!(
        (&status["connector"]["state"], &status["tasks"][0]["state"]),
        (&json!("RUNNING"), &json!("RUNNING"))
    );
    assert_eq!(reader.get("/connectors/nobody/status").status, 404);
    assert_eq!(reader.get("/health").status, 200);

    assert!(reader.metric("debezium_metrics_SnapshotCompleted") >= 1.0);
    assert!(reader.metric("debezium_metrics_RowsScanned") >= 7.0);
    source.run(&transactions(1001, 50));
    source.run("DELETE FROM load WHERE id = 1");
    wait_for(PATIENCE, "the metrics to count every change", || {
        reader.metric("debezium_metrics_TotalNumberOfCreateEventsSeen") == 50.0
            && reader.metric("debezium_metrics_TotalNumberOfUpdateEventsSeen") == 100.0
            && reader.metric("debezium_metrics_TotalNumberOfDeleteEventsSeen") == 1.0
            && reader.metric("debezium_metrics_NumberOfCommittedTransactions") == 51.0
    });
    assert_eq!(reader.metric("debezium_metrics_Connected"), 1.0);
    let end = source.value(
        "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '$'"
            .replace('$', &id)
            .as_str(),
    );
    let end: f64 = end.parse().unwrap();
    wait_for(PATIENCE, "the confirmed position in the metrics", || {
        reader.metric("cdc_reader_confirmed_flush_lsn_bytes") >= end
    });
    let topics = json(&format!("/connectors/{id}/topics"));
    assert_eq!(topics[&id]["topics"], json!([format!("{id}.public.load")]));
    reader.stop();
}

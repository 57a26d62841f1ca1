//! The reader as its users run it: the binary, on real PostgreSQL and Kafka, beside real Debezium.
//!
//! In: the shared test servers, and servers of their own for the tests that break one. Out: pass or fail.
//! Invariant: each test has its own database, slot and topics, and only waits for conditions.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

mod support;

mod s001_bytes_are_debeziums;
mod s002_restarts;
mod s003_interrupted_snapshot;
mod s004_outages;
mod s005_idle_confirmation;
mod s006_lost_slot;
mod s007_bad_input;
mod s008_tls_and_secrets;
mod s009_rest_and_metrics;
mod s010_back_pressure;
mod s011_stops_while_waiting;
mod s012_refused_records;
mod s013_locks_and_limits;
mod s014_starts_without_a_snapshot;
mod s015_source_identity;
mod s016_partitioned_tables;
mod s017_publication_filters;
mod s018_tables_that_appear;
mod s019_replica_identity;
mod s020_many_tables;
mod s021_topics;
mod s022_logical_messages;
mod s023_values_without_a_form;
mod s024_slow_links;
mod s025_memory;
mod s026_broker_answers;
mod s027_event_sizes;
mod s028_health_and_readiness;
mod s029_http_limits;
mod s030_orderly_stop;
mod s031_kafka_security;
mod s032_authentication;
mod s033_secrets_in_errors;
mod s034_one_writer;
mod s035_one_server;
mod s036_new_partitions;
mod s037_a_new_source;
mod s038_heartbeats;
mod s039_reconcile;

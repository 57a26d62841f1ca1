//! The metrics' names, as dashboards and alerts draw them.
//!
//! Out: constants: Debezium's names as the rules of its JMX exporter make them, and ours, in base units.

/// Events that reached the connector.
pub const EVENTS_SEEN: &str = "debezium_metrics_TotalNumberOfEventsSeen";
/// Inserts among them.
pub const CREATES_SEEN: &str = "debezium_metrics_TotalNumberOfCreateEventsSeen";
/// Updates among them.
pub const UPDATES_SEEN: &str = "debezium_metrics_TotalNumberOfUpdateEventsSeen";
/// Deletes among them.
pub const DELETES_SEEN: &str = "debezium_metrics_TotalNumberOfDeleteEventsSeen";
/// Events left out by filters.
pub const EVENTS_FILTERED: &str = "debezium_metrics_NumberOfEventsFiltered";
/// Events that could not be processed.
pub const EVENTS_ERRONEOUS: &str = "debezium_metrics_NumberOfErroneousEvents";
/// Milliseconds since the last event, -1 before the first.
pub const MILLIS_SINCE_LAST_EVENT: &str = "debezium_metrics_MilliSecondsSinceLastEvent";
/// Whether the replication connection stands.
pub const CONNECTED: &str = "debezium_metrics_Connected";
/// Milliseconds between the source's commit and our reading of it, -1 before the first.
pub const MILLIS_BEHIND_SOURCE: &str = "debezium_metrics_MilliSecondsBehindSource";
/// Transactions read to their end.
pub const COMMITTED_TRANSACTIONS: &str = "debezium_metrics_NumberOfCommittedTransactions";
/// Events that may wait for Kafka.
pub const QUEUE_CAPACITY: &str = "debezium_metrics_QueueTotalCapacity";
/// Room for further events.
pub const QUEUE_REMAINING: &str = "debezium_metrics_QueueRemainingCapacity";
/// Bytes that may wait for Kafka, 0 for no limit.
pub const QUEUE_BYTES_MAX: &str = "debezium_metrics_MaxQueueSizeInBytes";
/// Bytes that wait for Kafka.
pub const QUEUE_BYTES: &str = "debezium_metrics_CurrentQueueSizeInBytes";
/// Tables of the snapshot.
pub const SNAPSHOT_TABLES: &str = "debezium_metrics_TotalTableCount";
/// Tables of the snapshot that are not done.
pub const SNAPSHOT_TABLES_REMAINING: &str = "debezium_metrics_RemainingTableCount";
/// Whether a snapshot runs.
pub const SNAPSHOT_RUNNING: &str = "debezium_metrics_SnapshotRunning";
/// Whether it was completed.
pub const SNAPSHOT_COMPLETED: &str = "debezium_metrics_SnapshotCompleted";
/// Whether it was aborted.
pub const SNAPSHOT_ABORTED: &str = "debezium_metrics_SnapshotAborted";
/// Whether it was skipped.
pub const SNAPSHOT_SKIPPED: &str = "debezium_metrics_SnapshotSkipped";
/// Seconds that it has taken so far.
pub const SNAPSHOT_SECONDS: &str = "debezium_metrics_SnapshotDurationInSeconds";
/// Rows read of each table.
pub const ROWS_SCANNED: &str = "debezium_metrics_RowsScanned";

/// WAL that the source keeps on its disk for the slot; no sample when unknown.
pub const SLOT_RETAINED_WAL_BYTES: &str = "cdc_reader_slot_retained_wal_bytes";
/// WAL that the reader has not confirmed to the slot; no sample when unknown. Until version 0.1 its name was
/// `cdc_reader_slot_lag_bytes`.
pub const SLOT_UNCONFIRMED_WAL_BYTES: &str = "cdc_reader_slot_unconfirmed_wal_bytes";
/// Whether `/ready` says yes.
pub const READY: &str = "cdc_reader_ready";
/// Position up to which the slot is confirmed.
pub const CONFIRMED_FLUSH_LSN_BYTES: &str = "cdc_reader_confirmed_flush_lsn_bytes";
/// Position up to which we have read.
pub const RECEIVED_LSN_BYTES: &str = "cdc_reader_received_lsn_bytes";
/// From the source's commit to the broker's acknowledgement.
pub const PUBLISH_LATENCY_SECONDS: &str = "cdc_reader_publish_latency_seconds";
/// Messages that wait for Kafka.
pub const PUBLISH_QUEUE_MESSAGES: &str = "cdc_reader_publish_queue_messages";
/// Bytes that wait for Kafka.
pub const PUBLISH_QUEUE_BYTES: &str = "cdc_reader_publish_queue_bytes";
/// For how long Kafka has acknowledged nothing of what waits.
pub const PUBLISH_STALLED_SECONDS: &str = "cdc_reader_publish_stalled_seconds";
/// Transactions that are read and not wholly acknowledged.
pub const LEDGER_TRANSACTIONS: &str = "cdc_reader_ledger_transactions";
/// Columns of captured tables that are left out of events because their types have no form on the wire.
pub const COLUMNS_LEFT_OUT: &str = "cdc_reader_columns_left_out";
/// What was wrong with single captured tables when the last session began: not published, or not readable.
pub const TABLE_PROBLEMS: &str = "cdc_reader_table_problems";
/// Events in which NULL stands in place of a value that has no form.
pub const NULLS_INSTEAD_TOTAL: &str = "cdc_reader_nulls_instead_total";
/// Connections that had to be made again, by peer.
pub const RECONNECTS_TOTAL: &str = "cdc_reader_reconnects_total";

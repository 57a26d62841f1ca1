//! Publishes the deletes.
//!
//! In: the rows of each table that the source does not have, the file's head, the connection that holds the writer
//! lock. Out: records that all replicas have acknowledged. While they are on their way the lock's connection is asked
//! whether it lives, because without it the connector could publish beside this command.

use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use shared::debezium::envelope::{SnapshotMark, SourceInfo};
use shared::vanished::Absence;

use super::error::ReconcileError;
use super::source::{AbsentRow, Table};
use crate::clock::PublishClock;
use crate::connector::Settings;
use crate::context::{context_headers, plan_options};
use crate::emit::{Emitter, Scope, Stamp};
use crate::kafka_clients::KafkaClients;
use crate::pgoutput::Column;
use crate::publish::{Publisher, PublisherOptions};
use crate::replication::Client;

/// How long Kafka may take to acknowledge anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often the connection that holds the lock is asked.
const LOCK_INTERVAL: Duration = Duration::from_secs(1);

/// How many rows are sent between two lines of progress.
const PROGRESS_ROWS: usize = 10_000;

/// How the deletes are published.
pub(super) struct Sending<'c> {
    pub(super) settings: &'c Settings,
    pub(super) kafka: &'c KafkaClients,
    pub(super) absence: &'c Absence,
    /// Stamps the deletes. It has passed the times that the connector's heartbeats have called complete.
    pub(super) clock: &'c PublishClock,
    /// The value of the header that says who publishes.
    pub(super) who: &'c str,
}

impl Sending<'_> {
    /// Sends the deletes and waits until all are acknowledged.
    pub(super) fn send(&self, tables: &[Table], lock: &mut Client) -> Result<(), ReconcileError> {
        let total: usize = tables.iter().map(|table| table.absent.len()).sum();
        if total == 0 {
            return Ok(());
        }
        let mut publisher = Publisher::new(&PublisherOptions {
            cluster: self.kafka.producer.clone(),
            overrides: self.settings.producer_overrides.clone(),
            context_headers: context_headers(self.settings, &uuid::Uuid::now_v7().to_string()),
            stalled_seconds: Gauge::default(),
        })?;
        let options = plan_options(self.settings);
        let mut emitter = Emitter::new(self.settings, &options, Scope::All).reconciled_by(self.who);
        let mut sent = 0;
        for table in tables {
            for row in &table.absent {
                self.encode(&mut emitter, table, row)?;
                while !emitter.flush_to(|record| publisher.send(record))? {
                    wait_for_answers(&publisher, lock)?;
                }
                sent += 1;
                if sent % PROGRESS_ROWS == 0 {
                    eprintln!("{sent} of {total} deletes sent");
                }
            }
        }
        wait_for_answers(&publisher, lock)
    }

    fn encode(
        &self,
        emitter: &mut Emitter,
        table: &Table,
        row: &AbsentRow,
    ) -> Result<(), ReconcileError> {
        let source = SourceInfo {
            ts_us: self.absence.time_us,
            snapshot: SnapshotMark::Streaming,
            tx_id: None,
            lsn: self.absence.lsn,
            last_commit: None,
            origin: None,
        };
        let info = table.capture.plan.table();
        let mut columns = vec![Column::Null; info.columns.len()];
        for (&column, text) in info.key.iter().zip(&row.key) {
            columns[column] = Column::Text(text.as_bytes());
        }
        let stamp = Stamp { source, now_ns: self.clock.now_ns() };
        Ok(emitter.delete_key(&table.capture, columns.iter().copied(), &stamp)?)
    }
}

/// Waits until nothing is on its way any more.
fn wait_for_answers(publisher: &Publisher, lock: &mut Client) -> Result<(), ReconcileError> {
    let begun = Instant::now();
    loop {
        lock.query("SELECT 1")?;
        if publisher.flush(LOCK_INTERVAL) {
            return Ok(());
        }
        if let Some(failure) = publisher.failure() {
            return Err(failure.into());
        }
        if begun.elapsed() >= DEADLINE {
            return Err(ReconcileError::NotAcknowledged { seconds: DEADLINE.as_secs() });
        }
    }
}

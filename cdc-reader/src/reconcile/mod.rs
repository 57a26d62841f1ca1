//! `cdc-reader reconcile`: publishes the deletes of rows that vanished while changes were lost, so that whoever reads
//! the topics forgets these rows.
//!
//! In: the file of `vault-loader reconcile` ([`shared::vanished`]), the connector, the worker's settings. Out: for each
//! row that the source still does not have the delete that a stream would have published, with the tombstone behind it,
//! and what was done in words.
//!
//! ```text
//! source    the connector does not run; a snapshot that has everything that was ever published; which rows it lacks
//! send      the deletes, in the form of the stream, acknowledged by all replicas
//! outcome   what was done
//! ```
//!
//! # Why no living row is deleted
//!
//! A row may be inserted again at any time after the file was written. The command holds the connector's writer lock
//! from before its own snapshot until Kafka has acknowledged the last record, so nobody else publishes meanwhile. Its
//! snapshot is taken when every transaction that was open before it has ended, so it shows all that was ever published.
//! A row that is in the snapshot is left out. A row that is not there can only come by an insert that is published
//! later, behind the delete. So the order in the topic is right for every reader of it, whether it knows positions or
//! not.
//!
//! The delete has the position and the time that the file names. They lie behind every change of the key that was
//! published before the file was written, and before every other one (`vault-loader/src/verify/reconcile.rs`). So the
//! loader takes a delete that is published twice, or behind a newer change of its key, for a repeat. A command that was
//! killed is run again.
//!
//! # The form
//!
//! The publish times are those of the stream's clock: each lies after every time that the connector's heartbeats have
//! called complete, whatever this machine's clock says.
//!
//! The events go through the plans and the emitter of the stream. Only the key of the row is known: its other values
//! may have changed in the gap before the row went. So `before` is what the replica identity `DEFAULT` sends, also
//! where the table has `FULL`. The transaction is unknown, and so are `txId` and the commit before it. The header
//! `__vaultstream.reconciled` says who published the event.
//!
//! Hard cases: a real Debezium, which takes no lock, so its slot must be idle; columns whose type has become narrower;
//! row filters; a source that is another one; a connector that skips deletes.

mod error;

mod source;

mod outcome;
mod send;

use std::time::Duration;

use shared::vanished;
use tokio_util::sync::CancellationToken;

pub use self::error::ReconcileError;
pub use self::outcome::Outcome;
use self::source::Look;
use crate::cli::ReconcileArgs;
use crate::clock::PublishClock;
use crate::connector;
use crate::context::heartbeat_topic;
use crate::kafka_clients::KafkaClients;
use crate::session::pass_published_times;

/// Runs the command.
///
/// # Errors
/// Why the deletes are not published, or not all of them.
pub fn run(mut args: ReconcileArgs) -> Result<Outcome, ReconcileError> {
    let file = |source| ReconcileError::File { path: args.rows.clone(), source };
    let text = std::fs::read_to_string(&args.rows).map_err(file)?;
    let form = |source| ReconcileError::Form { path: args.rows.clone(), source };
    let (absence, rows) = vanished::read(&text).map_err(form)?;
    if rows.len() > args.max_deletes {
        return Err(ReconcileError::TooMany { rows: rows.len(), most: args.max_deletes });
    }
    let worker = std::mem::take(&mut args.worker).resolve().map_err(Box::new)?;
    let connector = connector::load(&args.connector)?;
    let settings = &connector.settings;
    if absence.topic_prefix != settings.topic_prefix {
        let (file, connector) = (absence.topic_prefix, settings.topic_prefix.clone());
        return Err(ReconcileError::OtherTopics { file, connector });
    }
    if settings.skipped_operations.deletes {
        return Err(ReconcileError::DeletesSkipped);
    }
    let kafka =
        KafkaClients::new(&worker.bootstrap_servers, &worker.kafka, &settings.kafka_security)?;
    let wait = Duration::from_secs(args.wait);
    let mut look = Look::begin(settings, &absence, args.publish, wait)?;
    let tables = look.absent(rows)?;
    let published = args.publish.then(|| {
        let who = format!("cdc-reader {}, run {}", env!("CARGO_PKG_VERSION"), uuid::Uuid::now_v7());
        // The lock is held, so no heartbeat claims more meanwhile.
        let clock = PublishClock::default();
        if let Some(topic) = heartbeat_topic(&connector) {
            pass_published_times(&clock, &kafka.consumer, &topic, &CancellationToken::new());
        }
        send::Sending { settings, kafka: &kafka, absence: &absence, clock: &clock, who: &who }
            .send(&tables, &mut look.lock)
    });
    published.transpose()?;
    Ok(outcome::tell(&tables, &args))
}

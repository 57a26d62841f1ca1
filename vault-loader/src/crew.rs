//! The writers of one source, beside each other.
//!
//! In: a stage and a channel of batches for each writer. Out: all batches through their writers, until the end. A
//! writer that cannot go on has met something that concerns the whole process: the writer's batch can neither be loaded
//! nor be put into quarantine, whoever tries. Then the others end in order, each with the batch that it has in flight.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::batch::Batch;
use crate::lanes;
use crate::run::RunError;
use crate::stage::LoadStage;

/// Loads until all writers have ended. `stop` is the token of the stages. After a writer's error the others have
/// `grace` for what they have in flight.
pub(crate) async fn run(
    stages: Vec<(LoadStage, Receiver<Batch>)>,
    stop: &CancellationToken,
    grace: Duration,
) -> Result<(), RunError> {
    let are_several = stages.len() > 1;
    let writers = stages.into_iter().enumerate().map(|(writer, (stage, batches))| {
        let span = match are_several {
            true => tracing::info_span!("writing", writer),
            false => tracing::Span::current(),
        };
        Box::pin(lanes::run(stage, batches).instrument(span))
    });
    let mut running: FuturesUnordered<_> = writers.collect();
    let mut first = Ok(());
    let mut deadline = None;
    loop {
        let ended = match deadline {
            None => running.next().await,
            Some(at) => tokio::time::timeout_at(at, running.next()).await.unwrap_or_default(),
        };
        let Some(outcome) = ended else { return first };
        if outcome.is_err() && first.is_ok() {
            stop.cancel();
            deadline = Some(Instant::now() + grace);
            first = outcome;
        }
    }
}

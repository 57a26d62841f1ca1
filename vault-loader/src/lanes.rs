//! Makes one batch ready while another one is loaded.
//!
//! In: one writer's batches. Out: the same batches through the writer's [`LoadStage`], in their order. Each
//! of two lanes takes the next batch, decodes it, computes its vault rows, waits for its turn and loads it. So the
//! processor works on one batch while the warehouse works on the one before. A lane has a thread of its own, because
//! decoding takes longer than a task of the runtime should.
//!
//! While a lane waits for its turn, the other lane may pause a table, or add a column to a satellite. Then the stage
//! decodes the waiting batch anew.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::load::Job;
use crate::run::RunError;
use crate::stage::{LoadStage, View};

/// One batch is loaded, and one is made ready.
const LANES: usize = 2;

/// Batches, and how many were handed out.
struct Queue {
    batches: Receiver<Batch>,
    handed_out: u64,
}

/// What the lanes share.
struct Shared {
    queue: Mutex<Queue>,
    stage: Mutex<LoadStage>,
    /// what jobs are made with
    view: StdMutex<View>,
    /// how many batches are done with
    done: watch::Sender<u64>,
    token: CancellationToken,
}

/// Loads batches until the token is cancelled, or no further batch can come. The batch in flight is loaded before that.
pub(crate) async fn run(stage: LoadStage, batches: Receiver<Batch>) -> Result<(), RunError> {
    let shared = Arc::new(Shared {
        token: stage.token.clone(),
        view: StdMutex::new(stage.view()),
        stage: Mutex::new(stage),
        queue: Mutex::new(Queue { batches, handed_out: 0 }),
        done: watch::Sender::new(0),
    });
    // Whatever ends this function ends the lanes, too.
    let abandoned = CancellationToken::new();
    let _guard = abandoned.clone().drop_guard();
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let (shared, abandoned) = (Arc::clone(&shared), abandoned.clone());
        let (span, runtime) = (tracing::Span::current(), Handle::current());
        let work = move || span.in_scope(|| runtime.block_on(shared.lane_unless(&abandoned)));
        lanes.spawn_blocking(work);
    }
    while let Some(ended) = lanes.join_next().await {
        match ended {
            Ok(outcome) => outcome?,
            Err(err) => match err.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(RunError::IntakeGone),
            },
        }
    }
    Ok(())
}

impl Shared {
    /// A lane that ends at once, and loses what it has in hand, when nobody waits for it any more.
    async fn lane_unless(&self, abandoned: &CancellationToken) -> Result<(), RunError> {
        tokio::select! {
            biased; // whatever the lane would do next comes too late
            () = abandoned.cancelled() => Ok(()),
            outcome = self.lane() => outcome,
        }
    }

    /// Takes batches and loads them, until the end.
    async fn lane(&self) -> Result<(), RunError> {
        while let Some((number, batch)) = self.next().await {
            self.load(number, &batch).await?;
        }
        Ok(())
    }

    /// The next batch with its number. `None` when the loader is to end, or the intake has ended.
    async fn next(&self) -> Option<(u64, Batch)> {
        let mut queue = self.queue.lock().await;
        let batch = tokio::select! {
            biased; // an end beats the next batch
            () = self.token.cancelled() => return None,
            batch = queue.batches.recv() => batch?,
        };
        let number = queue.handed_out;
        queue.handed_out += 1;
        Some((number, batch))
    }

    /// Makes a batch ready, and loads it when its turn comes.
    async fn load(&self, number: u64, batch: &Batch) -> Result<(), RunError> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let job = Job::ahead(&view.plan, batch, &view.is_paused);
        if self.turn(number).await {
            let mut stage = self.stage.lock().await;
            stage.load(batch, (&view, job)).await?;
            *self.view.lock().unwrap_or_else(PoisonError::into_inner) = stage.view();
            self.done.send_replace(number + 1);
        }
        Ok(())
    }

    /// Waits until all batches before this one are done with; `false` when the loader is to end.
    async fn turn(&self, number: u64) -> bool {
        let mut done = self.done.subscribe();
        while *done.borrow_and_update() < number {
            tokio::select! {
                biased; // an end beats the turn
                () = self.token.cancelled() => return false,
                changed = done.changed() => if changed.is_err() { return false },
            }
        }
        !self.token.is_cancelled()
    }
}

//! The departures boards that somebody of this instance looks at.
//!
//! In: who comes, states of boards. Out: the newest state for each who looks. A board that nobody looks at is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, watch};

/// The boards that somebody of this instance looks at. A board without a text is new.
#[derive(Debug, Clone, Default)]
pub(super) struct Boards(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    boards: Mutex<HashMap<String, watch::Sender<Utf8Bytes>>>,
    somebody_came: Notify,
}

impl Boards {
    /// Looks at a board from now on.
    pub(super) fn join(&self, airport: &str) -> watch::Receiver<Utf8Bytes> {
        let mut boards = self.boards();
        let new = || watch::Sender::new(Utf8Bytes::default());
        let receiver = boards.entry(airport.to_owned()).or_insert_with(new).subscribe();
        self.0.somebody_came.notify_one();
        receiver
    }

    /// The airports that somebody looks at. The others go.
    pub(super) fn airports(&self) -> Vec<String> {
        let mut boards = self.boards();
        boards.retain(|_, board| board.receiver_count() > 0);
        boards.keys().cloned().collect()
    }

    /// Shows a state, unless it is shown already.
    pub(super) fn show(&self, airport: &str, text: Utf8Bytes) {
        if let Some(board) = self.boards().get(airport) {
            board.send_if_modified(|shown| {
                let is_new = *shown != text;
                *shown = text;
                is_new
            });
        }
    }

    /// Waits until somebody comes.
    pub(super) async fn somebody_comes(&self) {
        self.0.somebody_came.notified().await;
    }

    fn boards(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Utf8Bytes>>> {
        self.0.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Ending in order: a first signal drains, a second one ends at once.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal, when work in flight was given up.
pub const EXIT_FORCED: i32 = 130;

/// One request to end can arrive as two signals: `timeout` and a terminal signal the process and then its group. A
/// signal that comes this soon after the first one belongs to the same request.
const SAME_WISH: Duration = Duration::from_millis(500);

/// A token that is cancelled by the first SIGTERM or SIGINT; a second signal ends the process with [`EXIT_FORCED`].
///
/// # Errors
/// When the operating system refuses the signal handlers.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        let mut first: Option<Instant> = None;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if first.is_some_and(|at| at.elapsed() < SAME_WISH) {
                continue;
            }
            if first.is_some() {
                tracing::warn!(signal = name, "second signal, ending without draining");
                std::process::exit(EXIT_FORCED);
            }
            tracing::info!(signal = name, "draining before the end");
            first = Some(Instant::now());
            cancelled.cancel();
        }
    });
    Ok(token)
}

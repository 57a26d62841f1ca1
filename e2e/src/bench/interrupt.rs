//! Ctrl-C, and the waits that it ends.
//!
//! In: SIGINT and SIGTERM, conditions to wait for. Out: an error that unwinds the bench, so that everything it owns is
//! dropped.
//! Invariant: a wait ends by its condition, by a signal or by its deadline, and says which.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

/// Exit code of a shell's command that SIGINT ended.
pub(super) const EXIT_INTERRUPTED: u8 = 130;

/// Somebody has asked the bench to end.
#[derive(Debug)]
pub(super) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; everything that was started has ended")
    }
}

impl std::error::Error for Interrupted {}

/// Listens for signals from now on: the first one is seen by [`check`], the second one ends the process at once.
pub(super) fn listen() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime for signals")?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if ASKED_TO_END.swap(true, Ordering::Relaxed) {
                    // The servers end with us even so; only their directories stay.
                    std::process::exit(EXIT_INTERRUPTED.into());
                }
            }
        });
    });
    Ok(())
}

/// An error once somebody has asked the bench to end.
pub(super) fn check() -> anyhow::Result<()> {
    anyhow::ensure!(!ASKED_TO_END.load(Ordering::Relaxed), Interrupted);
    Ok(())
}

/// How to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The pause between two questions, which bounds how exactly the end is seen.
    pub(super) every: Duration,
    /// How long to wait in all.
    pub(super) deadline: Duration,
}

/// Asks `condition` until it gives a value.
pub(super) fn wait<T>(
    patience: Patience,
    what: &str,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let ends = Instant::now() + patience.deadline;
    loop {
        check()?;
        if let Some(value) = condition()? {
            return Ok(value);
        }
        anyhow::ensure!(
            Instant::now() < ends,
            "waited {} s in vain for {what}; give more with --deadline",
            patience.deadline.as_secs()
        );
        std::thread::sleep(patience.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Patience =
        Patience { every: Duration::from_millis(1), deadline: Duration::from_millis(20) };

    #[test]
    fn a_wait_ends_with_its_condition_or_names_what_did_not_come() {
        let mut asked = 0;
        let value = wait(SHORT, "a third question", || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(value.unwrap(), 3);
        let error = wait::<()>(SHORT, "the last event", || Ok(None)).unwrap_err().to_string();
        assert!(error.contains("in vain for the last event"), "{error}");
    }
}

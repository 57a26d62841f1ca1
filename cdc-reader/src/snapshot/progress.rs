//! How far a snapshot is, for whoever watches.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often progress is logged where there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Shows a bar on a terminal, and elsewhere a line every few seconds.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    logged: Instant,
    estimate: u64,
}

impl Progress {
    pub(super) fn new(estimate: u64) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(estimate), target);
        if let Ok(style) =
            ProgressStyle::with_template("snapshot {bar:30} {pos}/{len} rows {per_sec} eta {eta}")
        {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, started: now, logged: now, estimate }
    }

    pub(super) fn at(&mut self, rows: u64) {
        self.bar.set_position(rows);
        if self.bar.is_hidden() && self.logged.elapsed() >= PROGRESS_INTERVAL {
            self.logged = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            tracing::info!(rows, estimate = self.estimate, seconds, "snapshot under way");
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

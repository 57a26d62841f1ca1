//! Shows the status once, or again and again.
//!
//! In: the configuration, and a token that is cancelled by a signal. Out: reports on standard output. A terminal is
//! cleared before each report. When standard output is a file or a pipe, the reports follow each other.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Report, read, table};
use crate::config::Config;
use crate::model::Plan;

/// Clears a terminal and moves to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// for people
    Table,
    /// one JSON object in one line
    Json,
}

/// Writes one report.
///
/// # Errors
/// When standard output does not take it.
pub fn show(report: &Report, shown: Shown) -> anyhow::Result<()> {
    let text = match shown {
        Shown::Table => table(report),
        Shown::Json => serde_json::to_string(report)? + "\n",
    };
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a report every `pause` until the token is cancelled. A server that does not answer later on is named, and
/// asked again.
///
/// # Errors
/// When the first report cannot be had, or standard output does not take a report.
pub async fn watch(
    config: &Config,
    plans: &[Plan],
    shown: Shown,
    pause: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let clears = shown == Shown::Table && stdout().is_terminal();
    let mut is_first = true;
    loop {
        let report = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            report = read(config, plans) => report,
        };
        match report {
            Ok(report) => {
                if clears {
                    print!("{CLEAR}");
                }
                show(&report, shown)?;
            }
            Err(error) if is_first => return Err(error.into()),
            Err(error) => eprintln!("no status at the moment: {error}"),
        }
        is_first = false;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

//! Waits until the warehouse has loaded everything that a snapshot of the source can show.
//!
//! In: the snapshot's place in the source's log. Out: nothing, as soon as the source's watermark lies at or behind it.
//! A table that stands still is not waited for: its watermark does not come.

use std::time::{Duration, Instant};

use shared::position::Lsn;
use tokio_postgres::Client;

use super::moment::Moment;
use crate::control;
use crate::model::Plan;
use crate::proof::ProofError;

/// What is known of the source's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceLog {
    /// positions of different timelines cannot be compared
    pub(super) timeline: i32,
    /// the size of its pages
    pub(super) block_size: u64,
}

/// How often the watermark is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Waits for the source's watermark.
pub(super) async fn wait(
    warehouse: &Client,
    plan: &Plan,
    moment: Moment,
    log: SourceLog,
    wait: Duration,
) -> Result<(), ProofError> {
    let begun = Instant::now();
    let wanted = reachable(moment.end, log.block_size);
    let topics: Vec<String> = plan.tables.iter().map(|table| table.topic.clone()).collect();
    loop {
        let loaded =
            control::loaded_up_to(warehouse, plan.model.source.system_id, log.timeline).await?;
        if loaded.is_some_and(|loaded| loaded >= wanted) {
            return Ok(());
        }
        if let Some(pause) = control::read_pauses(warehouse, &topics).await?.first() {
            return Err(ProofError::Late(format!(
                "the topic {} stands still, so the vault cannot be compared: {}; remedy: {}",
                pause.topic, pause.reason, pause.remedy
            )));
        }
        if begun.elapsed() >= wait {
            return Err(ProofError::Late(late(plan, wanted, loaded, wait)));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn late(plan: &Plan, wanted: Lsn, loaded: Option<Lsn>, wait: Duration) -> String {
    let source = &plan.model.source.name;
    let seconds = wait.as_secs();
    match loaded {
        Some(loaded) => format!(
            "the warehouse has loaded the source {source} up to {loaded} and not up to {wanted} within {seconds} s: see whether \
             reader and loader run (`vault-loader status`), or wait longer with --wait"
        ),
        None => format!(
            "the warehouse does not know up to which log position the source {source} is loaded: let the reader send heartbeats \
             (heartbeat.interval.ms), or, for a source that is at rest and loaded, compare at once with --no-wait"
        ),
    }
}

/// Headers of a page of the log: that of a segment's first page, and of each other one.
const PAGE_HEADERS: [u64; 2] = [40, 24];

/// The position that the log's flushed end reaches without another record. Behind a full page the end for the next
/// record already lies behind the next page's header, and a source at rest never gets there.
fn reachable(end: Lsn, block_size: u64) -> Lsn {
    let in_page = end.0.checked_rem(block_size).unwrap_or_default();
    if PAGE_HEADERS.contains(&in_page) { Lsn(end.0 - in_page) } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_behind_a_page_s_header_is_the_end_of_the_page_before() {
        assert_eq!(reachable(Lsn(8192 * 3 + 24), 8192), Lsn(8192 * 3));
        assert_eq!(reachable(Lsn(8192 * 3 + 40), 8192), Lsn(8192 * 3));
        assert_eq!(reachable(Lsn(8192 * 3 + 48), 8192), Lsn(8192 * 3 + 48));
        assert_eq!(reachable(Lsn(8192 * 3), 8192), Lsn(8192 * 3));
    }
}

//! Asks the warehouse on a connection of its own whether it answers.
//!
//! In: a warehouse, and where to report. Out: reports for `/ready`, while a batch is tried and while nothing is loaded;
//! and the end of an attempt that has lasted too long.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use shared::postgres::{ConnectOptions, connect};

use crate::health::{Health, HealthCell};
use crate::warehouse::WarehouseError;

/// How long an attempt may take before another connection asks the warehouse whether it answers, and how long that
/// answer may take.
const DOUBT_AFTER: Duration = Duration::from_secs(5);

/// The longest time for an attempt: more than the server allows for two statements of the longest kind.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(30 * 60);

/// While an attempt lasts, asks on another connection whether the warehouse answers. Returns when the attempt has
/// lasted too long. A truncate may last for as long as the warehouse answers.
pub(crate) async fn watch(warehouse: &ConnectOptions, health: &HealthCell, is_truncate: bool) {
    let started = Instant::now();
    let mut counts_from = started;
    let mut silent = false;
    while counts_from.elapsed() < ATTEMPT_MAX {
        tokio::time::sleep(DOUBT_AFTER).await;
        let question = async {
            match connect(warehouse).await {
                Ok(client) => client.batch_execute("SELECT").await.is_ok(),
                Err(err) => err.sqlstate().is_some(), // a refusal is an answer too
            }
        };
        let answered = tokio::time::timeout(DOUBT_AFTER, question).await.unwrap_or(false);
        if answered && silent {
            tracing::info!("the warehouse answers again");
            health.set(Health::Healthy);
        } else if !answered && !silent {
            let wait_s = started.elapsed().as_secs();
            tracing::warn!(wait_s, "the warehouse does not answer, waiting for it");
        }
        if !answered {
            health.set(Health::Failing("the warehouse does not answer".to_owned()));
        } else if is_truncate {
            counts_from = Instant::now();
        }
        silent = !answered;
    }
}

/// Asks the warehouse every few seconds whether it answers, also while nothing is loaded, on a connection of its own.
pub(crate) async fn ask_always(mut warehouse: ConnectOptions, health: HealthCell) -> Infallible {
    "vault-loader watch".clone_into(&mut warehouse.application_name);
    let mut asked = None;
    loop {
        let question = async {
            let client = match asked.take() {
                Some(client) => client,
                None => connect(&warehouse).await.map_err(WarehouseError::from)?,
            };
            client.batch_execute("SELECT").await.map_err(WarehouseError::from)?;
            Ok(client)
        };
        let silent = WarehouseError::Silent { wait_s: DOUBT_AFTER.as_secs() };
        match tokio::time::timeout(DOUBT_AFTER, question).await.unwrap_or(Err(silent)) {
            Ok(client) => {
                asked = Some(client);
                health.asked_warehouse(None);
            }
            Err(err) => health.asked_warehouse(Some(chain(&err))),
        }
        tokio::time::sleep(DOUBT_AFTER).await;
    }
}

/// The error and its causes on one line.
fn chain(err: &WarehouseError) -> String {
    let mut text = err.to_string();
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    text
}

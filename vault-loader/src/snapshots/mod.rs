//! The commands on snapshots: `build`, `list`, `rebuild`.
//!
//! In: a command, the warehouse's configuration and models. Out: the tables of the business vault, which `migrate`
//! makes ([`crate::migrate::business`]), with a snapshot for each time of the model's calendar that is kept; and lines
//! for the operator. `calendar` decides which snapshots there are, `scope` says what is to be built and up to when it
//! can be, `build` builds, `lock` keeps to one build at a time. A build is a process of its own, so a failure in it
//! never stops the loader.

mod build;
mod calendar;
mod error;
mod lock;
mod report;
mod scope;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::Subcommand;
use shared::backoff::Backoff;
use shared::postgres::connect;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit;
use crate::model::Plan;
use build::{Builder, Built, Waiting};
use scope::Scope;

pub use error::SnapshotsError;

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What can be done with snapshots.
#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotsCommand {
    /// Build every snapshot that is due, oldest first, and remove those that the calendar does not keep any more. A
    /// snapshot is due when its time has come and everything that was published until then is loaded. Stale snapshots
    /// are built anew. Exit codes: 0 nothing is left to be built, 1 a snapshot waits for the loader, 2 nobody knows up
    /// to when a source is loaded, the model was not migrated, or --complete-until is in the future
    Build {
        /// Go on until a signal, and look every so many seconds; 60 when no number is given
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60",
              value_parser = clap::value_parser!(u64).range(1..=86_400))]
        watch: Option<u64>,
        /// For sources without heartbeats: your word that everything is loaded that was published until this time
        /// (2026-05-01T00:00:00Z). A snapshot that was built by a wrong word has to be built again with `rebuild`
        #[arg(long, value_name = "TIME", conflicts_with = "watch")]
        complete_until: Option<DateTime<Utc>>,
    },
    /// List the snapshots that the tables hold, and what waits
    List {
        /// One JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Build snapshots again from the vault, in order, each in a transaction of its own: readers see the old rows
    /// until the new ones are there. Then build what is due
    Rebuild {
        /// From this snapshot on, by the calendar's clock: 2026-05-01 or 2026-05-01T12:00 [default: all]
        #[arg(long, value_name = "DATE", value_parser = calendar_time)]
        from: Option<NaiveDateTime>,
        /// As for `build`
        #[arg(long, value_name = "TIME")]
        complete_until: Option<DateTime<Utc>>,
    },
}

/// Reads a day, or a time of it, by the calendar's clock.
fn calendar_time(text: &str) -> Result<NaiveDateTime, String> {
    let day = text.parse::<NaiveDate>().map(NaiveDateTime::from);
    let time = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M");
    day.or_else(|_| time()).map_err(|_| "write it as 2026-05-01 or 2026-05-01T12:00".to_owned())
}

/// What a command asks of one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    assumed: Option<DateTime<Utc>>,
    /// snapshots that are built again: from this time on, or all of them
    rebuild: Option<Option<NaiveDateTime>>,
}

/// Carries a command out for the models. Returns whether snapshots still wait for the loader.
///
/// # Errors
/// See [`SnapshotsError`].
pub async fn carry_out(
    command: &SnapshotsCommand,
    config: &Config,
    plans: &[Plan],
    stop: &CancellationToken,
) -> Result<bool, SnapshotsError> {
    let asked = match *command {
        SnapshotsCommand::Build { watch: Some(seconds), .. } => {
            watch(config, plans, Duration::from_secs(seconds), stop).await?;
            return Ok(false);
        }
        SnapshotsCommand::Build { complete_until, .. } => {
            Asked { assumed: complete_until, rebuild: None }
        }
        SnapshotsCommand::Rebuild { from, complete_until } => {
            Asked { assumed: complete_until, rebuild: Some(from) }
        }
        SnapshotsCommand::List { json } => {
            list(config, plans, json).await?;
            return Ok(false);
        }
    };
    let mut client = connect(&config.connect_options()).await?;
    if let Some(word) = asked.assumed {
        let now = crate::control::warehouse_now(&client).await?;
        if word > now {
            let (word, now) = (report::instant(word), report::instant(now));
            return Err(SnapshotsError::Future { word, now });
        }
    }
    let pass = pass(&mut client, plans, asked, stop, &Out::Printed).await?;
    let mut waits = false;
    for (source, waiting) in &pass {
        print!("{}", report::waiting_lines(source, waiting));
        let unknown = &waiting.loaded.unknown;
        if !waiting.times.is_empty() && !unknown.is_empty() {
            return Err(SnapshotsError::Unknown(unknown.clone()));
        }
        waits |= !waiting.times.is_empty();
    }
    Ok(waits)
}

/// Where progress is told.
enum Out {
    /// on standard output
    Printed,
    /// in the log
    Logged,
}

impl Out {
    fn built(&self, source: &str, zone: &str, built: &Built) {
        match self {
            Self::Printed => println!("{}", report::built_line(source, zone, built)),
            Self::Logged => {
                let rows: i64 = built.tables.iter().map(|table| table.rows).sum();
                let removed: usize = built.tables.iter().map(|table| table.removed).sum();
                let took_ms = u64::try_from(built.took.as_millis()).unwrap_or(u64::MAX);
                let snapshot = report::instant(built.date);
                tracing::info!(source, snapshot, rows, removed, took_ms, "built a snapshot");
            }
        }
    }

    fn line(&self, line: &str) {
        match self {
            Self::Printed => println!("{line}"),
            Self::Logged => tracing::info!("{line}"),
        }
    }
}

/// Builds what is due of all models. Returns what waits, by source.
async fn pass(
    client: &mut Client,
    plans: &[Plan],
    asked: Asked,
    stop: &CancellationToken,
    out: &Out,
) -> Result<Vec<(String, Waiting)>, SnapshotsError> {
    if !lock::take(client, stop, |line| out.line(line)).await? {
        return Ok(Vec::new());
    }
    // After a failure the connection ends, and the lock with it. A migration makes tables only while it has the lock,
    // so the tables stay as they are read here.
    let mut scopes = Vec::new();
    for plan in plans {
        scopes.extend(Scope::read(client, plan).await?);
    }
    if scopes.is_empty() {
        return Err(SnapshotsError::Nothing);
    }
    let waiting = build_all(client, &scopes, asked, stop, out).await?;
    lock::give_back(client).await?;
    Ok(waiting)
}

async fn build_all(
    client: &mut Client,
    scopes: &[Scope],
    asked: Asked,
    stop: &CancellationToken,
    out: &Out,
) -> Result<Vec<(String, Waiting)>, SnapshotsError> {
    let mut found = Vec::new();
    for scope in scopes {
        let (source, zone) = (&scope.source, &scope.calendar.time_zone);
        let mut builder = Builder { client: &mut *client, scope, assumed: asked.assumed };
        if let Some(from) = asked.rebuild {
            let count = builder.mark(from).await?;
            out.line(&format!("source {source}: {count} snapshots of its tables are built again"));
        }
        builder.build(stop, &mut |built| out.built(source, zone, built)).await?;
        found.push((source.clone(), builder.waiting().await?));
    }
    Ok(found)
}

/// Builds what is due again and again until a stop. After a failure it tries again, without an end, but for what only
/// a person can change.
async fn watch(
    config: &Config,
    plans: &[Plan],
    interval: Duration,
    stop: &CancellationToken,
) -> Result<(), SnapshotsError> {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut said = Vec::new();
    while !stop.is_cancelled() {
        let pause = match watch_once(config, plans, interval, stop, &mut said).await {
            Ok(()) => {
                backoff.reset();
                continue;
            }
            Err(err) if err.exit_code() == exit::CONFIGURATION => return Err(err),
            Err(err) => {
                let pause = backoff.next_delay();
                if backoff.should_log() {
                    let error = &err as &dyn std::error::Error;
                    tracing::warn!(error, "snapshots are not built, trying again");
                }
                pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

/// Builds over one connection until a stop or the first failure.
async fn watch_once(
    config: &Config,
    plans: &[Plan],
    interval: Duration,
    stop: &CancellationToken,
    said: &mut Vec<String>,
) -> Result<(), SnapshotsError> {
    let options = config.connect_options();
    let mut client = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        connected = connect(&options) => connected?,
    };
    while !stop.is_cancelled() {
        let waiting = pass(&mut client, plans, Asked::default(), stop, &Out::Logged).await?;
        let lines: Vec<String> =
            waiting.iter().filter_map(|(source, waiting)| report::why(source, waiting)).collect();
        // What has been said is not said again as long as it is so.
        lines.iter().filter(|line| !said.contains(line)).for_each(|line| tracing::warn!("{line}"));
        *said = lines;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
    Ok(())
}

async fn list(config: &Config, plans: &[Plan], as_json: bool) -> Result<(), SnapshotsError> {
    let mut client = connect(&config.connect_options()).await?;
    let mut listed = Vec::new();
    for plan in plans {
        let Some(scope) = Scope::read(&mut client, plan).await? else { continue };
        let built = scope.built(&client).await?;
        let builder = Builder { client: &mut client, scope: &scope, assumed: None };
        let waiting = builder.waiting().await?;
        let zone = scope.calendar.time_zone.clone();
        listed.push(report::Listed { source: scope.source.clone(), zone, built, waiting });
    }
    if listed.is_empty() {
        return Err(SnapshotsError::Nothing);
    }
    print!("{}", if as_json { report::json(&listed) } else { report::table(&listed) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_by_its_day_or_its_time() {
        let read = |text| calendar_time(text).map(|time| time.to_string());
        assert_eq!(read("2026-05-01"), Ok("2026-05-01 00:00:00".to_owned()));
        assert_eq!(read("2026-05-01T12:30"), Ok("2026-05-01 12:30:00".to_owned()));
        assert!(read("yesterday").is_err());
    }
}

//! What is done to a replica: its replay is paused and resumed, and a write is tried on it.
//!
//! In: a replica's name. Out: what it answered. Pausing ends no connection and loses nothing: the replica goes on
//! receiving WAL, confirms that it is on its disk, and shows what it showed before. A restart of the replica ends the
//! pause.

use std::time::{Duration, Instant};

use super::fleet::{Fleet, NO_OPERATOR, Replica};
use super::report::Report;
use super::server::{ServerName, Trouble};
use super::statement::{PAUSE, REFUSED, REPLICA, RESUME};

/// How often a replica is asked whether it has paused.
const LOOK: Duration = Duration::from_millis(20);

fn find<'a>(fleet: &'a mut Fleet, name: &ServerName) -> Option<&'a mut Replica> {
    fleet.replicas.iter_mut().find(|replica| replica.name() == name)
}

/// Which way replay is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    /// It stops.
    Pause,
    /// It goes on.
    Resume,
}

/// Pauses or resumes a replica's replay, and waits until it does so.
pub(super) async fn turn(
    fleet: &mut Fleet,
    name: &ServerName,
    replay: Replay,
    report: &mut Report,
) {
    let Some(replica) = find(fleet, name) else { return };
    let done = match replay {
        Replay::Pause => format!(
            "{name} is paused: it receives WAL, applies none, and shows what it showed before."
        ),
        Replay::Resume => format!("{name} applies what it has received meanwhile."),
    };
    match turned(replica, replay).await {
        Ok(None) => report.bad(NO_OPERATOR),
        Ok(Some(state)) if (state == "paused") == (replay == Replay::Pause) => report.good(done),
        Ok(Some(state)) => report.bad(format!("{name} says that its replay is '{state}'.")),
        Err(trouble) => report.bad(trouble.to_string()),
    }
}

/// The state of replay afterwards; nothing without an operator. A pause is requested first, and the process
/// that replays confirms it a little later.
async fn turned(replica: &mut Replica, replay: Replay) -> Result<Option<String>, Trouble> {
    let Some(operator) = &mut replica.operator else { return Ok(None) };
    operator.rows(if replay == Replay::Pause { PAUSE } else { RESUME }, &[]).await?;
    let ends = Instant::now() + operator.patience();
    loop {
        let rows = replica.reader.rows(REPLICA, &[&None::<String>]).await?;
        let state: String = rows[0].get("replay_state");
        if state != "pause requested" || Instant::now() >= ends {
            return Ok(Some(state));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tries to write on a replica, as the role that writes on the primary.
pub(super) async fn try_write(fleet: &mut Fleet, name: &ServerName, report: &mut Report) {
    let Some(replica) = find(fleet, name) else { return };
    let writer = &mut replica.writer;
    match writer.command("BEGIN").await {
        Err(trouble) => return report.bad(trouble.to_string()),
        Ok(()) => {
            let what = "An INSERT into airports by the role that may do it";
            report.plain(format!("{what}, on {name}:"));
        }
    }
    match writer.change(REFUSED, &[]).await {
        Err(refusal) => {
            report.bad(refusal.to_string());
            if matches!(refusal, Trouble::Refused { .. }) {
                report.good("A replica takes no writes, whoever tries. Write on the primary.");
            }
        }
        Ok(_) => report.bad(format!("{name} has taken it: it is no replica. It is rolled back.")),
    }
    writer.rollback().await;
}

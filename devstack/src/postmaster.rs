//! The server that runs on a data directory, whoever started it.
//!
//! In: a data directory of PostgreSQL's. Out: its server's first process, found by the file of its number.
//! Invariant: a process that has the number by chance is never taken for the server.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::process::Identity;

/// How long a killed process may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// The first process of the server on `data`, if it runs.
pub(crate) fn find(data: &Path) -> anyhow::Result<Option<Identity>> {
    let file = data.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
    let pid: i32 = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
        .with_context(|| format!("no process id in {}", file.display()))?;
    // The file stays when the server is killed, and the number may be another process's by now.
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_ours = String::from_utf8_lossy(&command).split('\0').any(|word| Path::new(word) == data);
    Ok(if is_ours { Identity::of(pid).ok() } else { None })
}

/// Kills the server on `data` with all its processes, if it runs.
pub(crate) fn kill(data: &Path) -> anyhow::Result<()> {
    let Some(server) = find(data)? else { return Ok(()) };
    // Stopped first: a child that it forks after the children were listed would hold its shared memory.
    server.signal(Signal::STOP);
    let children = server.children();
    server.end(Signal::KILL, KILL_DEADLINE)?;
    children.iter().try_for_each(|child| child.end(Signal::KILL, KILL_DEADLINE))
}

/// Ends the server on `data` in order, if it runs. One that does not end in time is killed with all its processes.
pub(crate) fn end(data: &Path, patience: Duration) -> anyhow::Result<()> {
    let Some(server) = find(data)? else { return Ok(()) };
    // What was stopped by a signal ends only when it goes on.
    server.children().iter().for_each(|child| child.signal(Signal::CONT));
    server.signal(Signal::INT);
    server.signal(Signal::CONT);
    match crate::wait::try_wait_for(patience, "a server to end", || !server.is_alive()) {
        Ok(()) => Ok(()),
        Err(_) => kill(data),
    }
}

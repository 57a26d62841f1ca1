//! Identifies a process by more than its number.
//!
//! In: a process id. Out: an identity that a state file can keep, and signals to exactly that process.
//! Invariant: a process that got the number of another process is never taken for that one.

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::wait::try_wait_for;

/// Identifies a process, because its number alone may have been given to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// Which boot that was.
    pub boot_id: String,
}

impl Identity {
    /// The identity of a process that runs now.
    pub fn of(pid: i32) -> anyhow::Result<Self> {
        let start_time =
            stat(pid).with_context(|| format!("process {pid} does not run"))?.start_time;
        Ok(Self { pid, start_time, boot_id: boot_id()? })
    }

    /// The identity of a process that never ran.
    pub(crate) fn of_nobody() -> anyhow::Result<Self> {
        Ok(Self { pid: 0, start_time: 0, boot_id: boot_id()? })
    }

    /// Whether this very process still runs; one that has exited but was not awaited yet does not.
    pub fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id)
            && stat(self.pid)
                .is_some_and(|stat| stat.start_time == self.start_time && stat.state != 'Z')
    }

    /// Whether this very process is there and stopped by a signal.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_alive() && stat(self.pid).is_some_and(|stat| stat.state == 'T')
    }

    /// Sends `signal` if this very process still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may end between the question and the signal: then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends the process: `signal` first, SIGKILL when it is still there after `patience`.
    pub(crate) fn end(&self, signal: Signal, patience: Duration) -> anyhow::Result<()> {
        self.signal(signal);
        // A process that somebody has stopped takes the signal only when it goes on.
        self.signal(Signal::CONT);
        if try_wait_for(patience, "a process to end", || !self.is_alive()).is_ok() {
            return Ok(());
        }
        self.signal(Signal::KILL);
        try_wait_for(Duration::from_secs(10), "a killed process to end", || !self.is_alive())
    }

    /// What the process calls itself in the list of processes.
    pub(crate) fn title(&self) -> String {
        let words = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let title = String::from_utf8_lossy(&words).replace('\0', " ");
        format!("{} (process {})", title.trim(), self.pid)
    }

    /// The processes whose parent this one is.
    pub(crate) fn children(&self) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == self.pid))
            .filter_map(|pid| Self::of(pid).ok())
            .collect()
    }
}

/// The fields of `/proc/<pid>/stat` that matter here.
struct Stat {
    state: char,
    parent: i32,
    start_time: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything; count from behind it.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

pub(super) fn boot_id() -> anyhow::Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .context("cannot read the kernel's boot id")?;
    Ok(id.trim().to_owned())
}

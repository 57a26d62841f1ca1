//! Recovery of a server to a point in time, from its archive.
//!
//! In: a server that archives, and the point. Out: the server on its port, with what it held at that point, as a
//! primary on a timeline of its own, and the data that it had before, which lies beside.
//!
//! Hard cases:
//! - Segments and histories of timelines that a crashed server has not archived stand in its old data alone. They are
//!   put beside the restored files, so a point in them can be reached, too.
//! - A point that the WAL never reaches is an error of PostgreSQL's, and the server ends. The old data comes back then.
//! - The settings of the recovery would stay in force for a standby that is copied from the restored server: they are
//!   removed.
//! - Replication slots are in no backup. The restored server has none.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::{Postgres, PostgresOptions, StopMode};
use crate::fs;
use crate::wait::try_wait_for;

/// How long the server may replay WAL.
const REPLAY_DEADLINE: Duration = Duration::from_secs(600);

/// What pgBackRest sets for a recovery.
const RECOVERY_SETTINGS: [&str; 8] = [
    "restore_command",
    "recovery_target_xid",
    "recovery_target_time",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_inclusive",
    "recovery_target_action",
    "recovery_target_timeline",
];

/// What ends the recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// The end of the archived WAL.
    Latest,
    /// A transaction, by its number in the server's log or in `pg_waldump`.
    Xid(String),
    /// A moment, as `2026-01-31 12:00:00+00`.
    Time(String),
    /// A position in the WAL, as `0/3000148`.
    Lsn(String),
    /// A point that `pg_create_restore_point` named.
    Name(String),
}

/// The point to which a server is recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPoint {
    /// What ends the recovery.
    pub target: RecoveryTarget,
    /// Whether the recovery ends before the target, and not with it. A name and the end of WAL have no before.
    pub before: bool,
    /// The timeline to follow: a number, or `current` for that of the backup; else the newest. After an earlier
    /// recovery the newest one is that recovery's.
    pub timeline: Option<String>,
    /// The backup to begin with, as `info` names it; else the newest, or with a time the newest before it.
    pub backup: Option<String>,
}

impl RecoveryPoint {
    /// Recovers up to the target, and with it.
    pub fn to(target: RecoveryTarget) -> Self {
        Self { target, before: false, timeline: None, backup: None }
    }

    /// Recovers up to the commit before that of transaction `xid`.
    pub fn before_transaction(xid: &str) -> Self {
        Self { before: true, ..Self::to(RecoveryTarget::Xid(xid.to_owned())) }
    }

    /// Arguments of `pgbackrest restore`.
    fn words(&self) -> anyhow::Result<Vec<String>> {
        let (kind, value) = match &self.target {
            RecoveryTarget::Latest => ("default", None),
            RecoveryTarget::Xid(xid) => ("xid", Some(xid)),
            RecoveryTarget::Time(time) => ("time", Some(time)),
            RecoveryTarget::Lsn(lsn) => ("lsn", Some(lsn)),
            RecoveryTarget::Name(name) => ("name", Some(name)),
        };
        let mut words = vec!["restore".to_owned(), format!("--type={kind}")];
        if let Some(value) = value {
            words.push(format!("--target={value}"));
            words.push("--target-action=promote".to_owned());
        }
        if self.before {
            anyhow::ensure!(
                !matches!(kind, "default" | "name"),
                "recovery can end before a transaction, a time or a position, not before a name or the end of the WAL"
            );
            words.push("--target-exclusive".to_owned());
        }
        words.extend(self.timeline.iter().map(|timeline| format!("--target-timeline={timeline}")));
        words.extend(self.backup.iter().map(|label| format!("--set={label}")));
        Ok(words)
    }
}

impl Postgres {
    /// Recovers a server of these options, which does not run, and starts it. Gives also where its earlier data lies.
    ///
    /// # Errors
    /// When the server archives nothing, or the point is not reached. Its data is then as it was before.
    pub fn start_restored(
        options: PostgresOptions,
        point: &RecoveryPoint,
    ) -> anyhow::Result<(Self, PathBuf)> {
        let mut server = Self::prepare(options)?;
        let kept = server.restore(point)?;
        Ok((server, kept))
    }

    /// Stops the server in order, recovers it to that point, and starts it. Gives where its earlier data lies.
    ///
    /// # Errors
    /// When the server archives nothing, or the point is not reached. Its data is then as it was before, and it is
    /// stopped.
    pub fn restore(&mut self, point: &RecoveryPoint) -> anyhow::Result<PathBuf> {
        let words = point.words()?;
        anyhow::ensure!(
            self.options.archive.is_some(),
            "{} has no archive, so nothing leads back to an earlier point",
            self.options.name
        );
        self.stop(StopMode::Fast)?;
        let kept = free_name(&self.data);
        std::fs::rename(&self.data, &kept)
            .with_context(|| format!("cannot move {} away", self.data.display()))?;
        let Err(err) = self.recover(&words, &kept) else { return Ok(kept) };
        let back = self.put_kept_back(&kept);
        let name = &self.options.name;
        Err(match back {
            Ok(()) => err.context(format!("{name} was not recovered, and its data is as it was before")),
            Err(why) => err.context(format!(
                "{name} was not recovered; its earlier data is {} and could not be put back to {}: {why:#}",
                kept.display(),
                self.data.display()
            )),
        })
    }

    /// Puts the earlier data in place of what was restored.
    fn put_kept_back(&mut self, kept: &Path) -> anyhow::Result<()> {
        self.stop(StopMode::Immediate)?;
        fs::remove(&self.data)?;
        std::fs::rename(kept, &self.data).context("it cannot be moved")
    }

    fn recover(&mut self, words: &[String], kept: &Path) -> anyhow::Result<()> {
        let archive = self.options.archive.clone().context("no archive")?;
        archive.configure(self)?;
        // pgBackRest fills an empty directory only.
        self.run_as_server(vec![
            "mkdir".into(),
            "--mode=0700".into(),
            self.data.clone().into_os_string(),
        ])?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        archive.run(&self.options.name, &words)?;
        self.add_unarchived(kept)?;
        self.configure()?;
        if self.address.port == 0 {
            self.first_start()?;
        } else {
            self.start_again()?;
        }
        let what = format!("{} to reach the point and to be a primary", self.options.name);
        let is_primary = "SELECT 1 / (NOT pg_is_in_recovery())::int";
        let reached = try_wait_for(REPLAY_DEADLINE, &what, || {
            if !self.identity()?.is_alive() {
                return Ok(Some(false));
            }
            self.execute("postgres", is_primary).map(|()| Some(true))
        });
        match reached {
            Ok(true) => self.forget_the_point(),
            Ok(false) => {
                anyhow::bail!(
                    "{} ended in recovery; {}",
                    self.options.name,
                    self.server.last_words()
                )
            }
            Err(err) => Err(err),
        }
    }

    /// Removes the settings of the recovery. A standby that is copied from this server would recover to that point,
    /// too.
    fn forget_the_point(&self) -> anyhow::Result<()> {
        RECOVERY_SETTINGS.iter().try_for_each(|setting| {
            self.execute("postgres", &format!("ALTER SYSTEM RESET {setting}"))
        })
    }

    /// Puts the segments and the histories of timelines that are in no archive beside the restored files.
    fn add_unarchived(&self, kept: &Path) -> anyhow::Result<()> {
        let wal = kept.join("pg_wal");
        for entry in std::fs::read_dir(&wal).with_context(|| format!("no {}", wal.display()))? {
            let name = entry?.file_name();
            let mut done = wal.join("archive_status").join(&name).into_os_string();
            done.push(".done");
            if leads_on(&name) && !Path::new(&done).exists() {
                let from = wal.join(&name).into_os_string();
                let to = self.data.join("pg_wal").join(&name).into_os_string();
                self.run_as_server(vec!["cp".into(), "-a".into(), from, to])?;
            }
        }
        Ok(())
    }
}

/// Whether a file of `pg_wal` is a segment, or the history of a timeline, without which nothing follows the timeline.
fn leads_on(name: &OsStr) -> bool {
    let is_hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    name.to_str().is_some_and(|name| match name.strip_suffix(".history") {
        Some(timeline) => is_hex(timeline, 8),
        None => is_hex(name, 24),
    })
}

/// A name beside the data directory that nothing has.
fn free_name(data: &Path) -> PathBuf {
    let name = |number: u32| data.with_extension(format!("before-restore-{number}"));
    let mut number = 1;
    while name(number).exists() {
        number += 1;
    }
    name(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_before_a_name() {
        let target = RecoveryTarget::Name("friday".to_owned());
        let point = |before| RecoveryPoint { before, ..RecoveryPoint::to(target.clone()) };
        let error = point(true).words().unwrap_err().to_string();
        assert!(error.contains("not before a name"), "{error}");
        let words = point(false).words().unwrap();
        assert_eq!(words, ["restore", "--type=name", "--target=friday", "--target-action=promote"]);
    }

    #[test]
    fn segments_and_histories_lead_on() {
        for name in ["00000002000000000000000A", "00000002.history"] {
            assert!(leads_on(OsStr::new(name)), "{name}");
        }
        for name in
            ["00000002000000000000000A.partial", "archive_status", "2.history", "0000000Z.history"]
        {
            assert!(!leads_on(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_transaction_is_left_out() {
        let words = RecoveryPoint::before_transaction("1234").words().unwrap();
        assert_eq!(
            words.join(" "),
            "restore --type=xid --target=1234 --target-action=promote --target-exclusive"
        );
    }
}

//! How far each replica is behind: by the primary's figures, by the replica's own, and by what the primary keeps for
//! it.
//!
//! In: servers. Out: figures, each of which may be missing. Bytes are always known for a replica that answers. Seconds
//! are not. The primary measures them only while a replica confirms WAL. A replica knows the time of the last commit
//! that it has replayed, which says nothing of its lag while nothing was committed since. So: a replica that has
//! replayed all of the primary's WAL is 0 s behind. For any other, the age of its last replayed commit, by the
//! primary's clock, is a bound: what it has not replayed was committed later. Without such a commit, or without the
//! primary, the menu says that it is unknown, and why.

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio_postgres::Row;

use super::fleet::Fleet;
use super::report::{Report, Tone, bytes};
use super::server::{Server, ServerName, Trouble};
use super::statement::{PRIMARY, REPLICA, SENDERS, SLOTS};

/// What the primary says of itself.
pub(super) struct PrimaryStand {
    now: DateTime<Utc>,
    pub(super) lsn: String,
    pub(super) standby_names: String,
}

/// What the primary says of a connected replica. A figure that its role may not see is missing.
struct Sender {
    name: String,
    state: String,
    sync_state: String,
    /// Not sent, not written, not flushed, not replayed.
    bytes: [Option<i64>; 4],
    /// To written, to flushed, to replayed.
    seconds: [Option<f64>; 3],
}

/// What the primary keeps for a replica.
struct Slot {
    name: String,
    active: bool,
    wal_status: String,
    kept_bytes: Option<i64>,
    left_bytes: Option<i64>,
}

/// What a replica says of itself.
struct ReplicaStand {
    in_recovery: bool,
    replay_state: String,
    replay_lsn: Option<String>,
    behind_bytes: Option<i64>,
    unreplayed_bytes: Option<i64>,
    replayed_at: Option<DateTime<Utc>>,
}

/// How many seconds a replica is behind.
#[derive(Debug, PartialEq)]
enum Seconds {
    /// It has replayed everything.
    Zero,
    /// It is behind, by no more than this.
    AtMost(f64),
    /// Nobody can know.
    Unknown(&'static str),
}

/// All that was measured, at one time as nearly as can be.
pub(super) struct Standing {
    pub(super) primary: Result<PrimaryStand, Trouble>,
    senders: Result<Vec<Sender>, String>,
    slots: Vec<Slot>,
    replicas: Vec<(ServerName, Result<ReplicaStand, Trouble>)>,
}

impl Standing {
    /// Asks all servers. The primary first, because the replicas are compared with the end of its WAL.
    pub(super) async fn measure(fleet: &mut Fleet) -> Self {
        let primary = primary_stand(&mut fleet.primary).await;
        let end = primary.as_ref().ok().map(|stand| stand.lsn.clone());
        let senders = match &mut fleet.operator {
            None => Err("no operator's role is given, and no other sees it".to_owned()),
            Some(operator) if primary.is_ok() => {
                senders(operator).await.map_err(|err| err.to_string())
            }
            Some(_) => Err("the primary does not answer".to_owned()),
        };
        let slots = if primary.is_ok() { slots(&mut fleet.primary).await } else { Vec::new() };
        let asked =
            fleet.replicas.iter_mut().map(|replica| replica_stand(&mut replica.reader, &end));
        Self { primary, senders, slots, replicas: join_all(asked).await }
    }

    /// A line for each server, for the head of a screen.
    pub(super) fn overview(&self, report: &mut Report) {
        let mut rows = vec![match &self.primary {
            Ok(stand) => (Tone::Good, cells(["primary", "answers", "", "", "", "", &stand.lsn])),
            Err(_) => (Tone::Bad, cells(["primary", "unreachable", "", "", "", "", ""])),
        }];
        for (name, stand) in &self.replicas {
            let kept = self.slot(name).and_then(|slot| slot.kept_bytes);
            let kept = kept.map_or_else(|| "unknown".to_owned(), bytes);
            let name = name.as_str();
            rows.push(match stand {
                Ok(stand) => (
                    stand.tone(),
                    cells([
                        name,
                        "answers",
                        stand.replay(),
                        &known(stand.behind_bytes),
                        &self.seconds(stand).short(),
                        &kept,
                        stand.replay_lsn.as_deref().unwrap_or(""),
                    ]),
                ),
                Err(_) => {
                    (Tone::Bad, cells([name, "unreachable", "", "unknown", "unknown", &kept, ""]))
                }
            });
        }
        let heading =
            ["server", "state", "replay", "bytes behind", "seconds behind", "slot keeps", "at"];
        report.table(&heading, &rows);
    }

    /// All figures of all replicas.
    pub(super) fn details(&self, report: &mut Report) {
        match &self.primary {
            Ok(stand) => report.plain(format!("The end of the primary's WAL: {}", stand.lsn)),
            Err(trouble) => report.bad(trouble.to_string()),
        }
        report.plain("");
        report
            .plain("By the primary: what a replica has not confirmed, and how long the WAL took that it confirmed last");
        self.senders_table(report);
        report.plain("");
        report.plain("By the replicas themselves, against the end of the primary's WAL");
        self.replicas_table(report);
        report.plain("");
        report.plain("What the primary keeps for them in their slots");
        self.slots_table(report);
    }

    fn senders_table(&self, report: &mut Report) {
        let senders = match &self.senders {
            Ok(senders) => senders,
            Err(why) => return report.bad(format!("unknown: {why}")),
        };
        let mut rows = Vec::new();
        for (name, _) in &self.replicas {
            let Some(sender) = senders.iter().find(|sender| sender.name == name.as_str()) else {
                rows.push((Tone::Bad, cells([name.as_str(), "not connected"])));
                continue;
            };
            let mut row = cells([name.as_str(), &sender.state, &sender.sync_state]);
            row.extend(sender.bytes.map(known));
            row.extend(sender.seconds.map(|seconds| {
                seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{seconds:.3} s"))
            }));
            rows.push((Tone::Plain, row));
        }
        let heading = [
            "replica",
            "state",
            "sync",
            "not sent",
            "not written",
            "not flushed",
            "not replayed",
            "to write",
            "to flush",
            "to replay",
        ];
        report.table(&heading, &rows);
    }

    fn replicas_table(&self, report: &mut Report) {
        let mut rows = Vec::new();
        let mut remarks = Vec::new();
        for (name, stand) in &self.replicas {
            match stand {
                Ok(stand) => {
                    let seconds = self.seconds(stand);
                    if let Seconds::Unknown(why) = seconds {
                        remarks.push(format!("{name}: seconds are unknown, {why}"));
                    }
                    let replayed_at = stand.replayed_at.map_or_else(
                        || "unknown".to_owned(),
                        |at| at.format("%H:%M:%S%.3f UTC").to_string(),
                    );
                    let row = [
                        name.as_str(),
                        stand.replay(),
                        &known(stand.behind_bytes),
                        &known(stand.unreplayed_bytes),
                        &seconds.short(),
                        &replayed_at,
                    ];
                    rows.push((stand.tone(), cells(row)));
                }
                Err(trouble) => {
                    rows.push((
                        Tone::Bad,
                        cells([name.as_str(), "unreachable", "unknown", "unknown", "unknown"]),
                    ));
                    remarks.push(trouble.to_string());
                }
            }
        }
        let heading = [
            "replica",
            "replay",
            "bytes behind",
            "received, not replayed",
            "seconds behind",
            "last commit replayed",
        ];
        report.table(&heading, &rows);
        for remark in remarks {
            report.bad(remark);
        }
    }

    fn slots_table(&self, report: &mut Report) {
        if let Err(trouble) = &self.primary {
            return report.bad(format!("unknown: {trouble}"));
        }
        let mut rows = Vec::new();
        let mut remarks = Vec::new();
        for (name, _) in &self.replicas {
            let Some(slot) = self.slot(name) else {
                rows.push((Tone::Bad, cells([name.as_str(), "no slot"])));
                continue;
            };
            let lost = slot.wal_status == "lost";
            if lost {
                remarks.push(format!(
                    "{name}: the primary has removed WAL that this replica needs. It has to be copied anew, which \
                     the next start of the replica does (docs/REPLICAS.md)."
                ));
            }
            let left = slot.left_bytes.map_or_else(|| "no bound".to_owned(), bytes);
            rows.push((
                if lost || !slot.active { Tone::Bad } else { Tone::Plain },
                cells([
                    name.as_str(),
                    if slot.active { "yes" } else { "no" },
                    &known(slot.kept_bytes),
                    if lost { "" } else { &left },
                    &slot.wal_status,
                ]),
            ));
        }
        report.table(&["slot", "in use", "keeps", "before it is lost", "state"], &rows);
        for remark in remarks {
            report.bad(remark);
        }
    }

    fn slot(&self, name: &ServerName) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name.as_str())
    }

    /// How each connected replica takes part in commits, as the primary says.
    pub(super) fn sync_states(&self) -> Vec<(String, String)> {
        let senders = self.senders.iter().flatten();
        senders.map(|sender| (sender.name.clone(), sender.sync_state.clone())).collect()
    }

    fn seconds(&self, stand: &ReplicaStand) -> Seconds {
        seconds_behind(self.primary.as_ref().ok().map(|primary| primary.now), stand)
    }
}

impl Seconds {
    fn short(&self) -> String {
        match self {
            Self::Zero => "0 s".to_owned(),
            Self::AtMost(seconds) => format!("at most {seconds:.1} s"),
            Self::Unknown(_) => "unknown".to_owned(),
        }
    }
}

impl ReplicaStand {
    fn replay(&self) -> &str {
        match self.replay_state.as_str() {
            _ if !self.in_recovery => "is no replica",
            "not paused" => "running",
            other => other,
        }
    }

    fn tone(&self) -> Tone {
        if self.replay() == "running" { Tone::Good } else { Tone::Bad }
    }
}

/// See the head of this file.
fn seconds_behind(now: Option<DateTime<Utc>>, stand: &ReplicaStand) -> Seconds {
    let Some(now) = now else {
        return Seconds::Unknown("because the primary does not answer");
    };
    if stand.behind_bytes == Some(0) {
        return Seconds::Zero;
    }
    match stand.replayed_at {
        // Two clocks are never quite the same.
        Some(at) => Seconds::AtMost((now - at).as_seconds_f64().max(0.0)),
        None => Seconds::Unknown("because it has replayed no commit since it started"),
    }
}

fn known(count: Option<i64>) -> String {
    count.map_or_else(|| "unknown".to_owned(), bytes)
}

fn cells<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

pub(super) async fn primary_stand(primary: &mut Server) -> Result<PrimaryStand, Trouble> {
    let rows = primary.rows(PRIMARY, &[]).await?;
    let row = &rows[0];
    Ok(PrimaryStand {
        now: row.get("now"),
        lsn: row.get("lsn"),
        standby_names: row.get("standby_names"),
    })
}

async fn senders(operator: &mut Server) -> Result<Vec<Sender>, Trouble> {
    let rows = operator.rows(SENDERS, &[]).await?;
    let text = |row: &Row, column: &str| {
        row.get::<_, Option<String>>(column).unwrap_or_else(|| "unknown".to_owned())
    };
    let behind =
        |row: &Row, column: &str| row.get::<_, Option<i64>>(column).map(|count| count.max(0));
    Ok(rows
        .iter()
        .map(|row| Sender {
            name: text(row, "name"),
            state: text(row, "state"),
            sync_state: text(row, "sync_state"),
            bytes: ["sent_bytes", "write_bytes", "flush_bytes", "replay_bytes"]
                .map(|column| behind(row, column)),
            seconds: ["write_seconds", "flush_seconds", "replay_seconds"]
                .map(|column| row.get(column)),
        })
        .collect())
}

/// The slots; none when the primary does not say.
async fn slots(primary: &mut Server) -> Vec<Slot> {
    let rows = primary.rows(SLOTS, &[]).await.unwrap_or_default();
    rows.iter()
        .map(|row| Slot {
            name: row.get("name"),
            active: row.get("active"),
            wal_status: row.get("wal_status"),
            kept_bytes: row.get("kept_bytes"),
            left_bytes: row.get("left_bytes"),
        })
        .collect()
}

async fn replica_stand(
    reader: &mut Server,
    end: &Option<String>,
) -> (ServerName, Result<ReplicaStand, Trouble>) {
    let name = reader.name().clone();
    let stand = reader.rows(REPLICA, &[end]).await.map(|rows| {
        let row = &rows[0];
        // It may have replayed more than the primary had when the primary was asked.
        let count = |column: &str| row.get::<_, Option<i64>>(column).map(|count| count.max(0));
        ReplicaStand {
            in_recovery: row.get("in_recovery"),
            replay_state: row.get("replay_state"),
            replay_lsn: row.get("replay_lsn"),
            behind_bytes: count("behind_bytes"),
            unreplayed_bytes: count("unreplayed_bytes"),
            replayed_at: row.get("replayed_at"),
        }
    });
    (name, stand)
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};

    use super::{ReplicaStand, Seconds, seconds_behind};

    fn stand(behind_bytes: Option<i64>, age: Option<i64>) -> ReplicaStand {
        ReplicaStand {
            in_recovery: true,
            replay_state: "not paused".to_owned(),
            replay_lsn: None,
            behind_bytes,
            unreplayed_bytes: None,
            replayed_at: age.map(|seconds| Utc::now() - TimeDelta::seconds(seconds)),
        }
    }

    #[test]
    fn an_idle_primary_does_not_make_a_replica_look_late() {
        assert_eq!(seconds_behind(Some(Utc::now()), &stand(Some(0), Some(3600))), Seconds::Zero);
    }

    #[test]
    fn a_replica_that_is_behind_is_so_by_no_more_than_the_age_of_its_last_commit() {
        let Seconds::AtMost(bound) = seconds_behind(Some(Utc::now()), &stand(Some(168), Some(7)))
        else {
            panic!("there is a bound");
        };
        assert!((6.9..8.0).contains(&bound), "{bound}");
        let ahead = seconds_behind(Some(Utc::now()), &stand(Some(168), Some(-7)));
        assert_eq!(ahead, Seconds::AtMost(0.0));
    }

    #[test]
    fn what_nobody_can_know_is_said_to_be_unknown() {
        let no_commit = seconds_behind(Some(Utc::now()), &stand(Some(168), None));
        let no_primary = seconds_behind(None, &stand(None, Some(7)));
        for seconds in [no_commit, no_primary] {
            assert!(matches!(seconds, Seconds::Unknown(_)), "{seconds:?}");
        }
    }
}

//! Commits that wait for replicas: whom they wait for, what for, and what becomes of one that waits in vain.
//!
//! In: a choice. Out: a setting of the primary, or of the menu's own transactions.
//! `synchronous_standby_names` is a setting of the whole primary, so every client's commits wait from then on.
//! `synchronous_commit` belongs to a transaction, and the menu sets it for its own ones only. A commit that waits has
//! been written on the primary already: who cancels the wait takes nothing back. The server says so in a warning, and
//! the menu shows that warning.

use std::time::{Duration, Instant};

use super::fleet::{Fleet, NO_OPERATOR};
use super::lag::{Standing, primary_stand};
use super::report::Report;
use super::server::{ServerName, Trouble};

/// The levels of `synchronous_commit`, from the least to the most that a commit waits for.
pub(super) const LEVELS: [(&str, &str); 5] = [
    ("off", "nothing: a crash may lose the last commits"),
    ("local", "the primary's disk"),
    ("remote_write", "the primary's disk, and the replica has the WAL in memory"),
    ("on", "the primary's disk, and the replica's disk (the default)"),
    ("remote_apply", "the primary's disk, and the replica shows the rows"),
];

/// How often a setting that is to take effect is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Whom a commit waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Awaited {
    /// No replica.
    Nobody,
    /// Whichever replica is first.
    AnyOne,
    /// Every replica.
    All,
    /// This one.
    Only(ServerName),
}

impl Awaited {
    /// All that can be chosen.
    pub(super) fn all(replicas: &[ServerName]) -> Vec<Self> {
        let only = replicas.iter().cloned().map(Self::Only);
        [Self::Nobody, Self::AnyOne, Self::All].into_iter().chain(only).collect()
    }

    /// For a list to choose from.
    pub(super) fn label(&self, replicas: &[ServerName]) -> String {
        let whom = match self {
            Self::Nobody => "no replica (asynchronous)".to_owned(),
            Self::AnyOne => "any one replica".to_owned(),
            Self::All => "all replicas".to_owned(),
            Self::Only(name) => format!("{name} only"),
        };
        format!("{whom}: '{}'", self.setting(replicas))
    }

    /// The value of `synchronous_standby_names`.
    fn setting(&self, replicas: &[ServerName]) -> String {
        let names: Vec<String> = replicas.iter().map(|name| format!("\"{name}\"")).collect();
        let names = names.join(", ");
        match self {
            Self::Nobody => String::new(),
            Self::AnyOne => format!("ANY 1 ({names})"),
            Self::All => format!("ANY {} ({names})", replicas.len()),
            Self::Only(name) => format!("FIRST 1 (\"{name}\")"),
        }
    }
}

/// Sets whom all commits on the primary wait for, and waits until the primary works by it.
pub(super) async fn await_replicas(fleet: &mut Fleet, awaited: &Awaited, report: &mut Report) {
    let names = fleet.replica_names();
    match set_standby_names(fleet, &awaited.setting(&names)).await {
        Err(trouble) => report.bad(trouble.to_string()),
        Ok(None) => report.bad(NO_OPERATOR),
        Ok(Some(false)) => report.bad(
            "The primary has stored the setting and does not work by it yet; its log says why.",
        ),
        Ok(Some(true)) => {
            report.good(format!(
                "Every commit on the primary now waits for: {}",
                awaited.label(&names)
            ));
            for (name, state) in settled_sync_states(fleet, awaited).await {
                report.plain(format!("{name} is {state}"));
            }
            report.plain(format!(
                "The menu's commits wait for the level '{}' (choice 10).",
                fleet.commit_level
            ));
        }
    }
}

/// Whether the primary works by the setting; nothing without an operator.
async fn set_standby_names(fleet: &mut Fleet, setting: &str) -> Result<Option<bool>, Trouble> {
    let Some(operator) = &mut fleet.operator else { return Ok(None) };
    operator.command(&format!("ALTER SYSTEM SET synchronous_standby_names = '{setting}'")).await?;
    operator.command("SELECT pg_reload_conf()").await?;
    let ends = Instant::now() + operator.patience();
    loop {
        if primary_stand(&mut fleet.primary).await?.standby_names == setting {
            return Ok(Some(true));
        }
        if Instant::now() >= ends {
            return Ok(Some(false));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The replicas' parts in commits, once those that are connected have taken them.
async fn settled_sync_states(fleet: &mut Fleet, awaited: &Awaited) -> Vec<(String, String)> {
    let ends = Instant::now() + fleet.primary.patience();
    loop {
        let states = Standing::measure(fleet).await.sync_states();
        let settled = states.iter().all(|(name, state)| {
            let takes_part = match awaited {
                Awaited::Nobody => false,
                Awaited::AnyOne | Awaited::All => true,
                Awaited::Only(only) => only.as_str() == name,
            };
            (state != "async") == takes_part
        });
        if settled || Instant::now() >= ends {
            return states;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Commits the primary's transaction under way, and says how that went. An error says what is not known.
pub(super) async fn commit(fleet: &mut Fleet, report: &mut Report) -> Result<(), Trouble> {
    let limit = fleet.commit_patience;
    let started = Instant::now();
    let (cancelled, remarks) = fleet.primary.commit(limit).await?;
    let took = started.elapsed().as_secs_f64() * 1000.0;
    let level = fleet.commit_level;
    if cancelled {
        report.bad(format!(
            "The commit has waited {limit:?} for replicas in vain, and the menu has cancelled the wait."
        ));
        report.bad(
            "It is committed on the primary all the same, and a replica has it once it follows again.",
        );
        report.bad(
            "Choose others to wait for (choice 9), or start the replica that commits wait for.",
        );
    } else {
        report.plain(format!("Committed in {took:.1} ms with synchronous_commit = {level}."));
    }
    for remark in remarks {
        report.bad(format!("The primary says: {remark}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Awaited;

    #[test]
    fn each_choice_is_a_setting_of_the_primary() {
        let names = ["replica_one".parse().unwrap(), "replica_two".parse().unwrap()];
        let settings: Vec<String> =
            Awaited::all(&names).iter().map(|awaited| awaited.setting(&names)).collect();
        assert_eq!(
            settings,
            [
                "",
                "ANY 1 (\"replica_one\", \"replica_two\")",
                "ANY 2 (\"replica_one\", \"replica_two\")",
                "FIRST 1 (\"replica_one\")",
                "FIRST 1 (\"replica_two\")",
            ]
        );
    }
}

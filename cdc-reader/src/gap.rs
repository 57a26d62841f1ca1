//! Why nobody can go on from the stored offset without a gap, and what an operator can do.
//!
//! Either changes were never read, or changes that are in Kafka are not in the source's history any more. In both cases
//! an operator has to decide, so each reason names the positions and the remedies.

use shared::position::Lsn;

use crate::publish::Transaction;
use crate::replication::SourceIdentity;

/// Why nobody can go on from the stored offset without a gap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// Somebody dropped the slot.
    #[error(
        "the replication slot does not exist, and the offset stored in topic {topic} says that changes were published up to {offset}, so the \
         changes after {offset} are gone"
    )]
    Missing {
        /// The topic of the stored offset.
        topic: String,
        /// The stored offset.
        offset: Lsn,
    },
    /// The server gave the slot up.
    #[error(
        "the server has invalidated the replication slot ({reason}), so the changes after its position are gone"
    )]
    Invalidated {
        /// The server's word for the reason.
        reason: String,
    },
    /// Somebody advanced the slot, or dropped it and made it again.
    #[error(
        "the replication slot begins at {slot_begin}, and the offset stored in topic {topic} is {offset}: somebody advanced the slot, or dropped it and \
         made it again, so the changes between {offset} and {slot_begin} were never read"
    )]
    Moved {
        /// The topic of the stored offset.
        topic: String,
        /// The stored offset.
        offset: Lsn,
        /// The first position that the slot still has.
        slot_begin: Lsn,
    },
    /// Another cluster.
    #[error(
        "the server belongs to another cluster: its system identifier is {}, and the offset stored in topic {topic} belongs to system \
         identifier {}",
        found.system,
        stored.system
    )]
    OtherCluster {
        /// The topic of the stored offset.
        topic: String,
        /// The history of the stored offset.
        stored: SourceIdentity,
        /// The server's.
        found: SourceIdentity,
    },
    /// The server's timeline did not grow out of the published one.
    #[error(
        "the server is on timeline {}, whose history does not contain timeline {}, from which changes up to {reached} were published",
        found.timeline,
        stored.timeline
    )]
    OtherTimeline {
        /// The history of the stored offset.
        stored: SourceIdentity,
        /// The server's.
        found: SourceIdentity,
        /// Changes up to here were published.
        reached: Lsn,
    },
    /// The server was promoted before it had received everything that was published.
    #[error(
        "timeline {} of the server left timeline {} at {switch}, and changes of timeline {} were published up to {reached}: the changes \
         between {switch} and {reached} are in Kafka and not in the source",
        found.timeline,
        stored.timeline,
        stored.timeline
    )]
    LostWal {
        /// The history of the stored offset.
        stored: SourceIdentity,
        /// The server's.
        found: SourceIdentity,
        /// The server has the published timeline up to here.
        switch: Lsn,
        /// Changes up to here were published.
        reached: Lsn,
    },
    /// The server's WAL ends before what was published.
    #[error(
        "the offset stored in topic {topic} is {offset}, beyond the server's WAL, which ends at {wal_end}: the server was set back, and the \
         changes between {wal_end} and {offset} are in Kafka and not in the source"
    )]
    BehindOffset {
        /// The topic of the stored offset.
        topic: String,
        /// The stored offset.
        offset: Lsn,
        /// The end of the server's WAL.
        wal_end: Lsn,
    },
    /// The server's WAL has something else where changes were published from.
    #[error(
        "transaction {} was published, which committed at {}, and the server's WAL has {} there: the server was restored from an older copy, \
         and changes before {} are in Kafka and not in the source",
        published.xid,
        published.end_lsn,
        Found(found.as_ref()),
        published.end_lsn
    )]
    OtherHistory {
        /// The last transaction that was published.
        published: Transaction,
        /// The transaction that the server has instead, if there is one.
        found: Option<Transaction>,
    },
}

/// The transaction that stands in place of another.
struct Found<'t>(Option<&'t Transaction>);

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("no transaction"),
            Some(found) => {
                write!(f, "transaction {}, which committed at {},", found.xid, found.end_lsn)
            }
        }
    }
}

impl Gap {
    /// What an operator can do, in whole sentences without the last full stop.
    #[must_use]
    pub fn remedy(&self, slot: &str) -> String {
        let snapshot = format!(
            "To begin anew, with a snapshot unless snapshot.mode is no_data, drop the slot {slot} if it exists, run `cdc-reader offset delete` for \
             this connector, and start again"
        );
        let accept = "To go on at the slot's position and without these changes, run `cdc-reader offset accept` for this \
                      connector, and start again";
        let anew = "If this is the wrong server, correct database.hostname. Otherwise give the connector a new topic.prefix and a new slot.name, and \
                    load a new warehouse from its snapshot";
        let restored = format!(
            "To keep the warehouse of a source that was set back, run `vault-loader epoch start --all --source-restored`, drop the slot {slot} if it \
             exists, run `cdc-reader offset delete` for this connector, start again, and run `vault-loader epoch close-missing --all --apply` when the \
             new snapshot is loaded"
        );
        match self {
            Self::Missing { .. } | Self::Invalidated { .. } => snapshot,
            Self::Moved { .. } => format!("{snapshot}. {accept}"),
            Self::LostWal { .. } => format!("{anew}. {restored}. {accept}"),
            Self::OtherCluster { .. } => anew.to_owned(),
            Self::OtherTimeline { .. } | Self::BehindOffset { .. } | Self::OtherHistory { .. } => {
                format!("{anew}. {restored}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_is_another_one_names_both_transactions() {
        let published = Transaction { end_lsn: Lsn(0x250), xid: 7, commit_ts_us: 1 };
        let found = Transaction { end_lsn: Lsn(0x260), xid: 8, commit_ts_us: 2 };
        let text = |found| Gap::OtherHistory { published, found }.to_string();
        let begin =
            "transaction 7 was published, which committed at 0/250, and the server's WAL has";
        assert!(
            text(None).starts_with(&format!("{begin} no transaction there:")),
            "{}",
            text(None)
        );
        let with = text(Some(found));
        assert!(
            with.starts_with(&format!("{begin} transaction 8, which committed at 0/260, there:")),
            "{with}"
        );
    }
}

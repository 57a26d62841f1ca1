//! What is said about an event that can be neither new nor a repeat.
//!
//! In: the record, the kind of contradiction, and what the key's last version says. Out: the reason and the remedy. No
//! value of a row is named.

use shared::position::Lsn;

use crate::batch::Record;
use crate::control::instant;
use crate::vault::fold::{Contradiction, KeyState};

/// What is wrong.
pub(super) fn reason(record: &Record, why: Contradiction, known: Option<&KeyState>) -> String {
    let event = match why {
        Contradiction::KnownPlace => {
            "stands at or before the last record loaded of its key, and its source position is above that record's"
        }
        Contradiction::KnownPosition => {
            "has a source position that was loaded before, and was committed later than what was loaded"
        }
        Contradiction::ReadBelow => {
            "was read by a snapshot at a source position below what was loaded before"
        }
    };
    let (partition, offset) = (record.from.partition, record.offset);
    let loaded = known.map(describe).unwrap_or_default();
    format!(
        "the event at partition {partition}, offset {offset} contradicts what is loaded: it {event}{loaded}"
    )
}

/// Where the last version of the key comes from.
fn describe(known: &KeyState) -> String {
    let position = known.streamed_lsn.and_then(|lsn| u64::try_from(lsn).ok()).map(Lsn);
    let position = position.map_or_else(|| "no position".to_owned(), |lsn| lsn.to_string());
    let committed = instant(known.applied_us).map_or_else(String::new, |at| at.to_rfc3339());
    format!(
        " (loaded of its key: source position {position}, committed {committed}, partition {}, offset {})",
        known.partition, known.offset
    )
}

/// What an operator has to do.
pub(super) fn remedy(why: Contradiction, topic: &str) -> String {
    match why {
        Contradiction::KnownPlace => format!(
            "if the topic was deleted and made again, run `vault-loader epoch start --topic {topic} --topic-recreated`"
        ),
        Contradiction::KnownPosition | Contradiction::ReadBelow => format!(
            "if the source was restored from a backup or promoted without the end of its log, run \
             `vault-loader epoch start --topic {topic} --source-restored` and take a new snapshot, as docs/OPERATIONS.md says"
        ),
    }
}

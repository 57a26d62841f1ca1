//! Events that could not be loaded know the hash key of the row to which they belong.
//!
//! In: the quarantine, the dropped events, the temporary tables with old and new keys. Out: the new key of each. The
//! vault may not know the row yet, because its first event waits. Then the key is hashed from the record's key, with
//! both secrets, and the old one must be the one that stands there. An event whose content was removed, and whose row
//! the vault does not know, forgets the key: from then on it may be anybody's, and the loader treats it so.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Transaction;

use super::error::RehashError;
use super::vault::{FedTable, Secrets, Vault};
use crate::control::{self, EventParent, EventTable};
use crate::decode::{Values, decode_record_key};
use crate::model::Plan;
use crate::vault::hash::Hash;
use crate::vault::projection::Projector;

/// The new keys of events: none where the key is no longer known.
type Parents = Vec<(i64, Option<Hash>)>;

/// What becomes of the events.
pub(super) struct Waiting {
    tables: [(EventTable, Parents); 2],
}

impl Waiting {
    /// How many events forget to which row they belong.
    pub(super) fn forgotten(&self) -> u64 {
        let all = self.tables.iter().flat_map(|(_, parents)| parents);
        all.filter(|(_, key)| key.is_none()).count() as u64
    }

    /// Replaces the keys.
    pub(super) async fn replace(&self, transaction: &Transaction<'_>) -> Result<(), RehashError> {
        for (table, parents) in &self.tables {
            control::replace_event_parents(transaction, *table, parents).await?;
        }
        Ok(())
    }
}

/// Reads the events and finds their new keys. Notes keys that the old rule does not give.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    vault: &Vault,
    plans: &[Plan],
    secrets: &Secrets,
    strange: &mut Vec<String>,
) -> Result<Waiting, RehashError> {
    let reader = Reader { transaction, vault, plans, secrets };
    let mut tables = [(EventTable::Quarantine, Vec::new()), (EventTable::Dropped, Vec::new())];
    for (table, parents) in &mut tables {
        *parents = reader.parents(*table, strange).await?;
    }
    Ok(Waiting { tables })
}

struct Reader<'r> {
    transaction: &'r Transaction<'r>,
    vault: &'r Vault,
    plans: &'r [Plan],
    secrets: &'r Secrets,
}

impl Reader<'_> {
    async fn parents(
        &self,
        table: EventTable,
        strange: &mut Vec<String>,
    ) -> Result<Parents, RehashError> {
        let events = control::event_parents(self.transaction, table).await?;
        let mut made = Vec::with_capacity(events.len());
        let mut wrong = 0;
        for fed in &self.vault.tables {
            let ours: Vec<&EventParent> = events.iter().filter(|event| is_of(event, fed)).collect();
            if ours.is_empty() {
                continue;
            }
            let known = self.known(fed, &ours).await?;
            let plan = &self.plans[fed.plan];
            let plans = [&self.secrets.before, &self.secrets.after]
                .map(|secret| plan.clone().with_key_secret(secret.clone()));
            for event in ours {
                let new = known.get(&event.parent).copied();
                let [old, hashed] = plans.each_ref().map(|plan| parent(plan, fed, event));
                // What the vault does not know, and the record's key does not give.
                wrong += u64::from(new.is_none() && old.is_some_and(|old| old != event.parent));
                made.push((event.id, new.or(hashed)));
            }
        }
        // The table of these is in no model any more.
        let known: HashSet<i64> = made.iter().map(|(id, _)| *id).collect();
        let orphans = events.iter().map(|event| event.id).filter(|id| !known.contains(id));
        made.extend(orphans.map(|id| (id, None)));
        if wrong > 0 {
            strange.push(format!(
                "the quarantine: {wrong} events whose hash key is not that of their record's key"
            ));
        }
        Ok(made)
    }

    /// The new keys of those rows that the vault knows.
    async fn known(
        &self,
        fed: &FedTable,
        events: &[&EventParent],
    ) -> Result<HashMap<Hash, Hash>, RehashError> {
        let old: Vec<&[u8]> = events.iter().map(|event| event.parent.as_slice()).collect();
        let sql = format!("SELECT old, new FROM {} WHERE old = ANY ($1)", fed.parent.staged());
        let rows = self.transaction.query(&sql, &[&old]).await?;
        let pair = |row: &tokio_postgres::Row| {
            let [old, new] = [0, 1].map(|place| row.get::<_, &[u8]>(place).try_into().ok());
            Some((old?, new?))
        };
        Ok(rows.iter().filter_map(pair).collect())
    }
}

/// The key of the row that a record's key names.
fn parent(plan: &Plan, fed: &FedTable, event: &EventParent) -> Option<Hash> {
    let table = plan.tables.find_id(|table| table.topic == fed.topic)?;
    let mut values = Values::default();
    let key = event.key.as_deref()?;
    let row = decode_record_key(key, &plan.model.tables[table], &mut values)?;
    Projector::new(plan, &values).parent(table, row)
}

/// Whether an event is one of a table. A dropped event knows its topic alone.
fn is_of(event: &EventParent, fed: &FedTable) -> bool {
    match &event.record_source {
        Some(source) => *source == fed.record_source,
        None => event.topic == fed.topic,
    }
}

//! Compares a table's satellites with what its rows have to give.
//!
//! In: a source's table that was staged, and the moment. Out: for each satellite the keys that differ. The server joins
//! what was staged with the versions that may hold at the moment, and streams the join here. What a version says is
//! hashed anew from the stored columns, so a value that was changed without its hashdiff is found, and so is a hashdiff
//! that was changed alone.
//!
//! The versions that may hold: the last one up to the position that the snapshot surely has, and those behind it up to
//! the snapshot's end. There are such ones only for keys that changed while the snapshot was taken; each of their
//! states counts as right. For every other key exactly one version holds.

use tokio_postgres::Client;

use super::findings::{Compared, Difference, Finding, WaitingKeys};
use super::moment::Moment;
use super::staging::{ComparedColumns, held_satellites, rows_of};
use crate::copy_out::TextRows;
use crate::decode::{Value, from_stored};
use crate::epoch::{EpochNumber, Epochs};
use crate::model::{
    ColumnId, IdVec, Plan, SatelliteId, SatelliteKind, SatellitePlan, TableId, ident,
};
use crate::proof::ProofError;
use crate::vault::hash::{Hash, Hasher};
use crate::vault::versions::{held_hash, row_hash, status_hash};
use crate::warehouse::WarehouseError;

/// What the satellites of one source's table are compared with.
pub(super) struct Versions<'v> {
    pub(super) warehouse: &'v Client,
    pub(super) plan: &'v Plan,
    pub(super) table: TableId,
    pub(super) columns: &'v ComparedColumns,
    pub(super) moment: Moment,
    /// the table's epochs
    pub(super) epochs: Epochs,
    pub(super) waiting: WaitingKeys,
    /// so many findings are kept
    pub(super) show: usize,
}

/// A version that may hold, judged.
struct Judged {
    /// none when it says what it has to say
    fault: Option<&'static str>,
    /// whether the row exists by it; always true but in a status satellite
    is_open: bool,
    /// whether the snapshot may not have it yet
    is_late: bool,
}

/// A key with the versions that may hold.
struct Key {
    hash_key: String,
    shown: Option<String>,
    is_in_source: bool,
    versions: Vec<Judged>,
}

/// Columns of every statement here, in front of the satellite's own: the key, what is to be shown of it, whether the
/// source has it, what the satellite has to hold, whether there is a version, its hashdiff, and whether it is late. The
/// hash keys of hubs that are part of a hashdiff come first among the satellite's own.
const FIRST_OWN: usize = 7;

impl Versions<'_> {
    /// Compares all satellites of the table.
    pub(super) async fn compare(&self) -> Result<Vec<Compared>, ProofError> {
        let mut found = vec![self.status().await?];
        for (place, id) in held_satellites(self.plan, self.table) {
            found.push(self.satellite(id, Some(place)).await?);
        }
        Ok(found)
    }

    /// Compares the status satellite, which says which rows exist.
    pub(super) async fn status(&self) -> Result<Compared, ProofError> {
        self.satellite(self.plan.status_of(self.table), None).await
    }

    /// Compares one satellite. `place` is that of its hashes among those that were staged; the status has none.
    async fn satellite(
        &self,
        id: SatelliteId,
        place: Option<usize>,
    ) -> Result<Compared, ProofError> {
        let satellite = &self.plan.satellites[id];
        let table = &self.plan.model.tables[self.table];
        let mut compared = Compared {
            vault_table: satellite.name.clone(),
            source_table: Some(format!("{}.{}", table.schema, table.name)),
            ..Compared::default()
        };
        let mut judge = Judge { versions: self, id, hasher: Hasher::default() };
        let mut rows = TextRows::of(self.warehouse, &self.statement(satellite, place)).await?;
        let mut last: Option<Key> = None;
        while rows.next().await? {
            let hash_key = rows.field(0).unwrap_or_default();
            if last.as_ref().is_none_or(|key| key.hash_key != hash_key) {
                let key = Key {
                    hash_key: hash_key.to_owned(),
                    shown: rows.field(1).map(str::to_owned),
                    is_in_source: rows.field(2) == Some("t"),
                    versions: Vec::new(),
                };
                if let Some(done) = last.replace(key) {
                    self.settle(done, place.is_none(), &mut compared);
                }
            }
            if let (Some(key), Some("t")) = (&mut last, rows.field(4)) {
                key.versions.push(judge.version(&rows)?);
            }
        }
        if let Some(done) = last {
            self.settle(done, place.is_none(), &mut compared);
        }
        Ok(compared)
    }

    /// Counts a key, and what is wrong with it.
    fn settle(&self, key: Key, is_status: bool, compared: &mut Compared) {
        compared.rows += u64::from(key.is_in_source);
        compared.changing += u64::from(key.versions.iter().any(|version| version.is_late));
        let Some((difference, detail)) = difference(&key, is_status) else { return };
        let Key { hash_key, shown, .. } = key;
        let hash = hex::decode(&hash_key).ok().and_then(|bytes| Hash::try_from(bytes).ok());
        let waits = hash.is_some_and(|hash| self.waiting.contains(&hash));
        compared.add(Finding { difference, hash_key, key: shown, detail, waits }, self.show);
    }

    fn statement(&self, satellite: &SatellitePlan, place: Option<usize>) -> String {
        let roles = satellite.hashed_roles.iter().map(|(name, _)| name.clone());
        let own = self.plan.payload(satellite).into_iter().map(|(name, _)| name);
        let own: String = roles.chain(own).map(|name| format!(", v.{}", ident(&name))).collect();
        // A key that the source does not have is the status's concern.
        let join = if place.is_none() { "FULL" } else { "LEFT" };
        let expected = place.map_or("NULL".to_owned(), |at| format!("encode(e.d{at}, 'hex')"));
        // Several versions of one key stand together.
        let order = if self.moment.is_exact() { "" } else { " ORDER BY 1" };
        format!(
            "COPY (
                 SELECT encode(COALESCE(e.hash_key, v.hash_key), 'hex'), e.shown, e.hash_key IS NOT NULL, {expected},
                        v.hash_key IS NOT NULL, encode(v.hashdiff, 'hex'), v.is_late{own}
                 FROM {} AS e
                 {join} JOIN ({}) AS v ON v.hash_key = e.hash_key{order}
             ) TO STDOUT",
            rows_of(self.table),
            self.may_hold(&satellite.qualified)
        )
    }

    /// The versions that may hold at the moment. Each table is read twice and joined by hashing, so a key with very
    /// many versions costs no more than as many keys.
    fn may_hold(&self, satellite: &str) -> String {
        let first = self.epochs.first_of_source(self.epochs.current());
        let Moment { known, end } = self.moment;
        let is_known = is_below("v", known.as_i64(), first);
        let is_told =
            format!("v.record_source <> 'SYSTEM' AND {}", is_below("v", end.as_i64(), first));
        format!(
            "SELECT v.*, NOT {is_known} AS is_late
             FROM {satellite} AS v
             JOIN (
                 SELECT v.hash_key, max(v.load_date) FILTER (WHERE {is_known}) AS load_date
                 FROM {satellite} AS v
                 WHERE {is_told}
                 GROUP BY v.hash_key
             ) AS known ON known.hash_key = v.hash_key AND v.load_date >= COALESCE(known.load_date, '-infinity')
             WHERE {is_told}"
        )
    }
}

/// Whether a version's position lies below another one, which was the end of the log at some time. A change has the
/// position at which its record begins, and the next record begins exactly at the end of the log. What came before the
/// source went back lies below, and so does what only a snapshot of the reader has read.
fn is_below(alias: &str, lsn: i64, first_epoch: EpochNumber) -> String {
    let before = if first_epoch > 0 {
        format!(" OR {alias}.source_epoch < {first_epoch}")
    } else {
        String::new()
    };
    format!("({alias}.source_lsn IS NULL OR {alias}.source_lsn < {lsn}{before})")
}

/// What is wrong with a key.
fn difference(key: &Key, is_status: bool) -> Option<(Difference, &'static str)> {
    let Key { is_in_source, versions, .. } = key;
    let right = |version: &Judged| version.fault.is_none() && version.is_open == *is_in_source;
    if versions.iter().any(right) {
        return None;
    }
    let fault = versions.iter().rev().find(|version| version.is_open == *is_in_source);
    if let Some(detail) = fault.and_then(|version| version.fault) {
        return Some((Difference::Different, detail));
    }
    match (is_in_source, versions.is_empty()) {
        (true, true) => Some((Difference::Missing, "it has no version")),
        (true, false) => Some((Difference::Missing, "its status says that it is deleted")),
        // A row that was inserted while the snapshot was taken.
        (false, _) if !is_status || versions.iter().all(|version| version.is_late) => None,
        (false, _) => Some((Difference::Extra, "its status says that it exists")),
    }
}

/// Judges the versions of one satellite.
struct Judge<'j> {
    versions: &'j Versions<'j>,
    id: SatelliteId,
    hasher: Hasher,
}

const OTHER_CONTENT: &str = "its content is another";
const OTHER_HASHDIFF: &str = "its hashdiff is not that of its content";

impl Judge<'_> {
    fn version(&mut self, row: &TextRows) -> Result<Judged, ProofError> {
        let is_late = row.field(6) == Some("t");
        let hashdiff = row.field(5).unwrap_or_default();
        let (fault, is_open) = match &self.versions.plan.satellites[self.id].kind {
            SatelliteKind::Status => {
                let is_deleted = row.field(FIRST_OWN + 1) == Some("t");
                let fault =
                    (hashdiff != hex::encode(status_hash(is_deleted))).then_some(OTHER_HASHDIFF);
                (fault, !is_deleted)
            }
            SatelliteKind::Effectivity { .. } => (self.held(row, hashdiff), true),
            // It is not compared.
            SatelliteKind::Tracking => (None, true),
            SatelliteKind::Descriptive { columns, hash_order } => {
                (self.content(row, hashdiff, columns, hash_order)?, true)
            }
        };
        Ok(Judged { fault, is_open, is_late })
    }

    /// What is wrong with the link row that holds.
    fn held(&mut self, row: &TextRows, hashdiff: &str) -> Option<&'static str> {
        let link =
            row.field(FIRST_OWN).and_then(|text| hex::decode(text.strip_prefix("\\x")?).ok());
        let Some(link) = link.and_then(|bytes| Hash::try_from(bytes).ok()) else {
            return Some(OTHER_CONTENT);
        };
        if row.field(3) != Some(&hex::encode(link)) {
            return Some("another row of the link holds");
        }
        (hashdiff != hex::encode(held_hash(&mut self.hasher, &link))).then_some(OTHER_HASHDIFF)
    }

    /// What is wrong with the columns.
    fn content(
        &mut self,
        row: &TextRows,
        hashdiff: &str,
        columns: &[ColumnId],
        hash_order: &[ColumnId],
    ) -> Result<Option<&'static str>, ProofError> {
        let Versions { plan, table, columns: compared, .. } = self.versions;
        let of_table = &plan.model.tables[*table].columns;
        let mut values: IdVec<ColumnId, Value<'static>> = of_table.map(|_| Value::Null);
        let satellite = &plan.satellites[self.id];
        let held = |place: usize| {
            let text = row.field(FIRST_OWN + place).unwrap_or_default();
            let bytes = hex::decode(text.trim_start_matches("\\x")).unwrap_or_default();
            Hash::try_from(bytes).unwrap_or_default()
        };
        let roles = satellite.hashed_roles.iter().enumerate();
        let roles: Vec<(&str, Hash)> =
            roles.map(|(place, (name, _))| (name.as_str(), held(place))).collect();
        for (place, &column) in columns.iter().enumerate() {
            let Some(text) = row.field(FIRST_OWN + roles.len() + place) else { continue };
            values[column] = from_stored(of_table[column].kind, text).map_err(|err| {
                let name = &satellite.name;
                WarehouseError::Stop(format!(
                    "{name} holds what its column's type does not print: {err}"
                ))
            })?;
        }
        let whole = hex::encode(row_hash(
            &mut self.hasher,
            of_table,
            hash_order,
            roles.iter().copied(),
            |id| &values[id],
        ));
        let same = match compared.get(&self.id) {
            Some(order) if order.len() != hash_order.len() => hex::encode(row_hash(
                &mut self.hasher,
                of_table,
                order,
                roles.iter().copied(),
                |id| &values[id],
            )),
            _ => whole.clone(),
        };
        Ok(if row.field(3) != Some(&same) {
            Some(OTHER_CONTENT)
        } else {
            (hashdiff != whole).then_some(OTHER_HASHDIFF)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(is_in_source: bool, versions: &[(Option<&'static str>, bool, bool)]) -> Key {
        let judged = |&(fault, is_open, is_late)| Judged { fault, is_open, is_late };
        let versions = versions.iter().map(judged).collect();
        Key { hash_key: String::new(), shown: None, is_in_source, versions }
    }

    fn found(key: &Key) -> Option<Difference> {
        difference(key, true).map(|(difference, _)| difference)
    }

    #[test]
    fn a_key_is_equal_when_the_version_that_holds_says_what_the_source_says() {
        assert_eq!(found(&key(true, &[(None, true, false)])), None);
        assert_eq!(found(&key(false, &[(None, false, false)])), None);
        assert_eq!(found(&key(true, &[])), Some(Difference::Missing));
        assert_eq!(found(&key(true, &[(None, false, false)])), Some(Difference::Missing));
        assert_eq!(found(&key(false, &[(None, true, false)])), Some(Difference::Extra));
        assert_eq!(found(&key(true, &[(Some("x"), true, false)])), Some(Difference::Different));
        assert_eq!(found(&key(false, &[(Some("x"), false, false)])), Some(Difference::Different));
    }

    #[test]
    fn a_key_that_changes_meanwhile_may_have_any_of_its_states() {
        let open_then_deleted = [(None, true, false), (None, false, true)];
        assert_eq!(found(&key(true, &open_then_deleted)), None);
        assert_eq!(found(&key(false, &open_then_deleted)), None);
        // It is inserted at this moment.
        assert_eq!(found(&key(false, &[(None, true, true)])), None);
        assert_eq!(found(&key(true, &[(None, true, true)])), None);
        // Neither of its states is the source's.
        assert_eq!(
            found(&key(true, &[(Some("x"), true, false), (Some("x"), true, true)])),
            Some(Difference::Different)
        );
    }

    #[test]
    fn what_was_loaded_before_the_source_went_back_lies_below_every_position() {
        assert_eq!(is_below("v", 9, 0), "(v.source_lsn IS NULL OR v.source_lsn < 9)");
        assert!(is_below("v", 9, 2).ends_with("OR v.source_epoch < 2)"));
    }
}

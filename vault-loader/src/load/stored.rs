//! What the warehouse holds of one satellite's keys, read inside an attempt's transaction.
//!
//! In: keys and candidates. Out: last versions, inserts that may be repeated, and values that an event left out. Every
//! read goes by the satellite's primary key.

use chrono::{DateTime, Utc};
use foldhash::{HashMap, HashMapExt};
use tokio_postgres::{Row, Transaction};

use super::error::StretchError;
use super::statements::{SatelliteStatements, StoredPayload};
use crate::decode::{Value, from_stored};
use crate::epoch::{EpochNumber, Epochs};
use crate::model::{ColumnId, ColumnType, Plan, SatellitePlan, ScalarType};
use crate::vault::fold::{KeyState, StoredInsert};
use crate::vault::hash::Hash;
use crate::vault::projection::Candidate;
use crate::vault::versions::{
    Departed, Departure, Stored, StoredInserts, StoredRow, departure, insert_place,
};
use crate::warehouse::WarehouseError;

/// Reads one satellite.
pub(super) struct StoredReader<'r> {
    pub(super) transaction: &'r Transaction<'r>,
    pub(super) plan: &'r Plan,
    pub(super) satellite: &'r SatellitePlan,
    pub(super) statements: &'r SatelliteStatements,
    /// the table's epochs
    pub(super) epochs: &'r Epochs,
}

impl StoredReader<'_> {
    /// The last versions of keys.
    pub(super) async fn states(
        &self,
        keys: Vec<Hash>,
    ) -> Result<Vec<(Hash, KeyState)>, StretchError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
        let rows = self.transaction.query(&self.statements.states, &[&keys]).await?;
        rows.iter()
            .map(|row| {
                let epoch: Option<EpochNumber> = row.get(7);
                let state = KeyState {
                    load_date_us: row.get::<_, DateTime<Utc>>(1).timestamp_micros(),
                    hashdiff: hash_of(row.get(2))?,
                    streamed_lsn: row.get(3),
                    partition: row.get(4),
                    offset: row.get(5),
                    record_lsn: row.get(6),
                    epoch: self.epochs.numbered(epoch.unwrap_or_default()),
                    applied_us: row.get::<_, DateTime<Utc>>(8).timestamp_micros(),
                };
                Ok((hash_of(row.get(0))?, state))
            })
            .collect()
    }

    /// StoredInserts that a status satellite may hold. Only an insert at or below its key's bound can be one of them.
    pub(super) async fn inserts(
        &self,
        candidates: &[Candidate],
        states: &HashMap<Hash, KeyState>,
    ) -> Result<StoredInserts, StretchError> {
        let Some(statement) = &self.statements.inserts else {
            return Ok(StoredInserts::new());
        };
        let covered = |candidate: &&Candidate| {
            let position = &candidate.change.position;
            let state = states.get(&candidate.key);
            let comparable = state.filter(|state| state.epoch.has_source_of(position.epoch));
            comparable.is_some_and(|state| state.streamed_lsn >= position.streamed_lsn)
        };
        let inserts = candidates.iter().filter(|candidate| insert_place(candidate).is_some());
        let asked: Vec<&Candidate> = inserts.filter(covered).collect();
        if asked.is_empty() {
            return Ok(StoredInserts::new());
        }
        let keys: Vec<&[u8]> = asked.iter().map(|candidate| candidate.key.as_slice()).collect();
        let position = |candidate: &&Candidate| candidate.change.position;
        let lsns: Vec<Option<i64>> =
            asked.iter().map(|candidate| position(candidate).streamed_lsn).collect();
        let since: Vec<EpochNumber> = asked
            .iter()
            .map(|candidate| self.epochs.first_of_source(position(candidate).epoch))
            .collect();
        let rows = self.transaction.query(statement, &[&keys, &lsns, &since]).await?;
        let found = rows.iter().filter_map(|row| {
            let insertion =
                StoredInsert { bound: row.get(1), partition: row.get(2), offset: row.get(3) };
            Some((insert_place(asked_at(&asked, row)?)?, insertion))
        });
        Ok(found.collect())
    }

    /// Values of the last versions of keys whose candidates left some out.
    pub(super) async fn values(
        &self,
        payload: &StoredPayload,
        incomplete: &[Candidate],
    ) -> Result<Stored, StretchError> {
        let stay = incomplete.iter().filter(|candidate| departure(candidate).is_none());
        let keys: Vec<&[u8]> = stay.map(|candidate| candidate.key.as_slice()).collect();
        if keys.is_empty() {
            return Ok(Stored::new());
        }
        let rows = self.transaction.query(&payload.statement, &[&keys]).await?;
        rows.iter()
            .map(|row| Ok((hash_of(row.get(0))?, self.stored_row(row, 1, payload)?)))
            .collect()
    }

    /// Values of the last versions before rows left their keys.
    pub(super) async fn departed(
        &self,
        payload: &StoredPayload,
        incomplete: &[Candidate],
    ) -> Result<Departed, StretchError> {
        let departures: Vec<Departure> = incomplete.iter().filter_map(departure).collect();
        if departures.is_empty() {
            return Ok(Departed::new());
        }
        let keys: Vec<&[u8]> = departures.iter().map(|(key, _)| key.as_slice()).collect();
        let lsns: Vec<i64> = departures.iter().map(|(_, lsn)| *lsn).collect();
        let rows = self.transaction.query(&payload.before, &[&keys, &lsns]).await?;
        let mut found = Departed::new();
        for row in &rows {
            if let Some(departure) = asked_at(&departures, row) {
                found.insert(*departure, (row.get(1), self.stored_row(row, 2, payload)?));
            }
        }
        Ok(found)
    }

    fn stored_row(
        &self,
        row: &Row,
        first: usize,
        payload: &StoredPayload,
    ) -> Result<StoredRow, WarehouseError> {
        let columns = &self.plan.model.tables[self.satellite.table].columns;
        let value = |(place, &column): (usize, &ColumnId)| {
            stored_value(row, first + place, columns[column].kind).map(|value| (column, value))
        };
        payload.columns.iter().enumerate().map(value).collect()
    }
}

/// Which question a row answers: its first column is the number of the question, from 1.
fn asked_at<'q, T>(asked: &'q [T], row: &Row) -> Option<&'q T> {
    let place = usize::try_from(row.get::<_, i64>(0)).ok()?;
    asked.get(place.checked_sub(1)?)
}

fn hash_of(bytes: &[u8]) -> Result<Hash, WarehouseError> {
    bytes.try_into().map_err(|_| {
        WarehouseError::Stop(
            "the vault holds a hash that is not 32 bytes long: was it edited?".to_owned(),
        )
    })
}

fn stored_value(
    row: &Row,
    place: usize,
    kind: ColumnType,
) -> Result<Value<'static>, WarehouseError> {
    if kind == ColumnType::Scalar(ScalarType::Bytea) {
        return Ok(row.get::<_, Option<Vec<u8>>>(place).map_or(Value::Null, Value::Bytes));
    }
    let Some(text) = row.get::<_, Option<&str>>(place) else { return Ok(Value::Null) };
    from_stored(kind, text).map_err(|err| {
        WarehouseError::Stop(format!(
            "the vault holds what its column's type does not print: {err}"
        ))
    })
}

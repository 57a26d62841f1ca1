//! What to do when an event has other columns than the model.
//!
//! In: the table, and the columns of an event that do not fit the model. Out: a [`Drift`]: what is wrong, what an
//! operator has to do, and the columns that the vault may take in without one.

use crate::batch::Record;
use crate::model::{ColumnId, ColumnType, Table, is_technical};

/// Columns of an event that do not fit the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Misfits {
    /// columns that the model does not name, each with its type if the event tells it
    pub(super) unknown: Vec<(String, Option<String>)>,
    /// columns of the model that the event lacks
    pub(super) missing: Vec<ColumnId>,
    /// columns whose values the vault's column may not hold, with the type that they have in the event
    pub(super) retyped: Vec<(ColumnId, String)>,
}

impl Misfits {
    /// Whether everything fits.
    pub(super) fn is_empty(&self) -> bool {
        self.unknown.is_empty() && self.missing.is_empty() && self.retyped.is_empty()
    }
}

/// A column that a table has got, with its type as a model spells it.
pub type NewColumn = (String, String);

/// A difference between an event's columns and the model, which pauses the table unless the vault can grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// what is wrong
    pub reason: String,
    /// what an operator has to do
    pub remedy: String,
    /// the columns that the vault has to take in so that the event can be loaded; none when that would not be enough
    pub growth: Vec<NewColumn>,
}

const MIGRATE: &str = "run `vault-loader migrate`, and start the loader again with that model";

impl Drift {
    /// Says that an event was published too far ahead of this machine's clock.
    pub(super) fn ahead(record: &Record, ahead_us: i64) -> Self {
        let (partition, offset, ahead_s) =
            (record.from.partition, record.offset, ahead_us / 1_000_000);
        Self {
            reason: format!(
                "the event at partition {partition}, offset {offset} was published {ahead_s} s later than this machine's \
                 clock and clock_ahead_max_ms allow"
            ),
            remedy: "correct the clocks of the machines of the source, the reader and the loader, and start the loader \
                     again when the time has come, or raise batch.clock_ahead_max_ms"
                .to_owned(),
            growth: Vec::new(),
        }
    }

    /// Says what these misfits of a table mean.
    pub(super) fn of(table: &Table, misfits: &Misfits) -> Self {
        let name = &table.name;
        let column = |id: ColumnId| table.columns[id].name.as_str();
        if let Some((id, found)) = misfits.retyped.first() {
            let (column, modelled) = (column(*id), table.columns[*id].kind);
            let holds_both = ColumnType::parse(found).and_then(|found| found.widest(modelled));
            let example =
                holds_both.map(|both| format!(" ({} does)", both.vault_type())).unwrap_or_default();
            return Self {
                reason: format!(
                    "column {column} of table {name} is {found} at the source, and {} in the model",
                    modelled.vault_type()
                ),
                remedy: format!(
                    "give the column a type in the model that holds all values of both types{example}, {MIGRATE}; where \
                     no type holds both, give the source's column another name and add it to the model"
                ),
                growth: Vec::new(),
            };
        }
        let unknown = misfits.unknown.first().map(|(column, _)| column.as_str());
        match (unknown, misfits.missing.first()) {
            (Some(unknown), Some(&missing)) => {
                let missing = column(missing);
                Self {
                    reason: format!(
                        "table {name} has a column {unknown} that the model does not name, and lacks its column \
                         {missing}: it looks renamed"
                    ),
                    remedy: format!(
                        "if it was renamed, write {missing} = [\"{unknown}\"] into the table's also_named; if not, add \
                         {unknown} to the model and {missing} to the table's added_later; {MIGRATE}"
                    ),
                    growth: Vec::new(),
                }
            }
            (None, Some(&missing)) => Self {
                reason: format!(
                    "events of table {name} lack column {}, which the model names and keys are made of",
                    column(missing)
                ),
                remedy: format!("bring the model in line with the source, {MIGRATE}"),
                growth: Vec::new(),
            },
            (Some(unknown), None) => Self {
                reason: format!("table {name} has a column {unknown} that the model does not name"),
                remedy: format!(
                    "add the column to the model, or to the table's ignored columns, {MIGRATE}; columns whose types the events tell (the connector's \
                     vaultstream.column.types.header=true) are added without that, unless grow_satellites is false"
                ),
                growth: growth(table, misfits),
            },
            (None, None) => Self {
                reason: format!("an event of table {name} does not fit the model"),
                remedy: "look at the event".to_owned(),
                growth: Vec::new(),
            },
        }
    }
}

/// The unknown columns with their types, if all types are known and a satellite of the table can take them in.
fn growth(table: &Table, misfits: &Misfits) -> Vec<NewColumn> {
    if table.satellites.is_empty() {
        return Vec::new();
    }
    // A satellite has one column of a name: its own, one that another column of the table is stored as, or one of the
    // parent's key.
    let is_taken = |name: &str| {
        is_technical(name)
            || table.columns.iter().any(|column| column.vault_name() == name)
            || table.carried.iter().any(|carried| carried.name == name)
    };
    let typed = |(name, kind): &(String, Option<String>)| {
        let can_grow = |kind: &String| !is_taken(name) && ColumnType::parse(kind).is_some();
        let kind = kind.clone().filter(can_grow)?;
        Some((name.clone(), kind))
    };
    misfits.unknown.iter().map(typed).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn a_satellite_does_not_grow_a_column_of_its_parent_s_key() {
        let text = include_str!("../../tests/support/shop.vault.toml");
        let shop = model::parse(text).unwrap();
        let phones = shop.tables.iter().find(|table| table.name == "phones").unwrap();
        let growth = |name: &str| {
            let unknown = vec![(name.to_owned(), Some("bytea".to_owned()))];
            Drift::of(phones, &Misfits { unknown, ..Misfits::default() }).growth
        };
        assert_eq!(growth("picture"), [("picture".to_owned(), "bytea".to_owned())]);
        assert_eq!(growth("customer_hash_key"), []);
    }
}

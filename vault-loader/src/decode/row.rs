//! A row image: a JSON object whose members are the table's columns.
//!
//! In: the object's text, the table, and what the event says about its columns. Out: one [`Value`] for each column,
//! appended in the model's order. A column that the model does not know, or whose type changed, is drift and not a
//! fault of this event. A column that the source has dropped is NULL.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::column::ValueSeed;
use super::drift::Misfits;
use super::types::WireTypes;
use super::value::{Reads, Value};
use crate::model::{ColumnId, Id, Table};

/// Which columns of an image carry data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    /// every column
    Whole,
    /// the primary key only, because a delete holds no real values in the other columns
    Key,
}

/// What is known of a row before it is read.
#[derive(Clone, Copy)]
pub(super) struct RowForm<'r> {
    pub(super) table: &'r Table,
    pub(super) image: Image,
    /// the types of the row's columns, when the event says them
    pub(super) types: Option<&'r WireTypes>,
    /// what a placeholder stands for when the event does not say which values are unchanged
    pub(super) reads: Reads,
}

/// Why an image cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RowProblem {
    /// its columns are not the model's
    Misfits(Misfits),
    /// malformed, or a value of another type
    Malformed(String),
}

/// Appends the image's values to `values`. Returns the columns that the event lacks because the source has dropped
/// them; they are NULL.
pub(super) fn decode_row<'a>(
    json: &'a str,
    form: RowForm<'_>,
    values: &mut Vec<Value<'a>>,
) -> Result<Vec<ColumnId>, RowProblem> {
    let RowForm { table, image, .. } = form;
    let start = values.len();
    values.resize(start + table.columns.len(), Value::Absent);
    let mut misfits = Misfits::default();
    let seed = RowSeed { form, values: &mut values[start..], misfits: &mut misfits };
    let read = seed.deserialize(&mut serde_json::Deserializer::from_str(json));
    let row = &mut values[start..];
    let needed: Vec<ColumnId> = match image {
        Image::Whole => {
            table.columns.ids().filter(|id| row[id.to_index()] == Value::Absent).collect()
        }
        Image::Key => {
            let key = table.key.iter().copied();
            key.filter(|id| row[id.to_index()] == Value::Absent).collect()
        }
    };
    if read.is_ok() && !needed.is_empty() {
        misfits.missing =
            needed.iter().copied().filter(|id| !table.added_later.contains(id)).collect();
    }
    // Without a new column in its place, an attribute that is gone was dropped.
    let droppable = |id: &ColumnId| table.satellites.iter().any(|held| held.columns.contains(id));
    let mut dropped = Vec::new();
    if misfits.unknown.is_empty() && misfits.missing.iter().all(droppable) {
        dropped = std::mem::take(&mut misfits.missing);
    }
    if !misfits.is_empty() {
        return Err(RowProblem::Misfits(misfits));
    }
    read.map_err(|err| RowProblem::Malformed(err.to_string()))?;
    for id in needed {
        row[id.to_index()] = Value::Null;
    }
    Ok(dropped)
}

struct RowSeed<'r, 'a> {
    form: RowForm<'r>,
    values: &'r mut [Value<'a>],
    misfits: &'r mut Misfits,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { form, values, misfits } = self;
        let RowForm { table, image, types, reads } = form;
        let mut next = 0;
        let mut place = 0;
        while let Some(found) = map.next_key_seed(NameSeed { table, next })? {
            let wire = match types.map(|types| types.columns.get(place)) {
                None => None,
                Some(Some(wire)) => Some(wire),
                Some(None) => {
                    return Err(A::Error::custom(
                        "its header of column types names fewer columns than it has",
                    ));
                }
            };
            let is_unchanged = types.is_some_and(|types| types.unchanged.contains(&place));
            place += 1;
            let id = match found {
                Name::Column(id) => id,
                Name::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Name::Unknown(name) => {
                    // A delete needs nothing but the key.
                    if image == Image::Whole {
                        misfits.unknown.push((name, wire.map(|wire| wire.name.clone())));
                    }
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            next = id.to_index() + 1;
            let column = &table.columns[id];
            if image == Image::Key && !table.key.contains(&id) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let kind = match wire {
                None => column.kind,
                Some(wire) => match wire.kind.filter(|kind| column.kind.holds(*kind)) {
                    Some(kind) => kind,
                    None => {
                        misfits.retyped.push((id, wire.name.clone()));
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                },
            };
            values[id.to_index()] = if is_unchanged {
                map.next_value::<IgnoredAny>()?;
                Value::Unchanged
            } else {
                map.next_value_seed(ValueSeed(kind, reads)).map_err(|err| {
                    A::Error::custom(format_args!("column {}: {err}", column.name))
                })?
            };
        }
        Ok(())
    }
}

enum Name {
    Column(ColumnId),
    /// the model says that the vault does not take it in
    Ignored,
    Unknown(String),
}

/// Finds a column by name. Events keep the table's order of columns, so the next column is nearly always the right one.
struct NameSeed<'r> {
    table: &'r Table,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        let columns = &self.table.columns;
        if columns.get(self.next).is_some_and(|column| column.name == name) {
            return Ok(Name::Column(ColumnId::from_index(self.next)));
        }
        let found = columns.find_id(|column| column.name == name).or_else(|| {
            let also_named = &self.table.also_named;
            also_named.iter().find(|(other, _)| other == name).map(|(_, column)| *column)
        });
        Ok(match found {
            Some(column) => Name::Column(column),
            None if self.table.ignored.iter().any(|ignored| ignored == name) => Name::Ignored,
            None => Name::Unknown(name.to_owned()),
        })
    }
}

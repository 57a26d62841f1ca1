//! A row image: a JSON object whose members are the table's columns.
//!
//! In: the object's text and the table. Out: one [`Value`] for each column, appended in the model's order. A column
//! that the model does not know, or that the event lacks, is drift and not a fault of this event.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::column::ValueSeed;
use super::value::Value;
use crate::model::{ColumnId, Id, Table};

/// Which columns of an image carry data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    /// every column
    Whole,
    /// the primary key only, because a delete holds no real values in the other columns
    Key,
}

/// Why an image cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RowProblem {
    /// a column that the model does not name
    UnknownColumn(String),
    /// a column of the model that the event does not carry
    MissingColumn(String),
    /// malformed, or a value of another type
    Malformed(String),
}

/// Appends the image's values to `values`.
pub(super) fn decode_row<'a>(
    json: &'a str,
    table: &Table,
    image: Image,
    values: &mut Vec<Value<'a>>,
) -> Result<(), RowProblem> {
    let start = values.len();
    values.resize(start + table.columns.len(), Value::Absent);
    let mut unknown = None;
    let seed = RowSeed { table, image, values: &mut values[start..], unknown: &mut unknown };
    let read = seed.deserialize(&mut serde_json::Deserializer::from_str(json));
    if let Some(name) = unknown {
        return Err(RowProblem::UnknownColumn(name));
    }
    read.map_err(|err| RowProblem::Malformed(err.to_string()))?;
    if image == Image::Whole {
        for column in &table.added_later {
            let value = &mut values[start + column.to_index()];
            if *value == Value::Absent {
                *value = Value::Null;
            }
        }
    }
    let missing = |column: &ColumnId| values[start + column.to_index()] == Value::Absent;
    let needed: Option<ColumnId> = match image {
        Image::Whole => table.columns.ids().find(missing),
        Image::Key => table.key.iter().copied().find(missing),
    };
    match needed {
        Some(column) => Err(RowProblem::MissingColumn(table.columns[column].name.clone())),
        None => Ok(()),
    }
}

struct RowSeed<'r, 'a> {
    table: &'r Table,
    image: Image,
    values: &'r mut [Value<'a>],
    unknown: &'r mut Option<String>,
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
        let mut next = 0;
        while let Some(found) = map.next_key_seed(NameSeed { table: self.table, next })? {
            match found {
                Name::Column(id) => {
                    next = id.to_index() + 1;
                    if self.image == Image::Key && !self.table.key.contains(&id) {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let column = &self.table.columns[id];
                    let value = map.next_value_seed(ValueSeed(column.kind)).map_err(|err| {
                        A::Error::custom(format_args!("column {}: {err}", column.name))
                    })?;
                    self.values[id.to_index()] = value;
                }
                Name::Unknown(name) => {
                    *self.unknown = Some(name);
                    return Err(A::Error::custom("a column that the model does not name"));
                }
            }
        }
        Ok(())
    }
}

enum Name {
    Column(ColumnId),
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
        let found = columns.find_id(|column| column.name == name);
        Ok(found.map_or_else(|| Name::Unknown(name.to_owned()), Name::Column))
    }
}

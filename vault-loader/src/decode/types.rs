//! What an event says about the types of its columns.
//!
//! In: the header [`COLUMNS_HEADER`](shared::debezium::columns::COLUMNS_HEADER) of an event, and the model's type of a
//! column. Out: how the column's value is to be read, and whether the vault's column holds every such value. A value is
//! read by the type that it had when the event was made. So a column that changed its type never changes what is stored.

use shared::debezium::columns;

use crate::model::{ColumnType, IdVec, Plan, TableId};

/// The type of one column of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireType {
    /// as a model spells it
    pub(super) name: String,
    /// none for a type that the loader does not know
    pub(super) kind: Option<ColumnType>,
}

/// A header, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireTypes {
    /// the columns' types, in the row's order
    pub(super) columns: Vec<WireType>,
    /// places of the columns that the server did not send
    pub(super) unchanged: Vec<usize>,
}

impl WireTypes {
    fn parse(header: &[u8]) -> Option<Self> {
        let read = columns::parse(header)?;
        let wire_type = |code: &&str| {
            let name = columns::type_of(code);
            WireType { kind: ColumnType::parse(&name), name }
        };
        Some(Self {
            columns: read.codes.iter().map(wire_type).collect(),
            unchanged: read.unchanged,
        })
    }
}

/// The last header of each table, so that an equal one costs a comparison of bytes.
pub(super) struct KnownTypes<'a> {
    last: IdVec<TableId, Option<Known<'a>>>,
}

/// A header and what it says; none when it cannot be read.
struct Known<'a> {
    header: &'a [u8],
    types: Option<WireTypes>,
}

impl<'a> KnownTypes<'a> {
    /// Knows no header.
    pub(super) fn new(plan: &Plan) -> Self {
        Self { last: plan.tables.map(|_| None) }
    }

    /// What a header of this table says; none when it cannot be read.
    pub(super) fn read(&mut self, table: TableId, header: &'a [u8]) -> Option<&WireTypes> {
        let last = &mut self.last[table];
        if last.as_ref().is_none_or(|known| known.header != header) {
            *last = Some(Known { header, types: WireTypes::parse(header) });
        }
        last.as_ref().and_then(|known| known.types.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_types_and_what_was_not_sent() {
        let types = WireTypes::parse(b"i4,n10.2,vc20,madeup;1").unwrap();
        let kinds: Vec<_> = types.columns.iter().map(|column| column.kind).collect();
        let known = ["integer", "numeric(10,2)", "text"].map(ColumnType::parse);
        assert_eq!(kinds, [known[0], known[1], known[2], None]);
        assert_eq!(types.columns[3].name, "madeup");
        assert_eq!(types.unchanged, [1]);
        assert_eq!(WireTypes::parse(b"i4;7"), None);
    }
}

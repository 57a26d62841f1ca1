//! The plan of one table, and the events that it writes.

use shared::debezium::envelope::{Op, SourceInfo, SourceWriter, write_tail};
use shared::debezium::topic::topic_name;
use shared::debezium::types::ValueError;
use shared::debezium::types::text::write_json_string;

use super::default;
use super::form::{Form, UnsupportedType, Written, form_of};
use super::table::{ColumnInfo, TableInfo};
use crate::pgoutput::Column;

/// What a plan takes from the connector's configuration.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// `topic.prefix`.
    pub topic_prefix: String,
    /// Database, for the source block.
    pub database: String,
    /// The version that the source block shows.
    pub version: String,
    /// `unavailable.value.placeholder`.
    pub unavailable_value_placeholder: String,
    /// `value.converter.replace.null.with.default`.
    pub replace_null_with_default: bool,
}

/// Why a table cannot be captured as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A column's type has a form on the wire that is not built.
    #[error(
        "column {column} of table {table}: {source}; leave the table out with table.exclude.list"
    )]
    Type {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
        /// Its type.
        source: UnsupportedType,
    },
    /// A column of the key would be left out.
    #[error(
        "column {column} of table {table} is part of the key, and Debezium leaves its type out; leave the table out with \
         table.exclude.list"
    )]
    KeyLeftOut {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
    },
}

/// A row that cannot be written. The error never shows the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A text that the type does not print, or a value that has no form in an event.
    #[error("column {column} of table {table}: {source}")]
    Value {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
        /// What it should be.
        source: ValueError,
    },
    /// An unchanged TOASTed value in a column whose type has no placeholder.
    #[error(
        "column {column} of table {table}: an unchanged TOASTed value cannot be shown; set REPLICA IDENTITY FULL"
    )]
    Unavailable {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
    },
    /// A row with more or fewer columns than its relation.
    #[error("table {table}: a row has {actual} columns, its relation {expected}")]
    ColumnCount {
        /// `schema.table`.
        table: String,
        /// In the relation.
        expected: usize,
        /// In the row.
        actual: usize,
    },
    /// A value in binary although text was asked for.
    #[error("column {column} of table {table}: binary value in a text stream")]
    Binary {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
    },
    /// A key column without a value.
    #[error("table {table}: key column {column} has no value")]
    Key {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
    },
}

#[derive(Debug, Clone)]
struct ColumnPlan {
    /// `{"name":` or `,"name":`.
    field: Vec<u8>,
    form: Form,
    /// What is written for a value that was not sent.
    unknown: Vec<u8>,
    /// What is written for NULL.
    null: Vec<u8>,
}

#[derive(Debug, Clone)]
struct KeyPart {
    column: usize,
    field: Vec<u8>,
    form: Form,
}

/// One of the two ways in which a form writes a value of a key.
type WriteValue = fn(Form, &mut Vec<u8>, &[u8]) -> Result<(), ValueError>;

/// Writes a value of a key, which is none when NULL stands in its place.
fn write_whole(form: Form, out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
    match form.write(out, text)? {
        Written::Whole => Ok(()),
        Written::NullInstead => Err(ValueError("finite number")),
    }
}

/// Writes the events of one version of one table.
#[derive(Debug, Clone)]
pub struct TablePlan {
    table: TableInfo,
    topic: String,
    /// None for a column that is left out.
    columns: Vec<Option<ColumnPlan>>,
    key: Vec<KeyPart>,
    source: SourceWriter,
    placeholder: String,
}

impl TablePlan {
    /// Compiles the plan.
    ///
    /// # Errors
    /// When a column's type has no form on the wire.
    pub fn new(table: TableInfo, options: &PlanOptions) -> Result<Self, PlanError> {
        let mut columns = Vec::with_capacity(table.columns.len());
        let mut position = 0;
        for (index, column) in table.columns.iter().enumerate() {
            let plan = ColumnPlan::new(&table, Place { index, position }, column, options)?;
            position += usize::from(plan.is_some());
            columns.push(plan);
        }
        let mut key = Vec::with_capacity(table.key.len());
        for (position, &column) in table.key.iter().enumerate() {
            let name = &table.columns[column].name;
            let Some(plan) = &columns[column] else {
                let (table, column) = (table.display(), name.clone());
                return Err(PlanError::KeyLeftOut { table, column });
            };
            key.push(KeyPart { column, field: field(position, name), form: plan.form });
        }
        let source = SourceWriter::new(
            &options.version,
            &options.topic_prefix,
            &options.database,
            &table.schema,
            &table.name,
        );
        Ok(Self {
            topic: topic_name(&options.topic_prefix, &table.schema, &table.name),
            source: if options.replace_null_with_default {
                source
            } else {
                source.without_default_mark()
            },
            placeholder: options.unavailable_value_placeholder.clone(),
            columns,
            key,
            table,
        })
    }

    /// The topic that the table's events go to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &TableInfo {
        &self.table
    }

    /// Names of the columns that are left out, as Debezium does: their types have no form on the wire.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        let columns = self.table.columns.iter().zip(&self.columns);
        columns.filter(|(_, plan)| plan.is_none()).map(|(column, _)| column.name.as_str())
    }

    /// Whether rows have a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Checks that an old tuple of the replica identity's index holds the key: NULL in such a tuple means "not sent".
    ///
    /// # Errors
    /// When a column of the key is none of that index's.
    pub fn require_key<'a>(
        &self,
        identity: impl Iterator<Item = Column<'a>> + Clone,
    ) -> Result<(), RowError> {
        let missing = self
            .key
            .iter()
            .find(|part| !matches!(identity.clone().nth(part.column), Some(Column::Text(_))));
        missing.map_or(Ok(()), |part| Err(self.key_error(part.column)))
    }

    fn key_error(&self, column: usize) -> RowError {
        RowError::Key {
            table: self.table.display(),
            column: self.table.columns[column].name.clone(),
        }
    }

    /// Appends the key of `row`, and nothing when the table has no key. An unchanged TOASTed value of `row` is taken
    /// from `before`, because the server always sends a key that is stored out of line with the old row.
    ///
    /// # Errors
    /// When a key column has no value, or one that its type cannot print.
    pub fn write_key<'a, R>(
        &self,
        out: &mut Vec<u8>,
        row: &R,
        before: Option<&R>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        self.write_key_as(out, row, before, write_whole)
    }

    /// Appends the key of `row` in the form of the header by which the event of the other key names it.
    ///
    /// # Errors
    /// As [`TablePlan::write_key`].
    pub fn write_key_in_header<'a, R>(
        &self,
        out: &mut Vec<u8>,
        row: &R,
        before: Option<&R>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        self.write_key_as(out, row, before, Form::write_in_header)
    }

    fn write_key_as<'a, R>(
        &self,
        out: &mut Vec<u8>,
        row: &R,
        before: Option<&R>,
        write: WriteValue,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        for part in &self.key {
            out.extend_from_slice(&part.field);
            let value = match row.clone().nth(part.column) {
                Some(Column::UnchangedToast) => {
                    before.and_then(|before| before.clone().nth(part.column))
                }
                value => value,
            };
            match value {
                Some(Column::Text(text)) => write(part.form, out, text)
                    .map_err(|source| self.value_error(part.column, source))?,
                // Of a unique index that stands in for a primary key.
                Some(Column::Null) if !self.table.columns[part.column].not_null => {
                    out.extend_from_slice(b"null");
                }
                _ => return Err(self.key_error(part.column)),
            }
        }
        if self.has_key() {
            out.push(b'}');
        }
        Ok(())
    }

    /// Appends an event's value. `before` and `after` are rows of this version of the table; an unchanged TOASTed value
    /// of `after` is taken from `before` where it has one. Returns the index of a column for whose value NULL was
    /// written, see [`Written::NullInstead`].
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn write_value<'a, R>(
        &self,
        out: &mut Vec<u8>,
        change: &Change<R>,
        source: &SourceInfo<'_>,
        now_ns: i64,
    ) -> Result<Option<usize>, RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        out.extend_from_slice(b"{\"before\":");
        let mut null_instead = None;
        match &change.before {
            Some(row) if change.op != Op::Create => {
                null_instead = self.write_row(out, row.clone(), None::<R>, Image::Before)?;
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        if let Some(row) = &change.after {
            let found = self.write_row(out, row.clone(), change.before.clone(), Image::After)?;
            null_instead = found.or(null_instead);
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"source\":");
        self.source.write(out, source);
        write_tail(out, change.op, now_ns);
        Ok(null_instead)
    }

    fn write_row<'a, R>(
        &self,
        out: &mut Vec<u8>,
        row: R,
        mut old: Option<R>,
        image: Image,
    ) -> Result<Option<usize>, RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        let mut count = 0;
        let mut is_empty = true;
        let mut null_instead = None;
        for (index, column) in row.enumerate() {
            count = index + 1;
            let old_value = old.as_mut().and_then(Iterator::next);
            let Some(Some(plan)) = self.columns.get(index) else { continue };
            is_empty = false;
            out.extend_from_slice(&plan.field);
            match (column, old_value) {
                (Column::Text(text), _) | (Column::UnchangedToast, Some(Column::Text(text))) => {
                    let written = plan.form.write(out, text);
                    if written.map_err(|e| self.value_error(index, e))? == Written::NullInstead {
                        null_instead = Some(index);
                    }
                }
                (Column::Null, _) => out.extend_from_slice(match image {
                    Image::Before => &plan.unknown,
                    Image::After => &plan.null,
                }),
                (Column::UnchangedToast, _) => {
                    if !plan.form.write_unavailable(out, &self.placeholder) {
                        let (table, column) = self.name_column(index);
                        return Err(RowError::Unavailable { table, column });
                    }
                }
                (Column::Binary(_), _) => {
                    let (table, column) = self.name_column(index);
                    return Err(RowError::Binary { table, column });
                }
            }
        }
        if count != self.columns.len() {
            return Err(RowError::ColumnCount {
                table: self.table.display(),
                expected: self.columns.len(),
                actual: count,
            });
        }
        out.extend_from_slice(if is_empty { b"{}" } else { b"}" });
        Ok(null_instead)
    }

    fn name_column(&self, index: usize) -> (String, String) {
        (self.table.display(), self.table.columns[index].name.clone())
    }

    fn value_error(&self, index: usize, source: ValueError) -> RowError {
        let (table, column) = self.name_column(index);
        RowError::Value { table, column, source }
    }
}

/// Which of an event's two rows is written. In the row before a change, NULL may mean "not sent". The type's fallback
/// value then stands in a NOT NULL column. In the row after a change, NULL is NULL. That also holds where the catalog
/// says NOT NULL, because the catalog may be ahead of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    Before,
    After,
}

/// What happened to a row.
#[derive(Debug, Clone)]
pub struct Change<R> {
    /// The operation.
    pub op: Op,
    /// The row before the change, as far as it is known. A create does not show it, but for a moved key the create
    /// takes unchanged values from it.
    pub before: Option<R>,
    /// The row after.
    pub after: Option<R>,
}

/// The place of a column in its table, and among the columns that are written.
#[derive(Debug, Clone, Copy)]
struct Place {
    index: usize,
    position: usize,
}

impl ColumnPlan {
    fn new(
        table: &TableInfo,
        place: Place,
        column: &ColumnInfo,
        options: &PlanOptions,
    ) -> Result<Option<Self>, PlanError> {
        let form = form_of(column).map_err(|source| PlanError::Type {
            table: table.display(),
            column: column.name.clone(),
            source,
        })?;
        let Some(form) = form else { return Ok(None) };
        let default = default::kind_of_default(column, form)
            .zip(column.default.as_deref())
            .and_then(|(kind, expression)| default::literal(expression, kind));
        let null = match &default {
            Some(default) if options.replace_null_with_default => default.clone(),
            _ => b"null".to_vec(),
        };
        let unknown = if column.not_null || table.key.contains(&place.index) {
            default.unwrap_or_else(|| form.fallback().to_vec())
        } else {
            null.clone()
        };
        Ok(Some(Self { field: field(place.position, &column.name), form, unknown, null }))
    }
}

fn field(position: usize, name: &str) -> Vec<u8> {
    let mut bytes = vec![if position == 0 { b'{' } else { b',' }];
    write_json_string(&mut bytes, name);
    bytes.push(b':');
    bytes
}

#[cfg(test)]
mod tests {
    use shared::debezium::envelope::SnapshotMark;
    use shared::position::Lsn;

    use super::super::table::TypeClass;
    use super::*;

    fn column(name: &str, type_oid: u32, modifier: i32) -> ColumnInfo {
        ColumnInfo {
            name: name.to_owned(),
            type_oid,
            type_modifier: modifier,
            type_class: TypeClass::BuiltIn,
            is_domain: false,
            not_null: false,
            default: None,
        }
    }

    fn plan(replace_null_with_default: bool) -> TablePlan {
        let mut id = column("id", 23, -1);
        id.not_null = true;
        let mut code = column("code", 1043, 10);
        code.not_null = true;
        code.default = Some("'XX'::character varying".to_owned());
        let mut tz = column("tz", 1184, -1);
        tz.default = Some("now()".to_owned());
        let table = TableInfo {
            schema: "public".to_owned(),
            name: "flights".to_owned(),
            columns: vec![id, code, column("note", 25, -1), tz],
            key: vec![0],
        };
        TablePlan::new(table, &plan_options(replace_null_with_default)).unwrap()
    }

    fn plan_options(replace_null_with_default: bool) -> PlanOptions {
        PlanOptions {
            topic_prefix: "obs".to_owned(),
            database: "obs".to_owned(),
            version: "3.6.0.Final".to_owned(),
            unavailable_value_placeholder: "__debezium_unavailable_value".to_owned(),
            replace_null_with_default,
        }
    }

    const INFO: SourceInfo<'static> = SourceInfo {
        ts_us: 1,
        snapshot: SnapshotMark::Streaming,
        tx_id: 1,
        lsn: Lsn(1),
        last_commit: None,
        origin: None,
    };

    #[track_caller]
    fn check(
        plan: &TablePlan,
        before: Option<&[Column<'_>]>,
        after: Option<&[Column<'_>]>,
        expected: &str,
    ) {
        let mut out = Vec::new();
        let change = Change {
            op: Op::Update,
            before: before.map(|row| row.iter().copied()),
            after: after.map(|row| row.iter().copied()),
        };
        plan.write_value(&mut out, &change, &INFO, 0).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn null_unchanged_and_key_only_are_three_things() {
        let id = Column::Text(b"1");
        let code = Column::Text(b"A");
        check(
            &plan(false),
            None,
            Some(&[id, code, Column::UnchangedToast, Column::Null]),
            r#"{"before":null,"after":{"id":1,"code":"A","note":"__debezium_unavailable_value","tz":null},"source":"#,
        );
        check(
            &plan(false),
            Some(&[id, code, Column::Text(b"long"), Column::Null]),
            Some(&[id, code, Column::UnchangedToast, Column::Null]),
            r#"{"before":{"id":1,"code":"A","note":"long","tz":null},"after":{"id":1,"code":"A","note":"long","tz":null},"#,
        );
        check(
            &plan(true),
            Some(&[id, Column::Null, Column::Null, Column::Null]),
            None,
            r#"{"before":{"id":1,"code":"XX","note":null,"tz":"1970-01-01T00:00:00.000000Z"},"after":null,"#,
        );
    }

    #[test]
    fn the_key_is_the_key_columns_alone() {
        let mut key = Vec::new();
        let row = [Column::Text(b"7"), Column::Null, Column::Null, Column::Null];
        plan(false).write_key(&mut key, &row.iter().copied(), None).unwrap();
        assert_eq!(key, br#"{"id":7}"#);
        let row = [Column::Null];
        assert!(plan(false).require_key(row.iter().copied()).is_err());
        assert!(matches!(
            plan(false).write_key(&mut key, &row.iter().copied(), None),
            Err(RowError::Key { .. })
        ));
    }

    #[test]
    fn an_unchanged_toasted_key_is_the_old_rows_and_nothing_else_is() {
        let write = |new: Column<'_>, old: Option<Column<'_>>| {
            let mut key = Vec::new();
            let (new, old) = ([new], old.map(|old| [old]));
            let old = old.as_ref().map(|old| old.iter().copied());
            plan(false).write_key(&mut key, &new.iter().copied(), old.as_ref()).map(|()| key)
        };
        let seven = Some(Column::Text(b"7"));
        assert_eq!(write(Column::UnchangedToast, seven).unwrap(), br#"{"id":7}"#);
        assert_eq!(write(Column::Text(b"8"), seven).unwrap(), br#"{"id":8}"#);
        for (new, old) in [
            (Column::Null, seven),
            (Column::UnchangedToast, None),
            (Column::UnchangedToast, Some(Column::Null)),
            (Column::UnchangedToast, Some(Column::UnchangedToast)),
        ] {
            assert!(matches!(write(new, old), Err(RowError::Key { .. })), "{new:?} {old:?}");
        }
    }

    #[test]
    fn a_column_that_debezium_leaves_out_leaves_no_trace() {
        let mut pair = column("pair", 99_999, -1);
        pair.type_class = TypeClass::Named("pair".to_owned());
        let mut mood = column("mood", 99_998, -1);
        mood.type_class = TypeClass::Enum;
        let table = TableInfo {
            schema: "public".to_owned(),
            name: "t".to_owned(),
            columns: vec![pair, mood, column("id", 23, -1)],
            key: vec![2],
        };
        let options = plan_options(false);
        let plan = TablePlan::new(table.clone(), &options).unwrap();
        assert_eq!(plan.left_out().collect::<Vec<_>>(), ["pair"]);
        let row = [Column::Text(b"(1,2)"), Column::Text(b"ok"), Column::Text(b"7")];
        check(&plan, None, Some(&row), r#"{"before":null,"after":{"mood":"ok","id":7},"source":"#);
        let in_key = TablePlan::new(TableInfo { key: vec![0], ..table.clone() }, &options);
        assert!(matches!(in_key, Err(PlanError::KeyLeftOut { .. })));
        let mut arrays = table;
        arrays.columns[0].type_class = array_of(99_997, TypeClass::Named("pair".to_owned()));
        arrays.columns[1].type_class = array_of(99_996, TypeClass::Enum);
        let plan = TablePlan::new(arrays, &options).unwrap();
        let mut vectors = plan.table().clone();
        vectors.columns[0].type_class = array_of(99_995, TypeClass::Named("vector".to_owned()));
        assert!(matches!(TablePlan::new(vectors, &options), Err(PlanError::Type { .. })));
        let row = [Column::Text(b"{(1,2)}"), Column::Text(b"{ok,NULL}"), Column::Text(b"7")];
        check(&plan, None, Some(&row), r#"{"before":null,"after":{"mood":["ok",null],"id":7},"#);
    }

    fn array_of(element_oid: u32, element: TypeClass) -> TypeClass {
        TypeClass::Array { element_oid, element: Box::new(element) }
    }

    #[test]
    fn a_value_without_a_form_is_null_and_its_column_is_named() {
        let table = TableInfo {
            schema: "public".to_owned(),
            name: "t".to_owned(),
            columns: vec![column("id", 23, -1), column("amount", 1700, -1)],
            key: vec![0],
        };
        let plan = TablePlan::new(table.clone(), &plan_options(false)).unwrap();
        let row = [Column::Text(b"1"), Column::Text(b"NaN")];
        let change = Change { op: Op::Create, before: None, after: Some(row.iter().copied()) };
        let mut out = Vec::new();
        assert_eq!(plan.write_value(&mut out, &change, &INFO, 0), Ok(Some(1)));
        assert!(out.starts_with(br#"{"before":null,"after":{"id":1,"amount":null},"#));
        let in_key =
            TablePlan::new(TableInfo { key: vec![1], ..table }, &plan_options(false)).unwrap();
        let written = in_key.write_key(&mut Vec::new(), &row.iter().copied(), None);
        assert!(matches!(written, Err(RowError::Value { .. })));
    }

    #[test]
    fn rows_of_another_shape_are_refused() {
        for count in [0, 3, 5] {
            let row = vec![Column::Null; count];
            let change = Change { op: Op::Create, before: None, after: Some(row.iter().copied()) };
            let error = plan(false).write_value(&mut Vec::new(), &change, &INFO, 0).unwrap_err();
            assert!(matches!(error, RowError::ColumnCount { expected: 4, .. }), "{error}");
        }
    }
}

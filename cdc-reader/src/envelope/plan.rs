//! The plan of one table, and the events that it writes.

use shared::debezium::columns;
use shared::debezium::envelope::{Op, SourceInfo, SourceWriter, write_tail};
use shared::debezium::topic::topic_name;
use shared::debezium::types::ValueError;
use shared::debezium::types::text::write_json_string;

use super::default;
use super::form::{Form, Written, form_of};
use super::table::{ColumnInfo, TableInfo, TypeClass};
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
    /// Whether events say the types of their columns in a header.
    pub column_types_header: bool,
    /// What becomes of a value that has no form in an event.
    pub without_form: WithoutForm,
}

/// What becomes of a value that has no form in an event. A value of a key is always an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutForm {
    /// It is an error.
    Error,
    /// NULL stands in its place.
    Null,
}

impl PlanOptions {
    /// A writer of the source blocks of one table.
    pub(super) fn source_writer(&self, schema: &str, table: &str) -> SourceWriter {
        let (version, prefix) = (&self.version, &self.topic_prefix);
        let writer = SourceWriter::new(version, prefix, &self.database, schema, table);
        if self.replace_null_with_default { writer } else { writer.without_default_mark() }
    }
}

/// Why a table cannot be captured as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A column of the key would be left out.
    #[error(
        "column {column} of table {table} is part of the key, and Debezium leaves its type out; leave the table out with \
         table.exclude.list, or give the table another key"
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
    /// A value that has no form in an event.
    #[error(
        "column {column} of table {table}: a value has no form in events ({why}); event.converting.failure.handling.mode=warn publishes \
         NULL in its place, table.exclude.list leaves the table out"
    )]
    Value {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value of the key that has no form in an event.
    #[error(
        "key column {column} of table {table}: a value has no form in events ({source}), and a key must not be NULL; leave the table out \
         with table.exclude.list, or change the key"
    )]
    KeyValue {
        /// `schema.table`.
        table: String,
        /// Column.
        column: String,
        /// What it should be.
        source: ValueError,
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
    /// What is written for a value that was not sent.
    unknown: Vec<u8>,
    unknown_in_header: Vec<u8>,
}

/// Why a numeric has no form.
const NOT_FINITE: &str = "a number that is NaN or infinite";

/// What NULL means in a row whose key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// That the value is NULL.
    AreNull,
    /// That the value was not sent: the row is an old one of which the replica identity's columns were sent. Debezium
    /// writes the column's default in its place, or the fallback of its type.
    AreUnknown,
}

/// A row whose key is written, and where its unchanged TOASTed values are.
struct KeyRow<'r, R> {
    row: &'r R,
    nulls: Nulls,
    before: Option<&'r R>,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyIn {
    Record,
    Header,
}

impl KeyPart {
    fn new(position: usize, column: usize, name: &str, plan: &ColumnPlan) -> Self {
        Self {
            column,
            field: field(position, name),
            form: plan.form,
            unknown_in_header: plan.form.json_in_header(&plan.unknown),
            unknown: plan.unknown.clone(),
        }
    }

    fn write(&self, place: KeyIn, out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
        match place {
            KeyIn::Record => write_whole(self.form, out, text),
            KeyIn::Header => self.form.write_in_header(out, text),
        }
    }

    fn unknown(&self, place: KeyIn) -> &[u8] {
        match place {
            KeyIn::Record => &self.unknown,
            KeyIn::Header => &self.unknown_in_header,
        }
    }
}

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
    without_form: WithoutForm,
    /// The codes of the columns that are written, when events carry them.
    types: Option<Vec<u8>>,
}

impl TablePlan {
    /// Compiles the plan.
    ///
    /// # Errors
    /// When a column of the key has no form on the wire.
    pub fn new(table: TableInfo, options: &PlanOptions) -> Result<Self, PlanError> {
        let mut columns = Vec::with_capacity(table.columns.len());
        let mut position = 0;
        for column in &table.columns {
            let plan = ColumnPlan::new(position, column, options);
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
            key.push(KeyPart::new(position, column, name, plan));
        }
        Ok(Self {
            topic: topic_name(&options.topic_prefix, &table.schema, &table.name),
            source: options.source_writer(&table.schema, &table.name),
            placeholder: options.unavailable_value_placeholder.clone(),
            without_form: options.without_form,
            types: options.column_types_header.then(|| types(&table, &columns)),
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

    /// What the header of the columns' types begins with: one code for each column that is written. None when events
    /// have no such header.
    #[must_use]
    pub fn types(&self) -> Option<&[u8]> {
        self.types.as_deref()
    }

    /// Whether rows have a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
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
        nulls: Nulls,
        before: Option<&R>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        self.write_key_as(out, KeyRow { row, nulls, before }, KeyIn::Record)
    }

    /// Appends the key of `row` in the form of the header by which the event of the other key names it.
    ///
    /// # Errors
    /// As [`TablePlan::write_key`].
    pub fn write_key_in_header<'a, R>(
        &self,
        out: &mut Vec<u8>,
        row: &R,
        nulls: Nulls,
        before: Option<&R>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        self.write_key_as(out, KeyRow { row, nulls, before }, KeyIn::Header)
    }

    fn write_key_as<'a, R>(
        &self,
        out: &mut Vec<u8>,
        from: KeyRow<'_, R>,
        place: KeyIn,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        let KeyRow { row, nulls, before } = from;
        for part in &self.key {
            out.extend_from_slice(&part.field);
            let value = match row.clone().nth(part.column) {
                Some(Column::UnchangedToast) => {
                    before.and_then(|before| before.clone().nth(part.column))
                }
                value => value,
            };
            match value {
                Some(Column::Text(text)) => part.write(place, out, text).map_err(|source| {
                    let (table, column) = self.name_column(part.column);
                    RowError::KeyValue { table, column, source }
                })?,
                Some(Column::Null) if nulls == Nulls::AreUnknown => {
                    out.extend_from_slice(part.unknown(place));
                }
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
    /// of `after` is taken from `before` where it has one. Returns what is to be told of the columns.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn write_value<'a, R>(
        &self,
        out: &mut Vec<u8>,
        change: &Change<R>,
        source: &SourceInfo<'_>,
        now_ns: i64,
    ) -> Result<Remarks, RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        out.extend_from_slice(b"{\"before\":");
        // Without such a column nothing is allocated.
        let mut remarks = Remarks::default();
        match &change.before {
            Some(row) if change.op != Op::Create => {
                self.write_row(out, (row.clone(), None), Image::Before, &mut remarks)?;
                remarks.unchanged.clear(); // what counts is the row after the change
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        if let Some(row) = &change.after {
            let before = change.before.clone();
            self.write_row(out, (row.clone(), before), Image::After, &mut remarks)?;
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"source\":");
        self.source.write(out, source);
        write_tail(out, change.op, now_ns);
        Ok(remarks)
    }

    /// Appends a row. An unchanged TOASTed value is taken from the old row where there is one.
    fn write_row<'a, R>(
        &self,
        out: &mut Vec<u8>,
        (row, mut old): (R, Option<R>),
        image: Image,
        remarks: &mut Remarks,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = Column<'a>> + Clone,
    {
        let mut count = 0;
        let mut written = 0;
        for (index, column) in row.enumerate() {
            count = index + 1;
            let old_value = old.as_mut().and_then(Iterator::next);
            let Some(Some(plan)) = self.columns.get(index) else { continue };
            written += 1;
            out.extend_from_slice(&plan.field);
            match (column, old_value) {
                (Column::Text(text), _) | (Column::UnchangedToast, Some(Column::Text(text))) => {
                    if let Some(why) = plan.write(out, text) {
                        self.check_without_form(index, &why)?;
                        remarks.null_instead.push(index);
                    }
                }
                (Column::Null, _) => out.extend_from_slice(match image {
                    Image::Before => &plan.unknown,
                    Image::After => &plan.null,
                }),
                (Column::UnchangedToast, _) => {
                    remarks.unchanged.push(written - 1);
                    if let Some(why) = plan.write_unavailable(out, &self.placeholder) {
                        self.check_without_form(index, &why)?;
                        remarks.null_instead.push(index);
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
        out.extend_from_slice(if written == 0 { b"{}" } else { b"}" });
        Ok(())
    }

    fn name_column(&self, index: usize) -> (String, String) {
        (self.table.display(), self.table.columns[index].name.clone())
    }

    /// Whether NULL may stand in the place of a value that has no form.
    fn check_without_form(&self, index: usize, why: &str) -> Result<(), RowError> {
        match self.without_form {
            WithoutForm::Null => Ok(()),
            WithoutForm::Error => {
                let (table, column) = self.name_column(index);
                Err(RowError::Value { table, column, why: why.to_owned() })
            }
        }
    }
}

/// What is to be told of the columns of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Indexes of the columns for whose values NULL was written, see [`Written::NullInstead`].
    pub null_instead: Vec<usize>,
    /// Places of the columns whose values the server did not send, among the columns that are written.
    pub unchanged: Vec<usize>,
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

impl ColumnPlan {
    /// The plan of the column that stands at this place among the columns that are written. None for a column that is
    /// left out.
    fn new(position: usize, column: &ColumnInfo, options: &PlanOptions) -> Option<Self> {
        let form = form_of(column)?;
        let default = default::kind_of_default(column, form)
            .zip(column.default.as_deref())
            .and_then(|(kind, expression)| default::literal(expression, kind));
        let null = match &default {
            Some(default) if options.replace_null_with_default => default.clone(),
            _ => b"null".to_vec(),
        };
        let unknown = if column.not_null {
            default.unwrap_or_else(|| form.fallback().to_vec())
        } else {
            null.clone()
        };
        Some(Self { field: field(position, &column.name), form, unknown, null })
    }

    /// Appends a value that PostgreSQL printed as `text`. Where the value has no form, appends NULL and says why.
    fn write(&self, out: &mut Vec<u8>, text: &[u8]) -> Option<String> {
        let start = out.len();
        let why = match self.form.write(out, text) {
            Ok(Written::Whole) => return None,
            Ok(Written::NullInstead) => return Some(NOT_FINITE.to_owned()),
            Err(error) => error.to_string(),
        };
        out.truncate(start);
        out.extend_from_slice(b"null");
        Some(why)
    }

    /// Appends the placeholder of an unchanged TOASTed value, or NULL and says why.
    fn write_unavailable(&self, out: &mut Vec<u8>, placeholder: &str) -> Option<String> {
        if self.form.write_unavailable(out, placeholder) {
            return None;
        }
        out.extend_from_slice(b"null");
        Some("an unchanged TOASTed value of a type without a placeholder".to_owned())
    }
}

/// The codes of the columns that are written. A type of an extension has its name for a code, and an enumeration is text.
fn types(table: &TableInfo, columns: &[Option<ColumnPlan>]) -> Vec<u8> {
    let written = table.columns.iter().zip(columns).filter(|(_, plan)| plan.is_some());
    let codes = written.map(|(column, _)| match &column.type_class {
        TypeClass::Array { element_oid, element } => {
            format!("{}[]", code(*element_oid, column.type_modifier, element))
        }
        class => code(column.type_oid, column.type_modifier, class),
    });
    codes.collect::<Vec<_>>().join(",").into_bytes()
}

fn code(type_oid: u32, modifier: i32, class: &TypeClass) -> String {
    match class {
        TypeClass::OfExtension(name) => name.clone(),
        TypeClass::Enum => "t".to_owned(),
        _ => columns::code_of(type_oid, modifier).unwrap_or_else(|| format!("oid{type_oid}")),
    }
}

fn field(position: usize, name: &str) -> Vec<u8> {
    let mut bytes = vec![if position == 0 { b'{' } else { b',' }];
    write_json_string(&mut bytes, name);
    bytes.push(b':');
    bytes
}

#[cfg(test)]
mod tests;

//! What the plan has to know of a table.

/// A table as it is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Published columns in order.
    pub columns: Vec<ColumnInfo>,
    /// Indices of the key's columns, in the key's order; empty when rows have no key.
    pub key: Vec<usize>,
}

impl TableInfo {
    /// `schema.table`, for messages.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A column as it is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// Type.
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub type_modifier: i32,
    /// NOT NULL.
    pub not_null: bool,
    /// The default's expression as `pg_get_expr` prints it.
    pub default: Option<String>,
}

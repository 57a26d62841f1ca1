//! What a plan has to know about a table.

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

/// What a type is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeClass {
    /// Its oid says everything: a type of `pg_type.dat` that has a form on the wire.
    BuiltIn,
    /// An enumeration.
    Enum,
    /// An array.
    Array {
        /// The oid of the elements' type.
        element_oid: u32,
        /// What the elements' type is.
        element: Box<TypeClass>,
    },
    /// A composite type; among the elements of an array also a domain; a type of the system, or one that somebody made
    /// himself. Debezium leaves them out.
    LeftOut,
    /// A type that belongs to an extension, by its name.
    OfExtension(String),
}

impl ColumnInfo {
    /// The type, for messages: its name, or its oid when it is a type of the server's own.
    #[must_use]
    pub fn type_name(&self) -> String {
        match &self.type_class {
            TypeClass::OfExtension(name) => name.clone(),
            _ => format!("oid {}", self.type_oid),
        }
    }
}

/// A column as it is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// Type; of a domain, the type beneath it once the catalog has been asked.
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub type_modifier: i32,
    /// What the type is.
    pub type_class: TypeClass,
    /// Whether the column's own type is a domain.
    pub is_domain: bool,
    /// NOT NULL.
    pub not_null: bool,
    /// The default's expression as `pg_get_expr` prints it.
    pub default: Option<String>,
}

//! A table's compiled plan: tuples to the bytes of key and value.
//!
//! A [`TablePlan`] is made once for each version of a table. Everything that does not change from row to row is ready
//! as bytes: field names with their separators, the text for NULL, the parts of the source block. Writing a row is then
//! one walk over its columns. Text that PostgreSQL printed becomes JSON directly, in a buffer that is used again. A
//! row allocates no memory for integers, texts and times. It allocates memory for a number with a point, `bytea`, a bit
//! string, `hstore`, and an array's element with a backslash.
//!
//! Which JSON a column becomes is its [`Form`]: one value of a [`Kind`], or an array of them. A new type or option is a
//! new kind, nothing else changes.

mod default;
mod form;
mod kind;
mod message;
mod plan;
mod table;

pub use form::{Form, Written, form_of};
pub use kind::{Kind, kind_of};
pub use message::MessagePlan;
pub use plan::{Change, Nulls, PlanError, PlanOptions, Remarks, RowError, TablePlan, WithoutForm};
pub use table::{ColumnInfo, TableInfo, TypeClass};

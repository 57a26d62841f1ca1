//! From message bytes to typed changes of tables' rows. Pure.
//!
//! In goes a batch of Kafka records and the plan, out comes [`Decoded`]: a [`Change`] for each record, whose values
//! borrow from the record's bytes. Absent, NULL and unchanged values stay three different things, and errors never
//! repeat a value.

mod array;
mod change;
mod records;
mod row;
mod stored;
mod value;

pub use change::{Change, EventError, EventPosition, RowChange, RowOp, ValueId, Values};
pub use records::Decoded;
pub use stored::from_stored;
pub use value::{ArrayValue, Value};

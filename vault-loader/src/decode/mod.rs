//! Turns message bytes into typed changes of tables' rows. Pure.
//!
//! In: a batch of Kafka records and the plan. Out: [`Decoded`]: a [`Change`] for each record, whose values borrow from
//! the record's bytes. A value that is absent, NULL or unchanged is three different things. An error never repeats a
//! value.

mod array;
mod change;
mod column;
mod drift;
mod printed;
mod records;
mod row;
mod stored;
mod types;
mod value;

pub(crate) use change::decode_record_key;
pub use change::{BadEvent, Change, EventError, EventPosition, RowChange, RowOp, ValueId, Values};
pub use drift::{Drift, NewColumn};
pub use printed::from_source;
pub use records::{Decoded, Drifted};
pub use stored::from_stored;
pub use value::{ArrayValue, Value};

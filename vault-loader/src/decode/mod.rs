//! From message bytes to typed changes of one table's rows. Pure.
//!
//! In go the key and value bytes of one Kafka record and the model's table, out comes a [`Change`] whose values borrow from
//! those bytes. Absent, NULL and unchanged values stay three different things, and errors never repeat a value.

mod change;
mod row;
mod value;

pub use change::{
    Change, DecodeError, Origin, Position, RowChange, RowOp, ValueId, Values, decode,
    decode_old_key,
};
pub use value::Value;

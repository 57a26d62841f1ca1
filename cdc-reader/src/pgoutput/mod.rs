//! Bytes of the `pgoutput` plugin to messages, protocol version 1. Pure: no socket, no clock, no memory between
//! messages.
//!
//! In: the payload of one `XLogData` message. Out: a [`Message`] that borrows from it: names, tuples and values are
//! slices of the frame. Every message is checked to its last byte: lengths against what remains, flags against what the
//! server sends, positions against zero, and unread bytes at the end are an error.
//!
//! Format: <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>; the server's writers and
//! readers are `logicalrep_write_*` and `logicalrep_read_*` in `src/backend/replication/logical/proto.c`.
//!
//! ```text
//! B  final lsn u64 · commit time i64 · xid u32
//! C  flags u8 (0) · commit lsn u64 · end lsn u64 · commit time i64
//! O  origin lsn u64 · name cstr
//! R  oid u32 · namespace cstr · name cstr · identity u8 (d n f i) · u16 × { key flag u8 · name cstr · type oid u32 · modifier i32 }
//! Y  oid u32 · namespace cstr · name cstr
//! I  oid u32 · 'N' tuple
//! U  oid u32 · [ 'K' tuple | 'O' tuple ] · 'N' tuple
//! D  oid u32 · ( 'K' tuple | 'O' tuple )
//! T  u32 count · flags u8 (1 cascade, 2 restart identity) · count × oid u32
//! M  flags u8 (1 transactional) · lsn u64 · prefix cstr · i32 length · bytes
//! tuple: u16 × ( 'n' | 'u' | 't' i32 length bytes | 'b' i32 length bytes )
//! ```

mod cursor;
mod decode;
#[cfg(any(test, feature = "encode"))]
pub mod encode;
mod message;
mod tuple;

pub use cursor::DecodeError;
pub use decode::{changed_relation, decode};
pub use message::{
    Begin, Commit, Delete, Identity, Insert, LogicalMessage, Message, OldTuple, Origin, Relation,
    RelationColumn, Truncate, Type, Update,
};
pub use tuple::{Column, Columns, Tuple};

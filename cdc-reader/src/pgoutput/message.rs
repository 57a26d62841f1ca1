//! The messages of protocol version 1, named after the server's functions in `proto.c`.

use shared::position::Lsn;

use super::tuple::Tuple;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins.
    Begin(Begin),
    /// A transaction ends.
    Commit(Commit),
    /// Where a transaction was first committed.
    Origin(Origin<'a>),
    /// What a relation looks like from here on, on this connection.
    Relation(Relation<'a>),
    /// What a type that is not built in is called.
    Type(Type<'a>),
    /// A row was inserted.
    Insert(Insert<'a>),
    /// A row was updated.
    Update(Update<'a>),
    /// A row was deleted.
    Delete(Delete<'a>),
    /// Relations were emptied.
    Truncate(Truncate<'a>),
    /// `pg_logical_emit_message`.
    LogicalMessage(LogicalMessage<'a>),
}

/// `logicalrep_write_begin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Start of the commit record: the order in which transactions are delivered.
    pub final_lsn: Lsn,
    /// Commit time, microseconds since 2000-01-01.
    pub commit_time: i64,
    /// Transaction id.
    pub xid: u32,
}

/// `logicalrep_write_commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Start of the commit record.
    pub commit_lsn: Lsn,
    /// First byte after the commit record: what is confirmed, and where to start again.
    pub end_lsn: Lsn,
    /// Commit time, microseconds since 2000-01-01.
    pub commit_time: i64,
}

/// `logicalrep_write_origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Position of the commit on the origin; zero when unknown.
    pub lsn: u64,
    /// Name of the origin.
    pub name: &'a str,
}

/// What an UPDATE or DELETE tells of the old row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The primary key.
    Default,
    /// Nothing.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of an index.
    Index,
}

/// `logicalrep_write_rel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Object id.
    pub oid: u32,
    /// Schema; empty means `pg_catalog`.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Replica identity.
    pub identity: Identity,
    /// Published columns in order.
    pub columns: Vec<RelationColumn<'a>>,
}

/// A column of a [`Relation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether it belongs to the replica identity; with [`Identity::Full`] every column does.
    pub in_identity: bool,
    /// Name.
    pub name: &'a str,
    /// Type.
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub type_modifier: i32,
}

/// `logicalrep_write_typ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type<'a> {
    /// Object id.
    pub oid: u32,
    /// Schema; empty means `pg_catalog`.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

/// `logicalrep_write_insert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The relation.
    pub relation: u32,
    /// The row.
    pub new: Tuple<'a>,
}

/// What a message says about the row before its change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// The identity's columns; NULL in the others means "not sent".
    Key(Tuple<'a>),
    /// The whole row.
    Full(Tuple<'a>),
}

/// `logicalrep_write_update`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// The relation.
    pub relation: u32,
    /// The row before: under the default identity only when the key changed.
    pub old: Option<OldTuple<'a>>,
    /// The row after.
    pub new: Tuple<'a>,
}

/// `logicalrep_write_delete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The relation.
    pub relation: u32,
    /// The row before.
    pub old: OldTuple<'a>,
}

/// `logicalrep_write_truncate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// TRUNCATE … CASCADE.
    pub cascade: bool,
    /// TRUNCATE … RESTART IDENTITY.
    pub restart_identity: bool,
    pub(super) relations: &'a [u8],
}

impl<'a> Truncate<'a> {
    /// The emptied relations.
    pub fn relations(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.relations.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]))
    }
}

/// `logicalrep_write_message`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// Whether it belongs to the transaction around it.
    pub transactional: bool,
    /// Position of the message.
    pub lsn: Lsn,
    /// Prefix.
    pub prefix: &'a str,
    /// Content.
    pub content: &'a [u8],
}

//! The cells of the catalog's answers, as texts and as numbers.

use std::str::FromStr;

use crate::replication::{ReplicationError, Row};

/// The answer has other columns than were asked for. Only a server that is not PostgreSQL answers so.
pub(super) const SHAPE: ReplicationError =
    ReplicationError::Protocol("a catalog query answered in another shape");

pub(super) fn text(row: &Row, index: usize) -> Result<&str, ReplicationError> {
    row.get(index).and_then(Option::as_deref).ok_or(SHAPE)
}

pub(super) fn parsed<T: FromStr>(row: &Row, index: usize) -> Result<T, ReplicationError> {
    text(row, index)?.parse().map_err(|_| SHAPE)
}

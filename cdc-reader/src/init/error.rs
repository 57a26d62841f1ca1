//! Why nothing can be said about a source, or nothing can be written. No error shows a password.

use std::path::PathBuf;

use shared::source_url::AddressError;

use crate::connector::ConnectorError;
use crate::replication::ReplicationError;

/// Why nothing can be said about a source.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The source does not answer, or does not let us in.
    #[error("cannot look at the source")]
    Source(#[from] ReplicationError),
    /// A name that a connector file cannot hold.
    #[error("no connector file can be written with these names")]
    Connector(#[from] ConnectorError),
    /// A value that the connector file would change.
    #[error(
        "property {0} cannot hold this value, because ${{…:…}} in it is a reference: rename it"
    )]
    Reference(&'static str),
    /// The list of tables takes others, or not all.
    #[error(
        "table.include.list cannot tell table {0} from another table with a similar name: leave one of the two out with --exclude-table, or \
         rename it"
    )]
    List(String),
    /// A file that is there already.
    #[error("{} exists, and nothing is overwritten: move it away, or name another --output-dir", .0.display())]
    Exists(PathBuf),
    /// A file that cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

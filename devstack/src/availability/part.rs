//! What is recorded of a cluster's processes.
//!
//! In: a part that runs. Out: what the state file needs to end it.

use std::path::PathBuf;

use crate::process::Identity;

/// What part of a cluster a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// HAProxy.
    Proxy,
    /// Patroni with its server.
    Patroni,
    /// etcd.
    Etcd,
}

/// A process of a cluster.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) identity: Identity,
    pub(crate) endpoint: String,
    pub(crate) log: PathBuf,
    /// The data directory of a node's server.
    pub(crate) data: Option<PathBuf>,
}

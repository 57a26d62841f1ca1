//! What a cluster is made of, and where it listens.
//!
//! In: the wishes of whoever starts it. Out: what all of its parts read.

use std::path::PathBuf;

use super::network::ClusterNetwork;

/// Where clients reach the cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClusterPorts {
    /// The primary; 0 is any free port, as for the other two.
    pub write: u16,
    /// The standbys.
    pub read: u16,
    /// HAProxy's page of statistics.
    pub statistics: u16,
    /// The first of the nodes' own ports; 0 chooses each of them freely.
    pub nodes: u16,
}

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The directory of data and logs (default: a temporary one).
    pub dir: Option<PathBuf>,
    /// Where it listens.
    pub ports: ClusterPorts,
    /// How its nodes are connected.
    pub network: ClusterNetwork,
    /// The superuser.
    pub user: String,
    /// The superuser's password; the other passwords are made of it.
    pub password: String,
    /// The password of HAProxy's page of statistics, whose user is `admin`.
    pub statistics_password: String,
    /// Whether commits survive a crash of the machine.
    pub fsync: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            dir: None,
            ports: ClusterPorts::default(),
            network: ClusterNetwork::Loopback,
            user: "admin".to_owned(),
            password: "adminpassword".to_owned(),
            statistics_password: "statistics_password".to_owned(),
            fsync: true,
        }
    }
}

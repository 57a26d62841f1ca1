//! Several loaders of one warehouse, each with a name and settings of its own, in one consumer group.
//!
//! In: a name, what its settings are. Out: a loader whose log is its own.

use devstack::{Process, ProcessOptions};

use super::Rig;
use crate::airline::topic;

/// How long a member waits for its servers when it starts. A broker that restarts on a loaded machine may be away for
/// longer than the loader's default of 30 s.
const START_WAIT_MS: &str = "300000";

/// A loader of a group.
#[derive(Debug, Clone)]
pub struct Member<'m> {
    /// the warehouse database, which also names the group
    pub database: &'m str,
    /// name of its log
    pub name: &'m str,
    /// whether the group knows it by its name, so that it gets its partitions back when it was killed and is back
    /// within the session's time-out
    pub is_static: bool,
    /// the most records of a batch
    pub rows_max: u32,
    /// how many writers it has
    pub writers: u16,
}

impl Rig {
    /// Starts `vault-loader run` as one of several.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_member(&self, member: &Member<'_>) -> anyhow::Result<Process> {
        Process::start(&self.member_options(member)?)
    }

    /// The same, and the loader then answers at this address.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_member_at(&self, member: &Member<'_>, listen: &str) -> anyhow::Result<Process> {
        Process::start(&self.member_options(member)?.env("VAULT_LOADER__LISTEN", listen))
    }

    fn member_options(&self, member: &Member<'_>) -> anyhow::Result<ProcessOptions> {
        let Member { database, name, is_static, rows_max, writers } = member;
        let options = self.loader_options(database, "vault_loader", &["run"], &self.models())?.0;
        let options = options
            .env("VAULT_LOADER__BATCH__ROWS_MAX", rows_max.to_string())
            .env("VAULT_LOADER__WRITERS", writers.to_string())
            .env("VAULT_LOADER__LIMITS__START_WAIT_MS", START_WAIT_MS)
            .log_to(self.options.dir.join(format!("{name}.log")));
        // The last value of a variable is the one that counts.
        Ok(if *is_static {
            options.env("VAULT_LOADER__GROUP_INSTANCE_ID", format!("{database}-{name}"))
        } else {
            options.without_env("VAULT_LOADER__GROUP_INSTANCE_ID")
        })
    }

    /// Makes the topic of one of the airline's tables with this number of partitions, before the reader does.
    ///
    /// # Errors
    /// When Kafka does not answer or refuses.
    pub async fn make_topic_with(&self, table: &str, partitions: u32) -> anyhow::Result<()> {
        self.make_topics(&[topic(&self.options.name, table)], partitions).await
    }
}

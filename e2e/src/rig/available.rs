//! A source that is a highly available cluster.
//!
//! In: a rig whose source is the cluster's address for writes. Out: a connector whose slot outlives a failover, and
//! what the topics hold.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Context;
use devstack::topics::Topics;
use rdkafka::Message as _;

use super::Rig;
use crate::airline::topic;

impl Rig {
    /// Has the reader make its slot so that standbys copy it.
    ///
    /// # Errors
    /// When the connector file cannot be changed.
    pub fn let_standbys_copy_the_slot(&self) -> anyhow::Result<()> {
        let text = fs::read_to_string(&self.connector)?;
        let mut connector: serde_json::Value = serde_json::from_str(&text)?;
        connector["config"]["slot.failover"] = "true".into();
        fs::write(&self.connector, serde_json::to_string_pretty(&connector)?)
            .context("cannot write the connector")
    }

    /// How many records the topic of a table holds, and how many different keys they have.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn records_and_keys(&self, table: &str) -> anyhow::Result<(usize, usize)> {
        let (mut records, mut keys) = (0, BTreeSet::new());
        let topics = Topics::at(&self.options.bootstrap)?;
        topics.read(&topic(&self.options.name, table), |record| {
            records += 1;
            keys.insert(record.key().map(<[u8]>::to_vec));
            Ok(())
        })?;
        Ok((records, keys.len()))
    }
}

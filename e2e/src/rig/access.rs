//! How the programs of a rig, and the rig itself, reach Kafka.
//!
//! In: the address of a plain broker, or a cluster with logins. Out: variables of reader and loader, clients of the
//! rig. Invariant: on a cluster every program logs in as a user of its own, and what the rig looks at it sees as an
//! operator.

use devstack::{KafkaCluster, Right};
use rdkafka::ClientConfig;

/// The reader's user.
pub const READER: &str = "reader";
/// The user of the loaders of the rig's own warehouse.
pub const LOADER: &str = "loader";
/// The user of the loaders of any other warehouse.
pub const REBUILDER: &str = "rebuilder";
/// The user of people and programs who look.
pub const OPERATOR: &str = "operator";
/// The user who may do everything.
const ADMIN: &str = "admin";

/// The topic in which the reader keeps its offsets.
#[must_use]
pub(super) fn offset_topic(name: &str) -> String {
    format!("{name}-offsets")
}

/// The consumer group of the loaders of a warehouse database.
#[must_use]
pub(super) fn group(database: &str) -> String {
    format!("loader-{database}")
}

/// Properties of a client, by the names of Kafka's Java clients.
type Properties = Vec<(&'static str, String)>;

/// How Kafka is reached.
#[derive(Debug, Clone)]
pub struct Access {
    /// replicas of a topic that the rig makes
    pub(super) replicas: i32,
    reader: Properties,
    loader: Properties,
    rebuilder: Properties,
    /// the rig's own client where it only looks at topics' ends
    pub(super) looks: ClientConfig,
    /// the rig's own client where it makes topics and reads records
    pub(super) makes: ClientConfig,
}

impl Access {
    /// A broker without TLS and logins.
    pub(super) fn plain(bootstrap: &str) -> Self {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap);
        Self {
            replicas: 1,
            reader: Vec::new(),
            loader: Vec::new(),
            rebuilder: Vec::new(),
            looks: client.clone(),
            makes: client,
        }
    }

    /// A cluster with the users of this module.
    ///
    /// # Errors
    /// When the cluster lacks one of them.
    pub fn of(cluster: &KafkaCluster) -> anyhow::Result<Self> {
        Ok(Self {
            replicas: 3,
            reader: cluster.login(READER)?,
            loader: cluster.login(LOADER)?,
            rebuilder: cluster.login(REBUILDER)?,
            looks: cluster.client(OPERATOR)?,
            makes: cluster.client(ADMIN)?,
        })
    }

    /// Variables of `cdc-reader`.
    pub(super) fn reader_variables(&self) -> Vec<(String, String)> {
        variables("CONNECT_", &self.reader)
    }

    /// Variables of `vault-loader`, for the rig's own warehouse or for another one.
    pub(super) fn loader_variables(&self, is_own: bool) -> Vec<(String, String)> {
        let properties = if is_own { &self.loader } else { &self.rebuilder };
        variables("VAULT_LOADER__KAFKA__", properties)
    }
}

fn variables(prefix: &str, properties: &Properties) -> Vec<(String, String)> {
    let variable = |(name, value): &(&str, String)| {
        (format!("{prefix}{}", name.replace('.', "_").to_uppercase()), value.clone())
    };
    properties.iter().map(variable).collect()
}

/// Gives the users of a cluster what a rig of this name needs of them, and no more. docs/KAFKA_CLUSTER.md has the
/// table.
///
/// # Errors
/// When the cluster does not answer or refuses.
pub fn allow(cluster: &KafkaCluster, name: &str) -> anyhow::Result<()> {
    let tables = format!("{name}.");
    let heartbeats = format!("__debezium-heartbeat.{name}");
    let reads = ["Read", "Describe"];
    let reader = [
        Right::to(&["Create", "Write", "Describe"]).topic(&tables).prefixed(),
        Right::to(&["Create", "Write", "Read", "Describe", "DescribeConfigs"])
            .topic(&offset_topic(name))
            .topic(&heartbeats),
    ];
    cluster.allow(READER, &reader)?;
    for (user, database) in [(LOADER, name.to_owned()), (REBUILDER, format!("{name}_rebuilt"))] {
        let loader = [
            Right::to(&reads).topic(&tables).prefixed(),
            Right::to(&reads).topic(&heartbeats).group(&group(&database)),
        ];
        cluster.allow(user, &loader)?;
    }
    let operator = [
        Right::to(&["Describe", "DescribeConfigs", "AlterConfigs"]).topic("*").cluster(),
        Right::to(&["Describe"]).group("*"),
    ];
    cluster.allow(OPERATOR, &operator)
}

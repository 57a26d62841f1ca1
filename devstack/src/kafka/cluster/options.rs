//! What kind of cluster to start.
//!
//! In: choices of the caller. Out: users with their passwords, further settings of every node.

/// The user who may do everything: makes other users' rights, and topics for tests.
pub(super) const ADMIN: &str = "admin";

/// The user by which brokers know each other.
pub(super) const BROKER: &str = "broker";

/// The password of both.
const OWN_PASSWORD: &str = "devstack_password";

/// Choices for a cluster. Start with [`KafkaClusterOptions::default`].
#[derive(Debug, Clone)]
pub struct KafkaClusterOptions {
    pub(super) heap_megabytes: u32,
    pub(super) quick_start: bool,
    pub(super) users: Vec<User>,
    pub(super) settings: Vec<(String, String)>,
}

/// Somebody who logs in by SCRAM.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

impl Default for KafkaClusterOptions {
    /// Three nodes of 384 MB of heap each, tuned to start quickly, with nobody but `admin`, who may do everything.
    fn default() -> Self {
        let user = |name: &str| User { name: name.to_owned(), password: OWN_PASSWORD.to_owned() };
        Self {
            heap_megabytes: 384,
            quick_start: true,
            users: vec![user(ADMIN), user(BROKER)],
            settings: Vec::new(),
        }
    }
}

impl KafkaClusterOptions {
    /// A user who may do nothing until it is allowed. The password has letters, digits and `-_.~`.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push(User { name: name.to_owned(), password: password.to_owned() });
        self
    }

    /// The largest heap of each node.
    #[must_use]
    pub fn heap_megabytes(mut self, megabytes: u32) -> Self {
        self.heap_megabytes = megabytes;
        self
    }

    /// Whether to start quickly rather than to run fast for long (default: yes). Benches say no.
    #[must_use]
    pub fn quick_start(mut self, quick: bool) -> Self {
        self.quick_start = quick;
        self
    }

    /// A line for every node's `server.properties`; wins over the others.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The password of a user.
    pub(super) fn password(&self, name: &str) -> anyhow::Result<&str> {
        let user = self.users.iter().find(|user| user.name == name);
        let user = user.ok_or_else(|| anyhow::anyhow!("the cluster has no user {name}"))?;
        Ok(&user.password)
    }

    /// The storage tool's arguments: the passwords have to be in the metadata before a broker first starts.
    pub(super) fn format_arguments(&self) -> Vec<String> {
        let argument = |User { name, password }: &User| {
            ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={name},password={password}]")]
        };
        self.users.iter().flat_map(argument).collect()
    }
}

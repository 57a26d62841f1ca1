//! What kind of Kafka Connect worker to start.
//!
//! In: choices of the caller. Out: the text of the worker's properties.
//! Invariant: what the caller sets stands last in the file, so it wins over every default.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Choices for a worker. Start with [`ConnectOptions::new`].
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    bootstrap: String,
    pub(super) port: u16,
    pub(super) dir: Option<PathBuf>,
    pub(super) heap_megabytes: u32,
    pub(super) quick_start: bool,
    pub(super) jdbc_sink: bool,
    topic_prefix: String,
    settings: Vec<(String, String)>,
    pub(super) env: Vec<(String, String)>,
}

impl ConnectOptions {
    /// A worker on a free port, in a temporary directory, that writes JSON with schemas off unless a connector says
    /// otherwise.
    pub fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            port: 0,
            dir: None,
            heap_megabytes: 768,
            quick_start: true,
            jdbc_sink: false,
            topic_prefix: "connect".to_owned(),
            settings: Vec::new(),
            env: Vec::new(),
        }
    }

    /// The TCP port of the REST interface; 0 is any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The directory for configuration and log (default: a temporary one, removed at the end).
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The largest heap.
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

    /// Whether it has Debezium's JDBC sink, too (default: no).
    #[must_use]
    pub fn jdbc_sink(mut self, wanted: bool) -> Self {
        self.jdbc_sink = wanted;
        self
    }

    /// Its topics are `<prefix>-configs`, `<prefix>-offsets` and `<prefix>-status`, its group is `<prefix>` (default:
    /// `connect`).
    #[must_use]
    pub fn topic_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.topic_prefix);
        self
    }

    /// A line for the worker's properties; wins over the defaults.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable that connectors can name as `${env:NAME}`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The text of the worker's properties.
    pub(super) fn properties(&self, port: u16, plugins: &[PathBuf]) -> String {
        let (bootstrap, prefix) = (&self.bootstrap, &self.topic_prefix);
        let plugins: Vec<String> = plugins.iter().map(|path| path.display().to_string()).collect();
        let plugins = plugins.join(",");
        let mut text = format!(
            "bootstrap.servers={bootstrap}\n\
             group.id={prefix}\n\
             listeners=http://127.0.0.1:{port}\n\
             rest.advertised.host.name=127.0.0.1\n\
             plugin.path={plugins}\n\
             plugin.discovery=service_load\n\
             config.storage.topic={prefix}-configs\n\
             config.storage.replication.factor=1\n\
             offset.storage.topic={prefix}-offsets\n\
             offset.storage.replication.factor=1\n\
             offset.storage.partitions=1\n\
             status.storage.topic={prefix}-status\n\
             status.storage.replication.factor=1\n\
             status.storage.partitions=1\n\
             offset.flush.interval.ms=1000\n\
             scheduled.rebalance.max.delay.ms=0\n\
             key.converter=org.apache.kafka.connect.json.JsonConverter\n\
             key.converter.schemas.enable=false\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter.schemas.enable=false\n\
             config.providers=env\n\
             config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider\n"
        );
        for (name, value) in &self.settings {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

//! What kind of Kafka broker to start.
//!
//! In: choices of the caller. Out: the text of `server.properties`.
//! Invariant: what the caller sets stands last in the file, so it wins over every default.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::secured::SecuredOptions;

/// Choices for a broker. Start with [`KafkaOptions::default`].
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    pub(super) port: u16,
    pub(super) port_variable: Option<String>,
    pub(super) dir: Option<PathBuf>,
    pub(super) heap_megabytes: u32,
    pub(super) quick_start: bool,
    pub(super) secured: Option<SecuredOptions>,
    settings: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    /// A broker on a free port, in a temporary directory, with one partition a topic, 512 MB of heap, tuned to start
    /// quickly.
    fn default() -> Self {
        Self {
            port: 0,
            port_variable: None,
            dir: None,
            heap_megabytes: 512,
            quick_start: true,
            secured: None,
            settings: Vec::new(),
        }
    }
}

impl KafkaOptions {
    /// The TCP port; 0 is any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The environment variable that a message about a taken port names.
    #[must_use]
    pub fn port_variable(mut self, variable: &str) -> Self {
        self.port_variable = Some(variable.to_owned());
        self
    }

    /// The directory for data, configuration and log, kept when the broker stops (default: a temporary one, removed
    /// then).
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

    /// A line for `server.properties`; wins over the defaults.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listeners with TLS and SASL beside the plain one, and rights that are checked.
    #[must_use]
    pub fn secured(mut self, options: SecuredOptions) -> Self {
        self.secured = Some(options);
        self
    }

    /// The text of `server.properties`; `more` stands after the defaults.
    pub(super) fn properties(&self, port: u16, controller: u16, data: &Path, more: &str) -> String {
        let mut text = String::new();
        let data = data.display();
        let _ = write!(
            text,
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={data}\n\
             num.partitions=1\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n"
        );
        text.push_str(more);
        for (name, value) in &self.settings {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_the_caller_stands_after_the_default_it_overrides() {
        let text = KafkaOptions::default().setting("num.partitions", "3").properties(
            9092,
            9093,
            Path::new("/data"),
            "",
        );
        assert!(text.find("num.partitions=3").unwrap() > text.find("num.partitions=1").unwrap());
    }
}

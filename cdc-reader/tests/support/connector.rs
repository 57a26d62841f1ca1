//! A connector file, for our reader and for Kafka Connect alike.

use serde_json::{Map, Value, json};

use super::Source;

/// `{"name": …, "config": …}`.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) name: String,
    config: Map<String, Value>,
}

impl Connector {
    /// Captures schema `public` of the source; `name` is also the topic prefix and the slot. The publication is
    /// `captured`.
    pub(crate) fn new(source: &Source, name: &str) -> Self {
        let server = &source.server;
        let config = json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "database.hostname": server.host,
            "database.port": server.port.to_string(),
            "database.user": server.user,
            "database.password": server.password,
            "database.dbname": source.name,
            "topic.prefix": name,
            "plugin.name": "pgoutput",
            "slot.name": name,
            "publication.name": "captured",
            "publication.autocreate.mode": "disabled",
            "schema.include.list": "public",
            "skipped.operations": "none",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "false",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "false",
            "value.converter.replace.null.with.default": "false",
        });
        let Value::Object(config) = config else { unreachable!("it is a map") };
        Self { name: name.to_owned(), config }
    }

    /// Sets a property.
    pub(crate) fn set(mut self, property: &str, value: &str) -> Self {
        self.config.insert(property.to_owned(), Value::String(value.to_owned()));
        self
    }

    /// Takes a property away.
    pub(crate) fn without(mut self, property: &str) -> Self {
        self.config.remove(property);
        self
    }

    /// The file.
    pub(crate) fn json(&self) -> Value {
        json!({ "name": self.name, "config": self.config })
    }
}

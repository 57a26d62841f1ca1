//! A connector file, for our reader and for Kafka Connect alike.

use devstack::programs;
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
        let config = programs::connector(&source.server, &source.name, name);
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

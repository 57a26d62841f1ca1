//! How to reach a cluster, as the beginning of every client's configuration.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::security::Security;

/// A cluster, and how one kind of client proves itself there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    bootstrap_servers: String,
    security: Security,
}

impl Cluster {
    /// The brokers (`host:port,…`), and TLS and SASL.
    #[must_use]
    pub fn new(bootstrap_servers: &str, security: Security) -> Self {
        Self { bootstrap_servers: bootstrap_servers.to_owned(), security }
    }

    /// The brokers.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// TLS and SASL.
    #[must_use]
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// The configuration of a client of this name, without anything that only one kind of client needs.
    #[must_use]
    pub fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers).set("client.id", client_id);
        for (name, value) in self.security.native() {
            config.set(name, value);
        }
        config
    }
}

/// Which property librdkafka does not take, without its value; `None` for an error of another kind.
#[must_use]
pub fn refused_property(error: &KafkaError) -> Option<String> {
    let KafkaError::ClientConfig(result, reason, key, value) = error else { return None };
    // librdkafka quotes the name of a property, and of some also the value.
    let rest = reason.replace(&format!("\"{key}\""), "");
    let telling = !rest.contains('"') && (value.is_empty() || !rest.contains(value.as_str()));
    Some(match result {
        RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => format!("librdkafka has no property {key}"),
        _ if telling => format!("librdkafka refuses the value of {key}: {reason}"),
        _ => format!("librdkafka refuses the value of {key}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_and_sasl_a_client_has_brokers_and_a_name_and_nothing_else() {
        let config = Cluster::new("a:1,b:2", Security::default()).client("me");
        let map = config.config_map();
        let mut found: Vec<_> = map.iter().collect();
        found.sort();
        assert_eq!(found, [(&"bootstrap.servers", &"a:1,b:2"), (&"client.id", &"me")]);
    }

    #[test]
    fn librdkafka_is_built_with_all_that_the_properties_need() {
        let native = ClientConfig::new().create_native_config().unwrap();
        let features = native.get("builtin.features").unwrap();
        let features: Vec<&str> = features.split(',').map(str::trim).collect();
        for needed in ["ssl", "sasl_plain", "sasl_scram", "oidc", "gzip", "snappy", "lz4", "zstd"] {
            assert!(features.contains(&needed), "{needed} is not in {features:?}");
        }
    }

    #[test]
    fn a_value_that_is_refused_is_not_shown() {
        let mut config = ClientConfig::new();
        config.set("sasl.jaas.config", "hunter2");
        let error = config.create_native_config().map(drop).unwrap_err();
        let line = refused_property(&error).unwrap();
        assert!(line.starts_with("librdkafka refuses the value of sasl.jaas.config"), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
}

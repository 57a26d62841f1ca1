//! How each kind of client reaches Kafka: the worker's settings, and what the connector overrides of them. Pure, apart
//! from the files of certificates that are looked at.
//!
//! In: the worker's properties (`security.protocol`, `producer.security.protocol`, …) and the connector's overrides
//! (`producer.override.security.protocol`, …). Out: the brokers with TLS and SASL for producer, admin calls and
//! consumer. For each kind the worker's property with the kind's name wins over the one without, and the connector's
//! wins over both. Kafka Connect's own worker hands properties without a kind's name to its own clients only; a worker
//! that reaches its brokers there reaches them here.

use std::collections::BTreeMap;

use shared::kafka::{Cluster, Properties, Security, names};

use crate::connector::{KafkaSecurity, ProcessVariables, Variables, resolve};

/// The brokers, for each kind of client.
#[derive(Debug, Clone, Default)]
pub struct KafkaClients {
    /// Events, and offsets as they are written.
    pub producer: Cluster,
    /// Topics, and the first contact.
    pub admin: Cluster,
    /// Offsets, as they are read at the start.
    pub consumer: Cluster,
}

/// What keeps the clients from being set up, one line for each problem. No line shows a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct KafkaProblems(Vec<String>);

/// The kinds of clients, by the beginning of their properties' names in the worker's settings.
const KINDS: [&str; 3] = ["producer", "admin", "consumer"];

impl KafkaClients {
    /// Sets them up from the worker's settings and the connector's overrides. `${env:…}` and `${file:…}` in the
    /// worker's settings are resolved.
    ///
    /// # Errors
    /// See [`KafkaProblems`].
    pub fn new(
        bootstrap_servers: &str,
        worker: &Properties,
        overrides: &KafkaSecurity,
    ) -> Result<Self, KafkaProblems> {
        Self::with_variables(bootstrap_servers, worker, overrides, &ProcessVariables)
    }

    fn with_variables(
        bootstrap_servers: &str,
        worker: &Properties,
        overrides: &KafkaSecurity,
        variables: &dyn Variables,
    ) -> Result<Self, KafkaProblems> {
        let worker = resolved(worker, variables)?;
        let overrides = [&overrides.producer, &overrides.admin, &overrides.consumer];
        // A problem that all kinds share is one line, without the name of a kind.
        let mut problems: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut clusters = Vec::new();
        for (kind, overrides) in KINDS.into_iter().zip(overrides) {
            match Security::read(&effective(&worker, kind, overrides)) {
                Ok(security) => clusters.push(Cluster::new(bootstrap_servers, security)),
                Err(lines) => {
                    for line in lines {
                        problems.entry(line).or_default().push(kind);
                    }
                }
            }
        }
        let lines = problems.into_iter().map(|(line, kinds)| {
            if kinds.len() == KINDS.len() {
                format!("Kafka: property {line}")
            } else {
                format!("Kafka ({}): property {line}", kinds.join(" and "))
            }
        });
        let lines: Vec<String> = lines.collect();
        let Ok([producer, admin, consumer]) = <[Cluster; 3]>::try_from(clusters) else {
            return Err(KafkaProblems(lines));
        };
        Ok(Self { producer, admin, consumer })
    }
}

/// The worker's properties with their variables replaced. A name that is none of TLS or SASL is refused, because
/// nothing would come of it.
fn resolved(worker: &Properties, variables: &dyn Variables) -> Result<Properties, KafkaProblems> {
    let mut properties = Properties::default();
    let mut problems = Vec::new();
    for (name, value) in worker.iter() {
        if !names::is_security(without_kind(name)) {
            problems.push(format!(
                "Kafka: property {name} is not supported here: of the worker's properties there are security.*, sasl.* and ssl.*; \
                 those of the producer stand in the connector as producer.override.*"
            ));
            continue;
        }
        match resolve(value.expose(), variables) {
            Ok(value) => properties.set(name, shared::secret::Secret::new(value)),
            Err(missing) => problems.push(format!("Kafka: property {name}: {missing}")),
        }
    }
    if problems.is_empty() { Ok(properties) } else { Err(KafkaProblems(problems)) }
}

/// The name without the kind of client before it.
pub fn without_kind(name: &str) -> &str {
    let rest = |kind| name.strip_prefix(kind)?.strip_prefix('.');
    KINDS.into_iter().find_map(rest).unwrap_or(name)
}

fn effective(worker: &Properties, kind: &str, overrides: &Properties) -> Properties {
    let mut properties = Properties::default();
    let shared = worker.iter().filter(|(name, _)| without_kind(name) == *name);
    let own = worker
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(kind)?.strip_prefix('.')?, value)));
    for (name, value) in shared.chain(own).chain(overrides.iter()) {
        properties.set(name, value.clone());
    }
    properties
}

#[cfg(test)]
mod tests {
    use shared::secret::Secret;

    use super::*;

    const LOGIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"${env:PASSWORD}\";";

    struct Fixed;

    impl Variables for Fixed {
        fn environment(&self, name: &str) -> Option<String> {
            (name == "PASSWORD").then(|| "hunter2".to_owned())
        }

        fn file(&self, _: &std::path::Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(name, value)| (*name, Secret::new(*value))).collect()
    }

    fn clients(
        worker: &[(&str, &str)],
        producer: &[(&str, &str)],
    ) -> Result<KafkaClients, KafkaProblems> {
        let overrides = KafkaSecurity { producer: properties(producer), ..Default::default() };
        KafkaClients::with_variables("k:1", &properties(worker), &overrides, &Fixed)
    }

    fn value(cluster: &Cluster, name: &str) -> Option<String> {
        cluster.client("me").get(name).map(str::to_owned)
    }

    #[test]
    fn the_kind_s_own_property_wins_over_the_worker_s_and_the_connector_s_over_both() {
        let worker = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.jaas.config", LOGIN),
            ("admin.security.protocol", "PLAINTEXT"),
            ("producer.security.protocol", "PLAINTEXT"),
        ];
        let clients = clients(&worker, &[("security.protocol", "SASL_SSL")]).unwrap();
        let protocol = |cluster| value(cluster, "security.protocol");
        assert_eq!(protocol(&clients.consumer).as_deref(), Some("sasl_plaintext"));
        assert_eq!(protocol(&clients.admin), None);
        assert_eq!(protocol(&clients.producer).as_deref(), Some("sasl_ssl"));
        assert_eq!(value(&clients.producer, "sasl.password").as_deref(), Some("hunter2"));
        assert!(!format!("{clients:?}").contains("hunter2"));
    }

    #[test]
    fn each_problem_is_one_line_and_shows_no_secret() {
        let error = clients(&[("security.protocol", "TLS")], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Kafka: property security.protocol must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
        );
        let error = clients(&[], &[("security.protocol", "TLS")]).unwrap_err();
        assert!(error.to_string().starts_with("Kafka (producer): property security"), "{error}");
        let wrong = [
            ("sasl.jass.config", LOGIN),
            ("linger.ms", "hunter2"),
            ("sasl.mechanism", "${env:NONE}"),
        ];
        let error = clients(&wrong, &[]).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(error.contains("linger.ms is not supported") && error.contains("NONE is not set"));
        assert!(!error.contains("hunter2"), "{error}");
    }
}

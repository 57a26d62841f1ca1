//! How our programs, and Debezium, are told where a server of the tests is.
//!
//! In: a server, a database on it, a role. Out: the loader's variables, or a connector's properties.

use serde_json::{Map, Value, json};

use crate::PostgresAddress;

/// The variables by which `vault-loader` finds its warehouse.
#[must_use]
pub fn loader_database(
    server: &PostgresAddress,
    database: &str,
    user: &str,
    password: &str,
) -> [(&'static str, String); 5] {
    [
        ("VAULT_LOADER__DATABASE__HOST", server.host.clone()),
        ("VAULT_LOADER__DATABASE__PORT", server.port.to_string()),
        ("VAULT_LOADER__DATABASE__NAME", database.to_owned()),
        ("VAULT_LOADER__DATABASE__USER", user.to_owned()),
        ("VAULT_LOADER__DATABASE__PASSWORD", password.to_owned()),
    ]
}

/// The properties of a connector that captures schema `public` of a database as the server's superuser, for Debezium
/// and for our reader alike. `name` is the topic prefix and the slot. The publication is `captured`.
#[must_use]
pub fn connector(server: &PostgresAddress, database: &str, name: &str) -> Map<String, Value> {
    let properties = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": server.host,
        "database.port": server.port.to_string(),
        "database.user": server.user,
        "database.password": server.password,
        "database.dbname": database,
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
    let Value::Object(properties) = properties else { unreachable!("it is a map") };
    properties
}

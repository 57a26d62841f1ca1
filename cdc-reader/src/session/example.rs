//! A connector for unit tests: slot, database and publication are all named `inventory`, its role is `reader`.

use crate::connector::{ProcessVariables, Settings, parse};

pub(super) fn settings() -> Settings {
    let config = serde_json::json!({
        "name": "inventory",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "topic.prefix": "inventory",
        "database.hostname": "localhost",
        "database.user": "reader",
        "database.dbname": "inventory",
        "slot.name": "inventory",
        "publication.name": "inventory",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
    });
    parse(&config.to_string(), &ProcessVariables).unwrap().settings
}

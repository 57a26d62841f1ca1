//! A connector and a server for unit tests: slot, database and publication are all named `inventory`, the role is
//! `reader`.

use shared::position::Lsn;

use super::server::Server;
use crate::catalog::Slot;
use crate::connector::{ProcessVariables, Settings, parse};
use crate::replication::{SourceIdentity, SystemIdentifier, Timeline, TimelineHistory};

/// One cluster, on this timeline.
pub(super) fn identity(timeline: u32) -> SourceIdentity {
    SourceIdentity { system: SystemIdentifier(7), timeline: Timeline(timeline) }
}

/// A primary whose WAL ends at 1000.
pub(super) fn server(timeline: u32, slot: Option<Slot>) -> Server {
    Server {
        identity: identity(timeline),
        history: TimelineHistory::default(),
        version: 180_000,
        is_in_recovery: false,
        slot,
        wal_end: Lsn(1_000),
    }
}

/// The connector's slot, confirmed up to a position.
pub(super) fn slot(confirmed: Option<u64>) -> Slot {
    Slot {
        plugin: Some("pgoutput".to_owned()),
        database: Some("inventory".to_owned()),
        restart_lsn: Some(Lsn(10)),
        confirmed_flush: confirmed.map(Lsn),
        wal_status: Some("reserved".to_owned()),
        invalidation: None,
        is_synchronized: false,
        is_failover: false,
        two_phase: false,
    }
}

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

//! Patroni's configuration of one node.
//!
//! In: what all nodes share, and the node. Out: a file of JSON, which is YAML as well. What stands below `bootstrap` is
//! written to etcd by the first node and is the same for all; the rest is the node's own.

use serde_json::json;

use super::node::{Node, PGPASS, REST_USER};
use super::options::ClusterOptions;
use super::place::Place;

/// The version of the servers.
pub(super) const POSTGRES_MAJOR: u16 = 18;

/// The role that standbys replicate with.
const REPLICATOR: &str = "replicator";

/// The lease of a primary in seconds: nobody is promoted before it has ended. With the time that a promotion and
/// HAProxy's checks take, writes go on within 15 s.
const LEASE_SECONDS: u32 = 8;

/// How often a primary renews its lease, in seconds.
const LOOP_SECONDS: u32 = 1;

/// How long a primary tries to reach etcd before it gives up, in seconds. With the loop it is shorter than the lease.
const RETRY_SECONDS: u32 = 3;

/// What all nodes share.
pub(super) struct Settings<'s> {
    pub(super) options: &'s ClusterOptions,
    pub(super) place: &'s Place,
    /// `host:port` of each node of etcd.
    pub(super) etcd: &'s [String],
    /// The names of all nodes, which are those of their physical slots.
    pub(super) names: &'s [&'s str],
    /// From where the nodes and HAProxy come.
    pub(super) network: String,
}

/// The password of [`REST_USER`].
pub(super) fn rest_password(options: &ClusterOptions) -> String {
    format!("{}-rest", options.password)
}

/// The configuration of a node.
pub(super) fn configuration(settings: &Settings<'_>, node: &Node) -> String {
    let Settings { options, etcd, .. } = settings;
    let at = |port: u16| format!("{}:{port}", node.host());
    let rest = at(node.rest_port());
    let configuration = json!({
        "scope": "vaultstream",
        "namespace": "/vaultstream/",
        "name": node.name(),
        "restapi": {
            "listen": rest,
            "connect_address": rest,
            "authentication": {"username": REST_USER, "password": rest_password(options)},
        },
        "etcd3": {"hosts": etcd},
        "bootstrap": {"dcs": shared(), "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}]},
        "postgresql": own(settings, node),
        "watchdog": {"mode": "off"},
    });
    format!("{configuration:#}\n")
}

/// What is the same for all nodes, and changed with `patronictl edit-config`.
fn shared() -> serde_json::Value {
    json!({
        "ttl": LEASE_SECONDS,
        "loop_wait": LOOP_SECONDS,
        "retry_timeout": RETRY_SECONDS,
        // A commit waits for one of the two standbys. Without any standby it waits until one is back.
        "synchronous_mode": "quorum",
        "synchronous_mode_strict": true,
        "synchronous_node_count": 1,
        // A primary that cannot reach etcd stays the primary as long as it reaches both standbys.
        "failsafe_mode": true,
        // A server that crashed is replaced at once; it does not recover first.
        "primary_start_timeout": 0,
        // A reader that does not end holds up a switchover no longer.
        "primary_stop_timeout": 10,
        // The quorum says who may be promoted, not this distance.
        "maximum_lag_on_failover": 104_857_600,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            "parameters": {
                "wal_level": "logical",
                "hot_standby": "on",
                "max_connections": 200,
                "max_wal_senders": 20,
                "max_replication_slots": 20,
                "wal_log_hints": "on",
                "wal_keep_size": "256MB",
                "max_slot_wal_keep_size": "4GB",
                // Standbys copy the slots that are made with FAILOVER. The primary keeps the rows that the copies need.
                "sync_replication_slots": "on",
                "hot_standby_feedback": "on",
                "password_encryption": "scram-sha-256",
                "wal_sender_timeout": "10s",
                "wal_receiver_timeout": "10s",
                "log_timezone": "UTC",
                "timezone": "UTC",
            },
        },
    })
}

/// What is the node's own.
fn own(settings: &Settings<'_>, node: &Node) -> serde_json::Value {
    let Settings { options, place, names, network, .. } = settings;
    let address = format!("{}:{}", node.host(), node.port());
    let others: Vec<&str> = names.iter().copied().filter(|name| *name != node.name()).collect();
    let (psql, pgpass) = (place.bin_dir().join("psql"), node.file("pgpass"));
    let callback = format!(
        "{} {} {} {} {} {}",
        node.file("drop-own-slots.sh").display(),
        psql.display(),
        node.file(PGPASS).display(),
        node.host(),
        node.port(),
        options.user
    );
    let durable = if options.fsync { "on" } else { "off" };
    json!({
        "listen": address,
        "connect_address": address,
        "data_dir": node.file("data"),
        "bin_dir": place.bin_dir(),
        "pgpass": pgpass,
        "authentication": {
            "superuser": {"username": options.user, "password": options.password},
            "replication": {
                "username": REPLICATOR,
                "password": format!("{}-replication", options.password),
            },
        },
        "pg_hba": [
            format!("host replication {REPLICATOR} {network} scram-sha-256"),
            "host replication all all reject".to_owned(),
            format!("host all all {network} scram-sha-256"),
        ],
        "parameters": {
            "unix_socket_directories": "",
            // A reader is sent only what both other nodes have.
            "synchronized_standby_slots": others.join(","),
            "fsync": durable,
            "full_page_writes": durable,
        },
        "basebackup": {"checkpoint": "fast"},
        "remove_data_directory_on_rewind_failure": true,
        "remove_data_directory_on_diverged_timelines": true,
        "callbacks": {"on_start": callback, "on_role_change": callback},
    })
}

/// The password file of the script that Patroni calls.
pub(super) fn superuser_pgpass(options: &ClusterOptions, node: &Node) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let (user, password) = (escaped(&options.user), escaped(&options.password));
    format!("{}:{}:*:{user}:{password}\n", node.host(), node.port())
}
